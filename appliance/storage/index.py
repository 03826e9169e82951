"""The index of one account: modseqs, expunged uids and rendered summaries. Derived only; deleted at any time and rebuilt.

One SQLite file per account (``derived``). That a power cut lost its last rows is
noticed by the kernel's boot id, and what clients were told of modseqs is then
void. Owns its schema. Every method is called with the account's lock held.

Fails: never; mail is served from the files.
Sources: RFC 7162 section 5.3 (expunged uids), measurements section 3 (rendering once).
"""

import secrets
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from appliance.model.uidranges import UidRange, ranges_of
from appliance.storage.derived import DerivedFile
from appliance.storage.states import States

__all__ = ["ChunkRow", "DetailRow", "Index", "MailboxRow", "SummaryRow"]

SCHEMA_VERSION = 4
SCHEMA = """
CREATE TABLE IF NOT EXISTS mailbox (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    uid_validity INTEGER NOT NULL, next_uid INTEGER NOT NULL, highest_modseq INTEGER NOT NULL, expunged_floor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    mailbox INTEGER NOT NULL, chunk INTEGER NOT NULL, messages BLOB NOT NULL, PRIMARY KEY (mailbox, chunk)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS summary (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, size INTEGER NOT NULL, internal_date INTEGER NOT NULL,
    save_date INTEGER NOT NULL, envelope BLOB NOT NULL, body BLOB NOT NULL, structure BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expunged (
    mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS detail (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, email_id TEXT NOT NULL, thread_id TEXT NOT NULL, preview TEXT,
    PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS running (boot TEXT NOT NULL);
"""
UIDS_PER_QUERY = 500
MAX_EXPUNGED = 20_000
"""Ranges of expunged uids kept for one mailbox, about 0.5 MiB; when there are more, the oldest quarter goes."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

ChunkRow = tuple[int, bytes]
"""Number of a chunk and what ``storage.states`` packed of its messages, empty when there are none."""
SummaryRow = tuple[int, int, int, int, bytes, bytes, bytes]
"""uid, size, internal date, save date, envelope, body, structure."""


DetailRow = tuple[int, str, str, str | None]
"""uid, email id and thread id (empty if not made yet), preview (None if not made yet)."""


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """``expunged_floor``: of expunges up to this modseq some are not known; above ``highest_modseq``: the last rows are lost."""

    row_id: int
    uid_validity: int
    next_uid: int
    highest_modseq: int
    expunged_floor: int


class Index(DerivedFile):
    """One account's index file, opened at first use."""

    VERSION: ClassVar = SCHEMA_VERSION
    SCHEMA: ClassVar = SCHEMA

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._expunged_counts: dict[int, int] = {}

    def close(self) -> None:
        """Close the file; what was written is on stable storage then."""
        if self._connection is not None:
            self._guarded(lambda connection: connection.execute("DELETE FROM running"), None)
        super().close()

    def _prepare(self, connection: Any) -> None:
        """Note that we are at work; if the last who was had the power cut, its last rows may be lost."""
        self._expunged_counts.clear()
        boot = _boot_id()
        rows = connection.execute("SELECT boot FROM running").fetchall()
        if rows and rows != [(boot,)]:
            connection.execute("UPDATE mailbox SET expunged_floor = highest_modseq + 1")
        connection.execute("DELETE FROM running")
        connection.execute("INSERT INTO running VALUES (?)", (boot,))

    # Mailboxes

    def find_mailbox(self, name: str) -> MailboxRow | None:
        query = "SELECT id, uid_validity, next_uid, highest_modseq, expunged_floor FROM mailbox WHERE name=?"
        row = self._guarded(lambda connection: connection.execute(query, (name,)).fetchone(), None)
        return None if row is None else MailboxRow(*row)

    def add_mailbox(self, name: str, uid_validity: int, next_uid: int, highest_modseq: int) -> int:
        """Return the row id of a mailbox that starts with nothing known of its messages, nor of earlier expunges."""

        def work(connection: Any) -> None:
            self._forget(connection, name)
            connection.execute(
                "INSERT INTO mailbox (name, uid_validity, next_uid, highest_modseq, expunged_floor) VALUES (?, ?, ?, ?, ?)",
                (name, uid_validity, next_uid, highest_modseq, highest_modseq),
            )

        self._write(work)
        row = self.find_mailbox(name)
        return 0 if row is None else row.row_id

    @staticmethod
    def _forget(connection: Any, name: str) -> None:
        for table in ("state", "summary", "detail", "expunged"):
            connection.execute(f"DELETE FROM {table} WHERE mailbox=(SELECT id FROM mailbox WHERE name=?)", (name,))  # noqa: S608
        connection.execute("DELETE FROM mailbox WHERE name=?", (name,))

    def remove_mailbox(self, name: str) -> None:
        self._write(lambda connection: self._forget(connection, name))

    def rename_mailbox(self, old: str, new: str) -> None:
        def work(connection: Any) -> None:
            self._forget(connection, new)
            connection.execute("UPDATE mailbox SET name=? WHERE name=?", (new, old))

        self._write(work)

    # Messages

    def load_states(self, mailbox: int) -> States:
        query = "SELECT messages FROM state WHERE mailbox=? ORDER BY chunk"
        return States(self._guarded(lambda connection: [row[0] for row in connection.execute(query, (mailbox,))], ()))

    def save(
        self,
        mailbox: int,
        *,
        next_uid: int,
        highest_modseq: int,
        chunks: Sequence[ChunkRow] = (),
        summaries: Iterable[SummaryRow] = (),
        removed: Sequence[int] = (),
        never_seen: Sequence[UidRange] = (),
        expunged_floor: int,
    ) -> bool:
        """Write what changed, in one transaction; ``removed`` first, so that a uid can be in both. False when it could not be written.

        ``removed`` were expunged at ``highest_modseq``, like ``never_seen``, which had no rows.
        """

        def work(connection: Any) -> None:
            floor = expunged_floor
            if removed or never_seen:
                floor = max(floor, self._log_expunged(connection, mailbox, highest_modseq, [*ranges_of(removed), *never_seen]))
            if removed:
                for table in ("summary", "detail"):
                    statement = f"DELETE FROM {table} WHERE mailbox={mailbox} AND uid=?"  # noqa: S608
                    connection.executemany(statement, [(uid,) for uid in removed])
            connection.executemany(f"DELETE FROM state WHERE mailbox={mailbox} AND chunk=?", [(at,) for at, data in chunks if not data])  # noqa: S608
            connection.executemany(f"INSERT OR REPLACE INTO state VALUES ({mailbox}, ?, ?)", [row for row in chunks if row[1]])  # noqa: S608
            if summaries:
                connection.executemany(f"INSERT OR REPLACE INTO summary VALUES ({mailbox}, ?, ?, ?, ?, ?, ?, ?)", summaries)  # noqa: S608
            statement = "UPDATE mailbox SET next_uid=?, highest_modseq=?, expunged_floor=max(expunged_floor, ?) WHERE id=?"
            connection.execute(statement, (next_uid, highest_modseq, floor, mailbox))

        return self._write(work)

    def _log_expunged(self, connection: Any, mailbox: int, modseq: int, ranges: Sequence[UidRange]) -> int:
        """Add ranges to the log; return the highest modseq that was dropped from it to make room, 0 for none."""
        connection.executemany("INSERT OR REPLACE INTO expunged VALUES (?, ?, ?, ?)", [(mailbox, modseq, *one) for one in ranges])
        count = self._expunged_counts.get(mailbox)
        if count is None:
            count = connection.execute("SELECT count(*) FROM expunged WHERE mailbox=?", (mailbox,)).fetchone()[0]
        else:
            count += len(ranges)
        floor = 0
        if count > MAX_EXPUNGED:
            query = "SELECT modseq FROM expunged WHERE mailbox=? ORDER BY modseq LIMIT 1 OFFSET ?"
            floor = connection.execute(query, (mailbox, count - MAX_EXPUNGED + MAX_EXPUNGED // 4)).fetchone()[0]
            connection.execute("DELETE FROM expunged WHERE mailbox=? AND modseq<=?", (mailbox, floor))
            count = connection.execute("SELECT count(*) FROM expunged WHERE mailbox=?", (mailbox,)).fetchone()[0]
        self._expunged_counts[mailbox] = count
        return floor

    def expunged_since(self, mailbox: int, modseq: int) -> list[UidRange] | None:
        """Return the logged ranges with a higher modseq; None when they are not all known."""
        row = "SELECT expunged_floor FROM mailbox WHERE id=?"
        query = "SELECT first, last FROM expunged WHERE mailbox=? AND modseq>?"

        def work(connection: Any) -> list[UidRange] | None:
            floor = connection.execute(row, (mailbox,)).fetchone()
            return None if floor is None or modseq < floor[0] else connection.execute(query, (mailbox, modseq)).fetchall()

        ranges: list[UidRange] | None = self._guarded(work, None)
        return ranges

    def summaries(self, mailbox: int, uids: "Sequence[int] | array[int]") -> dict[int, SummaryRow]:
        """Return what was rendered of these uids (ascending)."""
        columns = "uid, size, internal_date, save_date, envelope, body, structure"

        def work(connection: Any) -> dict[int, SummaryRow]:
            found: dict[int, SummaryRow] = {}
            for begin in range(0, len(uids), UIDS_PER_QUERY):
                part = uids[begin : begin + UIDS_PER_QUERY]
                if part[-1] - part[0] < 4 * len(part):
                    query = f"SELECT {columns} FROM summary WHERE mailbox=? AND uid BETWEEN ? AND ?"  # noqa: S608
                    rows = connection.execute(query, (mailbox, part[0], part[-1]))
                else:
                    marks = ",".join("?" * len(part))
                    query = f"SELECT {columns} FROM summary WHERE mailbox=? AND uid IN ({marks})"  # noqa: S608
                    rows = connection.execute(query, (mailbox, *part))
                found.update((row[0], row) for row in rows)
            return found

        result: dict[int, SummaryRow] = self._guarded(work, {})
        return result

    def details(self, mailbox: int, uids: Sequence[int]) -> dict[int, DetailRow]:
        """Return what was made of these uids (ascending)."""
        query = "SELECT uid, email_id, thread_id, preview FROM detail WHERE mailbox=? AND uid BETWEEN ? AND ?"

        def work(connection: Any) -> dict[int, DetailRow]:
            found: dict[int, DetailRow] = {}
            for begin in range(0, len(uids), UIDS_PER_QUERY):
                part = uids[begin : begin + UIDS_PER_QUERY]
                found.update((row[0], row) for row in connection.execute(query, (mailbox, part[0], part[-1])))
            return found

        result: dict[int, DetailRow] = self._guarded(work, {})
        return result

    def save_details(self, mailbox: int, rows: Sequence[DetailRow]) -> None:
        statement = f"INSERT OR REPLACE INTO detail VALUES ({mailbox}, ?, ?, ?, ?)"  # noqa: S608
        self._write(lambda connection: connection.executemany(statement, rows))


def _boot_id() -> str:
    """Return what names this boot of the machine; where there is no such thing, every start counts as one after a power cut."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex(16)
