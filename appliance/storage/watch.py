"""Directories whose every change is counted, so that our own changes can be told from those of others.

The kernel puts an event down for each name that comes, goes or moves, within
the system call that does it. Who changes a watched directory says so
(``expect``, one per event, after the call); events beyond those are somebody
else's. No clock is involved: neither the step of the file times nor a change between
two of our own calls can hide one. One inotify descriptor serves all directories.

Fails: never. Where the kernel cannot watch (no inotify, no watches left, a
file system that other machines change, too) or lost count, ``DirectoryWatch.is_lost``.
Any thread.

Sources: inotify(7).
"""

import threading
import weakref
from collections import deque
from collections.abc import Iterable

from appliance.storage.inotify import (
    CREATE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    InotifyQueue,
    is_local,
)

__all__ = ["DirectoryWatch", "DirectoryWatches"]

_NAMES = CREATE | DELETE | MOVED_FROM | MOVED_TO
_ENDS = DELETE_SELF | MOVE_SELF | IGNORED
MAX_UNREAD = 4_096
"""Events of our own that wait in the kernel before they are read; it keeps 16,384 by default."""


class DirectoryWatch:
    """One directory. Of the changes up to ``has_news`` all are counted."""

    __slots__ = ("__weakref__", "_watches", "is_lost", "unexplained")

    def __init__(self, watches: "DirectoryWatches") -> None:
        self._watches = watches
        self.is_lost = False
        """Changes may have gone unseen since the watch began; another one is needed."""
        self.unexplained = 0
        """Events seen less those expected: positive when somebody else was here."""

    def expect(self, count: int = 1) -> None:
        """Note that we made changes which put down so many events."""
        self._watches.expect(self, count)

    def has_news(self) -> bool:
        """Tell whether somebody else made a change since the last ``forget``, or it cannot be told."""
        self._watches.read()
        return self.is_lost or self.unexplained != 0

    def forget(self) -> None:
        """Begin to count anew: all changes so far are about to be looked at."""
        self._watches.forget(self)


class DirectoryWatches:
    """All watches of one process's mail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: InotifyQueue | None = None
        self._is_missing = False
        self._unread = 0
        self._by_number: dict[int, weakref.WeakSet[DirectoryWatch]] = {}
        self._dropped: deque[int] = deque()

    def watch(self, path: bytes) -> DirectoryWatch | None:
        """Begin to count the changes of a directory; None when the kernel cannot. Blocks: one path look-up."""
        with self._lock:
            queue = self._open()
            if queue is None or not is_local(path):
                return None
            self._read(queue)  # events of before belong to who watched before
            number = queue.add(path, _NAMES | DELETE_SELF | MOVE_SELF)
            if number < 0:
                return None
            watch = DirectoryWatch(self)
            watchers = self._by_number.get(number)
            if watchers is None:
                watchers = self._by_number[number] = weakref.WeakSet()
            watchers.add(watch)
            # The collector may run anywhere, also while the lock is held: it only leaves word.
            weakref.finalize(watch, self._dropped.append, number).atexit = False
            return watch

    def _open(self) -> InotifyQueue | None:
        if self._queue is None and not self._is_missing:
            try:
                self._queue = InotifyQueue()
            except OSError:
                self._is_missing = True
        return self._queue

    def _drop_unused(self, queue: InotifyQueue) -> None:
        """Take from the kernel what nobody watches any more."""
        while self._dropped:
            number = self._dropped.popleft()
            if number in self._by_number and not self._by_number[number]:
                del self._by_number[number]
                queue.remove(number)

    def expect(self, watch: DirectoryWatch, count: int) -> None:
        with self._lock:
            watch.unexplained -= count
            self._unread += count
            if self._unread >= MAX_UNREAD and self._queue is not None:
                self._read(self._queue)

    def forget(self, watch: DirectoryWatch) -> None:
        with self._lock:
            if self._queue is not None:
                self._read(self._queue)
            watch.unexplained = 0

    def read(self) -> None:
        """Count all events that are there."""
        with self._lock:
            if self._queue is not None:
                self._read(self._queue)

    def _read(self, queue: InotifyQueue) -> None:
        self._unread = 0
        counts: dict[int, int] = {}
        for (number, mask), times in queue.count().items():
            if mask & OVERFLOW:
                self._lose(self._by_number)
            if mask & _ENDS:
                self._lose([number])
            else:
                counts[number] = counts.get(number, 0) + times
            if mask & IGNORED:
                self._by_number.pop(number, None)
        for number, count in counts.items():
            for watch in self._by_number.get(number, ()):
                watch.unexplained += count
        self._drop_unused(queue)

    def _lose(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for watch in self._by_number.get(number, ()):
                watch.is_lost = True

    def close(self) -> None:
        """Give the descriptor back; every watch is lost."""
        with self._lock:
            self._lose(self._by_number)
            self._by_number.clear()
            if self._queue is not None:
                self._queue.close()
                self._queue = None
