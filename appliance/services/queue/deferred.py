"""The way from disk to memory: messages that found no room, and recipients whose time has come again.

Owns the list of parked messages (ids alone), the time of the next retry, and
the task that loads both as room allows. A recipient that is in memory is not
loaded again, nor one whose row changed while it was being read.

Sources: Postfix qmgr_active.c and qmgr_scan.c.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import trio

from appliance.model.errors import ApplianceError
from appliance.model.ids import QueueId
from appliance.model.ports import Clock, Offload
from appliance.observe.maillog import MailLog
from appliance.storage.spool import DueCursor, Spool
from appliance.storage.spool_schema import SpoolMessage

__all__ = ["Deferred"]

_CHUNK: Final = 256
_GATHER_S: Final = 0.02
"""How long little room gathers more: each read costs a hop to a thread, for one message as for many."""
_REFUSED_S: Final = 10.0
_MAX_SLEEP_S: Final = 60.0
"""Wall time may be set; who waits for a moment on it looks again each minute."""

Admit = Callable[[SpoolMessage, frozenset[tuple[QueueId, int]]], None]


class Deferred:
    """What waits on disk, and the task that brings it in."""

    def __init__(self, spool: Spool, offload: Offload, clock: Clock, log: MailLog, *, room: Callable[[], int], admit: Admit) -> None:
        self._spool = spool
        self._offload = offload
        self._clock = clock
        self._log = log
        self._room = room
        self._admit = admit
        self._parked: deque[QueueId] = deque()
        self._next_due_s = 0.0
        self._released: set[tuple[QueueId, int]] | None = None
        self._wake = trio.Event()
        self._caught_up = trio.Event()

    async def wait_caught_up(self) -> None:
        """Return when everything has been in memory once that was due when the server started."""
        await self._caught_up.wait()

    @property
    def parked_count(self) -> int:
        return len(self._parked)

    def park(self, queue_id: QueueId) -> None:
        """Remember a message with recipients that were never tried, to be loaded when there is room."""
        self._parked.append(queue_id)
        self._wake.set()

    def due_at(self, next_attempt_s: float) -> None:
        """Take notice of a recipient that is due then (wall clock)."""
        if next_attempt_s < self._next_due_s:
            self._next_due_s = next_attempt_s
            self._wake.set()

    def released(self, queue_id: QueueId, number: int) -> None:
        """Take notice of a recipient that left memory: a read under way may still show its old row."""
        if self._released is not None:
            self._released.add((queue_id, number))

    def room_made(self) -> None:
        """Look again: there is room."""
        if self._parked or self._next_due_s <= self._clock.now_s():
            self._wake.set()

    async def start(self) -> None:
        """Find what an earlier process left. Blocks: disk."""
        self._parked.extend(await self._offload.run(self._spool.fresh))
        self._next_due_s = 0.0

    async def run(self) -> None:
        """Load until cancelled. A disk that refuses is asked again after a while."""
        while True:
            try:
                await self._step()
            except ApplianceError as error:
                self._released = None
                self._log.error("queue_load_failed", reason=error.detail, fix="look at the disk that holds the queue")
                await trio.sleep(_REFUSED_S)

    async def _step(self) -> None:
        now = self._clock.now_s()
        has_room = self._room() > 0
        if has_room and self._parked:
            await self._load_parked()
        elif has_room and self._next_due_s <= now:
            await self._load_due(now)
        else:
            if has_room:
                self._caught_up.set()
            wait_s = min(_MAX_SLEEP_S, self._next_due_s - now) if has_room and self._next_due_s < math.inf else math.inf
            with trio.move_on_after(wait_s):
                await self._wake.wait()
            self._wake = trio.Event()

    async def _wait_room(self, wanted: int) -> int:
        """Return the room there is, for so many if they get it soon."""
        if self._room() < wanted:
            await trio.sleep(_GATHER_S)
        return min(wanted, max(0, self._room()))

    async def _load_parked(self) -> None:
        count = await self._wait_room(min(len(self._parked), _CHUNK))
        queue_ids = list(islice(self._parked, count))
        self._released = set()
        messages = await self._offload.run(self._spool.load, queue_ids)
        # Only now: a read that failed has forgotten nobody. New ones are parked at the other end meanwhile.
        for _ in queue_ids:
            self._parked.popleft()
        self._take(messages)

    async def _load_due(self, now_s: float) -> None:
        self._next_due_s = math.inf
        try:
            await self._load_all_due(now_s)
        except ApplianceError:
            self._next_due_s = now_s
            raise

    async def _load_all_due(self, now_s: float) -> None:
        cursor: DueCursor | None = (0.0, 0, 0)
        while cursor is not None:
            room = await self._wait_room(_CHUNK)
            if room <= 0:
                # The rest stays due; ``room_made`` looks again.
                self._next_due_s = now_s
                return
            self._released = set()
            messages, cursor = await self._offload.run(self._spool.due, now_s, room, cursor)
            self._take(messages)
        following = await self._offload.run(self._spool.next_due, now_s)
        if following is not None:
            self._next_due_s = min(self._next_due_s, following)

    def _take(self, messages: Sequence[SpoolMessage]) -> None:
        released = frozenset(self._released or ())
        self._released = None
        for message in messages:
            self._admit(message, released)
