"""Which mailboxes a command is about, as ESEARCH and NOTIFY say it.

Owns the grammar of filter-mailboxes; what a filter means is the session's matter.

Fails:    ``ParseError``.
Sources:  RFC 5465 section 6 and section 8 (filter-mailboxes), RFC 7377 section 2.2 (subtree-one).
"""

import enum
from dataclasses import dataclass
from typing import Final

from appliance.model.ids import MailboxName
from appliance.protocols.imap.grammar import ParseError, Reader

__all__ = ["MAX_MAILBOXES", "MailboxFilter", "MailboxScope", "read_mailbox_filter"]

MAX_MAILBOXES: Final = 1_000


class MailboxScope(enum.Enum):
    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    SUBTREE_ONE = "SUBTREE-ONE"
    MAILBOXES = "MAILBOXES"


_NAMED: Final = frozenset({MailboxScope.SUBTREE, MailboxScope.SUBTREE_ONE, MailboxScope.MAILBOXES})


@dataclass(frozen=True, slots=True)
class MailboxFilter:
    """``names`` stand behind SUBTREE, SUBTREE-ONE and MAILBOXES alone."""

    scope: MailboxScope
    names: tuple[MailboxName, ...] = ()


def read_mailbox_filter(reader: Reader) -> MailboxFilter:
    """Read one filter-mailboxes."""
    word = reader.read_word("mailbox filter")
    try:
        scope = MailboxScope(word)
    except ValueError:
        raise ParseError(f"no such mailbox filter: {word[:40]}") from None
    if scope not in _NAMED:
        return MailboxFilter(scope)
    reader.read_space()
    if not reader.take(b"("):
        return MailboxFilter(scope, (reader.read_mailbox(),))
    names = [reader.read_mailbox()]
    while not reader.take(b")"):
        reader.read_space()
        names.append(reader.read_mailbox())
        if len(names) > MAX_MAILBOXES:
            raise ParseError("too many mailboxes")
    return MailboxFilter(scope, tuple(names))
