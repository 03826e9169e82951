"""Sets of uids as ranges: what the index keeps of expunges, and what an answer needs of them.

Ranges are pairs of first and last uid, both included; lists of them ascend. Pure.

Sources: RFC 7162 section 5.3 (queue of expunged uids), section 3.2.6 (what is told below its floor).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

__all__ = ["UidRange", "absent", "common", "joined", "ranges_of"]

UidRange = tuple[int, int]


def ranges_of(uids: Iterable[int]) -> list[UidRange]:
    """Return uids in any order as ascending ranges."""
    return joined((uid, uid) for uid in uids)


def joined(ranges: Iterable[UidRange]) -> list[UidRange]:
    """Return the same uids as ascending ranges with gaps between."""
    result: list[UidRange] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return result


def absent(ranges: Iterable[UidRange], uids: "Sequence[int] | array[int]") -> list[UidRange]:
    """Return what of ``ranges`` (ascending) is not among ``uids`` (ascending)."""
    result: list[UidRange] = []
    for first, last in ranges:
        begin = first
        for at in range(bisect_left(uids, first), bisect_right(uids, last)):
            uid = uids[at]
            if uid > begin:
                result.append((begin, uid - 1))
            begin = uid + 1
        if begin <= last:
            result.append((begin, last))
    return result


def common(ranges: Iterable[UidRange], others: Sequence[UidRange]) -> list[UidRange]:
    """Return what two lists have in common."""
    result: list[UidRange] = []
    at = 0
    for first, last in ranges:
        while at < len(others) and others[at][1] < first:
            at += 1
        place = at
        while place < len(others) and others[place][0] <= last:
            result.append((max(first, others[place][0]), min(last, others[place][1])))
            place += 1
    return result
