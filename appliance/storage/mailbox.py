"""One mailbox as the port shows it, whatever its format: flags, modseqs, snapshots, summaries.

Owns the published ``Snapshot``: it is replaced, never changed, and only shows
messages whose UIDs are on stable storage. Deliveries become visible with the
next ``refresh``. A modseq is the time in milliseconds or one more than the
last, so that it grows even when the index was deleted.

Fails: ``ExpungedError`` for messages that are gone, ``NotFoundError`` for a
mailbox that is gone, ``OutOfSpaceError`` and ``UnavailableError`` from the disk.
Sources: RFC 7162 section 3.1 (modseq), RFC 9051 section 2.3.1.1 (uids).
"""

import contextlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Protocol

from appliance.model.errors import ApplianceError, ExpungedError, InUseError, NotFoundError
from appliance.model.ids import MailboxName, ModSeq, QueueId, Uid, UidNext, UidValidity
from appliance.model.mailbox import (
    AppendResult,
    CopyResult,
    Flag,
    FlagAction,
    MailboxStatus,
    NewMessage,
    Snapshot,
    StoreResult,
    Summary,
)
from appliance.storage.context import AccountContext
from appliance.storage.fileops import resource_errors
from appliance.storage.folder import Added, Folder, Known, Pending
from appliance.storage.index import StateRow, SummaryRow
from appliance.storage.keywords import SYSTEM_MASK
from appliance.storage.reader import render_message
from appliance.storage.table import Delta

__all__ = ["FileMailbox", "MailboxOpener"]

ATTEMPTS = 3
"""A message renamed by another program between our look and our step is looked for again this often."""
MAX_UNSAVED = 1_000
MAX_RENDERED = 100
"""Rows of delivered messages kept for one larger transaction; a crash costs their modseq and rendering, which no client was told of."""
READ_S = 900.0
"""So long after its last ``summaries`` a mailbox is taken for one that somebody reads: what is delivered there is rendered at once."""
RENDER_BATCH = 100
"""Messages rendered before the account's lock is let go for others."""


class MailboxOpener(Protocol):
    """Where a mailbox finds its siblings, and asks whether there is room."""

    def find(self, name: MailboxName) -> "FileMailbox": ...

    def check_quota(self, more_bytes: int) -> None: ...

    def count_bytes(self, more_bytes: int) -> None: ...


class FileMailbox:
    """See ``model.ports.Mailbox``. Shared by all sessions; the account's lock guards it."""

    def __init__(self, context: AccountContext, name: MailboxName, folder: Folder, opener: MailboxOpener) -> None:
        self.context = context
        self.name = name
        self.folder = folder
        self._opener = opener
        self._row_id = 0
        self._generation = -1
        self._highest = 0
        self._is_stale = False
        self._is_doubtful = False
        self._is_gone = False
        self._unsaved: list[int] = []  # uids delivered since the last transaction
        self._unsaved_rows: list[SummaryRow] = []
        self._read_at_s = -READ_S
        with context.lock, resource_errors(f"open {name}"):
            self._load()
            self._publish_snapshot()

    # Loading

    def _load(self) -> None:
        index = self.context.index
        index.check()
        row = None if index.is_missing else index.find_mailbox(self.name)
        rows = index.load_states(row.row_id) if row is not None else []
        known = Known(row.uid_validity, row.next_uid, {state[4]: state[0] for state in rows if state[4]}) if row else Known()
        self.folder.load(known)
        self._generation = index.generation
        if row is None or row.uid_validity != self.folder.uid_validity:
            self._start_anew()
            return
        self._row_id, self._highest = row.row_id, row.highest_modseq
        delta = self._merge(rows)
        if delta:
            self._number(delta)

    def _start_anew(self) -> None:
        """Nothing is known: every message counts as changed now."""
        table = self.folder.table
        self._highest = self._next_modseq()
        table.modseqs = array("Q", [self._highest]) * len(table)
        if not len(table) and self.context.index.is_missing:
            self._row_id = 0  # ``_save`` makes it; until somebody reads, delivering needs no index
            return
        self._row_id = self.context.index.add_mailbox(self.name, self.folder.uid_validity, self.folder.next_uid, self._highest)
        self._save(range(len(table)))

    def _merge(self, rows: Sequence[StateRow]) -> Delta:
        """Take modseqs and sizes from the index; what differs from it changed while nobody looked."""
        table, delta = self.folder.table, Delta()
        known = {row[0]: row for row in rows}
        for position, uid in enumerate(table.uids):
            row = known.pop(uid, None)
            if row is None:
                delta.added.append(uid)
                continue
            table.modseqs[position] = row[2]
            if not table.sizes[position]:
                table.sizes[position] = row[3]
            if row[1] != table.flags[position]:
                delta.changed.append(uid)
        delta.removed = list(known)
        return delta

    def _next_modseq(self) -> int:
        return max(self._highest + 1, int(self.context.now_s() * 1000))

    def _number(self, delta: Delta) -> None:
        """Give what changed a modseq and tell the index."""
        table = self.folder.table
        if delta.is_reset:
            self._start_anew()
            return
        self._highest = self._next_modseq()
        positions = [table.position(uid) for uid in (*delta.added, *delta.changed)]
        for position in positions:
            table.modseqs[position] = self._highest
        self._save(positions, removed=delta.removed)

    def _save(self, positions: "Sequence[int] | range", summaries: Sequence[SummaryRow] = (), removed: Sequence[int] = ()) -> None:
        """Write rows to the index; all of them when it is a new one."""
        index, table, folder = self.context.index, self.folder.table, self.folder
        if self._unsaved:
            positions = [*positions, *(at for at in map(table.position, self._unsaved) if at >= 0)]
            summaries = [*summaries, *(row for row in self._unsaved_rows if table.position(row[0]) >= 0)]
            self._unsaved, self._unsaved_rows = [], []
        if index.open() != self._generation or not self._row_id:
            self._generation = index.generation
            self._row_id = index.add_mailbox(self.name, folder.uid_validity, folder.next_uid, self._highest)
            positions = range(len(table))
        uids, flags, modseqs, sizes = table.uids, table.flags, table.modseqs, table.sizes
        states = [(uids[at], flags[at], modseqs[at], sizes[at], folder.header_hash(at)) for at in positions]
        index.save(
            self._row_id,
            next_uid=folder.next_uid,
            highest_modseq=self._highest,
            states=states,
            summaries=summaries,
            removed=removed,
        )

    def _publish_snapshot(self) -> None:
        """Show the table as it is now; its UIDs are put on stable storage first."""
        folder = self.folder
        folder.flush_uids()
        if self._unsaved:
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
            self._rescan()
            if self._is_stale:
                self._publish_snapshot()
            return self._snapshot is not before

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def claim_recent(self) -> frozenset[Uid]:
        with self._working("claim recent in"):
            return frozenset(Uid(uid) for uid in self.folder.claim_recent())

    def status(self) -> MailboxStatus:
        """Refresh and count. Blocks: disk."""
        with self._working("status of"):
            table = self.folder.table
            unknown = [uid for uid, size in zip(table.uids, table.sizes, strict=True) if not size]
        if unknown:
            self.summaries([Uid(uid) for uid in unknown])
        with self._working("status of"):
            table = self.folder.table
            return MailboxStatus(
                messages=len(table),
                recent=len(table.recent),
                unseen=sum(1 for flags in table.flags if not flags & Flag.SEEN.value),
                uid_next=UidNext(self.folder.next_uid),
                uid_validity=UidValidity(self.folder.uid_validity),
                highest_modseq=ModSeq(self._highest),
                size_bytes=sum(table.sizes),
            )

    def summaries(self, uids: Sequence[Uid]) -> Sequence[Summary]:
        ordered = sorted(set(uids))
        self._read_at_s = self.context.folders.monotonic_s()
        with self.context.lock, resource_errors(f"summaries of {self.name}"):
            if self._is_gone:
                raise NotFoundError(f"{self.name} was deleted")
            self.save(whole=True)
            known = self.context.index.summaries(self._row_id, ordered) if self._row_id else {}
        missing = [uid for uid in ordered if uid not in known]
        for begin in range(0, len(missing), RENDER_BATCH):
            with self.context.lock, resource_errors(f"summaries of {self.name}"):
                known.update(self._render(missing[begin : begin + RENDER_BATCH]))
        table = self.folder.table
        return [Summary(*_with_uid(known[uid])) for uid in uids if uid in known and table.position(uid) >= 0]

    def sizes(self, uids: "array[int]") -> "array[int]":
        """Return the size with CRLF line ends of each uid, typecode ``Q``, 0 for one that is gone. Messages of unknown size are read."""
        with self.context.lock:
            table = self.folder.table
            positions = [table.position(uid) for uid in uids]
            known = array("Q", [table.sizes[position] if position >= 0 else 0 for position in positions])
        unknown = [Uid(uid) for uid, size in zip(uids, known, strict=True) if not size]
        if unknown:
            measured = {summary.uid: summary.size_bytes for summary in self.summaries(unknown)}
            known = array("Q", [size or measured.get(Uid(uid), 0) for uid, size in zip(uids, known, strict=True)])
        return known

    def _render(self, uids: Sequence[int]) -> dict[int, SummaryRow]:
        rows: dict[int, SummaryRow] = {}
        resized = []
        for uid in uids:
            position = self.folder.table.position(uid)
            if position < 0:
                continue
            try:
                with self.folder.open(position) as stream:
                    size, texts = render_message(self.context.summariser, stream)
                internal_date_s, save_date_s = self.folder.dates(position)
            except FileNotFoundError:  # the next refresh tells
                continue
            rows[uid] = (uid, size, internal_date_s, save_date_s, *texts)
            if self.folder.table.sizes[position] != size:
                self.folder.table.sizes[position] = size
                resized.append(position)
        self._save(resized, list(rows.values()))
        return rows

    def open_message(self, uid: Uid) -> BinaryIO:
        with self.context.lock, resource_errors(f"open message {uid} in {self.name}"):
            for _ in range(ATTEMPTS):
                if self._is_gone:
                    break
                position = self.folder.table.position(uid)
                if position < 0:
                    break
                with contextlib.suppress(FileNotFoundError):
                    return self.folder.open(position)
                self._rescan()
            raise ExpungedError(f"uid {uid} in {self.name}")

    def store_flags(
        self,
        uids: Sequence[Uid],
        action: FlagAction,
        flags: int,
        keywords: Sequence[str] = (),
        unchanged_since: ModSeq | None = None,
    ) -> StoreResult:
        with self._working("store flags in"):
            bits = flags & SYSTEM_MASK | self._keyword_bits(keywords, create=action is not FlagAction.REMOVE)
            table = self.folder.table
            failed = []
            wanted: list[int] = []
            for position in table.positions(uids):
                if unchanged_since is not None and table.modseqs[position] > unchanged_since:
                    failed.append(Uid(table.uids[position]))
                else:
                    wanted.append(table.uids[position])
            self._store(wanted, action, bits)
            table = self.folder.table
            found = [(Uid(uid), table.position(uid)) for uid in wanted]
            result = StoreResult({uid: table.flags[at] for uid, at in found if at >= 0}, tuple(failed))
            changed = self._is_stale
        if changed:
            self.context.publish(self.name)
        return result

    def _store(self, wanted: Sequence[int], action: FlagAction, bits: int) -> None:
        took: list[int] = []
        for _ in range(ATTEMPTS):
            table = self.folder.table
            changes = []
            for position in table.positions(wanted):
                new = _apply(table.flags[position], action, bits)
                if new != table.flags[position]:
                    changes.append((position, new))
            if not changes:
                break
            done = self.folder.set_flags(changes)
            table = self.folder.table
            took += [table.uids[position] for position, _ in done]
            for position, new in done:
                table.flags[position] = new
            if len(done) == len(changes):
                break
            self._rescan()
        if took:
            self._number(Delta(changed=[uid for uid in took if self.folder.table.position(uid) >= 0]))
            self._is_stale = True

    def _keyword_bits(self, names: Sequence[str], *, create: bool) -> int:
        table = self.folder.keywords
        if create and (missing := table.missing(names)):
            table.add(missing, self.folder.table.used_flags())
            self.folder.save_keywords()
            self._is_stale = True
        return table.mask(names)

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        self._settle(uids)
        with self._working("expunge in"):
            gone = self._remove(self.folder.table.positions(uids))
        if gone:
            self.context.publish(self.name)
        return tuple(Uid(uid) for uid in gone)

    def _remove(self, positions: Sequence[int]) -> list[int]:
        if not positions:
            return []
        table = self.folder.table
        gone = [table.uids[position] for position in positions]
        freed = sum(table.sizes[position] for position in positions)
        try:
            self.folder.remove(positions)
        finally:
            table = self.folder.table
            self._number(Delta(removed=[uid for uid in gone if table.position(uid) < 0]))
            self._is_stale = True
        self._opener.count_bytes(-freed)
        return gone

    def _settle(self, uids: "Sequence[int] | array[int]") -> None:
        """Wait until the queue has forgotten these messages, so that no crash brings them back. No lock is held."""
        recent = self.context.recent
        if not recent:
            return
        with self.context.lock:
            found = [self.folder.queue_id(position) for position in self.folder.table.positions(uids)]
        waiting: list[QueueId] = [queue_id for queue_id in found if queue_id is not None and queue_id in recent]
        if waiting:
            self.context.ensure_settled(waiting)
            recent.discard(waiting)

    def settle_all(self) -> None:
        """Wait until the queue has forgotten every message of this mailbox. No lock may be held."""
        self._settle(self.folder.table.uids)

    # Copying

    def copy_to(self, uids: Sequence[Uid], destination: MailboxName) -> CopyResult:
        return self._transfer(uids, destination, is_move=False)

    def move_to(self, uids: Sequence[Uid], destination: MailboxName) -> CopyResult:
        self._settle(uids)
        return self._transfer(uids, destination, is_move=True)

    def _transfer(self, uids: Sequence[Uid], destination: MailboxName, *, is_move: bool) -> CopyResult:
        with self._working("copy from"):
            target = self._opener.find(destination)
            with contextlib.nullcontext() if target is self else target._working("copy to"):  # noqa: SLF001  - a sibling
                result = self._transfer_locked(uids, target, is_move=is_move)
        self.context.publish(target.name)
        if is_move and target is not self:
            self.context.publish(self.name)
        return result

    def _transfer_locked(self, uids: Sequence[Uid], target: "FileMailbox", *, is_move: bool) -> CopyResult:
        for attempt in range(ATTEMPTS):
            table = self.folder.table
            positions = table.positions(uids)
            source = [table.uids[position] for position in positions]
            size = sum(table.sizes[position] for position in positions)
            if not is_move:
                self._opener.check_quota(size)
            flags = [self._translate(table.flags[position], target) for position in positions]
            known = self.context.index.summaries(self._row_id, source) if source else {}
            transfer: Callable[[Sequence[int], Sequence[int], Folder], list[int]]
            transfer = self.folder.move_to if is_move else self.folder.copy_to
            try:
                made = transfer(positions, flags, target.folder) if positions else []
                break
            except FileNotFoundError:
                if attempt == ATTEMPTS - 1:
                    raise
                self._rescan()
        if is_move and made:
            self._number(Delta(removed=source))
            self._is_stale = True
        target._take_copies(source, made, known)  # noqa: SLF001
        if not is_move:
            self._opener.count_bytes(size)
        return CopyResult(UidValidity(target.folder.uid_validity), tuple(map(Uid, source)), tuple(map(Uid, made)))

    def _translate(self, flags: int, target: "FileMailbox") -> int:
        """Return flags with the keyword bits that the same names have in another mailbox."""
        if target is self or flags <= SYSTEM_MASK:
            return flags
        return flags & SYSTEM_MASK | target._keyword_bits(self.folder.keywords.of(flags), create=True)  # noqa: SLF001

    def _take_copies(self, source: Sequence[int], made: Sequence[int], known: dict[int, SummaryRow]) -> None:
        if not made:
            return
        now_s = int(self.context.now_s())
        rows = [(new, known[old][1], known[old][2], now_s, *known[old][4:]) for old, new in zip(source, made, strict=True) if old in known]
        self._number(Delta(added=list(made)))
        self._save((), rows)
        self._is_stale = True

    # Putting in

    def check_there(self) -> None:
        """Raise NotFoundError when the mailbox was deleted. Cheap."""
        if self._is_gone or not self.folder.is_there():
            raise NotFoundError(self.name)

    def append(self, messages: Sequence[NewMessage]) -> AppendResult:
        """Add messages, durable at return; all or none."""
        with self._working("append to"):
            self._opener.check_quota(sum(message.content.size for message in messages))
            bits = [message.flags & SYSTEM_MASK | self._keyword_bits(message.keywords, create=True) for message in messages]
            added = self.folder.add(list(zip(messages, bits, strict=True)), durable=True)
            self.folder.table.recent.update(one.uid for one in added)
            self._take_added(added)
            self._save(())
            result = AppendResult(UidValidity(self.folder.uid_validity), tuple(Uid(one.uid) for one in added))
        self.context.publish(self.name)
        return result

    def deliver(self, messages: Sequence[NewMessage], pending: list[Pending]) -> list[ApplianceError | None]:
        """Add what is not there yet, not durable; ``pending`` takes what to flush. The caller publishes."""
        results: list[ApplianceError | None] = []
        added: list[Added] = []
        try:
            with resource_errors(f"deliver to {self.name}"), self.folder.delivering():
                for message in messages:
                    results.append(self._deliver_one(message, added, pending))  # noqa: PERF401  - the except needs those so far
        except ApplianceError as error:
            # Not even begun: nothing is there. At the end: the messages are in place, their uids are written later.
            results += [error] * (len(messages) - len(results))
        self._take_added(added)
        return results

    def _deliver_one(self, message: NewMessage, added: list[Added], pending: list[Pending]) -> ApplianceError | None:
        recent, queue_id = self.context.recent, message.queue_id
        try:
            with resource_errors(f"deliver to {self.name}"):
                bits = message.flags & SYSTEM_MASK | self._keyword_bits(message.keywords, create=True)
                distrust = queue_id is not None and queue_id in recent.distrusted
                one = self.folder.deliver(message, bits, pending, distrust=distrust)
        except ApplianceError as error:
            self._doubt()
            return error
        if queue_id is not None:
            recent.add(queue_id)
        if one.is_new:
            added.append(one)
        return None

    def _take_added(self, added: Sequence[Added]) -> None:
        if not added:
            return
        rows: list[SummaryRow] = []
        table = self.folder.table
        self._highest = self._next_modseq()
        save_date_s = int(self.context.now_s())
        # Most mail is read long after it came, by ``_render`` then; rendering is a third of what a delivery costs.
        is_read = self.context.folders.monotonic_s() - self._read_at_s < READ_S
        for one in added:
            position = table.position(one.uid)
            table.modseqs[position] = self._highest
            self._unsaved.append(one.uid)
            if is_read and one.data is not None:
                _, texts = render_message(self.context.summariser, one.data)
                rows.append((one.uid, one.size, one.internal_date_s, save_date_s, *texts))
        self._unsaved_rows += rows
        if len(self._unsaved) >= MAX_UNSAVED or len(self._unsaved_rows) >= MAX_RENDERED:
            self._save(())
        self._opener.count_bytes(sum(one.size for one in added))
        self._is_stale = True


def _with_uid(row: SummaryRow) -> tuple[Uid, int, int, int, bytes, bytes, bytes]:
    return (Uid(row[0]), *row[1:])


def _apply(old: int, action: FlagAction, bits: int) -> int:
    if action is FlagAction.ADD:
        return old | bits
    if action is FlagAction.REMOVE:
        return old & ~bits
    return bits
