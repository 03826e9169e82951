"""The index of one account: modseqs and rendered summaries. Derived only; deleted at any time and rebuilt.

One SQLite file per account through apsw (WAL, ``synchronous=NORMAL``: a power
cut may lose the last rows, never the file). Owns its schema, throws a damaged or
foreign file away, and notices when the file is deleted under it. Every method
is called with the account's lock held.

Fails: never. What SQLite cannot do is as if nothing were known, and counted in
``failures``; mail is served from the files.
Sources: measurements section 3 (rendering once), SQLite's WAL documentation.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Index", "MailboxRow", "StateRow", "SummaryRow"]

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS mailbox (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    uid_validity INTEGER NOT NULL, next_uid INTEGER NOT NULL, highest_modseq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, flags INTEGER NOT NULL, modseq INTEGER NOT NULL, size INTEGER NOT NULL,
    hash BLOB NOT NULL, PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS summary (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, size INTEGER NOT NULL, internal_date INTEGER NOT NULL,
    save_date INTEGER NOT NULL, envelope BLOB NOT NULL, body BLOB NOT NULL, structure BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
"""
UIDS_PER_QUERY = 500

StateRow = tuple[int, int, int, int, bytes]
"""uid, flags, modseq, size, header hash."""
SummaryRow = tuple[int, int, int, int, bytes, bytes, bytes]
"""uid, size, internal date, save date, envelope, body, structure."""


@dataclass(frozen=True, slots=True)
class MailboxRow:
    row_id: int
    uid_validity: int
    next_uid: int
    highest_modseq: int


class Index:
    """One account's index file, opened at first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Any = None
        self._file_id: tuple[int, int] = (0, 0)
        self.generation = 0
        """Grows whenever the file is a new, empty one: who holds rows must write them again."""
        self.failures = 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def open(self) -> int:
        """Make sure that the file is open; return its generation."""
        self._guarded(lambda connection: connection, None)
        return self.generation

    @property
    def is_missing(self) -> bool:
        """True when there is no file: nothing is known, and making one can wait until something must be remembered."""
        return self._connection is None and not self._path.exists()

    def check(self) -> None:
        """Notice that somebody deleted the file."""
        if self._connection is not None and self._identify() != self._file_id:
            self.close()

    def _identify(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def _open(self) -> Any:
        import apsw  # 5 ms and 3 MiB: imported with the first mailbox, not at start

        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._connect(apsw)
            except (apsw.CorruptError, apsw.NotADBError, apsw.SchemaChangeError):
                self._discard()
                self._connect(apsw)
        return self._connection

    def _connect(self, apsw: Any) -> None:
        is_new = not self._path.exists()
        if is_new:  # a log without its database belongs to one that was deleted
            self._unlink("-wal", "-shm")
        connection = apsw.Connection(str(self._path))
        try:
            connection.set_busy_timeout(2_000)
            connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise apsw.SchemaChangeError(f"index version {version}")  # noqa: TRY301  - one way out, and it closes
            connection.execute(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT")
        except BaseException:
            connection.close()
            raise
        self._path.chmod(0o600)
        self._connection = connection
        self._file_id = self._identify()
        if is_new or version == 0:
            self.generation += 1

    def _discard(self) -> None:
        self.close()
        self._unlink("", "-wal", "-shm")

    def _unlink(self, *suffixes: str) -> None:
        for suffix in suffixes:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _guarded(self, work: Callable[[Any], Any], default: Any) -> Any:
        """Call ``work`` with the connection; give up on the file when it is damaged, on this call when it is not."""
        import apsw

        try:
            return work(self._open())
        except (apsw.CorruptError, apsw.NotADBError):
            self._discard()
        except (apsw.Error, OSError):
            self.close()
        self.failures += 1
        return default

    def _write(self, work: Callable[[Any], None]) -> None:
        def transaction(connection: Any) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

        self._guarded(transaction, None)

    # Mailboxes

    def find_mailbox(self, name: str) -> MailboxRow | None:
        query = "SELECT id, uid_validity, next_uid, highest_modseq FROM mailbox WHERE name=?"
        row = self._guarded(lambda connection: connection.execute(query, (name,)).fetchone(), None)
        return None if row is None else MailboxRow(*row)

    def add_mailbox(self, name: str, uid_validity: int, next_uid: int, highest_modseq: int) -> int:
        """Return the row id of a mailbox that starts with nothing known of its messages."""

        def work(connection: Any) -> None:
            self._forget(connection, name)
            connection.execute(
                "INSERT INTO mailbox (name, uid_validity, next_uid, highest_modseq) VALUES (?, ?, ?, ?)",
                (name, uid_validity, next_uid, highest_modseq),
            )

        self._write(work)
        row = self.find_mailbox(name)
        return 0 if row is None else row.row_id

    @staticmethod
    def _forget(connection: Any, name: str) -> None:
        for table in ("state", "summary"):
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

    def load_states(self, mailbox: int) -> list[StateRow]:
        query = "SELECT uid, flags, modseq, size, hash FROM state WHERE mailbox=? ORDER BY uid"
        rows: list[StateRow] = self._guarded(lambda connection: connection.execute(query, (mailbox,)).fetchall(), [])
        return rows

    def save(
        self,
        mailbox: int,
        *,
        next_uid: int,
        highest_modseq: int,
        states: Iterable[StateRow] = (),
        summaries: Iterable[SummaryRow] = (),
        removed: Sequence[int] = (),
    ) -> None:
        """Write what changed, in one transaction; ``removed`` first, so that a uid can be in both."""

        def work(connection: Any) -> None:
            if removed:
                for table in ("state", "summary"):
                    statement = f"DELETE FROM {table} WHERE mailbox={mailbox} AND uid=?"  # noqa: S608
                    connection.executemany(statement, [(uid,) for uid in removed])
            if states:
                connection.executemany(f"INSERT OR REPLACE INTO state VALUES ({mailbox}, ?, ?, ?, ?, ?)", states)  # noqa: S608
            if summaries:
                connection.executemany(f"INSERT OR REPLACE INTO summary VALUES ({mailbox}, ?, ?, ?, ?, ?, ?, ?)", summaries)  # noqa: S608
            connection.execute("UPDATE mailbox SET next_uid=?, highest_modseq=? WHERE id=?", (next_uid, highest_modseq, mailbox))

        self._write(work)

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
