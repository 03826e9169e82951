"""How much each account has sent today, and to whom it ever did: the memory of the daily limits, which survives restarts.

Owns ``<data>/sent.db``. It may be deleted: everybody then begins anew, and all recipients are new once.

Fails: UnavailableError when the file system refuses; mail then goes without a limit.
Blocks:   disk, briefly (a few look-ups in the page cache; nothing is flushed).
Does not: keep recipients that were not written to for a year, or more than 500,000.

Sources: sqlite.org/wal.html, sqlite.org/lang_upsert.html.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from appliance.storage.expendable import ExpendableFile

if TYPE_CHECKING:
    import apsw

__all__ = ["SentCounts", "SentToday"]

VERSION: Final = 1
MAX_ROWS: Final = 500_000
_DAY_S: Final = 86_400
_REMEMBERED_DAYS: Final = 365
_SWEEP_EVERY: Final = 1_000

_SCHEMA: Final = """
CREATE TABLE today(account TEXT PRIMARY KEY, day INTEGER NOT NULL, messages INTEGER NOT NULL, fresh INTEGER NOT NULL, told INTEGER NOT NULL) STRICT;
CREATE TABLE known(key BLOB PRIMARY KEY, day INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


class SentToday(NamedTuple):
    """What an account has come to with the message at hand; ``fresh``: recipients it never wrote to before."""

    messages: int
    fresh: int


def _key(account: str, address: str) -> bytes:
    return hashlib.blake2b(f"{account}\0{address}".lower().encode("utf-8", "surrogateescape"), digest_size=12).digest()


class SentCounts:
    """The file; one thread at a time. A day is one of UTC."""

    def __init__(self, path: Path) -> None:
        self._file = ExpendableFile(path, _SCHEMA, VERSION)
        self._until_sweep = 0

    def close(self) -> None:
        self._file.close()

    def with_message(self, account: str, recipients: Iterable[str], now_s: float) -> SentToday:
        """Return what the account would come to with a message; nothing is kept. Raises UnavailableError."""
        day = int(now_s) // _DAY_S
        with self._file.opened() as connection:
            row = connection.execute("SELECT messages, fresh FROM today WHERE account=? AND day=?", (account, day)).fetchone()
            messages, fresh = row or (0, 0)
            return SentToday(messages + 1, fresh + len(self._fresh(connection, account, recipients)))

    def note(self, account: str, recipients: Iterable[str], now_s: float) -> None:
        """Count a message that goes out, and know its recipients. Raises UnavailableError."""
        day = int(now_s) // _DAY_S
        addresses = set(recipients)
        with self._file.opened() as connection:
            fresh = len(self._fresh(connection, account, addresses))
            connection.execute(
                "INSERT INTO today VALUES(?1,?2,1,?3,0) ON CONFLICT(account) DO UPDATE SET"
                " messages=iif(day=?2,messages,0)+1, fresh=iif(day=?2,fresh,0)+?3, day=?2",
                (account, day, fresh),
            )
            connection.executemany("INSERT OR REPLACE INTO known VALUES(?,?)", [(_key(account, one), day) for one in addresses])
            self._sweep(connection, day)

    def tell_once(self, account: str, now_s: float) -> bool:
        """Return True the first time in a day that an account has to be told. Raises UnavailableError."""
        day = int(now_s) // _DAY_S
        with self._file.opened() as connection:
            row = connection.execute("SELECT told FROM today WHERE account=?", (account,)).fetchone()
            connection.execute("INSERT INTO today VALUES(?1,?2,0,0,?2) ON CONFLICT(account) DO UPDATE SET told=?2", (account, day))
        return row is None or row[0] != day

    def _fresh(self, connection: "apsw.Connection", account: str, recipients: Iterable[str]) -> set[bytes]:
        keys = {_key(account, one) for one in recipients}
        return {key for key in keys if connection.execute("SELECT 1 FROM known WHERE key=?", (key,)).fetchone() is None}

    def _sweep(self, connection: "apsw.Connection", day: int) -> None:
        """Now and then forget what is too old, and the oldest of too many."""
        self._until_sweep -= 1
        if self._until_sweep > 0:
            return
        self._until_sweep = _SWEEP_EVERY
        connection.execute("DELETE FROM known WHERE day<?", (day - _REMEMBERED_DAYS,))
        connection.execute("DELETE FROM known WHERE key IN (SELECT key FROM known ORDER BY day DESC LIMIT -1 OFFSET ?)", (MAX_ROWS,))
