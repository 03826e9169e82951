"""The life of recipients: delivered, retried, bounced, held."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import trio

from appliance.config.schema import QueueConfig
from appliance.model.errors import UnavailableError
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import LocalJob
from appliance.storage.spool_schema import MessageState, SpoolMessage

DEFERRED = Outcome(Action.DEFERRED, "4.2.0", "mailbox busy", relay="local")
NO_CONNECTION = Outcome(Action.DEFERRED, "4.4.1", "cannot connect")


async def test_delivers_a_local_message_and_empties_the_spool(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A message for one of ours is delivered once, settled, and its row goes."""
    async with world.running():
        queue_id = await world.send("ana@here", data=b"Subject: hello\r\n\r\nhi\r\n")
        await trio.sleep(3)
        assert [queue_id] == [job.queue_id for job in world.local.delivered]
        assert b"Subject: hello\r\n\r\nhi\r\n" == world.local.contents[queue_id]
        assert [] == world.spool.messages(10)
        assert [{"queue_id": queue_id, "reason": "done"}] == world.named("queue_entry_removed")
        assert 1 == world.local.settled


async def test_keeps_the_row_until_settled(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Delivered is not enough: the row stays in the spool until the mailbox is on stable storage, but is not shown."""
    async with world.running():
        await world.send("ana@here")
        await trio.sleep(0.5)
        assert 1 == len(world.local.delivered)
        assert 1 == len(world.spool.messages(10))
        assert [] == await world.admin.items(10)
        await world.manager.settle()
        assert [] == world.spool.messages(10)


async def test_a_clean_stop_leaves_nothing_to_repeat(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """What was delivered right before the stop is settled and removed on the way out."""
    async with world.running():
        await world.send("ana@here")
        await trio.sleep(0.1)
    world.spool.open()
    assert [] == world.spool.messages(10)
    world.spool.close()


async def test_a_crash_before_settling_delivers_again(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Whatever was delivered and not settled is delivered again under the same queue id."""
    async with world.running(kill=True):
        queue_id = await world.send("ana@here", "bia@here")
        await trio.sleep(0.1)
    async with world.running():
        await trio.sleep(3)
        assert 4 == len(world.local.delivered)
        assert {queue_id} == {job.queue_id for job in world.local.delivered}
        assert [] == world.spool.messages(10)


async def test_delivers_again_what_could_not_be_settled(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """When the disk refuses to settle, the message is delivered again at its next attempt."""
    world.local.settle_error = UnavailableError("input/output error")
    async with world.running():
        await world.send("ana@here")
        await trio.sleep(400)
        assert 2 == len(world.local.delivered)
        assert [] == world.spool.messages(10)
        assert 1 == len(world.named("queue_settle_failed"))


async def test_local_batches_gather_while_one_runs(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Everything that comes while a batch is under way is the next batch."""
    world.local.gate = trio.Event()
    async with world.running(), trio.open_nursery() as nursery:
        await world.send("ana@here")
        for _ in range(5):
            nursery.start_soon(world.send, "bia@here")
        await trio.testing.wait_all_tasks_blocked()
        world.local.gate.set()
        await trio.sleep(1)
        assert [1, 5] == world.local.batches


async def test_retries_until_it_works(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A deferred recipient is tried after 5, then 15 minutes, from the disk."""
    tries: list[float] = []

    def answer(_job: LocalJob) -> Outcome:
        tries.append(trio.current_time())
        return DEFERRED if len(tries) < 3 else Outcome(Action.DELIVERED, "2.0.0", "ok")

    world.local.answer = answer
    async with world.running():
        await world.send("ana@here")
        await trio.sleep(10)
        (item,) = await world.admin.items(10)
        assert ("deferred", "mailbox busy", 1) == (item.state, item.recipients[0].reason, item.recipients[0].attempts)
        assert {"incoming": 0, "active": 0, "deferred": 1, "hold": 0, "corrupt": 0} == world.admin.counts()
        await trio.sleep(1_500)
        assert [0, 300, 1_200] == [round(when, -1) for when in tries]
        assert [] == world.spool.messages(10)


async def test_a_restart_keeps_the_retry_time(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The next attempt stands in the row: a restart neither hurries nor forgets it."""
    world.local.answer = lambda _job: DEFERRED
    async with world.running():
        await world.send("ana@here")
        await trio.sleep(10)
    async with world.running():
        await trio.sleep(100)
        assert 1 == len(world.local.delivered)
        await trio.sleep(300)
        assert 2 == len(world.local.delivered)


async def test_relays_recipients_of_one_destination_together(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Recipients are grouped by next hop, at most ``max_recipients`` in one job."""
    world.relay_config = replace(world.relay_config, max_recipients=2)
    async with world.running():
        await world.send("a@one.example", "b@one.example", "c@one.example", "d@two.example", "ana@here")
        await trio.sleep(3)
        jobs = sorted([one.address for one in job.recipients] for job in world.relay.jobs)
        assert [["a@one.example", "b@one.example"], ["c@one.example"], ["d@two.example"]] == jobs
        assert 1 == len(world.local.delivered)
        assert [] == world.spool.messages(10)


async def test_relayed_recipients_leave_at_once(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A recipient handed to another server is removed without waiting, so that a crash hardly ever repeats it."""
    async with world.running(kill=True):
        await world.send("a@one.example")
        await trio.sleep(0.01)
        assert [] == world.spool.messages(10)


async def test_slow_start_grows_with_success(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A destination gets one connection until it has answered, a few then, and one more for each success, up to its limit."""
    world.relay_config = replace(world.relay_config, initial_per_destination=2, max_per_destination=4)
    world.relay.seconds, world.relay.reach_s = 1.0, 0.2
    async with world.running():
        for _ in range(20):
            await world.send("a@one.example")
        await trio.sleep(0.1)
        assert 1 == world.relay.most_running
        await trio.sleep(0.4)
        assert 2 == world.relay.most_running
        await trio.sleep(30)
        assert 4 == world.relay.most_running
        assert 20 == len(world.relay.jobs)


async def test_a_dead_destination_slows_nobody(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """After a failed connection everything for that destination is deferred untried; others are served at once."""

    def answer(job: Any) -> Any:
        return [NO_CONNECTION if "dead" in job.next_hop.host else Outcome(Action.RELAYED, "2.0.0", "ok")] * len(job.recipients)

    world.relay.answer = answer
    world.relay.seconds = 5.0
    async with world.running():
        for _ in range(50):
            await world.send("a@dead.example")
        await world.send("b@alive.example")
        await trio.sleep(20)
        tried = [job.next_hop.host for job in world.relay.jobs]
        assert 1 == tried.count("dead.example")
        assert 1 == tried.count("alive.example")
        items = await world.admin.items(100)
        assert {"deferred"} == {item.state for item in items}
        assert 50 == len(items)
        assert "delivery temporarily suspended: cannot connect" == items[-1].recipients[0].reason
        # New mail does not even try while the destination rests; later one connection probes.
        await world.send("c@dead.example")
        await trio.sleep(20)
        assert 1 == [job.next_hop.host for job in world.relay.jobs].count("dead.example")
        await trio.sleep(280)
        assert 2 == [job.next_hop.host for job in world.relay.jobs].count("dead.example")


async def test_takes_turns_over_destinations(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """With few connections, destinations take turns: a hundred messages to one do not delay the one to another."""
    world.relay_config = replace(world.relay_config, max_connections=1, initial_per_destination=1)
    world.relay.seconds = 1.0
    async with world.running():
        for _ in range(10):
            await world.send("a@big.example")
        await world.send("b@small.example")
        await trio.sleep(30)
        assert 1 >= [job.next_hop.host for job in world.relay.jobs].index("small.example") - 1


async def test_overflow_stays_on_disk_and_is_loaded_when_there_is_room(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """More messages than the active window holds wait on disk and are all delivered."""
    world.config = replace(world.config, max_active=8)
    world.relay.seconds = 1.0
    async with world.running():
        for number in range(40):
            await world.send(f"a@d{number}.example")
        assert 0 < world.admin.counts()["incoming"]
        await trio.sleep(30)
        assert 40 == len({job.queue_id for job in world.relay.jobs})
        assert 40 == len(world.relay.jobs)
        assert [] == world.spool.messages(10)


async def test_little_room_gathers_before_the_disk_is_asked(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Places that become free within a moment are filled by one read."""
    world.config = replace(world.config, max_active=10)
    async with world.running():
        load, loaded = world.spool.load, list[int]()

        def counted(queue_ids: Sequence[QueueId]) -> list[SpoolMessage]:
            loaded.append(len(queue_ids))
            found: list[SpoolMessage] = load(queue_ids)
            return found

        world.spool.load = counted
        world.relay.seconds = 1.0
        for number in range(30):
            await world.send(f"a@d{number}.example")
            await trio.sleep(0.001)
        await trio.sleep(30)
        assert 30 == len(world.relay.jobs)
        assert 20 == sum(loaded)
        assert 4 >= len(loaded)


async def test_loads_everything_at_start(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A start takes up what an earlier process accepted and never tried, oldest first."""
    world.local.gate = trio.Event()
    async with world.running(kill=True):
        sent = [await world.send("ana@here") for _ in range(20)]
        await trio.testing.wait_all_tasks_blocked()
    world.local.gate = None
    async with world.running():
        await trio.sleep(3)
        assert sent == [job.queue_id for job in world.local.delivered]
        assert {"incoming": 0, "active": 0, "deferred": 0, "hold": 0, "corrupt": 0} == world.admin.counts()


async def test_a_message_that_crashes_delivery_twice_is_held(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A bug costs its message a place on hold; the others of its batch are delivered."""

    def answer(job: LocalJob) -> Outcome:
        if job.recipient.address == "bad@here":
            raise RuntimeError("boom")
        return Outcome(Action.DELIVERED, "2.0.0", "ok")

    world.local.answer = answer
    async with world.running():
        bad = await world.send("bad@here")
        await world.send("ana@here")
        await trio.sleep(10)
        (message,) = world.spool.load([bad])
        assert (1, MessageState.NORMAL) == (message.crashes, message.state)
    async with world.running():
        await trio.sleep(400)
        (message,) = world.spool.load([bad])
        assert (2, MessageState.HOLD) == (message.crashes, message.state)
        assert "boom" in message.reason
        assert ["ana@here"] == [job.recipient.address for job in world.local.delivered]
        assert 2 == len(world.named("delivery_crashed"))
        world.local.answer = lambda _job: Outcome(Action.DELIVERED, "2.0.0", "ok")
        assert 1 == await world.admin.change("release", [bad])
        await trio.sleep(3)
        assert [] == world.spool.messages(10)


async def test_a_message_whose_file_is_gone_is_corrupt(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A content file that vanished puts its message aside with the reason, at start, and stops nothing."""
    world.local.gate = trio.Event()
    async with world.running(kill=True):
        lost = await world.send("ana@here", data=b"x" * 100_000)
        whole = await world.send("ana@here", data=b"y" * 100_000)
    (world.directory / "content" / lost).unlink()
    (world.directory / "content" / "0000000000000").write_bytes(b"orphan")
    world.local.gate = None
    async with world.running():
        await trio.sleep(4)
        assert [whole] == [job.queue_id for job in world.local.delivered]
        assert b"y" * 100_000 == world.local.contents[whole]
        (item,) = await world.admin.items(10)
        assert (lost, "corrupt", "its content file is missing") == (item.queue_id, item.state, item.recipients[0].reason)
        assert 1 == world.admin.counts()["corrupt"]
        assert [] == list((world.directory / "content").iterdir())


@pytest.mark.parametrize("size", [100, 65_535, 65_536, 700_000])
async def test_content_is_the_same_after_a_restart(world: Any, autojump_clock: trio.testing.MockClock, size: int) -> None:
    """Small in a row, large in a file: after a restart the same bytes are delivered, and the file goes with the message."""
    data = bytes(range(256)) * (size // 256 + 1)
    world.local.gate = trio.Event()
    async with world.running(kill=True):
        queue_id = await world.send("ana@here", data=data[:size])
    assert (size >= 65_536) == (world.directory / "content" / queue_id).exists()
    world.local.gate = None
    async with world.running():
        await trio.sleep(3)
        assert data[:size] == world.local.contents[queue_id]
    assert [] == list((world.directory / "content").iterdir())


async def test_logs_each_attempt_with_its_delays(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """One line per recipient and attempt, with Postfix's four delays."""
    world.relay.seconds = 2.0
    async with world.running():
        await world.send("a@one.example", sender="ana@here")
        await trio.sleep(3)
        (line,) = world.named("recipient_attempted")
        assert "ana@here" == line["from"]
        assert "sent" == line["status"]
        assert 2.0 == line["delay"]
        assert 4 == len(line["delays"].split("/"))
        assert ["0", "2"] == line["delays"].split("/")[2:]


async def test_logs_what_it_took_to_reach_the_server(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The third of the delays is the connection, the fourth what the server took for the message."""
    world.relay.seconds = 2.0
    world.relay.answer = lambda job: [Outcome(Action.RELAYED, "2.0.0", "250 ok", setup_s=1.5)] * len(job.recipients)
    async with world.running():
        await world.send("a@one.example", sender="ana@here")
        await trio.sleep(3)
        (line,) = world.named("recipient_attempted")
        assert ["1.5", "0.5"] == line["delays"].split("/")[2:]


def test_default_lifetime_is_five_days() -> None:
    """RFC 5321 section 4.5.4.1 asks for four to five days."""
    assert 5 * 86_400 == QueueConfig().lifetime_s


async def test_local_deliveries_gather_while_mail_streams_in(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The first message is delivered at once, what comes after it in few batches, and alone means at once again."""
    world.local.gate = trio.Event()
    async with world.running():
        for _ in range(3):
            await world.send("ana@here")
        world.local.gate.set()
        await trio.sleep(0.03)
        assert [1, 2] == world.local.batches
        await trio.sleep(1)
        await world.send("ana@here")
        await trio.sleep(0.001)
        assert [1, 2, 1] == world.local.batches


async def test_a_round_ends_with_the_stream_or_when_it_is_large(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Mail each 12 ms is delivered each 100 ms, a moment after the last of it, and at once when it is a megabyte."""
    async with world.running():
        for _ in range(24):
            await world.send("ana@here")
            await trio.sleep(0.012)
        assert [1, 8, 8] == world.local.batches
        await trio.sleep(0.02)
        assert [1, 8, 8, 7] == world.local.batches
        for _ in range(2):
            await world.send("ana@here", data=b"x" * 700_000)
        await trio.sleep(0.001)
        assert [1, 8, 8, 7, 2] == world.local.batches
