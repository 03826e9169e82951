"""LIST with its extensions, and STATUS items.

Fails:    ``ParseError``.
Sources:  RFC 3501 section 6.3.8, RFC 5258 section 6, RFC 5819 (RETURN STATUS),
          RFC 6154 section 6, RFC 8440 (MYRIGHTS), RFC 9590 (METADATA).
"""

from appliance.protocols.imap.commands import List, ListReturn, ListSelect, StatusItem
from appliance.protocols.imap.grammar import MAX_LIST_ITEMS, ParseError, Reader
from appliance.protocols.imap.metadata_grammar import read_entries

__all__ = ["read_list", "read_status_items"]

MAX_PATTERNS = 100

_SELECT = {
    "SUBSCRIBED": ListSelect.SUBSCRIBED,
    "REMOTE": ListSelect.REMOTE,
    "RECURSIVEMATCH": ListSelect.RECURSIVEMATCH,
    "SPECIAL-USE": ListSelect.SPECIAL_USE,
}
_RETURN = {
    "SUBSCRIBED": ListReturn.SUBSCRIBED,
    "CHILDREN": ListReturn.CHILDREN,
    "SPECIAL-USE": ListReturn.SPECIAL_USE,
    "MYRIGHTS": ListReturn.MYRIGHTS,
}


def read_status_items(reader: Reader) -> tuple[StatusItem, ...]:
    """Return the parenthesised items, each once."""
    if not reader.take(b"("):
        reader.fail("list of status items")
    items: list[StatusItem] = []
    while True:
        name = reader.read_word("status item")
        try:
            items.append(StatusItem(name))
        except ValueError:
            raise ParseError(f"no such status item: {name[:40]}") from None
        if reader.take(b")"):
            return tuple(dict.fromkeys(items))
        reader.read_space()
        if len(items) > MAX_LIST_ITEMS:
            raise ParseError("too many status items")


def read_list(reader: Reader) -> List:
    """Read what follows ``LIST ``."""
    extended = False
    select = ListSelect.NONE
    if reader.take(b"("):
        extended = True
        select = _read_select(reader)
        reader.read_space()
    reference = reader.read_reference()
    reader.read_space()
    if reader.take(b"("):
        extended = True
        patterns = [reader.read_list_mailbox()]
        while not reader.take(b")"):
            reader.read_space()
            patterns.append(reader.read_list_mailbox())
            if len(patterns) > MAX_PATTERNS:
                raise ParseError("too many mailbox patterns")
    else:
        patterns = [reader.read_list_mailbox()]
    if not reader.take(b" RETURN ("):
        return List(reference, tuple(patterns), select, extended=extended)
    returns, status, metadata = _read_return(reader)
    return List(reference, tuple(patterns), select, returns, status, extended=True, metadata=metadata)


def _read_select(reader: Reader) -> ListSelect:
    select = ListSelect.NONE
    for name in reader.read_words("selection option"):
        if name not in _SELECT:
            raise ParseError(f"no such selection option: {name[:40]}")
        select |= _SELECT[name]
    if ListSelect.RECURSIVEMATCH in select and ListSelect.SUBSCRIBED not in select:
        # SPECIAL-USE does not count (RFC 6154 section 6, list-select-independent-opt).
        raise ParseError("RECURSIVEMATCH needs SUBSCRIBED")
    return select


def _read_return(reader: Reader) -> tuple[ListReturn, tuple[StatusItem, ...], tuple[str, ...]]:
    returns = ListReturn.NONE
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()
    for name in reader.read_words("return option"):
        if name == "STATUS":
            reader.read_space()
            status = read_status_items(reader)
        elif name == "METADATA":
            reader.read_space()
            metadata = read_entries(reader)
        elif name in _RETURN:
            returns |= _RETURN[name]
        else:
            raise ParseError(f"no such return option: {name[:40]}")
    return returns, status, metadata
