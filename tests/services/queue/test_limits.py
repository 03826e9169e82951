"""Daily limits: what goes beyond waits on hold, its owner and postmaster are told once, and nothing is lost."""

from pathlib import Path
from typing import Any

import trio

from appliance.model.envelope import Client, Envelope, EnvelopeRecipient
from appliance.model.ids import AccountName
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.services.queue.limits import DailyLimits, LimitedIntake
from appliance.storage.sentcounts import SentCounts
from tests.services.queue.conftest import FakeDirectory


async def submit(world: Any, path: Path, limits: DailyLimits, *to: str, account: str | None = "ana", language: Any = "en") -> str:
    intake = LimitedIntake(
        world.committer, SentCounts(path / "sent.db"), limits,
        directory=FakeDirectory(), offload=InlineOffload(), clock=world.clock, mail_log=MailLog(), hostname="mx.here", language=language,
    )  # fmt: skip
    writer = await intake.begin()
    await writer.write(b"Subject: x\r\n\r\nbody\r\n")
    client = Client(account=AccountName(account) if account else None)
    return await intake.accept(Envelope("ana@here", tuple(map(EnvelopeRecipient, to)), client=client), writer)


async def test_more_messages_than_a_day_has(world: Any, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The third waits, over a restart too; one mail tells it; released it goes; the next day is free again."""
    limits = DailyLimits(messages=2)
    async with world.running():
        for _ in range(2):
            await submit(world, tmp_path, limits, "a@one.example")
        held = [await submit(world, tmp_path, limits, "a@one.example") for _ in range(2)]
        await submit(world, tmp_path, limits, "a@one.example", account=None)
        await trio.sleep(5)
        assert 3 == len(world.relay.jobs)
        told = [job for job in world.local.delivered if not job.envelope.reverse_path]
        assert ["ana@here"] == sorted({job.recipient.address for job in told})
        text = world.local.contents[told[0].queue_id]
        assert held[0].encode() in text
        assert b"carteiro queue release --from ana@here" in text
    async with world.running():
        await trio.sleep(3_600)
        items = await world.admin.items(10)
        assert [(one, "hold") for one in held] == [(item.queue_id, item.state) for item in items]
        assert "2 messages" in items[0].recipients[0].reason
        assert 3 == len(world.relay.jobs)
        assert 2 == await world.admin.change("release", held)
        await trio.sleep(5)
        assert 5 == len(world.relay.jobs)
        await trio.sleep(86_400)
        await submit(world, tmp_path, limits, "a@one.example")
        await trio.sleep(5)
        assert 6 == len(world.relay.jobs)
        assert [] == world.spool.messages(10)


async def test_more_new_recipients_than_a_day_has(world: Any, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Who was written to before does not count; the mail that tells it speaks the server's language."""
    limits = DailyLimits(fresh=2)
    async with world.running():
        await submit(world, tmp_path, limits, "a@one.example", "b@one.example")
        await submit(world, tmp_path, limits, "a@one.example", "b@one.example")
        await submit(world, tmp_path, limits, "c@one.example", language="pt")
        await submit(world, tmp_path, limits, "a@one.example")
        await trio.sleep(5)
        assert [2, 2, 1] == [len(job.recipients) for job in world.relay.jobs]
        (item,) = await world.admin.items(10)
        assert "2 endereços novos" in item.recipients[0].reason
        text = world.local.contents[world.local.delivered[0].queue_id]
        assert b"palavra-passe" in text


async def test_what_cannot_be_counted_goes(world: Any, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A disk that refuses the small database stops no mail."""
    async with world.running():
        for _ in range(3):
            await submit(world, tmp_path / "missing", DailyLimits(messages=1), "a@one.example")
        await trio.sleep(5)
        assert 3 == len(world.relay.jobs)
