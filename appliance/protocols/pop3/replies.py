"""POP3 replies: status lines, multi-line ends and byte-stuffing over whole chunks.

Owns everything of the wire's outgoing form. A reply line is kept under 512
bytes (RFC 1939 section 3) by cutting its text.
Does not: ever look at a message line by line; three bytes at a chunk's end are
all that is remembered.

Sources: RFC 1939 section 3 (byte-stuffing, final dot), RFC 2449 section 8
(response codes in brackets), RFC 3206 ([SYS/TEMP], [SYS/PERM], [AUTH]).
"""

__all__ = ["END", "DotStuffer", "error_line", "greeting", "ok_line", "stuff"]

END = b".\r\n"
_LONGEST_TEXT = 400


def ok_line(text: str = "") -> bytes:
    """Return ``+OK``. A text outside ASCII is for those who chose its language: RFC 6856 section 3.2."""
    return b"+OK " + _clean(text) + b"\r\n" if text else b"+OK\r\n"


def greeting(text: str) -> bytes:
    """Return the first line of all. It holds no ``<...>``: that would announce APOP (RFC 1939 section 7)."""
    return ok_line(text.replace("<", "").replace(">", ""))


def error_line(text: str, code: str = "") -> bytes:
    """Return ``-ERR``, with a response code such as ``IN-USE`` in brackets."""
    return b"-ERR " + (f"[{code}] ".encode("ascii") if code else b"") + _clean(text) + b"\r\n"


def _clean(text: str) -> bytes:
    line = text.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace")
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT].decode("utf-8", "ignore").encode("utf-8")


def stuff(message: bytes) -> bytes:
    """Byte-stuff a whole message and end it: CRLF if its last line lacks it, then the final dot."""
    stuffed = message.replace(b"\r\n.", b"\r\n..") if b"\r\n." in message else message
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (END if not stuffed or stuffed.endswith(b"\r\n") else b"\r\n" + END)


class DotStuffer:
    """Byte-stuffs a message that comes in chunks; a line end may lie across two of them."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # As if a line had just ended: a dot at the very start is stuffed as well.
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """Return the stuffed form of the next chunk."""
        if not chunk:
            return b""
        stuffed = chunk.replace(b"\r\n.", b"\r\n..") if b"\r\n." in chunk else chunk
        if (chunk[:1] == b"." and self._tail == b"\r\n") or (chunk[:2] == b"\n." and self._tail[-1:] == b"\r"):
            at = chunk.index(b".")
            stuffed = stuffed[:at] + b"." + stuffed[at:]
        self._tail = (self._tail + chunk[-2:])[-2:]
        return stuffed

    def finish(self) -> bytes:
        """Return what ends the message."""
        return END if self._tail == b"\r\n" else b"\r\n" + END
