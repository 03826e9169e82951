"""The door to threads, and the clock."""

import threading
import time

import pytest
import trio
import trio.testing

from appliance.net.clock import SystemClock
from appliance.net.offload import InlineOffload, ThreadOffload


async def test_thread_offload() -> None:
    """The call runs elsewhere; its result and its exception come back."""
    offload = ThreadOffload(2)
    assert threading.get_ident() != await offload.run(threading.get_ident)
    assert 8 == await offload.run(pow, 2, 3)
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


async def test_cancellation_waits_for_the_end() -> None:
    """A flush that began is waited for even when its caller is cancelled."""
    done: list[bool] = []

    def work() -> None:
        time.sleep(0.05)
        done.append(True)

    with trio.move_on_after(0.01):
        await ThreadOffload(1).run(work)
    assert [True] == done


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
