"""The ports between services: what each needs of the others, as protocols without behaviour.

``app.wiring`` alone decides which class stands behind a port. Storage ports are
synchronous and may be called from any thread; services reach them through
``Offload`` unless the method says "in memory". Service ports are ``async``.

Sources: design note "ports and adapters", maddy's DeliveryTarget, pymap's interfaces.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar, TypeVarTuple

from appliance.model.changes import Changes, NameChange, NamePlaces
from appliance.model.content import Content
from appliance.model.dns import Asking, DnsAnswer, DnsQuestion
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName, MailboxId, MailboxName, ModSeq, QueueId, Uid
from appliance.model.mailbox import (
    AnnotationChange,
    AppendResult,
    CopyResult,
    FlagAction,
    MailboxInfo,
    MailboxStatus,
    MessageDetails,
    NewMessage,
    QuotaUse,
    Snapshot,
    SpecialUse,
    StoreResult,
    Summary,
    Told,
)
from appliance.model.outcome import Outcome
from appliance.model.routing import LocalTarget, NextHop, Resolution

if TYPE_CHECKING:
    from appliance.model.finding import Finder

__all__ = [
    "AccountFeed",
    "AccountSubscription",
    "Authenticator",
    "ChangeFeed",
    "Clock",
    "ContentWriter",
    "Directory",
    "DnsLookup",
    "Intake",
    "LocalDelivery",
    "LocalJob",
    "MailStore",
    "MailStores",
    "Mailbox",
    "Offload",
    "QueueAdmin",
    "QueueItem",
    "QueueItemRecipient",
    "RelayDelivery",
    "RelayJob",
    "Router",
    "ScramKeys",
    "Subscription",
]

T = TypeVar("T")
U = TypeVar("U")
Ts = TypeVarTuple("Ts")


class Clock(Protocol):
    def now_s(self) -> float:
        """Return wall clock seconds since the epoch, UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards."""


class Offload(Protocol):
    """The one door to threads; tests put an inline call behind it."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call ``function`` in a worker thread and return what it returns. Cancellation waits for it to end."""


class DnsLookup(Protocol):
    """Answers the DNS questions of checks (``model.dns``); caches."""

    async def ask(self, question: DnsQuestion) -> DnsAnswer:
        """Answer one question. Blocks: network, bounded. Never raises."""

    async def ask_all(self, asking: Asking[T], deadline_s: float = math.inf) -> T:
        """Run a check to its end. From ``deadline_s`` (monotonic) on every answer is that nobody can tell."""

    async def ask_both(self, first: Asking[T], second: Asking[U], deadline_s: float = math.inf) -> tuple[T, U]:
        """Run two checks at once."""


class ChangeFeed(Protocol):
    """Tells who watches a mailbox that it may have changed. ``publish`` and ``publish_name`` may be called from any thread."""

    def publish(self, account: AccountName, mailbox: MailboxName) -> None: ...

    def publish_name(self, account: AccountName, change: NameChange) -> None:
        """Tell who watches the account of a mailbox that was made, renamed, removed or subscribed to."""

    def subscribe(self, account: AccountName, mailbox: MailboxName) -> "AbstractContextManager[Subscription]":
        """Watch one mailbox until the block ends; files changed by other programs count too. In memory."""


class AccountFeed(ChangeFeed, Protocol):
    """Also tells of several mailboxes of an account at once, and of their names (RFC 5465). In memory."""

    def watch_account(
        self, account: AccountName, mailboxes: Collection[MailboxName], places: NamePlaces
    ) -> "AbstractContextManager[AccountSubscription]":
        """Watch the messages of these mailboxes, and all names, until the block ends. ``places``: where other programs change names."""


class AccountSubscription(Protocol):
    async def wait_changes(self) -> Changes:
        """Return what was published since the last return, as soon as there is something."""

    def changes_nowait(self) -> Changes:
        """Return what was published since the last return, be it nothing."""


class Subscription(Protocol):
    async def wait_changed(self) -> None:
        """Return when something was published since the last return; several changes count as one."""


# Mailboxes


class Mailbox(Protocol):
    """One mailbox, shared by all who have it open. Raises ``ApplianceError`` kinds."""

    @property
    def name(self) -> MailboxName: ...

    @property
    def mailbox_id(self) -> MailboxId:
        """What stays with it under any name (RFC 8474). In memory."""

    def refresh(self) -> bool:
        """Take in what other programs changed on disk; True if anything did. Cheap when nothing did. Blocks: disk."""

    @property
    def finder(self) -> "Finder":
        """What is known of the messages for finding them. In memory."""

    def is_fresh(self) -> bool:
        """Tell whether the snapshot is known to be what ``refresh`` would find. A few file system look-ups, never a wait for a lock."""

    def snapshot(self) -> Snapshot:
        """Return the messages as of the last change or refresh. In memory."""

    def vanished_since(self, modseq: ModSeq) -> Sequence[tuple[int, int]]:
        """Return the uids expunged after ``modseq`` as ascending ranges of first and last (RFC 7162 section 3.2.6).

        May name uids that went earlier or never were, never less; none that is there. Blocks: disk.
        """

    def claim_recent(self) -> frozenset[Uid]:
        """Return the uids that no session has been told of yet; they are recent for this caller alone.

        On a full disk they may stay recent for the next one. Blocks: disk.
        """

    def summaries(self, uids: Sequence[Uid]) -> Sequence[Summary]:
        """Return what is known of each uid, in that order; uids that are gone are left out. Blocks: disk."""

    def details(self, uids: Sequence[Uid], *, ids: bool, previews: bool) -> Mapping[Uid, MessageDetails]:
        """Return what was asked for, made at first use and kept; besides that what is there already. Uids that are gone are left out.

        Blocks: disk.
        """

    def open_message(self, uid: Uid) -> BinaryIO:
        """Return the message as a seekable stream with CRLF line ends. Raises ExpungedError. Blocks: disk."""

    def store_flags(
        self,
        uids: Sequence[Uid],
        action: FlagAction,
        flags: int,
        keywords: Sequence[str] = (),
        unchanged_since: ModSeq | None = None,
        told: Told | None = None,
        *,
        durable: bool = True,
    ) -> StoreResult:
        """Change flags. ``flags``: system flags; ``keywords`` by name. Durable at return, with what was changed before and not ``durable``.

        ``unchanged_since`` (RFC 7162 section 3.1.3): leave messages with a higher modseq alone. Not those
        of which ``told`` says that the flags in question are as its client knows them (section 3.1.12); and with 0
        only keywords that a message has stand in the way, and any system flag.
        """

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove exactly these messages whatever their flags; return those that were there. Durable at return."""

    def origins(self, uids: Sequence[Uid]) -> Sequence[QueueId]:
        """Return the queue ids of those messages that the queue delivered here, as far as the files tell. Blocks: disk."""

    def copy_to(self, uids: Sequence[Uid], destination: MailboxName) -> CopyResult:
        """Copy messages with flags and dates; all or none. Durable at return."""

    def move_to(self, uids: Sequence[Uid], destination: MailboxName) -> CopyResult:
        """Move messages (RFC 6851); a crash leaves each at least once. Durable at return."""


class MailStore(Protocol):
    """All mailboxes of one account. One writer at a time inside; callers need no lock.

    ``origin`` stands in what is published of a change: the caller hears of its own, too.
    """

    def list_mailboxes(self) -> Sequence[MailboxInfo]:
        """Return every mailbox and the missing parents, INBOX first; subscriptions to mailboxes that are gone are not here."""

    def exists(self, name: MailboxName) -> bool:
        """Tell whether there is such a mailbox; a name that only stands above others is none. Raises InvalidNameError."""

    def subscriptions(self) -> frozenset[MailboxName]: ...

    def subscribe(self, name: MailboxName, origin: object = None) -> None: ...

    def unsubscribe(self, name: MailboxName, origin: object = None) -> None: ...

    def name_places(self) -> NamePlaces:
        """Return where other programs make, rename and remove mailboxes. Blocks: disk."""

    def create_mailbox(self, name: MailboxName, special_uses: Sequence[SpecialUse] = (), origin: object = None) -> MailboxId:
        """Create it and its missing parents. Raises AlreadyExistsError, InvalidNameError, OverQuotaError. Durable at return."""

    def quota(self) -> Sequence[QuotaUse]:
        """Return what is limited for this account, and how much of it is used. Blocks: disk."""

    def annotations(self, name: MailboxName | None) -> Mapping[str, bytes]:
        """Return the annotations of a mailbox, special uses among them as ``/private/specialuse``; of the account for None. Raises NotFoundError."""

    def annotate(
        self,
        name: MailboxName | None,
        changes: Mapping[str, bytes | None],
        max_entries: int,
        special_uses: Sequence[SpecialUse] | None = None,
        origin: object = None,
    ) -> None:
        """Set annotations, remove those that are None, say what the mailbox is for; all or none. Durable at return.

        Raises NotFoundError, LimitError for more than ``max_entries``.
        """

    def annotation_news(self, since: int) -> tuple[int, Sequence[AnnotationChange]]:
        """Return where the news of annotations end now, and those since then; none for a negative ``since``. In memory."""

    def delete_mailbox(self, name: MailboxName, origin: object = None) -> None:
        """Delete it with its messages; children stay (RFC 3501 section 6.3.4). Raises NotFoundError, InUseError."""

    def rename_mailbox(self, old: MailboxName, new: MailboxName, origin: object = None) -> None:
        """Rename with children; INBOX keeps existing and only its messages move (RFC 3501 section 6.3.5)."""

    def status(self, name: MailboxName, *, sizes: bool = True) -> MailboxStatus:
        """Refresh and count; without ``sizes`` the byte counts may be too low, and nothing is read for them. Raises NotFoundError."""

    def open_mailbox(self, name: MailboxName) -> Mailbox:
        """Return the mailbox, refreshed. Raises NotFoundError."""

    def append(self, name: MailboxName, messages: Sequence[NewMessage], replaced_bytes: int = 0) -> AppendResult:
        """Put messages in, all or none. ``replaced_bytes``: what will go in their stead, for the quota. Raises NotFoundError, OverQuotaError, OutOfSpaceError. Durable at return."""


class MailStores(Protocol):
    """The door to all accounts' mail."""

    def account(self, account: AccountName) -> MailStore:
        """Return the account's store, made on first use. Blocks: disk on first use."""

    def deliver(self, account: AccountName, messages: Sequence[tuple[MailboxName, NewMessage]]) -> Sequence[ApplianceError | None]:
        """Write delivered messages into mailboxes (created if missing), not yet durable; one result per message, None when it was written.

        A message whose ``queue_id`` is already there, whole, is not written again.
        """

    def settle(self) -> None:
        """Put everything that ``deliver`` wrote before this call onto stable storage. Blocks: disk, long."""


# Addresses and logins


class Directory(Protocol):
    """What is known of addresses. Pure, in memory; swapped as a whole on reload."""

    def resolve(self, address: str) -> Resolution:
        """Say what becomes of a forward-path: local targets, aliases expanded; not ours; or refused."""

    def mailbox_of(self, address: str) -> LocalTarget | None:
        """Return the account whose own address this is, aliases and catch-all left aside: what final delivery asks."""

    def may_send_as(self, account: AccountName, address: str) -> bool:
        """True if the account may use the address as reverse-path or From."""

    def qualify(self, address: str) -> str:
        """Append the origin domain to an address that has none; ``postmaster`` too."""

    def primary_address(self, account: AccountName) -> str: ...


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """RFC 5802 section 3, for SCRAM-SHA-256. Never logged."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class Authenticator(Protocol):
    """Checks logins. A wrong name and a wrong password take the same time and say the same."""

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        """Return the account, or None. Waits longer after each failure from the same address."""

    def scram_keys(self, login: str) -> ScramKeys:
        """Return the keys of a login; for an unknown one, keys derived from a server secret that no password fits. In memory."""

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        """Return the account after a SCRAM exchange whose proof was right; count the failure otherwise."""


# The queue


class ContentWriter(Protocol):
    """A message being received. Small ones stay in memory, from ``inline_bytes`` on a file takes them."""

    @property
    def queue_id(self) -> QueueId: ...

    @property
    def size(self) -> int: ...

    async def write(self, chunk: bytes) -> None:
        """Append. Raises OutOfSpaceError."""

    async def prepend(self, data: bytes) -> None:
        """Put octets in front of all that was written. Raises OutOfSpaceError."""

    async def discard(self) -> None:
        """Forget it; harmless after ``Intake.accept``."""


class Intake(Protocol):
    """The queue's front door."""

    async def begin(self) -> ContentWriter:
        """Start a message. Waits while the queue is behind (backpressure). Raises OutOfSpaceError early when the disk is nearly full."""

    async def accept(self, envelope: Envelope, writer: ContentWriter) -> QueueId:
        """Return when content, envelope and every recipient are on stable storage: only then may 250 go out.

        Recipients must be resolved: each address is local or remote, aliases already expanded.
        Raises OutOfSpaceError, UnavailableError; then nothing was kept.
        """


@dataclass(frozen=True, slots=True)
class LocalJob:
    """One message for one local account and mailbox."""

    queue_id: QueueId
    envelope: Envelope
    recipient: EnvelopeRecipient
    content: Content
    arrived_at_s: float


class LocalDelivery(Protocol):
    """Puts mail into mailboxes of ours."""

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        """Deliver a batch; one outcome per job. DELIVERED is not durable before ``settle`` returns."""

    async def settle(self) -> None:
        """Return when everything delivered before the call is on stable storage."""


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class RelayJob:
    """One message for recipients that share a next hop."""

    queue_id: QueueId
    envelope: Envelope
    recipients: tuple[EnvelopeRecipient, ...]
    content: Content
    next_hop: NextHop
    attempts: int = 0
    """How many were made before, for the recipient with the most."""
    reached: Callable[[], object] = _nothing
    """To be called as soon as a server has let us in. In memory."""


class RelayDelivery(Protocol):
    """Hands mail to other servers."""

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """Try once; one outcome per recipient, in their order. Never raises for what a peer does."""


class Router(Protocol):
    """Which next hop an address has. Pure, in memory."""

    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        """Return None when the address is delivered locally. ``reverse_path``: senders may have ways of their own."""


@dataclass(frozen=True, slots=True)
class QueueItemRecipient:
    address: str
    state: str
    attempts: int
    next_attempt_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class QueueItem:
    queue_id: QueueId
    state: str
    reverse_path: str
    size: int
    arrived_at_s: float
    recipients: tuple[QueueItemRecipient, ...]


class QueueAdmin(Protocol):
    """What the queue commands and the status page may do."""

    async def items(self, limit: int) -> Sequence[QueueItem]:
        """Return the oldest entries that wait, at most ``limit``."""

    def counts(self) -> dict[str, int]:
        """Return the number of entries per state (active, deferred, hold, corrupt). In memory."""

    async def open_content(self, queue_id: QueueId) -> tuple[QueueItem, Content] | None: ...

    async def change(self, action: str, queue_ids: Iterable[QueueId]) -> int:
        """Apply ``retry``, ``hold``, ``release`` or ``delete``; return how many entries it applied to. Durable at return."""
