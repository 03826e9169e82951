"""From verdicts and sessions to what reports say about them. Pure.

Owns which messages and sessions are reported, and in which words.

Sources: RFC 9990 section 3.1, RFC 8460 section 4.2 (policy types).
"""

from collections.abc import Sequence
from typing import Final

from appliance.message.report_writing import DmarcFinding, TlsSessions
from appliance.policy.dkim import DkimResult
from appliance.policy.dmarc import DmarcResult
from appliance.policy.dmarc_record import DmarcPolicy, DmarcRecord
from appliance.policy.judgement import Decision, Fate, Verdicts
from appliance.storage.tls_state import TlsResult

__all__ = ["finding_of", "published", "tls_sessions"]

_FATES: Final = {Fate.TAKEN: "none", Fate.JUNK: "quarantine", Fate.REFUSED: "reject"}
_REPORTED: Final = frozenset({DmarcResult.PASS, DmarcResult.FAIL})
_POLICY_TYPES: Final = frozenset({"tlsa", "sts", "no-policy-found"})


def finding_of(verdicts: Verdicts, decision: Decision) -> DmarcFinding | None:
    """Return what a report says about a message; None when nobody is told."""
    dmarc, spf, request = verdicts.dmarc, verdicts.spf, verdicts.request
    if dmarc.result not in _REPORTED or dmarc.record is None or not dmarc.record.reports_to:
        return None
    signed = [
        (one.domain[:253], one.selector[:63], one.result.value) for one in verdicts.dkim if one.result is not DkimResult.NONE and one.domain
    ]
    return DmarcFinding(
        address=request.client_address,
        disposition=_disposition(verdicts, decision),
        dkim_aligned=bool(dmarc.dkim_domain),
        spf_aligned=bool(dmarc.spf_domain),
        header_from=dmarc.domain[:253],
        envelope_from=request.reverse_path.rpartition("@")[2].lower()[:253],
        spf_domain=(spf.domain or request.helo)[:253],
        spf_scope="mfrom" if request.reverse_path else "helo",
        spf_result=spf.result.value,
        override=_override(verdicts, decision),
        dkim=tuple(signed),
    )


def _disposition(verdicts: Verdicts, decision: Decision) -> str:
    is_enforced = verdicts.dmarc.policy is not DmarcPolicy.NONE
    if verdicts.dmarc.result is DmarcResult.PASS and decision.fate is Fate.TAKEN and is_enforced:
        return "pass"
    return _FATES[decision.fate]


def _override(verdicts: Verdicts, decision: Decision) -> str:
    """Return why mail that failed was not treated as its domain wishes; ``""`` where it was."""
    dmarc, record = verdicts.dmarc, verdicts.dmarc.record
    if verdicts.override or dmarc.result is not DmarcResult.FAIL or record is None:
        return verdicts.override
    if _FATES[decision.fate] != dmarc.policy.word:
        return "local_policy"
    return "policy_test_mode" if record.is_testing and record.policy is not DmarcPolicy.NONE else ""


def published(record: DmarcRecord) -> dict[str, str]:
    """Return a record in the words of the report; what its domain left out is as RFC 9989 section 4.7 says."""
    sub = record.subdomain_policy if record.subdomain_policy is not None else record.policy
    wishes = {"p": record.policy, "sp": sub, "np": record.missing_policy}
    words = {name: policy.word for name, policy in wishes.items() if policy is not None}
    modes = {"adkim": "s" if record.strict_dkim else "r", "aspf": "s" if record.strict_spf else "r"}
    return {"discovery_method": "treewalk"} | words | modes | ({"testing": "y"} if record.is_testing else {})


def tls_sessions(results: Sequence[TlsResult]) -> dict[str, list[TlsSessions]]:
    """Return a day's sessions by domain and policy."""
    found: dict[str, dict[tuple[str, str], TlsSessions]] = {}
    for result in results:
        if result.source not in _POLICY_TYPES:
            continue
        policies = found.setdefault(result.domain, {})
        each = policies.setdefault((result.source, result.policy), TlsSessions(result.source, result.policy))
        if result.failure:
            key = (result.failure, result.host, result.address)
            each.failures[key] = each.failures.get(key, 0) + result.sessions
        else:
            each.good += result.sessions
    return {domain: list(policies.values()) for domain, policies in found.items()}
