"""What finding needs of one account's messages: keys of header fields, sort keys, threads, and text where it is kept.

One SQLite file per account beside its index, for all its mailboxes. A row's id
is the mailbox's number and the uid side by side, so that a mailbox is one range
of each table. Questions are answered by one statement that gives all its
results as one value: while it runs no other thread waits for the interpreter.

Fails: never. Where the file cannot be written, what is learned lives in memory until the end of the process.
Does not: read messages. Safe from any thread; one at a time.
Sources: measurements section 3 (text search), SQLite's documentation of FTS5 (trigram, contentless-delete).
"""

import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from appliance.message.digest import Digest
from appliance.model.finding import HeaderContains, HeaderText, MeasureWithin, Question, SortCriterion, SortKey, TextContains, ThreadRow
from appliance.storage.derived import DerivedFile

__all__ = ["FEW", "DigestRow", "TextIndex"]

FEW: Final = 500
"""Up to so many messages are asked for one by one; from there on a whole mailbox is scanned."""
_UID_MASK: Final = 0xFFFF_FFFF
_TRIGRAM: Final = 3
DigestRow = tuple[int, int, int, Digest]
"""uid, arrival in seconds since the epoch, size, digest."""

_SORT_COLUMNS: Final = {
    SortKey.ARRIVAL: "arrived",
    SortKey.CC: "cc_key",
    SortKey.DATE: "sent",
    SortKey.DISPLAYFROM: "display_from",
    SortKey.DISPLAYTO: "display_to",
    SortKey.FROM: "from_key",
    SortKey.SIZE: "size",
    SortKey.SUBJECT: "base",
    SortKey.TO: "to_key",
}


class TextIndex(DerivedFile):
    """One account's file. ``trigrams``: keep an index of letter triples beside the texts, for fewer texts to look through."""

    VERSION: ClassVar = 1
    PAGE_BYTES: ClassVar = 8_192
    CACHE_KIB: ClassVar = 2_048
    SCHEMA: ClassVar = """
CREATE TABLE IF NOT EXISTS mailbox (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uid_validity INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS header (
    id INTEGER PRIMARY KEY, is_whole INTEGER NOT NULL, subject BLOB, "from" BLOB, "to" BLOB, cc BLOB, bcc BLOB);
CREATE TABLE IF NOT EXISTS rank (
    id INTEGER PRIMARY KEY, arrived INTEGER NOT NULL, size INTEGER NOT NULL, sent INTEGER NOT NULL, sent_day INTEGER,
    is_reply INTEGER NOT NULL, base BLOB NOT NULL, from_key BLOB NOT NULL, to_key BLOB NOT NULL, cc_key BLOB NOT NULL,
    display_from BLOB NOT NULL, display_to BLOB NOT NULL, message_id INTEGER NOT NULL, parents BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS text (id INTEGER PRIMARY KEY, is_whole INTEGER NOT NULL, head BLOB, body BLOB);
CREATE VIRTUAL TABLE IF NOT EXISTS triples USING fts5(
    words, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1');
"""

    def __init__(self, path: Path, *, trigrams: bool = False) -> None:
        super().__init__(path)
        self._trigrams = trigrams
        self._lock = threading.Lock()
        self._spare: Any = None

    def _open(self) -> Any:
        return super()._open() if self._spare is None else self._spare

    def close(self) -> None:
        with self._lock:
            super().close()
            if self._spare is not None:
                self._spare.close()
                self._spare = None
                self.generation += 1

    def _store(self, work: Callable[[Any], None]) -> None:
        """Write; into memory from now on when the file does not take it."""
        if self._write(work):
            return
        import apsw  # as in ``DerivedFile``

        spare = apsw.Connection(":memory:")
        spare.execute(self.SCHEMA)
        self._spare = spare
        self.generation += 1

    # Mailboxes

    def mailbox_id(self, name: str, uid_validity: int) -> int:
        """Return the number of a mailbox; what was known of one of that name with other uids is forgotten. 0: nothing can be kept."""
        with self._lock:
            self.check()
            query = "SELECT id FROM mailbox WHERE name=? AND uid_validity=?"
            find: Callable[[Any], Any] = lambda connection: connection.execute(query, (name, uid_validity)).fetchone()  # noqa: E731
            row = self._guarded(find, None)
            if row is None:
                self._store(lambda connection: _add_mailbox(connection, name, uid_validity))
                row = self._guarded(find, None)
            return 0 if row is None else int(row[0])

    def mailbox_names(self) -> list[str]:
        with self._lock:
            if self.is_missing:
                return []
            query = "SELECT name FROM mailbox"
            names: list[str] = self._guarded(lambda connection: [row[0] for row in connection.execute(query)], [])
            return names

    def remove_mailbox(self, name: str) -> None:
        with self._lock:
            if not self.is_missing:
                self._write(lambda connection: _forget_mailbox(connection, name))

    def rename_mailbox(self, old: str, new: str) -> None:
        def work(connection: Any) -> None:
            _forget_mailbox(connection, new)
            connection.execute("UPDATE mailbox SET name=? WHERE name=?", (new, old))

        with self._lock:
            if not self.is_missing:
                self._write(work)

    # What is known

    def known(self, mailbox: int, *, texts: bool = False) -> "array[int]":
        """Return the uids whose header (or text) is known, ascending."""
        table = "text" if texts else "header"
        return self._uids(f"SELECT group_concat(id & {_UID_MASK}, ',' ORDER BY id) FROM {table} WHERE id BETWEEN ? AND ?", _range(mailbox))  # noqa: S608

    def forget(self, mailbox: int, uids: Iterable[int]) -> None:
        """Remove what is known of expunged messages."""
        ids = [(mailbox << 32 | uid,) for uid in uids]
        if ids:
            with self._lock:
                self._write(lambda connection: _forget_rows(connection, ids))

    def add(self, mailbox: int, rows: Sequence[DigestRow]) -> None:
        """Remember digests."""
        headers = [(mailbox << 32 | uid, digest.is_whole, *digest.texts) for uid, _, _, digest in rows]
        ranks = [
            (
                mailbox << 32 | uid, arrived_s, size, arrived_s if digest.sent_s is None else digest.sent_s, digest.sent_day, digest.is_reply,
                digest.base, digest.from_key, digest.to_key, digest.cc_key, digest.display_from, digest.display_to,
                digest.message_id, digest.parents,
            )
            for uid, arrived_s, size, digest in rows
        ]  # fmt: skip

        def work(connection: Any) -> None:
            connection.executemany("INSERT OR REPLACE INTO header VALUES (?, ?, ?, ?, ?, ?, ?)", headers)
            connection.executemany("INSERT OR REPLACE INTO rank VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", ranks)

        with self._lock:
            self._store(work)

    def add_texts(self, mailbox: int, rows: Sequence[tuple[int, bytes | None, bytes]]) -> None:
        """Remember uid, header text and body text; a header text of None says that the text is too long to be kept."""
        texts = [(mailbox << 32 | uid, head is not None, head, None if head is None else body) for uid, head, body in rows]
        triples = [
            (mailbox << 32 | uid, (head + b"\0" + body).decode("utf-8", "replace"))
            for uid, head, body in rows
            if head is not None and self._trigrams
        ]

        def work(connection: Any) -> None:
            connection.executemany("INSERT OR REPLACE INTO text VALUES (?, ?, ?, ?)", texts)
            connection.executemany("INSERT OR REPLACE INTO triples (rowid, words) VALUES (?, ?)", triples)

        with self._lock:
            self._write(work)

    @property
    def size_bytes(self) -> int:
        """Return what the file takes on disk."""
        paths = [self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal")]
        return sum(path.stat().st_size for path in paths if path.exists())

    # Questions

    def ask(self, mailbox: int, question: Question, uids: Sequence[int]) -> "array[int]":
        """Return the uids that match, ascending: of these when they are few, else of the whole mailbox."""
        table, condition, values = self._condition(question)
        where, limits = _where(mailbox, uids)
        query = f"SELECT group_concat(id & {_UID_MASK}, ',' ORDER BY id) FROM {table} WHERE {where} AND {condition}"  # noqa: S608
        return self._uids(query, (*limits, *values))

    def _condition(self, question: Question) -> tuple[str, str, tuple[bytes | int | str, ...]]:
        match question:
            case HeaderContains(field, key):
                return "header", f'instr("{field.value}", ?)', (key,)
            case MeasureWithin(measure, least, most):
                return "rank", f"{measure.value} BETWEEN ? AND ?", (least, most)
            case TextContains(key, with_header):
                condition, values = ("(instr(body, ?) OR instr(head, ?))", (key, key)) if with_header else ("instr(body, ?)", (key,))
                return "text", condition + self._candidates(key), values

    def _candidates(self, key: bytes) -> str:
        """Return the condition that a text holds all triples of ``key``, in whatever order; only those that do are looked through."""
        word = key.decode("utf-8", "replace")
        if not self._trigrams or len(word) < _TRIGRAM or "\0" in word or "\ufffd" in word:
            return ""
        triples = {word[at : at + _TRIGRAM] for at in range(min(len(word), 64) - _TRIGRAM + 1)}
        phrase = " AND ".join('"' + triple.replace('"', '""') + '"' for triple in sorted(triples))
        wanted = phrase.replace("'", "''")
        return f" AND id IN (SELECT rowid FROM triples WHERE triples MATCH '{wanted}')"  # noqa: S608

    def partial_headers(self, mailbox: int) -> "array[int]":
        """Return the uids whose header texts are too long to be kept."""
        query = f"SELECT group_concat(id & {_UID_MASK}, ',' ORDER BY id) FROM header WHERE id BETWEEN ? AND ? AND NOT is_whole"  # noqa: S608
        return self._uids(query, _range(mailbox))

    def partial_texts(self, mailbox: int) -> "array[int]":
        """Return the uids whose text is too long to be kept."""
        query = f"SELECT group_concat(id & {_UID_MASK}, ',' ORDER BY id) FROM text WHERE id BETWEEN ? AND ? AND NOT is_whole"  # noqa: S608
        return self._uids(query, _range(mailbox))

    def sort(self, mailbox: int, criteria: Sequence[SortCriterion], scores: Mapping[int, int], uids: Sequence[int]) -> "array[int]":
        """Return uids in order: these when they are few, else all (RFC 5256 section 3: what is equal stays in the order of the mailbox)."""
        terms = [
            ("coalesce(score, 0)" if criterion.key is SortKey.RELEVANCY else _SORT_COLUMNS[criterion.key])
            # The best comes first where nothing else is asked (RFC 6203 section 6).
            + (" DESC" if criterion.reverse != (criterion.key is SortKey.RELEVANCY) else "")
            for criterion in criteria
        ]
        source = "rank"
        if scores:
            source = "rank LEFT JOIN temp.scores USING (id)"
            self._load_scores(mailbox, scores)
        else:
            terms = [term for term in terms if not term.startswith("coalesce")]
        where, limits = _where(mailbox, uids)
        order = ", ".join([*terms, "id"])
        query = f"SELECT group_concat(id & {_UID_MASK}, ',' ORDER BY {order}) FROM {source} WHERE {where}"  # noqa: S608
        return self._uids(query, limits)

    def _load_scores(self, mailbox: int, scores: Mapping[int, int]) -> None:
        rows = [(mailbox << 32 | uid, score) for uid, score in scores.items()]

        def work(connection: Any) -> None:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS scores (id INTEGER PRIMARY KEY, score INTEGER); DELETE FROM scores")
            connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)

        with self._lock:
            self._write(work)

    def thread_rows(self, mailbox: int, uids: Sequence[int]) -> list[ThreadRow]:
        columns = f"id & {_UID_MASK}, sent, arrived, base, is_reply, message_id, parents"
        rows = self._rows(mailbox, uids, columns, "rank")
        return [
            ThreadRow(uid, sent_s, arrived_s, base, bool(is_reply), message_id, array("q", parents))
            for uid, sent_s, arrived_s, base, is_reply, message_id, parents in rows
        ]

    def header_texts(self, mailbox: int, field: HeaderText, uids: Sequence[int]) -> dict[int, bytes]:
        rows = self._rows(mailbox, uids, f'id & {_UID_MASK}, "{field.value}"', "header")
        return {uid: text for uid, text in rows if text is not None}

    def body_texts(self, mailbox: int, uids: Sequence[int]) -> dict[int, bytes]:
        rows = self._rows(mailbox, uids, f"id & {_UID_MASK}, head, body", "text")
        return {uid: head + b"\0" + body for uid, head, body in rows if head is not None}

    def _rows(self, mailbox: int, uids: Sequence[int], columns: str, table: str) -> list[Any]:
        """Return rows of these uids, ascending."""
        if not uids:
            return []
        wanted = set(uids)
        query = f"SELECT {columns} FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id"  # noqa: S608
        limits = (mailbox << 32 | min(wanted), mailbox << 32 | max(wanted))
        if max(wanted) - min(wanted) >= 4 * len(wanted):
            where, limits = _where(mailbox, sorted(wanted), few=len(wanted))  # type: ignore[assignment]
            query = f"SELECT {columns} FROM {table} WHERE {where} ORDER BY id"  # noqa: S608
        with self._lock:
            rows: list[Any] = self._guarded(lambda connection: connection.execute(query, limits).fetchall(), [])
        return [row for row in rows if row[0] in wanted]

    def _uids(self, query: str, values: Sequence[bytes | int | str]) -> "array[int]":
        with self._lock:
            found = self._guarded(lambda connection: connection.execute(query, values).fetchone()[0], None)
        return array("I", map(int, found.split(","))) if found else array("I")


def _range(mailbox: int) -> tuple[int, int]:
    return mailbox << 32, mailbox << 32 | _UID_MASK


def _where(mailbox: int, uids: Sequence[int], *, few: int = FEW) -> tuple[str, tuple[int, ...]]:
    if len(uids) > few:
        return "id BETWEEN ? AND ?", _range(mailbox)
    return f"id IN ({','.join('?' * len(uids))})", tuple(mailbox << 32 | uid for uid in uids)


def _forget_rows(connection: Any, ids: Sequence[tuple[int]]) -> None:
    for table in ("header", "rank", "text"):
        connection.executemany(f"DELETE FROM {table} WHERE id=?", ids)  # noqa: S608
    connection.executemany("DELETE FROM triples WHERE rowid=?", ids)


def _forget_mailbox(connection: Any, name: str) -> None:
    row = connection.execute("SELECT id FROM mailbox WHERE name=?", (name,)).fetchone()
    if row is None:
        return
    limits = _range(row[0])
    for table in ("header", "rank", "text"):
        connection.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", limits)  # noqa: S608
    connection.execute("DELETE FROM triples WHERE rowid BETWEEN ? AND ?", limits)
    connection.execute("DELETE FROM mailbox WHERE id=?", row)


def _add_mailbox(connection: Any, name: str, uid_validity: int) -> None:
    _forget_mailbox(connection, name)
    connection.execute("INSERT INTO mailbox (name, uid_validity) VALUES (?, ?)", (name, uid_validity))
