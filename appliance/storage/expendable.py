"""Small databases that may be lost: opened, and made anew when they are of another version or cannot be read.

Fails: ``apsw.Error`` and ``OSError`` for what another try would not mend; whoever owns the file translates.
Blocks: disk, once.
Sources: sqlite.org/wal.html, sqlite.org/pragma.html (synchronous=OFF: nothing here is waited for).
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apsw

__all__ = ["open_expendable"]


def open_expendable(path: Path, schema: str, version: int) -> "apsw.Connection":
    """Return a connection to a file that has this schema."""
    import apsw  # loaded by whoever first needs such a file

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
