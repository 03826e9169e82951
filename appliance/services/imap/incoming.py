"""Messages on their way into a mailbox, without ever holding a large one in memory.

Small messages stay in memory; from 64 KiB on a temporary file takes them. Lone
LF line ends become CRLF on the way (``model.content``). What comes as literal8
may be binary: parts with ``Content-Transfer-Encoding: binary`` become base64,
so that every reader of the mailbox can have them; a message that holds NUL
nevertheless cannot be stored.

Fails:    ``OutOfSpaceError``, ``UnknownEncodingError``.
Sources:  RFC 3501 section 6.3.11, RFC 3516 section 4.4 (literal8), RFC 3030 section 3.
"""

import io
import re
from typing import BinaryIO, Protocol

from appliance.message.binary import BinaryConverter
from appliance.model.content import Content, MemoryContent
from appliance.model.errors import OutOfSpaceError, UnknownEncodingError
from appliance.model.mailbox import NewMessage
from appliance.protocols.imap.commands import FlagList
from appliance.services.imap.session import Session

__all__ = ["CrlfFilter", "Incoming", "SpooledContent"]

IN_MEMORY_BYTES = 65_536
WRITE_BYTES = 262_144

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


class _Filter(Protocol):
    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Incoming:
    """One message on its way. ``binary``: it comes as literal8."""

    def __init__(self, session: Session, flags: FlagList, internal_date_s: int | None, *, binary: bool = False) -> None:
        self._session = session
        self._flags = flags
        self._internal_date_s = internal_date_s
        self._binary = binary
        self._filter: _Filter = BinaryConverter() if binary else CrlfFilter()
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._written = 0
        self._file: BinaryIO | None = None

    @property
    def size_bytes(self) -> int:
        """How much has come, as it will be stored."""
        return self._written + self._buffered

    async def feed(self, data: bytes) -> None:
        """Take a chunk. Raises OutOfSpaceError, UnknownEncodingError."""
        await self._write(self._filter.feed(data))

    async def _write(self, data: bytes) -> None:
        if self._binary and b"\0" in data:
            raise UnknownEncodingError("NUL outside of a part with binary encoding")
        if data:
            self._chunks.append(data)
            self._buffered += len(data)
        if self._buffered > (IN_MEMORY_BYTES if self._file is None else WRITE_BYTES):
            await self._session.run_blocking(self._write_out)

    async def finish(self) -> NewMessage:
        """Return the message, complete. Raises as ``feed``."""
        await self._write(self._filter.finish())
        if self._file is not None:
            await self._session.run_blocking(self._write_out)
        content: Content
        content = MemoryContent(b"".join(self._chunks)) if self._file is None else SpooledContent(self._file, self._written)
        self._chunks.clear()
        date_s = self._session.shared.clock.now_s() if self._internal_date_s is None else self._internal_date_s
        return NewMessage(content, float(date_s), self._flags.system, self._flags.keywords)

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
