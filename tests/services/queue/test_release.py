"""Mail to be sent later (RFC 4865): it waits for its time, is listed, can be sent sooner, and outlives the process."""

from typing import Any

import trio

from appliance.model.outcome import Action, Outcome
from appliance.services.queue.schedule import RELEASE_REASON

DEFERRED = Outcome(Action.DEFERRED, "4.2.0", "try later")


async def test_it_waits_for_its_time(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Nothing is tried before, though the process ends meanwhile; the list tells when; then it goes."""
    release_at_s = world.clock.now_s() // 1 + 36_000
    async with world.running():
        queue_id = await world.send("a@one.example", "bob@here", release_at_s=release_at_s)
        await trio.sleep(3_600)
        (item,) = await world.admin.items(10)
        assert (queue_id, "deferred") == (item.queue_id, item.state)
        assert [(release_at_s, RELEASE_REASON)] * 2 == [(one.next_attempt_s, one.reason) for one in item.recipients]
    async with world.running():
        await trio.sleep(30_000)
        assert ([], []) == (world.relay.jobs, world.local.delivered)
        await trio.sleep(3_000)
        assert (1, 1) == (len(world.relay.jobs), len(world.local.delivered))
        assert world.clock.now_s() >= release_at_s
        assert [] == world.spool.messages(10)


async def test_a_kill_sends_nothing_early(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The moment stands in the spool with the message, not only in what is written after it."""
    release_at_s = world.clock.now_s() // 1 + 3_600
    async with world.running(kill=True):
        await world.send("a@one.example", release_at_s=release_at_s)
    async with world.running():
        await trio.sleep(3_000)
        assert [] == world.relay.jobs
        await trio.sleep(700)
        assert 1 == len(world.relay.jobs)


async def test_it_can_be_sent_sooner_or_not_at_all(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """``queue retry`` sends it now, ``queue delete`` cancels it."""
    release_at_s = world.clock.now_s() // 1 + 36_000
    async with world.running():
        sooner = await world.send("a@one.example", release_at_s=release_at_s)
        never = await world.send("b@one.example", release_at_s=release_at_s)
        await trio.sleep(60)
        assert 1 == await world.admin.change("retry", [sooner])
        assert 1 == await world.admin.change("delete", [never])
        await trio.sleep(40_000)
        assert ["a@one.example"] == [job.recipients[0].address for job in world.relay.jobs]


async def test_its_lifetime_begins_when_it_is_sent(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A message kept for a week is then tried as long as any other, and its delay told after as long."""
    world.relay.answer = lambda job: [DEFERRED]
    async with world.running():
        await world.send("a@one.example", release_at_s=world.clock.now_s() // 1 + 7 * 86_400)
        await trio.sleep(7 * 86_400 + 3_600)
        assert [] == world.local.delivered
        await trio.sleep(86_400)
        assert 1 == len(world.local.delivered)
        await trio.sleep(3 * 86_400)
        assert 1 == len(world.local.delivered)
        await trio.sleep(2 * 86_400)
        assert 2 == len(world.local.delivered)
