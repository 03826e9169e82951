"""What the daily DMARC reports to other domains are made of, and which reports were sent.

Owns ``<data>/reports.db``: rows of the last days, counted, and a list of what was sent. All of it may be lost:
the file may be deleted while the server is stopped, and one that cannot be used is replaced.

Fails: UnavailableError when the file system refuses.
Does not: keep more than 200,000 rows, 10 days of them, or 100 days of what was sent. What comes above is counted as lost.

Sources: RFC 9990 section 3.1 (what a row is), sqlite.org/wal.html.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.storage.expendable import ExpendableFile

__all__ = ["ReportResults", "ResultKey", "SentReport"]

VERSION: Final = 1
MAX_ROWS: Final = 200_000
MAX_SENT: Final = 10_000
KEEP_DAYS: Final = 10
KEEP_SENT_DAYS: Final = 100

_SCHEMA: Final = """
CREATE TABLE result(
  day INTEGER NOT NULL, domain TEXT NOT NULL, record TEXT NOT NULL, row TEXT NOT NULL, messages INTEGER NOT NULL, PRIMARY KEY(day, domain, record, row)
) STRICT, WITHOUT ROWID;
CREATE TABLE sent(
  kind TEXT NOT NULL, day INTEGER NOT NULL, domain TEXT NOT NULL, at REAL NOT NULL, recipients TEXT NOT NULL, messages INTEGER NOT NULL,
  problem TEXT NOT NULL, PRIMARY KEY(kind, day, domain)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class ResultKey:
    """``day``: days since the epoch, UTC; ``domain``: whose policy; ``record``: its text; ``row``: the findings, one text for equal ones."""

    day: int
    domain: str
    record: str
    row: str


@dataclass(frozen=True, slots=True)
class SentReport:
    """``kind``: dmarc or tls; ``recipients``: with a space between; ``problem``: why nothing was sent, or ``""``."""

    kind: str
    day: int
    domain: str
    at_s: float
    recipients: str
    messages: int
    problem: str = ""


class ReportResults:
    """The file; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._file = ExpendableFile(path, _SCHEMA, VERSION)

    def close(self) -> None:
        """Let the file go. Harmless when repeated."""
        self._file.close()

    def add(self, counted: Mapping[ResultKey, int], now_s: float) -> int:
        """Add counts, forget what is old; return how many messages found no room. Blocks: disk. Raises UnavailableError."""
        lost = 0
        today = int(now_s // 86_400)
        with self._file.opened() as database:
            database.execute("DELETE FROM result WHERE day<?", (today - KEEP_DAYS,))
            database.execute("DELETE FROM sent WHERE day<?", (today - KEEP_SENT_DAYS,))
            [(kept,)] = database.execute("SELECT count(*) FROM result").fetchall()
            assert isinstance(kept, int)
            room = MAX_ROWS - kept
            for key, messages in counted.items():
                values = (key.day, key.domain, key.record, key.row)
                database.execute(
                    "UPDATE result SET messages=messages+? WHERE day=? AND domain=? AND record=? AND row=?", (messages, *values)
                )
                if database.changes():
                    continue
                if room <= 0:
                    lost += messages
                    continue
                room -= 1
                database.execute("INSERT INTO result VALUES(?,?,?,?,?)", (*values, messages))
        return lost

    def domains(self, day: int) -> list[str]:
        """Return the domains with results of a day. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            return [row[0] for row in database.execute("SELECT DISTINCT domain FROM result WHERE day=? ORDER BY domain", (day,))]

    def rows(self, day: int, domain: str, limit: int) -> list[tuple[str, str, int]]:
        """Return record, findings and count, the most frequent first. Blocks: disk. Raises UnavailableError."""
        question = "SELECT record, row, messages FROM result WHERE day=? AND domain=? ORDER BY messages DESC, row LIMIT ?"
        with self._file.opened() as database:
            return [(row[0], row[1], row[2]) for row in database.execute(question, (day, domain, limit))]

    def note_sent(self, report: SentReport) -> None:
        """Remember what became of a report. Blocks: disk. Raises UnavailableError."""
        row = (report.kind, report.day, report.domain, report.at_s, report.recipients, report.messages, report.problem)
        with self._file.opened() as database:
            database.execute("INSERT OR REPLACE INTO sent VALUES(?,?,?,?,?,?,?)", row)

    def is_done(self, kind: str, day: int, domain: str) -> bool:
        """Tell whether a report was dealt with. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            return bool(database.execute("SELECT 1 FROM sent WHERE kind=? AND day=? AND domain=?", (kind, day, domain)).fetchall())

    def sent(self) -> Sequence[SentReport]:
        """Return what was sent, the newest first. Blocks: disk. Raises UnavailableError."""
        with self._file.opened() as database:
            rows = database.execute(
                "SELECT kind, day, domain, at, recipients, messages, problem FROM sent ORDER BY at DESC LIMIT ?", (MAX_SENT,)
            )
            return [SentReport(*row) for row in rows]
