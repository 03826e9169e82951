"""A receive buffer for protocols made of CRLF lines and counted octets.

Owns the bytes that arrived and were not consumed. Every byte is searched and
copied a constant number of times however it was cut on its way (linear time),
and the caller states the longest line with each ``take_line``.

Fails: a line longer than its limit raises LineTooLongError; nothing is consumed
then, ``skip_line`` gets rid of it without keeping it.
Does not: decode, or judge a bare CR inside a line; that is the grammar's matter.
Does not: bound what callers append; a core that waits for its service must not
be fed more than its reader's one buffer.

Sources: h11 _receivebuffer.py (linear time, explicit limits), RFC 5321 section
2.3.8 (CR and LF only together), RFC 9051 section 2.2.
"""

__all__ = ["LineBuffer", "LineTooLongError"]


class LineTooLongError(Exception):
    """The line at the front of the buffer is, or is going to be, longer than the limit."""


class LineBuffer:
    """Bytes in arrival order; taken as lines, as counted octets, or as they come.

    ``lf_ends_line``: True takes a bare LF for a line end (IMAP and POP3, for people
    with netcat). False hands out such a line *with* its LF, so that no grammar
    matches it and the core can say what was wrong (SMTP).
    """

    __slots__ = ("_head", "_lf_ends_line", "_pos", "_scan", "_tail", "_tail_scan")

    def __init__(self, *, lf_ends_line: bool = False) -> None:
        self._lf_ends_line = lf_ends_line
        # What arrived first is kept as the bytes object that came, consumed by moving _pos. What comes while a part of it
        # is left goes to _tail, and the two are joined only when a line end or enough octets are there: a byte is copied
        # at most twice, and the common case, whole lines in one read, not at all.
        self._head = b""
        self._pos = 0
        self._scan = 0
        self._tail = bytearray()
        self._tail_scan = 0

    def __len__(self) -> int:
        return len(self._head) - self._pos + len(self._tail)

    def __bool__(self) -> bool:
        return self._pos < len(self._head) or bool(self._tail)

    def startswith(self, prefix: bytes) -> bool:
        """Say whether these octets are next."""
        if self._tail and len(self._head) - self._pos < len(prefix):
            self._join()
        return self._head.startswith(prefix, self._pos)

    def append(self, data: bytes) -> None:
        """Add what was received."""
        if self._pos == len(self._head) and not self._tail:
            self._head = data
            self._pos = self._scan = 0
        else:
            self._tail += data

    def take_line(self, limit: int) -> bytes | None:
        """Take the next line and return it without its CRLF; None when it has not arrived whole.

        Units:    ``limit`` in octets without the line end.
        Raises:   LineTooLongError; nothing is consumed.
        """
        end = self._head.find(b"\n", self._scan)
        if end < 0:
            end = self._find_in_tail()
            if end < 0:
                # One octet more may be the CR of a line end that is on its way.
                if len(self) > limit + 1:
                    raise LineTooLongError
                return None
        start = self._pos
        stop = end
        if end > start and self._head[end - 1] == 13:
            stop = end - 1
        elif not self._lf_ends_line:
            stop = end + 1
        if min(stop, end) - start > limit:
            self._scan = end
            raise LineTooLongError
        self._pos = self._scan = end + 1
        return self._head[start:stop]

    def skip_line(self) -> bool:
        """Drop the line at the front; False when its end has not arrived: all was dropped, call again after ``append``."""
        end = self._head.find(b"\n", self._scan)
        if end < 0:
            end = self._find_in_tail()
        if end < 0:
            self.clear()
            return False
        self._pos = self._scan = end + 1
        return True

    def take_bytes(self, count: int) -> bytes | None:
        """Take exactly ``count`` octets; None when fewer have arrived."""
        if count > len(self):
            return None
        if count > len(self._head) - self._pos:
            self._join()
        start = self._pos
        self._pos = self._scan = start + count
        return self._head[start : self._pos]

    def take_at_most(self, count: int) -> bytes:
        """Take what is there, but no more than ``count`` octets; ``b""`` when nothing is."""
        available = len(self)
        if available <= count:
            return self.take_all()
        taken = self.take_bytes(count)
        assert taken is not None
        return taken

    def take_all(self) -> bytes:
        """Take everything; no copy is made when it is one untouched read."""
        if self._tail:
            self._join()
        data = self._head[self._pos :] if self._pos else self._head
        self._head = b""
        self._pos = self._scan = 0
        return data

    def put_back(self, data: bytes) -> None:
        """Put octets that were taken back in front."""
        if data:
            self._head = data + self._head[self._pos :] if self._pos < len(self._head) else data
            self._pos = self._scan = 0

    def clear(self) -> None:
        """Forget everything, as after STARTTLS."""
        self._head = b""
        self._pos = self._scan = 0
        self._tail.clear()
        self._tail_scan = 0

    def _find_in_tail(self) -> int:
        """Return where the next LF stands in ``_head`` after joining, or -1 with the scan marks moved on."""
        self._scan = len(self._head)
        if not self._tail:
            return -1
        found = self._tail.find(b"\n", self._tail_scan)
        if found < 0:
            self._tail_scan = len(self._tail)
            return -1
        offset = len(self._head) - self._pos
        self._join()
        return offset + found

    def _join(self) -> None:
        self._head = self._head[self._pos :] + bytes(self._tail)
        self._pos = self._scan = 0
        self._tail.clear()
        self._tail_scan = 0
