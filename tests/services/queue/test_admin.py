"""What people can do about the queue."""

from typing import Any

import pytest
import trio

from appliance.model.outcome import Action, Outcome

DEFERRED = Outcome(Action.DEFERRED, "4.2.0", "try later")


async def test_retry_tries_now(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """``retry`` makes a deferred entry due at once, a dead destination notwithstanding."""
    world.relay.answer = lambda job: [Outcome(Action.DEFERRED, "4.4.1", "cannot connect")] * len(job.recipients)
    async with world.running():
        queue_id = await world.send("a@one.example")
        await trio.sleep(1)
        assert 1 == len(world.relay.jobs)
        world.relay.answer = lambda job: [Outcome(Action.RELAYED, "2.0.0", "ok")] * len(job.recipients)
        assert 1 == await world.admin.change("retry", [queue_id.lower(), "nonsense", queue_id])
        await trio.sleep(1)
        assert 2 == len(world.relay.jobs)
        assert [] == world.spool.messages(10)


async def test_hold_and_release(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A held entry is not tried, over a restart too, until it is released."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        queue_id = await world.send("a@one.example")
        await trio.sleep(1)
        assert 1 == await world.admin.change("hold", [queue_id])
        assert 0 == await world.admin.change("hold", [queue_id])
        assert 0 == await world.admin.change("retry", [queue_id])
        assert 1 == world.admin.counts()["hold"]
    async with world.running():
        await trio.sleep(86_400)
        assert 1 == len(world.relay.jobs)
        (item,) = await world.admin.items(10)
        assert ("hold", "held by hand") == (item.state, item.recipients[0].reason)
        assert 1 == await world.admin.change("release", [queue_id])
        await trio.sleep(1)
        assert 2 == len(world.relay.jobs)
        assert 0 == world.admin.counts()["hold"]


async def test_hold_reaches_what_is_queued_in_memory(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """An entry whose turn has not come is held before it is tried; release lets it go on."""
    world.local.gate = trio.Event()
    async with world.running():
        await world.send("ana@here")
        await trio.testing.wait_all_tasks_blocked()
        waiting = await world.send("bia@here")
        assert 1 == await world.admin.change("hold", [waiting])
        world.local.gate.set()
        await trio.sleep(5)
        assert ["ana@here"] == [job.recipient.address for job in world.local.delivered]
        assert 1 == await world.admin.change("release", [waiting])
        await trio.sleep(5)
        assert ["ana@here", "bia@here"] == [job.recipient.address for job in world.local.delivered]
        assert [] == world.spool.messages(10)


async def test_delete(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A deleted entry is gone from disk and memory, its file too, and nobody is told."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        large = await world.send("a@one.example", data=b"x" * 100_000)
        small = await world.send("b@two.example")
        await trio.sleep(1)
        assert 2 == await world.admin.change("delete", [large, small])
        await trio.sleep(86_400)
        assert [] == await world.admin.items(10)
        assert [] == list((world.directory / "content").iterdir())
        assert 2 == len(world.relay.jobs)
        assert {"incoming": 0, "active": 0, "deferred": 0, "hold": 0, "corrupt": 0} == world.admin.counts()


async def test_delete_while_an_attempt_runs(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Deleting an entry that is being delivered ends quietly, whatever the outcome."""
    world.relay.seconds = 5.0
    world.relay.answer = lambda job: [Outcome(Action.BOUNCED, "5.0.0", "no")] * len(job.recipients)
    async with world.running():
        queue_id = await world.send("a@one.example")
        await trio.sleep(1)
        assert 1 == await world.admin.change("delete", [queue_id])
        await trio.sleep(10)
        assert [] == world.spool.messages(10)
        assert [] == world.local.delivered


async def test_shows_an_entry_with_its_content(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """``open_content`` gives the entry and its bytes; an id that is not there gives None."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        queue_id = await world.send("a@one.example", data=b"Subject: y\r\n\r\n")
        found = await world.admin.open_content(queue_id)
        assert found is not None
        item, content = found
        assert ("ana@here", queue_id) == (item.reverse_path, item.queue_id)
        assert b"Subject: y\r\n\r\n" == content.open().read()
        assert await world.admin.open_content("0000000000000") is None
        assert await world.admin.open_content("../../etc/passwd") is None


async def test_unknown_action(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """An action nobody knows is a ValueError, not silence."""
    async with world.running():
        with pytest.raises(ValueError, match="unknown action"):
            await world.admin.change("explode", ["0000000000000"])


async def test_lists_the_oldest_first_up_to_a_limit(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Items come oldest first, across pages."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        sent = [await world.send(f"a@d{number}.example") for number in range(7)]
        await trio.sleep(1)
        assert sent[:5] == [item.queue_id for item in await world.admin.items(5)]
        assert sent == [item.queue_id for item in await world.admin.items(500)]


async def test_a_whole_domain_is_tried(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """What waits for a domain goes now, what is on hold or for others stays."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        await world.send("a@One.example")
        await world.send("b@two.example")
        held = await world.send("c@one.example")
        await trio.sleep(1)
        await world.admin.change("hold", [held])
        world.relay.jobs.clear()
        assert 1 == await world.admin.run_domain("one.example")
        assert 0 == await world.admin.run_domain("three.example")
        await trio.sleep(1)
        assert ["a@One.example"] == [job.recipients[0].address for job in world.relay.jobs]
