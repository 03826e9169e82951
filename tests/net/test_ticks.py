"""The hook before the event loop waits."""

import trio

from appliance.net.ticks import before_each_wait


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
