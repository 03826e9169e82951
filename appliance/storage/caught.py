"""The catcher's store: every caught message byte for byte, its envelope, and an index for lists and searches.

One SQLite database. A message is committed whole before it is acknowledged; many
that wait at once share one flush. What costs more than that (the row with its
indexes, what is read out of messages) comes a moment later, in transactions that
need not wait for the disk: after a power cut it is done again. Large messages lie
in files beside the database.

Fails: OutOfSpaceError, UnavailableError.
Does not: know mailboxes; ``uid`` is only kept here for who does.

Sources: SQLite's WAL documentation (synchronous=FULL flushes at each commit).
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from appliance.model.caught import CaughtEnvelope, CaughtSummary, Indexed, Person, Stored, Term
from appliance.model.content import Content, MemoryContent
from appliance.model.errors import OutOfSpaceError, UnavailableError
from appliance.storage.caught_schema import ADMIT, ARRIVAL, MESSAGE, NEWEST, SCHEMA, VALUES, VERSION
from appliance.storage.caught_sql import condition
from appliance.storage.spool_content import FileContent, translate_os_error
from appliance.storage.sql_rows import add_rows

__all__ = ["CaughtStore", "Counts", "NewCaught"]

_COLUMNS = (
    "m.number, m.id, m.inbox, m.created_ms, m.size, m.read, m.envelope, m.message_id, m.people, m.subject, m.snippet, m.attachments, "
    "m.inlines, m.date_s, (SELECT json_group_array(name) FROM (SELECT name FROM tag WHERE tag.number = m.number ORDER BY name))"
)
_PIECE = 500
_LOG_PAGES = 1_000
_MOST_LOG_PAGES = 8_192
"""While messages come faster than they are read, the log may grow to 64 MiB: moving it takes longer than keeping a hundred of them."""
_SUMMARIES = 200
"""Rows that are remembered taken apart: some pages of a list."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCaught:
    """A message to be kept. ``uid``: when it came from the mailbox. ``number``: its old place in the list, None for the newest."""

    id: str
    inbox: str
    created_ms: int
    envelope: CaughtEnvelope
    content: Content
    uid: int = 0
    read: bool = False
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """``size``: bytes of all messages."""

    total: int
    unread: int
    size: int


def _fields(envelope: CaughtEnvelope) -> dict[str, object]:
    return {name: getattr(envelope, name) for name in CaughtEnvelope.__slots__}


def _people(persons: Sequence[Person] | None) -> list[list[str]]:
    return [list(person) for person in persons or ()]


class CaughtStore:
    """One database. Every method blocks on the disk and may be called from any thread."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """``durable`` False: what is kept goes with a power cut, for tests that end before one."""
        self._folder = folder
        self._durable = durable
        self._lock = threading.RLock()
        self._connection: Any = None
        self._known: dict[str, tuple[int, Any]] = {}
        """What was counted, with the number of changes until then."""
        self._is_flushing = True
        """Whether the connection flushes at each commit now."""
        self._newest = 0
        """The largest number that a message had."""
        self._has_arrivals = True
        self._log_pages = 0

    @property
    def path(self) -> Path:
        return self._folder / "caught.db"

    def open(self) -> None:
        """Make or open the database; one of another version is put aside under another name."""
        import apsw  # with the first catcher, not at the start of every command

        path = self.path
        with self._told():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = apsw.Connection(str(path))
            path.chmod(0o600)
            if connection.pragma("user_version") not in {0, VERSION}:
                connection.close()
                path.rename(path.with_suffix(".old"))
                connection = apsw.Connection(str(path))
            connection.set_busy_timeout(2_000)
            connection.execute(
                f"PRAGMA synchronous={'FULL' if self._durable else 'OFF'}; "
                "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA temp_store=MEMORY"
            ).fetchall()
            connection.execute("PRAGMA cache_size=-4096").fetchall()
            connection.execute(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT").fetchall()
            self._connection = connection
            connection.set_wal_hook(self._note_log)
            self._is_flushing, self._has_arrivals = True, True
            self._newest = self._rows(NEWEST)[0][0]

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._known.clear()
                self._connection = None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Take the connection, and turn what SQLite and the file system say into the house's errors."""
        import apsw

        with self._lock:
            try:
                yield
            except apsw.FullError as error:
                raise OutOfSpaceError(str(error)) from error
            except apsw.Error as error:
                raise UnavailableError(str(error)) from error
            except OSError as error:
                raise translate_os_error(error) from error

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._told():
            if self._has_arrivals:
                with suppress(OutOfSpaceError):  # Until there is room again, what was there before is shown.
                    self._write(lambda _connection: None, durable=False)
            return list(self._connection.execute(sql, values))

    def _write(self, work: Callable[[Any], None], *, durable: bool = True, is_arrival: bool = False) -> None:
        """Work in one transaction; unless ``is_arrival``, what has arrived becomes rows like all others first."""
        with self._told():
            connection = self._connection
            if durable is not self._is_flushing:
                connection.execute(f"PRAGMA synchronous={'OFF' if not self._durable else 'FULL' if durable else 'NORMAL'}")
                self._is_flushing = durable
            connection.execute("BEGIN IMMEDIATE")
            try:
                if self._has_arrivals and not is_arrival:
                    connection.execute(ADMIT)
                    connection.execute("DELETE FROM arrival")
                work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._has_arrivals = is_arrival
            if self._log_pages >= (_MOST_LOG_PAGES if is_arrival else _LOG_PAGES):
                self._move_log()

    def _note_log(self, _connection: Any, _name: str, pages: int) -> int:
        """Keep the size of the log; this hook also turns SQLite's own checkpoints off, which would hold a 250 up."""
        self._log_pages = pages
        return 0

    def _move_log(self) -> None:
        """Move the log into the database, so that it starts over; where that fails, the next write tries again."""
        import apsw

        with suppress(apsw.Error):
            self._connection.wal_checkpoint()

    def _remembered(self, name: str, found: Callable[[], T]) -> T:
        """Return what ``found`` returned the last time, unless something was written since."""
        with self._told():
            changes = self._connection.total_changes()
            known = self._known.get(name)
            if known is None or known[0] != changes:
                known = self._known[name] = (changes, found())
            value: T = known[1]
            return value

    # Messages come

    def add(self, messages: Sequence[NewCaught]) -> list[int]:
        """Keep messages; return their numbers. Durable at return, all or none."""
        numbers: list[int] = []
        is_arrival = all(new.number is None for new in messages)

        def work(connection: Any) -> None:
            rows: list[tuple[Any, ...]] = []
            contents: list[tuple[Any, ...]] = []
            for new in messages:
                if new.number is None:
                    self._newest += 1
                number = self._newest if new.number is None else new.number
                numbers.append(number)
                told = (number, new.id, new.inbox, new.created_ms, new.content.size, int(new.read), new.uid)
                rows.append((*told, json.dumps(_fields(new.envelope))))
                content = new.content
                contents.append(
                    (number, content.data, None) if isinstance(content, MemoryContent) else (number, None, self._adopt(new.id, content))
                )
            # A message comes back to its old place at once: whether it is there already must be told now.
            add_rows(connection, ARRIVAL if is_arrival else MESSAGE, VALUES, rows)
            add_rows(connection, "content", "(?,?,?)", contents)

        self._write(work, is_arrival=is_arrival)
        return numbers

    def _adopt(self, message_id: str, content: Content) -> str:
        """Give a content file a place of ours, durable; any other content is written into one."""
        name = f"{message_id}.eml"
        path = self._folder / name
        if isinstance(content, FileContent):
            os.link(content.path, path)
        else:
            with content.open() as source, path.open("xb") as target:
                while piece := source.read(262_144):
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return name

    def index(self, found: Sequence[tuple[int, Indexed, str]]) -> None:
        """Keep what was read out of messages, with the session that brought each (``""``: not known). Not durable: it is read out again."""

        def work(connection: Any) -> None:
            for number, one, conversation in found:
                people = json.dumps(
                    [list(one.sender) if one.sender else None, *map(_people, (one.to, one.cc, one.bcc, one.reply_to)), list(one.hidden)],
                    ensure_ascii=False,
                )
                connection.execute(
                    "UPDATE message SET state=1, message_id=?, people=?, subject=?, snippet=?, attachments=?, inlines=?, date_s=? WHERE number=?",
                    (one.message_id, people, one.subject, one.snippet, one.attachments, one.inlines, one.date_s, number),
                )
                if not connection.changes():
                    continue
                get = one.texts.get
                keys = ("text", "sender", "recipient", "cc", "bcc", "reply_to", "subject", "message_id", "body")
                connection.execute("INSERT OR REPLACE INTO words VALUES(?,?,?,?,?,?,?,?,?,?)", (number, *(get(key, "") for key in keys)))
                connection.executemany("INSERT OR IGNORE INTO tag VALUES(?,?)", [(tag, number) for tag in one.tags])
                if conversation:
                    connection.execute("INSERT OR REPLACE INTO conversation VALUES(?,?)", (number, conversation))

        self._write(work, durable=False)

    def unindexed(self, limit: int) -> list[tuple[int, CaughtEnvelope]]:
        """Return messages of which nothing was read out yet, oldest first."""
        rows = self._rows("SELECT number, envelope FROM message WHERE state=0 ORDER BY number LIMIT ?", (limit,))
        return [(number, _envelope(text)) for number, text in rows]

    # The mailbox's side

    def undelivered(self, limit: int) -> list[tuple[Stored, int, CaughtEnvelope]]:
        """Return messages that are in no mailbox yet, oldest first, with the time of each."""
        rows = self._rows(
            "SELECT number, id, inbox, uid, read, created_ms, envelope FROM message WHERE uid=0 ORDER BY number LIMIT ?", (limit,)
        )
        return [(_stored(row[:5]), row[5], _envelope(row[6])) for row in rows]

    def set_uids(self, uids: Sequence[tuple[int, int]]) -> None:
        """Remember ``(number, uid)``. Not durable: who puts messages into mailboxes finds its own again."""
        self._write(
            lambda connection: connection.executemany("UPDATE message SET uid=? WHERE number=?", [(uid, number) for number, uid in uids]),
            durable=False,
        )

    def in_mailbox(self, inbox: str) -> list[Stored]:
        """Return the messages of an inbox that are in its mailbox."""
        rows = self._rows("SELECT number, id, inbox, uid, read FROM message WHERE inbox=? AND uid>0", (inbox,))
        return [_stored(row) for row in rows]

    def stored(self, message_id: str) -> Stored | None:
        rows = self._rows("SELECT number, id, inbox, uid, read FROM message WHERE id=?", (message_id,))
        return _stored(rows[0]) if rows else None

    # Lists

    def counts(self, inbox: str | None = None) -> Counts:
        """Count all messages, or those of an inbox."""
        return self._remembered("counts", self._count) if inbox is None else self._count(inbox)

    def _count(self, inbox: str | None = None) -> Counts:
        where, values = ("WHERE inbox=?", (inbox,)) if inbox is not None else ("", ())
        row = self._rows(f"SELECT count(*), coalesce(sum(read=0), 0), coalesce(sum(size), 0) FROM message {where}", values)[0]
        return Counts(*row)

    def latest(
        self, terms: Sequence[Term] = (), *, start: int = 0, limit: int = 50, before_ms: int | None = None, after_number: int = 0
    ) -> list[CaughtSummary]:
        """Return the messages that match all terms, newest first. ``limit`` 0: all."""
        where, values = condition(terms)
        if before_ms is not None:
            where, values = f"{where} AND m.created_ms < ?", [*values, before_ms]
        if after_number:
            where, values = f"{where} AND m.number > ?", [*values, after_number]
        sql = f"SELECT {_COLUMNS} FROM message m WHERE {where} ORDER BY m.number DESC LIMIT ? OFFSET ?"
        return [_summary(row) for row in self._rows(sql, [*values, limit or -1, start])]

    def matching(self, terms: Sequence[Term]) -> Counts:
        """Count what matches all terms."""
        where, values = condition(terms)
        row = self._rows(f"SELECT count(*), coalesce(sum(m.read=0), 0), coalesce(sum(m.size), 0) FROM message m WHERE {where}", values)[0]
        return Counts(*row)

    def find(self, terms: Sequence[Term]) -> list[str]:
        """Return the ids of what matches all terms, oldest first."""
        where, values = condition(terms)
        return [row[0] for row in self._rows(f"SELECT m.id FROM message m WHERE {where} ORDER BY m.number", values)]

    def summary(self, message_id: str) -> CaughtSummary | None:
        """Return one message's line."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM message m WHERE m.id=?", (message_id,))
        return _summary(rows[0]) if rows else None

    def summaries(self, numbers: Sequence[int]) -> list[CaughtSummary]:
        """Return the lines of these messages, oldest first."""
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM message m WHERE m.number IN (SELECT value FROM json_each(?)) ORDER BY m.number",
            (json.dumps(list(numbers)),),
        )
        return [_summary(row) for row in rows]

    def content(self, number: int, limit: int = 0) -> bytes | None:
        """Return a message's bytes, at most the first ``limit`` of them, 0 for all; None when it is gone."""
        with self._told():
            row = self._connection.execute("SELECT data, path FROM content WHERE number=?", (number,)).fetchone()
            if row is None:
                return None
            if row[1] is None:
                data: bytes = row[0]
                return data[:limit] if limit else data
        path = self._folder / str(row[1])
        try:
            with path.open("rb") as stream:
                return stream.read(limit or -1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate_os_error(error) from error

    def conversation(self, number: int) -> str:
        """Return the session that brought a message, ``""`` when it is not known."""
        rows = self._rows("SELECT data FROM conversation WHERE number=?", (number,))
        return rows[0][0] if rows else ""

    # Changes

    def set_read(self, ids: Iterable[str] | None, *, read: bool) -> list[Stored]:
        """Mark these messages, None for all; return those that changed."""
        return self._change("read=?", [int(read)], f"read={int(not read)}", ids)

    def _change(self, what: str, values: list[object], which: str, ids: Iterable[str] | None) -> list[Stored]:
        where, more = which, []
        if ids is not None:
            where, more = f"{which} AND id IN (SELECT value FROM json_each(?))", [json.dumps(list(ids))]
        changed: list[Stored] = []

        def work(connection: Any) -> None:
            sql = f"UPDATE message SET {what} WHERE {where} RETURNING number, id, inbox, uid, read"
            changed.extend([_stored(row) for row in connection.execute(sql, [*values, *more])])

        self._write(work)
        return changed

    def delete(self, ids: Iterable[str] | None) -> list[Stored]:
        """Delete these messages, None for all; return those that were there."""
        if ids is not None:
            return self._delete("id IN (SELECT value FROM json_each(?))", [json.dumps(list(ids))])
        gone = self._delete("1", [])
        self._write(lambda connection: connection.execute("DELETE FROM tag"))
        return gone

    def prune(self, *, keep: int, before_ms: int, inbox: str | None = None) -> list[Stored]:
        """Delete what is older than ``before_ms`` (0: nothing is), and the oldest beyond ``keep`` (0: all are kept) of all messages or of an inbox."""
        inside, values = ("inbox=?", [inbox]) if inbox is not None else ("1", [])
        deleted: list[Stored] = []
        if before_ms > 0:
            deleted += self._delete(f"{inside} AND created_ms<?", [*values, before_ms])
        if keep > 0:
            deleted += self._delete(
                f"{inside} AND number <= coalesce((SELECT number FROM message WHERE {inside} ORDER BY number DESC LIMIT 1 OFFSET ?), 0)",
                [*values, *values, keep],
            )
        return deleted

    def _delete(self, where: str, values: Sequence[object]) -> list[Stored]:
        deleted: list[Stored] = []
        paths: list[str] = []

        def work(connection: Any) -> None:
            rows = list(connection.execute(f"SELECT number, id, inbox, uid, read FROM message WHERE {where}", values))
            deleted.extend([_stored(row) for row in rows])
            for at in range(0, len(rows), _PIECE):
                numbers = json.dumps([row[0] for row in rows[at : at + _PIECE]])
                inside = "number IN (SELECT value FROM json_each(?))"
                paths.extend(
                    [row[0] for row in connection.execute(f"SELECT path FROM content WHERE path NOT NULL AND {inside}", (numbers,))]
                )
                for table in ("content", "conversation", "words", "tag", "message"):
                    connection.execute(f"DELETE FROM {table} WHERE {inside}", (numbers,))

        self._write(work)
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)
        return deleted

    # Tags

    def tags(self) -> dict[str, int]:
        """Return each tag in use with its number of messages, in order."""
        return self._remembered("tags", lambda: dict(self._rows("SELECT min(name), count(*) FROM tag GROUP BY name ORDER BY name")))

    def set_tags(self, ids: Sequence[str], tags: Sequence[str]) -> list[Stored]:
        """Give these messages exactly these tags; return those that are there.

        Tags for messages that are not there are known afterwards, as if a message had them, until all messages are deleted:
        Mailpit's clients find them in the list of tags.
        """
        found = [
            _stored(row)
            for row in self._rows(
                "SELECT number, id, inbox, uid, read FROM message WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
            )
        ]

        def work(connection: Any) -> None:
            known = {name.lower(): name for (name,) in connection.execute("SELECT DISTINCT name FROM tag")}
            wanted = [known.get(tag.lower(), tag) for tag in tags]
            for one in found:
                connection.execute("DELETE FROM tag WHERE number=?", (one.number,))
                connection.executemany("INSERT OR IGNORE INTO tag VALUES(?,?)", [(tag, one.number) for tag in wanted])
            if len(found) < len(set(ids)):
                connection.executemany("INSERT OR IGNORE INTO tag VALUES(?,0)", [(tag,) for tag in wanted])

        self._write(work)
        return found

    def rename_tag(self, old: str, new: str) -> list[str]:
        """Give a tag another name, None to delete it; return the ids of its messages."""
        ids = self._tagged(old)
        self._write(lambda connection: connection.execute("UPDATE OR REPLACE tag SET name=? WHERE name=?", (new, old)))
        return ids

    def delete_tag(self, name: str) -> list[str]:
        """Take a tag off all messages; return their ids."""
        ids = self._tagged(name)
        self._write(lambda connection: connection.execute("DELETE FROM tag WHERE name=?", (name,)))
        return ids

    def _tagged(self, name: str) -> list[str]:
        return [row[0] for row in self._rows("SELECT id FROM message JOIN tag USING(number) WHERE name=? ORDER BY number", (name,))]

    def inboxes(self) -> list[tuple[str, int, int]]:
        """Return each inbox that has messages: name, messages, unread."""
        return [tuple(row) for row in self._rows("SELECT inbox, count(*), sum(read=0) FROM message GROUP BY inbox ORDER BY inbox")]

    def inbox_names(self, limit: int) -> list[str]:
        """Return the first inboxes that have messages, in order; looks at one row of each, however many messages there are."""
        sql = (
            "WITH RECURSIVE one(name) AS (SELECT min(inbox) FROM message UNION ALL SELECT (SELECT min(inbox) FROM message WHERE inbox > one.name) "
            "FROM one WHERE one.name NOT NULL) SELECT name FROM one WHERE name NOT NULL LIMIT ?"
        )
        return [row[0] for row in self._rows(sql, (limit,))]

    def inbox_settings(self) -> dict[str, str]:
        """Return what ``set_inbox`` was given, by name."""
        return dict(self._rows("SELECT name, settings FROM inbox"))

    def set_inbox(self, name: str, settings: str) -> None:
        """Keep the settings of an inbox, or forget them: ``""``. Durable at return."""
        if settings:
            self._write(lambda connection: connection.execute("INSERT OR REPLACE INTO inbox VALUES(?,?)", (name, settings)))
        else:
            self._write(lambda connection: connection.execute("DELETE FROM inbox WHERE name=?", (name,)))

    def file_bytes(self) -> int:
        """Return the size of the database."""
        return sum(path.stat().st_size for path in self._folder.glob("caught.db*") if path.exists())


def _envelope(text: str) -> CaughtEnvelope:
    values = json.loads(text)
    return CaughtEnvelope(**{**values, "recipients": tuple(values["recipients"])})


def _stored(row: Sequence[Any]) -> Stored:
    return Stored(number=row[0], id=row[1], inbox=row[2], uid=row[3], read=bool(row[4]))


@lru_cache(maxsize=_SUMMARIES)
def _summary(row: tuple[Any, ...]) -> CaughtSummary:
    """Return a row's summary, the same object for the same row: lists are asked for again and again."""
    sender, *lists, hidden = json.loads(row[8]) if row[8] else [None, [], [], [], [], []]
    to, cc, bcc, reply_to = [[Person(*one) for one in persons] for persons in lists]
    return CaughtSummary(
        number=row[0],
        id=row[1],
        inbox=row[2],
        created_ms=row[3],
        size=row[4],
        read=bool(row[5]),
        envelope=_envelope(row[6]),
        message_id=row[7] or "",
        sender=Person(*sender) if sender else None,
        to=to,
        cc=cc,
        bcc=bcc,
        hidden=hidden,
        reply_to=reply_to,
        subject=row[9] or "",
        snippet=row[10] or "",
        attachments=row[11] or 0,
        inlines=row[12] or 0,
        date_s=row[13],
        tags=json.loads(row[14]),
    )
