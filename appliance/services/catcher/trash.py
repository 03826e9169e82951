"""What was deleted last, so that it can be taken back.

Owns how much is remembered: one step, for a while, and no more than fits. What
was deleted is deleted for every other interface at once; taking it back catches
it again, under its id, at its place in the list.

Fails: ``restore`` as the store does.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from appliance.model.caught import CaughtSummary
from appliance.model.content import MemoryContent
from appliance.services.catcher.engine import Catcher
from appliance.storage.caught import NewCaught

__all__ = ["Trash"]

_MOST_BYTES: Final = 16_777_216
_MOST: Final = 2_000
_KEPT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Deleted:
    summary: CaughtSummary
    data: bytes
    conversation: str


class Trash:
    """The last deletion made on the page."""

    def __init__(self, catcher: Catcher) -> None:
        self._catcher = catcher
        self._token = ""
        self._until_s = 0.0
        self._deleted: Sequence[_Deleted] = ()

    async def delete(self, ids: Sequence[str] | None) -> tuple[int, str]:
        """Delete messages, None for all; return how many and what takes them back, ``""`` when they are too much to remember."""
        remembered = await self._remember(ids)
        count = await self._catcher.delete(ids)
        if not remembered:
            self.forget()
            return count, ""
        self._token, self._deleted = secrets.token_urlsafe(9), remembered
        self._until_s = self._catcher.clock.monotonic_s() + _KEPT_S
        return count, self._token

    def offer(self, token: str) -> tuple[int, str] | None:
        """Return how many messages a token takes back, None when it is over."""
        if not token or token != self._token or self._catcher.clock.monotonic_s() > self._until_s:
            return None
        return len(self._deleted), token

    async def restore(self, token: str) -> list[str]:
        """Catch again what was deleted; return the ids, none when it is over."""
        if self.offer(token) is None:
            return []
        deleted, catcher = self._deleted, self._catcher
        self.forget()
        for one in deleted:
            known = one.summary
            new = NewCaught(
                id=known.id, inbox=known.inbox, created_ms=known.created_ms, envelope=known.envelope, content=MemoryContent(one.data),
                read=known.read, number=known.number,
            )  # fmt: skip
            await catcher.keep(new, partial(str, one.conversation))
        await catcher.settled()
        by_tags: dict[tuple[str, ...], list[str]] = {}
        for one in deleted:
            by_tags.setdefault(tuple(one.summary.tags), []).append(one.summary.id)
        for tags, ids in by_tags.items():
            await catcher.set_tags(ids, tags)
        catcher.hub.tell("prune")
        return [one.summary.id for one in deleted]

    def forget(self) -> None:
        self._token, self._deleted = "", ()

    async def _remember(self, ids: Sequence[str] | None) -> list[_Deleted]:
        """Return all of the messages, none of them when they are too many or too large."""
        catcher = self._catcher
        await catcher.settled()
        run, store = catcher.offload.run, catcher.store
        if ids is None:
            counts = await run(store.counts)
            if counts.total > _MOST or counts.size > _MOST_BYTES:
                return []
            known = await run(lambda: store.latest(limit=0))
        else:
            if len(ids) > _MOST:
                return []
            known = [summary for one in ids if (summary := await run(store.summary, one)) is not None]
        if sum(summary.size for summary in known) > _MOST_BYTES:
            return []
        found = []
        for summary in known:
            data = await run(store.content, summary.number)
            found.append(_Deleted(summary, data or b"", await run(store.conversation, summary.number)))
        return found
