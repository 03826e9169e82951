"""DMARC and TLS reports of strangers."""

import base64
import gzip
import io
import random
import zipfile

from appliance.message.reports import DmarcReport, ReportError, attached, parse_report
from appliance.services.reporting.receiving import is_report
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


def _check_arriving(data: bytes, rnd: random.Random) -> object:
    """A whole message, and the input as one packed attachment: whatever it is, looking at it ends with yes, no or ReportError."""
    seen: list[object] = []
    pieces = [data, gzip.compress(data, 1)[: rnd.choice([None, -1, -9])]]
    try:
        pieces.extend(attached(io.BytesIO(data)))
    except ReportError as error:
        seen.append(str(error)[:24])
    for piece in pieces:
        try:
            seen.append(is_report(piece))
        except ReportError as error:
            seen.append(str(error)[:24])
    return tuple(seen)


def _zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("a.xml"), data)
    return packed.getvalue()


_ATTACHMENT = b"--b\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n%b\r\n"
_MESSAGE = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n%b--b--\r\n"
_ARRIVING = [
    _MESSAGE % (_ATTACHMENT % base64.encodebytes(gzip.compress(XML, mtime=0)).rstrip()),
    _MESSAGE % (_ATTACHMENT % base64.encodebytes(_zipped(XML)).rstrip()),
    _zipped(XML),
]
_PIECES = [_ATTACHMENT % b"", b"--b\r\n", b"--b--\r\n", b"Content-Type: application/zip\r\n", b"\r\n\r\n", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06",
           b"\x1f\x8b\x08", b"H4sI", b"UEsD", b"=", b"<feedback>", b'"policies"']  # fmt: skip

_WORDS = [b"<record>", b"</record>", b"<row>", b"</row>", b"<count>1</count>", b"<feedback>", b"</feedback>", b"<domain>a</domain>", b"<policy_published>",
          b"</policy_published>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"&amp;", b"&#x0;", b"<?xml", b"<!DOCTYPE a>", b"{", b"}", b"[", b"]", b'"policies":', b"null",
          b"1e400", b"PK\x03\x04", b"\x1f\x8b\x08", b"\xff\xfe", b"\xef\xbb\xbf"]  # fmt: skip

TARGETS = [
    Target("reports", _check, [XML, repr(TLS).replace("'", '"').encode()], _WORDS, [(b"<feedback>", b"<record></record>", b"</feedback>"), (b"<a>", b"x", b"</a>"), (b"<a>", b"<b/>", b"</a>"), (b"", b"<a>", b""), (b'{"policies":[', b"{},", b"{}]}"), (b"", b"[", b"")]),
    Target("arriving_reports", _check_arriving, _ARRIVING, _PIECES, [(_MESSAGE[:70], _ATTACHMENT % b"UEsD", b"--b--\r\n"), (_MESSAGE[:70] + _ATTACHMENT[:80], b"H4sI\r\n", b"--b--\r\n"), (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"), (b"PK", b"x", b"")]),
]  # fmt: skip
