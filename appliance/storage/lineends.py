"""Line ends: CRLF towards the port, LF on disk, without ever holding a large message in memory.

On disk a line ends in LF as every Unix tool expects. A CRLF that is already in
a file (written by another program) is served as it is; a bare LF becomes CRLF;
a CR elsewhere is left alone. So CR CR LF, which no mail may contain, is the one
sequence that does not come back as it went in.

Does not: close what it was not given. Sources: RFC 5322 section 2.3, Dovecot istream-crlf.
"""

import io
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from appliance.model.content import Content

__all__ = ["CHUNK_BYTES", "IN_MEMORY_BYTES", "CrlfReader", "crlf_size", "iter_lf", "to_crlf", "to_lf"]

CHUNK_BYTES = 65_536
IN_MEMORY_BYTES = 1_048_576
"""Up to here a message is converted in one piece; larger ones in windows of ``CHUNK_BYTES``."""


def to_lf(data: bytes) -> bytes:
    # Where each CR belongs to a CRLF, as in nearly all mail, taking the CRs out comes to the same and is three times as fast.
    without = data.replace(b"\r", b"")
    return without if len(data) - len(without) == data.count(b"\r\n") else data.replace(b"\r\n", b"\n")


def to_crlf(data: bytes) -> bytes:
    if b"\r\n" in data:
        data = data.replace(b"\r\n", b"\n")
    return data.replace(b"\n", b"\r\n")


def crlf_size(data: bytes) -> int:
    """Return how long stored ``data`` is with CRLF line ends."""
    # What replacing makes of it is known sooner than bytes.count, which looks at each byte by itself.
    return len(data.replace(b"\n", b"\r\n")) - (data.count(b"\r\n") if b"\r" in data else 0)


def iter_lf(content: Content) -> Iterator[bytes]:
    """Yield a content's bytes with LF line ends, in pieces. Blocks: disk."""
    with content.open() as source:
        held = b""
        while chunk := source.read(CHUNK_BYTES):
            chunk = held + chunk
            held = b""
            if chunk.endswith(b"\r"):  # its LF may come with the next piece
                chunk, held = chunk[:-1], b"\r"
            yield to_lf(chunk)
        if held:
            yield held


class CrlfReader(io.RawIOBase):
    """A part of a stored file as a seekable stream with CRLF line ends.

    ``fd`` is read from ``start`` for ``length`` bytes, at positions of its own, and
    closed with the reader. Knows where each block of 64 KiB begins in CRLF terms, as far as it
    has read; a seek to the end reads on to there.
    """

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd = fd
        self._start = start
        self._length = length
        self._blocks = array("Q", [0])  # where block n begins, with CRLF line ends
        self._ends_in_cr = bytearray(b"\0")  # whether the block before n ended in CR
        self._position = 0
        self._window = b""
        self._window_block = -1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _block(self, number: int) -> bytes:
        """Return one block, converted; remembers where the next begins."""
        if number == self._window_block:
            return self._window
        offset = number * CHUNK_BYTES
        raw = os.pread(self._fd, min(CHUNK_BYTES, self._length - offset), self._start + offset)
        follows_cr = bool(self._ends_in_cr[number])
        converted = b"\n" + to_crlf(raw[1:]) if follows_cr and raw.startswith(b"\n") else to_crlf(raw)
        if number + 1 == len(self._blocks):
            self._blocks.append(self._blocks[number] + len(converted))
            self._ends_in_cr.append(raw.endswith(b"\r"))
        self._window, self._window_block = converted, number
        return converted

    @property
    def _block_count(self) -> int:
        return -(-self._length // CHUNK_BYTES)

    def _find(self, position: int) -> int:
        """Return the block that holds a position; ``_block_count`` behind the end."""
        while position >= self._blocks[-1] and len(self._blocks) <= self._block_count:
            self._block(len(self._blocks) - 1)
        return min(bisect_right(self._blocks, position) - 1, self._block_count)

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        number = self._find(self._position)
        if number >= self._block_count:
            return 0
        block = self._block(number)
        begin = self._position - self._blocks[number]
        taken = block[begin : begin + len(buffer)]
        buffer[: len(taken)] = taken
        self._position += len(taken)
        return len(taken)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            while len(self._blocks) <= self._block_count:
                self._block(len(self._blocks) - 1)
            offset += self._blocks[-1]
        if offset < 0:
            raise ValueError("seek before the beginning")
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
