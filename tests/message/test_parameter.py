"""Content-Type and Content-Disposition as they are found."""

import pytest

from appliance.message.parameter import (
    Parameters,
    decode_parameter,
    parse_disposition,
    parse_encoding,
    parse_languages,
    parse_media_type,
    strip_comments,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", (b"text", b"plain", ())),
        (b"Text/HTML; Charset=UTF-8", (b"text", b"html", ((b"charset", b"UTF-8"),))),
        (b'multipart/mixed;; boundary="a;b"', (b"multipart", b"mixed", ((b"boundary", b"a;b"),))),
        (b"multipart/mixed; boundary=----=_Part/1", (b"multipart", b"mixed", ((b"boundary", b"----=_Part/1"),))),
        (b"text/plain (a (nested) comment); charset=x (y)", (b"text", b"plain", ((b"charset", b"x"),))),
        (b'text/plain; name="a \\"b\\""', (b"text", b"plain", ((b"name", b'a "b"'),))),
        (b"text/plain; charset = utf-8 ; format=flowed", (b"text", b"plain", ((b"charset", b"utf-8"), (b"format", b"flowed")))),
        (b"text/plain; a=1; a=2; junk; =x; b", (b"text", b"plain", ((b"a", b"1"), (b"a", b"2")))),
        (b'text/plain; name="unclosed', (b"text", b"plain", ((b"name", b"unclosed"),))),
        (b"x/y; f*0=a; f*1=b; f*3=lost", (b"x", b"y", ((b"f", b"ab"),))),
        (b"x/y; f*1=b%20; f*0*=utf-8''%C3%A1", (b"x", b"y", ((b"f*", b"utf-8''%C3%A1b%2520"),))),
        (b"x/y; f*1=lost", (b"x", b"y", ())),
    ],
)
def test_media_types_are_understood(value: bytes, expected: tuple[bytes, bytes, Parameters]) -> None:
    """Comments, missing quotes, doubled semicolons and continuations."""
    assert expected == parse_media_type(value)


@pytest.mark.parametrize("value", [b"", b"text", b"text/", b"/plain", b"; charset=x"])
def test_what_has_no_type_and_subtype_is_none(value: bytes) -> None:
    """RFC 2045 section 5.2 leaves the default to the caller."""
    assert parse_media_type(value) is None


def test_dispositions_are_understood() -> None:
    """Quoted ones too, which some programs write."""
    assert (b"attachment", ((b"filename", b"a b"),)) == parse_disposition(b'Attachment; filename="a b"')
    assert (b"inline", ()) == parse_disposition(b'(c) "inline"')
    assert parse_disposition(b"") is None
    assert (b"in", ()) == parse_disposition(b"in/line")


def test_encodings_are_tokens() -> None:
    """Comments go, parameters are forgotten, what is no token is none."""
    assert b"base64" == parse_encoding(b" Base64 ")
    assert b"8bit" == parse_encoding(b"(c) 8bit (d)")
    assert b"base64" == parse_encoding(b"base64; x=y")
    assert (None, None, None) == (parse_encoding(b"7 bit"), parse_encoding(b'"base64"'), parse_encoding(b""))


def test_languages_are_a_list() -> None:
    """Empty and broken entries are skipped."""
    assert [b"en", b"pt-BR", b"de"] == parse_languages(b'en,, pt-BR;q=1,"fr", de (German)')
    assert [] == parse_languages(b"")


def test_extended_values_go_first() -> None:
    """name* before name; the charset is told, the octets are plain."""
    parameters = ((b"name", b"a"), (b"name*", b"UTF-8'pt'%C3%A1"))
    assert (b"utf-8", b"\xc3\xa1") == decode_parameter(parameters, b"name")
    assert (b"", b"a%") == decode_parameter(((b"x*", b"a%"),), b"x")
    assert decode_parameter((), b"x") is None


def test_comments_leave_quoted_strings_alone() -> None:
    """An unclosed comment takes the rest."""
    assert b'a "(b)" c' == strip_comments(b'a "(b)" c')
    assert b"a " == strip_comments(b"a (b")
    assert b"a  )c" == strip_comments(b"a (b\\)))c")
