"""The words of the grammar."""

import datetime

import pytest

from appliance.protocols.imap.grammar import ParseError, Reader, printable
from appliance.protocols.imap.responses import internal_date


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'"17-Jul-1996 02:44:25 -0700"', datetime.datetime(1996, 7, 17, 9, 44, 25, tzinfo=datetime.UTC)),
        (b'"01-Jan-0001 00:00:00 +2359"', datetime.datetime(1901, 12, 13, 20, 45, 52, tzinfo=datetime.UTC)),
        (b'" 1-jan-2026 00:00:60 +0130"', datetime.datetime(2025, 12, 31, 22, 30, 59, tzinfo=datetime.UTC)),
    ],
)
def test_date_times_are_read(raw: bytes, expected: datetime.datetime) -> None:
    """Zone and leap second are taken in."""
    assert int(expected.timestamp()) == Reader(raw).take_date_time()


@pytest.mark.parametrize(
    "raw",
    [
        b'"17-Jul-1996"',
        b'"32-Jul-1996 02:44:25 -0700"',
        b'"01-Foo-1996 02:44:25 -0700"',
        b'"01-Jul-1996 02:44:25 +9900"',
    ],
)
def test_broken_date_times_are_refused(raw: bytes) -> None:
    """None of them raises anything but ParseError."""
    with pytest.raises(ParseError):
        Reader(raw).take_date_time()


def test_internal_date_is_its_inverse() -> None:
    """What we write we read."""
    assert b'" 9-Sep-2001 01:46:40 +0000"' == internal_date(1_000_000_000)
    assert 1_000_000_000 == Reader(internal_date(1_000_000_000)).take_date_time()


def test_errors_show_what_is_there() -> None:
    """The text quotes a little of the input, made harmless."""
    with pytest.raises(ParseError, match=r"atom expected in column 1, not \(x\?y"):
        Reader(b"(x\r\ny").read_atom()
    assert "a" * 40 + "..." == printable(b"a" * 50)


def test_utf8_names_once_enabled() -> None:
    """RFC 6855: no modified UTF-7 then."""
    assert "é&" == Reader('"é&"'.encode(), utf8=True).read_mailbox()
    with pytest.raises(ParseError):
        Reader(b'"\xff"', utf8=True).read_mailbox()
