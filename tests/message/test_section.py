"""IMAP sections, on the example tree of RFC 3501 section 6.4.5."""

import pytest

from appliance.message.mime import scan
from appliance.message.section import find_entity, find_part

INNER = b"Subject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n3.1\r\n--i\r\nContent-Type: application/x\r\n\r\n3.2\r\n--i--\r\n"
MESSAGE = (
    b"Subject: root\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nX: 1\r\n\r\none\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: two\r\n\r\ntwo text\r\n--o\r\nContent-Type: message/rfc822\r\nX: 3\r\n\r\n" + INNER + b"\r\n--o--\r\n"
)


def take(message: bytes, section: str) -> bytes | None:
    found = find_part(scan(message), section)
    return None if found is None else message[found.offset : found.offset + found.length]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", MESSAGE),
        ("HEADER", b"Subject: root\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"),
        ("text", MESSAGE.partition(b"\r\n\r\n")[2]),
        ("1", b"one"),
        ("1.MIME", b"X: 1\r\n\r\n"),
        ("1.1", None),
        ("1.HEADER", None),
        ("2", b"Subject: two\r\n\r\ntwo text"),
        ("2.HEADER", b"Subject: two\r\n\r\n"),
        ("2.TEXT", b"two text"),
        ("2.1", b"two text"),
        ("2.1.MIME", b"Subject: two\r\n\r\n"),
        ("2.2", None),
        ("2.1.1", None),
        ("3", INNER),
        ("3.mime", b"Content-Type: message/rfc822\r\nX: 3\r\n\r\n"),
        ("3.HEADER", b"Subject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"),
        ("3.1", b"3.1"),
        ("3.2", b"3.2"),
        ("3.2.MIME", b"Content-Type: application/x\r\n\r\n"),
        ("0", None),
        ("4", None),
        ("MIME", None),
        ("1.", None),
        ("x", None),
        ("1.2.3.4.5", None),
    ],
)
def test_sections_are_found(section: str, expected: bytes | None) -> None:
    """Numbers walk through multiparts and nested messages; words only where there is a message."""
    assert expected == take(MESSAGE, section)


def test_a_simple_message_has_one_part() -> None:
    """Part 1 of a message that is not multipart is its text."""
    message = b"Subject: s\r\n\r\nbody"
    assert b"body" == take(message, "1")
    assert b"Subject: s\r\n\r\n" == take(message, "1.MIME")
    assert take(message, "2") is None
    assert scan(message) == find_entity(scan(message), ())


def test_a_message_that_is_a_message_nests() -> None:
    """The top content type may be message/rfc822 itself."""
    message = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody"
    assert b"Subject: in\r\n\r\nbody" == take(message, "1")
    assert b"body" == take(message, "1.1")
    assert b"body" == take(message, "1.TEXT")


def test_a_multipart_without_parts_has_an_empty_one() -> None:
    """As its BODYSTRUCTURE says."""
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n"
    assert b"" == take(message, "1")
    assert b"" == take(message, "1.MIME")
    assert take(message, "2") is None
