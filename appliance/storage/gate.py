"""Decides when a directory must be listed again, so that an unchanged one is not.

Where the kernel counts the changes of the directory (``storage.watch``) the
answer is exact: a change is somebody else's when there are more of them than we made. The
watch begins before the listing that it covers; a change that comes between is
counted and listed again. A directory that was moved away, or removed and made
anew, loses its watch; that a whole mailbox was replaced shows by its uidlist.

Elsewhere the directory's mtime tells that somebody changed it, with two holes: a change in
the same tick of the file system's clock as our last look, and a change between
our own rename and our look at the mtime it made. After either the gate is
*unsure* and lists again although the mtime is the same - at once for small
directories, for large ones so seldom that it takes 2 % of the time at most.

Sources: Dovecot maildir-sync.c (re-scan while the mtime is younger than 2 s), inotify(7).
"""

from collections.abc import Callable

from appliance.storage.fileops import FileOps
from appliance.storage.watch import DirectoryWatch, DirectoryWatches

__all__ = ["DirectoryGate"]

COARSE_TICK_NS = 2_000_000_000
FINE_TICK_NS = 50_000_000
"""Longest step of a clock with sub-second file times (100 Hz), with room."""
CHEAP_LIST_S = 0.004
COST_FACTOR = 50


class DirectoryGate:
    """Watches one directory."""

    def __init__(
        self, ops: FileOps, path: bytes, now_s: Callable[[], float], monotonic_s: Callable[[], float], watches: DirectoryWatches
    ) -> None:
        self._ops = ops
        self.path = path
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._watches = watches
        self._watch: DirectoryWatch | None = None
        self._inode = 0
        self._seen_ns = -1
        self._is_unsure = True
        self._listed_at_s = 0.0
        self._cost_s = 0.0

    def must_list(self) -> bool:
        if self._watch is not None:
            return self._watch.has_news()
        if self._ops.status(self.path).st_mtime_ns != self._seen_ns:
            return True
        wait_s = max(0.0, self._cost_s - CHEAP_LIST_S) * COST_FACTOR
        return self._is_unsure and self._monotonic_s() >= self._listed_at_s + wait_s

    def list(self) -> list[bytes]:
        """Return the names inside, hidden ones and those with a line end left out."""
        begun_s = self._monotonic_s()
        status = self._ops.status(self.path)
        if self._watch is None or self._watch.is_lost or status.st_ino != self._inode:
            self._watch = self._watches.watch(self.path)
            self._inode = status.st_ino
        else:
            self._watch.forget()
        mtime_ns = status.st_mtime_ns
        names = self._ops.list_directory(self.path)
        age_ns = int(self._now_s() * 1e9) - mtime_ns
        self._is_unsure = age_ns < (FINE_TICK_NS if mtime_ns % 1_000_000_000 else COARSE_TICK_NS)
        self._seen_ns = mtime_ns
        self._listed_at_s = self._monotonic_s()
        self._cost_s = self._listed_at_s - begun_s
        return [name for name in names if name[0] != 0x2E and b"\n" not in name]

    def expect(self, count: int = 1) -> None:
        """Note that we made so many names come, go, or leave for or arrive from elsewhere; a rename inside counts twice."""
        if self._watch is not None:
            self._watch.expect(count)

    def is_clean(self) -> bool:
        """Tell before a change of our own whether anybody else made one; what is counted can be told later."""
        return self._watch is not None or self._ops.status(self.path).st_mtime_ns == self._seen_ns

    def adopt(self) -> None:
        """Take the mtime that a change of our own made for seen; only after ``is_clean``."""
        if self._watch is None:
            self._seen_ns = self._ops.status(self.path).st_mtime_ns
            self._is_unsure = True
