"""The kernel's word about changed files: inotify(7), read as a trio task.

Owns which path has which watch.
Fails: OSError from the constructor where the kernel has none; ``watch`` returns
None when a path cannot be watched (no watches left, network file system gone).
Does not: see what another machine changes on a network file system; who needs
that looks at modification times (``net.feed``).

Sources: inotify(7), inotify_add_watch(2).
"""

import os
from collections.abc import Callable
from typing import Final

import trio

from appliance.storage.inotify import (
    CLOSE_WRITE,
    CREATE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    MODIFY,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    InotifyQueue,
)

__all__ = ["Inotify"]

_GATHER_S: Final = 0.01
"""What follows a change so closely is told with the next: a rename of 10,000 files wakes us a hundred times a second, not at each."""
# Maildir changes by rename and unlink, mbox by writing, truncating and renaming over.
_NAMES: Final = MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
_MASK: Final = MODIFY | CLOSE_WRITE | _NAMES


class Inotify:
    """Watches paths and calls ``on_change(path)`` for each that changed; ``on_change(None)`` when events were lost."""

    def __init__(self, on_change: Callable[[str | None], None]) -> None:
        """Open the descriptor. Raises OSError where there is no inotify."""
        self._queue = InotifyQueue()
        self._on_change = on_change
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._matters: dict[str, Callable[[bytes], bool]] = {}

    def watch(self, path: str, matters: Callable[[bytes], bool] | None = None) -> bool:
        """Watch a file or directory; False when that cannot be done. In memory but for the path's look-up.

        ``matters``: of a directory, tell only of names that it picks and that come, go or change.
        """
        if path in self._watches:
            return True
        watch = self._queue.add(os.fsencode(path), _MASK if matters is None else _NAMES)
        if watch < 0:
            return False
        # The kernel gives one number per inode: a second name takes the place of the first.
        self._watches.pop(self._paths.get(watch, ""), None)
        self._paths[watch] = path
        self._watches[path] = watch
        if matters is not None:
            self._matters[path] = matters
        return True

    def unwatch(self, path: str) -> None:
        """Stop watching; harmless when it was not watched."""
        watch = self._watches.pop(path, None)
        self._matters.pop(path, None)
        if watch is not None:
            self._paths.pop(watch, None)
            self._queue.remove(watch)

    def is_watched(self, path: str) -> bool:
        return path in self._watches

    async def run(self) -> None:
        """Read events and report them, for ever."""
        while True:
            await trio.lowlevel.wait_readable(self._queue.descriptor)
            for path in self._changed_paths():
                self._on_change(path)
            await trio.sleep(_GATHER_S)

    def _changed_paths(self) -> "set[str | None]":
        """Return the paths that the events tell of, each once."""
        changed: set[str | None] = set()
        for watch, mask, name in self._queue.read():
            if mask & OVERFLOW:
                changed.add(None)
                continue
            path = self._paths.get(watch)
            if path is None:
                continue
            matters = self._matters.get(path)
            if matters is not None and name and not matters(name):
                continue
            changed.add(path)
            if mask & MOVE_SELF:
                self.unwatch(path)  # It watches the inode, which has another name now.
            elif mask & IGNORED:
                self._paths.pop(watch, None)
                self._watches.pop(path, None)
                self._matters.pop(path, None)
        return changed

    def close(self) -> None:
        """Close the descriptor, and with it every watch. Harmless when repeated."""
        if self._queue.descriptor >= 0:
            trio.lowlevel.notify_closing(self._queue.descriptor)
            self._queue.close()
