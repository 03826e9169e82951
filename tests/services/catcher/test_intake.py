"""The catcher's front door."""

from typing import Any

import pytest
import trio

from appliance.model.caught import CaughtEnvelope
from appliance.model.content import Content, MemoryContent
from appliance.model.envelope import Client, Envelope, EnvelopeRecipient
from appliance.model.errors import UnavailableError
from appliance.model.ids import AccountName, QueueId, SessionId
from appliance.services.catcher.intake import CatcherIntake
from appliance.storage.caught import NewCaught


class Writer:
    queue_id = QueueId("q")

    def __init__(self) -> None:
        self.data = b""
        self.is_discarded = False

    @property
    def size(self) -> int:
        return len(self.data)

    async def write(self, chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.data += chunk

    async def finish(self) -> Content:
        await trio.lowlevel.checkpoint()
        return MemoryContent(self.data)

    async def prepend(self, data: bytes) -> None:
        raise AssertionError

    async def discard(self) -> None:
        await trio.lowlevel.checkpoint()
        self.is_discarded = True


class Spooling:
    def __init__(self) -> None:
        self.writer = Writer()

    async def begin(self) -> Writer:
        await trio.lowlevel.checkpoint()
        return self.writer


async def test_a_message_is_caught_with_its_envelope(catching: Any) -> None:
    """The identifier that the client is told is the one that the interfaces know."""
    told: list[NewCaught] = []

    async def caught(new: NewCaught) -> None:
        await trio.lowlevel.checkpoint()
        assert not spooling.writer.is_discarded, "a large message is still to be read from its file"
        told.append(new)

    spooling = Spooling()
    intake = CatcherIntake(
        catching.catcher, spooling, conversation=lambda session: lambda: f'["{session}"]', inbox_of=lambda envelope: envelope.username,
        caught=caught,
    )  # fmt: skip
    writer = await intake.begin()
    await writer.write(b"Subject: x\r\n")
    await writer.write(b"\r\nBody\r\n")
    assert (20, QueueId("q")) == (writer.size, writer.queue_id)
    client = Client(address="127.0.0.1", helo="me", account=AccountName("Run7"), session_id=SessionId("s1"))
    message_id = await intake.accept(Envelope("a@b.test", (EnvelopeRecipient("c@d.test"),), client=client), writer)
    summary = await catching.catcher.summary(message_id)
    envelope = CaughtEnvelope(
        reverse_path="a@b.test", recipients=("c@d.test",), helo="me", client="127.0.0.1", protocol="ESMTP", username="Run7", session="s1"
    )
    assert ("x", "Run7", envelope) == (summary.subject, summary.inbox, summary.envelope)
    assert '["s1"]' == catching.catcher.store.conversation(summary.number)
    assert [message_id] == [new.id for new in told]
    assert spooling.writer.is_discarded


async def test_what_is_told_in_vain_leaves_nothing(catching: Any) -> None:
    """The content's own file goes although the report of it fails."""

    async def caught(_new: NewCaught) -> None:
        await trio.lowlevel.checkpoint()
        raise UnavailableError("disk")

    spooling = Spooling()
    intake = CatcherIntake(catching.catcher, spooling, caught=caught)
    writer = await intake.begin()
    with pytest.raises(UnavailableError):
        await intake.accept(Envelope("a@b.test", (EnvelopeRecipient("c@d.test"),)), writer)
    assert spooling.writer.is_discarded


async def test_a_message_that_is_not_finished_is_nothing(catching: Any) -> None:
    """The writer forgets it."""
    spooling = Spooling()
    writer = await CatcherIntake(catching.catcher, spooling).begin()
    await writer.discard()
    assert spooling.writer.is_discarded
    assert 0 == catching.catcher.store.counts().total
