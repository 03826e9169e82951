"""What the mailboxes of one account share, and what is delivered but not yet durable."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from appliance.model.changes import NameChange
from appliance.model.ids import AccountName, MailboxName, QueueId
from appliance.model.ports import ChangeFeed
from appliance.storage.folder import FolderContext

if TYPE_CHECKING:
    from appliance.storage.index import Index
    from appliance.storage.text_index import TextIndex

__all__ = [
    "AccountContext",
    "EnsureSettled",
    "MayRepeat",
    "MessageSummariser",
    "RecentDeliveries",
    "Rendered",
    "Summariser",
    "Vanished",
    "no_settling_needed",
    "nobody_asks",
]

MayRepeat = Callable[[], bool]
"""Tells whether any message in a mailbox may be delivered once more: true until the queue has caught up after a start."""
EnsureSettled = Callable[[Collection[QueueId]], None]
"""Returns when no queue entry of these ids can bring its message back. Called in a worker thread, without locks held."""

Vanished = Callable[[AccountName, MailboxName, Sequence[QueueId]], None]
"""Told which messages another program took out of a mailbox. Called in a worker thread, with locks held."""

MAX_RECENT = 100_000
GENERATIONS = 3


def no_settling_needed(queue_ids: Collection[QueueId]) -> None:
    """Stand in where nothing is ever delivered again: tests, tools."""


def nobody_asks(account: AccountName, mailbox: MailboxName, queue_ids: Sequence[QueueId]) -> None:
    """Stand in where nobody wants to know what vanished."""


class Rendered(Protocol):
    """What ``appliance.message.mime`` makes of a message."""

    @property
    def envelope(self) -> bytes: ...

    @property
    def body(self) -> bytes: ...

    @property
    def body_structure(self) -> bytes: ...


class Summariser(Protocol):
    """Renders the IMAP items of a message with CRLF line ends. Pure CPU."""

    def summarise(self, data: bytes) -> Rendered: ...

    def summarise_stream(self, stream: BinaryIO) -> Rendered: ...


class MessageSummariser:
    """The real one; its module is loaded with the first message."""

    def summarise(self, data: bytes) -> Rendered:
        from appliance.message import mime

        return mime.summarise(data)

    def summarise_stream(self, stream: BinaryIO) -> Rendered:
        from appliance.message import mime

        return mime.summarise_stream(stream)


class RecentDeliveries:
    """Queue ids whose entry may still be in the queue, so that a crash would deliver them again.

    The queue removes the entries that a ``settle`` covered soon after it returned;
    to be safe an id is remembered for ``GENERATIONS`` further ones.
    """

    def __init__(self, may_repeat: MayRepeat = lambda: False) -> None:
        """``may_repeat``: while it is true every id may still be in the queue, delivered by a process that was killed."""
        self._may_repeat = may_repeat
        self._lock = threading.Lock()
        self._generations: deque[dict[QueueId, None]] = deque([{}])
        self.distrusted: set[QueueId] = set()
        """Delivered before a ``settle`` that failed: the disk may have lost them although the files look whole."""

    def add(self, queue_id: QueueId) -> None:
        with self._lock:
            newest = self._generations[-1]
            if len(newest) >= MAX_RECENT:
                del newest[next(iter(newest))]
            newest[queue_id] = None
            self.distrusted.discard(queue_id)

    def begin_settling(self) -> None:
        with self._lock:
            self._generations.append({})
            while len(self._generations) > GENERATIONS:
                self._generations.popleft()

    def settling_failed(self) -> None:
        with self._lock:
            for generation in self._generations:
                self.distrusted.update(generation)

    def discard(self, queue_ids: Collection[QueueId]) -> None:
        with self._lock:
            for generation in self._generations:
                for queue_id in queue_ids:
                    generation.pop(queue_id, None)

    def __contains__(self, queue_id: object) -> bool:
        if self._may_repeat():
            return True
        with self._lock:
            return any(queue_id in generation for generation in self._generations)

    def __bool__(self) -> bool:
        if self._may_repeat():
            return True
        with self._lock:
            return any(self._generations)


@dataclass(slots=True)
class AccountContext:
    """One per account. ``lock``: one at a time reads or changes the account's mail."""

    account: AccountName
    folders: FolderContext
    index: "Index"
    texts: "TextIndex"
    summariser: Summariser
    feed: ChangeFeed
    recent: RecentDeliveries
    ensure_settled: EnsureSettled
    now_s: Callable[[], float]
    vanished: Vanished = nobody_asks
    lock: threading.RLock = field(default_factory=threading.RLock)

    def publish(self, name: MailboxName) -> None:
        """Tell watchers; never with the lock held."""
        self.feed.publish(self.account, name)

    def publish_name(self, change: NameChange) -> None:
        """Tell watchers of a changed name, with the lock held: who lists the names afterwards has heard of it before."""
        self.feed.publish_name(self.account, change)
