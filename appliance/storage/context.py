"""What the mailboxes of one account share, and what is delivered but not yet durable."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from appliance.model.ids import AccountName, MailboxName, QueueId
from appliance.model.ports import ChangeFeed
from appliance.storage.folder import FolderContext
from appliance.storage.index import Index

__all__ = ["AccountContext", "EnsureSettled", "MessageSummariser", "RecentDeliveries", "Rendered", "Summariser", "no_settling_needed"]

EnsureSettled = Callable[[Collection[QueueId]], None]
"""Returns when no queue entry of these ids can bring its message back. Called in a worker thread, without locks held."""

MAX_RECENT = 100_000


def no_settling_needed(queue_ids: Collection[QueueId]) -> None:
    """Stand in where nothing is ever delivered again: tests, tools."""


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

    ``settle`` is followed by the removal of the entries it covered, and the queue
    calls it again only after that: what was delivered before the last but one
    settling cannot come back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[QueueId, None] = {}
        self._settling: dict[QueueId, None] = {}

    def add(self, queue_id: QueueId) -> None:
        with self._lock:
            if len(self._open) >= MAX_RECENT:
                del self._open[next(iter(self._open))]
            self._open[queue_id] = None

    def begin_settling(self) -> None:
        with self._lock:
            self._settling, self._open = self._open, {}

    def settling_failed(self) -> None:
        with self._lock:
            self._open = self._settling | self._open

    def discard(self, queue_ids: Collection[QueueId]) -> None:
        with self._lock:
            for queue_id in queue_ids:
                self._open.pop(queue_id, None)
                self._settling.pop(queue_id, None)

    def __contains__(self, queue_id: object) -> bool:
        return queue_id in self._open or queue_id in self._settling

    def __bool__(self) -> bool:
        return bool(self._open or self._settling)


@dataclass(slots=True)
class AccountContext:
    """One per account. ``lock``: one at a time reads or changes the account's mail."""

    account: AccountName
    folders: FolderContext
    index: Index
    summariser: Summariser
    feed: ChangeFeed
    recent: RecentDeliveries
    ensure_settled: EnsureSettled
    now_s: Callable[[], float]
    lock: threading.RLock = field(default_factory=threading.RLock)
    special_use: dict[MailboxName, str] = field(default_factory=dict)

    def publish(self, name: MailboxName) -> None:
        """Tell watchers; never with the lock held."""
        self.feed.publish(self.account, name)
