"""Where lines and literals begin and end in what the client sends.

Owns the bytes that have arrived and are not used yet; nothing is looked at twice
for a line end. What a line or a literal means is ``server``'s matter.

Sources:  RFC 3501 section 4.3, RFC 7888 (non-synchronising literals), RFC 3516 section 4.4 (literal8).
"""

import re
from typing import NamedTuple

__all__ = ["Buffer", "LineTooLongError", "Literal", "find_literal"]

_LITERAL = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\r?\n\Z")


class LineTooLongError(Exception):
    """More has arrived than a line may have."""


class Literal(NamedTuple):
    """A literal that is announced at the end of a line.

    ``length``: of the announcement itself, line end included. ``synchronising``: the client waits for our plus sign.
    ``binary``: ``~`` stands before it.
    """

    size: int
    synchronising: bool
    binary: bool
    length: int


def find_literal(line: bytes) -> Literal | None:
    """Return what the end of a whole line announces, None if it announces nothing."""
    match = _LITERAL.search(line)
    if match is None:
        return None
    return Literal(int(match.group(2)), not match.group(3), bool(match.group(1)), len(match.group()))


class Buffer:
    """Input that nobody has taken yet."""

    __slots__ = ("_data", "_scanned")

    def __init__(self) -> None:
        self._data = bytearray()
        self._scanned = 0

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        self._data += data

    def startswith(self, prefix: bytes) -> bool:
        return self._data.startswith(prefix)

    def peek(self, count: int) -> bytes:
        return bytes(memoryview(self._data)[:count])

    def take(self, count: int) -> bytes:
        """Return the next bytes, fewer if fewer are there."""
        taken = self.peek(count)
        self.drop(count)
        return taken

    def drop(self, count: int) -> int:
        """Forget the next bytes; return how many there were."""
        dropped = min(count, len(self._data))
        del self._data[:dropped]
        self._scanned = 0
        return dropped

    def take_line(self, limit: int) -> bytes | None:
        """Return the next line with its end, None if it is not complete. Raises LineTooLongError."""
        end = self._data.find(b"\n", self._scanned) + 1
        if (end or len(self._data)) > limit:
            raise LineTooLongError
        if not end:
            self._scanned = len(self._data)
            return None
        return self.take(end)

    def take_line_part(self) -> bytes:
        """Return what is left of a line that is dropped anyway: up to its end if that is there, else everything."""
        return self.take(self._data.find(b"\n") + 1 or len(self._data))

    def clear(self) -> None:
        self._data.clear()
        self._scanned = 0
