"""The queue's door for people: list, show, retry, hold, release, delete.

Owns the view of the queue: rows on disk, seen together with what is in memory
at the moment. A recipient that is delivered and only waits for its flush is
not shown; it is no longer anybody's concern.

Fails: unknown ids are passed over; OutOfSpaceError, UnavailableError when a
change could not be made durable.

Sources: Postfix postqueue(1) and postsuper(1).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from appliance.model.content import Content
from appliance.model.ids import QueueId
from appliance.model.ports import Clock, Offload, QueueItem, QueueItemRecipient
from appliance.observe.maillog import MailLog
from appliance.services.queue.committer import Committer, Unit
from appliance.services.queue.entry import Entry, SlotState
from appliance.services.queue.manager import QueueManager
from appliance.storage.spool import Spool
from appliance.storage.spool_ids import queue_id_from_int, queue_id_to_int
from appliance.storage.spool_schema import Batch, MessageState, Removal, SpoolMessage, SpoolRecipient, StateChange

__all__ = ["QueueControl", "batch_for", "item_of", "known_ids"]

_CHUNK: Final = 500
_HELD_REASON: Final = "held by hand"


class QueueControl:
    """Implements ``model.ports.QueueAdmin``."""

    def __init__(self, manager: QueueManager, committer: Committer, spool: Spool, offload: Offload, clock: Clock, log: MailLog) -> None:
        self._log = log
        self._manager = manager
        self._committer = committer
        self._spool = spool
        self._offload = offload
        self._clock = clock

    async def items(self, limit: int) -> Sequence[QueueItem]:
        """Return the oldest entries that wait, at most ``limit``. Blocks: disk."""
        found: list[QueueItem] = []
        after: QueueId | None = None
        while len(found) < limit:
            messages = await self._offload.run(self._spool.messages, min(_CHUNK, limit), after)
            found.extend(item for message in messages if (item := self._item(message)) is not None)
            if len(messages) < min(_CHUNK, limit):
                break
            after = messages[-1].queue_id
        return found[:limit]

    def counts(self) -> dict[str, int]:
        """Return the number of entries per state. In memory."""
        active = sum(1 for entry in self._manager.entries.values() if entry.is_open)
        in_memory = len(self._manager.entries)
        incoming = self._manager.deferred.parked_count
        aside = list(self._manager.aside.values())
        return {
            "incoming": incoming,
            "active": active,
            "deferred": max(0, self._manager.total - in_memory - incoming - len(aside)),
            "hold": aside.count(MessageState.HOLD),
            "corrupt": aside.count(MessageState.CORRUPT),
        }

    async def open_content(self, queue_id: QueueId) -> tuple[QueueItem, Content] | None:
        """Return an entry and its content; None when it is not in the queue. Blocks: disk."""
        known = known_ids([queue_id])
        messages = await self._offload.run(self._spool.load, known)
        item = self._item(messages[0]) if messages else None
        return None if item is None else (item, self._spool.content_of(messages[0]))

    async def change(self, action: str, queue_ids: Iterable[QueueId]) -> int:
        """Apply ``retry``, ``hold``, ``release`` or ``delete``; return how many entries it applied to.

        Raises: ValueError for another action; OutOfSpaceError, UnavailableError.
        Durable: at return.
        """
        known = known_ids(queue_ids)
        changed = 0
        for start in range(0, len(known), _CHUNK):
            chunk = known[start : start + _CHUNK]
            if action == "retry":
                changed += await self._retry(chunk)
            elif action == "hold":
                changed += await self._hold(chunk)
            elif action == "release":
                changed += await self._release(chunk)
            elif action == "delete":
                changed += await self._delete(chunk)
            else:
                raise ValueError(f"unknown action {action!r}")
            for queue_id in chunk:
                self._log.notice("queue_entry_changed", queue_id=queue_id, change=action)
        return changed

    async def run_domain(self, domain: str) -> int:
        """Try everything for a domain now; return how many entries that is. ``domain``: lower case. Blocks: disk."""
        found: list[QueueId] = []
        after: QueueId | None = None
        while messages := await self._offload.run(self._spool.messages, _CHUNK, after):
            after = messages[-1].queue_id
            found += [
                one.queue_id
                for one in messages
                if one.state is MessageState.NORMAL
                and any(each.recipient.address.rpartition("@")[2].lower() == domain for each in one.recipients)
            ]
        await self.change("retry", found)
        return len(found)

    # Inside

    async def _retry(self, queue_ids: Sequence[QueueId]) -> int:
        now = self._clock.now_s()
        retried = await self._commit_changes("retry", queue_ids, now)
        await self._revive(retried)
        self._manager.deferred.due_at(now)
        return len(retried)

    async def _hold(self, queue_ids: Sequence[QueueId]) -> int:
        held = await self._commit_changes("hold", queue_ids, 0.0)
        for queue_id in held:
            self._manager.aside[queue_id] = MessageState.HOLD
            entry = self._manager.entries.get(queue_id)
            if entry is not None:
                entry.is_held = True
        return len(held)

    async def _release(self, queue_ids: Sequence[QueueId]) -> int:
        now = self._clock.now_s()
        released = await self._commit_changes("release", queue_ids, now)
        await self._revive(released)
        for queue_id in released:
            self._manager.aside.pop(queue_id, None)
            entry = self._manager.entries.get(queue_id)
            if entry is not None:
                entry.is_held = False
                entry.crashes = 0
            self._manager.deferred.park(queue_id)
        self._manager.deferred.due_at(now)
        return len(released)

    async def _commit_changes(self, action: str, queue_ids: Sequence[QueueId], now_s: float) -> list[QueueId]:
        """Change rows and return the entries that were there to be changed."""
        changes = batch_for(action, queue_ids, self._manager.aside, now_s).changes
        unit = Unit(changes=changes)
        if changes:
            await self._committer.commit(unit)
        return [change.queue_id for change in changes if change.queue_id in unit.changed]

    async def _delete(self, queue_ids: Sequence[QueueId]) -> int:
        entries = [entry for queue_id in queue_ids if (entry := self._manager.entries.get(queue_id)) is not None]
        for entry in entries:
            entry.is_deleted = True
        unit = Unit(removals=[Removal(queue_id) for queue_id in queue_ids])
        try:
            await self._committer.commit(unit)
        except BaseException:
            for entry in entries:
                entry.is_deleted = False
            raise
        return len(unit.changed.intersection(queue_ids))

    async def _revive(self, queue_ids: Sequence[QueueId]) -> None:
        """Let the destinations of these entries be tried at once."""
        messages = await self._offload.run(self._spool.load, list(queue_ids))
        paths = {(one.recipient.address, message.envelope.reverse_path) for message in messages for one in message.recipients}
        for address, reverse_path in paths:
            self._manager.revive(address, reverse_path)

    def _item(self, message: SpoolMessage) -> QueueItem | None:
        return item_of(message, self._manager.entries.get(message.queue_id))


def item_of(message: SpoolMessage, entry: Entry | None = None) -> QueueItem | None:
    """Return how a message is shown, None when all of it is delivered. ``entry``: what is in memory of it. Pure."""
    recipients = tuple(_recipient(one, message, entry) for one in message.recipients if not _is_delivered(one.number, entry))
    if message.recipients and not recipients:
        return None
    if message.state is MessageState.NORMAL:
        states = {one.state for one in recipients}
        state = "active" if "active" in states else "incoming" if states == {"incoming"} else "deferred"
    else:
        state = message.state.name.lower()
    return QueueItem(message.queue_id, state, message.envelope.reverse_path, message.size, message.arrived_at_s, recipients)


def batch_for(action: str, queue_ids: Sequence[QueueId], aside: Mapping[QueueId, MessageState], now_s: float) -> Batch:
    """Return what an action does to rows. ``aside``: those on hold or corrupt. Pure."""
    normal = [queue_id for queue_id in queue_ids if queue_id not in aside]
    held = [queue_id for queue_id in queue_ids if queue_id in aside]
    if action == "retry":
        return Batch(changes=[StateChange(queue_id, next_attempt_s=now_s) for queue_id in normal])
    if action == "hold":
        return Batch(changes=[StateChange(queue_id, MessageState.HOLD, _HELD_REASON) for queue_id in normal])
    if action == "release":
        return Batch(changes=[StateChange(queue_id, MessageState.NORMAL, "", 0, now_s) for queue_id in held])
    if action == "delete":
        return Batch(removals=[Removal(queue_id) for queue_id in queue_ids])
    raise ValueError(f"unknown action {action!r}")


def _is_delivered(number: int, entry: Entry | None) -> bool:
    slot = None if entry is None else entry.slots.get(number)
    return slot is not None and slot.state is SlotState.UNSETTLED


def _recipient(one: SpoolRecipient, message: SpoolMessage, entry: Entry | None) -> QueueItemRecipient:
    reason = one.reason
    if message.state is not MessageState.NORMAL:
        state, reason = message.state.name.lower(), message.reason or reason
    elif entry is not None and one.number in entry.slots:
        state = "active"
    else:
        state = "deferred" if one.attempts else "incoming"
    next_attempt_s = one.next_attempt_s if state == "deferred" else 0.0
    return QueueItemRecipient(one.recipient.address, state, one.attempts, next_attempt_s, reason)


def known_ids(queue_ids: Iterable[str]) -> list[QueueId]:
    """Return those that can be queue ids at all, once each, as the spool spells them."""
    found: dict[QueueId, None] = {}
    for queue_id in queue_ids:
        try:
            found[queue_id_from_int(queue_id_to_int(queue_id))] = None
        except ValueError:
            continue
    return list(found)
