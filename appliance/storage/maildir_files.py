"""Writing and reading the message files of a Maildir.

Owns tmp/: a message is written there whole and renamed under its final name, which
tells its size, so a file that a crash cut short is recognised by its name.

Sources: cr.yp.to/proto/maildir.html (tmp, then rename).
"""

import io
import itertools
import os
from dataclasses import dataclass
from typing import BinaryIO

from appliance.model.mailbox import NewMessage
from appliance.storage.folder import FolderContext
from appliance.storage.lineends import CHUNK_BYTES, IN_MEMORY_BYTES, CrlfReader, crlf_size, iter_lf, to_crlf, to_lf
from appliance.storage.maildir_names import safe_host

__all__ = ["MaildirWriter", "Written", "open_stored"]

_counter = itertools.count(1)


@dataclass(slots=True)
class Written:
    """A whole message in tmp/. ``data``: with CRLF, for small ones; ``fd`` stays open for the flush."""

    temporary: bytes
    base: bytes
    size: int
    data: bytes | None
    fd: int


def open_stored(fd: int, start: int = 0, length: int = -1) -> BinaryIO:
    """Return a part of a stored file as a seekable stream with CRLF line ends; takes over ``fd``."""
    try:
        if length < 0:
            length = os.fstat(fd).st_size - start
        data = os.pread(fd, length, start) if length <= IN_MEMORY_BYTES else None
    except BaseException:
        os.close(fd)
        raise
    if data is None:
        return io.BufferedReader(CrlfReader(fd, start, length), IN_MEMORY_BYTES // 16)
    os.close(fd)
    return io.BytesIO(to_crlf(data))


class MaildirWriter:
    """Makes message files for one folder."""

    def __init__(self, context: FolderContext, path: bytes) -> None:
        self._ops = context.ops
        self._now_s = context.now_s
        self._path = path
        self._host = safe_host(context.hostname)
        self._pid = os.getpid()

    def stem(self, message: NewMessage) -> bytes:
        """Return the base name without sizes: the time is the internal date."""
        seconds, rest = divmod(message.internal_date_s, 1)
        if message.queue_id:
            unique = b"Q" + message.queue_id.encode("ascii")
        else:
            unique = b"R%x%x" % (int(self._now_s() * 1e6), next(_counter))
        return b"%d.M%dP%d%s.%s" % (max(0, int(seconds)), int(rest * 1e6), self._pid, unique, self._host)

    def write(self, message: NewMessage) -> Written:
        """Write a message into tmp/, not flushed. Leaves nothing behind when it fails."""
        stem = self.stem(message)
        temporary = b"%s/tmp/%s" % (self._path, stem)
        try:
            fd = self._ops.create(temporary)
        except FileExistsError:  # left by a delivery of the same message that a crash cut short
            self._ops.unlink(temporary)
            fd = self._ops.create(temporary)
        try:
            if message.content.size <= IN_MEMORY_BYTES:
                return self._write_small(message, fd, temporary, stem)
            stored = grown = 0
            ends_in_cr = False
            for piece in iter_lf(message.content):
                self._ops.write(fd, piece)
                stored += len(piece)
                grown += crlf_size(piece) - (ends_in_cr and piece.startswith(b"\n"))
                ends_in_cr = piece.endswith(b"\r")
            self._date(temporary, message)
            return Written(temporary, b"%s,S=%d,W=%d" % (stem, stored, grown), grown, None, fd)
        except BaseException:
            self._ops.close(fd)
            self.discard(temporary)
            raise

    def _write_small(self, message: NewMessage, fd: int, temporary: bytes, stem: bytes) -> Written:
        with message.content.open() as source:
            data = source.read()
        stored = to_lf(data)
        self._ops.write(fd, stored)
        self._date(temporary, message)
        size = len(data)
        if b"\r" in stored or size != crlf_size(stored):  # line ends that do not come back as they came
            data = to_crlf(stored)
            size = len(data)
        return Written(temporary, b"%s,S=%d,W=%d" % (stem, len(stored), size), size, data, fd)

    def _date(self, path: bytes, message: NewMessage) -> None:
        """Let the file's time tell the internal date too, as Dovecot expects, when it is not about now."""
        if abs(self._now_s() - message.internal_date_s) > 2:
            self._ops.set_times(path, max(0.0, message.internal_date_s))

    def discard(self, path: bytes) -> None:
        try:
            self._ops.unlink(path)
        except OSError:  # it is in tmp/, where readers do not look
            return

    def matches(self, path: bytes, message: NewMessage) -> bool:
        """Tell whether a stored file holds exactly this message. Blocks: disk, reads both."""
        try:
            fd = self._ops.open_read(path)
        except FileNotFoundError:
            return False
        with os.fdopen(fd, "rb") as stored:
            for piece in iter_lf(message.content):
                if stored.read(len(piece)) != piece:
                    return False
            return not stored.read(1)

    def copy_stem(self, stem: bytes) -> bytes:
        """Return a unique stem that begins with the same time."""
        seconds, dot, rest = stem.partition(b".")
        usec = rest.partition(b"P")[0] if rest.startswith(b"M") else b"M0"
        unique = b"R%x%x" % (int(self._now_s() * 1e6), next(_counter))
        return b"%s%s%sP%d%s.%s" % (seconds, dot or b".", usec, self._pid, unique, self._host)

    def copy_file(self, source: bytes, destination: bytes) -> None:
        """Copy where a hard link cannot be made; through tmp/, flushed."""
        temporary = self._path + b"/tmp/" + self.copy_stem(b"0")
        fd = self._ops.create(temporary)
        try:
            with os.fdopen(self._ops.open_read(source), "rb", buffering=0) as stored:
                while piece := stored.read(CHUNK_BYTES):
                    self._ops.write(fd, piece)
                times = os.fstat(stored.fileno()).st_mtime
            self._ops.flush(fd)
            self._ops.set_times(temporary, times)
            self._ops.rename(temporary, destination)
        except BaseException:
            self.discard(temporary)
            raise
        finally:
            self._ops.close(fd)
