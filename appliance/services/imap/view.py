r"""What one session has told its client about a mailbox, and the way from there to what is true now.

Owns the session's own message numbers: a packed array of uids whose positions
are the sequence numbers, the flags told last, and who is recent for this
session. ``update`` compares with the store's snapshot and says what has to be
told; a message that is gone stays as a ghost, number and all, until a moment
where EXPUNGE may be sent (RFC 3501 section 7.4.1). ``\Recent`` stands in bytes of
its own beside the store's flags, so that those compare as whole blocks: what
one changed message costs in a mailbox of 100,000 is memcmp, not a loop.

Does not: read files, send, or wait.
Sources:  RFC 3501 sections 2.3.1.2 and 7.4.1, RFC 2180 (shared mailboxes),
          RFC 7162 section 3.2.4 (UID and MODSEQ in what is told unasked), RFC 9586 (UIDFETCH).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from appliance.model.ids import Uid
from appliance.model.mailbox import Flag, Snapshot
from appliance.protocols.imap.responses import RECENT, flag_names
from appliance.protocols.imap.search_keys import AllKey, AndKey, FuzzyKey, NotKey, OrKey, SearchKey, SequenceKey, UidKey
from appliance.protocols.imap.sequence import SequenceSet
from appliance.services.imap.errors import RefusalError, bad

__all__ = ["MailboxView", "Update"]

_MANY = 200
"""From so many expunged messages on, arrays are made anew instead of closed up one by one."""
_BLOCK = 1_024


@dataclass(slots=True)
class Update:
    """What to tell, in this order. ``expunged``: sequence numbers, each valid after those before it are told."""

    expunged: list[int] = field(default_factory=list)
    vanished: list[int] = field(default_factory=list)
    """The uids of the same messages, ascending."""
    exists: bool = False
    recent: bool = False
    keywords: bool = False
    changed: list[int] = field(default_factory=list)
    """Positions whose flags differ from what was told; counted after the expunges."""
    numbered: list[int] = field(default_factory=list)
    """Positions of which only the modseq is to be told (RFC 7162 section 3.1.3)."""


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


def _pick(values: "array[int] | bytearray", chosen: "Sequence[int] | slice") -> Sequence[int]:
    return values[chosen] if isinstance(chosen, slice) else [values[at] for at in chosen]


class MailboxView:
    """One selected mailbox as its client sees it. ``flags`` are those of the store, as told last."""

    def __init__(self, snapshot: Snapshot, recent: Collection[Uid]) -> None:
        self.snapshot = snapshot
        self.uids = array("I", snapshot.uids)
        self.flags = array("Q", snapshot.flags)
        self.recents = bytearray(len(snapshot.uids))
        """``RECENT`` or 0 for each message."""
        self.ghosts: set[int] = set()
        self._saved = array("I")
        self.names = _FlagNames(snapshot.keywords)
        self.told_modseq = snapshot.highest_modseq
        """Everything up to here is told, expunges too."""
        self.recent_count = 0
        self._mark_recent(recent)

    def __len__(self) -> int:
        return len(self.uids)

    # Numbers

    def position(self, uid: int) -> int | None:
        """Return the position (sequence number less one) of a uid."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def position_after(self, uid: int) -> int:
        """Return the position of the first message above a uid."""
        return bisect_right(self.uids, uid)

    def positions(self, messages: SequenceSet, *, uid: bool) -> list[range]:
        """Return the positions that a set names, ascending, as ranges without gaps.

        Uids that do not exist name nothing. Raises RefusalError for a sequence number above the last message
        (RFC 3501 section 9, seq-number); ``1:*`` in an empty mailbox is tolerated, because many clients send it.
        """
        if messages.saved:
            return [range(at, at + 1) for at in self.saved_positions()]
        uids = self.uids
        if not uid:
            if messages.highest > len(uids) and not (messages.uses_star and not uids):
                raise RefusalError(bad(f"There is no message {messages.highest}; the mailbox has {len(uids)}"))
            return [range(low - 1, high) for low, high in messages.resolve(len(uids)) if high <= len(uids)]
        largest = uids[-1] if uids else 0
        spans = (range(bisect_left(uids, low), bisect_right(uids, high)) for low, high in messages.resolve(largest))
        return [span for span in spans if span]

    def save(self, uids: Iterable[int]) -> None:
        """Keep a search result for ``$`` (RFC 5182); what is expunged falls out of it by itself."""
        self._saved = array("I", sorted(uids))

    def saved_positions(self) -> list[int]:
        """Return where the messages of the saved result stand, ascending."""
        found = map(self.position, self._saved)
        return [at for at in found if at is not None]

    def pinned(self, key: SearchKey) -> SearchKey:
        """Return ``key`` with the messages that it names by number or ``$`` named by uid: they are those of now (RFC 5267 section 4.3)."""
        match key:
            case SequenceKey(messages) | UidKey(messages) if messages.saved or isinstance(key, SequenceKey):
                spans = self._saved_spans() if messages.saved else self._number_spans(messages)
                return UidKey(SequenceSet(tuple(spans))) if spans else NotKey(AllKey())
            case NotKey(inner):
                return NotKey(self.pinned(inner))
            case FuzzyKey(inner):
                return FuzzyKey(self.pinned(inner))
            case OrKey(first, second):
                return OrKey(self.pinned(first), self.pinned(second))
            case AndKey(keys):
                return AndKey(tuple(map(self.pinned, keys)))
            case _:
                return key

    def _saved_spans(self) -> list[tuple[int, int]]:
        return [(uid, uid) for uid in self._saved]

    def _number_spans(self, messages: SequenceSet) -> list[tuple[int, int]]:
        uids = self.uids
        spans = [(low - 1, min(high, len(uids)) - 1) for low, high in messages.resolve(len(uids)) if low <= len(uids)]
        return [(uids[low], uids[high]) for low, high in spans]

    def uids_at(self, positions: Iterable[int]) -> list[Uid]:
        uids = self.uids
        return [Uid(uids[position]) for position in positions]

    # Rows

    def flag_rows(self, positions: Sequence[int], *, uid: bool = True, flags: bool = True) -> bytes:
        """Return FETCH responses with UID, FLAGS or both for up to a few thousand messages."""
        if not positions:
            return b""
        low, high = positions[0], positions[-1] + 1
        # Runs are by far the most common: slices of arrays instead of an index per message.
        chosen: Sequence[int] | slice = slice(low, high) if high - low == len(positions) else positions
        uids, values = _pick(self.uids, chosen), _pick(self.flags, chosen)
        if self.recent_count:
            values = [value | recent for value, recent in zip(values, _pick(self.recents, chosen), strict=True)]
        names = self.names
        if not flags:
            rows = [f"* {at + 1} FETCH (UID {number})\r\n" for at, number in zip(positions, uids, strict=True)]
        elif not uid:
            rows = [f"* {at + 1} FETCH (FLAGS ({names[value]}))\r\n" for at, value in zip(positions, values, strict=True)]
        else:
            triples = zip(positions, uids, values, strict=True)
            rows = [f"* {at + 1} FETCH (UID {number} FLAGS ({names[value]}))\r\n" for at, number, value in triples]
        return "".join(rows).encode("ascii")

    def sync_rows(self, positions: Sequence[int], *, uid: bool, flags: bool, modseq: bool, uid_only: bool) -> bytes:
        """Return FETCH or UIDFETCH responses like ``flag_rows`` with further items; a message that is gone has no modseq any more."""
        rows = []
        modseqs = self.modseqs_at(positions) if modseq else [0] * len(positions)
        for at, number in zip(positions, modseqs, strict=True):
            items = [f"UID {self.uids[at]}"] if uid else []
            if flags:
                items.append(f"FLAGS ({self.names[self.flags[at] | self.recents[at]]})")
            if number:
                items.append(f"MODSEQ ({number})")
            if items:
                head = f"* {self.uids[at]} UIDFETCH (" if uid_only else f"* {at + 1} FETCH ("
                rows.append(f"{head}{' '.join(items)})\r\n")
        return "".join(rows).encode("ascii")

    def head(self, position: int, *, uid_only: bool = False) -> bytes:
        """Return how the FETCH response of one message begins; UIDFETCH once UIDONLY is on (RFC 9586 section 3.3)."""
        return b"* %d UIDFETCH (" % self.uids[position] if uid_only else b"* %d FETCH (" % (position + 1)

    def modseqs_at(self, positions: Sequence[int]) -> Sequence[int]:
        """Return the modseqs of messages as of the last update; 0 for those that are gone."""
        theirs = self.snapshot
        if not self.ghosts and len(theirs.uids) == len(self.uids):
            return [theirs.modseqs[at] for at in positions]
        found = []
        for at in positions:
            uid = self.uids[at]
            place = bisect_left(theirs.uids, uid)
            found.append(theirs.modseqs[place] if place < len(theirs.uids) and theirs.uids[place] == uid else 0)
        return found

    def flags_item(self, position: int) -> bytes:
        """Return the FETCH item FLAGS of one message."""
        return f"FLAGS ({self.names[self.flags[position] | self.recents[position]]})".encode("ascii")

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
            if at is not None and not self.recents[at]:
                self.recents[at] = RECENT
                self.recent_count += 1
        return self.recent_count != before

    def forget_recent(self) -> None:
        r"""Take ``\Recent`` from all messages, untold."""
        self.recents = bytearray(len(self.recents))
        self.recent_count = 0

    def has_news(self, snapshot: Snapshot) -> bool:
        """True if ``snapshot`` has messages that this view has not."""
        return bool(snapshot.uids) and (not self.uids or snapshot.uids[-1] > self.uids[-1])

    def set_told(self, position: int, flags: int) -> None:
        """Note flags that are being told to the client."""
        self.flags[position] = flags

    def update(self, snapshot: Snapshot, recent: Collection[Uid] = (), *, expunge: bool) -> Update:
        """Take in ``snapshot`` and return what the client has to be told."""
        update = Update()
        if snapshot is self.snapshot:
            if expunge and self.ghosts:
                self._bury(update)
                self.told_modseq = snapshot.highest_modseq
            return update
        known = bisect_right(snapshot.uids, self.uids[-1]) if self.uids else 0
        living, flags = snapshot.uids[:known], snapshot.flags[:known]
        ghosts = self._find_ghosts(living)
        if ghosts is None:
            # A message came back that we have told as expunged; its number is gone, so it stays unseen until the next SELECT.
            mine = set(self.uids)
            pairs = [(uid, value) for uid, value in zip(living, flags, strict=True) if uid in mine]
            flags = array("Q", [value for _, value in pairs])
            ghosts = mine.difference(uid for uid, _ in pairs)
        self.ghosts = ghosts
        if snapshot.keywords != self.keywords:
            self.names = _FlagNames(snapshot.keywords)
            update.keywords = True
        if expunge and self.ghosts:
            self._bury(update)
        update.changed = self._take_flags(flags)
        if known < len(snapshot.uids):
            self.uids.extend(snapshot.uids[known:])
            self.flags.extend(snapshot.flags[known:])
            self.recents.extend(bytes(len(self.uids) - len(self.recents)))
            update.exists = True
        update.recent = self._mark_recent(recent) or update.recent
        self.snapshot = snapshot
        if not self.ghosts:
            self.told_modseq = snapshot.highest_modseq
        return update

    def _find_ghosts(self, living: "array[int]") -> set[int] | None:
        """Return our uids that are not in ``living``; None if ``living`` has some that are not ours.

        Few are found by halving what is alike at the front, many by sets.
        """
        ours = self.uids
        missing = len(ours) - len(living)
        if missing > _MANY:
            ghosts = set(ours).difference(living)
            return ghosts if len(ghosts) == missing else None
        check = array("I", living)
        ghosts = set()
        for shift in range(missing):
            # What ``living`` has behind the next ghost, ours has ``shift`` + 1 places later.
            low, high = 0, len(living)
            while low < high:
                middle = (low + high) // 2
                if ours[middle + shift] == living[middle]:
                    low = middle + 1
                else:
                    high = middle
            ghosts.add(ours[low + shift])
            check.insert(low + shift, ours[low + shift])
        return ghosts if check == ours else None

    def _bury(self, update: Update) -> None:
        """Take the ghosts out; highest first, so that each number still fits when it is told."""
        gone = sorted((bisect_left(self.uids, uid) for uid in self.ghosts), reverse=True)
        update.expunged = [at + 1 for at in gone]
        update.vanished = sorted(self.ghosts)
        lost = sum(1 for at in gone if self.recents[at])
        self.recent_count -= lost
        update.recent = bool(lost)
        if len(gone) > _MANY:
            keep = [at for at, uid in enumerate(self.uids) if uid not in self.ghosts]
            self.uids = array("I", [self.uids[at] for at in keep])
            self.flags = array("Q", [self.flags[at] for at in keep])
            self.recents = bytearray([self.recents[at] for at in keep])
        else:
            for at in gone:
                del self.uids[at], self.flags[at], self.recents[at]
        self.ghosts.clear()

    def _take_flags(self, theirs: "array[int]") -> list[int]:
        """Make the flags of ``theirs`` ours, ghosts keep theirs; return the positions that differed."""
        ours, ghosts = self.flags, self.ghosts
        if len(ghosts) > _MANY:
            values = iter(theirs)
            theirs = array("Q", [ours[at] if uid in ghosts else next(values) for at, uid in enumerate(self.uids)])
        else:
            for at in sorted(bisect_left(self.uids, uid) for uid in ghosts):
                theirs.insert(at, ours[at])
        changed: list[int] = []
        for low in range(0, len(ours), _BLOCK):
            old, new = ours[low : low + _BLOCK], theirs[low : low + _BLOCK]
            if old != new:
                changed += [low + at for at, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
        self.flags = theirs
        return changed
