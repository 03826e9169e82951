"""Which bit of a message's flags stands for which keyword, and the ``dovecot-keywords`` file.

Keyword ``n`` is bit ``KEYWORD_SHIFT + n`` of the flags and, in a Maildir, the
letter ``a`` + n after ``:2,``; so a Maildir has 26 of them. When all are taken,
one that no message carries is given away.

Fails: ``LimitError`` when all are in use; ``InvalidNameError`` for what is no atom.
Sources: Dovecot "Maildir Mailbox Format" (keywords), RFC 9051 section 2.3.2.
"""

import re
from collections.abc import Iterable, Sequence

from appliance.model.errors import InvalidNameError, LimitError
from appliance.model.mailbox import KEYWORD_SHIFT

__all__ = ["KeywordTable"]

SYSTEM_MASK = (1 << KEYWORD_SHIFT) - 1
MAX_KEYWORD_BYTES = 100
MAX_DIGITS = 10
_ATOM = re.compile(r'[^\x00-\x20\x7f-\U0010ffff(){%*"\\\]]+')


class KeywordTable:
    """The keywords of one mailbox, in the order of their bits. Names compare without case, the first spelling stays."""

    def __init__(self, names: Sequence[str] = (), limit: int = 26) -> None:
        self.names: list[str] = list(names[:limit])
        self._limit = limit

    def _find(self, name: str) -> int:
        lower = name.lower()
        for number, known in enumerate(self.names):
            if known.lower() == lower:
                return number
        return -1

    def mask(self, names: Iterable[str]) -> int:
        """Return the bits of those names that are known."""
        bits = 0
        for name in names:
            number = self._find(name)
            if number >= 0:
                bits |= 1 << (KEYWORD_SHIFT + number)
        return bits

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return the names that have no bit yet, each once. Raises InvalidNameError."""
        found: dict[str, str] = {}
        for name in names:
            if not _ATOM.fullmatch(name) or len(name) > MAX_KEYWORD_BYTES:
                raise InvalidNameError(f"keyword {name!r}")
            if self._find(name) < 0:
                found.setdefault(name.lower(), name)
        return list(found.values())

    def add(self, names: Iterable[str], used: int) -> None:
        """Give each name a bit. ``used``: all bits that any message carries. Raises LimitError, then nothing is changed."""
        table = list(self.names)
        taken = used >> KEYWORD_SHIFT
        for name in names:
            if len(table) < self._limit:
                number = len(table)
                table.append(name)
            else:
                number = next((n for n in range(len(table)) if not taken >> n & 1), -1)
                if number < 0:
                    raise LimitError(f"no room for keyword {name!r}")
            table[number] = name
            taken |= 1 << number
        self.names = table

    def has_room(self) -> bool:
        return len(self.names) < self._limit

    def grow(self, count: int) -> None:
        """Name the first ``count`` keywords somehow: their letters are in use and no file says what they mean."""
        while len(self.names) < min(count, self._limit):
            self.names.append(f"unknown-{len(self.names)}")

    def of(self, flags: int) -> list[str]:
        """Return the names of the keyword bits in ``flags``."""
        bits = flags >> KEYWORD_SHIFT
        return [name for number, name in enumerate(self.names) if bits >> number & 1]

    def to_bytes(self) -> bytes:
        """Return the ``dovecot-keywords`` file."""
        return b"".join(b"%d %s\n" % (number, name.encode("utf-8")) for number, name in enumerate(self.names))

    @classmethod
    def parse(cls, data: bytes, limit: int = 26) -> "KeywordTable":
        """Read a ``dovecot-keywords`` file; lines that are none are skipped."""
        table = cls((), limit)
        for line in data.splitlines():
            number_raw, _, name_raw = line.partition(b" ")
            # Thousands of digits are no number to ``int``.
            number = int(number_raw) if number_raw.isdigit() and len(number_raw) <= MAX_DIGITS else limit
            if name_raw and number < limit:
                table.grow(number + 1)
                table.names[number] = name_raw.decode("utf-8", "replace")
        return table
