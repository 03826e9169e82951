"""The queue manager: takes committed messages, has every recipient attempted, and acts on the outcome.

Owns the messages in memory and the life of each recipient there: queued,
running, unsettled or leaving. What goes in here is on stable storage already
and stays there until a commit says otherwise, so that nothing in this file can
lose mail; the worst it can do is to deliver twice.

Fails: a bug here ends the process (the spool is crash-safe and the next start
goes on); a bug in a sender is caught in ``attempt`` and costs its message a
place on hold, when it happens twice.
Does not: know MX records, mailboxes, or the text of a DSN.

Sources: Postfix qmgr(8) and SCHEDULER_README, RFC 5321 section 4.5.4, RFC 3461 section 5.2.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVarTuple

import trio

from appliance.config.schema import MailConfig, QueueConfig, RelayConfig
from appliance.model.content import Content, MemoryContent
from appliance.model.errors import ApplianceError
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Clock, Directory, LocalDelivery, Offload, RelayDelivery, Router
from appliance.model.routing import NextHop
from appliance.observe.maillog import MailLog
from appliance.policy.relay_access import is_kept_for_another
from appliance.services.queue.active import STUCK_S, ActiveQueue, RelayGroup
from appliance.services.queue.attempt import Attempts, Result
from appliance.services.queue.bounce import Bounces, NoticeBuilder
from appliance.services.queue.committer import Committer, Unit
from appliance.services.queue.conclusions import Conclusions, Pair
from appliance.services.queue.deferred import Deferred
from appliance.services.queue.entry import Entry, Slot, SlotState
from appliance.services.queue.rounds import LocalRounds
from appliance.services.queue.schedule import NextAttempt, Schedule
from appliance.services.queue.settle import Settler, Unsettled
from appliance.storage.spool import RowContent, Spool
from appliance.storage.spool_schema import Addition, MessageState, Removal, SpoolMessage

__all__ = ["QueueManager"]

_REMOVALS_PER_UNIT: Final = 128
_PUT_OFF_S: Final = 60.0
_SILENT_SHARE: Final = 50
_SENDER_ROOM: Final = 20
"""Recipients that each sender may have waiting for a destination, however many others have."""
_CATCH_UP_S: Final = 10.0
_EXPANDED: Final = Outcome(Action.EXPANDED, "2.0.0", "passed on to those on the list", relay="local")

Ts = TypeVarTuple("Ts")


class QueueManager:
    """Delivers what the committer makes durable. ``QueueControl`` (admin.py) is its door for people."""

    def __init__(
        self,
        *,
        spool: Spool,
        committer: Committer,
        local: LocalDelivery,
        relay: RelayDelivery,
        router: Router,
        directory: Directory,
        offload: Offload,
        clock: Clock,
        log: MailLog,
        queue: QueueConfig,
        mail: MailConfig,
        relay_config: RelayConfig,
        next_attempt_s: NextAttempt,
        jitter: Callable[[], float],
        build_notice: NoticeBuilder,
    ) -> None:
        """``offload`` reads the spool. The spool must be open and the committer run for as long as this does."""
        self._spool = spool
        self._committer = committer
        self._pressure = committer.pressure
        self._router = router
        self._offload = offload
        self._clock = clock
        self._log = log
        self._config = queue
        self._attempts = Attempts(local, relay, log)
        self._schedule = Schedule(queue, next_attempt_s, jitter, partial(is_kept_for_another, directory))
        self._active = ActiveQueue(
            max_connections=relay_config.max_connections,
            max_per_destination=relay_config.max_per_destination,
            initial_per_destination=relay_config.initial_per_destination,
            max_recipients=relay_config.max_recipients,
        )
        self._bounces = Bounces(
            committer,
            directory=directory,
            build=build_notice,
            offload=offload,
            now_s=clock.now_s,
            lifetime_s=self._schedule.lifetime_s,
            log=log,
        )
        self._conclusions = Conclusions(self, committer=committer, schedule=self._schedule, bounces=self._bounces, clock=clock, log=log)
        self._settler = self._make_settler(local, mail)
        self.deferred = Deferred(spool, offload, clock, log, room=self._room, admit=self._admit_stored)
        self.entries: dict[QueueId, Entry] = {}
        self.aside: dict[QueueId, MessageState] = {}
        self.total = 0
        self._count = 0
        self._destination_share = max(1, queue.max_active // 4)
        self._nursery: trio.Nursery | None = None
        self._unanswered = trio.Event()
        self._rounds = LocalRounds(self._active, self._deliver_local)
        self._caught_up = trio.Event()
        committer.attach(self._taken, self._gone)

    def _make_settler(self, local: LocalDelivery, mail: MailConfig) -> Settler:
        return Settler(
            local,
            self._log,
            interval_s=mail.settle_interval_ms / 1_000,
            max_bytes=mail.settle_bytes,
            # Unsettled recipients take room in the active window; half of it may wait for the disk.
            max_count=max(1, self._config.max_active // 2),
            settled=self._settled,
            failed=self._unsettled_again,
        )

    # Running

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Put the spool in order, load what waits, deliver until cancelled."""
        with self._committer.held_open():
            await self._start_up()
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._settler.run)
                nursery.start_soon(self.deferred.run)
                nursery.start_soon(self._rounds.run)
                nursery.start_soon(self._give_way)
                nursery.start_soon(self._catch_up)
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    self._nursery = None

    async def _start_up(self) -> None:
        swept = await self._offload.run(self._spool.sweep)
        if swept.orphans or swept.corrupt:
            self._log.warning("queue_swept", orphans=swept.orphans, corrupt=" ".join(swept.corrupt))
        self.aside = await self._offload.run(self._spool.aside)
        self.total = await self._offload.run(self._spool.count)
        await self.deferred.start()

    async def settle(self) -> None:
        """Return when everything delivered locally before the call is on stable storage and no crash can bring it back.

        Durable: deliveries, and the removal of their rows.
        """
        await self._settler.settle()
        await self._committer.drain()

    async def _catch_up(self) -> None:
        """Tell when all that an earlier process may have delivered and not noted was delivered again, or tried."""
        await self.deferred.wait_caught_up()
        await self._rounds.wait_tried(self._rounds.running + self._active.local_count)
        self._caught_up.set()

    @property
    def may_repeat(self) -> bool:
        """True while an entry may be waiting that a killed process had delivered already. Any thread."""
        return not self._caught_up.is_set()

    async def settle_visible(self) -> None:
        """Return when nothing that stood in a mailbox before the call can be delivered again.

        That is what ``settle`` covers, what the batch under way has put there already, and what a killed process did.
        Waits 10 s at most until those have been tried.
        """
        with trio.move_on_after(_CATCH_UP_S):
            await self._caught_up.wait()
            await self._rounds.wait_tried(self._rounds.running)
        await self.settle()

    @property
    def unsettled_count(self) -> int:
        return self._settler.count

    def _room(self) -> int:
        return self._config.max_active - self._count

    # Coming in

    def _taken(self, addition: Addition, content: Content) -> None:
        """Take a message that was just committed; called in the committer's task."""
        self.total += 1
        if addition.envelope.hold_reason:
            self._conclusions.put_aside(addition.queue_id, MessageState.HOLD, addition.envelope.hold_reason)
            return
        if addition.envelope.release_at_s > self._clock.now_s():
            self._wait_for_release(addition.queue_id, addition.envelope.release_at_s, range(len(addition.envelope.recipients)))
            return
        if self._nursery is None or self._count >= self._config.max_active:
            self.deferred.park(addition.queue_id)
            return
        kept = 0
        if isinstance(content, MemoryContent):
            if self._pressure.may_keep(addition.size):
                kept = addition.size
                self._pressure.kept_bytes += kept
            else:
                content = RowContent(self._spool.read_row, addition.queue_id, addition.size)
        entry = Entry(
            queue_id=addition.queue_id,
            envelope=addition.envelope,
            content=content,
            size=addition.size,
            arrived_at_s=addition.arrived_at_s,
            taken_at_s=self._clock.now_s(),
            notice=addition.notice,
            kept_bytes=kept,
        )
        self._admit(entry, [Slot(entry, number, one) for number, one in enumerate(addition.envelope.recipients)])

    def _admit_stored(self, message: SpoolMessage, released: frozenset[tuple[QueueId, int]]) -> None:
        """Take a message that was read from the spool: those of its recipients that are due and not in memory."""
        queue_id = message.queue_id
        if message.state is MessageState.CORRUPT and queue_id not in self.aside:
            self._conclusions.put_aside(queue_id, MessageState.CORRUPT, message.reason)
        if message.state is not MessageState.NORMAL:
            return
        release_at_s = message.envelope.release_at_s
        if release_at_s > self._clock.now_s() and (early := [one.number for one in message.recipients if one.attempts == 0]):
            self._wait_for_release(queue_id, release_at_s, early)  # the process ended before that was written down
            return
        entry = self.entries.get(queue_id)
        if entry is None:
            entry = Entry(
                queue_id=queue_id,
                envelope=message.envelope,
                content=self._spool.content_of(message),
                size=message.size,
                arrived_at_s=message.arrived_at_s,
                taken_at_s=self._clock.now_s(),
                notice=message.notice,
                crashes=message.crashes,
            )
        now = self._clock.now_s()
        slots = [
            Slot(entry, one.number, one.recipient, one.attempts, one.delay_noticed)
            for one in message.recipients
            if (one.attempts == 0 or one.next_attempt_s <= now) and one.number not in entry.slots and (queue_id, one.number) not in released
        ]
        if slots:
            self._admit(entry, slots)

    def _wait_for_release(self, queue_id: QueueId, release_at_s: float, numbers: Iterable[int]) -> None:
        """Put recipients of a message that is to be sent later among those that are tried again."""
        updates = [self._schedule.until_release(queue_id, number, release_at_s) for number in numbers]
        self._committer.post(Unit(updates=updates, durable=False, done=partial(self.deferred.due_at, release_at_s)))

    def _admit(self, entry: Entry, slots: Sequence[Slot]) -> None:
        self.entries[entry.queue_id] = entry
        self._count += len(slots)
        remote: dict[NextHop, list[Slot]] = {}
        for slot in slots:
            entry.slots[slot.number] = slot
            if slot.recipient.is_expanded:
                self._conclusions.conclude(entry, [(slot, _EXPANDED)], self._clock.now_s())
                continue
            next_hop = self._router.next_hop(slot.recipient.address, entry.envelope.reverse_path)
            if next_hop is None:
                self._active.add_local(slot)
            else:
                remote.setdefault(next_hop, []).append(slot)
        if self._active.local_count:
            self._pressure.backlog = self._active.local_count
            self._rounds.came()
        if remote:
            for next_hop, group in remote.items():
                self._queue_relay(entry, next_hop, group)
            self._start_relays()
            self._conclusions.end_round(entry)

    def _queue_relay(self, entry: Entry, next_hop: NextHop, slots: Sequence[Slot]) -> None:
        destination = self._active.destination(next_hop)
        # Servers that let us wait must not fill the memory that all others need; the more there are, the less each may have.
        is_crowded = destination.is_silent and self._count > self._config.max_active // 2
        is_full = destination.queued >= (_SILENT_SHARE if is_crowded else self._destination_share)
        if is_full and (destination.is_silent or destination.queue.waiting(entry.sender) >= _SENDER_ROOM):
            now = self._clock.now_s()
            self._conclusions.defer(entry, slots, [self._schedule.put_off(slot, now, _PUT_OFF_S) for slot in slots])
            return
        failure = self._active.add_relay(next_hop, slots, self._clock.monotonic_s())
        if failure is not None:
            self._suspend(entry, slots, failure)

    # Local delivery

    async def _deliver_local(self, slots: Sequence[Slot]) -> None:
        """Make one round of local deliveries."""
        ready = self._start(slots)
        if ready:
            started_at_s = self._clock.now_s()
            results = await self._attempts.local(ready)
            self._local_ended(ready, results, started_at_s)
        self._pressure.backlog = self._active.local_count
        self._pressure.eased()

    def _local_ended(self, slots: Sequence[Slot], results: Sequence[Result], started_at_s: float) -> None:
        delivered: list[Unsettled] = []
        others: dict[Entry, list[tuple[Slot, Result]]] = {}
        now = self._clock.now_s()
        for slot, result in zip(slots, results, strict=True):
            entry = slot.entry
            entry.running -= 1
            if isinstance(result, Outcome) and result.action in {Action.DELIVERED, Action.EXPANDED}:
                self._conclusions.log_attempt(slot, result, started_at_s, now)
                slot.state = SlotState.UNSETTLED
                delivered.append((slot, result))
                if len(entry.slots) == 1:
                    self._forget_content(entry)
            else:
                others.setdefault(entry, []).append((slot, result))
        if delivered:
            self._settler.add(delivered)
        for entry, pairs in others.items():
            self._conclusions.conclude(entry, pairs, started_at_s)
        for entry in {slot.entry for slot in slots}:
            self._conclusions.end_round(entry)

    def _settled(self, settled: Sequence[Unsettled]) -> None:
        """Remove the rows of what is on stable storage now, with the success notices that were asked for."""
        plain: list[Slot] = []
        told: dict[Entry, list[Pair]] = {}
        for slot, outcome in settled:
            slot.state = SlotState.LEAVING
            if self._bounces.wants_success(slot, outcome, is_local=True):
                told.setdefault(slot.entry, []).append((slot, outcome))
            else:
                plain.append(slot)
        for start in range(0, len(plain), _REMOVALS_PER_UNIT):
            slots = plain[start : start + _REMOVALS_PER_UNIT]
            self._committer.post(
                Unit(
                    removals=[Removal(slot.entry.queue_id, (slot.number,)) for slot in slots],
                    durable=False,
                    done=partial(self.let_go, slots),
                )
            )
        for entry, pairs in told.items():
            self.spawn(self._conclusions.notify_success, entry, pairs)

    def _unsettled_again(self, pairs: Sequence[Unsettled], error: ApplianceError) -> None:
        """Have everything delivered again that the disk may have lost; local delivery knows what it has whole."""
        outcome = Outcome(Action.DEFERRED, "4.3.0", error.client_text, relay="local")
        by_entry: dict[Entry, list[Slot]] = {}
        for slot, _outcome in pairs:
            by_entry.setdefault(slot.entry, []).append(slot)
        now = self._clock.now_s()
        for entry, slots in by_entry.items():
            self._conclusions.defer(entry, slots, [self._schedule.update(slot, outcome, now) for slot in slots])

    # Relay

    def _start_relays(self) -> None:
        """Start as many attempts as connections allow."""
        now_s = self._clock.monotonic_s()
        while (group := self._active.take_relay(now_s)) is not None:
            ready = self._start(group.slots)
            if not group.destination.has_answered:
                self._unanswered.set()
            if ready:
                self.spawn(self._relay, group, ready)
            else:
                self._active.skipped(group)

    async def _give_way(self) -> None:
        """Let those pass who would wait for servers that do not answer."""
        while True:
            await self._unanswered.wait()
            await trio.sleep(STUCK_S)
            if self._active.give_way(self._clock.monotonic_s()):
                self._start_relays()
            if not self._active.has_unanswered:
                self._unanswered = trio.Event()

    async def _relay(self, group: RelayGroup, slots: Sequence[Slot]) -> None:
        entry = slots[0].entry
        started_at_s = self._clock.now_s()
        results = await self._attempts.relay(group.destination.next_hop, slots, partial(self._reached, group))
        entry.running -= len(slots)
        outcomes = [one for one in results if isinstance(one, Outcome)]
        stranded = self._active.ended(group, outcomes, self._clock.monotonic_s(), self._config.first_retry_s)
        self._conclusions.conclude(entry, list(zip(slots, results, strict=True)), started_at_s)
        self._conclusions.end_round(entry)
        for other in stranded:
            waiting = self._runnable(other.slots)
            if waiting:
                self._suspend(waiting[0].entry, waiting, outcomes[0])
                self._conclusions.end_round(waiting[0].entry)
        self._start_relays()

    def _reached(self, group: RelayGroup) -> None:
        if self._active.reached(group):
            self._start_relays()

    def _suspend(self, entry: Entry, slots: Sequence[Slot], failure: Outcome) -> None:
        """Defer recipients whose destination has just been found dead by somebody else's attempt."""
        reason = f"delivery temporarily suspended: {failure.reason}"
        outcome = Outcome(Action.DEFERRED, failure.status, reason, failure.diagnostic, failure.remote_mta, "none")
        self._conclusions.conclude(entry, [(slot, outcome) for slot in slots], self._clock.now_s())

    def _start(self, slots: Sequence[Slot]) -> list[Slot]:
        """Mark slots as running; those held or deleted while they waited leave memory instead."""
        ready = self._runnable(slots)
        for slot in ready:
            slot.state = SlotState.RUNNING
            slot.entry.running += 1
        return ready

    def _runnable(self, slots: Sequence[Slot]) -> list[Slot]:
        stopped = [slot for slot in slots if slot.entry.is_held or slot.entry.is_deleted]
        if not stopped:
            return list(slots)
        self.let_go(stopped)
        return [slot for slot in slots if not (slot.entry.is_held or slot.entry.is_deleted)]

    # Going out

    def let_go(self, slots: Sequence[Slot]) -> None:
        """Let recipients leave memory: their rows are gone or say when to come back."""
        for slot in slots:
            entry = slot.entry
            if entry.slots.pop(slot.number, None) is None:
                continue
            self._count -= 1
            self.deferred.released(entry.queue_id, slot.number)
            if not entry.slots:
                self._forget_content(entry)
                self.entries.pop(entry.queue_id, None)
        self.deferred.room_made()

    def _gone(self, queue_ids: Sequence[QueueId]) -> None:
        self.total -= len(queue_ids)
        if self.aside:
            for queue_id in queue_ids:
                self.aside.pop(queue_id, None)

    def _forget_content(self, entry: Entry) -> None:
        """Give the memory of a message back; whoever still needs its content reads it from the spool."""
        if entry.kept_bytes:
            self._pressure.kept_bytes -= entry.kept_bytes
            entry.kept_bytes = 0
            entry.content = RowContent(self._spool.read_row, entry.queue_id, entry.size)
            self._pressure.eased()

    def revive(self, address: str, reverse_path: str) -> None:
        """Let the destination of an address be tried at once, dead or not."""
        next_hop = self._router.next_hop(address, reverse_path)
        if next_hop is not None:
            self._active.revive(next_hop)

    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> None:
        # Before the start and after the end nothing is attempted; the rows wait for the next start.
        if self._nursery is not None:
            self._nursery.start_soon(function, *arguments)
