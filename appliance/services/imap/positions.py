"""Sets of positions in a mailbox, as ascending sequences: flags looked up, sets taken together and apart.

Owns that no step is long: 100,000 positions are gone through by the block, with a
chance for other sessions between two. Flags are looked for in one byte of each
message's eight, which ``bytes`` does 50 times as fast as a loop over the numbers.

Fails: never.
Sources: RFC 3501 section 6.4.4 (SEARCH), design section 5 (packed arrays).
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import compress
from typing import Final

import trio

__all__ = ["located", "merged", "with_flag", "without"]

BLOCK: Final = 16_384
"""Positions gone through in one step: some 2 ms."""
_FEW: Final = 16
_FLAG_BYTES: Final = 8
_BYTE_BITS: Final = 8


def with_flag(flags: "array[int]", bit: int, among: Sequence[int], *, has: bool) -> Sequence[int]:
    """Return those of ``among`` whose flags have ``bit``, or lack it; no flag is ``bit`` 0."""
    if not bit:
        return () if has else among
    if len(among) < len(flags):
        return [at for at in among if bool(flags[at] & bit) is has]
    number = (bit.bit_length() - 1) // _BYTE_BITS
    first = number if sys.byteorder == "little" else _FLAG_BYTES - 1 - number
    marks = flags.tobytes()[first::_FLAG_BYTES].translate(_marks(bit >> number * _BYTE_BITS, has))
    if marks.count(1) * _FEW > len(marks):
        return list(compress(range(len(marks)), marks))
    found = []
    at = marks.find(1)
    while at >= 0:
        found.append(at)
        at = marks.find(1, at + 1)
    return found


@lru_cache(maxsize=16)
def _marks(bit: int, has: bool) -> bytes:
    """Return a table from a byte of flags to 1 where it matches, else 0."""
    return bytes([int(bool(value & bit) is has) for value in range(1 << _BYTE_BITS)])


async def without(positions: Sequence[int], others: Sequence[int]) -> Sequence[int]:
    """Return positions that are not among the others."""
    if not others or not positions:
        return positions
    kept: list[int] = []
    for low in range(0, len(positions), BLOCK):
        part = positions[low : low + BLOCK]
        gone = frozenset(_between(others, part[0], part[-1]))
        kept += [at for at in part if at not in gone] if gone else part
        await trio.lowlevel.checkpoint()
    return kept


async def merged(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    """Return positions that are in either."""
    if not one or not other:
        return one or other
    if len(one) < len(other):
        one, other = other, one
    both: list[int] = [*other[: bisect_left(other, one[0])]]
    for low in range(0, len(one), BLOCK):
        part = one[low : low + BLOCK]
        end = one[low + BLOCK] - 1 if low + BLOCK < len(one) else other[-1]
        more = _between(other, part[0], end)
        both += sorted({*part, *more}) if more else part
        await trio.lowlevel.checkpoint()
    return both


async def located(uids: Sequence[int], mine: "array[int]", among: Sequence[int]) -> Sequence[int]:
    """Return those of the positions ``among`` at which ``mine`` has one of the uids (ascending)."""
    found: list[int] = []
    if len(uids) * _FEW <= len(among):
        for uid in uids:
            at = bisect_left(mine, uid)
            if at < len(mine) and mine[at] == uid and (place := bisect_left(among, at)) < len(among) and among[place] == at:
                found.append(at)
        return found
    for low in range(0, len(among), BLOCK):
        part = among[low : low + BLOCK]
        wanted = frozenset(_between(uids, mine[part[0]], mine[part[-1]]))
        found += [at for at in part if mine[at] in wanted]
        await trio.lowlevel.checkpoint()
    return found


def _between(numbers: Sequence[int], least: int, most: int) -> Sequence[int]:
    return numbers[bisect_left(numbers, least) : bisect_right(numbers, most)]
