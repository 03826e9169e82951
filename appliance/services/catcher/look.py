"""How a browser wants the page: language and appearance; and how dates, sizes and people are written on it.

Sources: RFC 9110 section 12.5.4 (Accept-Language), RFC 6265 section 4.1 (Set-Cookie).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.model.caught import CaughtSummary, Person
from appliance.net.http_messages import Request
from appliance.services.catcher.words import LANGUAGES

__all__ = ["THEMES", "Look", "full", "iso", "look_of", "people", "size", "when", "who"]

THEMES: Final = ("auto", "light", "dark")
_KIB: Final = 1_024


@dataclass(frozen=True, slots=True)
class Look:
    """``cookies``: what the browser is to remember of it."""

    language: str
    theme: str
    cookies: tuple[str, ...]


def look_of(request: Request, root: str = "/") -> Look:
    """Return what the address asks for, else the cookie, else the browser."""
    known = dict(pair.strip().partition("=")[::2] for pair in request.header("cookie").split(";"))
    cookies: list[str] = []
    language, theme = request.query.get("lang", ""), request.query.get("theme", "")
    for name, value, allowed in (("carteiro-lang", language, LANGUAGES), ("carteiro-theme", theme, THEMES)):
        if value in allowed:
            cookies.append(f"{name}={value}; Path={root}; Max-Age=31536000; SameSite=Lax; HttpOnly")
    if language not in LANGUAGES:
        language = known.get("carteiro-lang", "")
    if language not in LANGUAGES:
        asked = [one.partition(";")[0].strip()[:2].lower() for one in request.header("accept-language").split(",")]
        language = next((one for one in asked if one in LANGUAGES), "en")
    if theme not in THEMES:
        theme = known.get("carteiro-theme", "auto")
    return Look(language, theme if theme in THEMES else "auto", tuple(cookies))


def who(summary: CaughtSummary) -> str:
    """Return who wrote a message, as a list shows it."""
    return (summary.sender.name or summary.sender.address) if summary.sender else summary.envelope.reverse_path


def people(persons: Sequence[Person]) -> list[str]:
    """Return each person with name and address."""
    return [f"{person.name} <{person.address}>" if person.name else person.address for person in persons]


def when(milliseconds: int) -> str:
    """Return a time for a list: of the day, or the day when it is another."""
    at, now = time.localtime(milliseconds / 1_000), time.localtime()
    if at[:3] == now[:3]:
        return f"{at.tm_hour:02d}:{at.tm_min:02d}"
    return f"{at.tm_year}-{at.tm_mon:02d}-{at.tm_mday:02d}"


def full(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1_000))


def iso(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1_000))


def size(count: int) -> str:
    """Return a number of octets as a person reads it."""
    if count < _KIB:
        return f"{count} B"
    return f"{count / _KIB:.1f} KiB" if count < _KIB * _KIB else f"{count / _KIB / _KIB:.1f} MiB"
