"""One mailbox as the port shows it, whatever its format: what changes flags, removes, copies and puts in.

Reading is ``mailbox_content``, what is known of the messages ``mailbox_state``.

Fails: ``ExpungedError`` for messages that are gone, ``NotFoundError`` for a
mailbox that is gone, ``OutOfSpaceError`` and ``UnavailableError`` from the disk.
Sources: RFC 9051 section 6.4.6 (STORE), RFC 7162 section 3.1.3 (UNCHANGEDSINCE), RFC 6851 (MOVE), RFC 4315 section 3 (COPYUID).
"""

import contextlib
from array import array
from collections.abc import Callable, Sequence
from typing import Protocol

from appliance.model.errors import ApplianceError, NotFoundError
from appliance.model.ids import MailboxName, ModSeq, QueueId, Uid, UidValidity
from appliance.model.mailbox import AppendResult, CopyResult, FlagAction, NewMessage, StoreResult, Told
from appliance.storage.context import AccountContext
from appliance.storage.fileops import resource_errors
from appliance.storage.folder import Added, Folder, Pending
from appliance.storage.index import SummaryRow
from appliance.storage.keywords import SYSTEM_MASK
from appliance.storage.mailbox_content import ATTEMPTS
from appliance.storage.mailbox_details import MailboxDetails
from appliance.storage.mailbox_state import MAX_UNSAVED, NO_ROW, READ_S
from appliance.storage.quota import Quota
from appliance.storage.reader import render_message
from appliance.storage.table import Delta

__all__ = ["FileMailbox", "MailboxOpener"]

ALL_FLAGS = (1 << 64) - 1
MAX_RENDERED = 100
"""Rendered rows of delivered messages kept for one larger transaction; a crash costs their rendering."""


class MailboxOpener(Protocol):
    """Where a mailbox finds its siblings, and asks whether there is room."""

    def find(self, name: MailboxName) -> "FileMailbox": ...

    @property
    def room(self) -> Quota: ...


class FileMailbox(MailboxDetails):
    """See ``model.ports.Mailbox``. Shared by all sessions; the account's lock guards it."""

    def __init__(self, context: AccountContext, name: MailboxName, folder: Folder, opener: MailboxOpener) -> None:
        self._opener = opener
        super().__init__(context, name, folder)

    # Flags and removal

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
        with self._working("store flags in"):
            bits = flags & SYSTEM_MASK | self._keyword_bits(keywords, create=action is not FlagAction.REMOVE)
            affected = bits if action is not FlagAction.REPLACE else ALL_FLAGS
            positions, failed = self._sort_out(uids, unchanged_since, affected, told)
            positions = self._store(positions, action, bits)
            if durable:
                self.folder.flush_flags()
            table = self.folder.table
            found = [Uid(table.uids[at]) for at in positions]
            result = StoreResult(
                dict(zip(found, [table.flags[at] for at in positions], strict=True)),
                tuple(failed),
                dict(zip(found, [ModSeq(table.modseqs[at]) for at in positions], strict=True)),
            )
            changed = self._is_stale
        if changed:
            self.context.publish(self.name)
        return result

    def _sort_out(self, uids: Sequence[Uid], since: ModSeq | None, affected: int, told: Told | None) -> tuple[Sequence[int], list[Uid]]:
        """Return the positions of messages that may be changed, and the uids of those that were changed after ``since``."""
        table = self.folder.table
        positions = table.positions(uids)
        if since is None:
            return positions, []
        known = told.flags if told is not None and told.keywords == tuple(self.folder.keywords.names) else {}
        wanted: list[int] = []
        failed: list[Uid] = []
        for position in positions:
            uid, flags = Uid(table.uids[position]), table.flags[position]
            if since == 0:
                may = not affected & (flags | SYSTEM_MASK)
            else:
                may = table.modseqs[position] <= since or (uid in known and not (known[uid] ^ flags) & affected)
            if may:
                wanted.append(position)
            else:
                failed.append(uid)
        return wanted, failed

    def _store(self, positions: Sequence[int], action: FlagAction, bits: int) -> Sequence[int]:
        """Change flags where they differ; return where the messages stand afterwards."""
        before: dict[int, int] = {}
        wanted = [self.folder.table.uids[position] for position in positions]
        for _ in range(ATTEMPTS):
            table = self.folder.table
            flags = table.flags
            changes = [(position, new) for position in positions if (new := _apply(flags[position], action, bits)) != flags[position]]
            if not changes:
                break
            former = {table.uids[position]: flags[position] for position, _ in changes}
            done = self.folder.set_flags(changes)
            table = self.folder.table
            for position, new in done:
                table.flags[position] = new
            before |= {uid: former[uid] for position, _ in done if (uid := table.uids[position]) in former}
            if len(done) == len(changes):
                break
            self._rescan()
            positions = self.folder.table.positions(wanted)
        if before:
            self._note_flags(before)
            self._is_stale = True
        return self.folder.table.positions(wanted)

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

    def origins(self, uids: "Sequence[int] | array[int]") -> list[QueueId]:
        with self.context.lock:
            found = [self.folder.queue_id(position) for position in self.folder.table.positions(uids)]
        return [queue_id for queue_id in found if queue_id is not None]

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
        self._opener.room.note(-freed, -len(gone))
        return gone

    def _settle(self, uids: "Sequence[int] | array[int]") -> None:
        """Wait until the queue has forgotten these messages, so that no crash brings them back. No lock is held."""
        recent = self.context.recent
        if not recent:
            return
        waiting = [queue_id for queue_id in self.origins(uids) if queue_id in recent]
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
        with self.context.lock, resource_errors(f"copy from {self.name}"):
            target = self._opener.find(destination)  # before anything is begun: a name that is none leaves no doubt behind
            other = contextlib.nullcontext() if target is self else target._working("copy to")  # noqa: SLF001  - a sibling
            with self._working("copy from"), other:
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
                self._opener.room.check_room(size, len(source))
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
            self._opener.room.note(size, len(made))
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

    def append(self, messages: Sequence[NewMessage], replaced_bytes: int = 0) -> AppendResult:
        """Add messages, durable at return; all or none."""
        with self._working("append to"):
            more_bytes = sum(message.content.size for message in messages) - replaced_bytes
            self._opener.room.check_room(more_bytes, len(messages) - bool(replaced_bytes))
            bits = [message.flags & SYSTEM_MASK | self._keyword_bits(message.keywords, create=True) for message in messages]
            added = self.folder.add(list(zip(messages, bits, strict=True)), durable=True)
            self.folder.table.recent.update(one.uid for one in added)
            self._take_added(added)
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
            self._unsaved[one.uid] = NO_ROW
            if is_read and one.data is not None:
                _, texts = render_message(self.context.summariser, one.data)
                rows.append((one.uid, one.size, one.internal_date_s, save_date_s, *texts))
        self._unsaved_rows += rows
        if len(self._unsaved) >= MAX_UNSAVED or len(self._unsaved_rows) >= MAX_RENDERED:
            self._save(())
        self._opener.room.note(sum(one.size for one in added), len(added))
        self._is_stale = True


def _apply(old: int, action: FlagAction, bits: int) -> int:
    if action is FlagAction.ADD:
        return old | bits
    if action is FlagAction.REMOVE:
        return old & ~bits
    return bits
