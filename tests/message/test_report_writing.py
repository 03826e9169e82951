"""The reports that we send: read back by our own reader, whatever strangers put into them."""

import io
import json
from email import message_from_bytes, policy

import pytest

from appliance.message.report_writing import DmarcFinding, Reporter, TlsSessions, dmarc_xml, report_message, tls_json
from appliance.message.reports import DmarcReport, TlsReport, parse_report, reports_in

REPORTER = Reporter("mx.example", "postmaster@mx.example", "mail.mx.example")
FINDING = DmarcFinding(
    "192.0.2.1", "reject", dkim_aligned=False, spf_aligned=True, header_from="a.example", envelope_from="b.example", spf_domain="b.example",
    spf_scope="mfrom", spf_result="pass", override="mailing_list", dkim=(("a.example", "s1", "fail"), ("c.example", "s2", "pass")),
)  # fmt: skip
POLICY = {"p": "reject", "sp": "none", "adkim": "r", "aspf": "s"}


def test_a_dmarc_report() -> None:
    """All of it comes back."""
    xml = dmarc_xml(REPORTER, "a.example", POLICY, [(FINDING, 3)], report_id="20000.x", day=20_000)
    report = parse_report(xml)
    assert isinstance(report, DmarcReport)
    assert ("mx.example", "20000.x", "a.example", "reject", 1_728_000_000, 1_728_086_399) == (
        report.organisation, report.report_id, report.domain, report.policy, report.begin_s, report.end_s
    )  # fmt: skip
    [row] = report.rows
    assert ("192.0.2.1", 3, "reject", "pass", "fail", "a.example", "b.example") == (
        row.address, row.count, row.disposition, row.spf, row.dkim, row.header_from, row.envelope_from
    )  # fmt: skip
    assert (("a.example fail", "c.example pass"), ("mailing_list",)) == (row.signers, row.reasons)


@pytest.mark.parametrize("text", ["</domain><x>", "a&b", '"\u0000\r\n\u2028', "\ud800", "x" * 5_000, "]]>", "<!DOCTYPE a>"])
def test_what_strangers_write(text: str) -> None:
    """No text of theirs is markup, and the report is XML all the same."""
    finding = DmarcFinding("::1", "none", True, True, text, text, text, "mfrom", "pass", dkim=((text, text, "pass"),))
    report = parse_report(dmarc_xml(REPORTER, "a.example", POLICY, [(finding, 1)], report_id="x", day=1))
    assert isinstance(report, DmarcReport)
    assert 1 == len(report.rows)


def test_a_tls_report() -> None:
    """Sessions, failures, and the policy as it was."""
    sessions = TlsSessions(
        "sts", "version: STSv1\nmode: enforce\nmx: *.a.example\n", 5, {("certificate-expired", "mx.a.example", "192.0.2.9"): 2}
    )
    data = tls_json(
        REPORTER, "a.example", [sessions, TlsSessions("no-policy-found", good=1)], report_id="r", day=20_000, bind_address="192.0.2.1"
    )
    report = parse_report(data)
    assert isinstance(report, TlsReport)
    assert ("mx.example", "2024-10-04T00:00:00Z", "2024-10-04T23:59:59Z") == (report.organisation, report.begin, report.end)
    assert [("sts", 5, 2), ("no-policy-found", 1, 0)] == [(one.kind, one.good_sessions, one.bad_sessions) for one in report.policies]
    assert [("certificate-expired", 2, "mx.a.example")] == [(one.kind, one.sessions, one.host) for one in report.policies[0].failures]
    assert ["*.a.example"] == json.loads(data)["policies"][0]["policy"]["mx-host"]


@pytest.mark.parametrize("kind", ["dmarc", "tls"])
def test_the_message(kind: str) -> None:
    """Header and attachment as the RFCs have them; our reader finds the report in it, and no line is too long."""
    if kind == "dmarc":
        report = dmarc_xml(REPORTER, "a.example", POLICY, [(FINDING, 3)] * 50, report_id="r", day=20_000)
    else:
        report = tls_json(REPORTER, "a.example", [TlsSessions("tlsa", good=1)], report_id="r", day=20_000)
    message = report_message(
        REPORTER, "a.example", ["d@a.example", "e@b.example"], report, kind=kind, report_id="r", day=20_000, now_s=1_728_100_000, token="t0"
    )
    parsed = message_from_bytes(message, policy=policy.default)
    assert "Report Domain: a.example Submitter: mx.example Report-ID: <r>" == parsed["subject"]
    assert "d@a.example, e@b.example" == parsed["to"]
    assert ("multipart/report" if kind == "tls" else "multipart/mixed") == parsed.get_content_type()
    assert ("a.example" if kind == "tls" else None) == parsed["tls-report-domain"]
    [attached] = parsed.iter_attachments() if kind == "dmarc" else [list(parsed.iter_parts())[1]]
    assert f"mx.example!a.example!1728000000!1728086399.{'json' if kind == 'tls' else 'xml'}.gz" == attached.get_filename()
    assert 1 == len(list(reports_in(io.BytesIO(message))))
    assert max(map(len, message.split(b"\r\n"))) <= 200
