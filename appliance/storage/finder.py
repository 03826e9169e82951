"""Finding in one mailbox: what its account's text index knows, and learning what it does not.

Owns which messages are known, in memory, so that a question about a mailbox
that is known whole costs nothing beside its answer; and the reading of messages
for the index. What is known of messages that are gone is removed here.

Fails: as opening a message does; messages that are gone are passed over.
Source: model.finding.
"""

import contextlib
import threading
from array import array
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final, Protocol

from appliance.message.collation import casemap
from appliance.message.decode import header_text, searchable_text
from appliance.message.digest import digest_header
from appliance.message.header import read_header
from appliance.message.mime import scan_stream
from appliance.model.errors import ExpungedError
from appliance.model.finding import Answer, HeaderContains, HeaderText, Question, SortCriterion, TextContains, ThreadRow
from appliance.model.ids import MailboxName, Uid
from appliance.model.mailbox import Snapshot
from appliance.storage.text_index import DigestRow, TextIndex

__all__ = ["MAX_KEPT_TEXT", "MailboxFinder", "Readable"]

MAX_KEPT_TEXT: Final = 1_048_576
"""Text of one message that is kept; what is longer is searched in its file."""


class Readable(Protocol):
    """What a finder needs of its mailbox; see ``model.ports.Mailbox``."""

    name: MailboxName

    def snapshot(self) -> Snapshot: ...

    def arrivals(self, uids: Sequence[Uid]) -> Sequence[tuple[Uid, int, int]]:
        """Return uid, internal date and size, 0 where it is not known, of the messages that are there."""

    def open_message(self, uid: Uid) -> BinaryIO: ...


class _Known:
    """Uids of which something is known, and those among them of which it is not all."""

    def __init__(self, uids: "array[int]", partial: "array[int]") -> None:
        self.uids = uids
        self.partial = frozenset(partial)
        self._set: frozenset[int] | None = None

    def unknown(self, uids: Sequence[int]) -> Sequence[int]:
        """Return those of ``uids`` that must be looked at one by one."""
        if uids == self.uids and not self.partial:  # the whole mailbox: a memory compare
            return ()
        if self._set is None:
            self._set = frozenset(self.uids) - self.partial
        return [uid for uid in uids if uid not in self._set]

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        """Return those of ``uids`` of which nothing is known."""
        if uids == self.uids:
            return ()
        some = frozenset(self.uids)
        return [uid for uid in uids if uid not in some]


class MailboxFinder:
    """See ``model.finding.Finder``."""

    def __init__(self, index: TextIndex, mailbox: Readable) -> None:
        self._index = index
        self._mailbox = mailbox
        self._lock = threading.Lock()
        self._row = 0
        self._key: tuple[int, str, int] = (-1, "", 0)
        self._headers: _Known | None = None
        self._texts: _Known | None = None

    # What is known

    def _row_id(self) -> int:
        """Return the mailbox's number in the index; forget what was known by another."""
        mailbox = self._mailbox
        name, uid_validity = mailbox.name, mailbox.snapshot().uid_validity
        row = self._index.mailbox_id(name, uid_validity)
        key = (self._index.generation, name, row)
        if key != self._key:
            self._key = key
            self._headers = self._texts = None
        return row

    def _known_headers(self, row: int) -> _Known:
        known = self._headers
        if known is None:
            uids = self._index.known(row)
            gone = self._gone(row, uids)
            known = self._headers = _Known(
                array("I", [uid for uid in uids if uid not in gone]) if gone else uids, self._index.partial_headers(row)
            )
        return known

    def _known_texts(self, row: int) -> _Known:
        known = self._texts
        if known is None:
            known = self._texts = _Known(self._index.known(row, texts=True), self._index.partial_texts(row))
        return known

    def _gone(self, row: int, uids: "array[int]") -> frozenset[int]:
        """Forget the messages that are not in the mailbox any more; return their uids."""
        living = self._mailbox.snapshot().uids
        if uids == living:
            return frozenset()
        gone = frozenset(uids).difference(living)
        self._index.forget(row, gone)
        return gone

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        with self._lock:
            row = self._row_id()
            known = self._known_headers(row)
            living = self._mailbox.snapshot().uids
            if known.uids != living and frozenset(known.uids).difference(living):
                self._headers = self._texts = None
                known = self._known_headers(row)
            return known.missing(array("I", uids))

    def missing_texts(self, uids: Sequence[int]) -> Sequence[int]:
        """Return those of ``uids`` whose text is not kept yet."""
        with self._lock:
            return self._known_texts(self._row_id()).missing(array("I", uids))

    def kept_bytes(self) -> int:
        return self._index.size_bytes

    # Learning

    def learn(self, uids: Sequence[int]) -> None:
        rows: list[DigestRow] = []
        for uid, internal_date_s, size in self._mailbox.arrivals([Uid(uid) for uid in uids]):
            with contextlib.suppress(ExpungedError), self._mailbox.open_message(uid) as stream:
                digest = digest_header(read_header(stream))
                rows.append((uid, internal_date_s, size or stream.seek(0, 2), digest))
        with self._lock:
            row = self._row_id()
            if rows and row:
                self._index.add(row, rows)
                self._headers = _with(self._headers, [uid for uid, *_ in rows], [uid for uid, _, _, digest in rows if not digest.is_whole])

    def learn_texts(self, uids: Sequence[int]) -> None:
        """Read these messages and keep their text. Up to a millisecond each, much more for large ones."""
        rows: list[tuple[int, bytes | None, bytes]] = []
        for uid in uids:
            with contextlib.suppress(ExpungedError), self._mailbox.open_message(Uid(uid)) as stream:
                head = casemap(header_text(read_header(stream)))
                stream.seek(0)
                body = casemap(searchable_text(stream, scan_stream(stream), MAX_KEPT_TEXT + 1))
                is_short = len(head) + len(body) <= MAX_KEPT_TEXT
                rows.append((uid, head, body) if is_short else (uid, None, b""))
        with self._lock:
            row = self._row_id()
            if rows and row:
                self._index.add_texts(row, rows)
                self._texts = _with(self._texts, [uid for uid, *_ in rows], [uid for uid, head, _ in rows if head is None])

    # Answers

    def ask(self, question: Question, uids: Sequence[int]) -> Answer:
        with self._lock:
            row = self._row_id()
            if isinstance(question, TextContains):
                unknown = self._known_texts(row).unknown(array("I", uids))
            elif isinstance(question, HeaderContains):
                unknown = self._known_headers(row).unknown(array("I", uids))
            else:
                unknown = self._known_headers(row).missing(array("I", uids))
        if len(unknown) == len(uids):
            return Answer(array("I"), unknown)
        return Answer(self._index.ask(row, question, uids), unknown)

    def sort(self, criteria: Sequence[SortCriterion], scores: Mapping[int, int], uids: Sequence[int]) -> "array[int]":
        with self._lock:
            row = self._row_id()
        return self._index.sort(row, criteria, scores, uids)

    def thread_rows(self, uids: Sequence[int]) -> list[ThreadRow]:
        with self._lock:
            row = self._row_id()
        return self._index.thread_rows(row, uids)

    def header_texts(self, field: HeaderText, uids: Sequence[int]) -> dict[int, bytes]:
        with self._lock:
            row = self._row_id()
        return self._index.header_texts(row, field, uids)

    def body_texts(self, uids: Sequence[int]) -> dict[int, bytes]:
        with self._lock:
            row = self._row_id()
        return self._index.body_texts(row, uids)


def _with(known: _Known | None, uids: Sequence[int], partial: Sequence[int]) -> _Known | None:
    """Return what is known with these added; what was not loaded stays so."""
    if known is None:
        return None
    joined = array("I", known.uids)
    if uids and (not joined or uids[0] > joined[-1]):
        joined.extend(uids)
    else:
        joined = array("I", sorted({*joined, *uids}))
    return _Known(joined, array("I", {*known.partial, *partial}))
