"""Reports of others are kept as they are delivered; nothing that is wrong with them holds the mail up."""

import base64
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import LocalJob
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.services.reporting import receiving
from appliance.services.reporting.receiving import ReportReceiving
from appliance.storage.received_reports import ReceivedReports
from tests.message.test_reports import XML

DELIVERED = Outcome(Action.DELIVERED, "2.0.0", "delivered", relay="local")
DEFERRED = Outcome(Action.DEFERRED, "4.2.2", "mailbox is full", relay="local")


class Mailboxes:
    """A local delivery that says what it is told to."""

    def __init__(self) -> None:
        self.outcome = DELIVERED
        self.settled = 0

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        return [self.outcome] * len(jobs)

    async def settle(self) -> None:
        self.settled += 1


def message(data: bytes, kind: str = "application/gzip") -> bytes:
    attachment = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return (
        b"Subject: Report Domain: example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n"
        b"--b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: base64\r\n\r\n%b--b--\r\n" % (kind.encode(), attachment)
    )


def job(content: bytes, address: str = "reports@example.org", original: str | None = None) -> LocalJob:
    recipient = EnvelopeRecipient(address, original=original)
    return LocalJob(QueueId("Q1"), Envelope("noreply@far.example", (recipient,)), recipient, MemoryContent(content), 0.0)


class World:
    def __init__(self, path: Path) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.mailboxes = Mailboxes()
        self.kept = ReceivedReports(path)
        self.receiving = ReportReceiving(
            self.mailboxes,
            frozenset({"reports@example.org"}),
            self.kept,
            offload=InlineOffload(),
            clock=ManualClock(1_700_000_000.0),
            mail_log=MailLog(listeners=[lambda event, _level, fields: self.told.append((event, fields))]),
        )

    async def after(self, *jobs: LocalJob) -> list[bytes]:
        assert [self.mailboxes.outcome] * len(jobs) == await self.receiving.deliver(jobs)
        return list(self.kept.all())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "received.db")


async def test_a_report_is_kept_as_it_came(world: World) -> None:
    """For the address itself, and for an alias of that name; once, whoever else got it."""
    packed = gzip.compress(XML)
    by_alias = job(message(packed), "ana@example.org", "Reports@Example.org")
    assert [packed] == await world.after(job(message(packed)), by_alias, job(message(b"other"), "ana@example.org"))
    assert [("report_kept", 1)] == [(event, fields["reports"]) for event, fields in world.told]
    await world.receiving.settle()
    assert 1 == world.mailboxes.settled


async def test_other_mail_is_left_alone(world: World) -> None:
    """Mail to others, pictures, and what was not delivered: it comes again."""
    packed = gzip.compress(XML)
    others = [
        job(message(packed), "ana@example.org"),
        job(message(b"some picture", "application/octet-stream")),
        job(b"Subject: x\r\n\r\n"),
    ]
    assert [] == await world.after(*others)
    world.mailboxes.outcome = DEFERRED
    assert [] == await world.after(job(message(packed)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (message(gzip.compress(b"<feedback>" + b"\0" * receiving.MAX_UNPACKED)), "unpacks to more than any report is"),
        (message(gzip.compress(XML)[:-9]), "ends too early"),
        (b"x" * (receiving.MAX_MESSAGE + 1), "larger than any with reports"),
    ],
    ids=["bomb", "cut", "large"],
)
async def test_what_is_not_kept_is_told(world: World, content: bytes, reason: str) -> None:
    """And is delivered all the same."""
    assert [] == await world.after(job(content))
    [(event, fields)] = world.told
    assert ("report_not_kept", "noreply@far.example") == (event, fields["sender"])
    assert reason in fields["reason"]


async def test_a_disk_that_refuses_holds_nothing_up(tmp_path: Path) -> None:
    """The mail was delivered; that the report is missing is told."""
    world = World(tmp_path / "missing" / "received.db")
    assert [DELIVERED] == await world.receiving.deliver([job(message(gzip.compress(XML)))])
    assert ["report_not_kept"] == [event for event, _fields in world.told]
