"""The committer: one task that makes everything that waits durable in one transaction.

Owns group commit. Sessions bring units (a message; or what an attempt changed)
and wait; the task takes whatever gathered while the last flush ran, hands it to
the spool in one thread hop, and wakes everybody. There is no timer on the way of
an acknowledgement. Changes that nobody waits for (deliveries done, retries) ride
along with the next batch, or go alone after 50 ms when nothing else comes; alone they
are written and not flushed: a power failure that brings them back repeats an
attempt, and the next flush, two seconds later at the latest, covers them.

Fails: a batch that is refused is tried again unit by unit, so that a refusal
reaches only those it concerns; waiting senders get OutOfSpaceError or
UnavailableError, changes stay and are tried again each second.
Does not: catch bugs; they end the process, and the spool is crash-safe.

Sources: RFC 5321 section 4.1.1.4, RFC 1047, group commit as databases do it.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

from appliance.config.schema import QueueConfig
from appliance.model.content import Content, MemoryContent
from appliance.model.envelope import Envelope
from appliance.model.errors import ApplianceError, OutOfSpaceError, UnavailableError
from appliance.model.ids import QueueId
from appliance.model.ports import Clock, ContentWriter, Offload
from appliance.observe.maillog import MailLog
from appliance.services.queue.pressure import Pressure
from appliance.services.queue.writer import SpoolWriter
from appliance.storage.spool import Spool
from appliance.storage.spool_ids import QueueIds
from appliance.storage.spool_schema import Addition, Batch, Committed, RecipientUpdate, Removal, StateChange

__all__ = ["Committer", "Unit"]

_LAZY_S: Final = 0.05
_LAZY_ROWS: Final = 128
_RETRY_S: Final = 1.0
_CHECKPOINT_PAGES: Final = 4_096  # 32 MiB of log
_IDLE_CHECKPOINT_S: Final = 2.0
_IDLE_CHECKPOINT_PAGES: Final = 64
_FREE_SPACE_CHECK_S: Final = 1.0
_LAST_FLUSH_S: Final = 10.0

Taken = Callable[[Addition, Content], None]


@dataclass(slots=True, eq=False)
class Unit:
    """What is committed together or not at all. ``done`` is called in the committer's task once that is done."""

    additions: Sequence[tuple[Addition, Content]] = ()
    updates: Sequence[RecipientUpdate] = ()
    changes: Sequence[StateChange] = ()
    removals: Sequence[Removal] = ()
    durable: bool = True
    """Must be on stable storage before ``done`` is called; otherwise, and without additions, it is enough that it is written."""
    done: Callable[[], None] | None = None
    changed: frozenset[QueueId] = frozenset()
    """After the commit: the messages that went or whose state changed."""
    error: ApplianceError | None = None
    abandoned: Callable[[], None] | None = None
    """Called when the unit was refused and whoever waited for it has left."""
    is_taken: bool = False
    is_answered: bool = False
    committed: trio.Event | None = None

    @property
    def rows(self) -> int:
        return len(self.additions) + len(self.updates) + len(self.changes) + len(self.removals)


class Committer:
    """Implements ``model.ports.Intake``; the queue's other tasks bring their changes with ``post`` and ``commit``."""

    def __init__(
        self,
        spool: Spool,
        *,
        commit_offload: Offload,
        content_offload: Offload,
        clock: Clock,
        config: QueueConfig,
        log: MailLog,
        pressure: Pressure | None = None,
    ) -> None:
        """``commit_offload`` must run one call at a time; ``content_offload`` writes content files. The spool must be open."""
        self._spool = spool
        self._commit_offload = commit_offload
        self._content_offload = content_offload
        self._clock = clock
        self._config = config
        self._log = log
        self.pressure = pressure or Pressure(config.max_pending_bytes, max(100, config.max_active // 10))
        self._ids = QueueIds(clock.now_s, int.from_bytes(os.urandom(2)), spool.largest_number())
        self._waiting: list[Unit] = []
        self._lazy: deque[Unit] = deque()
        self._lazy_rows = 0
        self._lazy_since = 0.0
        self._retry_at = 0.0
        self._flushed_at = 0.0
        self._removable: list[QueueId] = []
        """Content files whose rows are gone, but perhaps not yet for good."""
        self._batch_committed = trio.Event()
        self._wake = trio.Event()
        self._alarm = trio.Event()
        self._rings_at = math.inf
        self._scope = trio.CancelScope()
        self._is_stopped = False
        self._space_checked_at = -1e9
        self._has_space = True
        self._taken: Taken = lambda _addition, _content: None
        self._gone: Callable[[Sequence[QueueId]], None] = lambda _ids: None
        self._is_failing = False

    def attach(self, taken: Taken, gone: Callable[[Sequence[QueueId]], None]) -> None:
        """Say who takes messages that were committed, and who hears of messages that left. Both are called in the committer's task."""
        self._taken = taken
        self._gone = gone

    # Intake

    async def begin(self) -> SpoolWriter:
        """Start a message. Waits while the queue is behind. Raises OutOfSpaceError when the disk is nearly full."""
        if not self.pressure.has_room:
            await self.pressure.wait_room()
        self._check_space()
        queue_id = self._ids.next()
        return SpoolWriter(queue_id, self._spool.new_content_file, self._config.inline_bytes, self._content_offload, self.pressure)

    async def accept(self, envelope: Envelope, writer: ContentWriter) -> QueueId:
        """Return when the message is on stable storage: only then may 250 go out.

        Raises: OutOfSpaceError, UnavailableError; then nothing was kept and the caller discards the writer.
            When the caller is cancelled the message may have been kept.
        """
        assert isinstance(writer, SpoolWriter)
        content = await writer.finish()
        addition = self._addition(writer.queue_id, envelope, content, notice=0)
        unit = Unit(additions=((addition, content),), done=writer.close)
        try:
            await self.commit(unit)
        except trio.Cancelled:
            if unit.is_taken and not unit.is_answered:
                # The batch is being written right now: until its end nobody may remove the content file.
                writer.surrender()
                unit.abandoned = writer.abandon
            raise
        return writer.queue_id

    # For the queue's own tasks

    def new_message(self, envelope: Envelope, data: bytes, notice: int) -> tuple[Addition, Content]:
        """Return a notification of ours, ready to be put into a unit. In memory."""
        content = MemoryContent(data)
        return self._addition(self._ids.next(), envelope, content, notice), content

    async def commit(self, unit: Unit) -> None:
        """Commit and wait for it. Raises OutOfSpaceError, UnavailableError; then nothing of the unit was kept."""
        if self._is_stopped:
            raise UnavailableError("the queue has stopped")
        self._waiting.append(unit)
        committed = unit.committed = self._batch_committed
        self._wake.set()
        try:
            await committed.wait()
        finally:
            # A cancelled caller takes back what no batch has taken yet.
            if not unit.is_taken:
                self._waiting.remove(unit)
        if unit.error is not None:
            raise unit.error

    def post(self, unit: Unit, *, urgent: bool = False) -> None:
        """Commit some time soon; ``unit.done`` tells when. Not lost by a failed commit, only by a crash."""
        self._put_off(unit)
        if urgent:
            self._lazy_since = -math.inf
        if urgent or self._lazy_rows >= _LAZY_ROWS:
            self._wake.set()
        else:
            self._set_alarm()

    def _put_off(self, unit: Unit) -> None:
        if not self._lazy:
            self._lazy_since = trio.current_time()
        self._lazy.append(unit)
        self._lazy_rows += unit.rows

    async def drain(self) -> None:
        """Return when every change posted before the call is durable; waits as long as the disk refuses. Raises UnavailableError after the stop."""
        if self._is_stopped:
            raise UnavailableError("the queue has stopped")
        drained = trio.Event()
        self.post(Unit(done=drained.set), urgent=True)
        await drained.wait()

    @property
    def waiting_rows(self) -> int:
        """Changes that are not durable yet. In memory."""
        return self._lazy_rows

    # The task

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until cancelled; what waits then is committed once more, so that a clean stop repeats no delivery."""
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    task_status.started()
                    await self._run(nursery)
            finally:
                self._is_stopped = True
                with trio.move_on_after(_LAST_FLUSH_S, shield=True):
                    await self._last_flush()
                self._refuse_rest()

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Keep ``run`` going, cancelled or not, until the block ends; then let it make its last commit.

        Everything is cancelled at once when the server stops, and what the manager finishes then must still be written down.
        """
        self._scope.shield = True
        try:
            yield
        finally:
            self._scope.shield = False
            self._scope.cancel()

    async def _run(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._ring)
        while True:
            await self._wait_work()
            if self._has_work():
                self._removable += await self._flush()
                self._flushed_at = trio.current_time()
                self._set_alarm()
            if self._spool.wal_pages >= _CHECKPOINT_PAGES or self._is_idle():
                await self._checkpoint()
            if self._removable and self._spool.is_flushed:
                gone, self._removable = self._removable, []
                nursery.start_soon(self._content_offload.run, self._spool.remove_files, gone)

    async def _wait_work(self) -> None:
        """Return when somebody waits for a commit, lazy changes have waited long enough, or nothing has come for long."""
        while not (self._has_work() or self._is_idle()):
            await self._wake.wait()
            self._wake = trio.Event()

    def _has_work(self) -> bool:
        if self._waiting:
            return True
        if not self._lazy:
            return False
        now = trio.current_time()
        return self._retry_at <= now and (self._lazy_rows >= _LAZY_ROWS or self._lazy_since + _LAZY_S <= now)

    def _is_idle(self) -> bool:
        """True when it is time to move the log into the database, which also flushes what was only written."""
        return self._idle_from() <= trio.current_time()

    def _idle_from(self) -> float:
        is_due = self._spool.wal_pages >= _IDLE_CHECKPOINT_PAGES or not self._spool.is_flushed
        return self._flushed_at + _IDLE_CHECKPOINT_S if is_due and not (self._waiting or self._lazy) else math.inf

    def _due_at(self) -> float:
        """Return when there is something to do although nobody asks for it."""
        if self._lazy:
            return max(self._lazy_since + _LAZY_S, self._retry_at)
        return self._idle_from()

    async def _ring(self) -> None:
        """Wake the committer at ``_due_at``: a timer that runs on costs less than one for each commit."""
        pause_until = 0.0
        while True:
            self._rings_at = max(self._due_at(), pause_until)
            self._alarm = trio.Event()
            with trio.move_on_at(self._rings_at):
                await self._alarm.wait()
            if self._due_at() <= trio.current_time():
                self._wake.set()
                pause_until = trio.current_time() + _LAZY_S  # it may be busy

    def _set_alarm(self) -> None:
        if self._due_at() < self._rings_at:
            self._alarm.set()

    async def _flush(self) -> tuple[QueueId, ...]:
        """Take what waits, commit it, wake everybody; return the messages whose content files may go."""
        units, self._waiting = self._waiting, []
        committed, self._batch_committed = self._batch_committed, trio.Event()
        self._wake = trio.Event()
        if self._retry_at <= trio.current_time():
            units.extend(self._take_lazy())
        for unit in units:
            unit.is_taken = True
        try:
            return await self._commit(units)
        finally:
            # Cancelled before the thread began, or a bug: nobody may take silence for success.
            for unit in units:
                if not unit.is_answered:
                    self._answer_refusal(unit, UnavailableError("the queue is stopping"))
            committed.set()

    def _take_lazy(self) -> list[Unit]:
        """Take changes nobody waits for, but not so many that those who wait feel it."""
        taken: list[Unit] = []
        rows = 0
        while self._lazy and rows < _LAZY_ROWS:
            unit = self._lazy.popleft()
            rows += unit.rows
            taken.append(unit)
        self._lazy_rows -= rows
        return taken

    async def _commit(self, units: Sequence[Unit]) -> tuple[QueueId, ...]:
        try:
            committed = await self._commit_offload.run(self._spool.commit, _batch(units))
        except ApplianceError as error:
            if len(units) == 1:
                self._refused(units[0], error)
                return ()
        else:
            self._finished(units, committed)
            return committed.files
        files: list[QueueId] = []
        for unit in units:
            files.extend(await self._commit([unit]))
        return tuple(files)

    def _finished(self, units: Sequence[Unit], committed: Committed) -> None:
        if self._is_failing:
            self._is_failing = False
            self._log.notice("queue_commit_recovered")
        changed = frozenset(committed.gone + committed.changed) if committed.changed or committed.gone else frozenset()
        for unit in units:
            unit.is_answered = True
            unit.changed = changed
            for addition, content in unit.additions:
                self._taken(addition, content)
            if unit.done is not None:
                unit.done()
        if committed.gone:
            for queue_id in committed.gone:
                self._log.queue_entry_removed(queue_id=queue_id)
            self._gone(committed.gone)

    def _refused(self, unit: Unit, error: ApplianceError) -> None:
        if not self._is_failing:
            self._is_failing = True
            fix = "free disk space" if isinstance(error, OutOfSpaceError) else "look at the disk and at the queue directory"
            self._log.error("queue_commit_failed", reason=error.detail, fix=fix)
        if unit.committed is None:
            self._retry_at = trio.current_time() + _RETRY_S
        self._answer_refusal(unit, error)

    def _answer_refusal(self, unit: Unit, error: ApplianceError) -> None:
        """Tell who waits; what nobody waits for goes back and is tried again."""
        if unit.committed is None:
            unit.is_taken = False
            self._put_off(unit)
            return
        unit.is_answered = True
        unit.error = error
        if unit.abandoned is not None:
            unit.abandoned()

    async def _last_flush(self) -> None:
        self._retry_at = 0.0
        while self._waiting or self._lazy:
            left = len(self._lazy)
            self._removable += await self._flush()
            if len(self._lazy) >= left > 0:
                return
        if not self._spool.is_flushed:
            await self._checkpoint()
        if self._removable and self._spool.is_flushed:
            await self._content_offload.run(self._spool.remove_files, self._removable)

    def _refuse_rest(self) -> None:
        for unit in self._waiting:
            unit.is_taken = True
            self._answer_refusal(unit, UnavailableError("the queue is stopping"))
        self._waiting.clear()
        self._batch_committed.set()

    async def _checkpoint(self) -> None:
        try:
            await self._commit_offload.run(self._spool.checkpoint)
        except ApplianceError as error:
            self._log.warning("queue_checkpoint_failed", reason=error.detail)
        finally:
            self._flushed_at = trio.current_time()
            self._set_alarm()

    # Inside

    def _addition(self, queue_id: QueueId, envelope: Envelope, content: Content, notice: int) -> Addition:
        data = content.data if isinstance(content, MemoryContent) else None
        return Addition(queue_id, envelope, content.size, self._clock.now_s(), data, notice)

    def _check_space(self) -> None:
        now = self._clock.monotonic_s()
        if now - self._space_checked_at >= _FREE_SPACE_CHECK_S:
            self._space_checked_at = now
            self._note_space(self._spool.free_bytes())
        if not self._has_space:
            raise OutOfSpaceError(f"less than {self._config.min_free_bytes} bytes free in {self._spool.directory}")

    def _note_space(self, free_bytes: int) -> None:
        """Keep whether there is room; tell when that changes, once, whatever the number of senders refused."""
        had_space, self._has_space = self._has_space, free_bytes >= self._config.min_free_bytes
        if had_space and not self._has_space:
            reason = f"{free_bytes} bytes free in {self._spool.directory}, less than {self._config.min_free_bytes}: new mail is refused"
            self._log.error("queue_disk_full", reason=reason, fix="free disk space")
        elif self._has_space and not had_space:
            self._log.notice("queue_disk_recovered", free=free_bytes)


def _batch(units: Sequence[Unit]) -> Batch:
    """Return one batch with everything of ``units``."""
    return Batch(
        additions=[addition for unit in units for addition, _content in unit.additions],
        updates=[one for unit in units for one in unit.updates],
        changes=[one for unit in units for one in unit.changes],
        removals=[one for unit in units for one in unit.removals],
        durable=any(unit.durable or unit.additions for unit in units),
    )
