"""When local deliveries are made, and how many at a time.

Owns the rounds: one after the other, each with all that waits. A message that
comes alone is delivered at once. While mail streams in, a round gathers for a
tenth of a second, because most of what a small round costs is the round; it ends
sooner when nothing more has come for a moment, or when it is large.

Fails: never; the delivery that it calls answers for itself.

Sources: Nagle's algorithm for TCP, measurements of delivery per round.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from appliance.services.queue.active import ActiveQueue
from appliance.services.queue.entry import Slot

__all__ = ["LocalRounds"]

_GATHER_S: Final = 0.1
_PAUSE_S: Final = 0.02
_GATHER_COUNT: Final = 128
_GATHER_BYTES: Final = 1_048_576
_ROUND: Final = 256
_ROUND_BYTES: Final = 16_777_216


class LocalRounds:
    """The task that takes from the active queue; ``deliver`` makes one round."""

    def __init__(self, active: ActiveQueue, deliver: Callable[[list[Slot]], Awaitable[None]]) -> None:
        self._active = active
        self._deliver = deliver
        self._wake = trio.Event()
        self._wanted = 1
        self._tried = 0
        self._ended = trio.Event()
        self.running = 0
        """Recipients of the round under way."""

    def came(self) -> None:
        """Take notice of recipients that were put into the active queue."""
        if self._active.local_count >= self._wanted or self._active.local_bytes >= _GATHER_BYTES:
            self._wake.set()

    async def wait_tried(self, count: int) -> None:
        """Return when so many more recipients were tried: they are, in the order in which they came."""
        last = self._tried + count
        while self._tried < last:
            await self._ended.wait()

    async def run(self) -> None:
        """Deliver whatever is ready, round after round: while one runs, the next gathers."""
        next_at = 0.0
        while True:
            await self._wait(1)
            if trio.current_time() < next_at:
                await self._gather(next_at)
            next_at = trio.current_time() + _GATHER_S
            slots = self._active.take_local(_ROUND, _ROUND_BYTES)
            self.running = len(slots)
            await self._deliver(slots)
            self.running = 0
            self._tried += len(slots)
            self._ended.set()
            self._ended = trio.Event()

    async def _gather(self, until: float) -> None:
        """Return at that time, or when there is enough, or nothing more comes."""
        while trio.current_time() < until:
            before = self._active.local_count
            with trio.move_on_at(min(until, trio.current_time() + _PAUSE_S)) as scope:
                await self._wait(_GATHER_COUNT)
            if not scope.cancelled_caught or self._active.local_count == before:
                return

    async def _wait(self, wanted: int) -> None:
        """Return when so many recipients wait, or large messages."""
        self._wanted = wanted
        while self._active.local_count < wanted and self._active.local_bytes < _GATHER_BYTES:
            self._wake = trio.Event()
            await self._wake.wait()
