"""TOP: the header section, the blank line and the first lines of the body, over whole chunks.

Owns where to cut. Lines are counted, not split: a chunk costs one ``count``,
only the chunk with the last line is searched.

Sources: RFC 1939 section 7 (TOP).
"""

__all__ = ["TopCutter"]

_BLANK = b"\r\n\r\n"


class TopCutter:
    """Takes a message chunk by chunk and gives back what TOP sends; ``done`` when nothing more will come."""

    __slots__ = ("_in_header", "_lines_left", "_tail", "done")

    def __init__(self, lines: int) -> None:
        self._lines_left = lines
        self._in_header = True
        self._tail = b"\r\n"  # A message that begins with a blank line has an empty header section.
        self.done = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the part of the next chunk that is still wanted."""
        if self.done:
            return b""
        start = 0
        if self._in_header:
            seam = self._tail + chunk
            found = seam.find(_BLANK)
            if found < 0:
                self._tail = seam[-3:]
                return chunk
            self._in_header = False
            start = found + len(_BLANK) - len(self._tail)
        end = self._end_of_lines(chunk, start)
        return chunk[:end] if end < len(chunk) else chunk

    def _end_of_lines(self, chunk: bytes, start: int) -> int:
        count = chunk.count(b"\n", start)
        if count < self._lines_left:
            self._lines_left -= count
            return len(chunk)
        self.done = True
        if not self._lines_left:
            return start
        rest = chunk[start:].split(b"\n", self._lines_left)[-1]
        return len(chunk) - len(rest)
