"""The one door to threads (``model.ports.Offload``), and the inline form that tests put there.

Owns how many worker threads run at once for one kind of work. Only work that
releases the GIL belongs here (flush, SQLite, OpenSSL, Argon2): a busy
pure-Python thread slows the event loop 24 to 128 times.
Does not: abandon a call on cancellation; who waits for a flush must know how
it ended.

Sources: trio.to_thread.run_sync; a hop costs about 145 us, so point look-ups
are made inline. A thread of one's own behind a queue saves a tenth of that (153
against 170 us of CPU, measured side by side): the wake across cores is the cost.
"""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

__all__ = ["InlineOffload", "ThreadOffload"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ThreadOffload:
    """Runs calls in at most ``max_threads`` worker threads of its own count; further calls wait in order."""

    __slots__ = ("_limiter",)

    def __init__(self, max_threads: int) -> None:
        self._limiter = trio.CapacityLimiter(max_threads)

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call ``function`` in a thread.

        Blocks:   until it returns; a cancelled caller waits for it, too.
        Raises:   what ``function`` raises.
        """
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)


class InlineOffload:
    """Calls at once, in the caller's thread: for tests (an autojump clock does not see threads) and one-shot commands."""

    __slots__ = ()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)
