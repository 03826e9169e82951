"""What happens to the mailboxes of an account as such, and what a watcher of several of them is told.

Sources: RFC 5465 section 5 (event types).
"""

import enum
from dataclasses import dataclass

from appliance.model.ids import MailboxName

__all__ = ["Changes", "NameChange", "NameChangeKind"]


class NameChangeKind(enum.Enum):
    NAME = "created, deleted or renamed"
    SUBSCRIPTION = "subscribed or unsubscribed"


@dataclass(frozen=True, slots=True)
class NameChange:
    """``old``: the name before a rename. What is true of ``name`` now is to be looked up."""

    kind: NameChangeKind
    name: MailboxName
    old: MailboxName | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """``mailboxes``: whose messages may have changed. ``overflown``: there were more than are kept; some are lost."""

    mailboxes: tuple[MailboxName, ...] = ()
    names: tuple[NameChange, ...] = ()
    overflown: bool = False
