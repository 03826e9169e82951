"""The one door to threads (``model.ports.Offload``), and the inline form that tests put there.

Owns how many worker threads run at once for one kind of work. Only work that
releases the GIL belongs here (flush, SQLite, OpenSSL, Argon2): a busy
pure-Python thread slows the event loop 24 to 128 times.
Does not: abandon a call on cancellation; who waits for a flush must know how
it ended.

Sources: trio.to_thread.run_sync, whose hop costs about 100 us; one of ours takes
half of that (side by side: 48 against 100 us, 26 against 53 us of CPU), because its caller waits for
the kernel's event itself, without trio's limiter, its queue of callbacks, and the turns of the
loop that they take. Point look-ups are made inline all the same.
"""

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

import trio

from appliance.net.processor import OneProcessor

__all__ = ["InlineOffload", "OwnThread", "ThreadOffload"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Call:
    """One call on its way through the thread."""

    __slots__ = ("arguments", "error", "function", "result")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.result: Any = None
        self.error: BaseException | None = None

    def make(self) -> None:
        try:
            self.result = self.function(*self.arguments)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised again in the caller's thread; nothing is awaited here
            self.error = error


def _serve(calls: "SimpleQueue[_Call | None]", done_fd: int) -> None:
    """Make calls until told to end. The thread: it must not keep its ``OwnThread`` alive."""
    while (call := calls.get()) is not None:
        call.make()
        del call
        os.eventfd_write(done_fd, 1)
    os.close(done_fd)


class OwnThread:
    """Runs calls one at a time in a thread that is never given back; for what is called thousands of times a second.

    Does not: let calls use ``trio.from_thread``. The thread starts with the first call and ends with the object.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._done_fd = -1
        self._is_busy = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call ``function`` in the thread.

        Blocks:   until it returns, and the calls before it; a cancelled caller waits for its own call's end, too.
        Raises:   what ``function`` raises.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._is_busy:
            await self._waiting.park()
        if self._done_fd < 0:
            self._start()
        self._is_busy = True
        call = _Call(function, args)
        self._calls.put(call)
        try:
            await self._wait_done()
            os.eventfd_read(self._done_fd)
        finally:
            self._is_busy = False
            self._waiting.unpark()
        if call.error is not None:
            try:
                raise call.error
            finally:
                del call  # its frame is in the error's traceback
        result: T = call.result
        return result

    async def _wait_done(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._done_fd)
        except trio.Cancelled:  # noqa: ASYNC103 - level-triggered: the caller's next checkpoint raises it again
            # Only now, for making a scope takes a tenth of the hop: who waits for a flush must know how it ended.
            with trio.CancelScope(shield=True):
                await trio.lowlevel.wait_readable(self._done_fd)

    def _start(self) -> None:
        self._done_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        threading.Thread(target=_serve, args=(self._calls, self._done_fd), name=self._name, daemon=True).start()
        weakref.finalize(self, self._calls.put, None)


class ThreadOffload:
    """Runs calls in at most ``max_threads`` threads; further calls wait in order. The thread that was used last is used first.

    ``processor``: what keeps the loop's threads together; these calls may run beside them.
    Does not: let calls use ``trio.from_thread`` without a token.
    """

    __slots__ = ("_idle", "_processor", "_promised", "_unmade", "_waiting")

    def __init__(self, max_threads: int, processor: OneProcessor | None = None) -> None:
        self._processor = processor
        self._unmade = max_threads
        self._idle: list[OwnThread] = []
        self._promised = 0  # threads that belong to callers who were woken and did not run yet
        self._waiting = trio.lowlevel.ParkingLot()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call ``function`` in a thread.

        Blocks:   until it returns; a cancelled caller waits for it, too.
        Raises:   what ``function`` raises.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if len(self._idle) + self._unmade <= self._promised:
            await self._waiting.park()
            self._promised -= 1
        if self._idle:
            thread = self._idle.pop()
        else:
            self._unmade -= 1
            thread = OwnThread("work")
        try:
            if self._processor is not None:
                return await thread.run(self._processor.run_free, partial(function, *args))
            return await thread.run(function, *args)
        finally:
            self._idle.append(thread)
            if self._waiting:
                self._promised += 1
                self._waiting.unpark()


class InlineOffload:
    """Calls at once, in the caller's thread: for tests (an autojump clock does not see threads) and one-shot commands."""

    __slots__ = ()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)
