"""Notifications: when, to whom, about what, and never twice."""

from dataclasses import replace
from typing import Any

import trio

from appliance.model.envelope import Notify, Ret
from appliance.model.outcome import Action, Outcome

BOUNCED = Outcome(Action.BOUNCED, "5.1.1", "no such user", "550 5.1.1 no such user", "mx.one.example")
DEFERRED = Outcome(Action.DEFERRED, "4.2.0", "try later")
RELAYED = Outcome(Action.RELAYED, "2.0.0", "ok")


def bounce_all(job: Any) -> Any:
    return [BOUNCED] * len(job.recipients)


async def test_a_bounce_tells_the_sender_once(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Failed recipients of one round stand in one DSN with the null reverse-path; nothing is left in the queue."""
    world.relay.answer = bounce_all
    world.relay.seconds = 1.0
    async with world.running():
        queue_id = await world.send("a@one.example", "b@one.example", "c@two.example", data=b"Subject: plans\r\n\r\nsecret body\r\n")
        await trio.sleep(5)
        (job,) = world.local.delivered
        text = world.local.contents[job.queue_id]
        assert ("", "ana@here", Notify.NEVER) == (job.envelope.reverse_path, job.recipient.address, job.recipient.notify)
        assert all(address in text for address in (b"a@one.example", b"b@one.example", b"c@two.example"))
        assert b"Status: 5.1.1" in text
        assert b"Subject: plans" in text
        assert b"secret body" not in text
        assert queue_id != job.queue_id
        assert [] == world.spool.messages(10)


async def test_ret_full_returns_the_message(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """RET=FULL sends the whole message back."""
    world.relay.answer = bounce_all
    async with world.running():
        await world.send("a@one.example", data=b"Subject: plans\r\n\r\nsecret body\r\n", ret=Ret.FULL)
        await trio.sleep(5)
        (job,) = world.local.delivered
        assert b"secret body" in world.local.contents[job.queue_id]


async def test_notify_never_and_null_sender_are_silent(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """NOTIFY=NEVER and the null reverse-path get no DSN."""
    world.relay.answer = bounce_all
    async with world.running():
        await world.send("a@one.example", notify=Notify.NEVER)
        await world.send("a@one.example", notify=Notify.SUCCESS)
        await world.send("a@one.example", sender="")
        await trio.sleep(5)
        assert [] == world.local.delivered
        assert [] == world.spool.messages(10)
        assert 1 == len(world.named("bounce_discarded"))


async def test_expires_after_its_lifetime(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A recipient that could never be reached is given up after five days, the sender told of delay once and then of failure."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        await world.send("a@one.example")
        await trio.sleep(86_400)
        (job,) = world.local.delivered
        assert b"Action: delayed" in world.local.contents[job.queue_id]
        assert b"Will-Retry-Until:" in world.local.contents[job.queue_id]
        await trio.sleep(4 * 86_400 + 10)
        assert 2 == len(world.local.delivered)
        text = world.local.contents[world.local.delivered[1].queue_id]
        assert b"Action: failed" in text
        assert b"Status: 4.4.7" in text
        assert [] == world.spool.messages(10)


async def test_the_delay_notice_is_sent_once_even_over_restarts(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The mark that the delay was told is in the row."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        await world.send("a@one.example")
        await trio.sleep(5 * 3_600)
        assert 1 == len(world.local.delivered)
    async with world.running():
        await trio.sleep(86_400)
        assert 1 == len(world.local.delivered)


async def test_no_delay_notice_where_none_is_wanted(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """NOTIFY=FAILURE alone means no word of delays."""
    world.relay.answer = lambda job: [DEFERRED] * len(job.recipients)
    async with world.running():
        await world.send("a@one.example", notify=Notify.FAILURE)
        await trio.sleep(86_400)
        assert [] == world.local.delivered


async def test_success_is_told_when_asked(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """NOTIFY=SUCCESS: local delivery and relaying to a server without DSN are told, each once."""
    async with world.running():
        await world.send("bia@here", notify=Notify.SUCCESS)
        await world.send("a@one.example", notify=Notify.SUCCESS | Notify.FAILURE)
        await trio.sleep(10)
        told = [world.local.contents[job.queue_id] for job in world.local.delivered if not job.envelope.reverse_path]
        assert 2 == len(told)
        assert 1 == sum(b"Action: delivered" in text for text in told)
        assert 1 == sum(b"Action: relayed" in text for text in told)
        assert [] == world.spool.messages(10)


async def test_a_server_with_dsn_tells_success_itself(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Where the next server took NOTIFY over, it tells, and we stay silent (RFC 3461 section 5.2.2)."""
    world.relay.answer = lambda job: [replace(RELAYED, dsn_passed=True)] * len(job.recipients)
    async with world.running():
        await world.send("a@one.example", notify=Notify.SUCCESS)
        await trio.sleep(10)
        assert [] == world.local.delivered


async def test_a_failing_notification_goes_to_postmaster_once(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A DSN that bounces is told to postmaster; one to postmaster that bounces is dropped with a line in the log."""
    world.relay.answer = bounce_all
    async with world.running():
        await world.send("a@one.example", sender="stranger@far.example")
        await trio.sleep(10)
        (job,) = world.local.delivered
        assert ("ana@here", "postmaster@here") == (job.recipient.address, job.recipient.original)
        assert b"To: <postmaster@here>" in world.local.contents[job.queue_id]
    world.local.delivered.clear()
    world.local.answer = lambda _job: BOUNCED
    async with world.running():
        await world.send("a@one.example", sender="stranger@far.example")
        await trio.sleep(10)
        assert ["postmaster@here"] == [job.recipient.original for job in world.local.delivered]
        assert 1 == len(world.named("double_bounce_dropped"))
        assert [] == world.spool.messages(10)


async def test_a_sender_of_ours_that_does_not_exist(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A DSN for an address of ours that is refused goes to postmaster instead."""
    world.relay.answer = bounce_all
    async with world.running():
        await world.send("a@one.example", sender="nobody@here")
        await trio.sleep(10)
        assert ["postmaster@here"] == [job.recipient.original for job in world.local.delivered]


async def test_an_alias_sender_is_expanded(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A DSN to an alias goes to everybody behind it."""
    world.relay.answer = lambda job: [BOUNCED if job.envelope.reverse_path else RELAYED] * len(job.recipients)
    async with world.running():
        await world.send("a@one.example", sender="list@here")
        await trio.sleep(10)
        assert ["ana@here"] == [job.recipient.address for job in world.local.delivered]
        assert "bob@elsewhere.example" == world.relay.jobs[-1].recipients[0].address


async def test_bounce_and_removal_are_one(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A crash at any moment leaves either the failed recipient or the DSN, never both, never neither."""
    world.relay.answer = bounce_all
    world.relay.seconds = 1.0
    world.local.gate = trio.Event()
    async with world.running(kill=True):
        await world.send("a@one.example")
        seen = set()
        for _ in range(40):
            await trio.sleep(0.05)
            seen.add(tuple(message.envelope.reverse_path for message in world.spool.messages(10)))
        assert {("ana@here",), ("",)} == seen


async def test_a_message_no_notice_can_be_made_of_is_held(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A bug in making the DSN neither stops the queue nor loses the recipient."""
    world.relay.answer = bounce_all
    async with world.running():
        world.manager._bounces._build = lambda _notice: 1 // 0
        queue_id = await world.send("a@one.example")
        await trio.sleep(10)
        (item,) = await world.admin.items(10)
        assert (queue_id, "hold") == (item.queue_id, item.state)
        assert "ZeroDivisionError" in item.recipients[0].reason
