"""Who has sent mail here before: the memory of greylisting, which survives restarts.

Owns ``<data>/senders.db``: triples that were told to come back, and senders that did. All of it can be
had again, so the file may be deleted, and one that cannot be used is replaced; nothing waits for the disk.

Fails: UnavailableError when the file system refuses; mail is then taken without greylisting.
Blocks:   disk, briefly (a look-up of a few microseconds in the page cache).
Does not: keep more than 200,000 rows of a kind.

Sources: RFC 6647 section 2 (what is remembered, and for how long), sqlite.org/wal.html.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.storage.expendable import ExpendableFile

if TYPE_CHECKING:
    import apsw

__all__ = ["KnownSenders"]

VERSION: Final = 1
MAX_ROWS: Final = 200_000
_SWEEP_EVERY: Final = 1_000
_DAY_S: Final = 86_400.0
_RETRY_WINDOW_S: Final = 2 * _DAY_S
"""How long a triple may take to come back (RFC 6647 section 2.5 suggests a day at least)."""

_SCHEMA: Final = """
CREATE TABLE waiting(key BLOB PRIMARY KEY, first REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE good(key BLOB PRIMARY KEY, last REAL NOT NULL) STRICT, WITHOUT ROWID;
"""


def _key(*words: str) -> bytes:
    return hashlib.blake2b("\0".join(words).lower().encode("utf-8", "surrogateescape"), digest_size=12).digest()


class KnownSenders:
    """The file; one thread at a time. ``remember_days``: how long a good sender is known after its last message."""

    def __init__(self, path: Path, *, remember_days: int) -> None:
        self._file = ExpendableFile(path, _SCHEMA, VERSION)
        self._remember_s = remember_days * _DAY_S
        self._until_sweep = 0

    def close(self) -> None:
        self._file.close()

    def is_known(self, network: str, sender_domain: str, now_s: float) -> bool:
        """Tell whether mail of this domain came from this network before. Raises UnavailableError."""
        with self._file.opened() as connection:
            row = connection.execute("SELECT last FROM good WHERE key=?", (_key(network, sender_domain),)).fetchone()
        return row is not None and now_s - row[0] < self._remember_s

    def learn(self, network: str, sender_domain: str, now_s: float) -> None:
        """Remember a sender whose mail was taken. Raises UnavailableError."""
        with self._file.opened() as connection:
            connection.execute("INSERT OR REPLACE INTO good VALUES(?,?)", (_key(network, sender_domain), now_s))
            self._sweep(connection, now_s)

    def waits_s(self, network: str, sender: str, recipient: str, delay_s: float, now_s: float) -> float:
        """Return how long this triple has still to wait, 0 when it has waited. Raises UnavailableError."""
        key = _key(network, sender, recipient)
        with self._file.opened() as connection:
            row = connection.execute("SELECT first FROM waiting WHERE key=?", (key,)).fetchone()
            if row is None or now_s - row[0] > _RETRY_WINDOW_S:
                connection.execute("INSERT OR REPLACE INTO waiting VALUES(?,?)", (key, now_s))
                self._sweep(connection, now_s)
                return delay_s
        return max(delay_s - (now_s - float(row[0])), 0.0)

    def _sweep(self, connection: "apsw.Connection", now_s: float) -> None:
        """Now and then forget what is too old, and the oldest of too many."""
        self._until_sweep -= 1
        if self._until_sweep > 0:
            return
        self._until_sweep = _SWEEP_EVERY
        connection.execute("DELETE FROM waiting WHERE first<?", (now_s - _RETRY_WINDOW_S,))
        connection.execute("DELETE FROM good WHERE last<?", (now_s - self._remember_s,))
        for table, column in (("waiting", "first"), ("good", "last")):
            connection.execute(
                f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} ORDER BY {column} DESC LIMIT -1 OFFSET ?)",  # noqa: S608 - constants
                (MAX_ROWS,),
            )
