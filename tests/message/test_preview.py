"""The first words of a message."""

import io

import pytest

from appliance.message.mime import scan
from appliance.message.preview import MAX_CHARACTERS, make_preview


def preview(data: bytes) -> str:
    return make_preview(io.BytesIO(data), scan(data))


ALTERNATIVE = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>from <b>html</b></p>\r\n"
    b"--b\r\n\r\n%b\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\r\nHello\r\n\r\n  there\t you\r\n", "Hello there you"),
        (b"Content-Type: text/html\r\n\r\n<style>p {}</style><p>Hello&nbsp;<b>you</b> &amp; me</p>", "Hello you & me"),
        (ALTERNATIVE % b"plain", "plain"),
        (ALTERNATIVE % b"  ", "from html"),
        (b"\r\n> quoted\r\nMy words\r\n> more\r\n", "My words"),
        (b"\r\n> only\r\n> quotes\r\n", "> only > quotes"),
        (b"\r\nHi\r\n-- \r\nAna, Example Ltd.\r\n", "Hi"),
        (b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw6lncmV0IOKAiw==\r\n", "égret"),
        (b"Content-Type: image/png\r\n\r\nxx", ""),
        (b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nnotes", ""),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xe2\x80\x8b\xcd\x8f \xc2\xad seen\x00\x01\r\n", "seen"),
        (b"", ""),
    ],
)
def test_the_first_words_are_shown(data: bytes, expected: str) -> None:
    """Plain text before HTML, own words before quoted ones, nothing invisible, no signature, no attachment."""
    assert expected == preview(data)


def test_it_is_short() -> None:
    """RFC 8970 section 3.2: cut between words where there are any."""
    assert "word " * 39 + "word" == preview(b"\r\n" + b"word " * 5_000)
    assert MAX_CHARACTERS == len(preview(b"\r\n" + b"x" * 100_000))
    assert "é" * MAX_CHARACTERS == preview(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "é".encode() * 9_000)


def test_deep_messages_are_looked_into() -> None:
    """The text of a forwarded message is better than none."""
    data = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nforwarded\r\n"
    assert "forwarded" == preview(data)
