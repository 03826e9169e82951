"""Content files of the spool: messages too large to lie in the database.

Owns the system calls (``FileOps``, the seam where tests put full disks, input
errors, short writes and crashes) and the life of one file: made when a message
outgrows memory, written while DATA arrives, flushed, and only then named by a
row. A file that no row names is an orphan and is removed at the next start.

Fails: OutOfSpaceError when the disk or the quota is full, UnavailableError for
anything else the system refuses.
Does not: flush the directory; ``Spool.commit`` does, once for all files of a batch.

Sources: chasquid's safeio (a seam for faults), fsync(2).
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.model.errors import ApplianceError, OutOfSpaceError, UnavailableError

__all__ = ["ContentFile", "FileContent", "FileOps", "translate_os_error"]


class FileOps:
    """The system calls that the spool's own files take. Blocks: disk. Raises OSError."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: "bytes | memoryview") -> int:
        return os.write(descriptor, data)

    def copy(self, source: int, destination: int) -> int:
        """Copy a piece from where one file stands to the end of the other; return its size, 0 at the end."""
        data = os.read(source, 1_048_576)
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(destination, rest) :]
        return len(data)

    def flush(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def flush_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: Path) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def free_bytes(self, path: Path) -> int:
        """Return what an ordinary user may still write."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize


def translate_os_error(error: OSError) -> ApplianceError:
    """Return the failure that an error of the file system means to a sender."""
    kind = OutOfSpaceError if error.errno in {errno.ENOSPC, errno.EDQUOT} else UnavailableError
    return kind(str(error))


@dataclass(frozen=True, slots=True)
class FileContent:
    """A message in its content file."""

    path: Path
    size: int

    def open(self) -> BinaryIO:
        """Open it. Blocks: disk. Raises UnavailableError."""
        try:
            return self.path.open("rb")
        except OSError as error:
            raise translate_os_error(error) from error


class ContentFile:
    """One content file being written. Calls never overlap, but may come from different threads."""

    __slots__ = ("_descriptor", "_ops", "path")

    def __init__(self, path: Path, ops: FileOps) -> None:
        self.path = path
        self._ops = ops
        self._descriptor = -1

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append; the first call makes the file. Blocks: disk. Raises OutOfSpaceError, UnavailableError; then only ``abandon`` may follow."""
        try:
            if self._descriptor < 0:
                self._descriptor = self._ops.create(self.path)
            rest = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            while rest:
                rest = rest[self._ops.write(self._descriptor, rest) :]
        except OSError as error:
            raise translate_os_error(error) from error

    def prepend(self, pieces: Sequence[bytes]) -> None:
        """Put octets in front of what was written: a new file of the same name takes the old one's place, which no row names yet.

        Blocks: disk, as long as a copy takes. Raises OutOfSpaceError, UnavailableError; then only ``abandon`` may follow.
        """
        ops = self._ops
        try:
            with self.path.open("rb", buffering=0) as old:
                ops.close(self._descriptor)
                self._descriptor = -1
                ops.remove(self.path)
                self.write(pieces)
                while ops.copy(old.fileno(), self._descriptor):
                    pass
        except OSError as error:
            raise translate_os_error(error) from error

    def finish(self, pieces: Sequence[bytes]) -> None:
        """Append the last pieces and put the whole file on stable storage. Blocks: disk. Durable at return but for the directory entry."""
        self.write(pieces)
        try:
            self._ops.flush(self._descriptor)
            descriptor, self._descriptor = self._descriptor, -1
            self._ops.close(descriptor)
        except OSError as error:
            raise translate_os_error(error) from error

    def abandon(self) -> None:
        """Close and remove it. Harmless twice. What cannot be removed now is an orphan for the next start."""
        try:
            if self._descriptor >= 0:
                descriptor, self._descriptor = self._descriptor, -1
                self._ops.close(descriptor)
            self._ops.remove(self.path)
        except OSError:
            return
