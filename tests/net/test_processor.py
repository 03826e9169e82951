"""One processor for all threads: when they gather, when they spread, and who is left alone."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from appliance.net.processor import LinuxScheduler, OneProcessor, Times

LOOP, HELPER = 11, 12
BOTH = frozenset({0, 1})


class FakeScheduler:
    """A machine of two processors whose times a test sets."""

    def __init__(self, processors: Iterable[int] = BOTH) -> None:
        self._processors = processors
        self.now = Times()
        self.ids = [LOOP, HELPER]
        self.where: dict[int, frozenset[int]] = {}
        self.error: OSError | None = None

    def processors(self) -> Iterable[int]:
        return self._processors

    def times(self) -> Times:
        if self.error is not None:
            raise self.error
        return self.now

    def current(self) -> int:
        return 1

    def threads(self) -> Iterable[int]:
        return self.ids

    def move(self, thread: int, processors: Iterable[int]) -> None:
        if thread == 0:
            raise ProcessLookupError
        self.where[thread] = frozenset(processors)

    def pass_time(self, elapsed_s: float, *, loop: float, others: float = 0.0, waited: float = 0.0) -> None:
        """Let time pass of which the loop's thread, our other threads, and the loop's waiting have those shares."""
        now_s, loop_s, all_s, waited_s = self.now
        more = (elapsed_s, loop * elapsed_s, (loop + others) * elapsed_s, waited * elapsed_s)
        self.now = Times(now_s + more[0], loop_s + more[1], all_s + more[2], waited_s + more[3])


def gathered() -> tuple[FakeScheduler, OneProcessor]:
    """Return a busy process that has gathered."""
    scheduler = FakeScheduler()
    one = OneProcessor(scheduler, now_s=lambda: scheduler.now.now_s)
    scheduler.pass_time(1.0, loop=0.5)
    one.look()
    assert {LOOP: frozenset({1}), HELPER: frozenset({1})} == scheduler.where
    return scheduler, one


def test_busy_process_gathers() -> None:
    """All threads go where the loop runs, and looking again too soon changes nothing."""
    scheduler, one = gathered()
    scheduler.where.clear()
    scheduler.pass_time(0.05, loop=0.0)
    one.look()
    assert {} == scheduler.where
    assert one.is_gathered


def test_idle_process_spreads() -> None:
    """A process with little to do may run anywhere, and gathers only when it is busy again."""
    scheduler, one = gathered()
    scheduler.pass_time(60.0, loop=0.01)
    one.look()
    assert {LOOP: BOTH, HELPER: BOTH} == scheduler.where
    scheduler.pass_time(0.2, loop=0.2)
    one.look()
    assert not one.is_gathered
    scheduler.pass_time(0.2, loop=0.9)
    one.look()
    assert one.is_gathered


def test_crowded_process_spreads_for_a_second() -> None:
    """When other programs take the processor, the kernel gets a second to find a better one."""
    scheduler, one = gathered()
    scheduler.pass_time(0.2, loop=0.5, waited=0.5)
    one.look()
    assert {LOOP: BOTH, HELPER: BOTH} == scheduler.where
    scheduler.pass_time(0.9, loop=0.9)
    one.look()
    assert not one.is_gathered
    scheduler.pass_time(0.2, loop=0.9)
    one.look()
    assert one.is_gathered


def test_waiting_for_own_threads_is_no_crowd() -> None:
    """The loop's waiting while our own threads have the processor is what gathering means."""
    scheduler, one = gathered()
    scheduler.pass_time(0.2, loop=0.5, others=0.5, waited=0.5)
    one.look()
    assert one.is_gathered


def test_free_thread_is_left_alone() -> None:
    """A thread that works without the lock may run anywhere, whatever the others do."""
    scheduler, one = gathered()
    me = threading.get_native_id()
    scheduler.ids.append(me)

    def work() -> int:
        scheduler.pass_time(60.0, loop=0.0)
        one.look()
        scheduler.pass_time(0.2, loop=0.9)
        one.look()
        assert one.is_gathered
        return 8

    assert 8 == one.run_free(work)
    assert BOTH == scheduler.where[me]


def test_ended_thread_is_passed_over() -> None:
    """A thread that ends while the others are moved disturbs nothing."""
    scheduler, one = gathered()
    scheduler.ids.insert(0, 0)
    scheduler.pass_time(60.0, loop=0.0)
    one.look()
    assert {LOOP: BOTH, HELPER: BOTH} == scheduler.where


def test_forbidden_or_pointless() -> None:
    """A sandbox that forbids it, or a single processor: nothing is moved, nothing is raised, nothing is asked again."""
    scheduler = FakeScheduler()
    scheduler.error = PermissionError()
    one = OneProcessor(scheduler, now_s=lambda: scheduler.now.now_s)
    scheduler.pass_time(1.0, loop=1.0)
    one.look()
    scheduler.error = None
    scheduler.pass_time(1.0, loop=1.0)
    one.look()
    assert {} == scheduler.where
    single = FakeScheduler({0})
    single.pass_time(1.0, loop=1.0)
    OneProcessor(single, now_s=lambda: single.now.now_s).look()
    assert {} == single.where


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="no scheduler statistics here")
def test_linux() -> None:
    """The kernel's own figures: this thread is one of ours, runs on a processor of ours, and moves."""
    scheduler = LinuxScheduler()
    everywhere = set(scheduler.processors())
    assert scheduler.current() in everywhere
    assert threading.get_native_id() in scheduler.threads()
    assert 0.0 < scheduler.times().loop_s <= scheduler.times().all_s
    try:
        scheduler.move(threading.get_native_id(), {min(everywhere)})
        assert {min(everywhere)} == set(scheduler.processors())
        assert min(everywhere) == scheduler.current()
    finally:
        scheduler.move(threading.get_native_id(), everywhere)
