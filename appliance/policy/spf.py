"""SPF: may this client send mail with this reverse-path?

Owns ``check_spf``, a generator that asks DNS questions and ends with the
verdict, and its limits: ten terms that cause lookups, two of them in vain, ten hosts of one MX
or PTR. Nothing here waits; whoever runs the check sets its time limit and says TEMPERROR.

Fails: never; what is wrong with a record or with the DNS is a verdict with its reason.
Sources: RFC 7208 (section 4 the check, 4.6.4 its limits, 5 mechanisms, 6.2 explanations, 8 results).
"""

import enum
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from appliance.model.dns import Asking, DnsAnswer, DnsQuestion, DnsStatus, reverse_name
from appliance.policy.spf_macro import check_explanation, expand, fit_name, uses_macro
from appliance.policy.spf_record import Mechanism, SpfRecord, SpfSyntaxError, is_spf_record, parse_spf

__all__ = ["SpfRequest", "SpfResult", "SpfVerdict", "check_spf"]

MAX_TERMS: Final = 10
MAX_VOID: Final = 2
MAX_HOSTS: Final = 10
_MAX_EXPLANATION: Final = 500
_UNKNOWN: Final = "unknown"
_is_printable = re.compile(r"[\x20-\x7e]*").fullmatch

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SpfResult(enum.Enum):
    """RFC 7208 section 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIED: Final = {"+": SpfResult.PASS, "-": SpfResult.FAIL, "~": SpfResult.SOFTFAIL, "?": SpfResult.NEUTRAL}


@dataclass(frozen=True, slots=True)
class SpfRequest:
    """Who asks to send. ``reverse_path``: ``""`` for notifications, judged by ``helo`` then. ``receiver``: our name."""

    client_address: str
    helo: str
    reverse_path: str
    receiver: str = "unknown"
    now_s: float = 0.0

    @property
    def identity(self) -> str:
        """What of the session is judged (RFC 7208 section 8 and 2.4)."""
        return "mailfrom" if self.reverse_path else "helo"

    @property
    def sender(self) -> str:
        """The address that is judged: without local part it is postmaster's (RFC 7208 section 4.3)."""
        local_part, at, domain = self.reverse_path.rpartition("@")
        if not at:
            return f"postmaster@{self.reverse_path or self.helo}"
        return f"{local_part or 'postmaster'}@{domain}"

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2].removesuffix(".")


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """``mechanism``: the term that decided; ``reason``: what is wrong, for errors; ``explanation``: the domain's words for a fail."""

    result: SpfResult
    domain: str = ""
    mechanism: str = ""
    reason: str = ""
    explanation: str = ""


class _StopError(Exception):
    """Ends the evaluation with an error."""

    def __init__(self, result: SpfResult, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


def client_ip(text: str) -> Address | None:
    """Return the client's address, IPv4 where it is written as IPv6; None for what is none (a socket's path)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def check_spf(request: SpfRequest) -> Asking[SpfVerdict]:
    """Judge one MAIL command, or the HELO of one with the null reverse-path."""
    ip = client_ip(request.client_address)
    domain = request.domain
    # A literal or a single label is not looked up (RFC 7208 section 4.3).
    if ip is None or "." not in domain or fit_name(domain) != domain:
        return SpfVerdict(SpfResult.NONE, domain)
    evaluation = _Evaluation(request, ip)
    try:
        verdict = yield from evaluation.check(domain, is_outermost=True)
    except _StopError as stop:
        verdict = SpfVerdict(stop.result, reason=stop.reason)
    return replace(verdict, domain=domain)


class _Evaluation:
    """One check: what its terms share."""

    def __init__(self, request: SpfRequest, ip: Address) -> None:
        self._request = request
        self._ip = ip
        self._terms = 0
        self._void = 0
        self._client_names: dict[str, str] = {}
        """The validated name of the client as %{p} wants it, by domain."""

    def check(self, domain: str, *, is_outermost: bool) -> Asking[SpfVerdict]:
        """Evaluate check_host() for a domain. Raises _StopError."""
        record = yield from self._record(domain)
        if record is None:
            return SpfVerdict(SpfResult.NONE)
        for mechanism in record.mechanisms:
            if (yield from self._matches(mechanism, domain)):
                result = _QUALIFIED[mechanism.qualifier]
                explanation = ""
                if result is SpfResult.FAIL and is_outermost and record.exp:
                    explanation = yield from self._explain(record.exp, domain)
                return SpfVerdict(result, mechanism=mechanism.text, explanation=explanation)
        if not record.redirect:
            return SpfVerdict(SpfResult.NEUTRAL, mechanism="default")
        self._count_term()
        target = yield from self._target(record.redirect, domain)
        verdict = (yield from self.check(target, is_outermost=is_outermost)) if target else SpfVerdict(SpfResult.NONE)
        if verdict.result is SpfResult.NONE:
            raise _StopError(SpfResult.PERMERROR, f"redirect={record.redirect}: that domain has no SPF record")
        return verdict

    def _record(self, domain: str) -> Asking[SpfRecord | None]:
        """Return the one record of a domain (RFC 7208 sections 4.4 and 4.5)."""
        answer = yield DnsQuestion(domain, "TXT")
        if answer.status is DnsStatus.FAILED:
            raise _StopError(SpfResult.TEMPERROR, f"the SPF record of {domain} cannot be looked up now")
        records = [text for text in answer.records if is_spf_record(text)]
        if not records:
            return None
        if len(records) > 1:
            raise _StopError(SpfResult.PERMERROR, f"{domain} has more than one SPF record")
        try:
            return parse_spf(records[0])
        except SpfSyntaxError as error:
            raise _StopError(SpfResult.PERMERROR, f"{domain}: {error}") from error

    # Limits

    def _count_term(self) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise _StopError(SpfResult.PERMERROR, "the record needs more than ten DNS lookups")

    def _ask(self, name: str, kind: str) -> Asking[DnsAnswer]:
        """Ask for a term. Raises _StopError for failures and for one lookup in vain too many (RFC 7208 section 4.6.4)."""
        answer = (yield DnsQuestion(name, kind)) if name else DnsAnswer(DnsStatus.MISSING)
        if answer.status is DnsStatus.FAILED:
            raise _StopError(SpfResult.TEMPERROR, f"{name} ({kind}) cannot be looked up now")
        if not answer.records:
            self._count_void()
        return answer

    def _count_void(self) -> None:
        self._void += 1
        if self._void > MAX_VOID:
            raise _StopError(SpfResult.PERMERROR, "more than two DNS lookups of the record find nothing")

    # Mechanisms

    def _matches(self, mechanism: Mechanism, domain: str) -> Asking[bool]:
        name = mechanism.name
        if name == "all":
            return True
        if mechanism.network is not None:
            return self._ip.version == mechanism.network.version and self._ip in mechanism.network
        self._count_term()
        target = (yield from self._target(mechanism.domain, domain)) if mechanism.domain else domain
        if target is None:
            return False
        if name == "include":
            return (yield from self._includes(target))
        if name == "a":
            return (yield from self._has_address(target, mechanism))
        if name == "mx":
            return (yield from self._has_mail_host(target, mechanism))
        if name == "ptr":
            return (yield from self._is_named(target))
        answer = yield from self._ask(target, "A")  # exists, for IPv6 clients too
        return bool(answer.records)

    def _includes(self, target: str) -> Asking[bool]:
        verdict = (yield from self.check(target, is_outermost=False)) if target else SpfVerdict(SpfResult.NONE)
        if verdict.result is SpfResult.NONE:
            raise _StopError(SpfResult.PERMERROR, f"include:{target}: that domain has no SPF record")
        return verdict.result is SpfResult.PASS

    @property
    def _kind(self) -> str:
        return "A" if self._ip.version == 4 else "AAAA"

    def _has_address(self, name: str, mechanism: Mechanism) -> Asking[bool]:
        answer = yield from self._ask(name, self._kind)
        return self._is_among(answer.records, mechanism)

    def _is_among(self, addresses: tuple[str, ...], mechanism: Mechanism) -> bool:
        prefix = mechanism.prefix4 if self._ip.version == 4 else mechanism.prefix6
        shift = self._ip.max_prefixlen - prefix
        wanted = int(self._ip) >> shift
        return any(int(found) >> shift == wanted for text in addresses if (found := _address(text)) and found.version == self._ip.version)

    def _has_mail_host(self, name: str, mechanism: Mechanism) -> Asking[bool]:
        answer = yield from self._ask(name, "MX")
        if len(answer.records) > MAX_HOSTS:
            raise _StopError(SpfResult.PERMERROR, f"{name} has more than ten mail hosts")
        for host in answer.records:
            if (yield from self._has_address(host, mechanism)):
                return True
        return False

    def _validated_names(self) -> Asking[list[str]]:
        """Return the names of the client that lead back to it (RFC 7208 section 5.5); failures are no names."""
        answer = yield DnsQuestion(reverse_name(str(self._ip)), "PTR")
        if not answer.records and answer.status is not DnsStatus.FAILED:
            self._count_void()
        names = []
        for name in answer.records[:MAX_HOSTS]:
            found = yield DnsQuestion(name, self._kind)
            if any(_address(text) == self._ip for text in found.records):
                names.append(name)
        return names

    def _is_named(self, target: str) -> Asking[bool]:
        names = yield from self._validated_names()
        wanted = target.lower()
        return any(name.lower() == wanted or name.lower().endswith("." + wanted) for name in names)

    # Macros

    def _target(self, domain_spec: str, domain: str) -> Asking[str | None]:
        """Return the name that a domain-spec means, ``""`` when it is none, None when it can never be."""
        expanded = yield from self._expand(domain_spec, domain)
        return fit_name(expanded) if expanded is not None else None

    def _expand(self, text: str, domain: str) -> Asking[str | None]:
        if "%" not in text:
            return text
        request, ip = self._request, self._ip
        local_part, _at, sender_domain = request.sender.rpartition("@")
        values = {
            "s": request.sender,
            "l": local_part,
            "o": sender_domain,
            "d": domain,
            "h": request.helo,
            "v": "in-addr" if ip.version == 4 else "ip6",
            "i": str(ip) if ip.version == 4 else ".".join(f"{int(ip):032X}"),
            "c": str(ip),
            "r": request.receiver,
            "t": str(int(request.now_s)),
        }
        if uses_macro(text, "p"):
            values["p"] = yield from self._client_name(domain)
        return expand(text, values)

    def _client_name(self, domain: str) -> Asking[str]:
        """Return what %{p} is: a validated name, preferably the domain's own or below it (RFC 7208 section 7.3)."""
        if domain not in self._client_names:
            names = yield from self._validated_names()
            lowered = [name.lower() for name in names]
            below = [name for name in lowered if name.endswith("." + domain.lower())]
            own = domain.lower() if domain.lower() in lowered else ""
            self._client_names[domain] = own or next(iter(below), "") or next(iter(lowered), _UNKNOWN)
        return self._client_names[domain]

    def _explain(self, domain_spec: str, domain: str) -> Asking[str]:
        """Return the domain's explanation of a fail, ``""`` when there is anything wrong with it (RFC 7208 section 6.2)."""
        try:
            target = yield from self._target(domain_spec, domain)
            answer = (yield DnsQuestion(target, "TXT")) if target else DnsAnswer(DnsStatus.MISSING)
            if len(answer.records) != 1 or not check_explanation(answer.records[0]):
                return ""
            explanation = yield from self._expand(answer.records[0], domain)
        except _StopError:
            return ""
        return explanation[:_MAX_EXPLANATION] if explanation and _is_printable(explanation) else ""


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
