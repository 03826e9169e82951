"""Sequence sets: what a client says (``1:5,9,20:*``) and the compact form of what we answer.

Owns parsing with a limit on ranges, resolution of ``*``, and formatting. A set
is held as ranges, never expanded, so that ``1:4294967295`` costs nothing.

Fails:    ``ValueError`` with a sentence for the client.
Sources:  RFC 3501 section 9 (sequence-set, seq-range), RFC 4315 section 3 (uid-set).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

__all__ = ["MAX_RANGES", "SequenceSet", "format_sequence_set"]

MAX_RANGES = 20_000
"""More than fit into a 64 KiB command; bounds the work whatever the command limit is set to."""

_STAR = 0
_MAX_NUMBER = 0xFFFF_FFFF
_ITEM = re.compile(rb"([1-9][0-9]{0,9}|\*)(?::([1-9][0-9]{0,9}|\*))?")


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as the client wrote them; 0 stands for ``*``. ``saved``: ``$``, the result of the last search that saved it."""

    ranges: tuple[tuple[int, int], ...]
    saved: bool = False

    @classmethod
    def parse(cls, raw: bytes) -> "SequenceSet":
        """Read a whole sequence-set. Raises ValueError."""
        if raw == b"$":
            return cls((), saved=True)
        if raw.count(b",") >= MAX_RANGES:
            raise ValueError("too many ranges in sequence set")
        return cls(tuple(_parse_item(item) for item in raw.split(b",")))

    @property
    def uses_star(self) -> bool:
        return any(_STAR in pair for pair in self.ranges)

    @property
    def highest(self) -> int:
        """Return the highest number named, ``*`` not counted; 0 when there is none."""
        return max(chain.from_iterable(self.ranges), default=0)

    def resolve(self, largest: int) -> list[tuple[int, int]]:
        """Return ascending disjoint ranges with ``*`` replaced by ``largest``; those made of ``*`` alone vanish when it is 0."""
        spans = sorted(
            (min(pair), max(pair)) for pair in (((low or largest), (high or largest)) for low, high in self.ranges) if 0 not in pair
        )
        merged: list[tuple[int, int]] = []
        for low, high in spans:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged

    def to_bytes(self) -> bytes:
        return b"$" if self.saved else b",".join(_format_range(low, high) for low, high in self.ranges)


def _parse_item(item: bytes) -> tuple[int, int]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError("sequence set expected, such as 1:5,9,20:*")
    low = _parse_number(match.group(1))
    return low, low if match.group(2) is None else _parse_number(match.group(2))


def _parse_number(raw: bytes) -> int:
    if raw == b"*":
        return _STAR
    number = int(raw)
    if number > _MAX_NUMBER:
        raise ValueError("number in sequence set is above 4294967295")
    return number


def _format_range(low: int, high: int) -> bytes:
    first, last = (b"*" if number == _STAR else b"%d" % number for number in (low, high))
    return first if low == high else first + b":" + last


def format_sequence_set(numbers: Iterable[int]) -> bytes:
    """Return numbers in their order with runs joined: 1,2,3,7 becomes ``1:3,7``. Empty input gives ``b""``."""
    ordered: Sequence[int] = numbers if isinstance(numbers, (list, tuple, range)) else list(numbers)
    if not ordered:
        return b""
    pieces: list[str] = []
    first = last = ordered[0]
    for number in ordered[1:]:
        if number == last + 1:
            last = number
            continue
        pieces.append(f"{first}" if first == last else f"{first}:{last}")
        first = last = number
    pieces.append(f"{first}" if first == last else f"{first}:{last}")
    return ",".join(pieces).encode("ascii")
