"""The catcher's engine: takes messages in, reads them for lists and searches, lets old ones go, tells what happened.

Owns the order of things. A message is kept, whole and durable, before ``keep``
returns; what waits together is kept together. Reading it comes after: at once
when somebody looks, behind the senders while they are busy. Whoever asks for
messages is answered with everything that was kept before.

Fails: ``keep`` with what the store says; a message that cannot be read is listed without a summary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from appliance.message.reading import index_message
from appliance.model.caught import CaughtEnvelope, CaughtSummary, Indexed, Stored
from appliance.model.content import MemoryContent
from appliance.model.errors import ApplianceError
from appliance.model.ports import Clock, Offload
from appliance.observe.maillog import MailLog
from appliance.services.catcher.hub import EventHub
from appliance.storage.caught import CaughtStore, NewCaught

__all__ = ["Catcher", "Retention", "Statistics"]

_BATCH: Final = 32
"""Messages read before their summaries are written."""
_READ_BYTES: Final = 8_388_608
"""Of a larger message the beginning is read for the list."""
_HELD_BYTES: Final = 16_777_216
"""Bytes of messages that are kept in memory until they are read; more are fetched again."""
_POLITE_S: Final = 0.02
"""While messages keep coming and nobody looks, reading waits so long after each."""
_MOST_UNREAD: Final = 2_000
"""With so many messages not read yet, waiting ends."""
_AGE_CHECK_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """``keep``: so many messages at most, 0 for all; ``max_age_s``: none older, 0 for any age."""

    keep: int = 0
    max_age_s: float = 0


@dataclass(slots=True)
class Statistics:
    """Since the start."""

    accepted: int = 0
    accepted_bytes: int = 0
    rejected: int = 0
    ignored: int = 0
    deleted: int = 0


@dataclass(slots=True)
class _Arrival:
    new: NewCaught
    talk: Callable[[], str] | None = None
    error: ApplianceError | None = None


@dataclass(slots=True)
class _Unread:
    """A message that was kept and not read. ``data`` None: it is fetched."""

    number: int
    envelope: CaughtEnvelope
    data: bytes | None = None
    talk: Callable[[], str] | None = None


class Catcher:
    """One store of caught messages. ``run`` must be running."""

    def __init__(
        self,
        store: CaughtStore,
        *,
        offload: Offload,
        commit_offload: Offload,
        clock: Clock,
        mail_log: MailLog,
        retention: Retention | None = None,
    ) -> None:
        """``commit_offload`` must run one call at a time."""
        self.store = store
        self.offload = offload
        self.clock = clock
        self.mail_log = mail_log
        self.retention = retention or Retention()
        self.retentions: Mapping[str, Retention] = {}
        """Of inboxes that have their own, by name."""
        self.hub = EventHub()
        self.statistics = Statistics()
        self.arrived = trio.lowlevel.ParkingLot()
        """Where who moves messages into mailboxes waits."""
        self.removed: list[Stored] = []
        """Messages deleted here that are still in a mailbox."""
        self.marked: list[Stored] = []
        """Messages whose read state changed here and not yet in the mailbox."""
        self._commit_offload = commit_offload
        self._waiting: list[_Arrival] = []
        self._batch_kept = trio.Event()
        """Set when what waits now was kept, or refused."""
        self._wake_commit = trio.Event()
        self._unread: list[_Unread] = []
        self._held_bytes = 0
        self._wake_reader = trio.Event()
        self._hurried = trio.Event()
        self._is_settled = trio.Event()
        self._last_arrival_s = -1.0
        self._total = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled."""
        await self._begin()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._commit_forever)
            nursery.start_soon(self._read_forever)
            nursery.start_soon(self._age_forever)
            task_status.started()

    async def _begin(self) -> None:
        """Find what an earlier run left unread."""
        self._total = (await self.offload.run(self.store.counts)).total
        while True:
            rows = await self.offload.run(self.store.unindexed, _BATCH)
            if not rows:
                break
            await self._read([_Unread(number, envelope) for number, envelope in rows], tell=False)
        self._is_settled.set()

    # Coming in

    async def keep(self, new: NewCaught, talk: Callable[[], str] | None = None) -> None:
        """Keep a message. ``talk``: tells the session that brought it, when it is read. Durable at return. Raises OutOfSpaceError, UnavailableError."""
        arrival = _Arrival(new, talk)
        self._waiting.append(arrival)
        self._wake_commit.set()
        await self._batch_kept.wait()
        if arrival.error is not None:
            raise arrival.error
        self.statistics.accepted += 1
        self.statistics.accepted_bytes += new.content.size

    async def _commit_forever(self) -> None:
        while True:
            await self._wake_commit.wait()
            self._wake_commit = trio.Event()
            while self._waiting:
                batch, self._waiting = self._waiting, []
                kept, self._batch_kept = self._batch_kept, trio.Event()
                await self._commit(batch)
                kept.set()

    async def _commit(self, batch: Sequence[_Arrival]) -> None:
        try:
            numbers = await self._commit_offload.run(self.store.add, [arrival.new for arrival in batch])
        except ApplianceError as error:
            self.mail_log.warning("catch_failed", messages=len(batch), reason=error.client_text, detail=error.detail)
            for arrival in batch:
                arrival.error = error
            return
        self._total += len(batch)
        self._is_settled = trio.Event() if self._is_settled.is_set() else self._is_settled
        for number, arrival in zip(numbers, batch, strict=True):
            content = arrival.new.content
            data = content.data if isinstance(content, MemoryContent) and self._held_bytes < _HELD_BYTES else None
            self._held_bytes += len(data or b"")
            self._unread.append(_Unread(number, arrival.new.envelope, data, arrival.talk))
        self._last_arrival_s = trio.current_time()
        self._wake_reader.set()

    # Reading

    async def settled(self) -> None:
        """Return when everything that was kept before the call is in lists and searches."""
        while self._unread or not self._is_settled.is_set():
            self._hurried.set()
            await self._is_settled.wait()

    async def _read_forever(self) -> None:
        while True:
            await self._wake_reader.wait()
            self._wake_reader = trio.Event()
            while self._unread:
                await self._be_polite()
                batch, self._unread = self._unread[:_BATCH], self._unread[_BATCH:]
                self._held_bytes -= sum([len(one.data) for one in batch if one.data is not None])
                await self._read(batch, tell=True)
                if not self._unread:
                    await self._prune()  # who looks next finds no more than is kept
            self._hurried = trio.Event()
            self._is_settled.set()
            self.arrived.unpark_all()

    async def _be_polite(self) -> None:
        """Let those who send go first, as long as nobody looks."""
        while (
            not (self._hurried.is_set() or self.hub.is_heard)
            and len(self._unread) < _MOST_UNREAD
            and (left := self._last_arrival_s + _POLITE_S - trio.current_time()) > 0
        ):
            with trio.move_on_after(left):
                await self._hurried.wait()

    async def _read(self, batch: Sequence[_Unread], *, tell: bool) -> None:
        found: list[tuple[int, Indexed, str]] = []
        for one in batch:
            data = one.data if one.data is not None else await self.offload.run(self.store.content, one.number, _READ_BYTES)
            if data is not None:
                found.append((one.number, index_message(data, one.envelope), one.talk() if one.talk is not None else ""))
            await trio.lowlevel.checkpoint()
        try:
            await self._commit_offload.run(self.store.index, found)
        except ApplianceError as error:
            self.mail_log.warning("catch_not_indexed", messages=len(batch), reason=error.client_text, detail=error.detail)
            return
        if tell and self.hub.is_heard:
            for summary in await self.offload.run(self.store.summaries, [number for number, _, _ in found]):
                self.hub.tell("new", summary)
            self.hub.tell("stats")

    # Going out

    async def _prune(self) -> None:
        await self._prune_one(self.retention, None)
        for inbox, retention in list(self.retentions.items()):
            await self._prune_one(retention, inbox)

    async def _prune_one(self, retention: Retention, inbox: str | None) -> None:
        before_ms = int((self.clock.now_s() - retention.max_age_s) * 1_000) if retention.max_age_s else 0
        if not before_ms and not 0 < retention.keep < self._total:
            return
        gone = await self.offload.run(lambda: self.store.prune(keep=retention.keep, before_ms=before_ms, inbox=inbox))
        self._went(gone)
        if gone:
            self.hub.tell("prune")

    async def _age_forever(self) -> None:
        while True:
            await trio.sleep(_AGE_CHECK_S)
            if self.retention.max_age_s or self.retentions:
                await self._prune()
                self.arrived.unpark_all()

    def _went(self, gone: Sequence[Stored], *, from_mailbox: bool = False) -> None:
        self._total -= len(gone)
        self.statistics.deleted += len(gone)
        if not from_mailbox:
            self.removed += [stored for stored in gone if stored.uid]

    async def delete(self, ids: Sequence[str] | None, *, from_mailbox: bool = False) -> int:
        """Delete messages, None for all; return how many were there."""
        await self.settled()
        gone = await self.offload.run(self.store.delete, ids)
        self._went(gone, from_mailbox=from_mailbox)
        if ids is None:
            self.hub.tell("truncate")
        elif len(gone) > 200:
            self.hub.tell("prune")
        else:
            for stored in gone:
                self.hub.tell("delete", {"ID": stored.id})
        self.hub.tell("stats")
        self.arrived.unpark_all()
        return len(gone)

    async def set_read(self, ids: Sequence[str] | None, *, read: bool, from_mailbox: bool = False) -> None:
        """Mark messages, None for all."""
        await self.settled()
        changed = await self.offload.run(lambda: self.store.set_read(ids, read=read))
        if not changed:
            return
        if not from_mailbox:
            self.marked += [stored for stored in changed if stored.uid]
        if len(changed) > 200:
            self.hub.tell("prune")
        else:
            for stored in changed:
                self.hub.tell("update", {"ID": stored.id, "Read": read})
        self.hub.tell("stats")
        self.arrived.unpark_all()

    async def set_tags(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Give messages exactly these tags; ids that are not there are left out."""
        await self.settled()
        found = await self.offload.run(self.store.set_tags, ids, tags)
        for stored in found:
            self.hub.tell("update", {"ID": stored.id, "Tags": sorted(tags, key=str.lower)})

    async def retag(self, old: str, new: str) -> None:
        """Give a tag another name, or ``""`` to take it off every message."""
        store = self.store
        ids = await (self.offload.run(store.rename_tag, old, new) if new else self.offload.run(store.delete_tag, old))
        if ids:
            self.hub.tell("prune")

    # Looking

    async def summary(self, message_id: str) -> CaughtSummary | None:
        """Return one message's line, None when it is not there."""
        await self.settled()
        return await self.offload.run(self.store.summary, message_id)

    async def content(self, number: int) -> bytes | None:
        return await self.offload.run(self.store.content, number)
