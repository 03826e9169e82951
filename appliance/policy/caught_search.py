"""The catcher's search language: what a person or a test types, as a list of terms that must all hold.

``"quoted phrase"``; a leading ``-`` or ``!`` turns a term around; letters' case does
not matter; ``to:``, ``from:``, ``cc:``, ``bcc:``, ``reply-to:``, ``addressed:``,
``subject:``, ``message-id:``, ``tag:``, ``is:``, ``has:``, ``after:``, ``before:``,
``larger:``, ``smaller:``; ours besides: ``envelope:`` (paths of the envelope),
``recipient:`` (of the envelope or the header), ``inbox:`` and ``id:``. Anything else is looked for in the text.

Fails: never. A date that cannot be read makes its term match nothing; a size or a state that cannot is looked for
in the text, as Mailpit does.

Sources: Mailpit's search filters.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from appliance.model.caught import Term

__all__ = ["MAX_QUERY", "MAX_TERMS", "Term", "parse_moment", "parse_query"]

MAX_QUERY = 2_000
MAX_TERMS = 100
_KEYS = (
    "to", "from", "cc", "bcc", "reply-to", "addressed", "subject", "message-id", "tag", "is", "has", "after", "before", "larger", "smaller",
    "envelope", "recipient", "inbox", "id",
)  # fmt: skip
_TERM = re.compile(r'([-!]?)(?:([A-Za-z-]+):)?(?:"([^"]*)"?|(\S+))')
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(k|kb|m|mb|b)?")
_FIXED = {
    "is": frozenset({"read", "unread", "tagged"}),
    "has": frozenset({"attachment", "attachments", "inline", "inlines"}),
}
_UNITS = {"": 1, "b": 1, "k": 1_024, "kb": 1_024, "m": 1_048_576, "mb": 1_048_576}
_ZONE = re.compile(r"(?:utc|gmt)?([+-])([0-9]{1,2}):?([0-9]{2})?")
_FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%b %d, %Y",
    "%B %d, %Y", "%Y%m%d", "%Y-%m", "%Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %I:%M%p", " %I:%M %p")


def parse_query(
    query: str, *, now_s: float, zone: str = "", zone_info: Callable[[str], tzinfo | None] = lambda _name: None
) -> Sequence[Term]:
    """Return the terms of a query, at most ``MAX_TERMS``.

    Units:    ``now_s`` for "yesterday"; ``zone`` names the time zone of dates, ``zone_info`` knows it by its IANA name.
    """
    terms: list[Term] = []
    where = _zone(zone, zone_info)
    for found in _TERM.finditer(query[:MAX_QUERY]):
        sign, key, quoted, bare = found.groups()
        value = quoted if quoted is not None else bare
        name = (key or "").lower()
        if name and name not in _KEYS:
            value, name = f"{key}:{value}", ""
        value = value.strip().lower()
        if name in _FIXED and value not in _FIXED[name]:
            value, name = f"{name}:{value}", ""
        if value.removesuffix(":") in _KEYS and value.endswith(":"):
            continue  # nothing was asked for yet: somebody is typing
        if any(character.isalnum() for character in value):
            terms.append(_term(name, value, negated=bool(sign), now_s=now_s, zone=where))
        if len(terms) == MAX_TERMS:
            break
    return terms


def _term(name: str, value: str, *, negated: bool, now_s: float, zone: tzinfo) -> Term:
    if name in ("larger", "smaller"):
        size = _SIZE.fullmatch(value)
        return Term(name, value, negated, int(float(size[1]) * _UNITS[size[2] or ""])) if size else Term("text", f"{name}:{value}", negated)
    if name in ("after", "before"):
        moment = parse_moment(value, now_s=now_s, zone=zone)
        return Term(name, value, negated, None if moment is None else int(moment.timestamp() * 1_000))
    return Term(name or "text", value, negated)


def _zone(name: str, zone_info: Callable[[str], tzinfo | None]) -> tzinfo:
    offset = _ZONE.fullmatch(name.lower())
    if offset:
        minutes = min(int(offset[2]), 23) * 60 + min(int(offset[3] or 0), 59)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    return (zone_info(name) if name else None) or UTC


def parse_moment(text: str, *, now_s: float, zone: tzinfo = UTC) -> datetime | None:
    """Return the moment that a person means by a date, in any of the usual forms; None when it is none."""
    text = " ".join(text.split()).lower()[:64]
    now = datetime.fromtimestamp(now_s, zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1), "tomorrow": midnight + timedelta(days=1)}
    if text in named:
        return named[text]
    if text.isdecimal() and text.isascii() and 9 <= len(text) <= 13:
        return datetime.fromtimestamp(int(text) / (1_000 if len(text) > 10 else 1), UTC)
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        return _by_format(text, zone)
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def _by_format(text: str, zone: tzinfo) -> datetime | None:
    for day in _FORMATS:
        for time in _TIMES:
            try:
                return datetime.strptime(text, day + time).replace(tzinfo=zone)
            except ValueError:
                continue
    return None
