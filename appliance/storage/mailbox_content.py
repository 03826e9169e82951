"""What is in the messages of one mailbox: summaries rendered once, sizes, the messages themselves, and the counts of STATUS.

Fails: ``ExpungedError`` for messages that are gone, ``NotFoundError`` for a
mailbox that is gone, ``OutOfSpaceError`` and ``UnavailableError`` from the disk.
Sources: RFC 9051 section 6.3.11 (STATUS), measurements section 3 (rendering once).
"""

import contextlib
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from appliance.model.errors import ExpungedError, NotFoundError, OutOfSpaceError
from appliance.model.ids import MailboxId, ModSeq, Uid, UidNext, UidValidity
from appliance.model.mailbox import Flag, MailboxStatus, Summary
from appliance.storage.fileops import resource_errors
from appliance.storage.index import SummaryRow
from appliance.storage.mailbox_state import MailboxState
from appliance.storage.reader import render_message

if TYPE_CHECKING:
    from appliance.storage.finder import MailboxFinder

__all__ = ["ATTEMPTS", "MailboxContent"]

ATTEMPTS = 3
"""A message renamed by another program between our look and our step is looked for again this often."""
RENDER_BATCH = 100
"""Messages rendered before the account's lock is let go for others."""


class MailboxContent(MailboxState):
    """The half of a mailbox that reads."""

    _finder: "MailboxFinder | None" = None

    @property
    def finder(self) -> "MailboxFinder":
        if self._finder is None:
            from appliance.storage.finder import MailboxFinder  # with all that takes messages apart: not at start

            self._finder = MailboxFinder(self.context.texts, self)
        return self._finder

    def claim_recent(self) -> frozenset[Uid]:
        try:
            with self._working("claim recent in"):
                return frozenset(Uid(uid) for uid in self.folder.claim_recent())
        except OutOfSpaceError:  # people must be able to open a mailbox to make room: it stays recent
            return frozenset()

    @property
    def mailbox_id(self) -> MailboxId:
        with self.context.lock:
            return self.folder.identify()

    def status(self, *, sizes: bool = True) -> MailboxStatus:
        """Refresh and count. Without ``sizes`` no message whose size nobody knows is read. Blocks: disk."""
        if sizes:
            with self._working("status of"):
                table = self.folder.table
                unknown = [uid for uid, size in zip(table.uids, table.sizes, strict=True) if not size]
            if unknown:
                self.summaries([Uid(uid) for uid in unknown])
        with self._working("status of"):
            table = self.folder.table
            deleted = [size for flags, size in zip(table.flags, table.sizes, strict=True) if flags & Flag.DELETED.value]
            return MailboxStatus(
                messages=len(table),
                recent=len(table.recent),
                unseen=sum(1 for flags in table.flags if not flags & Flag.SEEN.value),
                uid_next=UidNext(self.folder.next_uid),
                uid_validity=UidValidity(self.folder.uid_validity),
                highest_modseq=ModSeq(self._highest),
                size_bytes=sum(table.sizes),
                mailbox_id=self.folder.identify(),
                deleted=len(deleted),
                deleted_bytes=sum(deleted),
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
            if table.uids == uids:
                known = table.sizes[:]
            else:
                positions = [table.position(uid) for uid in uids]
                known = array("Q", [table.sizes[position] if position >= 0 else 0 for position in positions])
        if 0 in known:
            unknown = [Uid(uid) for uid, size in zip(uids, known, strict=True) if not size]
            measured = {summary.uid: summary.size_bytes for summary in self.summaries(unknown)}
            known = array("Q", [size or measured.get(Uid(uid), 0) for uid, size in zip(uids, known, strict=True)])
        return known

    def arrivals(self, uids: Sequence[Uid]) -> list[tuple[Uid, int, int]]:
        """Return uid, internal date and size, 0 where the message would have to be read for it, of those that are there. Blocks: disk."""
        found: list[tuple[Uid, int, int]] = []
        for begin in range(0, len(uids), RENDER_BATCH):
            with self.context.lock, resource_errors(f"dates in {self.name}"):
                if self._is_gone:
                    raise NotFoundError(f"{self.name} was deleted")
                moved = self._add_arrivals(uids[begin : begin + RENDER_BATCH], found)
                if moved:
                    self._rescan()
                    self._add_arrivals(moved, found)
        return found

    def _add_arrivals(self, uids: Sequence[Uid], found: list[tuple[Uid, int, int]]) -> list[Uid]:
        """Return the uids whose message is not where it was."""
        moved = []
        for uid in uids:
            position = self.folder.table.position(uid)
            try:
                if position >= 0:
                    found.append((uid, self.folder.dates(position)[0], self.folder.table.sizes[position]))
            except FileNotFoundError:
                moved.append(uid)
        return moved

    def _render(self, uids: Sequence[int]) -> dict[int, SummaryRow]:
        rows: dict[int, SummaryRow] = {}
        for _ in range(ATTEMPTS):
            moved = self._render_those_there(uids, rows)
            if not moved:
                break
            self._rescan()  # another program moved or rewrote them: look again
            uids = moved
        return rows

    def _render_those_there(self, uids: Sequence[int], rows: dict[int, SummaryRow]) -> list[int]:
        """Render into ``rows``; return the uids whose message is not where it was."""
        resized, moved = [], []
        table = self.folder.table
        for uid in uids:
            position = table.position(uid)
            if position < 0:
                continue
            try:
                with self.folder.open(position) as stream:
                    size, texts = render_message(self.context.summariser, stream)
                internal_date_s, save_date_s = self.folder.dates(position)
            except FileNotFoundError:
                moved.append(uid)
                continue
            rows[uid] = (uid, size, internal_date_s, save_date_s, *texts)
            if table.sizes[position] != size:
                table.sizes[position] = size
                resized.append(position)
        self._save(resized, [rows[uid] for uid in uids if uid in rows])
        return moved

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


def _with_uid(row: SummaryRow) -> tuple[Uid, int, int, int, bytes, bytes, bytes]:
    return (Uid(row[0]), *row[1:])
