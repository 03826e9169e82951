"""The arguments of SEARCH, SORT, THREAD, ESEARCH and CANCELUPDATE; their keys are ``search_grammar``'s.

Fails:    ``ParseError``.
Sources:  RFC 3501 section 9 (search), RFC 4466 section 2.6 (search-return-opts), RFC 4731
          section 4, RFC 5182 section 3, RFC 5256 section 5, RFC 5267 section 5, RFC 5957
          section 5, RFC 6203 section 7, RFC 7377 section 4, RFC 9394 section 4.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.model.finding import SortCriterion, SortKey
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_search import (
    CancelUpdate,
    MultiSearch,
    Returns,
    Search,
    SearchReturn,
    Sort,
    Thread,
    ThreadAlgorithm,
)
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.mailbox_filter import MailboxFilter, MailboxScope, read_mailbox_filter
from appliance.protocols.imap.partial_range import PartialRange, read_partial_range
from appliance.protocols.imap.search_grammar import SearchReader
from appliance.protocols.imap.search_keys import FuzzyKey, SearchKey, has_key
from appliance.protocols.imap.state import LOGGED_IN, SELECTED, Verb

__all__ = ["VERBS"]

MAX_CRITERIA: Final = 50
MAX_TAGS: Final = 100
MAX_SOURCES: Final = 100


def _take_returns(reader: Reader) -> Returns | None:
    """Read ``RETURN (...) `` if it is next."""
    if not reader.take(b"RETURN ("):
        return None
    options = SearchReturn.NONE
    partial: PartialRange | None = None
    for name in reader.read_words("return option"):
        if name == "PARTIAL":
            reader.read_space()
            if partial is not None:
                raise ParseError("PARTIAL twice")
            partial = read_partial_range(reader)
        elif name in SearchReturn.__members__ and name != "NONE":
            options |= SearchReturn[name]
        else:
            raise ParseError(f"no such return option: {name[:40]}")
    if partial is not None and SearchReturn.ALL in options:
        raise ParseError("PARTIAL and ALL exclude each other")
    # RFC 4731 section 3.1: an empty list means ALL.
    if not options and partial is None:
        options = SearchReturn.ALL
    reader.read_space()
    return Returns(options, partial)


def _check(key: SearchKey, returns: Returns | None, criteria: tuple[SortCriterion, ...] = ()) -> None:
    """RFC 6203 sections 4 and 6: RELEVANCY needs something fuzzy."""
    wanted = (returns is not None and SearchReturn.RELEVANCY in returns) or any(one.key is SortKey.RELEVANCY for one in criteria)
    if wanted and not has_key(key, FuzzyKey):
        raise ParseError("RELEVANCY needs a FUZZY key")


def _read_search(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    returns = _take_returns(reader)
    charset, key = _read_program(reader)
    _check(key, returns)
    return Search(key, uid, returns, charset)


def _read_program(reader: Reader) -> tuple[str, SearchKey]:
    charset = ""
    if reader.take(b"CHARSET "):
        if reader.utf8:
            # RFC 6855 section 3: two labels for one text.
            raise ParseError("CHARSET cannot be used once UTF-8 is enabled")
        charset = _read_charset(reader)
        reader.read_space()
    return charset, SearchReader(reader).read_keys()


def _read_charset(reader: Reader) -> str:
    return reader.read_astring("charset").decode("ascii", "replace")


def _read_sort(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    returns = _take_returns(reader)
    if not reader.take(b"("):
        reader.fail("list of sort criteria")
    criteria = [_read_criterion(reader)]
    while not reader.take(b")"):
        reader.read_space()
        criteria.append(_read_criterion(reader))
        if len(criteria) > MAX_CRITERIA:
            raise ParseError("too many sort criteria")
    reader.read_space()
    charset = _read_charset(reader)
    reader.read_space()
    key = SearchReader(reader).read_keys()
    _check(key, returns, tuple(criteria))
    return Sort(key, uid, returns, charset, tuple(criteria))


def _read_criterion(reader: Reader) -> SortCriterion:
    name = reader.read_word("sort criterion")
    reverse = name == "REVERSE"
    if reverse:
        reader.read_space()
        name = reader.read_word("sort criterion")
    if name not in SortKey.__members__:
        raise ParseError(f"no such sort criterion: {name[:40]}")
    return SortCriterion(SortKey[name], reverse)


def _read_thread(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    name = reader.read_word("threading algorithm")
    if name not in ThreadAlgorithm.__members__:
        raise ParseError(f"no such threading algorithm: {name[:40]}")
    reader.read_space()
    charset = _read_charset(reader)
    reader.read_space()
    return Thread(SearchReader(reader).read_keys(), uid, None, charset, ThreadAlgorithm[name])


def _read_esearch(reader: Reader, uid: bool) -> Command:
    reader.read_space()
    sources = _read_sources(reader) if reader.take(b"IN (") else ()
    returns = _take_returns(reader) or Returns(SearchReturn.ALL)
    charset, key = _read_program(reader)
    _check(key, returns)
    others = any(source.scope is not MailboxScope.SELECTED for source in sources)
    # RFC 7377 section 2.2: both concern the selected mailbox alone.
    for option in (SearchReturn.SAVE, SearchReturn.UPDATE):
        if others and option in returns:
            raise ParseError(f"{option.name} is possible in the selected mailbox alone")
    return MultiSearch(key, True, returns, charset, sources)


def _read_sources(reader: Reader) -> tuple[MailboxFilter, ...]:
    sources = [_read_source(reader)]
    while not reader.take(b")"):
        reader.read_space()
        if reader.take(b"("):
            reader.fail("no scope option, for there are none,")
        sources.append(_read_source(reader))
        if len(sources) > MAX_SOURCES:
            raise ParseError("too many sources")
    reader.read_space()
    return tuple(sources)


def _read_source(reader: Reader) -> MailboxFilter:
    source = read_mailbox_filter(reader)
    if source.scope is MailboxScope.SELECTED_DELAYED:
        raise ParseError("selected-delayed cannot be searched")
    return source


def _read_cancel_update(reader: Reader, uid: bool) -> Command:
    tags: list[bytes] = []
    while reader.take(b" ") and not reader.at_end:
        tags.append(reader.read_string("tag in quotes"))
        if len(tags) > MAX_TAGS:
            raise ParseError("too many tags")
    if not tags:
        reader.fail("tag in quotes")
    return CancelUpdate(tuple(tags))


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "SEARCH": Verb(SELECTED, _read_search, takes_uid=True),
        "SORT": Verb(SELECTED, _read_sort, takes_uid=True),
        "THREAD": Verb(SELECTED, _read_thread, takes_uid=True),
        "ESEARCH": Verb(LOGGED_IN, _read_esearch),
        "CANCELUPDATE": Verb(SELECTED, _read_cancel_update),
    }
)
