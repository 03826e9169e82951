"""One small frozen value per IMAP command, as the grammar delivers them.

Owns names and shapes only. Mailbox names are decoded; sets of messages stay as
the client wrote them, because what ``*`` means is known to the session alone.
APPEND is not here: its message arrives as events (``events``).

Sources:  RFC 3501 section 6, RFC 2971 (ID), RFC 3691 (UNSELECT), RFC 4315
(UID EXPUNGE), RFC 5161 (ENABLE), RFC 5258 and RFC 5819
(LIST), RFC 6154 (CREATE USE), RFC 6851 (MOVE).
"""

import enum
from dataclasses import dataclass, field
from typing import ClassVar

from appliance.model.ids import MailboxName, ModSeq
from appliance.model.mailbox import FlagAction
from appliance.protocols.imap.fetch_items import FetchItem
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.sync_values import FetchModifiers, SelectParameters

__all__ = [
    "Authenticate",
    "Capability",
    "Check",
    "Close",
    "Command",
    "Copy",
    "Create",
    "Delete",
    "Enable",
    "Examine",
    "Expunge",
    "Fetch",
    "FlagList",
    "Id",
    "Idle",
    "List",
    "ListReturn",
    "ListSelect",
    "Login",
    "Logout",
    "Lsub",
    "Move",
    "Namespace",
    "Noop",
    "Rename",
    "Select",
    "StartTls",
    "Status",
    "StatusItem",
    "Store",
    "Subscribe",
    "Unselect",
    "Unsubscribe",
]


class StatusItem(enum.Enum):
    """RFC 9051 section 6.3.11, RFC 3501 (RECENT), RFC 7162 section 3.1.7, RFC 7889, RFC 8438 (SIZE), RFC 8474, RFC 9208 (DELETED-STORAGE)."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    SIZE = "SIZE"
    DELETED = "DELETED"
    DELETED_STORAGE = "DELETED-STORAGE"
    APPENDLIMIT = "APPENDLIMIT"
    MAILBOXID = "MAILBOXID"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"


class ListSelect(enum.Flag):
    """RFC 5258 section 3.1: which mailboxes are meant."""

    NONE = 0
    SUBSCRIBED = 1
    REMOTE = 2
    RECURSIVEMATCH = 4
    SPECIAL_USE = 8


class ListReturn(enum.Flag):
    """RFC 5258 section 3.2, RFC 6154 and RFC 8440: what is told of each."""

    NONE = 0
    SUBSCRIBED = 1
    CHILDREN = 2
    SPECIAL_USE = 4
    MYRIGHTS = 8


@dataclass(frozen=True, slots=True)
class FlagList:
    """System flags as bits of ``model.mailbox.Flag``; keywords by name, each once."""

    system: int = 0
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands; ``verb`` is the key into the state tables."""

    verb: ClassVar[str] = ""

    @property
    def allows_expunge(self) -> bool:
        """False while the answer counts by sequence numbers: then EXPUNGE has to wait (RFC 3501 section 7.4.1)."""
        return True


# Any state


@dataclass(frozen=True, slots=True)
class Capability(Command):
    verb: ClassVar[str] = "CAPABILITY"


@dataclass(frozen=True, slots=True)
class Noop(Command):
    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    verb: ClassVar[str] = "LOGOUT"


@dataclass(frozen=True, slots=True)
class Id(Command):
    verb: ClassVar[str] = "ID"
    parameters: tuple[tuple[bytes, bytes | None], ...] = ()


# Not authenticated


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """``initial_response`` is decoded (RFC 4959); ``b""`` when the client sent ``=``, None when it sent none."""

    verb: ClassVar[str] = "AUTHENTICATE"
    mechanism: str
    initial_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Login(Command):
    verb: ClassVar[str] = "LOGIN"
    login: str
    password: str = field(repr=False)


# Authenticated


@dataclass(frozen=True, slots=True)
class Enable(Command):
    verb: ClassVar[str] = "ENABLE"
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Select(Command):
    verb: ClassVar[str] = "SELECT"
    mailbox: MailboxName
    parameters: SelectParameters = SelectParameters()


@dataclass(frozen=True, slots=True)
class Examine(Command):
    verb: ClassVar[str] = "EXAMINE"
    mailbox: MailboxName
    parameters: SelectParameters = SelectParameters()


@dataclass(frozen=True, slots=True)
class Create(Command):
    """``special_uses``: with their backslash, as the client wrote them; not all need be known."""

    verb: ClassVar[str] = "CREATE"
    mailbox: MailboxName
    special_uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete(Command):
    verb: ClassVar[str] = "DELETE"
    mailbox: MailboxName


@dataclass(frozen=True, slots=True)
class Rename(Command):
    verb: ClassVar[str] = "RENAME"
    old: MailboxName
    new: MailboxName


@dataclass(frozen=True, slots=True)
class Subscribe(Command):
    verb: ClassVar[str] = "SUBSCRIBE"
    mailbox: MailboxName


@dataclass(frozen=True, slots=True)
class Unsubscribe(Command):
    verb: ClassVar[str] = "UNSUBSCRIBE"
    mailbox: MailboxName


@dataclass(frozen=True, slots=True)
class List(Command):
    r"""``extended``: the client used RFC 5258 syntax, so ``\NonExistent`` is understood. ``metadata``: entries (RFC 9590)."""

    verb: ClassVar[str] = "LIST"
    reference: str
    patterns: tuple[str, ...]
    select: ListSelect = ListSelect.NONE
    returns: ListReturn = ListReturn.NONE
    status: tuple[StatusItem, ...] = ()
    extended: bool = False
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lsub(Command):
    verb: ClassVar[str] = "LSUB"
    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Status(Command):
    verb: ClassVar[str] = "STATUS"
    mailbox: MailboxName
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class Namespace(Command):
    verb: ClassVar[str] = "NAMESPACE"


@dataclass(frozen=True, slots=True)
class Idle(Command):
    verb: ClassVar[str] = "IDLE"


# Selected


@dataclass(frozen=True, slots=True)
class Check(Command):
    verb: ClassVar[str] = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    verb: ClassVar[str] = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    verb: ClassVar[str] = "UNSELECT"


@dataclass(frozen=True, slots=True)
class Expunge(Command):
    """``uids``: UID EXPUNGE (RFC 4315 section 2.1) takes only these."""

    verb: ClassVar[str] = "EXPUNGE"
    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    verb: ClassVar[str] = "FETCH"
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    uid: bool = False
    modifiers: FetchModifiers = FetchModifiers()

    @property
    def allows_expunge(self) -> bool:
        return self.uid


@dataclass(frozen=True, slots=True)
class Store(Command):
    verb: ClassVar[str] = "STORE"
    messages: SequenceSet
    action: FlagAction
    flags: FlagList
    silent: bool = False
    uid: bool = False
    unchanged_since: ModSeq | None = None

    @property
    def allows_expunge(self) -> bool:
        return self.uid


@dataclass(frozen=True, slots=True)
class Copy(Command):
    verb: ClassVar[str] = "COPY"
    messages: SequenceSet
    mailbox: MailboxName
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Move(Command):
    verb: ClassVar[str] = "MOVE"
    messages: SequenceSet
    mailbox: MailboxName
    uid: bool = False
