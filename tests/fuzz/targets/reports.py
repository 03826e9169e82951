"""DMARC and TLS reports of strangers."""

import gzip
import random

from appliance.message.reports import DmarcReport, ReportError, parse_report
from tests.fuzz.engine import Target
from tests.message.test_reports import TLS, XML

__all__ = ["TARGETS"]


def _check(data: bytes, rnd: random.Random) -> object:
    try:
        report = parse_report(gzip.compress(data, 1) if rnd.random() < 0.2 else data)
    except ReportError as error:
        return str(error)[:24]
    if isinstance(report, DmarcReport):
        assert all(row.count >= 0 for row in report.rows)
        return len(report.rows), report.policy, report.rows[0].signers if report.rows else ()
    return len(report.policies), report.policies[0].kind if report.policies else ""


_WORDS = [b"<record>", b"</record>", b"<row>", b"</row>", b"<count>1</count>", b"<feedback>", b"</feedback>", b"<domain>a</domain>", b"<policy_published>",
          b"</policy_published>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"&amp;", b"&#x0;", b"<?xml", b"<!DOCTYPE a>", b"{", b"}", b"[", b"]", b'"policies":', b"null",
          b"1e400", b"PK\x03\x04", b"\x1f\x8b\x08", b"\xff\xfe", b"\xef\xbb\xbf"]  # fmt: skip

TARGETS = [
    Target("reports", _check, [XML, repr(TLS).replace("'", '"').encode()], _WORDS, [(b"<feedback>", b"<record></record>", b"</feedback>"), (b"<a>", b"x", b"</a>"), (b"<a>", b"<b/>", b"</a>"), (b"", b"<a>", b""), (b'{"policies":[', b"{},", b"{}]}"), (b"", b"[", b"")]),
]  # fmt: skip
