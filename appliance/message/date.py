"""Dates of mail: header dates, IMAP's INTERNALDATE and the mbox From_ line, both ways.

Owns their forms, obsolete zones and two-digit years. Month and day names are
English whatever the locale, so nothing here asks ``strptime``.

Fails: never; what is no date is None.

Sources: RFC 5322 section 3.3 and 4.3, RFC 3501 section 9 (date-time), RFC 4155
(From_ line: asctime in UTC).
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

__all__ = [
    "format_date",
    "format_internal_date",
    "format_mbox_date",
    "parse_date",
    "parse_internal_date",
    "parse_mbox_date",
]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH_NUMBERS = {name.lower().encode(): number for number, name in enumerate(_MONTHS, 1)}
_LAST_S = 253_402_214_400  # the last day of 9999, less one for zones

# RFC 5322 section 4.3. Single letters and names nobody knows mean "-0000": the local time is UTC.
_ZONES = {
    b"ut": 0, b"utc": 0, b"gmt": 0, b"z": 0, b"edt": -240, b"est": -300, b"cdt": -300, b"cst": -360, b"mdt": -360, b"mst": -420,
    b"pdt": -420, b"pst": -480, b"wet": 0, b"west": 60, b"bst": 60, b"cet": 60, b"cest": 120, b"met": 60, b"mest": 120, b"eet": 120,
    b"eest": 180, b"msk": 180, b"jst": 540, b"brt": -180,
}  # fmt: skip

_MAX_DATE = 200  # octets looked at; the longest honest date with comments is under 80
_COMMENT = re.compile(rb"\([^()]*\)")
_HEADER_DATE = re.compile(
    rb"[\s,]*(?:[A-Za-z]{2,9}\.?[\s,]+|[A-Za-z]{3},)?(\d{1,2})[\s.-]*([A-Za-z]{3})[a-z]*[\s.,-]*(\d{2,5})"
    rb"(?:[\s,T]+(\d{1,2})\s*[:.]\s*(\d{1,2})(?:\s*[:.]\s*(\d{1,2})(?:[.,]\d{1,9})?)?)?\s*(.*)",
    re.DOTALL,
)
_ASCTIME = re.compile(
    rb"\s*(?:[A-Za-z]{3,9},?\s+)?([A-Za-z]{3})[a-z]*\s+(\d{1,2}),?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s+(?:([A-Za-z]{2,5}|[+-]\d{4})\s+)?(\d{4})\s*(.*)",
    re.DOTALL,
)
_OFFSET = re.compile(rb"(?:GMT|UTC?)?\s*([+-])(\d{2}):?(\d{2})", re.IGNORECASE)
_ZONE_NAME = re.compile(rb"[\"']?([A-Za-z]{1,5})\b")
_INTERNAL_DATE = re.compile(rb" ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})").fullmatch


def parse_date(value: bytes) -> datetime | None:
    """Return the instant a Date field names, with its zone; None when it names none.

    Two-digit years follow RFC 5322 section 4.3; a leap second counts as the one before it.
    """
    value = _COMMENT.sub(b" ", value[:_MAX_DATE]) if b"(" in value else value[:_MAX_DATE]
    found = _HEADER_DATE.match(value)
    if found is not None:
        day, month, year, hour, minute, second, zone = found.groups()
    else:
        found = _ASCTIME.match(value)
        if found is None:
            return None
        month, day, hour, minute, second, zone, year, rest = found.groups()
        zone = zone or rest
    return _instant(year, month, day, hour, minute, second, _zone_minutes(zone))


def _zone_minutes(zone: bytes) -> int:
    found = _OFFSET.match(zone)
    if found is not None:
        sign, hours, minutes = found.groups()
        offset = int(hours) * 60 + int(minutes)
        # Beyond 23:59 nothing was meant that could be known; RFC 5322 section 3.3 allows it, datetime does not.
        return 0 if offset >= 1_440 else -offset if sign == b"-" else offset
    named = _ZONE_NAME.match(zone)
    return _ZONES.get(named.group(1).lower(), 0) if named else 0


def _instant(
    year: bytes, month: bytes, day: bytes, hour: bytes | None, minute: bytes | None, second: bytes | None, offset_minutes: int
) -> datetime | None:
    full_year = int(year)
    if len(year) < 4:
        full_year += 2000 if full_year < 50 else 1900
    try:
        return datetime(
            full_year,
            _MONTH_NUMBERS[month.lower()],
            int(day),
            int(hour or 0),
            int(minute or 0),
            min(int(second or 0), 59),
            tzinfo=timezone(timedelta(minutes=offset_minutes)),
        )
    except (ValueError, KeyError):
        return None


def _utc(seconds: float, offset_minutes: int = 0) -> datetime:
    zone = UTC if offset_minutes == 0 else timezone(timedelta(minutes=offset_minutes))
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_S), zone)


def _offset_text(offset_minutes: int) -> str:
    hours, minutes = divmod(abs(offset_minutes), 60)
    return f"{'-' if offset_minutes < 0 else '+'}{hours:02d}{minutes:02d}"


def format_date(seconds: float, offset_minutes: int = 0) -> bytes:
    """Return a header date such as ``Tue, 3 Mar 2026 10:11:12 +0000``; ``seconds`` since the epoch, UTC."""
    return _format_date(int(min(max(seconds, 0), _LAST_S)), offset_minutes)


@lru_cache(maxsize=16)  # thousands of messages come in one second
def _format_date(seconds: int, offset_minutes: int) -> bytes:
    date = _utc(seconds, offset_minutes)
    return (
        f"{_DAYS[date.weekday()]}, {date.day} {_MONTHS[date.month - 1]} {date.year:04d} "
        f"{date.hour:02d}:{date.minute:02d}:{date.second:02d} {_offset_text(offset_minutes)}"
    ).encode("ascii")


def format_internal_date(seconds: float, offset_minutes: int = 0) -> bytes:
    """Return an IMAP date-time without its quotes: `` 3-Mar-2026 10:11:12 +0000``."""
    date = _utc(seconds, offset_minutes)
    return (
        f"{date.day:2d}-{_MONTHS[date.month - 1]}-{date.year:04d} "
        f"{date.hour:02d}:{date.minute:02d}:{date.second:02d} {_offset_text(offset_minutes)}"
    ).encode("ascii")


def parse_internal_date(value: bytes) -> int | None:
    """Return seconds since the epoch of an IMAP date-time without its quotes; None when it is none."""
    found = _INTERNAL_DATE(value)
    if found is None:
        return None
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    offset = int(hours) * 60 + int(minutes)
    if offset >= 1_440:
        return None
    date = _instant(year, month, day, hour, minute, second, -offset if sign == b"-" else offset)
    return None if date is None else round(date.timestamp())


def format_mbox_date(seconds: float) -> bytes:
    """Return the date of a From_ line, in UTC: ``Tue Mar  3 10:11:12 2026``."""
    date = _utc(seconds)
    return (
        f"{_DAYS[date.weekday()]} {_MONTHS[date.month - 1]} {date.day:2d} {date.hour:02d}:{date.minute:02d}:{date.second:02d} {date.year:04d}"
    ).encode("ascii")


def parse_mbox_date(value: bytes) -> int | None:
    """Return seconds since the epoch of a From_ line's date, with or without a zone in it; None when it is none."""
    found = _ASCTIME.match(value[:_MAX_DATE])
    if found is None:
        return None
    month, day, hour, minute, second, zone, year, rest = found.groups()
    date = _instant(year, month, day, hour, minute, second, _zone_minutes(zone or rest))
    return None if date is None else round(date.timestamp())
