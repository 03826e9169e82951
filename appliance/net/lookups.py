"""Answers for checks that ask DNS questions: the resolver behind ``model.dns``, with a quick cache in front.

Owns how records become texts, how long an answer is used, and running a check
(``ask_all``) to its end. Names may hold any octets, as macros and strangers make them.

Blocks:   network, cancel point; a question takes at most the resolver's time limit. The
cache answers at once, in a microsecond, where the resolver's own takes twenty.
Fails:    never; ``DnsStatus.FAILED`` is an answer, kept for a moment so that a dead
name server is not waited for by every message.
Sources:  RFC 2308 (negative answers), RFC 1035 section 3.3.
"""

import math
import re
from typing import Any, Final, TypeVar

import trio

from appliance.model.dns import Asking, DnsAnswer, DnsQuestion, DnsStatus
from appliance.model.ports import Clock
from appliance.net.resolver import ResolveError, Resolver

__all__ = ["DnsLookups"]

T = TypeVar("T")
U = TypeVar("U")

MAX_RECORDS: Final = 256
MAX_TEXT: Final = 65_535
_LONGEST_S: Final = 300.0
_NEGATIVE_S: Final = 30.0
_FAILED_S: Final = 10.0
_ODD = re.compile(r"[^A-Za-z0-9_.\-\x80-\U0010ffff]")


class DnsLookups:
    """The port ``DnsLookup`` over one resolver. ``cache_entries`` bounds what is kept."""

    def __init__(self, resolver: Resolver, clock: Clock, *, cache_entries: int = 10_000) -> None:
        self._resolver = resolver
        self._clock = clock
        self._cache_entries = cache_entries
        self._cache: dict[tuple[str, str], tuple[float, DnsAnswer]] = {}

    async def ask(self, question: DnsQuestion) -> DnsAnswer:
        """Answer one question."""
        known = self._known(question)
        if known is not None:
            return known
        answer, age_s = await self._look_up(question)
        key, now_s = (question.name.lower(), question.kind), self._clock.monotonic_s()
        if self._cache_entries:
            while len(self._cache) >= self._cache_entries:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = (now_s + age_s, answer)
        return answer

    async def ask_all(self, asking: Asking[T], deadline_s: float = math.inf) -> T:
        """Run a check to its end. From ``deadline_s`` (of trio's clock) on every answer is that nobody can tell."""
        try:
            question = next(asking)
            while True:
                known = self._known(question)
                question = asking.send(known if known is not None else await self._ask_until(question, deadline_s))
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def ask_both(self, first: Asking[T], second: Asking[U], deadline_s: float = math.inf) -> tuple[T, U]:
        """Run two checks at once."""
        found: list[T] = []

        async def run_first() -> None:
            found.append(await self.ask_all(first, deadline_s))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_first)
            other = await self.ask_all(second, deadline_s)
        return found[0], other

    def _known(self, question: DnsQuestion) -> DnsAnswer | None:
        """Return what the cache has."""
        known = self._cache.get((question.name.lower(), question.kind))
        return known[1] if known is not None and known[0] > self._clock.monotonic_s() else None

    async def _ask_until(self, question: DnsQuestion, deadline_s: float) -> DnsAnswer:
        with trio.move_on_at(deadline_s):
            return await self.ask(question)
        return DnsAnswer(DnsStatus.FAILED)

    async def _look_up(self, question: DnsQuestion) -> tuple[DnsAnswer, float]:
        name = _ODD.sub(lambda found: f"\\{ord(found[0]):03d}", question.name)
        try:
            records, ttl_s = await self._resolver.records(name, question.kind)
        except ResolveError as error:
            failed = DnsStatus.FAILED if error.temporary else DnsStatus.MISSING
            return DnsAnswer(failed), _FAILED_S
        if records is None:
            return DnsAnswer(DnsStatus.MISSING), _NEGATIVE_S
        if not records:
            return DnsAnswer(DnsStatus.EMPTY), _NEGATIVE_S
        return DnsAnswer(DnsStatus.FOUND, _texts(question.kind, records)), min(ttl_s, _LONGEST_S)


def _texts(kind: str, records: list[Any]) -> tuple[str, ...]:
    if kind == "TXT":
        return tuple(b"".join(record.strings)[:MAX_TEXT].decode("latin-1") for record in records[:MAX_RECORDS])
    if kind == "MX":
        ordered = sorted(records, key=lambda record: (record.preference, record.exchange))
        return tuple(_host(record.exchange) for record in ordered[:MAX_RECORDS])
    if kind == "PTR":
        return tuple(_host(record.target) for record in records[:MAX_RECORDS])
    return tuple(record.address for record in records[:MAX_RECORDS])


def _host(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return "" if text == "." else text
