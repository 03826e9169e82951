"""Changing the middle of an mbox file so that a crash at any instruction loses nothing and the inode stays.

A rename would be atomic, but a program that waits for its lock on the old file
(mutt saving a message, procmail) would then append to a file without a name.
So the file is changed in place, under its locks, from a journal:

1. ``<mbox>.rewrite`` takes everything from the first changed byte on, with its
   checksum and the sizes before and after; flushed.
2. The mailbox is grown to its new size if need be (so a full disk shows before
   anything is touched), overwritten from the journal, cut, flushed.
3. The journal is removed.

A crash before 1 is done leaves the mailbox as it was. Later, ``recover`` does
step 2 again. Bytes that another
program appended between the crash and the restart are kept behind. A size
that fits none of this means that the mailbox was rewritten: the journal is put
aside as ``<mbox>.rewrite.unused``.

Fails: ``OSError``; before step 2 nothing has changed. Sources: redo logging; Dovecot mbox-sync (keeps the inode too).
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

from appliance.storage.fileops import FileOps
from appliance.storage.lineends import CHUNK_BYTES

__all__ = ["Piece", "recover", "rewrite"]

Piece = bytes | tuple[int, int]
"""New bytes, or offset and length of bytes of the file as it is."""

HEADER_BYTES = 128
MAGIC = b"carteiro-rewrite-1"


def _journal_path(path: bytes) -> bytes:
    return path + b".rewrite"


def _read_range(fd: int, offset: int, length: int) -> Iterator[bytes]:
    while length > 0:
        data = os.pread(fd, min(length, CHUNK_BYTES), offset)
        if not data:
            return
        offset += len(data)
        length -= len(data)
        yield data


def rewrite(ops: FileOps, path: bytes, fd: int, start: int, pieces: Iterable[Piece]) -> None:
    """Replace everything from ``start`` on by ``pieces``. ``fd``: the mailbox, locked. Durable at return."""
    journal_path = _journal_path(path)
    old_size = os.fstat(fd).st_size
    journal, length = _write_journal(ops, journal_path, fd, start, pieces)
    try:
        if start + length > old_size:
            try:
                ops.allocate(fd, old_size, start + length - old_size)
            except BaseException:
                with suppress(OSError):
                    ops.truncate(fd, old_size)
                ops.unlink(journal_path)
                raise
        _apply(ops, fd, journal, start, length)
    finally:
        ops.close(journal)
    ops.unlink(journal_path)


def _write_journal(ops: FileOps, journal_path: bytes, fd: int, start: int, pieces: Iterable[Piece]) -> tuple[int, int]:
    """Write and flush the journal; return it, open, and how many bytes of mailbox it holds."""
    temporary = journal_path + b".tmp"
    with suppress(FileNotFoundError):
        ops.unlink(temporary)
    old_size = os.fstat(fd).st_size
    journal = ops.create(temporary)
    try:
        ops.write(journal, b"\0" * HEADER_BYTES)
        length = checksum = 0
        for piece in pieces:
            for data in [piece] if isinstance(piece, bytes) else _read_range(fd, *piece):
                ops.write(journal, data)
                length += len(data)
                checksum = zlib.crc32(data, checksum)
        header = b"%s %d %d %d %d" % (MAGIC, start, old_size, start + length, checksum)
        ops.write_at(journal, header.ljust(HEADER_BYTES - 1) + b"\n", 0)
        ops.flush(journal)
        ops.rename(temporary, journal_path)
        ops.flush_path(journal_path.rpartition(b"/")[0])
    except BaseException:
        ops.close(journal)
        for name in (temporary, journal_path):
            with suppress(OSError):
                ops.unlink(name)
        raise
    return journal, length


def _apply(ops: FileOps, fd: int, journal: int, start: int, length: int) -> None:
    offset = start
    for data in _read_range(journal, HEADER_BYTES, length):
        ops.write_at(fd, data, offset)
        offset += len(data)
    ops.truncate(fd, start + length)
    ops.flush(fd)


def recover(ops: FileOps, path: bytes, fd: int) -> bool:
    """Finish a rewrite that a crash interrupted; True if there was one. ``fd``: the mailbox, locked."""
    journal_path = _journal_path(path)
    try:
        journal = ops.open_read(journal_path)
    except FileNotFoundError:
        return False
    try:
        plan = _check(journal)
        if plan is not None:
            start, old_size, new_size = plan
            size = os.fstat(fd).st_size
            behind = max(old_size, new_size)
            if size < behind and size not in (old_size, new_size):
                ops.rename(journal_path, journal_path + b".unused")
                return True
            extra = (behind, size - behind) if size > behind else None
            if extra is None:
                _apply(ops, fd, journal, start, new_size - start)
            else:  # another program appended since the crash: a new journal with all of it, so that this can be interrupted too
                rewrite(ops, path, fd, start, chain(_read_range(journal, HEADER_BYTES, new_size - start), [extra]))
    finally:
        ops.close(journal)
    with suppress(FileNotFoundError):
        ops.unlink(journal_path)
    return plan is not None


def _check(journal: int) -> tuple[int, int, int] | None:
    """Return start, old size and new size of a whole journal."""
    words = os.pread(journal, HEADER_BYTES, 0).split()
    if len(words) != 5 or words[0] != MAGIC or not all(word.isdigit() for word in words[1:]):
        return None
    start, old_size, new_size, expected = (int(word) for word in words[1:])
    checksum = length = 0
    for data in _read_range(journal, HEADER_BYTES, new_size - start):
        checksum = zlib.crc32(data, checksum)
        length += len(data)
    return (start, old_size, new_size) if checksum == expected and length == new_size - start else None
