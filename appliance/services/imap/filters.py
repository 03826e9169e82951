"""FILTER: searches that the account keeps under a name, put in place of the key that names them.

Sources:  RFC 5466 section 3.1.
"""

from appliance.message.text import codec_name
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.search_grammar import MAX_KEYS, SearchReader
from appliance.protocols.imap.search_keys import AndKey, FilterKey, FuzzyKey, NotKey, OrKey, SearchKey, count_keys, has_key, inner_keys
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import RefusalError, Reply, no
from appliance.services.imap.session import Session

__all__ = ["expand_filters"]

MAX_PASSES = 5
"""RFC 5466 asks for at least 3."""
_UTF8 = frozenset({"", "utf_8", "ascii"})


async def expand_filters(session: Session, key: SearchKey, charset: str) -> SearchKey:
    """Return ``key`` without FILTER keys. Raises RefusalError: UNDEFINED-FILTER, or BADCHARSET."""
    if not has_key(key, FilterKey):
        return key
    if charset and codec_name(charset) not in _UTF8:
        raise RefusalError(Reply(Condition.BAD, "FILTER is possible with UTF-8 alone", b"BADCHARSET (UTF-8)"))
    for _ in range(MAX_PASSES):
        names = sorted({inner.name for inner in _filters(key)})
        if not names:
            return key
        found = {name: await _look_up(session, name) for name in names}
        key = _replaced(key, found)
        if count_keys(key) > MAX_KEYS:
            raise _undefined(names[0])
    raise _undefined(next(iter(_filters(key))).name)


def _undefined(name: str) -> RefusalError:
    return RefusalError(no("There is no such filter", b"UNDEFINED-FILTER " + name.encode("ascii")))


async def _look_up(session: Session, name: str) -> SearchKey:
    read = session.shared.search_filter
    value = await session.run_blocking(read, session.account, name) if read is not None and session.account is not None else None
    if value is None:
        raise _undefined(name)
    reader = Reader(value)
    try:
        key = SearchReader(reader).read_keys()
        reader.read_end()
    except ParseError:
        raise _undefined(name) from None
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
