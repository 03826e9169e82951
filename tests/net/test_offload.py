"""The door to threads, and the clock."""

import gc
import threading
import time

import pytest
import trio
import trio.testing

from appliance.net.clock import SystemClock
from appliance.net.offload import InlineOffload, OwnThread, ThreadOffload
from appliance.net.processor import LinuxScheduler, OneProcessor


async def test_thread_offload() -> None:
    """The call runs elsewhere; its result and its exception come back."""
    offload = ThreadOffload(2)
    assert threading.get_ident() != await offload.run(threading.get_ident)
    assert 8 == await offload.run(pow, 2, 3)
    with pytest.raises(ZeroDivisionError):
        await offload.run(divmod, 1, 0)


async def test_thread_offload_beside_a_gathered_loop() -> None:
    """Calls and their exceptions pass through what lets their thread run on any processor."""
    offload = ThreadOffload(2, OneProcessor(LinuxScheduler()))
    assert threading.get_ident() != await offload.run(threading.get_ident)
    with pytest.raises(ZeroDivisionError):
        await offload.run(divmod, 1, 0)


async def test_thread_offload_is_bounded() -> None:
    """Never more threads at once than asked for."""
    offload = ThreadOffload(2)
    running: list[int] = []
    most: list[int] = []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(offload.run, work)
    assert 2 == max(most)


async def test_thread_offload_is_fair() -> None:
    """Who waits longest for a thread gets it first, and one who gives up costs no thread."""
    offload = ThreadOffload(1)
    order: list[int] = []

    async def ask(number: int) -> None:
        await offload.run(order.append, number)

    async def hold() -> None:
        await offload.run(release.wait)

    release = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as impatient:
            impatient.cancel()
            await ask(-1)
        for number in range(5):
            nursery.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
        release.set()
    assert [0, 1, 2, 3, 4] == order


async def test_cancellation_waits_for_the_end() -> None:
    """A flush that began is waited for even when its caller is cancelled."""
    done: list[bool] = []

    def work() -> None:
        time.sleep(0.05)
        done.append(True)

    with trio.move_on_after(0.01):
        await ThreadOffload(1).run(work)
    assert [True] == done


async def test_own_thread() -> None:
    """All calls are made in one other thread, one after the other; results and exceptions come back to their callers."""
    own = OwnThread("test")
    running: list[int] = []
    results: list[tuple[int, int, int]] = []

    def work(number: int) -> tuple[int, int, int]:
        running.append(number)
        time.sleep(0.001)
        most = len(running)
        running.remove(number)
        return number, most, threading.get_ident()

    async def call(number: int) -> None:
        results.append(await own.run(work, number))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(call, number)
    assert [0, 1, 2, 3, 4] == sorted(number for number, _, _ in results)
    assert {1} == {most for _, most, _ in results}
    assert 1 == len({ident for _, _, ident in results} | {await own.run(threading.get_ident)})
    with pytest.raises(ZeroDivisionError):
        await own.run(divmod, 1, 0)
    assert 8 == await own.run(pow, 2, 3)


async def test_own_thread_and_cancellation() -> None:
    """A call that began is waited for and its result kept; one that did not begin is not made."""
    own = OwnThread("test")
    done: list[int] = []

    def work(number: int) -> int:
        time.sleep(0.02)
        done.append(number)
        return number

    with trio.move_on_after(0.005):
        assert 1 == await own.run(work, 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await own.run(work, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(own.run, work, 3)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.001):
            await own.run(work, 4)
    assert [1, 3] == done


async def test_own_thread_ends_with_its_object() -> None:
    """Nothing is left of it but the work it did."""
    own = OwnThread("test-end")
    thread = await own.run(threading.current_thread)
    del own
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


async def test_inline_offload() -> None:
    """Tests run the call where they are."""
    assert threading.get_ident() == await InlineOffload().run(threading.get_ident)


async def test_clock(autojump_clock: trio.testing.MockClock) -> None:
    """Monotonic time is trio's, wall time the machine's."""
    clock = SystemClock()
    started = clock.monotonic_s()
    await trio.sleep(100)
    assert 100 == pytest.approx(clock.monotonic_s() - started)
    assert abs(clock.now_s() - time.time()) < 5
