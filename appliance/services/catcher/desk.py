"""What every interface of the catcher needs: a message by its id, its bytes, a search.

Owns the words ``latest`` and ``tz``, and how much of one message is taken apart.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from appliance.message.reading import Reading, read_message
from appliance.model.caught import CaughtSummary, Term
from appliance.policy.caught_search import parse_query
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.mailpit_shapes import stored_form

__all__ = ["Desk", "ParameterError", "number_of", "number_within", "whole_within"]


class ParameterError(ValueError):
    """A parameter that is no number, or none that can be."""


def number_of(values: Mapping[str, str], name: str, default: int) -> int:
    """Return a parameter that is a number, ``default`` when it is missing or none."""
    text = values.get(name, "")
    sign, digits = text[:1] == "-", text.removeprefix("-")
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 12):
        return default
    return -int(digits) if sign else int(digits)


def number_within(values: Mapping[str, str], name: str, default: float, least: int, most: int) -> float:
    """Return a parameter that is a number in its range, ``default`` when it is missing. Raises ParameterError."""
    try:
        number = float(values.get(name, default))
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise ParameterError(f"{name}: {least} - {most}")
    return number


def whole_within(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Return a parameter that is a whole number in its range, ``default`` when it is missing. Raises ParameterError."""
    number = number_within(values, name, default, least, most)
    if not number.is_integer():
        raise ParameterError(f"{name}: a whole number, {least} - {most}")
    return int(number)


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@dataclass(slots=True)
class Desk:
    """``hostname``: what this machine calls itself, without asking anybody."""

    catcher: Catcher
    hostname: str = field(default_factory=socket.gethostname)

    def terms(self, query: str, zone: str = "") -> Sequence[Term]:
        return parse_query(query, now_s=self.catcher.clock.now_s(), zone=zone, zone_info=_zone)

    def before_ms(self, values: Mapping[str, str]) -> int | None:
        """Return the parameter ``before`` in milliseconds, None when there is none."""
        if not values.get("before"):
            return None
        (term, *_) = self.terms(f'before:"{values["before"]}"', values.get("tz", "")) or (None,)
        return term.number if term is not None else None

    async def latest(
        self, terms: Sequence[Term] = (), *, start: int = 0, limit: int = 50, before_ms: int | None = None
    ) -> list[CaughtSummary]:
        """Return messages, newest first. ``limit`` 0: all."""
        await self.catcher.settled()
        store = self.catcher.store
        return await self.catcher.offload.run(lambda: store.latest(terms, start=max(start, 0), limit=limit, before_ms=before_ms))

    async def find(self, message_id: str, values: Mapping[str, str]) -> CaughtSummary | None:
        """Return one message; ``latest`` is the newest, with the parameter ``query`` the newest that matches."""
        if message_id == "latest":
            found = await self.latest(self.terms(values.get("query", ""), values.get("tz", "")), limit=1)
            return found[0] if found else None
        return await self.catcher.summary(message_id)

    async def data(self, summary: CaughtSummary) -> bytes:
        """Return a message's own bytes."""
        return await self.catcher.content(summary.number) or b""

    async def reading(self, summary: CaughtSummary) -> Reading:
        """Return a message taken apart."""
        return read_message(await self.data(summary))

    def prefix(self, summary: CaughtSummary) -> bytes:
        """Return what Mailpit would have put in front."""
        return stored_form(summary, self.hostname, has_message_id=bool(summary.message_id))
