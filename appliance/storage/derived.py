"""A SQLite file that holds only what can be found out again: deleted, damaged or foreign, it is made anew.

Owns opening through apsw (WAL, ``synchronous=NORMAL``: a power cut may lose the
last rows, never the file), throwing away what SQLite cannot read or another
version wrote, and noticing that the file was deleted under it. A subclass has
the schema and the queries.

Fails: never. What SQLite cannot do is as if nothing were known, and counted in ``failures``.
Sources: SQLite's WAL documentation.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["DerivedFile"]


class DerivedFile:
    """One file, opened at first use. Not safe from several threads at once."""

    VERSION: ClassVar[int]
    SCHEMA: ClassVar[str]
    PAGE_BYTES: ClassVar[int] = 4_096
    CACHE_KIB: ClassVar[int] = 512

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Any = None
        self._file_id: tuple[int, int] = (0, 0)
        self.generation = 0
        """Grows whenever the file is a new, empty one: who holds rows must write them again."""
        self.failures = 0

    def close(self) -> None:
        """Close the file; it is opened again when something is asked."""
        self._drop()

    def _drop(self) -> None:
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

    @property
    def is_lost(self) -> bool:
        """True when somebody deleted the file while it is open."""
        return self._connection is not None and self._identify() != self._file_id

    def check(self) -> None:
        """Notice that somebody deleted the file."""
        if self.is_lost:
            self._drop()

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
            # Statements behind one that answers are carried out when its answer is fetched.
            connection.execute(f"PRAGMA page_size={self.PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL").fetchall()
            connection.execute(f"PRAGMA cache_size=-{self.CACHE_KIB}; PRAGMA temp_store=MEMORY")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, self.VERSION):
                raise apsw.SchemaChangeError(f"version {version}")  # noqa: TRY301  - one way out, and it closes
            connection.execute(f"BEGIN IMMEDIATE; {self.SCHEMA} PRAGMA user_version={self.VERSION}")
            self._prepare(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._path.chmod(0o600)
        self._connection = connection
        self._file_id = self._identify()
        if is_new or version == 0:
            self.generation += 1

    def _prepare(self, connection: Any) -> None:
        """Called within the transaction that opens the file."""

    def _discard(self) -> None:
        self._drop()
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
            self._drop()
        self.failures += 1
        return default

    def _write(self, work: Callable[[Any], None]) -> bool:
        """Do ``work`` in one transaction; return whether it was done."""

        def transaction(connection: Any) -> bool:
            connection.execute("BEGIN IMMEDIATE")
            try:
                work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return True

        return bool(self._guarded(transaction, False))
