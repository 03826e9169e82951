"""SPF, DKIM, ARC and DMARC together: one message judged, and what becomes of it.

Owns ``MessageChecks``, made when the header section is complete, fed with the
body, and asked at the end. ``askings`` are independent of each other and may
run at once; ``conclude`` needs their results. Then ``decide`` says whether the
message is taken, put into Junk, or refused, and in which words.

Fails: never.
Does not: wait, or write anything (``policy.judgement_fields``).

Sources: RFC 9989 sections 5.4 and 7.4 (what receivers do with policies), RFC 7208
section 8.4, RFC 8617 section 7.2 (overriding DMARC by ARC).
"""

import enum
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from appliance.message.address import addresses
from appliance.message.authres import parse_results
from appliance.message.header import Field
from appliance.model.dns import Asking
from appliance.policy.arc import ArcResult, ArcValidator, ArcVerdict
from appliance.policy.dkim import BodyHashes, DkimResult, DkimVerdict, DkimVerifier
from appliance.policy.dmarc import DmarcResult, DmarcVerdict, check_dmarc
from appliance.policy.dmarc_record import DmarcPolicy
from appliance.policy.spf import SpfRequest, SpfResult, SpfVerdict, check_spf

__all__ = ["Decision", "Fate", "MessageChecks", "Rules", "Verdicts", "decide"]

_MAX_ADDRESS: Final = 20
_MAX_REASON: Final = 470
"""With the code in front it fits into a reply line (RFC 5321 section 4.5.3.1.5)."""
_ODD = re.compile(r"[^\x20-\x7e]+")


class Fate(enum.Enum):
    """What becomes of a message."""

    TAKEN = "taken"
    JUNK = "junk"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings want. ``forwarders``: domains whose word counts when they pass on what DMARC then fails."""

    dmarc: Literal["obey", "mark"] = "obey"
    spf_fail: Literal["mark", "junk", "reject"] = "mark"
    forwarders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All findings on one message. ``override``: why DMARC's policy is not applied, in the words of RFC 9990, or ``""``."""

    request: SpfRequest
    spf: SpfVerdict
    dkim: tuple[DkimVerdict, ...]
    arc: ArcVerdict
    dmarc: DmarcVerdict
    override: str = ""
    forwarder: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """``status``: the enhanced status code of a refusal; ``reason``: for people, ``""`` for what is taken."""

    fate: Fate
    status: str = ""
    reason: str = ""


class MessageChecks:
    """The checks of one message. ``now_s``: wall clock."""

    def __init__(self, fields: Sequence[Field], request: SpfRequest, rules: Rules, *, now_s: float) -> None:
        self._request = request
        self._rules = rules
        self._bodies = BodyHashes()
        self._dkim = DkimVerifier(fields, now_s=now_s, bodies=self._bodies)
        self._arc = ArcValidator(self._dkim.picker, now_s=now_s, bodies=self._bodies)
        self.needs_body = self._dkim.needs_body or self._arc.needs_body

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._bodies.feed(chunk)

    def askings(self) -> tuple[Asking[SpfVerdict], Asking[tuple[DkimVerdict, ...]], Asking[ArcVerdict]]:
        """Return what can be asked at once, when the body is complete."""
        return check_spf(self._request), self._dkim.finish(), self._arc.finish()

    def conclude(self, spf: SpfVerdict, dkim: tuple[DkimVerdict, ...], arc: ArcVerdict) -> Asking[Verdicts]:
        """Return all findings."""
        good = [verdict.domain for verdict in dkim if verdict.result is DkimResult.PASS]
        vouching = spf.domain if spf.result is SpfResult.PASS else ""
        dmarc = yield from check_dmarc(self._authors(), spf_domain=vouching, dkim_domains=good)
        verdicts = Verdicts(self._request, spf, dkim, arc, dmarc)
        if dmarc.result is DmarcResult.FAIL:
            if _nobody_can_tell(spf, dkim):
                dmarc = replace(dmarc, result=DmarcResult.TEMPERROR, reason="SPF or a key cannot be looked up now")
                verdicts = replace(verdicts, dmarc=dmarc)
            else:
                override, forwarder = _override(verdicts, {vouching.lower(), *good} - {""}, self._rules.forwarders)
                verdicts = replace(verdicts, override=override, forwarder=forwarder)
        return verdicts

    def _authors(self) -> list[str]:
        values = [field.value for field in self._dkim.picker.all(b"from")]
        found = [address for value in values for address in addresses(value)]
        return [_ascii_domain(address.path.rpartition("@")[2]) for address in found[:_MAX_ADDRESS] if "@" in address.path]


def _ascii_domain(domain: str) -> str:
    """Return the domain as signatures and records have it; RFC 8616 compares A-labels."""
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


def _nobody_can_tell(spf: SpfVerdict, dkim: Sequence[DkimVerdict]) -> bool:
    """Tell whether what failed might pass next time; such mail is not held against its author."""
    return spf.result is SpfResult.TEMPERROR or any(verdict.result is DkimResult.TEMPERROR for verdict in dkim)


def _is_of(domain: str, trusted: Collection[str]) -> bool:
    return any(domain == each or domain.endswith("." + each) for each in trusted)


def _override(verdicts: Verdicts, authenticated: Collection[str], trusted: Collection[str]) -> tuple[str, str]:
    """Return why the policy is not applied and by whose word; empty texts when it is."""
    for domain in sorted(authenticated):
        if _is_of(domain, trusted):
            return "mailing_list", domain
    arc = verdicts.arc
    if arc.result is not ArcResult.PASS:
        return "", ""
    # From the last station back as long as each is trusted: one of them saw the message pass.
    for each, sealer in zip(reversed(arc.sets), reversed(arc.sealers), strict=True):
        if not _is_of(sealer, trusted):
            return "", ""
        value = each.results.value.partition(b";")[2]
        if any(found.method == "dmarc" and found.result == "pass" for found in parse_results(value)[1]):
            return "trusted_forwarder", sealer
    return "", ""


def decide(verdicts: Verdicts, rules: Rules) -> Decision:
    """Return what becomes of a message."""
    dmarc, spf = verdicts.dmarc, verdicts.spf
    if dmarc.result is DmarcResult.FAIL and not verdicts.override and rules.dmarc == "obey":
        if dmarc.policy is DmarcPolicy.REJECT:
            return Decision(Fate.REFUSED, "5.7.1", _line(_dmarc_sentence(verdicts)))
        if dmarc.policy is DmarcPolicy.QUARANTINE:
            return Decision(Fate.JUNK, reason=f"{dmarc.domain} asks for quarantine (DMARC)")
    if spf.result is SpfResult.FAIL and dmarc.result is DmarcResult.NONE and rules.spf_fail != "mark":
        if rules.spf_fail == "reject":
            return Decision(Fate.REFUSED, "5.7.23", _line(_spf_sentence(verdicts)))
        return Decision(Fate.JUNK, reason=f"SPF of {spf.domain} says fail")
    return Decision(Fate.TAKEN)


def _line(text: str) -> str:
    return _ODD.sub("?", text)[:_MAX_REASON]


def _dmarc_sentence(verdicts: Verdicts) -> str:
    """Return words that help the real sender: what failed, and where it is mended."""
    dmarc, spf = verdicts.dmarc, verdicts.spf
    spf_part = f"SPF of {spf.domain[:80]}: {spf.result.value}" if spf.domain else "SPF: none"
    signers = ", ".join(f"{verdict.domain[:80]}: {verdict.result.value}" for verdict in verdicts.dkim[:2])
    return (
        f"The domain {dmarc.domain[:120]} in From asks that mail which cannot be proven to be its own be refused (DMARC p=reject of "
        f"{dmarc.record_domain[:120]}). Client {verdicts.request.client_address}; {spf_part}; DKIM {signers or 'none'}. If you are its "
        "owner, let your mail go out through servers named in SPF, signed with DKIM"
    )


def _spf_sentence(verdicts: Verdicts) -> str:
    spf = verdicts.spf
    words = f'; it says: "{spf.explanation[:150]}"' if spf.explanation else ""
    return (
        f"The domain {spf.domain[:120]} does not let {verdicts.request.client_address} send its mail (SPF {spf.mechanism[:80]}){words}. "
        "If you are its owner, send through your own server or name this one in the SPF record"
    )
