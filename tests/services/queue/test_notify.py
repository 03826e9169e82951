"""NOTIFY and what became of a recipient: who is told, in every combination, and what the report says."""

import re
from typing import Any

import pytest
import trio

from appliance.model.envelope import EnvelopeRecipient, Notify, Ret
from appliance.model.outcome import Action, Outcome

OUTCOMES = {
    "delivered": Outcome(Action.DELIVERED, "2.0.0", "delivered", relay="local"),
    "relayed": Outcome(Action.RELAYED, "2.0.0", "ok", "250 2.0.0 ok", "mx.one.example"),
    "relayed with DSN": Outcome(Action.RELAYED, "2.0.0", "ok", "250 2.0.0 ok", "mx.one.example", dsn_passed=True),
    "failed": Outcome(Action.BOUNCED, "5.1.1", "no such user", "550 5.1.1 no such user", "mx.one.example"),
    "delayed": Outcome(Action.DEFERRED, "4.2.0", "try later", "450 4.2.0 try later", "mx.one.example"),
}
SUCCESS, FAILURE, DELAY = Notify.SUCCESS, Notify.FAILURE, Notify.DELAY
NOTIFY: list[Notify | None] = [None, Notify.NEVER, SUCCESS, FAILURE, DELAY, SUCCESS | FAILURE, SUCCESS | DELAY, FAILURE | DELAY]
NOTIFY.append(SUCCESS | FAILURE | DELAY)


def expected(notify: Notify | None, outcome: str) -> list[str]:
    """RFC 3461 section 4.1 and 5.2: the actions that are reported, in order; what is never taken is delayed, then failed."""
    wanted = FAILURE | DELAY if notify is None else notify
    if outcome == "delayed":
        return ["delayed"] * (DELAY in wanted and wanted is not Notify.NEVER) + ["failed"] * (FAILURE in wanted and bool(wanted))
    kind = {"delivered": SUCCESS, "relayed": SUCCESS, "relayed with DSN": Notify.NEVER, "failed": FAILURE}[outcome]
    return [outcome] if kind and kind in wanted else []


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("notify", NOTIFY, ids=str)
async def test_each_wish_meets_each_outcome(
    world: Any, autojump_clock: trio.testing.MockClock, notify: Notify | None, outcome: str
) -> None:
    """A report is written for each combination that asks for one, with the fields of RFC 3464, and for no other."""
    is_local = outcome == "delivered"
    to = "bob@here" if is_local else "bob@one.example"
    world.relay.answer = lambda job: [OUTCOMES[outcome]] * len(job.recipients)
    async with world.running():
        await world.send_to(EnvelopeRecipient(to, notify, "rfc822;bob@old.example"), envid="QQ1")
        await trio.sleep(6 * 86_400)
        reports = [world.local.contents[job.queue_id] for job in world.local.delivered if not job.envelope.reverse_path]
        assert expected(notify, outcome) == [re.findall(rb"(?m)^Action: (\S+)\r", one)[0].decode() for one in reports]
        for one in reports:
            fields = [
                b"Original-Envelope-Id: ",
                b"Original-Recipient: rfc822; ",
                b"Final-Recipient: rfc822; " + to.encode(),
                b"Reporting-MTA: dns; ",
            ]
            assert [] == [field for field in fields if field not in one]
        assert [] == world.spool.messages(10)


async def test_nobody_is_told_of_forged_mail(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """What SPF says that its sender did not send is reported to nobody, whatever becomes of it; a restart does not forget that."""
    world.relay.answer = lambda job: [OUTCOMES["failed" if job.recipients[0].address.startswith("f") else "delayed"]]
    async with world.running(kill=True):
        await world.send("first@one.example", sender="victim@far.example", is_forged=True)
        await world.send("late@one.example", "b@here", sender="victim@far.example", notify=SUCCESS | FAILURE | DELAY, is_forged=True)
        await trio.sleep(10)
    async with world.running():
        await trio.sleep(6 * 86_400)
        assert {"victim@far.example"} == {job.envelope.reverse_path for job in world.relay.jobs} | {
            job.envelope.reverse_path for job in world.local.delivered
        }
        assert [] == world.spool.messages(10)


async def test_a_confidential_message_is_reported_confidentially(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The report of a REQUIRETLS message asks for TLS itself and never holds the text, though that was asked for (RFC 8689 section 5)."""
    world.relay.answer = lambda job: [OUTCOMES["failed"]]
    async with world.running():
        await world.send("a@one.example", data=b"Subject: x\r\n\r\nsecret body\r\n", ret=Ret.FULL, requires_tls=True)
        await trio.sleep(5)
        (job,) = world.local.delivered
        assert job.envelope.requires_tls
        assert b"secret body" not in world.local.contents[job.queue_id]


async def test_a_list_is_reported_as_expanded(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """One report for the list, which is delivered nowhere itself (RFC 3461 section 5.2.7.3)."""
    async with world.running():
        members = [EnvelopeRecipient(one, Notify.FAILURE, None, "list@here") for one in ("bob@here", "eva@one.example")]
        await world.send_to(EnvelopeRecipient("list@here", SUCCESS, None, "list@here"), *members)
        await trio.sleep(5)
        assert ["bob@here", "ana@here"] == [job.recipient.address for job in world.local.delivered]
        report = world.local.contents[world.local.delivered[1].queue_id]
        assert (b"Action: expanded", b"Final-Recipient: rfc822; list@here") == tuple(
            re.findall(rb"(?m)^(Action: \S+|Final-Recipient: .*)\r", report)[::-1]
        )
        assert [] == world.spool.messages(10)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (b"Content-Language: pt-PT\r\n", b"n=C3=A3o foi entregue"),
        (b"Accept-Language: fr, pt;q=0.8, en;q=0.5\r\n", b"n=C3=A3o foi entregue"),
        (b"Accept-Language: en-GB\r\nContent-Language: pt\r\n", b"was not delivered"),
        (b"Content-Language: de\r\n", b"was not delivered"),
    ],
)
async def test_the_author_is_told_in_his_language(world: Any, autojump_clock: trio.testing.MockClock, field: bytes, words: bytes) -> None:
    """The language that a message names is the report's, where we know it."""
    world.relay.answer = lambda job: [OUTCOMES["failed"]]
    async with world.running():
        await world.send("a@one.example", data=field + b"Subject: x\r\n\r\nbody\r\n")
        await trio.sleep(5)
        (job,) = world.local.delivered
        assert words in world.local.contents[job.queue_id]
