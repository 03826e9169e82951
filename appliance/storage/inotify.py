"""inotify(7) through ctypes: the descriptor, its watches, and what a read brings.

Owns one descriptor, and closes it when it is forgotten. ``read`` never waits.
Fails: OSError from the constructor where the kernel has none; ``add`` returns
-1 when a path cannot be watched (gone, no watches left).
Does not: see what another machine changes on a network file system; ``is_local``
tells where it sees everything.

Sources: inotify(7), inotify_add_watch(2), statfs(2).
"""

import ctypes
import os
import struct
import weakref
from collections.abc import Iterator

__all__ = [
    "CLOSE_WRITE",
    "CREATE",
    "DELETE",
    "DELETE_SELF",
    "IGNORED",
    "MODIFY",
    "MOVED_FROM",
    "MOVED_TO",
    "MOVE_SELF",
    "OVERFLOW",
    "InotifyQueue",
    "is_local",
]

MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x2, 0x8, 0x40, 0x80
CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x100, 0x200, 0x400, 0x800
OVERFLOW, IGNORED = 0x4000, 0x8000
READ_BYTES = 65_536
LARGEST_EVENT_BYTES = 512
_EVENT = struct.Struct("iIII")
_LOCAL_FILE_SYSTEMS = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # XFS
        0x9123683E,  # btrfs
        0x2FC12FC1,  # ZFS
        0xCA451A4E,  # bcachefs
        0xF2F52010,  # F2FS
        0x3153464A,  # JFS
        0x52654973,  # ReiserFS
        0x01021994,  # tmpfs
        0x794C7630,  # overlayfs
    }
)
"""File systems that nobody changes but through this kernel."""


class InotifyQueue:
    """Watches, and the events that the kernel has put down."""

    def __init__(self) -> None:
        """Open the descriptor. Raises OSError where there is no inotify."""
        library = ctypes.CDLL(None, use_errno=True)
        try:
            self._add, self._remove = library.inotify_add_watch, library.inotify_rm_watch
            descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as error:
            raise OSError("no inotify on this system") from error
        self._add.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self.descriptor: int = descriptor
        # The kernel gives a user 128 of them: one that is forgotten must not stay taken.
        self._close = weakref.finalize(self, os.close, descriptor)

    def add(self, path: bytes, mask: int) -> int:
        """Return the watch's number, -1 when it cannot be made; the same number again for the same inode."""
        return int(self._add(self.descriptor, path, mask))

    def remove(self, watch: int) -> None:
        self._remove(self.descriptor, watch)

    def read(self) -> list[tuple[int, int, bytes]]:
        """Return of each event that is there the watch, the mask, and the name inside a directory. Does not wait."""
        events: list[tuple[int, int, bytes]] = []
        for data in self._take():
            offset = 0
            while offset < len(data):
                watch, mask, _cookie, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size + length
                events.append((watch, mask, data[offset - length : offset].rstrip(b"\0")))
        return events

    def count(self) -> dict[tuple[int, int], int]:
        """Return of the events that are there how many have the same watch and mask. Does not wait."""
        counts: dict[tuple[int, int], int] = {}
        unpack, size = _EVENT.unpack_from, _EVENT.size
        for data in self._take():
            offset, end = 0, len(data)
            while offset < end:
                watch, mask, _cookie, length = unpack(data, offset)
                offset += size + length
                counts[watch, mask] = counts.get((watch, mask), 0) + 1
        return counts

    def _take(self) -> Iterator[bytes]:
        """Yield blocks of whole events until there are no more."""
        is_full = True
        while is_full:
            try:
                data = os.read(self.descriptor, READ_BYTES)
            except BlockingIOError:
                break
            is_full = len(data) > READ_BYTES - LARGEST_EVENT_BYTES
            yield data

    def close(self) -> None:
        """Close the descriptor, and with it every watch. Harmless when repeated."""
        self._close()
        self.descriptor = -1


def is_local(path: bytes) -> bool:
    """Tell whether every change below ``path`` is made by this machine's kernel, so that inotify tells all of them."""
    answer = ctypes.create_string_buffer(512)
    try:
        failed = ctypes.CDLL(None).statfs(path, answer)
    except AttributeError:
        return False
    kind = ctypes.c_ulong.from_buffer(answer).value & 0xFFFFFFFF
    return not failed and kind in _LOCAL_FILE_SYSTEMS
