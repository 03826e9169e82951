"""A message's bytes, wherever they lie. Lines end in CRLF (RFC 5322 section 2.1)."""

import io
from dataclasses import dataclass
from typing import BinaryIO, Protocol

__all__ = ["Content", "MemoryContent", "PrefixedContent"]


class Content(Protocol):
    """Bytes that can be read any number of times.

    ``open`` may block on the disk; the caller closes what it returns.
    """

    @property
    def size(self) -> int: ...

    def open(self) -> BinaryIO: ...


@dataclass(frozen=True, slots=True)
class MemoryContent:
    """Content held in memory: small messages, DSNs, tests."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


class _Chained(io.RawIOBase):
    """Reads ``first``, then ``second``; not seekable."""

    def __init__(self, first: bytes, second: BinaryIO) -> None:
        self._first = memoryview(first)
        self._second = second

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        if self._first:
            taken = min(len(buffer), len(self._first))
            buffer[:taken] = self._first[:taken]
            self._first = self._first[taken:]
            return taken
        data = self._second.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._second.close()
        super().close()


@dataclass(frozen=True, slots=True)
class PrefixedContent:
    """``prefix`` (trace fields) in front of another content, which is not copied."""

    prefix: bytes
    content: Content

    @property
    def size(self) -> int:
        return len(self.prefix) + self.content.size

    def open(self) -> BinaryIO:
        if isinstance(self.content, MemoryContent):
            return io.BytesIO(self.prefix + self.content.data)
        return io.BufferedReader(_Chained(self.prefix, self.content.open()), 65_536)
