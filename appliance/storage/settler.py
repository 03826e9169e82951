"""Makes delivered mail durable later, many messages with few flushes.

Owns the list of what was delivered since the last ``settle``. Up to
``SMALL_BATCH`` messages are flushed one by one with their directories, cheap on
a quiet machine and harmless to others; from there on one ``syncfs`` of the mail
file system covers all of them, be they thousands.

Fails: ``UnavailableError``; the batch is kept and the next ``settle`` flushes
again. A disk that lost data once may lie the second time: whoever calls should
restart the server after such an error, so that the queue delivers again.
Sources: measurements of syncfs per batch; fsync(2), "fsyncgate" (LWN 752063).
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from appliance.storage.fileops import FileOps, resource_errors
from appliance.storage.folder import Pending

__all__ = ["SMALL_BATCH", "Settler"]

SMALL_BATCH = 8


@dataclass(slots=True)
class _Batch:
    files: list[Pending] = field(default_factory=list)
    directories: set[bytes] = field(default_factory=set)
    is_bulk: bool = False


class Settler:
    """One for all accounts. Any thread."""

    def __init__(self, ops: FileOps, mail_root: Callable[[], bytes]) -> None:
        self._ops = ops
        self._mail_root = mail_root
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._batch = _Batch()

    def add(self, files: Iterable[Pending]) -> None:
        """Take over files (and their descriptors) that must become durable."""
        with self._lock:
            batch = self._batch
            batch.files += files
            if len(batch.files) > SMALL_BATCH:
                batch.is_bulk = True
            if batch.is_bulk:
                self._close(batch.files)
                batch.files = []
                batch.directories.clear()
            else:
                batch.directories.update(one.path.rpartition(b"/")[0] for one in batch.files if one.is_new_name)

    def settle(self) -> None:
        """Flush what was added before the call. Raises UnavailableError, OutOfSpaceError. Blocks: disk, long."""
        with self._settling:
            with self._lock:
                batch, self._batch = self._batch, _Batch()
            try:
                with resource_errors("settle"):
                    self._flush(batch)
            except BaseException:
                with self._lock:  # what failed must be flushed again, all of it
                    self._batch.is_bulk = True
                    self._close(self._batch.files)
                    self._batch.files = []
                raise
            finally:
                self._close(batch.files)

    def _flush(self, batch: _Batch) -> None:
        try:
            if not batch.is_bulk:
                for path in {one.path for one in batch.files if one.fd < 0}:
                    self._ops.flush_path(path)
                for one in batch.files:
                    if one.fd >= 0:
                        self._ops.flush(one.fd)
                for directory in sorted(batch.directories):
                    self._ops.flush_path(directory)
                return
        except FileNotFoundError:  # moved or deleted since; where it went is on the same file system
            pass
        self._ops.flush_filesystem(self._mail_root())

    def _close(self, files: Iterable[Pending]) -> None:
        for one in files:
            if one.fd >= 0:
                self._ops.close(one.fd)
