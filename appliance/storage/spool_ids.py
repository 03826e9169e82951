"""Queue ids: 13 characters that sort by time of arrival and never come back.

A queue id is a 63-bit number, microseconds since the epoch above eleven bits
that start at random, written in Crockford's base 32: capitals and digits
without I, L, O and U, so that it survives a telephone, a case-insensitive file
system and a Maildir name. The number itself is the row id in the spool; new
rows are therefore always appended at the end of the tree.

Does not: depend on a clock that only moves forward. Within a process each id is
larger than the one before; a new process starts above the largest id in the
spool; should the clock have been set back meanwhile, an id that is gone already
can return only by the same microsecond and the same eleven random bits.

Sources: Crockford's base 32, Postfix's enable_long_queue_ids.
"""

from collections.abc import Callable
from typing import Final

from appliance.model.ids import QueueId

__all__ = ["QUEUE_ID_LENGTH", "QueueIds", "queue_id_from_int", "queue_id_to_int"]

QUEUE_ID_LENGTH: Final = 13

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS: Final = str.maketrans(_ALPHABET + "ILOU", "0123456789ABCDEFGHIJKLMNOPQRSTUV" + "!!!!")
"""Turns Crockford's digits into those that ``int`` knows, and the letters that are none of them into what it refuses."""
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_RANDOM_BITS: Final = 11
_LARGEST: Final = (1 << 63) - 1


def queue_id_from_int(number: int) -> QueueId:
    """Return the text form; the inverse of ``queue_id_to_int``. Pure."""
    pairs = _PAIRS
    return QueueId(
        _ALPHABET[number >> 60]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )


def queue_id_to_int(queue_id: str) -> int:
    """Return the row id; raises ValueError for text that was never a queue id. Lower case is understood."""
    if len(queue_id) != QUEUE_ID_LENGTH:
        raise ValueError(f"not a queue id: {queue_id!r}")
    digits = queue_id.upper().translate(_DIGITS)
    if not (digits.isascii() and digits.isalnum()):  # ``int`` would also take signs, underscores and spaces
        raise ValueError(f"not a queue id: {queue_id!r}")
    number = int(digits, 32)
    if number > _LARGEST:
        raise ValueError(f"not a queue id: {queue_id!r}")
    return number


class QueueIds:
    """Hands out queue ids, each larger than the last."""

    def __init__(self, now_s: Callable[[], float], random_bits: int, last: int = 0) -> None:
        """Start above ``last``, the largest number in the spool. ``random_bits``: any number; eleven bits are taken."""
        self._now_s = now_s
        self._low = random_bits & ((1 << _RANDOM_BITS) - 1)
        self._last = last

    def next(self) -> QueueId:
        number = (int(self._now_s() * 1_000_000) << _RANDOM_BITS) | self._low
        if number <= self._last:
            number = self._last + 1
        self._last = number
        return queue_id_from_int(number)
