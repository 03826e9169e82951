"""What strangers put into our reports: records that ask for them, and the names and results in their mail."""

import random

from appliance.message.report_writing import DmarcFinding, Reporter, TlsSessions, dmarc_xml, report_message, tls_json
from appliance.message.reports import DmarcReport, TlsReport, parse_report
from appliance.policy.report_targets import MAX_SIZE, MAX_TARGETS, rua_addresses
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

_REPORTER = Reporter("mx.example", "postmaster@mx.example", "mail.mx.example")


def _check_rua(data: bytes, _rnd: random.Random) -> object:
    targets = rua_addresses(data.decode("latin-1"))
    assert len(targets) <= MAX_TARGETS
    for target in targets:
        assert 0 <= target.max_bytes <= MAX_SIZE
        assert not set(target.address) & set(" \t\r\n<>,") - set("<>")
        assert target.address.count("@") >= 1
    return len(targets)


def _check_writing(data: bytes, _rnd: random.Random) -> object:
    texts = [piece.decode("utf-8", "surrogateescape") for piece in data.split(b"\n")[:8]] + [""] * 8
    finding = DmarcFinding(
        texts[0], "none", True, False, texts[1], texts[2], texts[3], "mfrom", "pass", texts[4], ((texts[5], texts[6], "pass"),)
    )
    report = parse_report(dmarc_xml(_REPORTER, "a.example", {"p": "none"}, [(finding, 2)], report_id="r", day=1))
    assert isinstance(report, DmarcReport)
    assert [2] == [row.count for row in report.rows]
    sessions = TlsSessions("sts", "\n".join(texts), 1, {(texts[0], texts[1], texts[2]): 3})
    told = parse_report(tls_json(_REPORTER, "a.example", [sessions], report_id="r", day=1))
    assert isinstance(told, TlsReport)
    assert [(1, 3)] == [(one.good_sessions, one.bad_sessions) for one in told.policies]
    message = report_message(_REPORTER, "a.example", ["d@a.example"], b"x", kind="tls", report_id="r", day=1, now_s=1.0, token="t")
    assert message.isascii()
    return bool(report.rows[0].header_from)


_RUA = [b"v=DMARC1; p=none; rua=mailto:d@a.example!10m,mailto:e@b.example", b"v=TLSRPTv1; rua=https://a.example/x,mailto:t@a.example"]
_WORDS = [b"rua=", b"mailto:", b"!1k", b"!9999t", b"@", b",", b";", b"%0d%0a", b" ", b"\0"]
_MARKUP = [b"<", b">", b"&", b"]]>", b"<!--", b"\0", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\n", b"\\", b'"']

TARGETS = [
    Target(
        "rua_addresses",
        _check_rua,
        _RUA,
        _WORDS,
        [(b"v=DMARC1;rua=", b"mailto:a@b.example,", b""), (b"rua=mailto:", b"a", b"@b"), (b"", b" rua", b"=")],
    ),
    Target(
        "report_writing",
        _check_writing,
        [b"192.0.2.1\na.example\nb.example\nc.example\n\nd.example\ns1"],
        _MARKUP,
        [(b"", b"&", b""), (b"", b"a\n", b"")],
    ),
]
