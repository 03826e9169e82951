"""Small databases that may be lost: opened, and made anew when they are of another version or cannot be read.

Fails: UnavailableError for what another try would not mend.
Blocks: disk, once.
Sources: sqlite.org/wal.html, sqlite.org/pragma.html (synchronous=OFF: nothing here is waited for).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.model.errors import UnavailableError

if TYPE_CHECKING:
    import apsw

__all__ = ["ExpendableFile"]


class ExpendableFile:
    """Such a database; one thread at a time."""

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._connection: apsw.Connection | None = None

    @contextmanager
    def opened(self) -> "Iterator[apsw.Connection]":
        """Lend the connection, made at first use, for one transaction. Raises UnavailableError."""
        import apsw  # loaded by whoever first needs such a file

        try:
            if self._connection is None:
                self._connection = _open(self._path, self._schema, self._version)
            with self._connection:
                yield self._connection
        except (apsw.Error, OSError) as error:
            self.close()
            raise UnavailableError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Let the file go. Harmless when repeated."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


def _open(path: Path, schema: str, version: int) -> "apsw.Connection":
    """Return a connection to a file that has this schema."""
    import apsw

    for is_last in (False, True):
        connection = apsw.Connection(str(path))
        try:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "off")
            if connection.pragma("user_version") != version:
                for (name,) in list(connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")):
                    connection.execute(f'DROP TABLE "{name}"')
                connection.execute(schema)
                connection.pragma("user_version", version)
        except (apsw.NotADBError, apsw.CorruptError):
            connection.close()
            if is_last:
                raise
            path.unlink()
        else:
            path.chmod(0o600)
            return connection
    raise AssertionError("the loop returns or raises")
