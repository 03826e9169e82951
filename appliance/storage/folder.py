"""What a mailbox format must be able to do; ``FileMailbox`` does the rest for all of them.

Every method is called with the account's lock held, may block on the disk and
raises ``OSError`` or ``ApplianceError``. A folder keeps its ``MessageTable`` in
step with the disk; the mailbox above gives out modseqs and keeps the index.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from appliance.model.ids import MailboxId, QueueId
from appliance.model.mailbox import NewMessage
from appliance.storage.fileops import FileOps
from appliance.storage.keywords import KeywordTable
from appliance.storage.table import Delta, MessageTable
from appliance.storage.watch import DirectoryWatches

__all__ = ["Added", "Folder", "FolderContext", "Known", "Pending"]


@dataclass(frozen=True, slots=True)
class FolderContext:
    """What every folder of an account shares."""

    ops: FileOps
    hostname: str
    now_s: Callable[[], float]
    monotonic_s: Callable[[], float]
    new_uid_validity: Callable[[], int]
    lock_wait_s: float = 10.0
    watches: DirectoryWatches = field(default_factory=DirectoryWatches)


@dataclass(frozen=True, slots=True)
class Known:
    """What the index remembers of a mailbox from the last time: a help, never needed."""

    uid_validity: int = 0
    next_uid: int = 0
    hashes: "dict[bytes, int] | None" = None


@dataclass(slots=True)
class Added:
    """A message that is now in the folder. ``data``: with CRLF, when it was small enough to be held.

    ``is_new`` is False when a repeated delivery found it there.
    """

    uid: int
    size: int
    data: bytes | None
    internal_date_s: int
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that must be flushed before a delivery is durable; ``fd`` is open, or -1 to open ``path`` then.

    ``is_new_name``: the directory must be flushed too.
    """

    fd: int
    path: bytes
    is_new_name: bool = True


class Folder(Protocol):
    """One mailbox on disk."""

    table: MessageTable
    keywords: KeywordTable
    uid_validity: int
    next_uid: int

    @property
    def header_hashes(self) -> Mapping[int, bytes]:
        """By uid, what recognises a message where the file does not say its uid."""

    def load(self, known: Known) -> Delta:
        """Read everything; every message is in ``added``."""

    def rescan(self) -> Delta:
        """Take in what others changed since the last look; cheap when nothing. Raises NotFoundError when the folder is gone."""

    def has_news(self) -> bool:
        """Tell whether ``rescan`` has anything to look at; a few ``stat`` calls at most."""

    def doubt(self) -> None:
        """A step failed half way: the next rescan reads everything again."""

    def is_there(self) -> bool:
        """Tell whether the folder still exists; one ``stat``."""

    def identify(self, *, anew: bool = False) -> MailboxId:
        """Return what stays with the folder under any name; ``anew``: it is the copy of another, give it one of its own. Durable at return."""

    def write_uids(self) -> None:
        """Write down the uids given so far, not flushed; nothing to do most of the time."""

    def flush_uids(self) -> None:
        """Make sure that no uid given so far can be given again after a crash; nothing to do most of the time."""

    def add(self, messages: Sequence[tuple[NewMessage, int]], *, durable: bool, pending: list[Pending] | None = None) -> list[Added]:
        """Put messages with their flag bits in, all or none. Unless ``durable``, ``pending`` takes what to flush later."""

    def delivering(self) -> AbstractContextManager[None]:
        """Hold the folder for a batch of ``deliver``; ``write_uids`` may be needed afterwards."""

    def deliver(self, message: NewMessage, flags: int, pending: list[Pending], *, distrust: bool) -> Added:
        """Put one message in, unless its queue id is there already, whole. Within ``delivering``.

        ``distrust``: the disk failed since it was delivered; write it again.
        """

    def set_flags(self, changes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Give positions new flags; return those that took. Durable at the next ``flush_flags`` at the latest."""

    def flush_flags(self) -> None:
        """Make the flags set so far durable; nothing to do most of the time."""

    def remove(self, positions: Sequence[int]) -> None:
        """Remove messages for good. Durable at return."""

    def claim_recent(self) -> list[int]:
        """Mark all recent messages as told; return their uids."""

    def save_keywords(self) -> None:
        """Write the keyword table down."""

    def open(self, position: int) -> BinaryIO:
        """Return the message as a seekable stream with CRLF line ends. Raises FileNotFoundError."""

    def dates(self, position: int) -> tuple[int, int]:
        """Return internal date and save date."""

    def queue_id(self, position: int) -> QueueId | None:
        """Return the queue id under which the message was delivered, if the folder can tell."""

    def copy_to(self, positions: Sequence[int], flags: Sequence[int], other: "Folder") -> list[int]:
        """Copy to another folder of the account; return the new uids. All or none. Durable at return."""

    def move_to(self, positions: Sequence[int], flags: Sequence[int], other: "Folder") -> list[int]:
        """Move to another folder of the account; return the new uids. Durable at return."""
