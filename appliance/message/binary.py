"""BINARYMIME content made storable: binary parts become base64 while they arrive.

Owns the walk through the parts of a message with binary content. Mailboxes and
most servers hold mail as lines; a body part with ``Content-Transfer-Encoding:
binary`` is therefore encoded in base64, which is what a relay must do anyway
before a server without BINARYMIME (RFC 3030 section 3). Multiparts and nested
messages that were binary are 8bit afterwards. Parts that claim to be lines and
hold a CR or LF alone get whole line ends. Streaming: besides headers at most one
boundary's length is held back.

Fails: never; a header section over the limit is passed on as text, like
everything below the depth limit.
Does not: re-wrap long lines of 8bit parts, or undo DKIM damage: a signature over
binary content breaks by any such conversion (RFC 6376 section 5.3).

Sources: RFC 3030 section 3, RFC 2045 section 6, RFC 2046 section 5.1.1 (the CRLF
before a delimiter belongs to it) and 5.1.5 (digest), RFC 6152 section 3.
"""

import base64
import enum
import re
from dataclasses import dataclass
from typing import Final

from appliance.message.header import first_values, iterate_fields
from appliance.message.parameter import parse_media_type

__all__ = ["BinaryConverter"]

_MAX_DEPTH: Final = 100
_MAX_PARTS: Final = 10_000
"""As the scanner of ``message.mime``: what is behind is text."""
_MAX_HEADER: Final = 1_048_576
_MAX_BOUNDARY: Final = 200
_PADDING: Final = 64
"""White space that may stand behind a delimiter and is still waited for."""
_LINE: Final = 57  # octets per base64 line of 76 characters (RFC 2045 section 6.8)
_ANY_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_HEADER_END: Final = re.compile(rb"\n(?:\r\n|\n)")
_ENCODING: Final = b"content-transfer-encoding"
_HEADERS: Final = frozenset({b"content-type", _ENCODING})


class _Mode(enum.Enum):
    HEADER = "header"
    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class _Multipart:
    """An open multipart; ``is_digest``: its parts are messages unless they say otherwise."""

    boundary: bytes
    is_digest: bool


class BinaryConverter:
    """Feed chunks, send on what ``feed`` returns, end with ``finish``. The output has whole line ends throughout."""

    __slots__ = ("_delimiter", "_held", "_longest", "_mode", "_open", "_parts", "_rest", "_scanned", "_virtual")

    def __init__(self) -> None:
        self._mode = _Mode.HEADER
        self._held = b""
        self._scanned = 0
        self._virtual = 0
        """Octets at the start of ``_held`` that are not the message's: the line end before a body that begins with a delimiter."""
        self._open: list[_Multipart] = []
        self._delimiter: re.Pattern[bytes] | None = None
        self._longest = 0
        self._parts = 0
        self._rest = b""
        """Binary octets that do not fill a base64 line yet."""

    def feed(self, chunk: bytes) -> bytes:
        self._held += chunk
        out: list[bytes] = []
        while self._step(out, at_end=False):
            pass
        return b"".join(out)

    def finish(self) -> bytes:
        out: list[bytes] = []
        while self._step(out, at_end=True):
            pass
        if self._mode is _Mode.HEADER:
            out.append(_whole_lines(self._held))
        elif self._mode is _Mode.BINARY:
            encoded = self._encode(self._take(len(self._held)), is_last=True)
            out.append(encoded + b"\r\n" if encoded else b"")
        else:
            out.append(_whole_lines(self._take(len(self._held))))
        self._held = b""
        return b"".join(out)

    def _step(self, out: list[bytes], *, at_end: bool) -> bool:
        """Take one header section, or a body up to its delimiter or to what must wait; False when there is nothing more to do."""
        if self._mode is _Mode.HEADER:
            return self._header(out)
        found = self._delimiter.search(self._held) if self._delimiter is not None else None
        # The line end behind a delimiter must be seen, unless nothing follows.
        if found is not None and (found["end"] or at_end):
            self._delimit(out, found)
            return True
        if not at_end:
            keep = self._longest + 8 + _PADDING if self._delimiter is not None else 1
            self._pass(out, min(len(self._held) - keep, found.start() if found is not None else len(self._held)))
        return False

    # Headers

    def _header(self, out: list[bytes]) -> bool:
        held = self._held
        if held.startswith((b"\r\n", b"\n")):
            end = 2 if held[0] == 13 else 1
        else:
            match = _HEADER_END.search(held, max(self._scanned - 3, 0))
            self._scanned = len(held)
            if match is None:
                if len(held) > _MAX_HEADER:
                    self._body(_Mode.TEXT, held)
                    return True
                return False
            end = match.end()
        self._scanned = 0
        header = _whole_lines(held[:end])
        mode = self._mode_of(header)
        out.append(_without_binary(header, mode))
        if mode is _Mode.HEADER:
            self._held = held[end:]
        else:
            self._body(mode, held[end:])
        return True

    def _mode_of(self, header: bytes) -> _Mode:
        """Say how the body is read; a multipart is opened."""
        values = first_values(header, _HEADERS)
        is_in_digest = bool(self._open) and self._open[-1].is_digest
        default = b"message/rfc822" if is_in_digest else b"text/plain"
        kind, subtype, parameters = parse_media_type(values.get(b"content-type", default)) or (b"text", b"plain", ())
        if kind == b"multipart" and len(self._open) < _MAX_DEPTH:
            boundary = next((value for name, value in parameters if name == b"boundary"), b"")[:_MAX_BOUNDARY].rstrip()
            if boundary:
                self._open.append(_Multipart(boundary, subtype == b"digest"))
                self._watch()
                return _Mode.TEXT
        if kind == b"message":
            is_plain = values.get(_ENCODING, b"7bit").lower() in (b"7bit", b"8bit", b"binary")
            return _Mode.HEADER if subtype in (b"rfc822", b"global") and is_plain else _Mode.TEXT
        return _Mode.BINARY if values.get(_ENCODING, b"").lower() == b"binary" and kind != b"multipart" else _Mode.TEXT

    def _body(self, mode: _Mode, rest: bytes) -> None:
        self._mode = mode
        self._held = b"\r\n" + rest
        self._virtual = 2

    # Bodies

    def _watch(self) -> None:
        """Look for the delimiters of all open multiparts, the longest first: a parent's ends its children."""
        boundaries = sorted({part.boundary for part in self._open}, key=len, reverse=True)
        self._longest = len(boundaries[0]) if boundaries else 0
        choice = b"|".join(map(re.escape, boundaries))
        pattern = rb"\r\n--(?P<boundary>" + choice + rb")(?P<close>--)?[ \t]{0,%d}(?:(?P<end>\r\n)|\Z)" % _PADDING
        self._delimiter = re.compile(pattern) if boundaries else None

    def _delimit(self, out: list[bytes], found: re.Match[bytes]) -> None:
        self._pass(out, found.start(), is_last=True)
        line = self._take(found.end() - found.start())
        level = max(index for index, part in enumerate(self._open) if part.boundary == found["boundary"])
        ended = level + (found["close"] is None)
        self._parts += 1
        if self._parts > _MAX_PARTS:
            ended = 0  # No delimiter is seen any more.
        if ended < len(self._open):
            del self._open[ended:]
            self._watch()
        if found["close"] is not None or not self._open:
            # Its line end may begin the next delimiter, too.
            self._mode = _Mode.TEXT
            out.append(line.removesuffix(b"\r\n"))
            self._held = (b"\r\n" if found["end"] else b"") + self._held
        else:
            self._mode = _Mode.HEADER
            out.append(line)

    def _take(self, count: int) -> bytes:
        """Remove octets from what is held; those that are not the message's are not returned."""
        taken, self._held = self._held[:count], self._held[count:]
        if self._virtual:
            virtual = min(self._virtual, len(taken))
            self._virtual -= virtual
            taken = taken[virtual:]
        return taken

    def _pass(self, out: list[bytes], count: int, *, is_last: bool = False) -> None:
        """Hand out ``count`` octets of a body; a CRLF is not cut in two."""
        if not is_last and 0 < count <= len(self._held) and self._held[count - 1 : count] == b"\r":
            count -= 1
        if count <= 0 and not is_last:
            return
        data = self._take(count)
        out.append(self._encode(data, is_last=is_last) if self._mode is _Mode.BINARY else _whole_lines(data))

    def _encode(self, data: bytes, *, is_last: bool) -> bytes:
        data = self._rest + data
        whole = len(data) if is_last else len(data) - len(data) % _LINE
        self._rest = data[whole:]
        encoded = base64.b64encode(data[:whole])
        lines = [encoded[start : start + 76] for start in range(0, len(encoded), 76)]
        # The line end of the last line is the delimiter's.
        return b"\r\n".join(lines) + (b"" if is_last or not lines else b"\r\n")


def _without_binary(header: bytes, mode: _Mode) -> bytes:
    """Name the encoding that the body has now, where it was binary."""
    if first_values(header, {_ENCODING}).get(_ENCODING, b"").lower() != b"binary":
        return header
    now = b"Content-Transfer-Encoding: %s\r\n" % (b"base64" if mode is _Mode.BINARY else b"8bit")
    fields = [now if field.name.lower() == _ENCODING else field.raw for field in iterate_fields(header)]
    return b"".join(fields) + b"\r\n"


def _whole_lines(data: bytes) -> bytes:
    """Make each CR or LF alone a whole line end."""
    pairs = data.count(b"\r\n")
    return data if pairs == data.count(b"\n") == data.count(b"\r") else _ANY_LINE_END.sub(b"\r\n", data)
