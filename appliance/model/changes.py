"""What happens to the mailboxes of an account as such, and what a watcher of several of them is told.

Sources: RFC 5465 section 5 (event types).
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.model.ids import MailboxName

__all__ = ["Changes", "NameChange", "NameChangeKind", "NamePlaces"]


class NameChangeKind(enum.Enum):
    NAME = "created, deleted or renamed"
    SUBSCRIPTION = "subscribed or unsubscribed"


@dataclass(frozen=True, slots=True)
class NameChange:
    """``old``: the name before a rename. ``origin``: who did it. What is true of ``name`` now is to be looked up."""

    kind: NameChangeKind
    name: MailboxName
    old: MailboxName | None = None
    origin: object = None


@dataclass(frozen=True, slots=True)
class NamePlaces:
    """Where on disk the names of an account are: directories, of whose entries ``matters`` picks some, and files."""

    directories: Sequence[str] = ()
    files: Sequence[str] = ()
    matters: Callable[[bytes], bool] = bool


@dataclass(frozen=True, slots=True)
class Changes:
    """``mailboxes``: whose messages may have changed. ``unnamed``: names changed on disk, and which is to be found out.

    ``overflown``: there were more than are kept; some are lost.
    """

    mailboxes: tuple[MailboxName, ...] = ()
    names: tuple[NameChange, ...] = ()
    unnamed: bool = False
    overflown: bool = False
