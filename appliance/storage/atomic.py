"""Replaces a whole file so that a crash at any instruction leaves the old one or the new one.

Owns the four steps: write a temporary file beside it, flush it, rename it over the
old one, flush the directory. Each goes through ``ReplaceOps``, where tests fail one step at a time.

Fails: ``OSError``, with the old file untouched and the temporary file removed.
Does not: follow a symbolic link's target onto another file system; the link is
resolved first, so that it stays a link.

Sources: chasquid's safeio, notqmail INTERNALS.md, rename(2), fsync(2) ("fsync
does not necessarily ensure that the entry in the directory has reached disk").
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Protocol

__all__ = ["ReplaceOps", "SystemOps", "replace_file"]


class ReplaceOps(Protocol):
    """The system calls of a replacement, each a place where a fault can be put in."""

    def create(self, path: str, mode: int) -> int: ...

    def write(self, fd: int, data: bytes) -> int: ...

    def set_owner(self, fd: int, uid: int, gid: int) -> None: ...

    def set_mode(self, fd: int, mode: int) -> None: ...

    def flush(self, fd: int) -> None: ...

    def close(self, fd: int) -> None: ...

    def rename(self, source: str, target: str) -> None: ...

    def remove(self, path: str) -> None: ...

    def open_directory(self, path: str) -> int: ...


class SystemOps:
    """The real ones."""

    def create(self, path: str, mode: int) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def write(self, fd: int, data: bytes) -> int:
        return os.write(fd, data)

    def set_owner(self, fd: int, uid: int, gid: int) -> None:
        os.fchown(fd, uid, gid)

    def set_mode(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)

    def flush(self, fd: int) -> None:
        os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)  # noqa: PTH104 - one call, one fault

    def remove(self, path: str) -> None:
        os.unlink(path)  # noqa: PTH108

    def open_directory(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


_SYSTEM = SystemOps()


def replace_file(path: str | Path, data: bytes, mode: int | None = None, ops: ReplaceOps = _SYSTEM) -> None:
    """Put ``data`` in place of a file, or make it.

    ``mode``: permission bits; None keeps those of the old file (0600 for a new one). The old file's owner is kept
    where the caller may do so.
    Blocks:   disk.
    Raises:   OSError; the old file is then as it was, unless only the directory's flush failed.
    Durable:  at return.
    """
    target = os.path.realpath(path)
    old = _stat(target)
    temporary = f"{target}.{secrets.token_hex(6)}.tmp"
    fd = ops.create(temporary, 0o600)
    try:
        try:
            _fill(fd, data, old, mode, ops)
        finally:
            ops.close(fd)
        ops.rename(temporary, target)
    except BaseException:
        # What interrupted the replacement is told, not what happened while tidying up.
        with contextlib.suppress(OSError):
            ops.remove(temporary)
        raise
    _flush_directory(os.path.dirname(target), ops)  # noqa: PTH120 - realpath made it a str


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None


def _fill(fd: int, data: bytes, old: os.stat_result | None, mode: int | None, ops: ReplaceOps) -> None:
    view = memoryview(data)
    while view:
        view = view[ops.write(fd, bytes(view)) :]
    if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        # Only root may give a file away; anybody else's edit becomes the editor's file, as with every text editor.
        with contextlib.suppress(PermissionError):
            ops.set_owner(fd, old.st_uid, old.st_gid)
    # After the owner: chown drops set-id bits and must not widen who can read.
    ops.set_mode(fd, mode if mode is not None else old.st_mode & 0o7777 if old is not None else 0o600)
    ops.flush(fd)


def _flush_directory(path: str, ops: ReplaceOps) -> None:
    fd = ops.open_directory(path)
    try:
        ops.flush(fd)
    finally:
        ops.close(fd)
