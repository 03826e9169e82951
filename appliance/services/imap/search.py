"""SEARCH, SORT and THREAD in the selected mailbox: find, put in order, answer, remember.

Sources:  RFC 3501 section 6.4.4, RFC 4731 section 3 (ESEARCH), RFC 5182 section 2 (SAVE), RFC 5256
          section 3 (SORT, THREAD), RFC 5267 sections 3 and 4 (ESORT, contexts), RFC 6203 (RELEVANCY),
          RFC 7162 section 3.1.6 (MODSEQ),
          RFC 9394 section 3.2 (what SAVE keeps), RFC 9738 section 3.1 (MESSAGELIMIT).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from appliance.message.text import codec_name
from appliance.message.thread import Steps, ThreadMessage, ordered_subject, references, refs
from appliance.model.errors import ApplianceError
from appliance.model.finding import SortCriterion, SortKey
from appliance.protocols.imap import commands_search as commands
from appliance.protocols.imap import responses, search_responses
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_search import Returns, SearchReturn, ThreadAlgorithm
from appliance.protocols.imap.search_keys import ModSeqKey, SearchKey, has_key, named_by
from appliance.protocols.imap.state import Condition, State
from appliance.services.imap.contexts import Context, Contexts
from appliance.services.imap.errors import RefusalError, Reply, bad, no, ok
from appliance.services.imap.filters import expand_filters
from appliance.services.imap.limits import limit_reply, newest
from appliance.services.imap.matching import Matcher
from appliance.services.imap.news import ROWS
from appliance.services.imap.rev2 import speaks_rev2
from appliance.services.imap.selection import Selected
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware
from appliance.services.imap.view import MailboxView

__all__ = ["CHARSETS", "HANDLERS", "Found", "codec_of", "find", "saved_by"]

CHARSETS: Final = [
    "US-ASCII",
    "UTF-8",
    "ISO-8859-1",
    "ISO-8859-2",
    "ISO-8859-3",
    "ISO-8859-4",
    "ISO-8859-5",
    "ISO-8859-6",
    "ISO-8859-7",
    "ISO-8859-8",
    "ISO-8859-9",
    "ISO-8859-10",
    "ISO-8859-13",
    "ISO-8859-14",
    "ISO-8859-15",
    "ISO-8859-16",
    "WINDOWS-1250",
    "WINDOWS-1251",
    "WINDOWS-1252",
    "WINDOWS-1253",
    "WINDOWS-1254",
    "WINDOWS-1255",
    "WINDOWS-1256",
    "WINDOWS-1257",
    "WINDOWS-1258",
    "KOI8-R",
    "KOI8-U",
    "ISO-2022-JP",
    "SHIFT_JIS",
    "EUC-JP",
    "GB2312",
    "GBK",
    "GB18030",
    "BIG5",
    "EUC-KR",
    "TIS-620",
    "UTF-7",
    "UTF-16",
]
"""The best known of those that we read; every codec of Python's own that cannot be abused is taken."""


class Found:
    """What a search found: positions ascending, and the matcher that knows the scores. ``by_modseq``: MODSEQ was asked for.

    ``searched`` and ``wanted``: where it looked, and where it should have.
    """

    def __init__(self, view: MailboxView, positions: Sequence[int], matcher: Matcher, *, by_modseq: bool = False) -> None:
        self.searched: Sequence[int] = ()
        self.wanted: Sequence[int] = ()
        self._by_modseq = by_modseq
        self.view = view
        self.positions = positions
        self.matcher = matcher

    @property
    def is_limited(self) -> bool:
        return len(self.searched) < len(self.wanted)

    def numbers(self, positions: Sequence[int], *, uid: bool) -> list[int]:
        """Return what the client calls these positions."""
        uids = self.view.uids
        return [uids[at] for at in positions] if uid else [at + 1 for at in positions]

    def highest(self, positions: Sequence[int]) -> int:
        """Return the highest modseq to tell of these (RFC 7162 section 3.1.6, RFC 4731 section 3.2); 0: none is told."""
        return max(self.view.modseqs_at(positions)) if self._by_modseq and positions else 0

    def scores(self, *, uid: bool) -> dict[int, int]:
        """Return relevancy by what the client calls the messages."""
        scores = self.matcher.scores
        return scores if uid else {at + 1: scores[self.view.uids[at]] for at in self.positions if self.view.uids[at] in scores}


def codec_of(charset: str) -> str:
    """Return the codec for the texts of a command. Raises RefusalError: NO with BADCHARSET."""
    if not charset:
        return "utf-8"
    codec = codec_name(charset)
    if not codec:
        raise RefusalError(no("Texts in this charset cannot be searched", b"BADCHARSET (%b)" % " ".join(CHARSETS).encode("ascii")))
    return codec


async def find(session: Session, selected: Selected, key: SearchKey, charset: str, *, limited: bool = False) -> Found:
    """Search the selected mailbox. ``limited``: only so many messages as one command may look at."""
    codec = codec_of(charset)
    key = await expand_filters(session, key, charset)
    view = selected.view
    by_modseq = has_key(key, ModSeqKey)
    if by_modseq:
        become_aware(session)
    matcher = Matcher(session, selected.mailbox, view, codec=codec, now_s=session.shared.clock.now_s())
    wanted: Sequence[int] = range(len(view))
    if limited and session.shared.settings.message_limit:
        wanted = await matcher.match(named_by(key), wanted)
    searched = newest(session, wanted) if limited else wanted
    found = Found(view, await matcher.match(key, searched), matcher, by_modseq=by_modseq)
    found.searched, found.wanted = searched, wanted
    return found


async def search(session: Session, command: commands.Search, *, told: Callable[[Found], None] | None = None) -> Reply | None:
    """``told``: says what was found, in place of our own answer."""

    async def answer(found: Found) -> None:
        if told is not None:
            told(found)
            _save(found, found.positions, command.returns or Returns())
            return
        returns = command.returns
        if returns is None and speaks_rev2(session):
            returns = Returns(SearchReturn.ALL)  # RFC 9051 section 6.4.4: always ESEARCH
        if returns is None:
            # From the highest down where more is to come (RFC 9738 section 3.1).
            positions = found.positions[::-1] if found.is_limited else found.positions
            for piece in responses.search_pieces(found.numbers(positions, uid=command.uid), found.highest(positions)):
                session.send(piece)
                await session.checkpoint()
        else:
            _tell(session, found, found.positions, returns, uid=command.uid)

    return await _run(session, command, answer, "Search completed")


async def sort(session: Session, command: commands.Sort) -> Reply | None:
    async def answer(found: Found) -> None:
        positions = await order(session, session.selected, found, command.criteria)
        if command.returns is None:
            session.send(search_responses.sort(found.numbers(positions, uid=command.uid), found.highest(positions)))
        else:
            _tell(session, found, positions, command.returns, uid=command.uid)

    return await _run(session, command, answer, "Sort completed")


async def _run(
    session: Session, command: commands.Search | commands.Sort, answer: Callable[[Found], Awaitable[None]], done: str
) -> Reply | None:
    """Find, answer, save and set up a context; a failure empties what was to be saved (RFC 5182 section 2.1)."""
    returns = command.returns or Returns()
    contexts = session.selected.contexts
    if SearchReturn.UPDATE in returns and contexts is not None and session.core.tag in contexts:
        return bad("This tag belongs to a search that is being updated")
    await session.sync(expunge=False)
    if session.core.state is State.LOGOUT:
        return None
    view = session.selected.view
    try:
        found = await find(session, session.selected, command.key, command.charset, limited=isinstance(command, commands.Search))
        await answer(found)
    except (RefusalError, ApplianceError) as error:
        refused = not isinstance(error, RefusalError) or error.reply.condition is Condition.NO
        if SearchReturn.SAVE in returns and refused:
            view.save(())
        raise
    if SearchReturn.UPDATE in returns:
        await _watch(session, command, found)
    lowest = view.uids[found.searched[0]] if found.searched else 0
    return limit_reply(session, ok(done), len(found.searched), lowest, len(found.wanted))


def _tell(session: Session, found: Found, positions: Sequence[int], returns: Returns, *, uid: bool) -> None:
    """Answer with ESEARCH, unless nothing was asked for but to save the result; save it."""
    numbers = found.numbers(positions, uid=uid)
    if returns.options is not SearchReturn.SAVE or returns.partial is not None:
        scores = found.scores(uid=uid) if SearchReturn.RELEVANCY in returns else None
        highest = found.highest(saved_by(returns, positions))
        session.send(search_responses.esearch(session.core.tag, numbers, returns, uid=uid, scores=scores, modseq=highest))
    _save(found, positions, returns)


def _save(found: Found, positions: Sequence[int], returns: Returns) -> None:
    if SearchReturn.SAVE in returns:
        found.view.save(found.view.uids[at] for at in saved_by(returns, positions))


def saved_by(returns: Returns, positions: Sequence[int]) -> Sequence[int]:
    """Return what SAVE keeps of a result: RFC 5182 section 2.4 and RFC 9394 section 3.2."""
    limited = returns.partial is not None or returns.options & (SearchReturn.MIN | SearchReturn.MAX)
    if not limited or returns.options & (SearchReturn.ALL | SearchReturn.COUNT):
        return positions
    kept: list[int] = []
    if SearchReturn.MIN in returns:
        kept += positions[:1]
    if SearchReturn.MAX in returns:
        kept += positions[-1:]
    if returns.partial is not None:
        kept += positions[returns.partial.slice(len(positions))]
    return kept


async def order(session: Session, selected: Selected, found: Found, criteria: Sequence[SortCriterion]) -> list[int]:
    """Return the positions in the order that was asked for."""
    positions, uids = found.positions, found.view.uids
    await found.matcher.learn(positions)
    wanted = [uids[at] for at in positions]
    by_relevancy = any(criterion.key is SortKey.RELEVANCY for criterion in criteria)
    scores: Mapping[int, int] = found.matcher.scores if by_relevancy else {}
    ordered = await session.run_blocking(selected.mailbox.finder.sort, criteria, scores, wanted)
    places = dict(zip(wanted, positions, strict=True))
    result: list[int] = []
    for low in range(0, len(ordered), ROWS):
        result += [at for uid in ordered[low : low + ROWS] if (at := places.pop(uid, None)) is not None]
        await session.checkpoint()
    # Messages that went while we sorted.
    return result + list(places.values())


_THREADERS: Final[Mapping[ThreadAlgorithm, Callable[[Sequence[ThreadMessage]], Steps]]] = {
    ThreadAlgorithm.ORDEREDSUBJECT: ordered_subject,
    ThreadAlgorithm.REFERENCES: references,
    ThreadAlgorithm.REFS: refs,
}


async def thread(session: Session, command: commands.Thread) -> Reply | None:
    await session.sync(expunge=False)
    if session.core.state is State.LOGOUT:
        return None
    selected = session.selected
    found = await find(session, selected, command.key, command.charset)
    await found.matcher.learn(found.positions)
    messages: list[ThreadMessage] = []
    uids = found.view.uids
    for low in range(0, len(found.positions), ROWS):
        batch = {uids[at]: uids[at] if command.uid else at + 1 for at in found.positions[low : low + ROWS]}
        rows = await session.run_blocking(selected.mailbox.finder.thread_rows, list(batch))
        messages += [
            ThreadMessage(batch[row.uid], row.sent_s, row.arrived_s, row.subject, row.is_reply, row.message_id, row.parents) for row in rows
        ]
        await session.checkpoint()
    steps = _THREADERS[command.algorithm](messages)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            threads: bytes = end.value
            break
        await session.checkpoint()
    session.send(search_responses.thread(threads))
    return ok("Thread completed")


# Contexts


async def _watch(session: Session, command: commands.Search | commands.Sort, found: Found) -> None:
    """Tell from now on how the result changes, or say that we shall not (RFC 5267 section 4.3.1)."""
    selected = session.selected
    tag = session.core.tag
    criteria = command.criteria if isinstance(command, commands.Sort) else ()
    if selected.contexts is None:
        selected.contexts = Contexts()
    contexts = selected.contexts
    by_relevancy = any(criterion.key is SortKey.RELEVANCY for criterion in criteria)
    if by_relevancy or contexts.is_full or found.is_limited:
        session.core.send_untagged(Condition.NO, "No updates for this search", b"NOUPDATE %b" % responses.string(tag))
        return
    positions = await order(session, selected, found, criteria) if criteria else list(found.positions)

    async def match(key: SearchKey, positions: Sequence[int]) -> Sequence[int]:
        matcher = Matcher(session, selected.mailbox, selected.view, codec=codec_of(command.charset), now_s=session.shared.clock.now_s())
        return await matcher.match(key, positions)

    async def arrange(uids: Sequence[int]) -> list[int]:
        view = selected.view
        at = [position for uid in sorted(uids) if (position := view.position(uid)) is not None]
        if criteria:
            matcher = Matcher(session, selected.mailbox, view, codec="utf-8", now_s=0)
            at = await order(session, selected, Found(view, at, matcher), criteria)
        return [view.uids[position] for position in at]

    key = await expand_filters(session, command.key, command.charset)
    uids = [selected.view.uids[at] for at in positions]
    contexts.add(Context(tag, found.view.pinned(key), command.uid, uids, match, arrange, is_sorted=bool(criteria)))


async def cancel_update(session: Session, command: commands.CancelUpdate) -> Reply:
    contexts = session.selected.contexts
    unknown = [tag for tag in command.tags if contexts is None or tag not in contexts]
    if unknown:
        return bad("No search of that tag is being updated")
    assert contexts is not None
    for tag in command.tags:
        contexts.remove(tag)
    return ok("No further updates")


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Search: search,
    commands.Sort: sort,
    commands.Thread: thread,
    commands.CancelUpdate: cancel_update,
}
