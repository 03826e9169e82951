"""Binary content becomes lines without losing an octet."""

import email
import email.policy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.message.binary import BinaryConverter

BLOB = bytes(range(256)) * 3 + b"\r\n--b\n--bb--\r--b-\r\n-- b\r\n\n\r\r\n\0"


def convert(message: bytes, *cuts: int) -> bytes:
    """Convert a message cut into pieces."""
    converter = BinaryConverter()
    out = b""
    start = 0
    for cut in [*sorted(cuts), len(message)]:
        out += converter.feed(message[start:cut])
        start = cut
    return out + converter.finish()


def parse(message: bytes) -> Any:
    return email.message_from_bytes(message, policy=email.policy.default)


def part(content: bytes, kind: bytes = b"application/octet-stream", encoding: bytes = b"binary") -> bytes:
    return b"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s" % (kind, encoding, content)


def multipart(*parts: bytes, boundary: bytes = b"b", kind: bytes = b"multipart/mixed", preamble: bytes = b"") -> bytes:
    body = preamble + b"".join(b"\r\n--%s\r\n%s" % (boundary, each) for each in parts) + b"\r\n--%s--\r\n" % boundary
    return b"Content-Type: %s; boundary=%s\r\nContent-Transfer-Encoding: binary\r\n\r\n%s" % (kind, boundary, body)


def assert_lines(message: bytes) -> None:
    """Every CR and LF is half of a CRLF, and base64 lines are short."""
    assert message.count(b"\r\n") == message.count(b"\r") == message.count(b"\n")


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 114, 100_000])
def test_a_single_binary_part(size: int) -> None:
    """The whole body is one part."""
    blob = (BLOB * (size // len(BLOB) + 1))[:size]
    converted = convert(b"Subject: x\r\nMIME-Version: 1.0\r\n" + part(blob))
    assert_lines(converted)
    message = parse(converted)
    assert ("x", "base64", blob) == (message["Subject"], message["Content-Transfer-Encoding"], message.get_payload(decode=True))
    assert max(map(len, converted.split(b"\r\n"))) <= 76


def test_parts_of_a_multipart() -> None:
    """Binary leaves are encoded, others stay, boundaries are found to the octet."""
    text = part(b"ol\xc3\xa1\r\n", b"text/plain", b"8bit")
    converted = convert(b"MIME-Version: 1.0\r\n" + multipart(text, part(BLOB), part(b""), part(b"x"), preamble=b"preamble"))
    assert_lines(converted)
    message = parse(converted)
    assert "8bit" == message["Content-Transfer-Encoding"]
    assert ["8bit", "base64", "base64", "base64"] == [each["Content-Transfer-Encoding"] for each in message.iter_parts()]
    assert [b"ol\xc3\xa1\r\n", BLOB, b"", b"x"] == [each.get_payload(decode=True) for each in message.iter_parts()]
    assert b"\r\n\r\npreamble\r\n--b\r\n" in converted
    assert converted.endswith(b"\r\n--b--\r\n")


def test_nested_multiparts_and_messages() -> None:
    """The walk goes into multiparts and messages; a parent's delimiter ends its children."""
    inner = multipart(part(BLOB), boundary=b"inner")
    unended = b"Content-Type: multipart/mixed; boundary=lost\r\n\r\n\r\n--lost\r\n" + part(b"\0\r\n")
    nested = part(b"Subject: nested\r\n" + part(BLOB), b"message/rfc822")
    message = parse(convert(b"MIME-Version: 1.0\r\n" + multipart(inner, unended, nested, part(b"\0last"))))
    leaves = [each.get_payload(decode=True) for each in message.walk() if not each.is_multipart()]
    assert [BLOB, b"\0\r\n", BLOB, b"\0last"] == leaves
    assert {"base64", "8bit", None} == {each["Content-Transfer-Encoding"] for each in message.walk()}


def test_digest() -> None:
    """Parts of a digest are messages without saying so."""
    message = parse(convert(b"MIME-Version: 1.0\r\n" + multipart(b"\r\nSubject: one\r\n" + part(b"\0"), kind=b"multipart/digest")))
    (each,) = message.iter_parts()
    assert b"\0" == each.get_payload(0).get_payload(decode=True)


def test_lines_that_are_none() -> None:
    """Parts that claim to be lines, and headers, get whole line ends."""
    converted = convert(b"Subject: x\nX: y\r\n\r\na\rb\nc\r\n\r")
    assert b"Subject: x\r\nX: y\r\n\r\na\r\nb\r\nc\r\n\r\n" == converted


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"Subject: no body\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n--b\r\nno boundary\r\n",
        b"Content-Type: nonsense\r\n\r\nbody\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\nepilogue --b\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b  \t\r\n\r\ntext\r\n--bb\r\n--b",
        b"Content-Type: message/partial\r\n\r\nhalf\r\n",
    ],
)
def test_text_passes_unchanged(message: bytes) -> None:
    """Where nothing is binary nothing changes."""
    assert message == convert(message)


def test_limits() -> None:
    """Endless headers, depth and parts cost bounded memory and keep every octet that is not binary."""
    header = b"X: " + b"x" * 2_000_000
    assert header + b"\r\n\r\nbody" == convert(header + b"\r\n\r\nbody", 500_000, 1_100_000)
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 11_000
    assert many == convert(many)
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(150))
    assert deep == convert(deep)


SAMPLE = b"MIME-Version: 1.0\r\n" + multipart(
    part(BLOB),
    part(b"text\r\n", b"text/plain", b"7bit"),
    multipart(part(BLOB[:100]), part(b""), boundary=b"inner"),
    part(b"Subject: n\r\n" + part(BLOB), b"message/rfc822"),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(SAMPLE)), max_size=40))
def test_any_chunking_gives_the_same(cuts: list[int]) -> None:
    """However the content was cut on the way, the result is the same."""
    assert convert(SAMPLE) == convert(SAMPLE, *cuts)


def test_one_octet_at_a_time() -> None:
    """The smallest pieces, too."""
    assert convert(SAMPLE) == convert(SAMPLE, *range(len(SAMPLE)))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_octet_is_lost(first: bytes, second: bytes) -> None:
    """What goes in comes out of a MIME reader."""
    message = parse(convert(b"MIME-Version: 1.0\r\n" + multipart(part(first), part(second), boundary=b"never-in-it")))
    assert [first, second] == [each.get_payload(decode=True) for each in message.iter_parts()]
