"""DMARC: does SPF or DKIM vouch for the domain that people see in From, and what does it want done if not?

Owns the walk up the DNS tree that finds policy and organizational domain (no
list of public suffixes), alignment, and the choice of policy. A generator of DNS questions.

Fails: never; ``temperror`` when a record cannot be looked up now: such mail is taken.
Does not: act; what a policy comes to at this server is ``policy.judgement``'s.

Sources: RFC 9989 sections 4.4 (alignment), 4.10 (tree walk), 4.10.1 (policy), 4.10.2
(organizational domain), 5.4 (missing domains), RFC 7489 for older records.
"""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.model.dns import Asking, DnsQuestion, DnsStatus
from appliance.policy.dmarc_record import DmarcPolicy, DmarcRecord, parse_dmarc

__all__ = ["DmarcResult", "DmarcVerdict", "check_dmarc"]

MAX_LABELS: Final = 8
"""Of a domain that is walked step by step (RFC 9989 section 4.10)."""
MAX_AUTHORS: Final = 4


class DmarcResult(enum.Enum):
    """RFC 9989 section 5.3 and the results of RFC 8601."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class DmarcVerdict:
    """``domain``: of From; ``policy``: what the domain wants done with this message; ``record_domain``: where its record stands.

    ``spf_domain`` and ``dkim_domain``: what vouches for it, ``""`` for nothing.
    """

    result: DmarcResult
    domain: str = ""
    policy: DmarcPolicy = DmarcPolicy.NONE
    record_domain: str = ""
    record: DmarcRecord | None = None
    spf_domain: str = ""
    dkim_domain: str = ""
    reason: str = ""


class _UnavailableError(Exception):
    """A record cannot be looked up now."""


_Found = tuple[str, DmarcRecord]


def check_dmarc(authors: Sequence[str], *, spf_domain: str, dkim_domains: Collection[str]) -> Asking[DmarcVerdict]:
    """Return the verdict on a message.

    ``authors``: domains of From, which should be one; of several the worst counts. ``spf_domain``: what SPF passed for,
    else ``""``; ``dkim_domains``: of good signatures.
    """
    domains = list(dict.fromkeys(domain.lower().removesuffix(".") for domain in authors if domain))
    if not domains:
        return DmarcVerdict(DmarcResult.PERMERROR, reason="From names no domain")
    if len(domains) > MAX_AUTHORS:
        return DmarcVerdict(DmarcResult.PERMERROR, domains[0], reason="From names too many domains")
    worst: DmarcVerdict | None = None
    for domain in domains:
        verdict = yield from _check_domain(domain, spf_domain.lower(), [each.lower() for each in dkim_domains])
        if worst is None or _severity(verdict) > _severity(worst):
            worst = verdict
    assert worst is not None
    return worst


def _severity(verdict: DmarcVerdict) -> tuple[bool, int]:
    return verdict.result is DmarcResult.FAIL, verdict.policy


def _check_domain(domain: str, spf_domain: str, dkim_domains: Sequence[str]) -> Asking[DmarcVerdict]:
    try:
        records = yield from _walk(domain)
        found = _applicable(domain, records)
        if found is None or not found[1].is_usable:
            return DmarcVerdict(DmarcResult.NONE, domain)
        record_domain, record = found
        organization = _organization(domain, records)
        spf = yield from _first_aligned(domain, organization, [spf_domain] if spf_domain else [], strict=record.strict_spf)
        dkim = yield from _first_aligned(domain, organization, dkim_domains, strict=record.strict_dkim)
        policy = yield from _policy(domain, record_domain, record)
    except _UnavailableError:
        return DmarcVerdict(DmarcResult.TEMPERROR, domain, reason="a DMARC record cannot be looked up now")
    result = DmarcResult.PASS if spf or dkim else DmarcResult.FAIL
    return DmarcVerdict(result, domain, policy, record_domain, record, spf, dkim)


def _walk(domain: str) -> Asking[list[_Found]]:
    """Return the records on the way up from a domain, the longest name first. Raises _UnavailableError."""
    labels = domain.split(".")
    names = [domain]
    rest = labels[1:] if len(labels) < MAX_LABELS else labels[-(MAX_LABELS - 1) :]
    names += [".".join(rest[at:]) for at in range(len(rest))]
    found: list[_Found] = []
    for name in names:
        answer = yield DnsQuestion(f"_dmarc.{name}", "TXT")
        if answer.status is DnsStatus.FAILED:
            raise _UnavailableError
        records = [record for text in answer.records if (record := parse_dmarc(text)) is not None]
        if len(records) != 1:
            continue  # several are none (RFC 9989 section 4.10)
        found.append((name, records[0]))
        if records[0].psd == "n" or (records[0].psd == "y" and name != domain):
            break
    return found


def _organization(domain: str, records: Sequence[_Found]) -> str:
    """Return the organizational domain (RFC 9989 section 4.10.2)."""
    for name, record in records:
        if record.psd == "n":
            return name
        if record.psd == "y" and name != domain:
            return ".".join(domain.split(".")[-name.count(".") - 2 :])
    return records[-1][0] if records else domain


def _applicable(domain: str, records: Sequence[_Found]) -> _Found | None:
    """Return the record that counts: the domain's, its organization's, or the public suffix's (RFC 9989 section 4.10.1)."""
    by_name = dict(records)
    organization = _organization(domain, records)
    for name in (domain, organization):
        if name in by_name:
            return name, by_name[name]
    return records[-1] if records and records[-1][1].psd == "y" else None


def _first_aligned(domain: str, organization: str, candidates: Sequence[str], *, strict: bool) -> Asking[str]:
    """Return the first domain that vouches for ``domain``. Raises _UnavailableError."""
    for each in candidates:
        if each == domain:
            return each
    if strict:
        return ""
    for each in candidates:
        if each == organization or each.endswith("." + organization):
            records = yield from _walk(each)
            if _organization(each, records) == organization:
                return each
    return ""


def _policy(domain: str, record_domain: str, record: DmarcRecord) -> Asking[DmarcPolicy]:
    """Return what is wanted for mail of this domain that fails."""
    policy = record.policy
    if record_domain != domain:
        if record.subdomain_policy is not None:
            policy = record.subdomain_policy
        if record.missing_policy is not None and (yield from _is_missing(domain)):
            policy = record.missing_policy
    if record.is_testing and policy > DmarcPolicy.NONE:
        policy = DmarcPolicy(policy - 1)  # RFC 9989 section 4.7: one step milder
    return policy


def _is_missing(domain: str) -> Asking[bool]:
    answer = yield DnsQuestion(domain, "A")
    if answer.status is DnsStatus.FAILED:
        raise _UnavailableError
    return answer.status is DnsStatus.MISSING
