"""Good connections that wait for the next message to the same next hop.

Owns how many may be open, how long they wait and their end. A session is given
out for an equal ``NextHop`` only: same host, port, TLS and login.

Fails: never.
Sources: Postfix scache(8) and CONNECTION_CACHE_README.
"""

from typing import Final, NamedTuple

import trio

from appliance.model.routing import NextHop
from appliance.services.relay.session import RelaySession

__all__ = ["SessionPool"]

MAX_IDLE_PER_DESTINATION: Final = 20


class _Idle(NamedTuple):
    session: RelaySession
    until_s: float


class SessionPool:
    """``run`` must run: it closes what nobody takes again in time. ``max_open`` counts those in use, too."""

    def __init__(self, *, max_open: int, idle_s: float) -> None:
        self._max_open = max_open
        self._idle_s = idle_s
        self._idle: dict[NextHop, list[_Idle]] = {}
        self._idle_count = 0
        self._in_use = 0
        self._has_idle = trio.Event()
        self._is_over = False

    @property
    def idle_count(self) -> int:
        return self._idle_count

    def take(self, next_hop: NextHop) -> RelaySession | None:
        """Return the session used last, if one waits. In memory."""
        waiting = self._idle.get(next_hop)
        if not waiting:
            return None
        session = self._pop(next_hop, len(waiting) - 1)
        self._in_use += 1
        return session

    async def make_room(self) -> None:
        """Count a session about to be opened; close the one that has waited longest if that is one too many."""
        self._in_use += 1
        if self._idle_count and self._in_use + self._idle_count > self._max_open:
            next_hop = min(self._idle, key=lambda hop: self._idle[hop][0].until_s)
            await self._pop(next_hop, 0).close()

    def forget(self) -> None:
        """Count a session that is no longer in use."""
        self._in_use -= 1

    async def put(self, next_hop: NextHop, session: RelaySession) -> None:
        """Take a session back; one that nobody may want, or that is not good any more, is closed."""
        self._in_use -= 1
        is_wanted = (
            session.is_usable
            and not self._is_over
            and self._idle_s > 0
            and len(self._idle.get(next_hop, ())) < MAX_IDLE_PER_DESTINATION
            and self._in_use + self._idle_count < self._max_open
        )
        if not is_wanted:
            await session.close()
            return
        self._idle.setdefault(next_hop, []).append(_Idle(session, trio.current_time() + self._idle_s))
        self._idle_count += 1
        self._has_idle.set()

    def _pop(self, next_hop: NextHop, index: int) -> RelaySession:
        waiting = self._idle[next_hop]
        session = waiting.pop(index).session
        self._idle_count -= 1
        if not waiting:
            del self._idle[next_hop]
        return session

    async def run(self) -> None:
        """Close sessions that have waited too long; all of them at the end."""
        try:
            while True:
                await self._has_idle.wait()
                self._has_idle = trio.Event()
                while self._idle:
                    await trio.sleep_until(min(waiting[0].until_s for waiting in self._idle.values()))
                    await self._close_until(trio.current_time())
        finally:
            self._is_over = True
            with trio.CancelScope(shield=True):
                # ``close`` has its own deadline.
                await self._close_until(float("inf"))

    async def _close_until(self, now_s: float) -> None:
        expired: list[RelaySession] = []
        for next_hop in tuple(self._idle):
            while (waiting := self._idle.get(next_hop)) and waiting[0].until_s <= now_s:
                expired.append(self._pop(next_hop, 0))
        async with trio.open_nursery() as nursery:
            for session in expired:
                nursery.start_soon(session.close)
