"""The messages of one mailbox as packed arrays, and what a look at the disk found changed.

About 25 bytes per message: 2.5 MB for 100,000. Guarded by the account's lock.
Sources: measurements of packed arrays against objects (25 MB per 100,000).
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TypeVar

from appliance.model.ids import QueueId

__all__ = ["Delta", "MessageTable", "without"]

Packed = TypeVar("Packed", "array[int]", bytearray)


def without(values: Packed, positions: Sequence[int]) -> Packed:
    """Return the array less some positions (ascending)."""
    if len(positions) < 8:
        for position in reversed(positions):
            del values[position]
        return values
    keep = bytearray(b"\1") * len(values)
    for position in positions:
        keep[position] = 0
    if isinstance(values, bytearray):
        return bytearray(compress(values, keep))
    return array(values.typecode, compress(values, keep))


@dataclass(slots=True)
class Delta:
    """What ``Folder.load`` or ``rescan`` found, as uids. ``is_reset``: a new uid_validity, all else is void."""

    is_reset: bool = False
    added: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    vanished: list[QueueId] = field(default_factory=list)
    """Of those removed, or the first of them, which came through the queue: another program took them away."""

    def __bool__(self) -> bool:
        return self.is_reset or bool(self.added or self.changed or self.removed)


class MessageTable:
    """Parallel arrays, ascending by uid. ``sizes``: with CRLF line ends, 0 when not known yet."""

    __slots__ = ("flags", "modseqs", "recent", "sizes", "uids")

    def __init__(self) -> None:
        self.uids = array("I")
        self.flags = array("Q")
        self.modseqs = array("Q")
        self.sizes = array("Q")
        self.recent: set[int] = set()

    def __len__(self) -> int:
        return len(self.uids)

    def position(self, uid: int) -> int:
        """Return where a uid stands, -1 if it is gone."""
        position = bisect_left(self.uids, uid)
        return position if position < len(self.uids) and self.uids[position] == uid else -1

    def positions(self, uids: Iterable[int]) -> Sequence[int]:
        """Return where the uids that are there stand, each once, ascending."""
        given = uids if isinstance(uids, list | array) else list(uids)
        if not given:
            return ()
        low = bisect_left(self.uids, given[0])
        if self.uids[low : low + len(given)] == array("I", given):  # without a gap, as most: a memory compare
            return range(low, low + len(given))
        wanted = set(given)
        if len(wanted) * 8 < len(self.uids):
            found = (self.position(uid) for uid in wanted)
            return sorted(position for position in found if position >= 0)
        return [position for position, uid in enumerate(self.uids) if uid in wanted]

    def append(self, uid: int, flags: int, size: int) -> None:
        self.uids.append(uid)
        self.flags.append(flags)
        self.modseqs.append(0)
        self.sizes.append(size)

    def extend(self, uids: Sequence[int], flags: Sequence[int], sizes: Sequence[int]) -> None:
        self.uids.extend(uids)
        self.flags.extend(flags)
        self.modseqs.frombytes(bytes(8 * len(uids)))
        self.sizes.extend(sizes)

    def remove(self, positions: Sequence[int]) -> None:
        self.recent.difference_update([self.uids[position] for position in positions])
        self.uids = without(self.uids, positions)
        self.flags = without(self.flags, positions)
        self.modseqs = without(self.modseqs, positions)
        self.sizes = without(self.sizes, positions)

    def used_flags(self) -> int:
        """Return all bits that any message carries."""
        used = 0
        for flags in set(self.flags):
            used |= flags
        return used
