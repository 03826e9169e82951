"""The task that settles: nobody who settles in between takes its signal away."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from appliance.observe.maillog import MailLog
from appliance.services.queue.settle import Settler, Unsettled


class Local:
    """Has nothing to flush."""

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_settling_nothing_leaves_the_task_awake(autojump_clock: trio.testing.MockClock) -> None:
    """Who settles while there is nothing to settle must not keep what comes next from being settled in its time."""
    settled: list[Sequence[Unsettled]] = []
    local: Any = Local()
    settler = Settler(
        local, MailLog(), interval_s=2.0, max_bytes=1_000, max_count=10, settled=settled.append, failed=lambda _taken, _error: None
    )
    one: Any = (SimpleNamespace(entry=SimpleNamespace(size=10)), None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(settler.run)
        await trio.testing.wait_all_tasks_blocked()
        await settler.settle()
        settler.add([one])
        await trio.sleep(3)
        assert [[one]] == settled
        await settler.settle()
        settler.add([one])
        await trio.sleep(3)
        assert [[one], [one]] == settled
        nursery.cancel_scope.cancel()
