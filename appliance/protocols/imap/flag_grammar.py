"""Lists of flags, as STORE and APPEND write them.

Fails:    ``ParseError``.
Sources:  RFC 3501 section 9 (flag-list), section 2.3.2.
"""

from appliance.model.mailbox import Flag
from appliance.protocols.imap.commands import FlagList
from appliance.protocols.imap.grammar import MAX_LIST_ITEMS, ParseError, Reader

__all__ = ["read_flag_list", "read_flags"]


def read_flag_list(reader: Reader) -> FlagList:
    """Read flags behind an open parenthesis, which may hold none."""
    if reader.take(b")"):
        return FlagList()
    return read_flags(reader, closed=True)


def read_flags(reader: Reader, *, closed: bool) -> FlagList:
    """Read flags up to a closing parenthesis, or up to the end."""
    system = 0
    keywords: dict[str, str] = {}
    while True:
        flag = reader.read_flag()
        if isinstance(flag, Flag):
            system |= int(flag)
        else:
            keywords.setdefault(flag.lower(), flag)
        if len(keywords) > MAX_LIST_ITEMS:
            raise ParseError("too many flags")
        if reader.take(b")") if closed else reader.at_end:
            return FlagList(system, tuple(keywords.values()))
        reader.read_space()
        if not closed and reader.at_end:
            return FlagList(system, tuple(keywords.values()))
