"""The daily reports of other servers: about mail in our name (DMARC), and about TLS towards us (TLSRPT).

Owns finding them in a message, unpacking them, and reading both formats into values. Everything comes
from strangers: what is unpacked, how deep and how many are all limited, and a document type
declaration, which could name entities, ends the reading.

Fails: ``ReportError`` with what is wrong.
Does not: believe a word of it.

Sources: RFC 9990 (its XML, and that of RFC 7489 appendix C), RFC 8460 section 4.4 (JSON), RFC 1952 (gzip).
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from xml.parsers import expat

from appliance.message.decode import decoded_body, leaf_parts
from appliance.message.mime import scan_stream

__all__ = [
    "DmarcReport",
    "DmarcRow",
    "ReportError",
    "TlsFailure",
    "TlsPolicyReport",
    "TlsReport",
    "attached",
    "parse_report",
    "reports_in",
    "unpacked",
]

MAX_PACKED: Final = 10 * 1_048_576
MAX_UNPACKED: Final = 50 * 1_048_576
MAX_ROWS: Final = 20_000
MAX_DEPTH: Final = 12
MAX_TEXT: Final = 1_000
MAX_ATTACHMENTS: Final = 20
_TYPES: Final = frozenset(
    {
        b"application/gzip", b"application/x-gzip", b"application/zip", b"application/x-zip-compressed", b"application/octet-stream",
        b"application/xml", b"text/xml", b"application/tlsrpt+gzip", b"application/tlsrpt+json", b"application/json",
    }
)  # fmt: skip


class ReportError(ValueError):
    """It is no report that can be read."""


@dataclass(frozen=True, slots=True)
class DmarcRow:
    """Messages of one address with one outcome. ``spf`` and ``dkim``: whether they vouch for From; ``signers``: domains with results."""

    address: str
    count: int
    disposition: str
    spf: str
    dkim: str
    header_from: str
    envelope_from: str = ""
    signers: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DmarcReport:
    """Times in seconds since the epoch."""

    organisation: str
    report_id: str
    domain: str
    policy: str
    begin_s: int
    end_s: int
    rows: tuple[DmarcRow, ...]


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """``kind``: a result type of RFC 8460 section 4.3."""

    kind: str
    sessions: int
    host: str = ""
    address: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TlsPolicyReport:
    kind: str
    domain: str
    good_sessions: int
    bad_sessions: int
    failures: tuple[TlsFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsReport:
    """Dates as they stand."""

    organisation: str
    report_id: str
    begin: str
    end: str
    policies: tuple[TlsPolicyReport, ...]


def reports_in(stream: BinaryIO) -> Iterator[DmarcReport | TlsReport]:
    """Yield the reports attached to a message. Blocks: as ``stream.read`` does. Raises ReportError for a broken one."""
    for data in attached(stream):
        yield parse_report(data)


def attached(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what may be reports in a message, packed as they came. Blocks: as ``stream.read`` does. Raises ReportError for a large one."""
    looked = 0
    for part in leaf_parts(scan_stream(stream)):
        if b"/".join((part.type, part.subtype)) in _TYPES and looked < MAX_ATTACHMENTS:
            looked += 1
            yield _limited(decoded_body(stream, part), MAX_PACKED)


def _limited(chunks: Iterator[bytes], limit: int) -> bytes:
    pieces, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise ReportError("the report is larger than any")
        pieces.append(chunk)
    return b"".join(pieces)


def parse_report(data: bytes) -> DmarcReport | TlsReport:
    """Return a report, packed or not. Raises ReportError."""
    data = unpacked(data)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _parse_tls(data)
    return _parse_dmarc(data)


def unpacked(data: bytes, limit: int = MAX_UNPACKED) -> bytes:
    """Return the text of a report, of at most ``limit`` octets. Raises ReportError."""
    if len(data) > MAX_PACKED:
        raise ReportError("the report is larger than any")
    if data.startswith(b"\x1f\x8b"):
        return _gunzip(data, limit)
    if data.startswith(b"PK"):
        return _unzip(data, limit)
    return _fitting(data, limit)


def _fitting(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise ReportError("it unpacks to more than any report is")
    return data


def _gunzip(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise ReportError(f"it cannot be unpacked: {error}") from error
    _fitting(text, limit)
    if not unpacker.eof:
        raise ReportError("it cannot be unpacked: it ends too early")
    return text


def _unzip(data: bytes, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.infolist()
            text = b""
            if len(names) == 1:
                with archive.open(names[0]) as file:
                    text = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ReportError(f"it cannot be unpacked: {error}") from error
    if len(names) != 1:
        raise ReportError("the archive must hold one file")
    return _fitting(text, limit)


# DMARC


class _XmlReader:
    """Takes the report's texts by their path, a row at a time."""

    def __init__(self) -> None:
        self.rows: list[DmarcRow] = []
        self.head: dict[str, str] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self._size = 0
        self._row: dict[str, list[str]] = {}
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._take
        self._parser.StartDoctypeDeclHandler = self._refuse

    def read(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise ReportError(f"it is no XML: {error}") from error

    def _refuse(self, *_arguments: object) -> None:
        raise ReportError("it declares a document type")

    def _start(self, name: str, _attributes: object) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise ReportError("it is nested too deeply")
        self._path.append(name.rpartition(":")[2][:40])
        self._text, self._size = [], 0

    def _take(self, text: str) -> None:
        if self._size < MAX_TEXT:
            self._text.append(text)
            self._size += len(text)

    def _end(self, _name: str) -> None:
        path = "/".join(self._path[1:])
        text = "".join(self._text)[:MAX_TEXT].strip()
        self._text = []
        self._path.pop()
        if path == "record":
            if len(self.rows) >= MAX_ROWS:
                raise ReportError("it has too many rows")
            self.rows.append(_row(self._row))
            self._row = {}
        elif path.startswith("record/"):
            found = self._row.setdefault(path[7:], [])
            if len(found) < MAX_ATTACHMENTS:
                found.append(text)
        else:
            self.head.setdefault(path, text)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _row(texts: Mapping[str, list[str]]) -> DmarcRow:
    def first(name: str) -> str:
        return texts.get(name, [""])[0]

    domains, outcomes = texts.get("auth_results/dkim/domain", []), texts.get("auth_results/dkim/result", [])
    return DmarcRow(
        address=first("row/source_ip")[:64],
        count=_number(first("row/count")),
        disposition=first("row/policy_evaluated/disposition")[:20].lower(),
        spf=first("row/policy_evaluated/spf")[:20].lower(),
        dkim=first("row/policy_evaluated/dkim")[:20].lower(),
        header_from=first("identifiers/header_from")[:255].lower(),
        envelope_from=first("identifiers/envelope_from")[:255].lower(),
        signers=tuple(f"{domain[:255].lower()} {outcome[:20].lower()}" for domain, outcome in zip(domains, outcomes, strict=False)),
        reasons=tuple(reason[:40] for reason in texts.get("row/policy_evaluated/reason/type", [])),
    )


def _parse_dmarc(data: bytes) -> DmarcReport:
    reader = _XmlReader()
    reader.read(data)
    head = reader.head
    domain = head.get("policy_published/domain", "")
    if not domain:
        raise ReportError("it is no DMARC report")
    return DmarcReport(
        organisation=head.get("report_metadata/org_name", ""),
        report_id=head.get("report_metadata/report_id", ""),
        domain=domain[:255].lower(),
        policy=head.get("policy_published/p", "")[:20].lower(),
        begin_s=_number(head.get("report_metadata/date_range/begin", "")),
        end_s=_number(head.get("report_metadata/date_range/end", "")),
        rows=tuple(reader.rows),
    )


# TLSRPT


def _parse_tls(data: bytes) -> TlsReport:
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ReportError("it is no JSON") from error
    policies = _list(found, "policies") if isinstance(found, dict) else []
    if not policies:
        raise ReportError("it is no TLS report")
    dates = _object(found, "date-range")
    return TlsReport(
        organisation=_text(found, "organization-name"),
        report_id=_text(found, "report-id"),
        begin=_text(dates, "start-datetime")[:40],
        end=_text(dates, "end-datetime")[:40],
        policies=tuple(_tls_policy(each) for each in policies[:MAX_ROWS] if isinstance(each, dict)),
    )


def _tls_policy(found: Mapping[str, Any]) -> TlsPolicyReport:
    policy, summary = _object(found, "policy"), _object(found, "summary")
    failures = [
        TlsFailure(
            kind=_text(each, "result-type")[:60],
            sessions=_count(each, "failed-session-count"),
            host=_text(each, "receiving-mx-hostname")[:255],
            address=_text(each, "sending-mta-ip")[:64],
            detail=_text(each, "failure-reason-code") or _text(each, "additional-information"),
        )
        for each in _list(found, "failure-details")[:MAX_ROWS]
        if isinstance(each, dict)
    ]
    return TlsPolicyReport(
        _text(policy, "policy-type")[:40],
        _text(policy, "policy-domain")[:255].lower(),
        _count(summary, "total-successful-session-count"),
        _count(summary, "total-failure-session-count"),
        tuple(failures),
    )


def _object(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else 0
