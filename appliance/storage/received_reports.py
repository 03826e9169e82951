"""The reports of other servers that came by mail, kept as they came, packed.

Owns ``<data>/received.db``. All of it may be lost: the mail that brought it is in a mailbox. The file may be
deleted while the server is stopped, and one that cannot be used is replaced.

Fails: UnavailableError when the file system refuses.
Does not: keep more than 10,000 reports, 64 MiB of them, or those that came more than 400 days ago. Where there are too many, the oldest
of who sent most go first: a stranger's false reports take no other sender's place. The same report twice is one.

Sources: RFC 9990 section 3.5.1, RFC 8460 section 5.3, sqlite.org/wal.html.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from appliance.storage.expendable import ExpendableFile

__all__ = ["ReceivedReports"]

VERSION: Final = 2
MAX_REPORTS: Final = 10_000
MAX_BYTES: Final = 64 * 1_048_576
KEEP_DAYS: Final = 400

_SCHEMA: Final = """
CREATE TABLE report(
  id INTEGER PRIMARY KEY, at REAL NOT NULL, sender TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
"""
_TOO_MUCH: Final = """
DELETE FROM report WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER fair AS place, sum(size) OVER fair AS total FROM (
      SELECT id, size, row_number() OVER (PARTITION BY sender ORDER BY id DESC) AS turn FROM report
    ) WINDOW fair AS (ORDER BY turn, id DESC)
  ) WHERE place>? OR total>?
)
"""


class ReceivedReports:
    """The file; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._file = ExpendableFile(path, _SCHEMA, VERSION)

    def close(self) -> None:
        """Let the file go. Harmless when repeated."""
        self._file.close()

    def add(self, reports: Sequence[bytes], now_s: float, sender: str = "") -> int:
        """Keep reports of a sender, however that is told apart, forget what is old or too much; return how many were new. Blocks: disk. Raises UnavailableError."""
        added = 0
        with self._file.opened() as database:
            for data in reports:
                row = (now_s, sender, hashlib.sha256(data).digest(), len(data), data)
                database.execute("INSERT OR IGNORE INTO report(at, sender, digest, size, data) VALUES(?,?,?,?,?)", row)
                added += database.changes()
            database.execute("DELETE FROM report WHERE at<?", (now_s - KEEP_DAYS * 86_400,))
            database.execute(_TOO_MUCH, (MAX_REPORTS, MAX_BYTES))
        return added

    def all(self) -> Iterator[bytes]:
        """Yield them as they came, the oldest first. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            for (data,) in database.execute("SELECT data FROM report ORDER BY id"):
                yield data
