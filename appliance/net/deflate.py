"""A stream inside a stream: DEFLATE in both directions, with little memory and no bombs.

Owns the two compressors. What the peer sends is inflated a piece at a time: no
more than was asked for is ever held, however much a few octets blow up to, and
other tasks get their turn between two pieces. What is sent is flushed with each
``send_all``, so that the peer can read it at once.

Fails:    broken input is ``trio.BrokenResourceError``, like any other broken stream.
Does not: end the compressed data; IMAP has no use for an end.
Sources:  RFC 1951, RFC 4978 section 4 (window size, levels), zlib manual.
"""

import zlib

import trio

__all__ = ["DeflateStream"]

_LEVEL = 3
"""Responses shrink to a quarter at any level; the higher ones cost several times the processor."""
_WINDOW_BITS = -13
"""Our window: 8 KiB. The peer's may be of any size, so inflating keeps 32 KiB."""
_MEMORY = 6
_PIECE_BYTES = 16_384
"""Compressed between two chances for other tasks: under a millisecond."""


class DeflateStream(trio.abc.Stream):
    """``transport`` stays open for who made it; ``aclose`` closes it too."""

    __slots__ = ("_deflate", "_inflate", "_tail", "transport")

    def __init__(self, transport: trio.abc.Stream) -> None:
        self.transport = transport
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY)
        self._inflate = zlib.decompressobj(-15)
        self._tail = b""

    @property
    def rest(self) -> bytes:
        """What the peer sent behind the end of its compressed data, if it ended them."""
        return self._inflate.unused_data

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return at most ``max_bytes`` of inflated data; ``b""`` only at the end of the transport's or the peer's data."""
        most = max_bytes or 65_536
        while not self._inflate.eof:
            if self._tail:
                # Without a wait in between, a bomb would keep the loop to itself.
                await trio.lowlevel.checkpoint()
            else:
                self._tail = bytes(await self.transport.receive_some(most))
                if not self._tail:
                    return b""
            try:
                data = self._inflate.decompress(self._tail, most)
            except zlib.error as error:
                raise trio.BrokenResourceError("compressed data are broken") from error
            self._tail = self._inflate.unconsumed_tail
            if data:
                return data
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        pieces: list[bytes] = []
        for low in range(0, len(view), _PIECE_BYTES):
            if low:
                await trio.lowlevel.checkpoint()
            pieces.append(self._deflate.compress(view[low : low + _PIECE_BYTES]))
        pieces.append(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        await self.transport.send_all(b"".join(pieces))

    async def wait_send_all_might_not_block(self) -> None:
        await self.transport.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.transport.aclose()
