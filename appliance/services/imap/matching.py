"""Which messages of a mailbox match a search key.

Owns the evaluation of the tree of keys. It is done on ascending positions: AND
narrows them key by key, the cheap ones first; OR asks the second key only of
those that the first left; NOT takes away. Flags and numbers are asked of the
view's arrays, everything else of the mailbox's finder; what that does not know
is learned, and what it cannot keep is looked for in the messages themselves.
Between two steps other sessions have their turn, and the search can be cancelled.

Does not: sort or answer.
Sources:  RFC 3501 section 6.4.4, RFC 5032 (OLDER, YOUNGER), RFC 5255 section 4.2
          (texts compare by i;unicode-casemap), RFC 6203 (FUZZY),
          RFC 7162 section 3.1.5 (MODSEQ).
"""

import datetime
import enum
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

import trio

from appliance.message.collation import casemap
from appliance.message.fuzzy import FuzzyQuery
from appliance.model.finding import HeaderContains, HeaderText, Measure, MeasureWithin, Question, TextContains
from appliance.model.mailbox import KEYWORD_SHIFT
from appliance.model.ports import Mailbox
from appliance.protocols.imap.search_keys import (
    AllKey,
    AndKey,
    Comparison,
    DateKey,
    DateKind,
    FilterKey,
    FlagKey,
    FuzzyKey,
    HeaderKey,
    KeywordKey,
    ModSeqKey,
    NotKey,
    ObjectIdKey,
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
from appliance.services.imap.errors import RefusalError, bad
from appliance.services.imap.object_search import BATCH, saved_within, with_object_id
from appliance.services.imap.positions import located, merged, with_flag, without
from appliance.services.imap.progress import reporting
from appliance.services.imap.scanning import HeaderScan, TextScan, find_in_messages, score_messages
from appliance.services.imap.session import Session
from appliance.services.imap.view import MailboxView

__all__ = ["Matcher"]

_DAY_S = 86_400
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MOST = 2**62
_LEARN = 64
"""Messages learned in one hop: some 10 ms."""
_HEADERS = frozenset(field.value for field in HeaderText)


class _Cost(enum.IntEnum):
    """What a key needs: our arrays, the finder, or perhaps the messages."""

    ARRAYS = 0
    FINDER = 1
    MESSAGES = 2


def _cost(key: SearchKey) -> _Cost:
    match key:
        case ObjectIdKey() | DateKey(DateKind.SAVED):
            return _Cost.MESSAGES
        case DateKey() | WithinKey() | SizeKey():
            return _Cost.FINDER
        case HeaderKey(name, _):
            return _Cost.FINDER if name in _HEADERS else _Cost.MESSAGES
        case TextKey() | FuzzyKey():
            return _Cost.MESSAGES
        case NotKey(inner):
            return _cost(inner)
        case OrKey(first, second):
            return max(_cost(first), _cost(second))
        case AndKey(keys):
            return max(map(_cost, keys))
        case _:
            return _Cost.ARRAYS


class Matcher:
    """Searches one mailbox at one moment. ``codec``: of the texts in the keys."""

    def __init__(self, session: Session, mailbox: Mailbox, view: MailboxView, *, codec: str, now_s: float) -> None:
        self._session = session
        self._mailbox = mailbox
        self._view = view
        self._codec = codec
        self._now_s = now_s
        self._is_fuzzy = False
        self._scores: dict[int, list[int]] = {}

    @property
    def scores(self) -> dict[int, int]:
        """Return the relevancy of what FUZZY keys matched, by uid."""
        return {uid: max(1, round(sum(some) / len(some))) for uid, some in self._scores.items()}

    async def match(self, key: SearchKey, among: Sequence[int]) -> Sequence[int]:
        """Return those of the positions ``among`` (ascending) that match."""
        if not among:
            return among
        await self._session.checkpoint()
        match key:
            case NotKey(FlagKey(flag)):
                return self._with_flag(int(flag), among, has=False)
            case NotKey(KeywordKey(keyword)):
                return self._with_flag(self._keyword_bit(keyword), among, has=False)
            case NotKey(inner):
                return await without(among, await self.match(inner, among))
            case OrKey(first, second):
                one, other = sorted((first, second), key=_cost)
                found = await self.match(one, among)
                # Scores need both answers.
                rest = among if self._is_fuzzy else await without(among, found)
                return await merged(found, await self.match(other, rest))
            case AndKey(keys):
                for inner in sorted(keys, key=_cost):
                    among = await self.match(inner, among)
                return among
            case FuzzyKey(inner):
                outer, self._is_fuzzy = self._is_fuzzy, True
                found = await self.match(inner, among)
                self._is_fuzzy = outer
                return found
            case _:
                return await self._match_one(key, among)

    async def _match_one(self, key: SearchKey, among: Sequence[int]) -> Sequence[int]:  # noqa: C901, PLR0912 - one line per key, no branch within
        match key:
            case AllKey():
                return among
            case RecentKey():
                recents = self._view.recents
                return [at for at in among if recents[at]]
            case FlagKey(flag):
                return self._with_flag(int(flag), among)
            case KeywordKey(keyword):
                return self._with_flag(self._keyword_bit(keyword), among)
            case SequenceKey(messages):
                return self._among_numbers(messages, among)
            case UidKey(uids):
                return self._among_uids(uids, among)
            case ModSeqKey(modseq):
                return [at for at, changed in zip(among, self._view.modseqs_at(among), strict=True) if changed >= modseq]
            case DateKey(DateKind.SAVED, comparison, date):
                return await self._by_object(partial(saved_within, span_s=_span_s(comparison, date)), among)
            case ObjectIdKey():
                return await self._by_object(partial(with_object_id, key=key), among)
            case DateKey(kind, comparison, date):
                return await self._ask(_date_question(kind, comparison, date), among)
            case WithinKey(seconds, younger):
                edge_s = int(self._now_s) - seconds
                limits = (edge_s, _MOST) if younger else (-_MOST, edge_s)
                return await self._ask(MeasureWithin(Measure.ARRIVED_S, *limits), among)
            case SizeKey(size_bytes, larger):
                limits = (size_bytes + 1, _MOST) if larger else (-1, size_bytes - 1)
                return await self._ask(MeasureWithin(Measure.SIZE_BYTES, *limits), among)
            case HeaderKey(name, raw):
                return await self._in_header(name, self._key(raw), among)
            case TextKey(raw, with_header):
                return await self._in_text(self._key(raw), among, with_header=with_header)
            case FilterKey(name):
                raise AssertionError(f"filter {name} was not looked up")
            case NotKey() | OrKey() | AndKey() | FuzzyKey():
                raise AssertionError("match takes these apart")
            case _:
                assert_never(key)

    def _key(self, raw: bytes) -> bytes:
        try:
            return casemap(raw.decode(self._codec))
        except UnicodeError:
            raise RefusalError(bad("Search text is not in its charset")) from None

    # Arrays

    def _with_flag(self, bit: int, among: Sequence[int], *, has: bool = True) -> Sequence[int]:
        return with_flag(self._view.flags, bit, among, has=has)

    def _keyword_bit(self, keyword: str) -> int:
        wanted = keyword.lower()
        return next((1 << (KEYWORD_SHIFT + number) for number, name in enumerate(self._view.keywords) if name.lower() == wanted), 0)

    def _among_numbers(self, messages: SequenceSet, among: Sequence[int]) -> Sequence[int]:
        if messages.saved:
            return self._among_saved(among)
        spans = messages.resolve(len(self._view))
        return [at for low, high in spans for at in among[bisect_left(among, low - 1) : bisect_right(among, high - 1)]]

    def _among_uids(self, uids: SequenceSet, among: Sequence[int]) -> Sequence[int]:
        if uids.saved:
            return self._among_saved(among)
        mine = self._view.uids
        found: list[int] = []
        for low, high in uids.resolve(mine[-1] if mine else 0):
            first, last = bisect_left(mine, low), bisect_right(mine, high)
            found += among[bisect_left(among, first) : bisect_left(among, last)]
        return found

    def _among_saved(self, among: Sequence[int]) -> Sequence[int]:
        saved = set(self._view.saved_positions())
        return [at for at in among if at in saved]

    # The finder

    async def _ask(self, question: Question, among: Sequence[int]) -> Sequence[int]:
        """Ask the finder, which learns first what it does not know; what stays unknown does not match."""
        found, unknown = await self._ask_finder(question, among)
        if unknown:
            await self.learn(unknown)
            found, _ = await self._ask_finder(question, among)
        return found

    async def _ask_finder(self, question: Question, among: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """Return the positions that match and those of which the finder does not know."""
        view = self._view
        uids = view.uids if len(among) == len(view) else [view.uids[at] for at in among]
        answer = await self._session.run_blocking(self._mailbox.finder.ask, question, uids)
        return await located(answer.matching, view.uids, among), await located(answer.unknown, view.uids, among)

    async def learn(self, positions: Sequence[int]) -> None:
        """Have the finder read what it does not know of these messages."""
        finder = self._mailbox.finder
        uids = [self._view.uids[at] for at in positions]
        missing = await self._session.run_blocking(finder.missing, uids)
        async with reporting(self._session, len(missing)) as progress:
            for low in range(0, len(missing), _LEARN):
                await self._session.run_blocking(finder.learn, missing[low : low + _LEARN])
                progress.done = low + _LEARN
                await trio.lowlevel.checkpoint()

    # Texts

    async def _in_header(self, name: str, key: bytes, among: Sequence[int]) -> Sequence[int]:
        if name not in _HEADERS:
            # Where the text is kept, only those messages can match that have it somewhere.
            found, unknown = await self._ask_finder(TextContains(key, with_header=True), among)
            return await self._scan(HeaderScan(name, key), await merged(found, unknown))
        field = HeaderText(name)
        question = HeaderContains(field, key)
        found, unknown = await self._ask_finder(question, among)
        if unknown:
            await self.learn(unknown)
            found, unknown = await self._ask_finder(question, among)
        if self._is_fuzzy:
            return await self._score(FuzzyQuery(key), field, among)
        return await merged(found, await self._scan(HeaderScan(name, key), unknown)) if unknown else found

    async def _in_text(self, key: bytes, among: Sequence[int], *, with_header: bool) -> Sequence[int]:
        if self._is_fuzzy:
            return await self._score(FuzzyQuery(key), TextScan(b"", with_header), among)
        found, unknown = await self._ask_finder(TextContains(key, with_header), among)
        return await merged(found, await self._scan(TextScan(key, with_header), unknown)) if unknown else found

    async def _scan(self, scan: HeaderScan | TextScan, positions: Sequence[int]) -> Sequence[int]:
        """Look into the messages themselves."""
        found: list[int] = []
        async with reporting(self._session, len(positions)) as progress:
            for batch in self._batches(positions, scan.batch):
                found += await self._session.run_blocking(find_in_messages, self._mailbox, batch, scan)
                progress.done += len(batch)
                await trio.lowlevel.checkpoint()
        return found

    async def _score(self, query: FuzzyQuery, source: HeaderText | TextScan, among: Sequence[int]) -> Sequence[int]:
        found: list[int] = []
        async with reporting(self._session, len(among)) as progress:
            for batch in self._batches(among, _LEARN if isinstance(source, HeaderText) else source.batch):
                scores = await self._session.run_blocking(score_messages, self._mailbox, [uid for _, uid in batch], query, source)
                for at, uid in batch:
                    if scores.get(uid):
                        found.append(at)
                        self._scores.setdefault(uid, []).append(scores[uid])
                progress.done += len(batch)
                await trio.lowlevel.checkpoint()
        return found

    async def _by_object(self, find: Callable[[Mailbox, Sequence[tuple[int, int]]], list[int]], among: Sequence[int]) -> Sequence[int]:
        """Ask the messages themselves what they are (RFC 8474) or when they came here (RFC 8514)."""
        found: list[int] = []
        async with reporting(self._session, len(among)) as progress:
            for batch in self._batches(among, BATCH):
                found += await self._session.run_blocking(find, self._mailbox, batch)
                progress.done += len(batch)
                await self._session.checkpoint()
        return found

    def _batches(self, positions: Sequence[int], size: int) -> "list[list[tuple[int, int]]]":
        uids = self._view.uids
        return [[(at, uids[at]) for at in positions[low : low + size]] for low in range(0, len(positions), size)]


def _date_question(kind: DateKind, comparison: Comparison, date: datetime.date) -> Question:
    if kind is DateKind.SENT:
        return MeasureWithin(Measure.SENT_DAY, *_span(comparison, date))
    return MeasureWithin(Measure.ARRIVED_S, *_span_s(comparison, date))


def _span(comparison: Comparison, date: datetime.date) -> tuple[int, int]:
    """Return the first and the last day that are meant."""
    day = date.toordinal()
    return {Comparison.ON: (day, day), Comparison.BEFORE: (-_MOST, day - 1), Comparison.SINCE: (day, _MOST)}[comparison]


def _span_s(comparison: Comparison, date: datetime.date) -> tuple[int, int]:
    """Return the first and the last second that are meant, since the epoch."""
    least, most = _span(comparison, date)
    return (-_MOST if least == -_MOST else (least - _EPOCH) * _DAY_S, _MOST if most == _MOST else (most - _EPOCH + 1) * _DAY_S - 1)
