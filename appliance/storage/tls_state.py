"""What the relay remembers of other servers' TLS: policies fetched, the level last reached, results per day.

Owns ``<data>/tls.db``. All of it can be had again: the file may be deleted while
the server is stopped, and one that cannot be used is replaced. Nothing here waits for the disk.

Fails: UnavailableError when the file system refuses; the relay goes on without a memory.
Does not: keep more than 100,000 rows of a kind, or results for more than 15 days.

Sources: RFC 8461 section 3.3 and 10.2 (policies are cached), RFC 8460 section 4 (results of a day per policy), sqlite.org/wal.html.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.storage.expendable import ExpendableFile

__all__ = ["SeenLevel", "StoredPolicy", "TlsResult", "TlsState"]

VERSION: Final = 1
MAX_ROWS: Final = 100_000
KEEP_DAYS: Final = 15

_SCHEMA: Final = """
CREATE TABLE policy(domain TEXT PRIMARY KEY, id TEXT NOT NULL, fetched REAL NOT NULL, expires REAL NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE level(domain TEXT PRIMARY KEY, tls TEXT NOT NULL, authenticated INTEGER NOT NULL, at REAL NOT NULL) STRICT;
CREATE TABLE result(
  day INTEGER NOT NULL, domain TEXT NOT NULL, source TEXT NOT NULL, policy TEXT NOT NULL, host TEXT NOT NULL, address TEXT NOT NULL,
  failure TEXT NOT NULL, sessions INTEGER NOT NULL, PRIMARY KEY(day, domain, source, policy, host, address, failure)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy file as it came. Units: wall clock seconds since the epoch."""

    domain: str
    policy_id: str
    fetched_at_s: float
    expires_at_s: float
    body: bytes


@dataclass(frozen=True, slots=True)
class SeenLevel:
    """How the last session with a domain was protected: ``""`` is not at all."""

    domain: str
    tls: str
    is_authenticated: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class TlsResult:
    """How many sessions of a day went this way. ``day``: days since the epoch, UTC; ``failure``: a result type of RFC 8460 section 4.3, or ``""``."""

    day: int
    domain: str
    source: str
    policy: str
    host: str
    address: str
    failure: str
    sessions: int = 1


class TlsState:
    """The file; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._file = ExpendableFile(path, _SCHEMA, VERSION)

    def close(self) -> None:
        """Let the file go. Harmless when repeated."""
        self._file.close()

    def policies(self) -> list[StoredPolicy]:
        """Return every policy kept. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            rows = database.execute("SELECT domain, id, fetched, expires, body FROM policy ORDER BY expires DESC LIMIT ?", (MAX_ROWS,))
            return [StoredPolicy(*row) for row in rows]

    def keep_policy(self, policy: StoredPolicy) -> None:
        """Keep a policy in place of the domain's former one. Blocks: disk. Raises UnavailableError."""
        row = (policy.domain, policy.policy_id, policy.fetched_at_s, policy.expires_at_s, policy.body)
        with self._file.opened() as database:
            database.execute("INSERT OR REPLACE INTO policy VALUES(?,?,?,?,?)", row)

    def levels(self) -> list[SeenLevel]:
        """Return the level last seen of each domain. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            rows = database.execute("SELECT domain, tls, authenticated, at FROM level ORDER BY at DESC LIMIT ?", (MAX_ROWS,))
            return [SeenLevel(row[0], row[1], bool(row[2]), row[3]) for row in rows]

    def add(self, levels: Sequence[SeenLevel], results: Sequence[TlsResult], now_s: float) -> None:
        """Note what sessions came to, and forget what is old. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            database.executemany(
                "INSERT OR REPLACE INTO level VALUES(?,?,?,?)", [(one.domain, one.tls, one.is_authenticated, one.at_s) for one in levels]
            )
            database.executemany(
                "INSERT INTO result VALUES(?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET sessions=sessions+excluded.sessions",
                [(one.day, one.domain, one.source, one.policy, one.host, one.address, one.failure, one.sessions) for one in results],
            )
            database.execute("DELETE FROM result WHERE day<?", (int(now_s // 86_400) - KEEP_DAYS,))
            database.execute("DELETE FROM policy WHERE expires<?", (now_s,))
            oldest = "DELETE FROM level WHERE domain IN (SELECT domain FROM level ORDER BY at DESC LIMIT -1 OFFSET ?)"
            database.execute(oldest, (MAX_ROWS,))

    def results(self, day: int) -> list[TlsResult]:
        """Return a day's results, by domain, policy and host. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            rows = database.execute(
                "SELECT day, domain, source, policy, host, address, failure, sessions FROM result WHERE day=?"
                " ORDER BY domain, source, host, failure LIMIT ?",
                (day, MAX_ROWS),
            )
            return [TlsResult(*row) for row in rows]
