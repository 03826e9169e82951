"""IMAP strings."""

import pytest

from appliance.message.imaptext import nstring, string


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", b'""'),
        (b"a b", b'"a b"'),
        (b'a"b\\', b'"a\\"b\\\\"'),
        (b"\xc3\xa1", b"{2}\r\n\xc3\xa1"),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"a\0b", b"{3}\r\na\x80b"),
        (b"\x7f\x01", b'"\x7f\x01"'),
    ],
)
def test_strings_are_quoted_or_literals(value: bytes, expected: bytes) -> None:
    """RFC 3501 section 9: no 8-bit, CR, LF or NUL in quotes."""
    assert expected == string(value)


def test_none_is_nil() -> None:
    """And the empty string is not."""
    assert b"NIL" == nstring(None)
    assert b'""' == nstring(b"")
