"""Reports of other servers: both formats, each packing, and what a stranger could do with them."""

import gzip
import io
import json
import zipfile
from typing import Any

import pytest

from appliance.message import reports
from appliance.message.reports import DmarcReport, DmarcRow, ReportError, TlsReport, parse_report, reports_in

XML = b"""<?xml version="1.0"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>
<report_metadata><org_name>Example Org</org_name><email>d@example.org</email><report_id>42</report_id>
<date_range><begin>1700000000</begin><end>1700086400</end></date_range></report_metadata>
<policy_published><domain>Example.com</domain><p>reject</p><sp>none</sp></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>7</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>
<reason><type>forwarded</type></reason></policy_evaluated></row><identifiers><header_from>example.com</header_from></identifiers>
<auth_results><dkim><domain>Example.com</domain><selector>a</selector><result>pass</result></dkim>
<spf><domain>example.net</domain><result>fail</result></spf></auth_results></record>
<record><row><source_ip>2001:db8::1</source_ip><count>x</count></row></record></feedback>"""
TLS: Any = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "report-id": "5065427c",
    "policies": [
        {
            "policy": {"policy-type": "sts", "policy-domain": "company-y.example"},
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {"result-type": "certificate-expired", "sending-mta-ip": "2001:db8::1", "receiving-mx-hostname": "mx1", "failed-session-count": 100}
            ],
        }
    ],
}  # fmt: skip


def zipped(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.xml", content)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [XML, gzip.compress(XML), zipped(XML), b"\xef\xbb\xbf" + XML])
def test_a_dmarc_report_is_read(data: bytes) -> None:
    """Packed in either way or not at all; what is missing is empty."""
    report = parse_report(data)
    assert isinstance(report, DmarcReport)
    assert ("Example Org", "42", "example.com", "reject", 1_700_000_000) == (
        report.organisation, report.report_id, report.domain, report.policy, report.begin_s
    )  # fmt: skip
    expected = DmarcRow("192.0.2.1", 7, "none", "fail", "pass", "example.com", "", ("example.com pass",), ("forwarded",))
    assert (expected, DmarcRow("2001:db8::1", 0, "", "", "", "")) == report.rows


def test_a_tls_report_is_read() -> None:
    """The example of RFC 8460 appendix B, shortened."""
    report = parse_report(gzip.compress(json.dumps(TLS).encode()))
    assert isinstance(report, TlsReport)
    (policy,) = report.policies
    assert ("sts", "company-y.example", 5_326, 303) == (policy.kind, policy.domain, policy.good_sessions, policy.bad_sessions)
    assert ("certificate-expired", 100, "mx1") == (policy.failures[0].kind, policy.failures[0].sessions, policy.failures[0].host)


def test_reports_are_found_in_messages() -> None:
    """As attachments, whatever stands beside them."""
    import base64

    message = (
        b"Subject: Report Domain: example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n"
        b"--b\r\nContent-Type: application/gzip; name=r.xml.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(gzip.compress(XML)).replace(b"\n", b"\r\n") + b"--b--\r\n"
    )  # fmt: skip
    assert ["42"] == [report.report_id for report in reports_in(io.BytesIO(message))]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is no XML"),
        (b"<a/>", "it is no DMARC report"),
        (b"<a>" * 20, "nested too deeply"),
        (b'<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>', "declares a document type"),
        (b"{", "it is no JSON"),
        (b"{}", "it is no TLS report"),
        (b'{"a":' * 100_000, "it is no JSON"),
        (b"\x1f\x8bx", "cannot be unpacked"),
        (b"PK\x03\x04", "cannot be unpacked"),
        (zipped(XML, XML), "one file"),
        (gzip.compress(b"\0" * (reports.MAX_UNPACKED + 1)), "unpacks to more"),
        (zipped(b"\0" * (reports.MAX_UNPACKED + 1)), "unpacks to more"),
        (b"x" * (reports.MAX_PACKED + 1), "larger than any"),
    ],
    ids=range(13),
)
def test_what_is_no_report_is_told(data: bytes, reason: str) -> None:
    """Bombs, entities and nonsense."""
    with pytest.raises(ReportError, match=reason):
        parse_report(data)


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is far above what anybody sends."""
    monkeypatch.setattr(reports, "MAX_ROWS", 1)
    with pytest.raises(ReportError, match="too many rows"):
        parse_report(XML)


@pytest.mark.parametrize("odd", [{"policies": [1, {}]}, {"policies": [{"policy": [], "summary": {"total-failure-session-count": True}}]}])
def test_odd_tls_reports_are_read_as_far_as_they_go(odd: dict[str, Any]) -> None:
    """Values of another kind are as good as missing."""
    report = parse_report(json.dumps(odd).encode())
    assert isinstance(report, TlsReport)
    assert [0] == [policy.bad_sessions for policy in report.policies]
