"""Senders take turns at a destination."""

from dataclasses import replace
from typing import Any

import pytest
import trio

from appliance.services.queue.fair import FairQueue


def test_turns_go_round_the_senders() -> None:
    """Each sender's own order stays; whoever comes late waits one turn, not the length of the queue."""
    queue: FairQueue[str] = FairQueue()
    for number in range(4):
        queue.append("bulk", f"b{number}", 2)
    queue.append("ana", "a0")
    queue.append("ana", "a1")
    assert (8, 2, 0) == (queue.waiting("bulk"), queue.waiting("ana"), queue.waiting("nobody"))
    assert ["b0", "a0", "b1", "a1"] == [queue.popleft() for _ in range(4)]
    assert (4, 0) == (queue.waiting("bulk"), queue.waiting("ana"))
    assert ["b2", "b3"] == list(queue)
    queue.clear()
    assert not queue
    with pytest.raises(KeyError):
        queue.popleft()


@pytest.mark.parametrize("max_active", [10_000, 400])
async def test_hundreds_of_one_sender_do_not_delay_another(world: Any, autojump_clock: trio.testing.MockClock, max_active: int) -> None:
    """A single message to the same slow server goes out after the attempts under way, also when the bulk fills what there is room for."""
    world.config = replace(world.config, max_active=max_active)
    world.relay.seconds = 1.0
    async with world.running():
        for number in range(600):
            await world.send(f"u{number}@one.example", sender="bulk@here")
        await world.send("friend@one.example", sender="ana@here")
        await trio.sleep(5)
        order = [job.envelope.reverse_path for job in world.relay.jobs]
        assert order.index("ana@here") < 30
        assert order.count("bulk@here") > 50
