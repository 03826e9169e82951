"""Dates in, dates out."""

from datetime import UTC, datetime

import pytest

from appliance.message.date import (
    format_date,
    format_internal_date,
    format_mbox_date,
    parse_date,
    parse_internal_date,
    parse_mbox_date,
)

MOMENT_S = int(datetime(2026, 3, 3, 10, 11, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Tue, 3 Mar 2026 10:11:12 +0000", "2026-03-03T10:11:12+00:00"),
        (b"Tue, 3 Mar 2026 10:11:12 +0100 (CET)", "2026-03-03T10:11:12+01:00"),
        (b"3 Mar 26 10:11 EST", "2026-03-03T10:11:00-05:00"),
        (b"Fri, 21 Nov 97 09(comment):   55  :  06 -0600", "1997-11-21T09:55:06-06:00"),
        (b"3 Mar 126 10:11 Z", "2026-03-03T10:11:00+00:00"),
        (b"Tue, 3 Mar 2026 10:11:60 -0000", "2026-03-03T10:11:59+00:00"),
        (b"Tue, 3 Mar 2026 10:11:12 K", "2026-03-03T10:11:12+00:00"),
        (b"Tue Mar  3 10:11:12 2026", "2026-03-03T10:11:12+00:00"),
        (b"Tue Mar  3 10:11:12 PST 2026", "2026-03-03T10:11:12-08:00"),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37+00:00"),
        (b"Tue,3 Mar 2026 10.11.12 GMT+0200", "2026-03-03T10:11:12+02:00"),
        (b"Tue, 3 Mar 2026 10:11:12 +9999", "2026-03-03T10:11:12+00:00"),
        (b"3 Mar 2026", "2026-03-03T00:00:00+00:00"),
    ],
)
def test_header_dates_are_understood(value: bytes, expected: str) -> None:
    """Obsolete zones, short years, comments and asctime (RFC 5322 section 4.3)."""
    parsed = parse_date(value)
    assert parsed is not None
    assert expected == parsed.isoformat()


@pytest.mark.parametrize(
    "value", [b"", b"soon", b"32 Mar 2026 1:2:3 +0000", b"3 Foo 2026 1:2 Z", b"3 Mar 99999 1:2 Z", b"3 Mar 2026 25:00 Z"]
)
def test_no_date_is_none(value: bytes) -> None:
    """What cannot be a moment is none, and nothing raises."""
    assert parse_date(value) is None


def test_dates_are_written_as_the_rfcs_show_them() -> None:
    """RFC 5322 section 3.3, RFC 3501 date-time, asctime."""
    assert b"Tue, 3 Mar 2026 10:11:12 +0000" == format_date(MOMENT_S)
    assert b"Tue, 3 Mar 2026 07:11:12 -0300" == format_date(MOMENT_S, -180)
    assert b" 3-Mar-2026 15:41:12 +0530" == format_internal_date(MOMENT_S, 330)
    assert b"Tue Mar  3 10:11:12 2026" == format_mbox_date(MOMENT_S)


def test_dates_out_of_range_are_written_all_the_same() -> None:
    """A clock gone mad gives the nearest date that can be written."""
    assert format_date(-5).endswith(b"1970 00:00:00 +0000")
    assert b"9999" in format_date(1e18, 840)


@pytest.mark.parametrize(
    "value", [b"", b"3-Mar-2026", b"33-Mar-2026 10:11:12 +0000", b" 3-Mar-2026 10:11:12 +2400", b"3-Xyz-2026 10:11:12 +0000"]
)
def test_a_malformed_internal_date_is_none(value: bytes) -> None:
    """IMAP's date-time is strict."""
    assert parse_internal_date(value) is None


def test_internal_and_mbox_dates_are_read_back() -> None:
    """With a zone, with a padded day, with the zone some programs put into From_ lines."""
    assert MOMENT_S == parse_internal_date(b" 3-Mar-2026 11:11:12 +0100")
    assert MOMENT_S == parse_internal_date(b"03-mar-2026 09:11:12 -0100")
    assert MOMENT_S == parse_mbox_date(b"Tue Mar  3 10:11:12 2026")
    assert MOMENT_S == parse_mbox_date(b"Tue Mar  3 11:11:12 +0100 2026")
    assert parse_mbox_date(b"yesterday") is None
    assert parse_mbox_date(b"Tue Mar 33 10:11:12 2026") is None
