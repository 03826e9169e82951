"""APPEND: take messages in as they arrive, without ever holding a large one in memory.

Small messages stay in memory; from 64 KiB on a temporary file takes them. Lone
LF line ends become CRLF on the way (``model.content``). Several messages in one
command go in all or none (RFC 3502).

Sources:  RFC 3501 section 6.3.11, RFC 3502, RFC 4315 (APPENDUID), RFC 7889 (TOOBIG).
"""

import io
import re
from typing import BinaryIO

from appliance.model.content import Content, MemoryContent
from appliance.model.errors import ApplianceError, LimitError, OutOfSpaceError
from appliance.model.mailbox import NewMessage
from appliance.protocols.imap.events import (
    AppendAnnounced,
    AppendDataReceived,
    AppendFinished,
    AppendMessageReceived,
    Event,
)
from appliance.protocols.imap.sequence import format_sequence_set
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.session import Session

__all__ = ["CrlfFilter", "SpooledContent", "append"]

IN_MEMORY_BYTES = 65_536
WRITE_BYTES = 262_144
MAX_MESSAGES = 1_000
"""Messages in one APPEND: each may hold a temporary file open."""

_LONE_LF = re.compile(rb"(?<!\r)\n")


class CrlfFilter:
    """Turns lone LF into CRLF, whatever the chunks; a CR at the end of a chunk waits for the next."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        data = self._held + chunk if self._held else chunk
        self._held = b"\r" if data.endswith(b"\r") else b""
        if self._held:
            data = data[:-1]
        return data if data.count(b"\n") == data.count(b"\r\n") else _LONE_LF.sub(b"\r\n", data)

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


class _Window(io.RawIOBase):
    """Reads a shared file from its start with a position of its own; closing it leaves the file open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        self._file.seek(self._position)
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class SpooledContent:
    """Content in a temporary file, for one reader at a time in one thread."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Window(self._file), 65_536)


class _Incoming:
    """One message on its way."""

    def __init__(self, session: Session, event: AppendAnnounced) -> None:
        self._session = session
        self._event = event
        self._filter = CrlfFilter()
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._written = 0
        self._file: BinaryIO | None = None

    async def write(self, data: bytes) -> None:
        """Take a chunk. Raises OutOfSpaceError."""
        if data:
            self._chunks.append(data)
            self._buffered += len(data)
        if self._buffered > (IN_MEMORY_BYTES if self._file is None else WRITE_BYTES):
            await self._session.run_blocking(self._write_out)

    async def feed(self, data: bytes) -> None:
        await self.write(self._filter.feed(data))

    async def finish(self) -> NewMessage:
        await self.write(self._filter.finish())
        if self._file is not None:
            await self._session.run_blocking(self._write_out)
        content: Content
        content = MemoryContent(b"".join(self._chunks)) if self._file is None else SpooledContent(self._file, self._written)
        self._chunks.clear()
        event = self._event
        date_s = self._session.shared.clock.now_s() if event.internal_date_s is None else event.internal_date_s
        return NewMessage(content, float(date_s), event.flags.system, event.flags.keywords)

    def _write_out(self) -> None:
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        try:
            if self._file is None:
                self._file = self._session.shared.spool()
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise OutOfSpaceError(str(error)) from error
        self._written += len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


async def append(session: Session, event: AppendAnnounced) -> Reply | None:
    """Receive the messages of one APPEND and put them into the mailbox.

    Returns None when the core has answered already: refused, broken off, or lost.
    """
    incoming: list[_Incoming] = []
    try:
        return await _receive(session, event, incoming)
    finally:
        for message in incoming:
            message.close()


async def _receive(session: Session, event: AppendAnnounced, incoming: list[_Incoming]) -> Reply | None:
    messages: list[NewMessage] = []
    failures: list[ApplianceError] = []
    announced: Event = event
    total = 0
    while isinstance(announced, AppendAnnounced):
        total += announced.size_bytes
        refusal = _refusal(session, announced, total, len(incoming))
        if refusal is not None:
            session.core.refuse_append(refusal.condition, refusal.text, refusal.code)
            return None
        session.core.accept_append()
        incoming.append(_Incoming(session, announced))
        announced = await _receive_message(session, incoming[-1], messages, failures)
    if not isinstance(announced, AppendFinished):
        # Broken off, which the core has answered, or lost.
        return None
    return session.explain(failures[0]) if failures else await _store(session, event, messages)


async def _receive_message(session: Session, incoming: _Incoming, messages: list[NewMessage], failures: list[ApplianceError]) -> Event:
    """Take one message in and return the event that follows it.

    After a failure the client sends on; what it sends is dropped, and the answer will be NO.
    """
    while isinstance(event := await session.next_event(), AppendDataReceived | AppendMessageReceived):
        if failures:
            continue
        try:
            if isinstance(event, AppendDataReceived):
                await incoming.feed(event.data)
            else:
                messages.append(await incoming.finish())
        except ApplianceError as error:
            failures.append(error)
    return event


def _refusal(session: Session, event: AppendAnnounced, total_bytes: int, count: int) -> Reply | None:
    """Say why a message cannot be taken, before it is sent."""
    limit = session.shared.settings.max_append_bytes
    if event.size_bytes > limit or total_bytes > 2 * limit:
        return no(f"Message is larger than {limit} bytes", b"TOOBIG")
    if count >= MAX_MESSAGES:
        return no(LimitError.client_text, b"LIMIT")
    if not event.size_bytes:
        return Reply(Condition.NO, "An empty message cannot be appended")
    return None


async def _store(session: Session, event: AppendAnnounced, messages: list[NewMessage]) -> Reply:
    try:
        result = await session.run_blocking(session.store.append, event.mailbox, messages)
    except ApplianceError as error:
        return session.explain(error, creating=True)
    return ok("Append completed", b"APPENDUID %d %b" % (result.uid_validity, format_sequence_set(result.uids)))
