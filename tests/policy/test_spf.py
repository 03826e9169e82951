"""SPF, by the whole suite for RFC 7208 in process, and what the suite does not ask."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.spf import SpfRequest, SpfResult, SpfVerdict, check_spf
from tests.vectors.zone import Zone

SUITE = json.loads((Path(__file__).parents[1] / "vectors" / "spf" / "rfc7208.json").read_text())
CASES = [
    pytest.param(scenario["zonedata"], case, id=f"{number}-{name}")
    for number, scenario in enumerate(SUITE)
    for name, case in scenario["tests"].items()
]


def judge(zone: Zone, **fields: Any) -> SpfVerdict:
    return answer_with(zone, check_spf(SpfRequest(**fields)))


def test_the_suite_is_whole() -> None:
    """No case is lost on the way here."""
    assert 203 == len(CASES)


@pytest.mark.parametrize(("records", "case"), CASES)
def test_the_suite_of_rfc_7208(records: Any, case: Any) -> None:
    """One of the 203 cases; DEFAULT is the explanation of whoever asks, so none of the domain's."""
    verdict = judge(Zone(records), client_address=case["host"], helo=case["helo"], reverse_path=case["mailfrom"])
    expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert verdict.result.value in expected
    if "explanation" in case:
        assert case["explanation"].replace("DEFAULT", "") == verdict.explanation


RECORDS = {
    "example.com": [{"TXT": "v=spf1 ip4:192.0.2.0/24 a:host.example.com -all"}],
    "host.example.com": [{"A": "198.51.100.7"}],
    "local.example.com": [{"TXT": "v=spf1 exists:%{l}.example.com ?all"}],
    "long.example.com": [{"TXT": "v=spf1" + " ip4:192.0.2.1" * 501}],
    "client.example.com": [{"TXT": "v=spf1 exists:%{ir}.%{v}.example.com -all"}],
    "1.2.0.192.in-addr.example.com": [{"A": "127.0.0.2"}],
}


@pytest.mark.parametrize(
    ("client", "reverse_path", "expected", "mechanism"),
    [
        ("192.0.2.9", "a@example.com", SpfResult.PASS, "ip4:192.0.2.0/24"),
        ("::ffff:192.0.2.9", "a@example.com", SpfResult.PASS, "ip4:192.0.2.0/24"),
        ("198.51.100.7", "a@EXAMPLE.com.", SpfResult.PASS, "a:host.example.com"),
        ("203.0.113.1", "a@example.com", SpfResult.FAIL, "-all"),
        ("203.0.113.1", "a@[192.0.2.1]", SpfResult.NONE, ""),
        ("unix", "a@example.com", SpfResult.NONE, ""),
        ("192.0.2.1", "é@local.example.com", SpfResult.NEUTRAL, "?all"),
        ("192.0.2.1", "a@long.example.com", SpfResult.PERMERROR, ""),
        ("192.0.2.1", "a@client.example.com", SpfResult.PASS, "exists:%{ir}.%{v}.example.com"),
        ("192.0.2.1", "", SpfResult.NONE, ""),
    ],
)
def test_verdicts_name_what_decided(client: str, reverse_path: str, expected: SpfResult, mechanism: str) -> None:
    """The term for Received-SPF and the log; a local part that is not ASCII matches no macro (RFC 8616)."""
    verdict = judge(Zone(RECORDS), client_address=client, helo="helo", reverse_path=reverse_path)
    assert (expected, mechanism) == (verdict.result, verdict.mechanism)


def test_the_null_reverse_path_is_judged_by_its_helo() -> None:
    """RFC 7208 section 2.4."""
    request = SpfRequest("192.0.2.1", "example.com", "")
    assert ("helo", "postmaster@example.com") == (request.identity, request.sender)
    assert SpfResult.PASS is answer_with(Zone(RECORDS), check_spf(request)).result


def test_no_record_makes_us_ask_without_end() -> None:
    """The most questions that one message can cause are few, whatever the records."""
    asked = []

    def hostile(question: DnsQuestion) -> DnsAnswer:
        asked.append(question)
        text = "v=spf1 " + "mx:a.example ptr " * 10 + "include:b.example"
        records = {"TXT": (text,), "MX": tuple(f"m{number}.example" for number in range(10)), "PTR": tuple(map(str, range(99)))}
        return DnsAnswer(DnsStatus.FOUND, records.get(question.kind, ("203.0.113.5",)))

    verdict = answer_with(hostile, check_spf(SpfRequest("192.0.2.1", "h.example", "a@b.example")))
    assert SpfResult.PERMERROR is verdict.result
    assert len(asked) <= 1 + 10 * 11
