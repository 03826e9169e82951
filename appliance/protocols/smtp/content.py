"""The content of a message on its way in: the end of DATA, dots, and what content may not hold.

Owns dot-unstuffing and the search for CRLF.CRLF, over whole chunks and never
line by line, and the one rule against smuggling: nothing but CRLF.CRLF ends DATA, and
content with a bare CR or a bare LF anywhere is refused whole. So ``LF.LF``,
``LF.CRLF``, ``CR.CR`` and their kin neither end a message here nor travel on to
a server that would let them.

Fails: ``fault`` holds the reply once something is wrong; chunks are no longer
handed out then, the end is still found.
Does not: check that 8-bit octets were announced (RFC 6152): refusing them helps
nobody; ``eight_bit`` tells.

Sources: RFC 5321 section 2.3.8, 4.1.1.4 and 4.5.2; CVE-2023-51764 (Postfix),
CVE-2023-51765 (Sendmail), CVE-2023-51766 (Exim); Postfix smtpd_forbid_bare_newline.
"""

from appliance.protocols.smtp import replies
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply

__all__ = ["ContentReader"]

_END = b"\r\n.\r\n"


class ContentReader:
    """Reads one message's content: by ``feed_data`` until the lone dot, or by ``feed_octets`` for BDAT."""

    __slots__ = ("_after_lf", "_check_text", "_max_bytes", "_max_line", "_tail", "_virtual", "eight_bit", "ended", "fault", "nul", "size")

    def __init__(self, options: ServerOptions, *, by_data: bool, binary: bool = False) -> None:
        self._max_bytes = options.max_message_bytes
        self._max_line = options.max_text_line
        self._check_text = not binary
        # The end of DATA may come at once (``.`` as first line), so DATA starts as if a CRLF had just been read; it is
        # cut off the first chunk.
        self._tail = b"\r\n" if by_data else b""
        self._virtual = 2 if by_data else 0
        self._after_lf = 0
        self.size = 0
        self.eight_bit = False
        self.nul = False
        self.fault: Reply | None = None
        self.ended = False
        """The lone dot was seen."""

    def feed_data(self, data: bytes) -> tuple[bytes, bytes]:
        """Return content to hand out, and what followed the end of DATA once it ``ended``."""
        work = self._tail + data
        rest = b""
        dot = work.find(b"\r\n.")
        end = work.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            piece = work[: end + 2]
            rest = work[end + 5 :]
            self.ended = True
        else:
            held = _held(work)
            piece = work[: len(work) - held]
            self._tail = work[len(work) - held :]
        if 0 <= dot != end and piece:
            # RFC 5321 section 4.5.2. The held tail never cuts CRLF and dot apart, and the end is not in the piece.
            piece = piece.replace(b"\r\n.", b"\r\n")
        if not piece:
            return b"", rest
        if self._virtual:
            piece = piece[self._virtual :]
            self._virtual = 0
        return self._checked(piece), rest

    def feed_octets(self, data: bytes) -> bytes:
        """Take counted octets; a CR at their end is kept back until its LF can be seen."""
        if not self._check_text:
            return self._checked(data)
        work = self._tail + data
        if work.endswith(b"\r"):
            self._tail = b"\r"
            return self._checked(work[:-1])
        self._tail = b""
        return self._checked(work)

    def finish_octets(self) -> bytes:
        """Return what ``feed_octets`` kept back: at the end of the last chunk a CR stands bare."""
        tail, self._tail = self._tail, b""
        return self._checked(tail)

    def _checked(self, piece: bytes) -> bytes:
        if not piece or self.fault is replies.BARE_NEWLINE:
            return b""
        self.size += len(piece)
        # A later fault may still take the place of an earlier one, in this order: the reply must not depend on how
        # the network cut the content, and a bare newline ends the session whatever else is wrong.
        if self._check_text and not _has_only_crlf(piece):
            self.fault = replies.BARE_NEWLINE
        elif 0 < self._max_bytes < self.size:
            self.fault = replies.MESSAGE_TOO_BIG
        elif self._check_text and self.fault is None and not self._lines_fit(piece):
            self.fault = replies.TEXT_LINE_TOO_LONG
        if self.fault is not None:
            return b""
        if not piece.isascii():
            self.eight_bit = True
        if b"\0" in piece:
            self.nul = True
        return piece

    def _lines_fit(self, piece: bytes) -> bool:
        """Look for a line end in windows of the longest line, from the back: a handful of steps for megabytes."""
        position = -self._after_lf
        while len(piece) - position > self._max_line:
            found = piece.rfind(b"\n", max(position, 0), position + self._max_line + 2)
            if found < 0:
                # Room for the CRLF, which does not count as text, may yet come.
                if len(piece) - position > self._max_line + 1:
                    return False
                break
            position = found + 1
        last = piece.rfind(b"\n", max(position, 0))
        self._after_lf = len(piece) - (last + 1 if last >= 0 else position)
        return True


def _held(work: bytes) -> int:
    """Return how many octets at the end may be the beginning of CRLF.CRLF, or half of a CRLF."""
    last = work[-1:]
    if last == b"\r":
        return 4 if work.endswith(b"\r\n.\r") else 1
    if last == b"\n":
        return 2 if work.endswith(b"\r\n") else 0
    return 3 if work.endswith(b"\r\n.") else 0


def _has_only_crlf(piece: bytes) -> bool:
    """True when each CR is followed by LF and each LF preceded by CR; a piece never cuts a pair in two."""
    # Taking an octet out and comparing lengths is eight times as fast as counting it: bytes.count looks at each byte by itself.
    rest = len(piece) - piece.count(b"\r\n")
    return rest == len(piece.replace(b"\n", b"")) and rest == len(piece.replace(b"\r", b""))
