"""What makes a message match a SEARCH key: predicates over one candidate, cheapest first.

Owns the cost of each key, its compilation into a function, and what of a message
must be loaded for it. Candidates that need a file are examined in a worker
thread; text is compared without regard to case, decoded from transfer encoding
and charset.

Does not: sort, answer, or wait.
Sources:  RFC 3501 section 6.4.4, RFC 5032 (OLDER, YOUNGER).
"""

import datetime
import enum
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, assert_never

from appliance.message.date import parse_date
from appliance.message.decode import header_text, searchable_text
from appliance.message.header import body_offset, iterate_fields
from appliance.message.mime import scan_stream
from appliance.message.text import decode_header
from appliance.model.errors import ExpungedError
from appliance.model.ids import Uid
from appliance.model.mailbox import KEYWORD_SHIFT, Summary
from appliance.model.ports import Mailbox
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.responses import RECENT
from appliance.protocols.imap.search_keys import (
    AllKey,
    AndKey,
    Comparison,
    DateKey,
    DateKind,
    FlagKey,
    HeaderKey,
    KeywordKey,
    ModSeqKey,
    NotKey,
    OrKey,
    RecentKey,
    SearchKey,
    SequenceKey,
    SizeKey,
    TextKey,
    UidKey,
    WithinKey,
)
from appliance.protocols.imap.sequence import SequenceSet
from appliance.services.imap.view import MailboxView

__all__ = ["Candidate", "Compiler", "Cost", "Predicate", "cost", "flag_test", "match_candidates"]

MAX_HEADER_BYTES = 262_144
MAX_TEXT_BYTES = 4_194_304
"""Of the text of one message that is searched."""
_DAY_S = 86_400
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class Cost(enum.IntEnum):
    """What a key needs: our arrays, the store's summaries, a header section, the whole message."""

    ARRAYS = 0
    SUMMARY = 1
    HEADER = 2
    MESSAGE = 3


def cost(key: SearchKey) -> Cost:
    """Return what ``key`` needs at most."""
    match key:
        case AllKey() | RecentKey() | FlagKey() | KeywordKey() | SequenceKey() | UidKey() | ModSeqKey():
            return Cost.ARRAYS
        case DateKey() | WithinKey() | SizeKey():
            return Cost.SUMMARY
        case HeaderKey():
            return Cost.HEADER
        case TextKey():
            return Cost.MESSAGE
        case NotKey(inner):
            return cost(inner)
        case OrKey(first, second):
            return max(cost(first), cost(second))
        case AndKey(keys):
            return max(map(cost, keys))
        case _:
            assert_never(key)


class Candidate:
    """One message under examination; its file is opened when first needed and closed by ``close``."""

    __slots__ = ("_fields", "_header", "_header_text", "_mailbox", "_stream", "_text", "flags", "position", "summary", "uid")

    def __init__(self, position: int, uid: int, flags: int, mailbox: Mailbox) -> None:
        self.position = position
        self.uid = uid
        self.flags = flags
        self.summary: Summary | None = None
        self._mailbox = mailbox
        self._stream: BinaryIO | None = None
        self._header: bytes | None = None
        self._fields: list[tuple[str, str]] | None = None
        self._header_text: str | None = None
        self._text: str | None = None

    def known_summary(self) -> Summary:
        assert self.summary is not None
        return self.summary

    def _open(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self._mailbox.open_message(Uid(self.uid))
        return self._stream

    @property
    def header(self) -> bytes:
        if self._header is None:
            stream = self._open()
            stream.seek(0)
            data = stream.read(16_384)
            if body_offset(data) < 0 and len(data) == 16_384:
                data += stream.read(MAX_HEADER_BYTES - len(data))
            end = body_offset(data)
            self._header = data if end < 0 else data[:end]
        return self._header

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names in lower case, values decoded and folded in case."""
        if self._fields is None:
            self._fields = [
                (field.name.decode("ascii", "replace").lower(), decode_header(field.value).casefold())
                for field in iterate_fields(self.header)
                if field.name
            ]
        return self._fields

    @property
    def header_text(self) -> str:
        """The header section unfolded, decoded, folded in case."""
        if self._header_text is None:
            self._header_text = header_text(self.header).casefold()
        return self._header_text

    @property
    def text(self) -> str:
        """The text of all parts, folded in case."""
        if self._text is None:
            stream = self._open()
            stream.seek(0)
            self._text = searchable_text(stream, scan_stream(stream), MAX_TEXT_BYTES).casefold()
        return self._text

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


Predicate = Callable[[Candidate], bool]


def match_candidates(mailbox: Mailbox, candidates: Sequence[Candidate], tests: Sequence[Predicate], *, summaries: bool) -> list[int]:
    """Return the positions of those that pass all tests; messages that are gone pass none. Blocks: disk."""
    known = {}
    if summaries:
        known = {summary.uid: summary for summary in mailbox.summaries([Uid(candidate.uid) for candidate in candidates])}
    matched: list[int] = []
    for candidate in candidates:
        if summaries:
            candidate.summary = known.get(Uid(candidate.uid))
            if candidate.summary is None:
                continue
        with suppress(ExpungedError):
            try:
                if all(test(candidate) for test in tests):
                    matched.append(candidate.position)
            finally:
                candidate.close()
    return matched


def flag_test(key: SearchKey, view: MailboxView) -> tuple[int, int] | None:
    """Return mask and wanted bits if ``key`` is a question of one flag, else None. A keyword that nobody has wants what no mask gives."""
    match key:
        case FlagKey(flag):
            return int(flag), int(flag)
        case RecentKey():
            return RECENT, RECENT
        case KeywordKey(keyword):
            bit = _keyword_bit(keyword, view)
            return bit, bit or 1
        case NotKey(inner):
            test = flag_test(inner, view)
            if test is None or isinstance(inner, NotKey):
                return None
            mask, _ = test
            return mask, 0
        case _:
            return None


def _keyword_bit(keyword: str, view: MailboxView) -> int:
    wanted = keyword.lower()
    return next((1 << (KEYWORD_SHIFT + number) for number, name in enumerate(view.keywords) if name.lower() == wanted), 0)


class Compiler:
    """Turns keys into predicates for one mailbox at one moment."""

    def __init__(self, view: MailboxView, now_s: float) -> None:
        self._view = view
        self._now_s = now_s

    def compile(self, key: SearchKey) -> Predicate:  # noqa: C901, PLR0912 - one line per key, no branch within
        view = self._view
        match key:
            case AllKey():
                return lambda candidate: True
            case RecentKey() | FlagKey() | KeywordKey():
                test = flag_test(key, view)
                assert test is not None
                mask, wanted = test
                return lambda candidate: candidate.flags & mask == wanted
            case SequenceKey(messages):
                return self._in_spans(messages, len(view), lambda candidate: candidate.position + 1)
            case UidKey(uids):
                return self._in_spans(uids, view.uids[-1] if view.uids else 0, lambda candidate: candidate.uid)
            case ModSeqKey(modseq):
                return lambda candidate: view.modseqs_at([candidate.position])[0] >= modseq
            case DateKey(kind, comparison, date):
                return _on_date(kind, comparison, date)
            case WithinKey(seconds, younger):
                return self._within(seconds, younger=younger)
            case SizeKey(size_bytes, larger):
                if larger:
                    return lambda candidate: candidate.known_summary().size_bytes > size_bytes
                return lambda candidate: candidate.known_summary().size_bytes < size_bytes
            case HeaderKey(name, text):
                folded = text.casefold()
                return lambda candidate: any(field == name and folded in value for field, value in candidate.fields)
            case TextKey(text, with_header):
                return _in_text(text.casefold(), with_header=with_header)
            case NotKey(inner):
                inverse = self.compile(inner)
                return lambda candidate: not inverse(candidate)
            case OrKey(first, second):
                one, other = sorted((first, second), key=cost)
                left, right = self.compile(one), self.compile(other)
                return lambda candidate: left(candidate) or right(candidate)
            case AndKey(keys):
                tests = [self.compile(inner) for inner in sorted(keys, key=cost)]
                return lambda candidate: all(test(candidate) for test in tests)
            case _:
                assert_never(key)

    def _in_spans(self, numbers: SequenceSet, largest: int, number_of: Callable[[Candidate], int]) -> Predicate:
        spans = numbers.resolve(largest)
        starts = [low for low, _ in spans]

        def test(candidate: Candidate) -> bool:
            number = number_of(candidate)
            at = bisect_right(starts, number) - 1
            return at >= 0 and number <= spans[at][1]

        return test

    def _within(self, seconds: int, *, younger: bool) -> Predicate:
        edge_s = self._now_s - seconds
        if younger:
            return lambda candidate: candidate.known_summary().internal_date_s >= edge_s
        return lambda candidate: candidate.known_summary().internal_date_s <= edge_s


def _on_date(kind: DateKind, comparison: Comparison, date: datetime.date) -> Predicate:
    wanted = date.toordinal()
    day_of: Callable[[Candidate], int | None] = _internal_day if kind is DateKind.INTERNAL else _sent_day

    def test(candidate: Candidate) -> bool:
        day = day_of(candidate)
        if day is None:
            return False
        if comparison is Comparison.ON:
            return day == wanted
        return day < wanted if comparison is Comparison.BEFORE else day >= wanted

    return test


def _internal_day(candidate: Candidate) -> int:
    return candidate.known_summary().internal_date_s // _DAY_S + _EPOCH


def _sent_day(candidate: Candidate) -> int | None:
    """Return the day of the Date field, in the sender's zone; the ENVELOPE begins with it."""
    try:
        value = Reader(candidate.known_summary().envelope, 1).read_nstring()
    except ParseError:
        return None
    sent = parse_date(value) if value is not None else None
    return None if sent is None else sent.date().toordinal()


def _in_text(text: str, *, with_header: bool) -> Predicate:
    def test(candidate: Candidate) -> bool:
        return (with_header and text in candidate.header_text) or text in candidate.text

    return test
