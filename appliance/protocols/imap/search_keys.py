"""The keys of SEARCH as a tree of frozen values.

Owns shapes only; parsing is ``search_grammar``, evaluation the session's. Each
``UN...`` key is a ``Not``, so that evaluation knows few kinds.

Sources:  RFC 3501 section 6.4.4, RFC 5032 (OLDER, YOUNGER), RFC 5466 (FILTER), RFC 6203 (FUZZY), RFC 7162
section 3.1.5 (MODSEQ).
"""

import datetime
import enum
from dataclasses import dataclass

from appliance.model.ids import ModSeq
from appliance.model.mailbox import Flag
from appliance.protocols.imap.sequence import SequenceSet

__all__ = [
    "AllKey",
    "AndKey",
    "Comparison",
    "DateKey",
    "DateKind",
    "FilterKey",
    "FlagKey",
    "FuzzyKey",
    "HeaderKey",
    "KeywordKey",
    "ModSeqKey",
    "NotKey",
    "ObjectIdKey",
    "OrKey",
    "RecentKey",
    "SearchKey",
    "SequenceKey",
    "SizeKey",
    "TextKey",
    "UidKey",
    "WithinKey",
    "count_keys",
    "has_key",
    "inner_keys",
    "named_by",
]


class Comparison(enum.Enum):
    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


class DateKind(enum.Enum):
    """``INTERNAL``: INTERNALDATE. ``SENT``: the Date field. ``SAVED``: SAVEDATE (RFC 8514 section 4.3). All without time and zone."""

    INTERNAL = ""
    SENT = "SENT"
    SAVED = "SAVED"


@dataclass(frozen=True, slots=True)
class AllKey:
    pass


@dataclass(frozen=True, slots=True)
class RecentKey:
    pass


@dataclass(frozen=True, slots=True)
class FlagKey:
    flag: Flag


@dataclass(frozen=True, slots=True)
class KeywordKey:
    keyword: str


@dataclass(frozen=True, slots=True)
class SequenceKey:
    messages: SequenceSet


@dataclass(frozen=True, slots=True)
class UidKey:
    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class DateKey:
    kind: DateKind
    comparison: Comparison
    date: datetime.date


@dataclass(frozen=True, slots=True)
class WithinKey:
    """RFC 5032: INTERNALDATE within the last ``seconds`` (YOUNGER) or before them (OLDER)."""

    seconds: int
    younger: bool


@dataclass(frozen=True, slots=True)
class SizeKey:
    """RFC822.SIZE above (``larger``) or below ``size_bytes``."""

    size_bytes: int
    larger: bool


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """``text`` in the decoded value of field ``name`` (lower case); empty text: the field is there. In the command's charset."""

    name: str
    text: bytes


@dataclass(frozen=True, slots=True)
class TextKey:
    """``text`` in the body, or in header section and body. In the command's charset."""

    text: bytes
    with_header: bool


@dataclass(frozen=True, slots=True)
class ModSeqKey:
    """RFC 7162 section 3.1.5: changed at ``modseq`` or after."""

    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class ObjectIdKey:
    """RFC 8474 section 6: EMAILID, or THREADID (``of_thread``), is exactly ``object_id``."""

    object_id: str
    of_thread: bool


@dataclass(frozen=True, slots=True)
class FilterKey:
    """RFC 5466 section 3.1: the keys that are stored under ``name``."""

    name: str


@dataclass(frozen=True, slots=True)
class FuzzyKey:
    """RFC 6203 section 3: matched as the server thinks fit."""

    key: "SearchKey"


@dataclass(frozen=True, slots=True)
class NotKey:
    key: "SearchKey"


@dataclass(frozen=True, slots=True)
class OrKey:
    first: "SearchKey"
    second: "SearchKey"


@dataclass(frozen=True, slots=True)
class AndKey:
    keys: tuple["SearchKey", ...]


SearchKey = (
    AllKey
    | RecentKey
    | FlagKey
    | KeywordKey
    | SequenceKey
    | UidKey
    | DateKey
    | WithinKey
    | SizeKey
    | HeaderKey
    | TextKey
    | ModSeqKey
    | ObjectIdKey
    | FilterKey
    | FuzzyKey
    | NotKey
    | OrKey
    | AndKey
)


def inner_keys(key: SearchKey) -> tuple[SearchKey, ...]:
    """Return the keys that ``key`` is made of."""
    match key:
        case NotKey(inner) | FuzzyKey(inner):
            return (inner,)
        case OrKey(first, second):
            return (first, second)
        case AndKey(keys):
            return keys
        case _:
            return ()


def has_key(key: SearchKey, kind: type) -> bool:
    """Tell whether a key of that kind is within ``key``."""
    return isinstance(key, kind) or any(has_key(inner, kind) for inner in inner_keys(key))


def count_keys(key: SearchKey) -> int:
    """Return how many keys are within ``key``, itself included."""
    return 1 + sum(map(count_keys, inner_keys(key)))


def named_by(key: SearchKey) -> SearchKey:
    """Return the sets of messages by number that ``key`` is confined to; all where it names none."""
    match key:
        case SequenceKey() | UidKey():
            return key
        case AndKey(keys):
            return AndKey(tuple(named_by(one) for one in keys))
        case _:
            return AllKey()
