"""The relay is loaded with the first message for elsewhere, once, and runs from then on."""

from collections.abc import Sequence
from typing import Any

import trio
import trio.testing

from appliance.app.laterelay import LateRelay
from appliance.model.outcome import Outcome
from appliance.model.ports import RelayJob
from appliance.net.offload import InlineOffload


class Relay:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.is_running = False

    async def run(self) -> None:
        self.is_running = True
        await trio.sleep_forever()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        self.jobs.append(job)
        return ()


async def test_one_relay_for_all() -> None:
    """Two first attempts at once find one relay, and what it does in the background begins."""
    made: list[Relay] = []

    def make(_kind: object) -> Any:
        made.append(Relay())
        return made[-1]

    late = LateRelay(make, InlineOffload())
    jobs: list[Any] = ["first", "second"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(late.run)
        await trio.testing.wait_all_tasks_blocked()
        assert [] == made
        async with trio.open_nursery() as attempts:
            for job in jobs:
                attempts.start_soon(late.deliver, job)
        await trio.testing.wait_all_tasks_blocked()
        # Which of two tasks runs first is chance.
        assert [(jobs, True)] == [(sorted(relay.jobs), relay.is_running) for relay in made]
        nursery.cancel_scope.cancel()
