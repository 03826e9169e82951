"""The catcher's front door: what an SMTP session hands over is caught instead of queued.

Owns the conversation that goes with a message, and which inbox it belongs to.
The queue's own writer receives the content, so that a large message is in no
memory and a full disk is told before it is.

Fails: as the store does. Durable: at return of ``accept``.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from appliance.model.caught import CaughtEnvelope
from appliance.model.content import Content
from appliance.model.envelope import Envelope
from appliance.model.ids import QueueId, SessionId
from appliance.model.ports import ContentWriter
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.ids import new_id
from appliance.storage.caught import NewCaught

__all__ = ["CatcherIntake", "SpoolingIntake", "SpoolingWriter", "caught_envelope"]

_TIDY_S: Final = 5.0


class SpoolingWriter(ContentWriter, Protocol):
    """A writer that gives its content back."""

    async def finish(self) -> Content:
        """Return the content, flushed when it lies in a file. Raises OutOfSpaceError, UnavailableError."""


class SpoolingIntake(Protocol):
    async def begin(self) -> SpoolingWriter:
        """Start a message, as ``Intake.begin`` does."""


def caught_envelope(envelope: Envelope) -> CaughtEnvelope:
    """Return what is kept of an envelope."""
    client = envelope.client
    return CaughtEnvelope(
        reverse_path=envelope.reverse_path,
        recipients=tuple([recipient.address for recipient in envelope.recipients]),
        helo=client.helo,
        client=client.address,
        protocol=client.protocol,
        username=client.account or "",
        body=envelope.body.value,
        smtputf8=envelope.smtputf8,
        session=client.session_id,
    )


class _CatchingWriter:
    """The writer that a session has while its message arrives."""

    __slots__ = ("inner",)

    def __init__(self, inner: SpoolingWriter) -> None:
        self.inner = inner

    @property
    def queue_id(self) -> QueueId:
        return self.inner.queue_id

    @property
    def size(self) -> int:
        return self.inner.size

    async def write(self, chunk: bytes) -> None:
        await self.inner.write(chunk)

    async def prepend(self, data: bytes) -> None:
        await self.inner.prepend(data)

    async def discard(self) -> None:
        await self.inner.discard()


class CatcherIntake:
    """Implements ``model.ports.Intake``.

    ``conversation`` returns what tells a session's words since it was last asked; ``inbox_of`` the inbox of an
    envelope; ``caught`` is told of each message, before the sender is.
    """

    def __init__(
        self,
        catcher: Catcher,
        spooling: SpoolingIntake,
        *,
        conversation: Callable[[SessionId], Callable[[], str]] | None = None,
        inbox_of: Callable[[CaughtEnvelope], str] = lambda _envelope: "",
        caught: Callable[[NewCaught], Awaitable[None]] | None = None,
    ) -> None:
        self._catcher = catcher
        self._spooling = spooling
        self._conversation = conversation
        self._inbox_of = inbox_of
        self._caught = caught

    async def begin(self) -> ContentWriter:
        """See ``Intake.begin``."""
        return _CatchingWriter(await self._spooling.begin())

    async def accept(self, envelope: Envelope, writer: ContentWriter) -> QueueId:
        """See ``Intake.accept``. Returns the identifier that all interfaces know the message by."""
        assert isinstance(writer, _CatchingWriter)
        known = caught_envelope(envelope)
        content = await writer.inner.finish()
        new = NewCaught(
            id=new_id(),
            inbox=self._inbox_of(known),
            created_ms=int(self._catcher.clock.now_s() * 1_000),
            envelope=known,
            content=content,
        )
        talk = self._conversation(envelope.client.session_id) if self._conversation is not None else None
        await self._catcher.keep(new, talk)
        if self._caught is not None:
            try:
                await self._caught(new)  # before the content's file goes
            except BaseException:
                with trio.move_on_after(_TIDY_S, shield=True):
                    await writer.discard()
                raise
        await writer.discard()
        return QueueId(new.id)
