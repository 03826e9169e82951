r"""What one session has told its client about a mailbox, and the way from there to what is true now.

Owns the session's own message numbers: a packed array of uids whose positions
are the sequence numbers, the flags told last, and who is recent for this
session. ``update`` compares with the store's snapshot and says what has to be
told; a message that is gone stays as a ghost, number and all, until a moment
where EXPUNGE may be sent (RFC 3501 section 7.4.1). ``\Recent`` is the bit
``responses.RECENT`` of our flags.

Does not: read files, send, or wait.
Sources:  RFC 3501 sections 2.3.1.2 and 7.4.1, RFC 2180 (shared mailboxes).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from appliance.model.ids import Uid
from appliance.model.mailbox import Flag, Snapshot
from appliance.protocols.imap.responses import RECENT, flag_names
from appliance.protocols.imap.sequence import SequenceSet
from appliance.services.imap.errors import RefusalError, bad

__all__ = ["MailboxView", "Update"]


@dataclass(slots=True)
class Update:
    """What to tell, in this order. ``expunged``: sequence numbers, each valid after those before it are told."""

    expunged: list[int] = field(default_factory=list)
    exists: bool = False
    recent: bool = False
    keywords: bool = False
    changed: list[int] = field(default_factory=list)
    """Positions whose flags differ from what was told; counted after the expunges."""


class _FlagNames(dict[int, str]):
    """Rendered flags by value; few values occur in a mailbox, however many messages."""

    def __init__(self, keywords: tuple[str, ...]) -> None:
        super().__init__()
        self.keywords = keywords

    def __missing__(self, value: int) -> str:
        if len(self) > 4_096:
            self.clear()
        names = self[value] = flag_names(value, self.keywords)
        return names


class MailboxView:
    """One selected mailbox as its client sees it."""

    def __init__(self, snapshot: Snapshot, recent: Collection[Uid]) -> None:
        self.snapshot = snapshot
        self.uids = array("I", snapshot.uids)
        self.flags = array("Q", snapshot.flags)
        self.ghosts: set[int] = set()
        self.names = _FlagNames(snapshot.keywords)
        self.recent_count = 0
        self._mark_recent(recent)

    def __len__(self) -> int:
        return len(self.uids)

    # Numbers

    def position(self, uid: int) -> int | None:
        """Return the position (sequence number less one) of a uid."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def positions(self, messages: SequenceSet, *, uid: bool) -> list[range]:
        """Return the positions that a set names, ascending, as ranges without gaps.

        Uids that do not exist name nothing. Raises RefusalError for a sequence number above the last message
        (RFC 3501 section 9, seq-number); ``1:*`` in an empty mailbox is tolerated, because many clients send it.
        """
        uids = self.uids
        if not uid:
            if messages.highest > len(uids) and not (messages.uses_star and not uids):
                raise RefusalError(bad(f"There is no message {messages.highest}; the mailbox has {len(uids)}"))
            return [range(low - 1, high) for low, high in messages.resolve(len(uids)) if high <= len(uids)]
        largest = uids[-1] if uids else 0
        spans = (range(bisect_left(uids, low), bisect_right(uids, high)) for low, high in messages.resolve(largest))
        return [span for span in spans if span]

    def uids_at(self, positions: Iterable[int]) -> list[Uid]:
        uids = self.uids
        return [Uid(uids[position]) for position in positions]

    # Rows

    def flag_rows(self, positions: Sequence[int], *, uid: bool = True, flags: bool = True) -> bytes:
        """Return FETCH responses with UID, FLAGS or both for up to a few thousand messages."""
        uids, values, names = self.uids, self.flags, self.names
        if not flags:
            return "".join([f"* {at + 1} FETCH (UID {uids[at]})\r\n" for at in positions]).encode("ascii")
        if not uid:
            return "".join([f"* {at + 1} FETCH (FLAGS ({names[values[at]]}))\r\n" for at in positions]).encode("ascii")
        return "".join([f"* {at + 1} FETCH (UID {uids[at]} FLAGS ({names[values[at]]}))\r\n" for at in positions]).encode("ascii")

    def first_unseen(self) -> int | None:
        r"""Return the sequence number of the first message without ``\Seen``."""
        seen = int(Flag.SEEN)
        return next((at for at, value in enumerate(self.flags, 1) if not value & seen), None)

    @property
    def keywords(self) -> tuple[str, ...]:
        return self.names.keywords

    # Changes

    def _mark_recent(self, recent: Collection[Uid]) -> bool:
        before = self.recent_count
        for uid in recent:
            at = self.position(uid)
            if at is not None and not self.flags[at] & RECENT:
                self.flags[at] |= RECENT
                self.recent_count += 1
        return self.recent_count != before

    def has_news(self, snapshot: Snapshot) -> bool:
        """True if ``snapshot`` has messages that this view has not."""
        return bool(snapshot.uids) and (not self.uids or snapshot.uids[-1] > self.uids[-1])

    def update(self, snapshot: Snapshot, recent: Collection[Uid] = (), *, expunge: bool) -> Update:
        """Take in ``snapshot`` and return what the client has to be told."""
        update = Update()
        if snapshot is self.snapshot:
            if expunge and self.ghosts:
                self._bury(update)
            return update
        known = bisect_right(snapshot.uids, self.uids[-1]) if self.uids else 0
        if known + len(self.ghosts) != len(self.uids):
            self.ghosts = set(self.uids).difference(memoryview(snapshot.uids)[:known])
        if snapshot.keywords != self.keywords:
            self.names = _FlagNames(snapshot.keywords)
            update.keywords = True
        if expunge and self.ghosts:
            self._bury(update)
        update.changed = self._take_flags(snapshot, known)
        if known < len(snapshot.uids):
            self.uids.extend(snapshot.uids[known:])
            self.flags.extend(snapshot.flags[known:])
            update.exists = True
        update.recent = self._mark_recent(recent) or update.recent
        self.snapshot = snapshot
        return update

    def _bury(self, update: Update) -> None:
        """Take the ghosts out; highest first, so that each number still fits when it is told."""
        ghosts = self.ghosts
        gone = [at for at, uid in enumerate(self.uids) if uid in ghosts]
        update.expunged = [at + 1 for at in reversed(gone)]
        lost = sum(1 for at in gone if self.flags[at] & RECENT)
        self.recent_count -= lost
        update.recent = bool(lost)
        pairs = [(uid, value) for uid, value in zip(self.uids, self.flags, strict=True) if uid not in ghosts]
        self.uids = array("I", [uid for uid, _ in pairs])
        self.flags = array("Q", [value for _, value in pairs])
        ghosts.clear()

    def _take_flags(self, snapshot: Snapshot, known: int) -> list[int]:
        """Set the flags of the first ``known`` messages of ``snapshot``; return the positions that differed."""
        ours, theirs = self.flags, snapshot.flags
        if not self.ghosts:
            changed = [at for at, (old, new) in enumerate(zip(ours, memoryview(theirs)[:known], strict=True)) if (old ^ new) & ~RECENT]
            for at in changed:
                ours[at] = theirs[at] | ours[at] & RECENT
            return changed
        ghosts, changed = self.ghosts, []
        living = (at for at, uid in enumerate(self.uids) if uid not in ghosts)
        for at, new in zip(living, memoryview(theirs)[:known], strict=True):
            if (ours[at] ^ new) & ~RECENT:
                ours[at] = new | ours[at] & RECENT
                changed.append(at)
        return changed

    def set_told(self, position: int, flags: int) -> None:
        """Note flags that are being told to the client, or that it set itself without asking for an answer."""
        self.flags[position] = flags | self.flags[position] & RECENT
