"""The spool: every message that was acknowledged and is not yet delivered, on stable storage.

Owns ``<queue>/spool.db`` (SQLite in WAL mode, ``synchronous=FULL``), the content
files beside it and the lock that keeps a second process out. One thread at a
time commits; each commit is one transaction and one flush for everything that
waited. Reads go through a connection of their own and see what was committed.

Fails: OutOfSpaceError when the disk is full (nothing of the batch was kept; it
works again by itself when there is room), UnavailableError for other refusals
of the system, CorruptError when the database itself is damaged, InUseError when
another process holds the spool.
Does not: give pages back to the file system; a file that held a backlog keeps
its size and is filled again first.

Sources: sqlite.org/wal.html, RFC 5321 section 4.2.5 (what a 250 promises), RFC 1047.
"""

import fcntl
import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from appliance.model.content import Content
from appliance.model.envelope import Envelope
from appliance.model.errors import CorruptError, InUseError, NotFoundError, OutOfSpaceError, UnavailableError
from appliance.model.ids import QueueId
from appliance.storage import spool_schema as sql
from appliance.storage.spool_content import ContentFile, FileContent, FileOps, translate_os_error
from appliance.storage.spool_ids import queue_id_from_int, queue_id_to_int
from appliance.storage.spool_schema import Batch, Committed, MessageState, SpoolMessage
from appliance.storage.sql_rows import add_rows, parts

__all__ = ["DueCursor", "RowContent", "Spool", "Swept"]

_PRAGMAS: Final = (
    "PRAGMA page_size=8192",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=10000",
    # The writer's pages are read back by the removal that follows a moment later; a megabyte covers that.
    "PRAGMA cache_size=-1024",
    "PRAGMA journal_size_limit=67108864",
)

DueCursor = tuple[float, int, int]


@dataclass(frozen=True, slots=True)
class Swept:
    """What ``Spool.sweep`` put in order at start."""

    orphans: int
    corrupt: tuple[QueueId, ...]


@dataclass(frozen=True, slots=True)
class RowContent:
    """A small message in its row, read again each time it is opened."""

    read: Callable[[QueueId], bytes]
    queue_id: QueueId
    size: int

    def open(self) -> BinaryIO:
        """Read it. Blocks: disk. Raises NotFoundError when the message is gone, CorruptError when its length is wrong."""
        data = self.read(self.queue_id)
        if len(data) != self.size:
            raise CorruptError(f"{self.queue_id}: {len(data)} bytes in the spool, {self.size} were taken in")
        return io.BytesIO(data)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what SQLite and the system refuse into the kinds a sender can be told of."""
    import apsw  # loaded with the spool, not with the command line

    try:
        yield
    except apsw.FullError as error:
        raise OutOfSpaceError(str(error)) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise CorruptError(str(error)) from error
    except apsw.Error as error:
        raise UnavailableError(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise translate_os_error(error) from error


def _decode(row: tuple[Any, ...], recipients: Sequence[tuple[Any, ...]]) -> SpoolMessage:
    """Return the message; one that makes no sense comes back as corrupt, without recipients, for the caller to put aside."""
    try:
        return sql.message_from_row(row, [sql.recipient_from_row(one) for one in recipients])
    except (ValueError, TypeError) as error:
        queue_id = queue_id_from_int(row[0])
        reason = f"its row cannot be decoded: {error}"
        return SpoolMessage(queue_id, Envelope("", ()), row[2], row[1], bool(row[19]), MessageState.CORRUPT, reason)


class Spool:
    """The queue on disk. Every method blocks on the disk unless it says otherwise."""

    def __init__(self, directory: Path, *, file_ops: FileOps | None = None, vfs: str | None = None) -> None:
        """Nothing is opened yet. ``vfs`` names SQLite's file layer; tests put one that fails."""
        self.directory = directory
        self._contents = directory / "content"
        self.file_ops = file_ops or FileOps()
        self._vfs = vfs
        self._lock_descriptor = -1
        self._writer: Any = None
        self._reader: Any = None
        self._reading = threading.Lock()
        self._wal_pages = 0
        self._flushes = True
        self._is_flushed = True

    def open(self) -> None:
        """Take the lock, open or make the database. Raises InUseError when another process has the spool, CorruptError."""
        with _translated():
            self._contents.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            try:
                self._writer = self._connect()
                self._prepare()
                self._reader = self._connect()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the database and give the lock back. Harmless twice."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    @property
    def wal_pages(self) -> int:
        """Pages in the write-ahead log as of the last commit. In memory."""
        return self._wal_pages

    @property
    def is_flushed(self) -> bool:
        """True when all that was committed is on stable storage. In memory."""
        return self._is_flushed

    # Writing: one thread at a time

    def commit(self, batch: Batch) -> Committed:
        """Do everything in ``batch`` or nothing.

        Content files of additions must have been finished (``ContentFile.finish``);
        their directory is flushed here, once. Updates and removals of what is no
        longer there do nothing. Files of messages that went are named in the
        result; ``remove_files`` takes them, later.

        Raises: OutOfSpaceError, UnavailableError, CorruptError; then nothing was kept.
        Durable: all of it, at return, and all that was committed before. A batch that is not ``durable`` outlives this
            process at once, a power failure only with the next flush: until then the spool may go back to before it.
        """
        with _translated():
            self._set_flushing(flushes=batch.durable)
            if any(addition.content is None for addition in batch.additions):
                self.file_ops.flush_directory(self._contents)
            cursor = self._writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                committed = self._apply(cursor, batch)
                if batch.durable and not self._is_flushed and not batch.additions:
                    cursor.execute(sql.TOUCH)  # Nothing may have changed, and what is not written is not flushed.
                cursor.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    cursor.execute("ROLLBACK")
                raise
            self._is_flushed = batch.durable
        return committed

    def _set_flushing(self, *, flushes: bool) -> None:
        """Have commits flush the log, or leave that to the next one that does (sqlite.org/pragma.html, synchronous)."""
        if flushes != self._flushes:
            self._writer.cursor().execute("PRAGMA synchronous=" + ("FULL" if flushes else "NORMAL"))
            self._flushes = flushes

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, so that it starts over. Raises UnavailableError, OutOfSpaceError."""
        with _translated():
            in_log, moved = self._writer.wal_checkpoint()
            if in_log == moved:
                self._wal_pages = 0
                self._is_flushed = True

    def remove_files(self, queue_ids: Sequence[QueueId]) -> None:
        """Remove content files of messages that are gone. A file that stays is an orphan for the next ``sweep``."""
        for queue_id in queue_ids:
            with suppress(OSError):
                self.file_ops.remove(self._contents / queue_id)

    def new_content_file(self, queue_id: QueueId) -> ContentFile:
        """Return the writer of a content file; nothing is made before its first ``write``. In memory."""
        return ContentFile(self._contents / queue_id, self.file_ops)

    def move_corrupt(self, queue_id: QueueId, reason: str) -> None:
        """Put a message aside with its reason: it is listed, never tried, and stays until somebody deletes or releases it."""
        self.commit(Batch(changes=(sql.StateChange(queue_id, MessageState.CORRUPT, reason),)))

    def sweep(self) -> Swept:
        """Remove files that no row names and put messages aside whose file is missing or has the wrong size. Once, at start."""
        with _translated():
            sizes = {queue_id_from_int(number): size for number, size in self._writer.cursor().execute(sql.IN_FILES)}
            orphans = 0
            for name in self.file_ops.names(self._contents):
                if name not in sizes and not self._has_row(name):
                    self.file_ops.remove(self._contents / name)
                    orphans += 1
            corrupt = []
            for queue_id, size in sizes.items():
                fault = self._file_fault(queue_id, size)
                if fault:
                    self.move_corrupt(queue_id, fault)
                    corrupt.append(queue_id)
        return Swept(orphans, tuple(corrupt))

    # Reading: any thread

    def load(self, queue_ids: Sequence[QueueId]) -> list[SpoolMessage]:
        """Return those messages that are there, with all their recipients."""
        with self._read() as cursor:
            loaded = (self._message(cursor, queue_id_to_int(queue_id)) for queue_id in queue_ids)
            return [message for message in loaded if message is not None]

    def messages(self, limit: int, after: QueueId | None = None) -> list[SpoolMessage]:
        """Return the oldest messages, at most ``limit``, behind ``after``."""
        with self._read() as cursor:
            start = 0 if after is None else queue_id_to_int(after)
            rows = list(cursor.execute(sql.MESSAGES_AFTER, (start, limit)))
            return [_decode(row, cursor.execute(sql.RECIPIENTS_OF, (row[0],)).fetchall()) for row in rows]

    def fresh(self) -> list[QueueId]:
        """Return the messages with recipients that were never tried, oldest first."""
        with self._read() as cursor:
            return [queue_id_from_int(number) for (number,) in cursor.execute(sql.FRESH)]

    def due(self, now_s: float, limit: int, after: DueCursor = (0.0, 0, 0)) -> tuple[list[SpoolMessage], DueCursor | None]:
        """Return recipients tried before whose time has come, earliest first.

        Shape: messages with only those recipients, ``limit`` recipients together; messages on hold or corrupt are left out.
        The second value continues the search; None when there is no more.
        Units: ``now_s`` wall clock, seconds since the epoch.
        """
        with self._read() as cursor:
            rows = list(cursor.execute(sql.DUE, (now_s, *after, limit)))
            grouped: dict[int, list[tuple[Any, ...]]] = {}
            for row in rows:
                grouped.setdefault(row[0], []).append(row)
            messages = []
            for number, recipients in grouped.items():
                found = cursor.execute(sql.MESSAGE_BY_ID, (number,)).fetchall()
                if found and found[0][3] == MessageState.NORMAL:
                    messages.append(_decode(found[0], recipients))
        last = (rows[-1][7], rows[-1][0], rows[-1][1]) if len(rows) == limit else None
        return messages, last

    def next_due(self, after_s: float) -> float | None:
        """Return the earliest time after ``after_s`` at which a recipient is due, or None."""
        with self._read() as cursor:
            found: float | None = cursor.execute(sql.NEXT_DUE, (after_s,)).fetchall()[0][0]
            return found

    def count(self) -> int:
        """Return how many messages there are, those put aside included."""
        with self._read() as cursor:
            total: int = cursor.execute(sql.COUNT).fetchall()[0][0]
            return total

    def aside(self) -> dict[QueueId, MessageState]:
        """Return the messages on hold and the corrupt ones."""
        with self._read() as cursor:
            return {queue_id_from_int(number): MessageState(state) for number, state in cursor.execute(sql.ASIDE)}

    def largest_number(self) -> int:
        """Return the number behind the largest queue id, 0 when the spool is empty."""
        with self._read() as cursor:
            return cursor.execute("SELECT max(id) FROM message").fetchall()[0][0] or 0

    def content_of(self, message: SpoolMessage) -> Content:
        """Return the content of a message, to be read when it is opened. In memory."""
        if message.is_in_file:
            return FileContent(self._contents / message.queue_id, message.size)
        return RowContent(self.read_row, message.queue_id, message.size)

    def content(self, queue_id: QueueId) -> Content:
        """Return the content of a message. Raises NotFoundError, and CorruptError when its file is missing or has the wrong size."""
        found = self.load([queue_id])
        if not found:
            raise NotFoundError(queue_id)
        message = found[0]
        fault = self._file_fault(queue_id, message.size) if message.is_in_file else ""
        if fault:
            raise CorruptError(f"{queue_id}: {fault}")
        return self.content_of(message)

    def read_row(self, queue_id: QueueId) -> bytes:
        """Return a small message's bytes. Raises NotFoundError."""
        with self._read() as cursor:
            found = cursor.execute("SELECT content FROM message WHERE id=?", (queue_id_to_int(queue_id),)).fetchall()
        if not found or found[0][0] is None:
            raise NotFoundError(queue_id)
        data: bytes = found[0][0]
        return data

    def free_bytes(self) -> int:
        """Return the room left on the spool's file system. Raises UnavailableError."""
        with _translated():
            return self.file_ops.free_bytes(self.directory)

    # Inside

    def _take_lock(self) -> None:
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise InUseError(f"{self.directory} is in use by another process") from error
        self._lock_descriptor = descriptor

    def _connect(self) -> Any:
        import apsw  # loaded with the spool, not with the command line

        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(str(self.directory / "spool.db"), flags=flags, vfs=self._vfs)
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma).fetchall()
        return connection

    def _prepare(self) -> None:
        """Make the tables of a new database; refuse those of a later version."""
        cursor = self._writer.cursor()
        ((version,),) = cursor.execute("PRAGMA user_version").fetchall()
        if version > sql.SCHEMA_VERSION:
            raise CorruptError(f"{self.directory}/spool.db was written by a later version (schema {version}); run that version")
        if version == 0:
            cursor.execute(f"BEGIN IMMEDIATE; {sql.SCHEMA} PRAGMA user_version={sql.SCHEMA_VERSION}; COMMIT")
            self.file_ops.flush_directory(self.directory)
            self.file_ops.flush_directory(self.directory.parent)
        self._writer.set_wal_hook(self._note_wal)

    def _note_wal(self, _connection: Any, _name: str, pages: int) -> int:
        """Keep the size of the log; this hook also turns SQLite's own checkpoints off, which would hold an acknowledgement up."""
        self._wal_pages = pages
        return 0

    def _apply(self, cursor: Any, batch: Batch) -> Committed:
        if batch.additions:
            add_rows(cursor, "message", sql.MESSAGE_VALUES, [sql.message_row(addition) for addition in batch.additions])
            recipients = [row for addition in batch.additions for row in sql.recipient_rows(addition)]
            add_rows(cursor, "recipient", sql.RECIPIENT_VALUES, recipients)
        if batch.updates:
            cursor.executemany(
                sql.UPDATE_RECIPIENT,
                [
                    (
                        *(one.attempts, one.next_attempt_s, one.status, one.reason, one.diagnostic, one.remote_mta),
                        *(one.delay_noticed, queue_id_to_int(one.queue_id), one.number),
                    )
                    for one in batch.updates
                ],
            )
        changed = self._change(cursor, batch.changes) if batch.changes else ()
        gone, files = self._remove(cursor, batch.removals) if batch.removals else ((), ())
        return Committed(gone, files, changed)

    @staticmethod
    def _change(cursor: Any, changes: Sequence[sql.StateChange]) -> tuple[QueueId, ...]:
        times = [(one.next_attempt_s, queue_id_to_int(one.queue_id)) for one in changes if one.next_attempt_s is not None]
        if times:
            cursor.executemany(sql.CHANGE_NEXT_ATTEMPT, times)
        rows = [(None if one.state is None else int(one.state), one.reason, one.crashes, queue_id_to_int(one.queue_id)) for one in changes]
        return tuple(queue_id_from_int(number) for (number,) in cursor.executemany(sql.CHANGE_STATE, rows).fetchall())

    @staticmethod
    def _remove(cursor: Any, removals: Sequence[sql.Removal]) -> tuple[tuple[QueueId, ...], tuple[QueueId, ...]]:
        singles: list[tuple[int, int]] = []
        wholes: list[tuple[int]] = []
        messages: list[int] = []
        for removal in removals:
            number = queue_id_to_int(removal.queue_id)
            messages.append(number)
            if removal.numbers is None:
                wholes.append((number,))
            else:
                singles.extend((number, one) for one in removal.numbers)
        for part in parts(singles):
            cursor.execute(sql.remove_recipients(len(part)), [value for row in part for value in row])
        if wholes:
            cursor.executemany(sql.REMOVE_RECIPIENTS, wholes)
        gone: list[QueueId] = []
        files: list[QueueId] = []
        for numbers in parts(messages):
            name, remove = sql.done_messages(len(numbers))
            ((ids, in_file),) = cursor.execute(name, numbers).fetchall()
            if ids is not None:
                cursor.execute(remove, numbers)
                found = [queue_id_from_int(int(number)) for number in ids.split(",")]
                gone += found
                files += [queue_id for queue_id, flag in zip(found, in_file.split(","), strict=True) if flag == "1"]
        return tuple(gone), tuple(files)

    @contextmanager
    def _read(self) -> Iterator[Any]:
        with self._reading, _translated():
            if self._reader is None:
                raise UnavailableError("the spool is closed")
            yield self._reader.cursor()

    @staticmethod
    def _message(cursor: Any, number: int) -> SpoolMessage | None:
        rows = cursor.execute(sql.MESSAGE_BY_ID, (number,)).fetchall()
        return _decode(rows[0], cursor.execute(sql.RECIPIENTS_OF, (number,)).fetchall()) if rows else None

    def _has_row(self, name: str) -> bool:
        try:
            number = queue_id_to_int(name)
        except ValueError:
            return False
        rows = self._writer.cursor().execute("SELECT 1 FROM message WHERE id=? AND content IS NULL", (number,)).fetchall()
        return bool(rows)

    def _file_fault(self, queue_id: QueueId, size: int) -> str:
        """Return what is wrong with a content file, ``""`` when nothing is."""
        try:
            found = self.file_ops.size(self._contents / queue_id)
        except FileNotFoundError:
            return "its content file is missing"
        except OSError as error:
            raise translate_os_error(error) from error
        return "" if found == size else f"its content file has {found} bytes, {size} were taken in"
