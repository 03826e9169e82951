"""A message on its way in: in memory while it is small, in its content file from then on.

Owns the pieces not yet written and their share of the memory account. A small
message costs no thread and no checkpoint; a large one is written in pieces of
256 KiB, or as soon as it is large when memory is tight, so that never more than
that is in memory.

Fails: OutOfSpaceError, UnavailableError from the file; the message cannot be
accepted then and the caller discards it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from appliance.model.content import Content, MemoryContent
from appliance.model.errors import ApplianceError
from appliance.model.ids import QueueId
from appliance.model.ports import Offload
from appliance.services.queue.pressure import Pressure
from appliance.storage.spool_content import ContentFile, FileContent

__all__ = ["SpoolWriter"]

_PIECE_BYTES: Final = 262_144


class SpoolWriter:
    """Implements ``model.ports.ContentWriter``."""

    __slots__ = (
        "_buffered",
        "_failure",
        "_file",
        "_inline_bytes",
        "_is_closed",
        "_is_surrendered",
        "_new_file",
        "_offload",
        "_pieces",
        "_pressure",
        "queue_id",
        "size",
    )

    def __init__(
        self, queue_id: QueueId, new_file: Callable[[QueueId], ContentFile], inline_bytes: int, offload: Offload, pressure: Pressure
    ) -> None:
        self.queue_id = queue_id
        self.size = 0
        self._new_file = new_file
        self._file: ContentFile | None = None
        self._inline_bytes = inline_bytes
        self._offload = offload
        self._pressure = pressure
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._is_closed = False
        self._is_surrendered = False
        self._failure: ApplianceError | None = None

    async def write(self, chunk: bytes) -> None:
        """Append. Blocks: only when a piece goes to the file. Raises OutOfSpaceError, UnavailableError."""
        assert not self._is_closed
        self._pieces.append(chunk)
        added = len(chunk)
        self.size += added
        self._buffered += added
        self._pressure.pending_bytes += added
        if self.size >= self._inline_bytes and (self._buffered >= _PIECE_BYTES or self._pressure.is_tight):
            await self._spill()

    async def prepend(self, data: bytes) -> None:
        """Put octets in front. Blocks: only for a message in a file, which is copied. Raises OutOfSpaceError, UnavailableError."""
        assert not self._is_closed
        self.size += len(data)
        if self._file is None:
            self._pieces.insert(0, data)
            self._buffered += len(data)
            self._pressure.pending_bytes += len(data)
        else:
            await self._spill()
            await self._run(self._file.prepend, [data])

    async def finish(self) -> Content:
        """Return the content: in memory, or in a file that is on stable storage but for its directory entry.

        Raises: OutOfSpaceError, UnavailableError, the first one again once a write has failed.
        """
        assert not self._is_closed
        if self._failure is not None:
            raise self._failure
        if self.size < self._inline_bytes:
            pieces = self._pieces
            return MemoryContent(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        file = self._opened()
        pieces, self._pieces = self._pieces, []
        await self._run(file.finish, pieces)
        return FileContent(file.path, self.size)

    def close(self) -> None:
        """Give the memory account back; the spool has the message now, ``discard`` does nothing any more."""
        if not self._is_closed:
            self._is_closed = True
            self._pieces = []
            self._pressure.pending_bytes -= self._buffered
            self._buffered = 0
            self._pressure.eased()

    async def discard(self) -> None:
        """Forget it, file and all; harmless when it was accepted.

        Blocks: no; the file is closed and unlinked at once, which takes microseconds, so that a cancelled session leaves nothing behind.
        """
        if not (self._is_closed or self._is_surrendered):
            self.abandon()

    def surrender(self) -> None:
        """Leave it to the committer, which is writing it right now: ``discard`` does nothing any more."""
        self._is_surrendered = True

    def abandon(self) -> None:
        """Forget it after all: the commit was refused and nobody is left to discard it. Blocks: microseconds."""
        self.close()
        if self._file is not None:
            self._file.abandon()

    async def _spill(self) -> None:
        file = self._opened()
        pieces, self._pieces = self._pieces, []
        await self._run(file.write, pieces)

    def _opened(self) -> ContentFile:
        if self._file is None:
            self._file = self._new_file(self.queue_id)
        return self._file

    async def _run(self, function: Callable[[Sequence[bytes]], None], pieces: list[bytes]) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            await self._offload.run(function, pieces)
        except ApplianceError as error:
            self._failure = error
            raise
        finally:
            released, self._buffered = self._buffered, 0
            self._pressure.pending_bytes -= released
            self._pressure.eased()
