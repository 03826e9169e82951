"""Verdicts and sessions, gathered for reports."""

import pytest

from appliance.policy.arc import ArcResult, ArcVerdict
from appliance.policy.dmarc import DmarcResult, DmarcVerdict
from appliance.policy.dmarc_record import DmarcPolicy, parse_dmarc
from appliance.policy.judgement import Decision, Fate, Verdicts
from appliance.policy.spf import SpfRequest, SpfResult, SpfVerdict
from appliance.services.reporting.findings import finding_of, published, tls_sessions
from appliance.storage.tls_state import TlsResult


def verdicts(record: str, result: DmarcResult, policy: DmarcPolicy, override: str = "") -> Verdicts:
    dmarc = DmarcVerdict(result, "a.example", policy, "a.example", parse_dmarc(record + "; rua=mailto:d@a.example"))
    request = SpfRequest("192.0.2.1", "helo.example", "", "mx.example", 0.0)
    return Verdicts(request, SpfVerdict(SpfResult.NONE), (), ArcVerdict(ArcResult.NONE), dmarc, override)


@pytest.mark.parametrize(
    ("record", "result", "policy", "override", "fate", "expected"),
    [
        ("p=reject", DmarcResult.PASS, DmarcPolicy.REJECT, "", Fate.TAKEN, ("pass", "")),
        ("p=none", DmarcResult.PASS, DmarcPolicy.NONE, "", Fate.TAKEN, ("none", "")),
        ("p=none", DmarcResult.FAIL, DmarcPolicy.NONE, "", Fate.TAKEN, ("none", "")),
        ("p=reject", DmarcResult.FAIL, DmarcPolicy.REJECT, "", Fate.REFUSED, ("reject", "")),
        ("p=reject", DmarcResult.FAIL, DmarcPolicy.REJECT, "mailing_list", Fate.TAKEN, ("none", "mailing_list")),
        ("p=reject", DmarcResult.FAIL, DmarcPolicy.REJECT, "", Fate.TAKEN, ("none", "local_policy")),
        ("p=reject; t=y", DmarcResult.FAIL, DmarcPolicy.QUARANTINE, "", Fate.JUNK, ("quarantine", "policy_test_mode")),
    ],
)
def test_what_became_of_a_message(
    record: str, result: DmarcResult, policy: DmarcPolicy, override: str, fate: Fate, expected: tuple[str, str]
) -> None:
    """In the words of the report, with the reason where it is not what the domain wishes."""
    finding = finding_of(verdicts(f"v=DMARC1; {record}", result, policy, override), Decision(fate))
    assert finding is not None
    assert expected == (finding.disposition, finding.override)


def test_what_a_domain_has_published() -> None:
    """The policy for subdomains is always told, that of the domain where it has none of its own."""
    record = parse_dmarc("v=DMARC1; p=reject; np=quarantine; aspf=s; t=y")
    assert record is not None
    assert {
        "discovery_method": "treewalk", "p": "reject", "sp": "reject", "np": "quarantine", "adkim": "r", "aspf": "s", "testing": "y"
    } == published(record)  # fmt: skip


def test_sessions_by_domain_and_policy() -> None:
    """Good ones are summed, failures told by host; what the settings demanded is nobody's policy."""
    results = [
        TlsResult(1, "a.example", "sts", "p", "mx1", "192.0.2.1", "", 3),
        TlsResult(1, "a.example", "sts", "p", "mx2", "192.0.2.2", "", 4),
        TlsResult(1, "a.example", "sts", "p", "mx2", "192.0.2.2", "certificate-expired", 2),
        TlsResult(1, "a.example", "tlsa", "", "mx1", "192.0.2.1", "", 1),
        TlsResult(1, "b.example", "settings", "", "mx", "192.0.2.3", "", 1),
    ]
    found = tls_sessions(results)
    assert ["a.example"] == list(found)
    assert [("sts", 7, {("certificate-expired", "mx2", "192.0.2.2"): 2}), ("tlsa", 1, {})] == [
        (each.kind, each.good, each.failures) for each in found["a.example"]
    ]
