"""The kernel's word about changed files: inotify(7) through ctypes, read as a trio task.

Owns one inotify descriptor and which path has which watch.
Fails: OSError from the constructor where the kernel has none; ``watch`` returns
None when a path cannot be watched (no watches left, network file system gone).
Does not: see what another machine changes on a network file system; who needs
that looks at modification times (``net.feed``).

Sources: inotify(7), inotify_add_watch(2).
"""

import ctypes
import os
import struct
from collections.abc import Callable

import trio

__all__ = ["Inotify"]

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED = 0x4000, 0x8000
# Maildir changes by rename and unlink, mbox by writing, truncating and renaming over.
_MASK = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_EVENT = struct.Struct("iIII")


class Inotify:
    """Watches paths and calls ``on_change(path)`` for each that changed; ``on_change(None)`` when events were lost."""

    def __init__(self, on_change: Callable[[str | None], None]) -> None:
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
        self._descriptor: int = descriptor
        self._on_change = on_change
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def watch(self, path: str) -> bool:
        """Watch a file or directory; False when that cannot be done. In memory but for the path's look-up."""
        if path in self._watches:
            return True
        watch = int(self._add(self._descriptor, os.fsencode(path), _MASK))
        if watch < 0:
            return False
        # The kernel gives one number per inode: a second name takes the place of the first.
        self._watches.pop(self._paths.get(watch, ""), None)
        self._paths[watch] = path
        self._watches[path] = watch
        return True

    def unwatch(self, path: str) -> None:
        """Stop watching; harmless when it was not watched."""
        watch = self._watches.pop(path, None)
        if watch is not None:
            self._paths.pop(watch, None)
            self._remove(self._descriptor, watch)

    def is_watched(self, path: str) -> bool:
        return path in self._watches

    async def run(self) -> None:
        """Read events and report them, for ever."""
        while True:
            await trio.lowlevel.wait_readable(self._descriptor)
            try:
                data = os.read(self._descriptor, 65_536)
            except BlockingIOError:
                continue
            for path in self._parse(data):
                self._on_change(path)

    def _parse(self, data: bytes) -> "set[str | None]":
        """Return the paths that a read tells of, each once."""
        changed: set[str | None] = set()
        offset = 0
        while offset < len(data):
            watch, mask, _cookie, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            if mask & _OVERFLOW:
                changed.add(None)
                continue
            path = self._paths.get(watch)
            if path is None:
                continue
            changed.add(path)
            if mask & _MOVE_SELF:
                self.unwatch(path)  # It watches the inode, which has another name now.
            elif mask & _IGNORED:
                self._paths.pop(watch, None)
                self._watches.pop(path, None)
        return changed

    def close(self) -> None:
        """Close the descriptor, and with it every watch. Harmless when repeated."""
        if self._descriptor >= 0:
            trio.lowlevel.notify_closing(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
