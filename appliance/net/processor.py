"""All threads of the process on one processor while it is busy.

Threads that share the interpreter's lock cannot run Python at once. On two
processors they hand the lock over at every system call, and each hand-over wakes
a processor and moves what the interpreter works on from cache to cache; on one
the kernel changes threads only when a thread really waits. With two processors
and mail over ten connections that is a quarter of the processor time of a message.

Owns the affinity of every thread but those inside ``run_free``. The event loop
looks a few times a second, and only while it has work: a busy process gathers
where its loop runs, and spreads again when it is idle or when other programs want
that processor; the kernel then finds it a better one.

Fails: never; where the kernel does not let us, nothing is changed.
Does not: gather where there is one processor, or away from Linux.

Sources: ADR 0007; sched_setaffinity(2); proc(5) on /proc/pid/schedstat; David
Beazley, "Understanding the Python GIL" (threads that make system calls).
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, TypeVar, TypeVarTuple

__all__ = ["LinuxScheduler", "OneProcessor", "Scheduler", "Times"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LOOK_S: Final = 0.1
_SPREAD_S: Final = 1.0
"""So long the kernel may look for a better place after others crowded ours."""
_BUSY: Final = 0.3
_IDLE: Final = 0.1
_CROWDED: Final = 0.3
"""Share of the time that the loop waited for a processor while others had it."""


class Times(NamedTuple):
    """Seconds so far: the clock, the loop's thread and all threads on a processor, the loop's thread waiting for one."""

    now_s: float = 0.0
    loop_s: float = 0.0
    all_s: float = 0.0
    waited_s: float = 0.0


class Scheduler(Protocol):
    """What is asked of the kernel, from the loop's thread. Each may raise OSError."""

    def processors(self) -> Iterable[int]:
        """Return where this process may run."""

    def times(self) -> Times: ...

    def current(self) -> int:
        """Return the processor that this thread runs on."""

    def threads(self) -> Iterable[int]: ...

    def move(self, thread: int, processors: Iterable[int]) -> None: ...


class OneProcessor:
    """``look`` is called by the event loop before it waits; everything else follows."""

    def __init__(self, scheduler: Scheduler, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._now_s = now_s
        self._free: set[int] = set()
        self._is_gathered = False
        self._next_look_s = 0.0
        self._before = Times()
        try:
            self._everywhere = frozenset(scheduler.processors())
        except (OSError, AttributeError):
            self._everywhere = frozenset()
        self._is_possible = len(self._everywhere) > 1

    @property
    def is_gathered(self) -> bool:
        return self._is_gathered

    def look(self) -> None:
        """Gather or spread as the last moments suggest; too soon after the last look, do nothing. Blocks: no."""
        if not self._is_possible or self._now_s() < self._next_look_s:
            return
        try:
            self._decide()
        except (OSError, ValueError, IndexError):
            self._is_possible = False  # no such files here, or a sandbox that forbids it

    def run_free(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call a function that works long without the lock; its thread may use any processor meanwhile. Any thread."""
        thread = threading.get_native_id()
        self._free.add(thread)
        try:
            if self._is_gathered:
                with suppress(OSError):
                    self._scheduler.move(thread, self._everywhere)
            return function(*args)
        finally:
            self._free.discard(thread)

    def _decide(self) -> None:
        before, now = self._before, self._scheduler.times()
        self._before = now
        self._next_look_s = now.now_s + _LOOK_S
        elapsed_s, used_s = now.now_s - before.now_s, now.all_s - before.all_s
        if not self._is_gathered:
            if used_s > _BUSY * elapsed_s:
                self._move({self._scheduler.current()})
                self._is_gathered = True
            return
        # The loop waits for our other threads, too; what is left it waited for others.
        crowded_s = now.waited_s - before.waited_s - (used_s - (now.loop_s - before.loop_s))
        is_crowded = crowded_s > _CROWDED * elapsed_s
        if is_crowded or used_s < _IDLE * elapsed_s:
            self._is_gathered = False
            self._move(self._everywhere)
        if is_crowded:
            self._next_look_s = now.now_s + _SPREAD_S

    def _move(self, processors: Iterable[int]) -> None:
        """Let our threads run there; those to come inherit it from the one that starts them."""
        for thread in self._scheduler.threads():
            if thread not in self._free:
                with suppress(ProcessLookupError):  # it has ended
                    self._scheduler.move(thread, processors)


class LinuxScheduler:
    """See ``Scheduler``."""

    def processors(self) -> Iterable[int]:
        return os.sched_getaffinity(0)

    def times(self) -> Times:
        waited_ns = int(_read("schedstat").split()[1])
        return Times(time.monotonic(), time.thread_time(), time.process_time(), waited_ns / 1e9)

    def current(self) -> int:
        # Field 39, counted behind the name, which may hold anything.
        return int(_read("stat").rpartition(b")")[2].split()[36])

    def threads(self) -> Iterable[int]:
        return map(int, os.listdir("/proc/self/task"))  # noqa: PTH208 - names are all that is wanted

    def move(self, thread: int, processors: Iterable[int]) -> None:
        os.sched_setaffinity(thread, processors)


def _read(name: str) -> bytes:
    fd = os.open(f"/proc/thread-self/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4_096)
    finally:
        os.close(fd)
