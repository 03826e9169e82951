"""Every system call that changes mail on disk, in one object, so that a test can make any of them fail.

Owns whole writes (short ones are continued), directory flushes and ``syncfs``.
Fails: raises ``OSError``; ``resource_errors`` turns that into ``ApplianceError``
at the edge of the storage layer, so that no caller above knows ``errno``.
Does not: lock, retry after ``EIO``, or decide when anything is durable.

Sources: chasquid's internal/safeio (one seam for faults), fsync(2), syncfs(2).
"""
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH116, PTH120, PTH208
# Message names are bytes, which pathlib does not take; this is the module that hides os from the rest.

import errno
import os
import stat
from types import TracebackType

from appliance.model.errors import DiskError, OutOfSpaceError, UnavailableError

__all__ = ["FileOps", "resource_errors"]

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
BROKEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})
"""What somebody has to mend by hand."""
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
"""What open(2) says of O_TMPFILE where the file system or the kernel does not know it."""


class resource_errors:  # noqa: N801  - reads as a block: ``with resource_errors("append"):``
    """Turn an ``OSError`` inside the block into ``OutOfSpaceError``, ``DiskError`` or ``UnavailableError``."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            detail = f"{self._what}: {error}"
            if error.errno in NO_SPACE:
                raise OutOfSpaceError(detail) from error
            if error.errno in BROKEN:
                raise DiskError(detail) from error
            raise UnavailableError(detail) from error


class FileOps:
    """The calls themselves. All block on the disk; none is atomic beyond what POSIX says."""

    # Looking

    def list_directory(self, path: bytes) -> list[bytes]:
        return os.listdir(path)

    def status(self, path: bytes) -> os.stat_result:
        return os.stat(path)

    def is_directory(self, path: bytes) -> bool:
        try:
            return stat.S_ISDIR(os.stat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def exists(self, path: bytes) -> bool:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def open_read(self, path: bytes) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read_file(self, path: bytes) -> bytes:
        fd = self.open_read(path)
        try:
            size = os.fstat(fd).st_size
            pieces = []
            while piece := os.read(fd, max(size, 65_536)):
                pieces.append(piece)
                size = 0
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            os.close(fd)

    # Writing

    def create(self, path: bytes) -> int:
        """Create a file that must not exist yet."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def create_whole(self, path: bytes, data: bytes) -> None:
        """Create a file that must not exist yet: nobody ever sees it without its content, even if we are killed in between."""
        try:
            fd = os.open(os.path.dirname(path) or b".", _NAMELESS | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
            self._create_in_steps(path, data)
            return
        try:
            self.write(fd, data)
            # linkat(2) follows the link in /proc; os.link calls it only when there is some directory descriptor, though none is used.
            os.link(b"/proc/self/fd/%d" % fd, path, src_dir_fd=fd, follow_symlinks=True)
        except FileNotFoundError:  # no /proc here
            self._create_in_steps(path, data)
        finally:
            os.close(fd)

    def _create_in_steps(self, path: bytes, data: bytes) -> None:
        """Do the same where files without a name are not known (NFS, FAT): a kill may leave it empty."""
        fd = self.create(path)
        try:
            self.write(fd, data)
        except BaseException:
            self.unlink(path)
            raise
        finally:
            self.close(fd)

    def open_append(self, path: bytes) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)

    def open_update(self, path: bytes, *, create: bool = False) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), FILE_MODE)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        """Write all of it."""
        done = os.write(fd, data)
        if done != len(data):
            rest = memoryview(data)[done:]
            while rest:
                rest = rest[os.write(fd, rest) :]

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of it from ``offset`` on; the file position stays."""
        rest = memoryview(data)
        while rest:
            done = os.pwrite(fd, rest, offset)
            rest = rest[done:]
            offset += done

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def allocate(self, fd: int, offset: int, length: int) -> None:
        """Grow a file by blocks that are really there, so that a later write cannot run out of space."""
        try:
            os.posix_fallocate(fd, offset, length)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            os.ftruncate(fd, offset + length)

    def close(self, fd: int) -> None:
        os.close(fd)

    def set_times(self, path: bytes, at_s: float) -> None:
        os.utime(path, (at_s, at_s))

    # Names

    def rename(self, source: bytes, destination: bytes) -> None:
        os.rename(source, destination)

    def rename_within(self, directory: int, old: bytes, new: bytes) -> None:
        """Rename inside an open directory."""
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)

    def link(self, source: bytes, destination: bytes) -> None:
        os.link(source, destination)

    def unlink(self, path: bytes) -> None:
        os.unlink(path)

    def make_directory(self, path: bytes) -> None:
        """Create one level; a directory that is already there is fine."""
        try:
            os.mkdir(path, DIRECTORY_MODE)
        except FileExistsError:
            if not self.is_directory(path):
                raise

    def remove_directory(self, path: bytes) -> None:
        os.rmdir(path)

    def remove_tree(self, path: bytes) -> None:
        """Remove a directory with all below it, without following links."""
        with os.scandir(path) as entries:
            inside = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in inside:
            if is_directory:
                self.remove_tree(name)
            else:
                self.unlink(name)
        self.remove_directory(path)

    # Durability

    def flush(self, fd: int) -> None:
        """Return when the file's data is on stable storage."""
        os.fdatasync(fd)

    def flush_path(self, path: bytes) -> None:
        """Flush a file or a directory by name."""
        fd = self.open_read(path)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def flush_filesystem(self, path: bytes) -> None:
        """Flush all that was written to the file system that holds ``path``: one call for any number of files."""
        import ctypes  # 5 ms and 1 MiB: only who delivers in bulk pays

        fd = self.open_read(path)
        try:
            syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
            if syncfs is None:
                os.sync()
            elif syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(fd)

    def replace_file(self, path: bytes, data: bytes) -> None:
        """Put a small file in the place of another: whole old or whole new after a crash. Durable at return."""
        temporary = path + b".tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            self.write(fd, data)
            self.flush(fd)
        finally:
            self.close(fd)
        self.rename(temporary, path)
        self.flush_path(os.path.dirname(path))
