"""What follows from an attempt: rows removed or deferred, messages put aside, notifications written.

Owns the way from an outcome to the commit that makes it last. What is told to
the sender and the removal of what it is told about are one commit, so that a
crash between them cannot lose the notification or send it twice.

Fails: a notification that cannot be written puts its message on hold.
Does not: attempt anything, or choose what is attempted next.

Sources: RFC 5321 section 4.5.4, RFC 3461 section 5.2, Postfix qmgr_deliver.c, bounce(8).
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVarTuple

from appliance.model.content import Content
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Clock
from appliance.observe.maillog import MailLog
from appliance.services.queue.attempt import Crashed, Result
from appliance.services.queue.bounce import Bounces
from appliance.services.queue.committer import Committer, Unit
from appliance.services.queue.deferred import Deferred
from appliance.services.queue.entry import Entry, Slot, SlotState
from appliance.services.queue.schedule import MAX_CRASHES, Schedule, Step
from appliance.storage.spool_schema import Addition, MessageState, RecipientUpdate, Removal, StateChange

__all__ = ["Conclusions", "Pair"]

Ts = TypeVarTuple("Ts")
Pair = tuple[Slot, Outcome]
Prepare = Callable[[Entry, Sequence[Pair]], Awaitable[list[tuple[Addition, Content]]]]


class Memory(Protocol):
    """What the manager has in memory, and its tasks."""

    aside: dict[QueueId, MessageState]
    deferred: Deferred
    entries: dict[QueueId, Entry]

    def let_go(self, slots: Sequence[Slot]) -> None: ...
    def spawn(self, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> None: ...


class Conclusions:
    """Acts on outcomes for the manager."""

    def __init__(self, memory: Memory, *, committer: Committer, schedule: Schedule, bounces: Bounces, clock: Clock, log: MailLog) -> None:
        self._memory = memory
        self._committer = committer
        self._schedule = schedule
        self._bounces = bounces
        self._clock = clock
        self._log = log

    def conclude(self, entry: Entry, pairs: Sequence[tuple[Slot, Result]], started_at_s: float) -> None:
        """Act on outcomes of one message's recipients that need no settling."""
        now = self._clock.now_s()
        done: list[Pair] = []
        retried: list[Slot] = []
        updates: list[RecipientUpdate] = []
        for slot, result in pairs:
            slot.state = SlotState.LEAVING
            outcome = self._crashed(entry, result) if isinstance(result, Crashed) else result
            step = self._schedule.step(slot, outcome, now)
            if step is Step.FAIL and outcome.action is Action.DEFERRED:
                outcome = self._schedule.expired(entry, outcome)
            self.log_attempt(slot, outcome, started_at_s, now)
            if step is Step.DONE:
                done.append((slot, outcome))
            elif step is Step.FAIL:
                entry.bounced.append((slot, outcome))
            elif step is Step.RETRY_AND_NOTIFY:
                entry.delayed.append((slot, outcome))
            else:
                retried.append(slot)
                updates.append(self._schedule.update(slot, outcome, now))
        if retried:
            self.defer(entry, retried, updates)
        if done:
            self._done(entry, done)

    def _done(self, entry: Entry, pairs: Sequence[Pair]) -> None:
        """Remove relayed recipients at once, though not flushed: until then the end of the process would send them again."""
        told = [pair for pair in pairs if self._bounces.wants_success(*pair, is_local=False)]
        if told:
            self._memory.spawn(self.notify_success, entry, told)
        plain = [pair[0] for pair in pairs if pair not in told]
        if plain:
            self._committer.post(self._removal(entry, plain), urgent=True)

    def defer(self, entry: Entry, slots: Sequence[Slot], updates: Sequence[RecipientUpdate]) -> None:
        """Write the next attempt down and give the recipients back to the disk."""
        for slot in slots:
            slot.state = SlotState.LEAVING
        self._committer.post(Unit(updates=updates, durable=False, done=partial(self._deferred, slots, updates)))

    def _deferred(self, slots: Sequence[Slot], updates: Sequence[RecipientUpdate]) -> None:
        self._memory.let_go(slots)
        self._memory.deferred.due_at(min(one.next_attempt_s for one in updates))

    def _crashed(self, entry: Entry, crash: Crashed) -> Outcome:
        """Count a crash against the message; the second one, or damage, puts it aside. The count is durable before any retry."""
        if crash.is_damage:
            self.put_aside(entry.queue_id, MessageState.CORRUPT, crash.reason)
        elif not entry.is_held:
            entry.crashes += 1
            if entry.crashes >= MAX_CRASHES:
                self.put_aside(entry.queue_id, MessageState.HOLD, crash.reason, entry.crashes)
            else:
                self._committer.post(Unit(changes=[StateChange(entry.queue_id, crashes=entry.crashes)]))
        return Outcome(Action.DEFERRED, "4.3.0", crash.reason)

    def put_aside(self, queue_id: QueueId, state: MessageState, reason: str, crashes: int | None = None) -> None:
        entry = self._memory.entries.get(queue_id)
        if entry is not None:
            entry.is_held = True
        self._memory.aside[queue_id] = state
        self._log.error(
            "message_put_aside",
            queue_id=queue_id,
            state=state.name.lower(),
            reason=reason,
            fix=f"carteiro queue show {queue_id}, then carteiro queue release or delete",
        )
        self._committer.post(Unit(changes=[StateChange(queue_id, state, reason, crashes)]))

    def end_round(self, entry: Entry) -> None:
        """When nothing of a message is being attempted, send the notifications that gathered."""
        if entry.running or not (entry.bounced or entry.delayed):
            return
        bounced, entry.bounced = entry.bounced, []
        delayed, entry.delayed = entry.delayed, []
        if bounced:
            self._memory.spawn(self._notify_failure, entry, bounced)
        if delayed:
            self._memory.spawn(self._notify_delay, entry, delayed)

    async def _notify_failure(self, entry: Entry, pairs: Sequence[Pair]) -> None:
        await self._notify(entry, pairs, self._bounces.failed, self._removal(entry, [pair[0] for pair in pairs]))

    async def notify_success(self, entry: Entry, pairs: Sequence[Pair]) -> None:
        await self._notify(entry, pairs, self._bounces.succeeded, self._removal(entry, [pair[0] for pair in pairs]))

    async def _notify_delay(self, entry: Entry, pairs: Sequence[Pair]) -> None:
        now = self._clock.now_s()
        updates = [self._schedule.update(slot, outcome, now, delay_noticed=True) for slot, outcome in pairs]
        done = partial(self._deferred, [pair[0] for pair in pairs], updates)
        await self._notify(entry, pairs, self._bounces.delayed, Unit(updates=updates, done=done))

    async def _notify(self, entry: Entry, pairs: Sequence[Pair], prepare: Prepare, unit: Unit) -> None:
        """Commit a notification together with what it tells about."""
        try:
            unit.additions = [] if entry.is_deleted else await prepare(entry, pairs)
        except Exception as error:  # noqa: BLE001 - a message that no DSN can be written about must not stop the queue
            self._log.exception("notice_crashed", error, queue_id=entry.queue_id)
            self.put_aside(entry.queue_id, MessageState.HOLD, f"notification crashed: {error!r}")
            self._memory.let_go([pair[0] for pair in pairs])
            return
        self._committer.post(unit, urgent=True)

    def _removal(self, entry: Entry, slots: Sequence[Slot]) -> Unit:
        removal = Removal(entry.queue_id, [slot.number for slot in slots])
        return Unit(removals=[removal], durable=False, done=partial(self._memory.let_go, slots))

    def log_attempt(self, slot: Slot, outcome: Outcome, started_at_s: float, now_s: float) -> None:
        entry = slot.entry
        taken = max(entry.taken_at_s, entry.arrived_at_s)
        took_s = now_s - started_at_s
        self._log.recipient_attempted(
            queue_id=entry.queue_id,
            sender=entry.envelope.reverse_path,
            recipient=slot.recipient.address,
            original=slot.recipient.original,
            outcome=outcome,
            delay_s=now_s - entry.arrived_at_s,
            delays_s=(taken - entry.arrived_at_s, max(0.0, started_at_s - taken), outcome.setup_s, max(0.0, took_s - outcome.setup_s)),
            size=entry.size,
        )
