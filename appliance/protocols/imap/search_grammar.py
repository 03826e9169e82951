"""SEARCH keys: the recursive part of the grammar, with limits on depth and number.

Fails:    ``ParseError``.
Sources:  RFC 3501 section 6.4.4 and section 9 (search-key), RFC 5032 (OLDER, YOUNGER),
          RFC 5182 section 3 ($), RFC 5466 section 4 (FILTER), RFC 6203 section 7 (FUZZY),
          RFC 7162 section 3.1.5 (MODSEQ), RFC 8474 section 7 (objectid), RFC 8514 section 5, RFC 9738 section 3.2 (UIDAFTER, UIDBEFORE).
"""

import re
from collections.abc import Callable
from typing import Final

from appliance.model.mailbox import Flag
from appliance.protocols.imap.grammar import ParseError, Reader, printable
from appliance.protocols.imap.search_keys import (
    AllKey,
    AndKey,
    Comparison,
    DateKey,
    DateKind,
    FilterKey,
    FlagKey,
    FuzzyKey,
    HeaderKey,
    KeywordKey,
    ModSeqKey,
    NotKey,
    ObjectIdKey,
    OrKey,
    RecentKey,
    SearchKey,
    SequenceKey,
    SizeKey,
    TextKey,
    UidKey,
    WithinKey,
)
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.sync_grammar import read_modseq_key

__all__ = ["MAX_DEPTH", "MAX_KEYS", "SearchReader"]

MAX_DEPTH = 50
MAX_KEYS = 1_000
_OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")

_FIXED: Final[dict[str, SearchKey]] = {
    "ALL": AllKey(),
    "ANSWERED": FlagKey(Flag.ANSWERED),
    "DELETED": FlagKey(Flag.DELETED),
    "DRAFT": FlagKey(Flag.DRAFT),
    "FLAGGED": FlagKey(Flag.FLAGGED),
    "SEEN": FlagKey(Flag.SEEN),
    "UNANSWERED": NotKey(FlagKey(Flag.ANSWERED)),
    "UNDELETED": NotKey(FlagKey(Flag.DELETED)),
    "UNDRAFT": NotKey(FlagKey(Flag.DRAFT)),
    "UNFLAGGED": NotKey(FlagKey(Flag.FLAGGED)),
    "UNSEEN": NotKey(FlagKey(Flag.SEEN)),
    "SAVEDATESUPPORTED": AllKey(),
    "RECENT": RecentKey(),
    "OLD": NotKey(RecentKey()),
    "NEW": AndKey((RecentKey(), NotKey(FlagKey(Flag.SEEN)))),
}
_FIELDS: Final = ("BCC", "CC", "FROM", "SUBJECT", "TO")
_FILTER_NAME = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]/]+')


class SearchReader:
    """Reads the keys of one SEARCH command."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._keys = 0

    def read_keys(self) -> SearchKey:
        """Return the keys, all of which must match."""
        reader = self._reader
        keys = [self._read_key(0)]
        while reader.take(b" "):
            if reader.at_end:
                break
            keys.append(self._read_key(0))
        return keys[0] if len(keys) == 1 else AndKey(tuple(keys))

    def _read_key(self, depth: int) -> SearchKey:
        self._keys += 1
        if depth > MAX_DEPTH or self._keys > MAX_KEYS:
            raise ParseError("search is too complex")
        reader = self._reader
        if reader.take(b"("):
            keys = [self._read_key(depth + 1)]
            while not reader.take(b")"):
                reader.read_space()
                keys.append(self._read_key(depth + 1))
            return keys[0] if len(keys) == 1 else AndKey(tuple(keys))
        if reader.data[reader.pos : reader.pos + 1] in b"0123456789*$" and not reader.at_end:
            return SequenceKey(reader.read_sequence_set())
        name = reader.read_word("search key")
        fixed = _FIXED.get(name)
        if fixed is not None:
            return fixed
        if name == "NOT":
            reader.read_space()
            return NotKey(self._read_key(depth + 1))
        if name == "OR":
            reader.read_space()
            first = self._read_key(depth + 1)
            reader.read_space()
            return OrKey(first, self._read_key(depth + 1))
        if name == "FUZZY":
            reader.read_space()
            return FuzzyKey(self._read_key(depth + 1))
        return self._read_with_argument(name)

    def _read_with_argument(self, name: str) -> SearchKey:
        read = _WITH_ARGUMENT.get(name)
        if read is None:
            raise ParseError(f"no such search key: {printable(name.encode('ascii'))}")
        self._reader.read_space()
        return read(self._reader)


_Read = Callable[[Reader], SearchKey]


def _read_text(reader: Reader) -> bytes:
    return reader.read_astring("search text")


def _read_filter(reader: Reader) -> SearchKey:
    match = _FILTER_NAME.match(reader.data, reader.pos)
    if match is None:
        reader.fail("filter name")
    reader.pos = match.end()
    return FilterKey(match.group().decode("ascii"))


def _read_keyword(reader: Reader) -> SearchKey:
    flag = reader.read_flag()
    return FlagKey(flag) if isinstance(flag, Flag) else KeywordKey(flag)


def _read_unkeyword(reader: Reader) -> SearchKey:
    return NotKey(_read_keyword(reader))


def _read_header(reader: Reader) -> SearchKey:
    name = reader.read_astring("header field name").decode("ascii", "replace").lower()
    reader.read_space()
    return HeaderKey(name, _read_text(reader))


def _read_body(reader: Reader) -> SearchKey:
    return TextKey(_read_text(reader), with_header=False)


def _read_whole(reader: Reader) -> SearchKey:
    return TextKey(_read_text(reader), with_header=True)


def _read_uid(reader: Reader) -> SearchKey:
    return UidKey(reader.read_sequence_set())


def _read_modseq(reader: Reader) -> SearchKey:
    return ModSeqKey(read_modseq_key(reader))


def _uid_limit_reader(*, after: bool) -> _Read:
    def read(reader: Reader) -> SearchKey:
        uid = reader.read_number("uid")
        if after:
            return NotKey(UidKey(SequenceSet(((1, uid),)))) if uid else AllKey()
        return UidKey(SequenceSet(((1, uid - 1),))) if uid > 1 else NotKey(AllKey())

    return read


def _field_reader(name: str) -> _Read:
    return lambda reader: HeaderKey(name, _read_text(reader))


def _date_reader(kind: DateKind, comparison: Comparison) -> _Read:
    return lambda reader: DateKey(kind, comparison, reader.read_date())


def _size_reader(*, larger: bool) -> _Read:
    return lambda reader: SizeKey(reader.read_number("size", 0x7FFF_FFFF_FFFF_FFFF), larger)


def _within_reader(*, younger: bool) -> _Read:
    def read(reader: Reader) -> SearchKey:
        seconds = reader.read_number("interval")
        if seconds == 0:
            raise ParseError("interval must be above 0")
        return WithinKey(seconds, younger)

    return read


def _object_id_reader(*, of_thread: bool) -> _Read:
    def read(reader: Reader, _charset: str = "") -> SearchKey:
        raw = reader.read_atom("object identifier")
        if not _OBJECT_ID.fullmatch(raw):
            raise ParseError("object identifiers are made of letters, digits, _ and -")
        return ObjectIdKey(raw.decode("ascii"), of_thread)

    return read


_WITH_ARGUMENT: Final[dict[str, _Read]] = {
    "EMAILID": _object_id_reader(of_thread=False),
    "THREADID": _object_id_reader(of_thread=True),
    "KEYWORD": _read_keyword,
    "UNKEYWORD": _read_unkeyword,
    "HEADER": _read_header,
    "BODY": _read_body,
    "TEXT": _read_whole,
    "LARGER": _size_reader(larger=True),
    "SMALLER": _size_reader(larger=False),
    "OLDER": _within_reader(younger=False),
    "YOUNGER": _within_reader(younger=True),
    "UID": _read_uid,
    "UIDAFTER": _uid_limit_reader(after=True),
    "UIDBEFORE": _uid_limit_reader(after=False),
    "MODSEQ": _read_modseq,
    "FILTER": _read_filter,
    **{name: _field_reader(name.lower()) for name in _FIELDS},
    **{kind.value + comparison.value: _date_reader(kind, comparison) for kind in DateKind for comparison in Comparison},
}
