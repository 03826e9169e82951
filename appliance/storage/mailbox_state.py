"""What is true of one mailbox: the table in step with the disk, modseqs, index rows, and the published snapshot.

Owns the published ``Snapshot``: it is replaced, never changed, and only shows
messages whose UIDs are on stable storage. Deliveries become visible with the
next ``refresh``. A modseq is the time in microseconds or one more than the
last, so that it grows even when the index was deleted: no mailbox changes so often that it runs ahead of the clock.

Fails: ``NotFoundError`` for a mailbox that is gone, ``OutOfSpaceError`` and ``UnavailableError`` from the disk.
Sources: RFC 7162 section 3.1 (modseq) and section 3.2.6 (VANISHED), RFC 9051 section 2.3.1.1 (uids).
"""

import contextlib
from array import array
from collections.abc import Iterator, Mapping, Sequence

from appliance.model.errors import InUseError, NotFoundError
from appliance.model.ids import MailboxName, ModSeq, UidNext, UidValidity
from appliance.model.mailbox import Snapshot
from appliance.model.uidranges import UidRange, absent, joined
from appliance.storage.context import AccountContext
from appliance.storage.fileops import NO_SPACE, resource_errors
from appliance.storage.folder import Folder, Known
from appliance.storage.index import SummaryRow
from appliance.storage.states import States, chunk_of, pack_chunk
from appliance.storage.table import Delta

__all__ = ["MAX_UNSAVED", "NO_ROW", "READ_S", "MailboxState"]


MAX_UNSAVED = 1_000
"""Rows of deliveries and of new flags kept for one larger transaction; after a crash these messages get a higher modseq."""
NO_ROW = -1
SAVE_S = 1.0
"""A stream of changes writes its rows to the index this often: a transaction for each would cost as much as the change."""
READ_S = 900.0
"""So long after its last ``summaries`` a mailbox is taken for one that somebody reads: what is delivered there is rendered at once."""


class MailboxState:
    """The part of a mailbox that keeps the books. Shared by all sessions; the account's lock guards it."""

    def __init__(self, context: AccountContext, name: MailboxName, folder: Folder) -> None:
        self.context = context
        self.name = name
        self.folder = folder
        self._row_id = 0
        self._generation = -1
        self._highest = 0
        self._expunged_floor = 0
        """Of expunges up to this modseq some may be missing in the index."""
        self._is_stale = False
        self._is_doubtful = False
        self._is_gone = False
        self._unsaved: dict[int, int] = {}  # uids whose row is out of date -> the flags it has, NO_ROW when there is none
        self._unsaved_rows: list[SummaryRow] = []
        self._saved_at_s = -SAVE_S
        self._read_at_s = -READ_S
        with context.lock, resource_errors(f"open {name}"):
            self._load()
            self._publish_snapshot()

    # Loading

    def _load(self) -> None:
        index = self.context.index
        index.check()
        row = None if index.is_missing else index.find_mailbox(self.name)
        states = index.load_states(row.row_id) if row is not None else States()
        known = Known(row.uid_validity, row.next_uid, states.hashes) if row else Known()
        self.folder.load(known)
        self._generation = index.generation
        if row is None or row.uid_validity != self.folder.uid_validity:
            self._start_anew()
            return
        self._row_id, self._highest, self._expunged_floor = row.row_id, row.highest_modseq, row.expunged_floor
        delta = self._merge(states)
        if row.expunged_floor > row.highest_modseq:
            # The power was cut: of what clients were told last, nothing may be known here.
            added = set(delta.added)
            delta.changed = [uid for uid in self.folder.table.uids if uid not in added]
            self._highest = self._expunged_floor = self._next_modseq()
        # Given, told to somebody and expunged, and the index lost even that it was there.
        never_seen = absent([(row.next_uid, self.folder.next_uid - 1)], self.folder.table.uids)
        if delta or never_seen:
            self._number(delta, never_seen)

    def _start_anew(self) -> None:
        """Nothing is known: every message counts as changed now."""
        table = self.folder.table
        self._highest = self._expunged_floor = self._next_modseq()
        table.modseqs = array("Q", [self._highest]) * len(table)
        if not len(table) and self.context.index.is_missing:
            self._row_id = 0  # ``_save`` makes it; until somebody reads, delivering needs no index
            return
        self._row_id = self.context.index.add_mailbox(self.name, self.folder.uid_validity, self.folder.next_uid, self._highest)
        self._save(range(len(table)))

    def _merge(self, states: States) -> Delta:
        """Take modseqs and sizes from the index; what differs from it changed while nobody looked."""
        table, delta = self.folder.table, Delta()
        if states.uids == table.uids and states.flags == table.flags and 0 not in table.sizes:  # as we left it
            table.modseqs = states.modseqs
            return delta
        places = {uid: place for place, uid in enumerate(states.uids)}
        for position, uid in enumerate(table.uids):
            place = places.pop(uid, None)
            if place is None:
                delta.added.append(uid)
                continue
            table.modseqs[position] = states.modseqs[place]
            if not table.sizes[position]:
                table.sizes[position] = states.sizes[place]
            if states.flags[place] != table.flags[position]:
                delta.changed.append(uid)
        delta.removed = list(places)
        return delta

    def _next_modseq(self) -> int:
        return max(self._highest + 1, int(self.context.now_s() * 1_000_000))

    def _number(self, delta: Delta, never_seen: Sequence[UidRange] = ()) -> None:
        """Give what changed a modseq and tell the index."""
        table = self.folder.table
        if delta.is_reset:
            self._start_anew()
            return
        self._highest = self._next_modseq()
        # What another program changed just before we took it out is not there.
        positions = [at for uid in (*delta.added, *delta.changed) if (at := table.position(uid)) >= 0]
        for position in positions:
            table.modseqs[position] = self._highest
        self._save(positions, removed=delta.removed, never_seen=never_seen)

    def _note_flags(self, before: Mapping[int, int]) -> None:
        """Give messages whose flags we changed a modseq. ``before``: uid to its former flags.

        Their rows can wait, and with them a transaction that costs as much as the change itself. Should they be lost, the
        next start finds flags that differ from the row's and gives a higher modseq. Flags that came back to what the row says
        would not be noticed: such a row is written at once.
        """
        table = self.folder.table
        self._highest = self._next_modseq()
        came_back = False
        uids, flags, modseqs, unsaved = table.uids, table.flags, table.modseqs, self._unsaved
        for position in table.positions(before):
            uid = uids[position]
            modseqs[position] = self._highest
            came_back |= unsaved.setdefault(uid, before[uid]) == flags[position]
        if came_back or len(self._unsaved) >= MAX_UNSAVED:
            self._save(())

    def _save(
        self,
        positions: "Sequence[int] | range",
        summaries: Sequence[SummaryRow] = (),
        removed: Sequence[int] = (),
        never_seen: Sequence[UidRange] = (),
    ) -> None:
        """Write rows to the index; all of them when it is a new one."""
        index, table, folder = self.context.index, self.folder.table, self.folder
        self._saved_at_s = self.context.folders.monotonic_s()
        if self._unsaved:
            positions = [*positions, *table.positions(self._unsaved)]
            summaries = [*summaries, *(row for row in self._unsaved_rows if table.position(row[0]) >= 0)]
            self._unsaved, self._unsaved_rows = {}, []
        if index.open() != self._generation or not self._row_id:
            self._generation = index.generation
            self._row_id = index.add_mailbox(self.name, folder.uid_validity, folder.next_uid, self._highest)
            self._expunged_floor = self._highest
            positions = range(len(table))
        touched = {chunk_of(uid) for uid in (table.uids if len(positions) == len(table) else [table.uids[at] for at in positions])}
        touched.update(map(chunk_of, removed))
        chunks = [(chunk, pack_chunk(table, chunk, folder.header_hashes)) for chunk in sorted(touched)]
        written = index.save(
            self._row_id,
            next_uid=folder.next_uid,
            highest_modseq=self._highest,
            chunks=chunks,
            summaries=summaries,
            removed=removed,
            never_seen=never_seen,
            expunged_floor=self._expunged_floor,
        )
        if not written:
            self._expunged_floor = self._highest

    def _publish_snapshot(self) -> None:
        """Show the table as it is now; its UIDs are put on stable storage first.

        Rows that were not written yet may wait a little: after a crash a message without one counts as new, with a higher modseq.
        """
        folder = self.folder
        folder.flush_uids()
        if NO_ROW in self._unsaved.values() and self.context.folders.monotonic_s() >= self._saved_at_s + SAVE_S:
            self._save(())
        table = folder.table
        self._is_stale = False
        self._snapshot = Snapshot(
            UidValidity(folder.uid_validity),
            UidNext(folder.next_uid),
            ModSeq(self._highest),
            table.uids[:],
            table.flags[:],
            table.modseqs[:],
            tuple(folder.keywords.names),
            folder.keywords.has_room(),
        )

    @contextlib.contextmanager
    def _working(self, what: str) -> Iterator[None]:
        """Hold the lock, with the table in step with the disk before and the snapshot in step with the table after."""
        with self.context.lock, resource_errors(f"{what} {self.name}"):
            self._rescan()
            try:
                yield
            except InUseError:  # locked by another program: nothing was begun
                raise
            except BaseException:
                self._doubt()
                raise
            if self._is_stale and not self._is_gone:
                self._rescan()
                self._publish_snapshot()

    def _rescan(self) -> None:
        if self._is_gone:
            raise NotFoundError(f"{self.name} was deleted")
        delta = self.folder.rescan()
        if self._is_doubtful:
            self._add_unnumbered(delta)
        if delta.vanished:
            self.context.vanished(self.context.account, self.name, delta.vanished)
        if delta:
            self._number(delta)
            self._is_stale = True

    def _doubt(self) -> None:
        """A step failed half way: look at everything again before the next one."""
        self.folder.doubt()
        self._is_doubtful = True

    def _add_unnumbered(self, delta: Delta) -> None:
        """Find what a failed step changed on disk without giving it a modseq, by comparison with what was last shown."""
        self._is_doubtful = False
        shown = dict(zip(self._snapshot.uids, self._snapshot.flags, strict=True))
        found = dict(zip(self.folder.table.uids, self.folder.table.flags, strict=True))
        noted = {*delta.added, *delta.changed}
        delta.added += [uid for uid in found if uid not in shown and uid not in noted]
        delta.changed += [uid for uid, flags in found.items() if uid in shown and shown[uid] != flags and uid not in noted]
        delta.removed += [uid for uid in shown if uid not in found and uid not in delta.removed]

    def save(self, *, whole: bool = False) -> None:
        """Write down uids that deliveries gave, and their rows if they were rendered, are many, or ``whole``.

        Other rows can wait for the first client, who needs them. Blocks: disk, never for a flush.
        """
        with self.context.lock:
            if self._is_gone:
                return
            with contextlib.suppress(OSError):  # they stay to be written with the next ones, at the latest before a client is told
                self.folder.write_uids()
            if self._unsaved and (whole or self._unsaved_rows or len(self._unsaved) >= MAX_UNSAVED):
                self._save(())

    def mark_gone(self) -> None:
        """Every later call fails: the mailbox was deleted."""
        self._is_gone = True

    # The port

    def refresh(self) -> bool:
        with self.context.lock, resource_errors(f"refresh {self.name}"):
            before = self._snapshot
            self.context.index.check()
            try:
                self._rescan()
                if self._is_stale:
                    self._publish_snapshot()
            except OSError as error:
                self._doubt()
                # On a full disk what came since cannot be given a uid that lasts. What was shown can be read, and deleted to make room.
                if error.errno not in NO_SPACE:
                    raise
            return self._snapshot is not before

    def is_fresh(self) -> bool:
        if not self.context.lock.acquire(blocking=False):
            return False
        try:
            is_known = not (self._is_stale or self._is_doubtful or self._is_gone or self.context.index.is_lost)
            return is_known and not self.folder.has_news()
        except OSError:  # ``refresh`` says what is wrong
            return False
        finally:
            self.context.lock.release()

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def vanished_since(self, modseq: ModSeq) -> Sequence[UidRange]:
        """Return the uids expunged after ``modseq``, as ascending ranges; where that is not known, all that are not there. Blocks: disk."""
        with self.context.lock, resource_errors(f"expunges of {self.name}"):
            index = self.context.index
            index.check()
            ranges = None
            if self._row_id and index.open() == self._generation and modseq >= self._expunged_floor:
                ranges = index.expunged_since(self._row_id, modseq)
            if ranges is None:
                ranges = [(1, self.folder.next_uid - 1)]
            return absent(joined(ranges), self.folder.table.uids)
