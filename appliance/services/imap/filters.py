"""FILTER: searches that the account keeps under a name, put in place of the key that names them.

They are annotations of the server: the account's own under ``/private/filters/values``, before
those under ``/shared/filters/values``.

Sources:  RFC 5466 section 3.1 (search), section 3.2 (annotations).
"""

from collections.abc import Mapping
from typing import Final

from appliance.message.text import codec_name
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.search_grammar import MAX_KEYS, SearchReader
from appliance.protocols.imap.search_keys import (
    AndKey,
    FilterKey,
    FuzzyKey,
    NotKey,
    OrKey,
    SearchKey,
    SequenceKey,
    count_keys,
    has_key,
    inner_keys,
)
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import RefusalError, Reply, no
from appliance.services.imap.session import Session
from appliance.services.imap.sync import uses_uids
from appliance.services.imap.uidonly import UID_REQUIRED

__all__ = ["expand_filters", "is_filter"]

MAX_PASSES = 5
"""RFC 5466 asks for at least 3."""
_ROOTS: Final = ("/private/filters/values/", "/shared/filters/values/")
_UTF8 = frozenset({"", "utf_8", "ascii"})


async def expand_filters(session: Session, key: SearchKey, charset: str) -> SearchKey:
    """Return ``key`` without FILTER keys. Raises RefusalError: UNDEFINED-FILTER, BADCHARSET, or UIDREQUIRED."""
    if not has_key(key, FilterKey):
        return key
    if charset and codec_name(charset) not in _UTF8:
        raise RefusalError(Reply(Condition.BAD, "FILTER is possible with UTF-8 alone", b"BADCHARSET (UTF-8)"))
    kept = await session.run_blocking(session.store.annotations, None)
    for _ in range(MAX_PASSES):
        names = sorted({inner.name for inner in _filters(key)})
        if not names:
            if uses_uids(session) and has_key(key, SequenceKey):
                raise RefusalError(UID_REQUIRED)
            return key
        found = {name: _look_up(kept, name) for name in names}
        key = _replaced(key, found)
        if count_keys(key) > MAX_KEYS:
            raise _undefined(names[0])
    raise _undefined(next(iter(_filters(key))).name)


def _undefined(name: str) -> RefusalError:
    return RefusalError(no("There is no such filter", b"UNDEFINED-FILTER " + name.encode("ascii")))


def is_filter(entry: str, value: bytes) -> bool:
    """Tell whether a server's annotation may have this value: only whole search criteria are filters (RFC 5466 section 3.2)."""
    if not entry.startswith(_ROOTS):
        return True
    try:
        _read(value)
    except ParseError:
        return False
    return True


def _look_up(kept: Mapping[str, bytes], name: str) -> SearchKey:
    value = next((kept[root + name.lower()] for root in _ROOTS if root + name.lower() in kept), None)
    if value is None:
        raise _undefined(name)
    try:
        return _read(value)
    except ParseError:
        raise _undefined(name) from None


def _read(value: bytes) -> SearchKey:
    reader = Reader(value)
    key = SearchReader(reader).read_keys()
    reader.read_end()
    return key


def _filters(key: SearchKey) -> list[FilterKey]:
    if isinstance(key, FilterKey):
        return [key]
    return [found for inner in inner_keys(key) for found in _filters(inner)]


def _replaced(key: SearchKey, found: dict[str, SearchKey]) -> SearchKey:
    match key:
        case FilterKey(name):
            return found[name]
        case NotKey(inner):
            return NotKey(_replaced(inner, found))
        case FuzzyKey(inner):
            return FuzzyKey(_replaced(inner, found))
        case OrKey(first, second):
            return OrKey(_replaced(first, found), _replaced(second, found))
        case AndKey(keys):
            return AndKey(tuple(_replaced(inner, found) for inner in keys))
        case _:
            return key
