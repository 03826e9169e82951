"""SEARCH: narrow down by what is in memory, then by summaries, then by looking into messages.

The keys that must all match are taken apart and the cheap ones asked first, over
packed arrays. What remains is examined batch by batch in a thread, and between
two batches other sessions have their turn and the search can be cancelled.

Sources:  RFC 3501 section 6.4.4, RFC 4731 (ESEARCH).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import trio

from appliance.protocols.imap import commands, responses
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.responses import RECENT
from appliance.protocols.imap.search_keys import AllKey, AndKey, ModSeqKey, NotKey, OrKey, SearchKey, has_key
from appliance.protocols.imap.state import State
from appliance.services.imap.errors import Reply, ok
from appliance.services.imap.matching import Candidate, Compiler, Cost, Predicate, cost, flag_test, match_candidates
from appliance.services.imap.news import ROWS
from appliance.services.imap.progress import reporting
from appliance.services.imap.selection import Selected
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware

__all__ = ["HANDLERS", "find", "search"]

_BATCH = {Cost.SUMMARY: 500, Cost.HEADER: 64, Cost.MESSAGE: 16}
"""Messages examined in one hop, by what has to be read of each."""


async def search(session: Session, command: commands.Search) -> Reply | None:
    await session.sync(expunge=False)
    if session.core.state is State.LOGOUT:
        return None
    selected = session.selected
    by_modseq = has_key(command.key, ModSeqKey)
    if by_modseq:
        become_aware(session)
    found = await find(session, selected, command.key)
    highest = max(selected.view.modseqs_at(found)) if by_modseq and found else 0
    numbers = [selected.view.uids[at] for at in found] if command.uid else [at + 1 for at in found]
    if command.returns is None:
        session.send(responses.search(numbers, highest))
    else:
        session.send(responses.esearch(session.core.tag, numbers, command.returns, uid=command.uid, modseq=highest))
    return ok("Search completed")


def _conjuncts(key: SearchKey) -> Iterator[SearchKey]:
    if isinstance(key, AndKey):
        for inner in key.keys:
            yield from _conjuncts(inner)
    elif not isinstance(key, AllKey):
        yield key


async def find(session: Session, selected: Selected, key: SearchKey) -> list[int]:
    """Return the positions of the messages that match, ascending."""
    keys = sorted(_conjuncts(key), key=cost)
    positions, rest = _by_flags(selected, keys)
    cheap = [key for key in rest if cost(key) is Cost.ARRAYS]
    costly = [key for key in rest if cost(key) is not Cost.ARRAYS]
    if cheap:
        positions = await _by_arrays(session, selected, positions, cheap)
    return await _by_content(session, selected, positions, costly) if costly else list(positions)


def _by_flags(selected: Selected, keys: Sequence[SearchKey]) -> tuple[Sequence[int], list[SearchKey]]:
    """Ask all keys on single flags with one mask; return who passed and the keys not yet asked."""
    mask = wanted = 0
    rest: list[SearchKey] = []
    for key in keys:
        test = flag_test(key, selected.view)
        if test is None:
            rest.append(key)
            continue
        if test[1] & ~test[0] or (mask & test[0] and (wanted ^ test[1]) & mask & test[0]):
            # A keyword that nobody has, or SEEN UNSEEN.
            return (), rest
        mask |= test[0]
        wanted |= test[1]
    view = selected.view
    if not mask:
        return range(len(view)), rest
    if mask & RECENT:
        pairs = enumerate(zip(view.flags, view.recents, strict=True))
        return [at for at, (value, recent) in pairs if (value | recent) & mask == wanted], rest
    return [at for at, value in enumerate(view.flags) if value & mask == wanted], rest


def _candidates(selected: Selected, positions: Sequence[int]) -> list[Candidate]:
    view, mailbox = selected.view, selected.mailbox
    return [Candidate(at, view.uids[at], view.flags[at] | view.recents[at], mailbox) for at in positions]


async def _by_arrays(session: Session, selected: Selected, positions: Sequence[int], keys: Sequence[SearchKey]) -> list[int]:
    compiler = Compiler(selected.view, session.shared.clock.now_s())
    tests = [compiler.compile(key) for key in keys]
    found: list[int] = []
    for low in range(0, len(positions), ROWS):
        candidates = _candidates(selected, positions[low : low + ROWS])
        found += [candidate.position for candidate in candidates if all(test(candidate) for test in tests)]
        await session.checkpoint()
    return found


async def _by_content(session: Session, selected: Selected, positions: Sequence[int], keys: Sequence[SearchKey]) -> list[int]:
    compiler = Compiler(selected.view, session.shared.clock.now_s())
    tests = [compiler.compile(key) for key in keys]
    needs = {needed for key in keys for needed in _costs(key)}
    size = _BATCH[max(needs)]
    found: list[int] = []
    async with reporting(session, len(positions)) as progress:
        for low in range(0, len(positions), size):
            candidates = _candidates(selected, positions[low : low + size])
            found += await session.shared.offload.run(_match, selected, candidates, tests, Cost.SUMMARY in needs)
            progress.done = low + size
            await trio.lowlevel.checkpoint()
    return found


def _match(selected: Selected, candidates: Sequence[Candidate], tests: Sequence[Predicate], summaries: bool) -> list[int]:
    return match_candidates(selected.mailbox, candidates, tests, summaries=summaries)


def _costs(key: SearchKey) -> Iterator[Cost]:
    """Yield what each key within ``key`` needs."""
    match key:
        case AndKey(keys):
            for inner in keys:
                yield from _costs(inner)
        case OrKey(first, second):
            yield from _costs(first)
            yield from _costs(second)
        case NotKey(inner):
            yield from _costs(inner)
        case _:
            yield cost(key)


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Search: search,
}
