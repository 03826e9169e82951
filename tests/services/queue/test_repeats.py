"""What a killed process had delivered and not noted: the queue says when it cannot come back any more."""

from typing import Any

import trio


async def test_waits_for_deliveries_of_a_killed_process(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """After a start ``settle_visible`` returns when what was left behind is delivered again and its rows are gone."""
    async with world.running(kill=True):
        for number in range(600):
            await world.send(f"user{number}@here")
    async with world.running():
        assert world.manager.may_repeat
        assert 600 == world.spool.count()
        await world.manager.settle_visible()
        assert 0 == world.spool.count()
        assert not world.manager.may_repeat


async def test_an_empty_queue_repeats_nothing(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Nobody waits when there is nothing to wait for."""
    async with world.running():
        before = trio.current_time()
        await world.manager.settle_visible()
        await trio.testing.wait_all_tasks_blocked()
        assert before == trio.current_time()
        assert not world.manager.may_repeat


async def test_a_stuck_delivery_delays_an_expunge_only_so_long(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A mailbox that another program holds for minutes must not hang everybody's sessions."""
    async with world.running(kill=True):
        await world.send("ana@here")
    world.local.gate = trio.Event()
    async with world.running():
        before = trio.current_time()
        await world.manager.settle_visible()
        assert 10 == trio.current_time() - before
        assert world.manager.may_repeat
        world.local.gate.set()


async def test_waits_for_the_batch_under_way(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A message can be seen, and deleted, before the batch that brought it has ended."""
    world.local.gate = trio.Event()
    async with world.running(), trio.open_nursery() as nursery:
        await world.send("ana@here")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(world.manager.settle_visible)
        await trio.testing.wait_all_tasks_blocked()
        assert 1 == world.spool.count()
        assert 0 == world.local.settled
        world.local.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert 1 == world.local.settled
        assert 0 == world.spool.count()
