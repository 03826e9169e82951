"""Encoded words, charsets and encoded parameters."""

import pytest

from appliance.message.parameter import parse_media_type
from appliance.message.text import (
    codec_name,
    decode_bytes,
    decode_header,
    decode_parameter_text,
    encode_parameter,
    encode_phrase,
    encode_unstructured,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Ol=C3=A1_mundo?=", "Olá mundo"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?= c", "ab c"),
        (b"=?utf-8?b?w6E=?= =?utf-8?b?w6E=?=", "áá"),
        (b"=?utf-8?b?ww==?= =?utf-8?b?oQ==?=", "á"),
        (b"=?utf-8*pt?q?=C3=A1?=x", "áx"),
        (b"=?no-such?q?=E1?=", "á"),
        (b"=?utf-8?q?=E1?=", "\ufffd"),
        (b"=?utf-8?b?w6?=", "\ufffd"),
        (b"raw \xc3\xa1", "raw á"),
        (b"raw \xe1", "raw á"),
        (b"a =?broken", "a =?broken"),
        (b"=?utf-8?b?!!?=", ""),
        (b"=?gb2312?b?xOO6ww==?=", "你好"),
    ],
)
def test_headers_are_decoded(value: bytes, expected: str) -> None:
    """Split characters are joined, unknown charsets guessed, broken words left as they are."""
    assert expected == decode_header(value)


@pytest.mark.parametrize(
    ("charset", "expected"),
    [
        ("UTF-8", "utf_8"),
        ("utf8", "utf_8"),
        ("iso-8859-1", "cp1252"),
        ("ISO_8859-15", "iso8859_15"),
        ("windows-1251", "cp1251"),
        ("Shift_JIS", "cp932"),
        ("punycode", ""),
        ("base64", ""),
        ("x-unknown", ""),
        ("../../etc", ""),
        ("", ""),
    ],
)
def test_charsets_are_known_by_name_only(charset: str, expected: str) -> None:
    """No codec that is no charset, none that a stranger could invent."""
    assert expected == codec_name(charset)


def test_octets_fall_back_to_utf8_then_to_latin() -> None:
    """A wrong charset costs nothing when the octets are UTF-8."""
    assert "á" == decode_bytes(b"\xc3\xa1", "us-ascii")
    assert "á" == decode_bytes(b"\xe1", "us-ascii")
    assert "\u3042" == decode_bytes(b'\x1b$B$"\x1b(B', "iso-2022-jp")
    assert "ab" == decode_bytes(b"ab", "unknown")
    assert "A" == decode_bytes(b"A\x00", "utf-16le")


def test_subjects_are_encoded_in_words_of_at_most_75() -> None:
    """RFC 2047 section 2; printable ASCII stays."""
    assert b"Hello" == encode_unstructured("Hello")
    encoded = encode_unstructured("Olá mundo, 你好 " * 20)
    assert all(len(word) <= 75 for word in encoded.split(b"\r\n "))
    assert ("Olá mundo, 你好 " * 20).strip() == decode_header(encoded.replace(b"\r\n", b""))
    assert b"=?utf-8?q?=3D=3Fxyz?=" == encode_unstructured("=?xyz")


def test_phrases_are_atoms_strings_or_words() -> None:
    """Whatever the name, it stands before an address."""
    assert b"Bob Builder" == encode_phrase("Bob Builder")
    assert b'"B. \\"x\\""' == encode_phrase('B. "x"')
    assert b"" == encode_phrase(" ")


@pytest.mark.parametrize("value", ["report.pdf", "a b.pdf", 'q"uo\\te', "Relatório — março.pdf", "x" * 200, "é" * 100])
def test_parameters_come_back_as_they_were(value: str) -> None:
    """Token, quoted string and RFC 2231 with continuations."""
    field = b"text/plain; " + encode_parameter("filename", value).replace(b"\r\n", b"")
    parsed = parse_media_type(field)
    assert parsed is not None
    assert value == decode_parameter_text(parsed[2], b"filename")


def test_encoded_words_inside_parameters_are_decoded_too() -> None:
    """Forbidden by RFC 2047 section 5, written by many."""
    assert "á.pdf" == decode_parameter_text(((b"name", b"=?utf-8?q?=C3=A1?=.pdf"),), b"name")
    assert decode_parameter_text((), b"name") is None
