"""Who gets reports: only who asks for them, and may."""

from collections.abc import Mapping

import pytest

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.report_targets import MAX_SIZE, ReportTarget, dmarc_targets, rua_addresses, tls_targets

ZONE: Mapping[str, tuple[str, ...]] = {
    "a.example._report._dmarc.reports.example": ("v=DMARC1",),
    "a.example._report._dmarc.other.example": ("v=spf1 -all",),
    "_smtp._tls.a.example": ("v=TLSRPTv1; rua=mailto:tls@anywhere.example,https://a.example/tls",),
    "_smtp._tls.two.example": ("v=TLSRPTv1; rua=mailto:x@two.example", "v=TLSRPTv1; rua=mailto:y@two.example"),
    "_smtp._tls.odd.example": (
        "v=TLSRPTv1;rua=https://a:b@odd.example/,HTTPS://odd.example:8443,http://odd.example/,https://[::1]/, https://x.example/ x",
    ),
    "_smtp._tls.web.example": ("v=TLSRPTv1;rua=https://web.example/tls", "something else"),
}


def look_up(question: DnsQuestion) -> DnsAnswer:
    if "late" in question.name:
        return DnsAnswer(DnsStatus.FAILED)
    found = ZONE.get(question.name)
    return DnsAnswer(DnsStatus.FOUND, found) if found else DnsAnswer(DnsStatus.MISSING)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("v=DMARC1; p=none; rua=mailto:d@a.example", [ReportTarget("d@a.example")]),
        ("v=DMARC1; RUA = MAILTO:d@a.example!10m , mailto:e@a.example!5", [ReportTarget("d@a.example", 10 * 2**20), ReportTarget("e@a.example", 5)]),
        ("v=DMARC1; rua=mailto:d@a.example!999999t", [ReportTarget("d@a.example", MAX_SIZE)]),
        ("v=DMARC1; rua=mailto:d@a.example,mailto:D@A.example", [ReportTarget("d@a.example")]),
        ("v=DMARC1; rua=https://a.example/,mailto:d@a.example?subject=x,mailto:a%0d@a.example,d@a.example", []),
        ("v=DMARC1; ruf=mailto:d@a.example", []),
        ("v=DMARC1; rua=" + ",".join(f"mailto:d{n}@a.example" for n in range(30)), [ReportTarget(f"d{n}@a.example") for n in range(10)]),
    ],
)  # fmt: skip
def test_addresses(record: str, expected: list[ReportTarget]) -> None:
    """Mail addresses alone, a few of them, with the sizes of old records."""
    assert expected == list(rua_addresses(record))


@pytest.mark.parametrize(
    ("address", "is_told"),
    [
        ("d@a.example", True),
        ("d@sub.a.example", True),
        ("d@reports.example", True),
        ("d@other.example", False),
        ("d@victim.example", False),
        ("d@late.example", False),
        ("d@nota.example", False),
    ],
)
def test_others_must_want_them(address: str, is_told: bool) -> None:
    """Nobody can have reports sent to somebody who has not asked for them."""
    found = answer_with(look_up, dmarc_targets("a.example", f"v=DMARC1; p=none; rua=mailto:{address}"))
    assert ([ReportTarget(address)] if is_told else []) == list(found)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("a.example", ["tls@anywhere.example", "https://a.example/tls"]),
        ("two.example", []),
        ("web.example", ["https://web.example/tls"]),
        ("odd.example", ["https://odd.example:8443"]),
        ("late.example", []),
    ],
)
def test_tls_reports(domain: str, expected: list[str]) -> None:
    """One record, its mail addresses and its https: ones, which carry no login and nothing odd."""
    assert expected == [target.address for target in answer_with(look_up, tls_targets(domain))]
