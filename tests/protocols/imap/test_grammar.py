"""The words of the grammar."""

import datetime

import pytest

from appliance.protocols.imap.grammar import ParseError, Reader, printable
from appliance.protocols.imap.responses import internal_date
from appliance.protocols.imap.utf7 import encode_mailbox_name


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


@pytest.mark.parametrize("name", ["a\x7fb", "a\x85b", "a\u2028b", "a\u2029b", "a\x1fb"])
def test_names_have_no_controls(name: str) -> None:
    """RFC 6855 section 3 forbids them, in either spelling."""
    for raw, utf8 in ((name.encode(), True), (encode_mailbox_name(name), False)):
        with pytest.raises(ParseError, match="control character"):
            Reader(b"{%d}\r\n%b" % (len(raw), raw), utf8=utf8).read_mailbox()


@pytest.mark.parametrize(
    ("raw", "utf8", "value"),
    [
        (b'"a\\"b\\\\c"', False, b'a"b\\c'),
        (b'"a\\b"', False, b"ab"),
        (b'""', False, b""),
        (b'"\xe9"', False, b"\xe9"),
        ('"é€😀"'.encode(), True, "é€😀".encode()),
        (b"{3}\r\n\xff\xfe\x00", True, b"\xff\xfe\x00"),
        (b"{0+}\n", False, b""),
    ],
)
def test_strings(raw: bytes, utf8: bool, value: bytes) -> None:
    """Quoted specials; octets in literals are nobody's business."""
    reader = Reader(raw, utf8=utf8)
    assert value == reader.read_string()
    assert reader.at_end


@pytest.mark.parametrize(
    ("raw", "utf8", "text"),
    [
        (b'"\xe9"', True, "quoted string is not UTF-8"),
        (b'"\xc0\xaf"', True, "quoted string is not UTF-8"),
        (b'"\xed\xa0\x80"', True, "quoted string is not UTF-8"),
        (b'"a', False, "not closed"),
        (b'"a\\"', False, "not closed"),
        (b'"a\rb"', False, "not closed"),
        (b'"a\x00b"', False, "not closed"),
        (b"{3}\r\nab", False, "cut short"),
        (b"{-1}\r\n", False, "not written as"),
        (b"{99999999999}\r\n", False, "not written as"),
        (b"~{1}\r\na", False, "string expected in column 1"),
    ],
)
def test_broken_strings(raw: bytes, utf8: bool, text: str) -> None:
    """Each is refused in words; the last is a literal8, which only some commands take."""
    with pytest.raises(ParseError, match=text):
        Reader(raw, utf8=utf8).read_string()


def test_patterns_may_hold_what_atoms_may_not() -> None:
    """list-mailbox: wildcards and the closing bracket (RFC 3501 section 9)."""
    assert "a]%*" == Reader(b"a]%* x").read_list_mailbox()
    assert "(*)" == Reader(b'"(*)"').read_list_mailbox()
    assert "é*" == Reader("é*".encode(), utf8=True).read_list_mailbox()
    with pytest.raises(ParseError):
        Reader(b"(x").read_list_mailbox()


@pytest.mark.parametrize("raw", [b"a]b", b"+FLAGS", b"NIL", b"~x"])
def test_astrings(raw: bytes) -> None:
    """A closing bracket is in, and so is the word NIL."""
    assert raw == Reader(raw + b" ").read_astring()


def test_numbers_of_63_bits() -> None:
    """RFC 9051 section 4.2: where a size is meant."""
    assert 2**63 - 1 == Reader(b"9223372036854775807").read_number("size", 2**63 - 1)
    with pytest.raises(ParseError, match="above 9223372036854775807"):
        Reader(b"9223372036854775808").read_number("size", 2**63 - 1)
