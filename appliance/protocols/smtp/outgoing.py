"""Content on its way out: dots stuffed, line ends made whole, in bulk.

Owns that what leaves by DATA has no bare CR and no bare LF, wherever the message
came from: the receiving half of the rule is ``content``. Such an octet becomes
CRLF, as Postfix's smtp(8) and Exim do it.

Sources: RFC 5321 section 2.3.8, 4.1.1.4 and 4.5.2; RFC 3030 section 2 (BDAT).
"""

import re

__all__ = ["DataWriter"]

_ANY_NEWLINE = re.compile(rb"\r\n|\r|\n")


class DataWriter:
    """Stuffs one message; a CR at a chunk's end waits for its LF."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what goes on the wire for a piece of content."""
        if self._held:
            data = self._held + data
            self._held = b""
        if data.endswith(b"\r"):
            data = data[:-1]
            self._held = b"\r"
        return self._stuffed(data)

    def finish(self) -> bytes:
        """Return the rest, a line end if the content lacked it, and the lone dot."""
        rest = self._stuffed(b"\r\n") if self._held else b""
        self._held = b""
        return rest + (b".\r\n" if self._at_line_start else b"\r\n.\r\n")

    def _stuffed(self, data: bytes) -> bytes:
        if not data:
            return b""
        pairs = data.count(b"\r\n")
        if pairs != data.count(b"\n") or pairs != data.count(b"\r"):
            data = _ANY_NEWLINE.sub(b"\r\n", data)
        wire = data.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and wire.startswith(b"."):
            wire = b"." + wire
        self._at_line_start = data.endswith(b"\n")
        return wire
