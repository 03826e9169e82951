"""The maildrop of one session as numbers: frozen at login, deletions only marked.

Owns message numbers, sizes, unique ids and the listings, rendered in pieces of
a bounded size so that a large maildrop neither blocks the loop nor fills
memory. Ten bytes per message; sizes come later, when first asked for.
Does not: touch mail. ``deleted_uids`` is what the UPDATE state removes.

Sources: RFC 1939 section 4 (numbers fixed for the session), 5 (STAT and LIST
leave out marked messages), 7 (UIDL: 1 to 70 characters of 0x21 to 0x7E, never
reused).
"""

from array import array
from collections.abc import Iterator, Sequence

__all__ = ["Maildrop"]

_LISTED_AT_ONCE = 4_096
"""Messages rendered in one piece: about 100 KiB of UIDL, a millisecond."""


class Maildrop:
    """Messages 1 to n of one session."""

    def __init__(self, uid_validity: int, uids: "array[int]") -> None:
        self.uid_validity = uid_validity
        self.uids = uids
        self._sizes: array[int] | None = None
        self._deleted = bytearray(len(uids))
        self._deleted_count = 0
        self._deleted_bytes = 0

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def sizes_known(self) -> bool:
        return self._sizes is not None

    def set_sizes(self, sizes: "array[int]") -> None:
        """Give the size of each message in bytes with CRLF line ends, in the order of ``uids``; once."""
        assert self._sizes is None
        assert len(sizes) == len(self.uids)
        self._sizes = sizes
        if self._deleted_count:
            self._deleted_bytes = sum(size for size, gone in zip(sizes, self._deleted, strict=True) if gone)

    def has(self, number: int) -> bool:
        """Return True if the message exists and is not marked as deleted."""
        return 0 < number <= len(self.uids) and not self._deleted[number - 1]

    def size(self, number: int) -> int:
        assert self._sizes is not None
        return self._sizes[number - 1]

    def unique_id(self, number: int) -> bytes:
        """Return the UIDL: uid_validity and uid, so that it stays as long as an IMAP client's view does."""
        return b"%08x%08x" % (self.uid_validity, self.uids[number - 1])

    def statistics(self) -> tuple[int, int]:
        """Return the number and total size of the messages not marked. Needs the sizes."""
        assert self._sizes is not None
        return len(self.uids) - self._deleted_count, sum(self._sizes) - self._deleted_bytes

    def delete(self, number: int) -> None:
        """Mark a message that ``has`` found."""
        assert self.has(number)
        self._deleted[number - 1] = 1
        self._deleted_count += 1
        if self._sizes is not None:
            self._deleted_bytes += self._sizes[number - 1]

    def reset(self) -> None:
        """Take every mark back (RSET)."""
        self._deleted = bytearray(len(self.uids))
        self._deleted_count = self._deleted_bytes = 0

    def deleted_uids(self) -> Sequence[int]:
        """Return the uids marked, ascending."""
        if not self._deleted_count:
            return ()
        return [uid for uid, gone in zip(self.uids, self._deleted, strict=True) if gone]

    def list_sizes(self) -> Iterator[bytes]:
        """Yield the lines of LIST without the final dot, piece by piece. Needs the sizes."""
        assert self._sizes is not None
        for start, stop in self._pieces():
            rows = zip(range(start + 1, stop + 1), self._sizes[start:stop], self._deleted[start:stop], strict=True)
            yield b"".join([b"%d %d\r\n" % (number, size) for number, size, gone in rows if not gone])

    def list_unique_ids(self) -> Iterator[bytes]:
        """Yield the lines of UIDL without the final dot, piece by piece."""
        line = b"%%d %08x%%08x\r\n" % self.uid_validity
        for start, stop in self._pieces():
            rows = zip(range(start + 1, stop + 1), self.uids[start:stop], self._deleted[start:stop], strict=True)
            yield b"".join([line % (number, uid) for number, uid, gone in rows if not gone])

    def _pieces(self) -> Iterator[tuple[int, int]]:
        count = len(self.uids)
        for start in range(0, count, _LISTED_AT_ONCE):
            yield start, min(start + _LISTED_AT_ONCE, count)
