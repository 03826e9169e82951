r"""What a mailbox holds, as numbers packed tightly, and the values that cross the store's port.

Flags are one integer: the system flags in the low byte, keyword ``n`` of
``Snapshot.keywords`` at bit ``8 + n``. ``\\Recent`` is per session and not here.

Sources: RFC 9051 section 2.3, RFC 7162 (modseq), RFC 6154 and RFC 8457 (special use), RFC 8474 (mailbox ids).
"""

import enum
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.model.content import Content
from appliance.model.ids import MailboxId, MailboxName, ModSeq, QueueId, Uid, UidNext, UidValidity

__all__ = [
    "KEYWORD_SHIFT",
    "AnnotationChange",
    "AppendResult",
    "CopyResult",
    "Flag",
    "FlagAction",
    "MailboxInfo",
    "MailboxStatus",
    "MessageDetails",
    "NewMessage",
    "QuotaLimits",
    "QuotaResource",
    "QuotaUse",
    "Snapshot",
    "SpecialUse",
    "StoreResult",
    "Summary",
    "Told",
]

KEYWORD_SHIFT = 8


class Flag(enum.IntFlag):
    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


class FlagAction(enum.Enum):
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"
    REPLACE = "FLAGS"


class SpecialUse(enum.Enum):
    """RFC 6154 section 2 and RFC 8457 section 3; the value is the attribute without its backslash."""

    ALL = "All"
    ARCHIVE = "Archive"
    DRAFTS = "Drafts"
    FLAGGED = "Flagged"
    IMPORTANT = "Important"
    JUNK = "Junk"
    SENT = "Sent"
    TRASH = "Trash"


class QuotaResource(enum.Enum):
    """RFC 9208 section 5."""

    STORAGE = "STORAGE"
    MESSAGE = "MESSAGE"
    MAILBOX = "MAILBOX"


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What an account may use; 0 for no limit."""

    storage_bytes: int = 0
    messages: int = 0
    mailboxes: int = 0


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """``used`` and ``limit`` in bytes or pieces."""

    resource: QuotaResource
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class AnnotationChange:
    """Entries of a mailbox (of the account: no name) that ``origin`` changed."""

    mailbox: MailboxName
    entries: tuple[str, ...]
    origin: object


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    r"""``selectable`` False: a name that only stands above others (RFC 9051 section 7.3.1, ``\NonExistent``)."""

    name: MailboxName
    selectable: bool = True
    subscribed: bool = False
    special_uses: tuple[SpecialUse, ...] = ()


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """Sizes are those of the messages with CRLF line ends; ``deleted``: messages that an EXPUNGE would remove."""

    messages: int
    recent: int
    unseen: int
    uid_next: UidNext
    uid_validity: UidValidity
    highest_modseq: ModSeq
    size_bytes: int
    mailbox_id: MailboxId
    deleted: int
    deleted_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The messages of a mailbox at one moment, oldest first; the arrays run in parallel and are never changed.

    ``uids``: typecode ``I``, ascending; ``flags`` and ``modseqs``: typecode ``Q``.
    """

    uid_validity: UidValidity
    uid_next: UidNext
    highest_modseq: ModSeq
    uids: "array[int]"
    flags: "array[int]"
    modseqs: "array[int]"
    keywords: tuple[str, ...] = ()
    more_keywords: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of one message without opening it.

    ``size_bytes`` with CRLF line ends (RFC822.SIZE); ``internal_date_s`` and
    ``save_date_s`` seconds since the epoch, UTC; ``envelope`` and
    ``body_structure`` the bytes of the IMAP FETCH items, rendered once
    (``body_structure`` with extension data, ``body`` without).
    """

    uid: Uid
    size_bytes: int
    internal_date_s: int
    save_date_s: int
    envelope: bytes
    body: bytes
    body_structure: bytes


@dataclass(frozen=True, slots=True)
class MessageDetails:
    """What is made of one message when somebody asks: RFC 8474 identifiers, RFC 8970 preview.

    ``""`` and None: not asked for and not there already.
    """

    email_id: str = ""
    thread_id: str = ""
    preview: str | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be put into a mailbox. ``queue_id`` makes a repeated delivery harmless: it is found and kept."""

    content: Content
    internal_date_s: float
    flags: int = 0
    keywords: tuple[str, ...] = ()
    queue_id: QueueId | None = None
    reverse_path: str = ""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """RFC 4315 APPENDUID: one uid per message, in their order."""

    uid_validity: UidValidity
    uids: tuple[Uid, ...]


@dataclass(frozen=True, slots=True)
class CopyResult:
    """RFC 4315 COPYUID: ``source`` and ``destination`` run in parallel; messages gone meanwhile are in neither."""

    uid_validity: UidValidity
    source: tuple[Uid, ...]
    destination: tuple[Uid, ...]


@dataclass(frozen=True, slots=True)
class StoreResult:
    """``changed``: uid to its flags now. ``failed``: uids whose modseq was above UNCHANGEDSINCE (RFC 7162 section 3.1.3).

    ``modseqs``: of all in ``changed``, as of now.
    """

    changed: Mapping[Uid, int] = field(default_factory=dict)
    failed: tuple[Uid, ...] = ()
    modseqs: Mapping[Uid, ModSeq] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """The flags that a client knows of messages, and the keywords that their bits stand for."""

    flags: Mapping[Uid, int]
    keywords: tuple[str, ...]
