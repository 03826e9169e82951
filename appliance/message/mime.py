r"""The structure scanner: from a message's bytes, in any chunks, to its tree of parts.

Owns where each part's header and body lie. Bodies are never kept and never looked
at line by line: delimiters are found with ``bytes.find``, lines counted with
``bytes.count``. The input has CRLF line ends; the CRLF before a delimiter
belongs to the delimiter (RFC 2046 section 5.1.1). Memory is bounded by the
limits, whatever arrives; time is linear in it.

Tolerated: no closing delimiter; a parent's delimiter ends its children; the
longest open boundary that starts a delimiter line wins, the innermost of
equals; a delimiter inside a header ends that part; lines behind a boundary's
closing delimiter are epilogue even if they look like another part; beyond
``max_parts`` or the memory for headers no delimiter is seen any more; beyond
``max_depth`` a multipart or message is an opaque leaf.

Fails: never.

Sources: RFC 2046 section 5.1, RFC 2045 section 5.2 and 6.4, Dovecot's message-parser.c.
"""

from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from appliance.message.envelope import COMBINED_FIELDS, ENVELOPE_FIELDS, envelope_of_values
from appliance.message.header import first_values
from appliance.message.parameter import parse_encoding, parse_media_type
from appliance.message.part import Part
from appliance.message.structure import render_body, render_body_structure

__all__ = ["RenderedSummary", "StructureScanner", "render_summary", "scan", "scan_stream", "summarise", "summarise_stream"]

MIB = 1_048_576
CHUNK_SIZE = 262_144
MAX_BOUNDARY = 200  # RFC 2046 allows 70; what is longer is compared by its first 200 octets
MAX_KEPT = 4 * MIB  # of header values, over all parts
MAX_FIELD = 16_384  # of one Content-* value that is kept
_TAIL = MAX_BOUNDARY + 8  # room for a whole "CRLF -- boundary -- CRLF"

_CONTENT_FIELDS = frozenset(
    {
        b"content-type",
        b"content-transfer-encoding",
        b"content-id",
        b"content-description",
        b"content-md5",
        b"content-disposition",
        b"content-language",
        b"content-location",
    }
)
_MESSAGE_FIELDS = _CONTENT_FIELDS | ENVELOPE_FIELDS
_IDENTITY: Final = frozenset({b"7bit", b"8bit", b"binary"})


class RenderedSummary(NamedTuple):
    """What the index keeps of a message; ``body_structure`` with, ``body`` without extension data."""

    envelope: bytes
    body: bytes
    body_structure: bytes


@dataclass(slots=True)
class _Open:
    """A part whose end was not seen. ``boundary`` is set while a multipart's delimiters count."""

    part: Part
    lines_before: int = 0
    is_message: bool = False
    boundary: bytes = b""
    children_are_messages: bool = field(default=False)


class StructureScanner:
    """Feed chunks, then call ``finish``; the tree does not depend on how the input was cut.

    The buffer starts with a line end that the message does not have, so that a
    delimiter or an empty line is found at its very beginning as everywhere else.
    """

    def __init__(self, *, max_depth: int = 100, max_parts: int = 10_000, max_header: int = MIB) -> None:
        self._max_depth = max_depth
        self._max_parts = max_parts
        self._max_header = max_header
        self._buffer = b"\r\n"
        self._base = -2  # message offset of the buffer's first octet
        self._position = 0  # where in the buffer the search goes on
        self._counted = 0  # message offset up to which line ends were counted
        self._lines = 0
        self._parts = 0
        self._kept = 0
        self._header: list[bytes] = []
        self._header_size = 0
        self._header_start = 0  # buffer index where header octets not yet in ``_header`` start
        self._open: list[_Open] = []
        self._delimiters: tuple[bytes, ...] = ()
        self._needle = b"\r\n--"
        self._step = self._in_header
        self._root = self._begin(0, is_message=True)

    def feed(self, chunk: bytes) -> None:
        """Take the next octets."""
        self._buffer = self._buffer + chunk if self._buffer else chunk
        self._run(final=False)

    def finish(self) -> Part:
        """Return the part that is the message; call once, after the last ``feed``."""
        self._run(final=True)
        end = self._base + len(self._buffer)
        self._cut_header(end)
        self._close(0, end)
        return self._root

    def _run(self, *, final: bool) -> None:
        while self._step(final=final):
            pass

    # Each step returns True when it changed the state and another step can go on in the same buffer.

    def _in_header(self, *, final: bool) -> bool:
        """Look for the empty line, or a delimiter that comes first."""
        empty = self._buffer.find(b"\r\n\r\n", self._position)
        limit = empty + 2 if empty >= 0 else len(self._buffer)
        at = self._find_delimiter(limit)
        if at >= 0 and (empty < 0 or at < empty):
            if not final and len(self._buffer) - at < _TAIL:
                self._keep_header(at)
                self._drop(at)
                return False
            end = max(at + 2, self._header_start)
            self._keep_header(end)
            self._cut_header(self._base + end)
            return self._take_delimiter(at)
        if empty >= 0:
            end = empty + 4
            self._keep_header(end)
            self._position = empty + 2
            self._end_header(self._base + end)
            return True
        if not final:
            self._keep_header(max(self._position, len(self._buffer) - _TAIL))
            self._drop(max(self._position, len(self._buffer) - _TAIL))
        else:
            self._keep_header(len(self._buffer))
        return False

    def _in_body(self, *, final: bool) -> bool:
        """Look for the next delimiter of any open boundary."""
        if not self._delimiters:
            self._drop(len(self._buffer))
            return False
        at = self._find_delimiter(len(self._buffer))
        if at >= 0 and (final or len(self._buffer) - at >= _TAIL):
            return self._take_delimiter(at)
        if not final:
            self._drop(at if at >= 0 else max(self._position, len(self._buffer) - _TAIL))
        return False

    def _in_delimiter_line(self, *, final: bool) -> bool:
        """Skip what stands behind a boundary; the next part's header starts on the next line."""
        end = self._buffer.find(b"\n", self._position)
        if end < 0:
            if not final:
                self._drop(max(self._position, len(self._buffer) - 1))
            return False
        self._position = max(end - 1, 0)
        self._header_start = end + 1
        parent = self._open[-1]
        part = self._begin(self._base + end + 1, is_message=False)
        parent.part.children.append(part)
        return True

    def _find_delimiter(self, limit: int) -> int:
        delimiters = self._delimiters
        if not delimiters:
            return -1
        buffer = self._buffer
        at = buffer.find(self._needle, self._position, limit)
        while at >= 0 and not buffer.startswith(delimiters, at):
            at = buffer.find(self._needle, at + 2, limit)
        return at

    def _take_delimiter(self, at: int) -> bool:
        """End what a delimiter ends; ``at`` is where its CRLF stands."""
        level = self._owner(at)
        owner = self._open[level]
        after = at + 4 + len(owner.boundary)
        self._close(level + 1, self._base + at)
        self._position = after
        if self._buffer[after : after + 2] == b"--":
            owner.boundary = b""
            self._find_open_boundaries()
            self._step = self._in_body
        elif self._parts >= self._max_parts or self._kept > MAX_KEPT:
            self._stop_at_limit()
        else:
            self._step = self._in_delimiter_line
        return True

    def _owner(self, at: int) -> int:
        """Return the level whose boundary the delimiter line at ``at`` starts with: the longest, innermost of equals."""
        best = -1
        length = 0
        for level in range(len(self._open) - 1, -1, -1):
            boundary = self._open[level].boundary
            if len(boundary) > length and self._buffer.startswith(boundary, at + 4):
                best = level
                length = len(boundary)
        return best

    def _stop_at_limit(self) -> None:
        """See no delimiter any more: the rest belongs to the last part seen."""
        for opened in self._open:
            opened.boundary = b""
        self._find_open_boundaries()
        self._step = self._in_body

    def _begin(self, header_start: int, *, is_message: bool) -> Part:
        part = Part(header_start)
        self._parts += 1
        self._open.append(_Open(part, is_message=is_message))
        self._header = []
        self._header_size = 0
        self._step = self._in_header
        return part

    def _keep_header(self, end: int) -> None:
        """Move header octets up to buffer index ``end`` out of the buffer's way; those over the limit are forgotten."""
        start = self._header_start
        if end <= start:
            return
        room = self._max_header - self._header_size
        if room > 0:
            piece = self._buffer[start : min(end, start + room)]
            self._header.append(piece)
            self._header_size += len(piece)
        self._header_start = end

    def _cut_header(self, offset: int) -> None:
        """End a header without its empty line; if it announced a message, that has no header at all."""
        while self._step == self._in_header:
            self._end_header(offset)

    def _end_header(self, offset: int) -> None:
        """Read the header that ends at message offset ``offset`` and go on with what it announces."""
        opened = self._open[-1]
        part = opened.part
        part.body_start = offset
        opened.lines_before = self._lines_up_to(offset)
        header = self._header[0] if len(self._header) == 1 else b"".join(self._header)
        self._header = []
        values = (
            first_values(header, _MESSAGE_FIELDS, combined=COMBINED_FIELDS) if opened.is_message else first_values(header, _CONTENT_FIELDS)
        )
        self._kept += sum(map(len, values.values())) + 100 if values else 100
        if opened.is_message:
            part.envelope = envelope_of_values(values)
        digest = len(self._open) > 1 and not opened.is_message and self._open[-2].children_are_messages
        _describe(part, values, is_digest_entry=digest)
        self._step = self._in_body
        if part.type == b"multipart":
            self._enter_multipart(opened)
        elif part.type == b"message" and part.subtype in {b"rfc822", b"global"}:
            self._enter_message(part)

    def _enter_multipart(self, opened: _Open) -> None:
        part = opened.part
        boundary = part.parameter(b"boundary")
        if not boundary:
            # RFC 2045 section 5.2: a Content-Type that cannot be used counts as text/plain
            part.type, part.subtype, part.parameters = b"text", b"plain", ()
        elif len(self._open) > self._max_depth:
            part.type, part.subtype, part.parameters = b"application", b"octet-stream", ()
        else:
            opened.boundary = boundary[:MAX_BOUNDARY]
            opened.children_are_messages = part.subtype == b"digest"
            self._find_open_boundaries()

    def _enter_message(self, part: Part) -> None:
        limited = len(self._open) >= self._max_depth or self._parts >= self._max_parts or self._kept > MAX_KEPT
        if limited or part.encoding not in _IDENTITY:
            # RFC 2046 section 5.2.1 allows no other encoding; its inside cannot be addressed as it lies.
            part.type, part.subtype = b"application", b"octet-stream"
            return
        start = part.body_start
        part.message = self._begin(start, is_message=True)
        self._header_start = start - self._base

    def _close(self, level: int, end: int) -> None:
        """End every open part from ``level`` on at message offset ``end``, the innermost first.

        A part without body may have its empty line in common with the delimiter;
        then it ends behind that, and so do those around it that end here too.
        """
        if level >= len(self._open):
            return
        while len(self._open) > level:
            opened = self._open.pop()
            part = opened.part
            end = part.body_end = max(end, part.body_start)
            part.lines = self._lines_up_to(end) - opened.lines_before
        self._find_open_boundaries()

    def _find_open_boundaries(self) -> None:
        boundaries = [opened.boundary for opened in self._open if opened.boundary]
        self._delimiters = tuple([b"\r\n--" + boundary for boundary in boundaries])
        self._needle = _common_prefix(self._delimiters) if boundaries else b"\r\n--"

    def _drop(self, end: int) -> None:
        """Forget the buffer up to index ``end``."""
        self._lines_up_to(self._base + end)
        self._buffer = self._buffer[end:]
        self._base += end
        self._header_start -= end
        self._position = 0

    def _lines_up_to(self, offset: int) -> int:
        """Return the number of line ends before a message offset that is in the buffer."""
        base = self._base
        if offset >= self._counted:
            self._lines += self._buffer.count(b"\n", self._counted - base, offset - base)
            self._counted = offset
            return self._lines
        return self._lines - self._buffer.count(b"\n", max(offset - base, 0), self._counted - base)


def _common_prefix(texts: tuple[bytes, ...]) -> bytes:
    if len(texts) == 1:
        return texts[0]
    low, high = min(texts), max(texts)
    for index, octet in enumerate(low):
        if octet != high[index]:
            return low[:index]
    return low


def _describe(part: Part, values: dict[bytes, bytes], *, is_digest_entry: bool) -> None:
    """Fill in what the header says of the content."""
    if not values and not is_digest_entry:
        return
    get = values.get
    parsed = parse_media_type(get(b"content-type", b""))
    if parsed is not None:
        part.type, part.subtype, part.parameters = parsed
    elif is_digest_entry and b"content-type" not in values:
        part.type, part.subtype = b"message", b"rfc822"  # RFC 2046 section 5.1.5
    encoding = get(b"content-transfer-encoding")
    if encoding:
        part.encoding = (parse_encoding(encoding) or b"7bit")[:64]
    part.content_id = _capped(get(b"content-id"))
    part.description = _capped(get(b"content-description"))
    part.md5 = _capped(get(b"content-md5"))
    part.disposition = _capped(get(b"content-disposition"))
    part.language = _capped(get(b"content-language"))
    part.location = _capped(get(b"content-location"))


def _capped(value: bytes | None) -> bytes | None:
    return value[:MAX_FIELD] if value is not None else None


def scan(data: bytes) -> Part:
    """Return the tree of a message held in memory."""
    scanner = StructureScanner()
    scanner.feed(data)
    return scanner.finish()


def scan_stream(stream: BinaryIO) -> Part:
    """Return the tree of a message read from ``stream``. Blocks: as ``stream.read`` does."""
    scanner = StructureScanner()
    while chunk := stream.read(CHUNK_SIZE):
        scanner.feed(chunk)
    return scanner.finish()


def summarise(data: bytes) -> RenderedSummary:
    """Return ENVELOPE, BODY and BODYSTRUCTURE of a message held in memory, with CRLF line ends."""
    return render_summary(scan(data))


def summarise_stream(stream: BinaryIO) -> RenderedSummary:
    """Return the same of a message read in chunks. Blocks: as ``stream.read`` does."""
    return render_summary(scan_stream(stream))


def render_summary(part: Part) -> RenderedSummary:
    """Return the three items of a tree that was scanned already."""
    return RenderedSummary(part.envelope or b"NIL", render_body(part), render_body_structure(part))
