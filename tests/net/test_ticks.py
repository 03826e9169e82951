"""What is done beside the event loop's turns, and how often."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appliance.net.processor import OneProcessor
from appliance.net.ticks import before_each_wait, kept_together, paced
from tests.net.test_processor import FakeScheduler


async def test_called_before_the_loop_waits_and_not_after_the_block() -> None:
    """What is to be done once per turn of the loop is done, and no longer than asked."""
    calls = []
    with before_each_wait(lambda: calls.append(1)):
        await trio.lowlevel.checkpoint()
        await trio.sleep(0.001)
    count = len(calls)
    await trio.sleep(0.001)
    assert count >= 2
    assert count == len(calls)


async def test_a_hook_that_raises_is_dropped() -> None:
    """A defect of the hook does not end the server."""

    def fail() -> None:
        raise ZeroDivisionError

    with before_each_wait(fail):
        await trio.sleep(0.001)


async def test_the_first_call_is_made_at_once_and_those_that_follow_together(autojump_clock: MockClock) -> None:
    """Whoever asks alone does not wait; whoever asks often gets one call for each pause."""
    calls: list[float] = []
    start = trio.current_time()
    ask = paced(lambda: calls.append(trio.current_time() - start), 0.5)
    ask()
    await wait_all_tasks_blocked()
    assert [0.0] == calls
    for _ in range(3):
        ask()
        await trio.sleep(0.125)
    await trio.sleep(5)
    assert [0.0, 0.5] == calls
    ask()
    await wait_all_tasks_blocked()
    assert 3 == len(calls)


async def test_a_gathered_process_is_looked_at_by_the_clock_and_else_at_turns(autojump_clock: MockClock) -> None:
    """A busy process costs no hook at each turn, and one that became idle spreads without a turn; then turns count again."""
    scheduler = FakeScheduler()
    processor = OneProcessor(scheduler, now_s=lambda: scheduler.now.now_s)
    kept_together(processor)
    for _ in range(2):
        await wait_all_tasks_blocked()
        scheduler.pass_time(1.0, loop=0.5)
        await trio.sleep(0.001)
        assert processor.is_gathered
        await wait_all_tasks_blocked()
        scheduler.pass_time(1.0, loop=0.0)
        await trio.lowlevel.checkpoint()
        assert processor.is_gathered
        await trio.sleep(0.2)
        assert not processor.is_gathered
