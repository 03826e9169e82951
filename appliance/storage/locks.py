"""Locks on an mbox file as mutt, s-nail, procmail and Dovecot take them: a dot-lock and an fcntl lock.

Owns ``<file>.lock`` while held. Both are tried together and given up together,
so that two programs that take them in different order cannot block each other;
the wait is bounded. A dot-lock is stale when the process it names is gone, or
when both it and the mailbox have not changed for five minutes.

The fcntl lock belongs to the open file (F_OFD_SETLK), not to the process: a
thread that opens and closes the same file elsewhere does not drop it.

Fails: ``InUseError`` after the wait. Sources: Dovecot "mbox locking", fcntl(2).
"""

import fcntl
import os
import struct
import time
from collections.abc import Callable

from appliance.model.errors import InUseError
from appliance.storage.fileops import NO_SPACE, FileOps

__all__ = ["MboxLock"]

STALE_S = 300.0
RETRY_S = 0.02
MAX_RETRY_S = 0.25
_SET_OFD_LOCK = getattr(fcntl, "F_OFD_SETLK", None)


def _flock(kind: int) -> bytes:
    return struct.pack("@hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)


class MboxLock:
    """The pair of locks on one mailbox file. Not re-entrant."""

    def __init__(self, ops: FileOps, path: bytes, wait_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._ops = ops
        self._path = path
        self._lock_path = path + b".lock"
        self._wait_s = wait_s
        self._sleep = sleep

    def acquire(self) -> int:
        """Return the mailbox open for reading and writing, locked; made when it is missing. Raises InUseError. Blocks."""
        deadline_s = time.monotonic() + self._wait_s
        pause_s = RETRY_S
        while True:
            fd = self._try()
            if fd >= 0:
                return fd
            if time.monotonic() >= deadline_s:
                raise InUseError(f"{self._path!r} is locked by another program")
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_RETRY_S)

    def _try(self) -> int:
        if not self._take_dot_lock():
            return -1
        fd = -1
        try:
            fd = self._ops.open_update(self._path, create=True)
            if _SET_OFD_LOCK is not None:
                fcntl.fcntl(fd, _SET_OFD_LOCK, _flock(fcntl.F_WRLCK))
            else:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: held by another program
            if fd >= 0:
                self._ops.close(fd)
            self._ops.unlink(self._lock_path)
            return -1
        except BaseException:
            self._ops.unlink(self._lock_path)
            raise
        return fd

    def release(self, fd: int) -> None:
        """Give both up; the file is closed."""
        try:
            self._ops.close(fd)
        finally:
            self._ops.unlink(self._lock_path)

    def _take_dot_lock(self) -> bool:
        for _ in range(2):
            try:
                self._create()
            except FileExistsError:
                if not self._is_stale():
                    return False
                self._ops.unlink(self._lock_path)
            else:
                return True
        return False

    def _create(self) -> None:
        """Make the lock file; with its number at once, for a lock without one could be anybody's and is waited for."""
        try:
            self._ops.create_whole(self._lock_path, b"%d\n" % os.getpid())
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            # A name often fits where its content does not, and people must be able to delete mail from a full disk.
            self._ops.close(self._ops.create(self._lock_path))

    def _is_stale(self) -> bool:
        try:
            content = self._ops.read_file(self._lock_path)[:32].strip()
            newest_s = max(self._ops.status(self._lock_path).st_mtime, self._ops.status(self._path).st_mtime)
        except FileNotFoundError:
            return False
        if content.isdigit() and int(content) > 0:
            if int(content) == os.getpid():  # ours are released before the account's lock is: a former process with our number
                return True
            try:
                os.kill(int(content), 0)
            except ProcessLookupError:
                return True
            except (PermissionError, OverflowError):
                return False
        return time.time() - newest_s > STALE_S
