"""Searches whose results are kept true: what came into a result and what left it, told with the news.

Owns the results of the contexts of one selected mailbox and the difference that
a change of the mailbox makes. Only messages that are new or whose flags changed
are asked again; a sorted context is put in order anew and its additions told
by position.

Does not: search; a context brings along how to match and how to sort.
Sources:  RFC 5267 section 4.3.
"""

from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.protocols.imap.search_keys import SearchKey
from appliance.protocols.imap.search_responses import context_change
from appliance.services.imap.view import MailboxView

__all__ = ["MAX_CONTEXTS", "Context", "Contexts"]

MAX_CONTEXTS: Final = 10

Match = Callable[[SearchKey, Sequence[int]], Awaitable[Sequence[int]]]
Arrange = Callable[[Sequence[int]], Awaitable[list[int]]]


@dataclass(slots=True)
class Context:
    """``uids``: the result, in its order. ``uid``: it is told in uids."""

    tag: bytes
    key: SearchKey
    uid: bool
    uids: list[int]
    match: Match
    arrange: Arrange
    is_sorted: bool

    def leave(self, gone: Sequence[int], number_of: Callable[[int], int]) -> bytes:
        """Take uids out of the result; return what to tell."""
        left = set(gone).intersection(self.uids)
        if not left:
            return b""
        if not self.is_sorted:
            changes = [(0, [number_of(uid) for uid in sorted(left)])]
        else:
            # From behind, so that each position is still right when it is told.
            changes = [(at + 1, [number_of(self.uids[at])]) for at in range(len(self.uids) - 1, -1, -1) if self.uids[at] in left]
        self.uids = [uid for uid in self.uids if uid not in left]
        return context_change(self.tag, b"REMOVEFROM", changes, uid=self.uid)

    async def join(self, fresh: Sequence[int], number_of: Callable[[int], int]) -> bytes:
        """Put uids into the result; return what to tell."""
        known = set(self.uids)
        added = {uid for uid in fresh if uid not in known}
        if not added:
            return b""
        self.uids = await self.arrange([*self.uids, *added])
        if not self.is_sorted:
            return context_change(self.tag, b"ADDTO", [(0, [number_of(uid) for uid in sorted(added)])], uid=self.uid)
        changes: list[tuple[int, list[int]]] = []
        last = -2
        for at, uid in enumerate(self.uids):
            if uid not in added:
                continue
            if at == last + 1:
                changes[-1][1].append(number_of(uid))
            else:
                changes.append((at + 1, [number_of(uid)]))
            last = at
        return context_change(self.tag, b"ADDTO", changes, uid=self.uid)


class Contexts:
    """All contexts of one selected mailbox."""

    def __init__(self) -> None:
        self._contexts: dict[bytes, Context] = {}

    def __contains__(self, tag: bytes) -> bool:
        return tag in self._contexts

    def __len__(self) -> int:
        return len(self._contexts)

    @property
    def is_full(self) -> bool:
        return len(self._contexts) >= MAX_CONTEXTS

    def add(self, context: Context) -> None:
        self._contexts[context.tag] = context

    def remove(self, tag: bytes) -> None:
        del self._contexts[tag]

    def lose(self, before: "array[int]", view: MailboxView) -> bytes:
        """Return what to tell before EXPUNGE; ``before``: the view's uids as they were."""
        if len(view.uids) >= len(before) and before == view.uids[: len(before)]:
            return b""
        gone = set(before).difference(view.uids)
        if not gone:
            return b""
        ordered = sorted(gone)
        return b"".join([context.leave(ordered, lambda uid: bisect_left(before, uid) + 1) for context in self._contexts.values()])

    async def renew(self, positions: Sequence[int], view: MailboxView) -> bytes:
        """Return what to tell after FETCH and EXISTS; ``positions``: of messages that are new or whose flags changed."""
        told = []
        asked = {view.uids[at] for at in positions}

        def number_of(uid: int) -> int:
            return bisect_left(view.uids, uid) + 1

        for context in list(self._contexts.values()):
            matching = {view.uids[at] for at in await context.match(context.key, positions)}
            told.append(context.leave(sorted(asked - matching), number_of))
            told.append(await context.join(sorted(matching), number_of))
        return b"".join(told)
