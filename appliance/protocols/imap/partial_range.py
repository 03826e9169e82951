"""Which of many results: ``1:100`` counts from the oldest, ``-1:-100`` from the newest.

Fails:    ``ParseError``.
Sources:  RFC 9394 section 3.1 (SEARCH), section 3.3 (UID FETCH), section 4 (partial-range).
"""

import re
from dataclasses import dataclass

from appliance.protocols.imap.grammar import ParseError, Reader

__all__ = ["PartialRange", "read_partial_range"]

_PARTIAL = re.compile(rb"(-?)([1-9][0-9]{0,9}):(-?)([1-9][0-9]{0,9})")


@dataclass(frozen=True, slots=True)
class PartialRange:
    """Results ``first`` to ``last``, counted from 1, or from the end when both are negative (RFC 9394 section 3.1)."""

    first: int
    last: int

    def slice(self, count: int) -> slice:
        """Return where the range lies among ``count`` results; empty where they do not reach."""
        low, high = sorted((abs(self.first), abs(self.last)))
        if self.first > 0:
            return slice(low - 1, min(high, count))
        return slice(max(count - high, 0), max(count - low + 1, 0))

    def to_bytes(self) -> bytes:
        return b"%d:%d" % (self.first, self.last)


def read_partial_range(reader: Reader) -> PartialRange:
    """Read ``1:100`` or ``-1:-100``."""
    match = _PARTIAL.match(reader.data, reader.pos)
    if match is None or match.group(1) != match.group(3):
        reader.fail("range such as 1:100 or -1:-100")
    reader.pos = match.end()
    first, last = int(match.group(2)), int(match.group(4))
    if max(first, last) > 0xFFFF_FFFF:
        raise ParseError("number in range is above 4294967295")
    return PartialRange(-first, -last) if match.group(1) else PartialRange(first, last)
