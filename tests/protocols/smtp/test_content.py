"""Content in and out: dots, line ends, limits, chunk by chunk."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.protocols.smtp import replies
from appliance.protocols.smtp.content import ContentReader
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.outgoing import DataWriter

OPTIONS = ServerOptions(hostname="mx.example.org")


def _read(wire: bytes, cut: int = 1 << 20, **settings: Any) -> tuple[ContentReader, bytes, bytes]:
    reader = ContentReader(ServerOptions(hostname="mx.example.org", **settings), by_data=True)
    content, rest = [], b""
    for start in range(0, len(wire), cut):
        piece = wire[start : start + cut]
        if reader.ended:
            rest += piece
            continue
        chunk, rest = reader.feed_data(piece)
        content.append(chunk)
    return reader, b"".join(content), rest


def _by_lines(wire: bytes) -> tuple[bytes, bytes]:
    """RFC 5321 section 4.5.2 word for word, slowly: the oracle."""
    content: list[bytes] = []
    while True:
        line, end, wire = wire.partition(b"\r\n")
        assert end
        if line == b".":
            return b"".join(content), wire
        content.append((line[1:] if line.startswith(b".") else line) + b"\r\n")


text_lines = st.lists(st.binary(max_size=12).map(lambda line: re.sub(rb"[\r\n]", b".", line)), max_size=8)


@given(text_lines, st.binary(max_size=10), st.integers(1, 8))
@example([b".", b"..", b""], b"NOOP\r\n", 1)
def test_reading_is_as_by_lines(lines: list[bytes], after: bytes, cut: int) -> None:
    """The bulk form gives what the line form gives, however cut, and leaves what follows alone."""
    wire = b"".join(line + b"\r\n" for line in lines) + b".\r\n" + after
    content, rest = _by_lines(wire)
    reader, found, found_rest = _read(wire, cut)
    assert (content, rest) == (found, found_rest)
    assert (reader.ended, reader.fault, reader.size) == (True, None, len(content))


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x", b"\r\n.\r\n"]), max_size=12), st.integers(1, 5))
def test_bare_newlines_never_pass(parts: list[bytes], cut: int) -> None:
    """Whatever is made of CR, LF and dots: only CRLF.CRLF ends, and a bare one before it is a fault."""
    wire = b"".join(parts) + b"\r\n.\r\n"
    end = (b"\r\n" + wire).find(b"\r\n.\r\n")
    body = wire[: max(end, 0)]
    has_bare = re.search(rb"\r(?!\n)|(?<!\r)\n", body) is not None
    reader, _, rest = _read(wire, cut)
    assert reader.ended
    assert wire[end + 3 :] == rest
    assert (replies.BARE_NEWLINE if has_bare else None) == reader.fault


@pytest.mark.parametrize("cut", [1, 3, 9, 1000])
@pytest.mark.parametrize(
    ("lines", "fits"),
    [([10], True), ([11], False), ([10, 10, 10], True), ([10, 10, 11], False), ([0, 0, 9, 25], False), ([3, 3, 3, 10], True)],
)
def test_line_limit(lines: list[int], fits: bool, cut: int) -> None:
    """A line of the limit fits, one octet more does not, wherever it stands and however it is cut."""
    wire = b"".join(b"x" * length + b"\r\n" for length in lines) + b".\r\n"
    reader, _, _ = _read(wire, cut, max_text_line=10)
    assert (None if fits else replies.TEXT_LINE_TOO_LONG) == reader.fault


def test_what_is_told() -> None:
    """8-bit octets and NUL are noticed and borne; too much is not."""
    reader, content, _ = _read(b"\xe9\0\r\n.\r\n")
    assert (b"\xe9\0\r\n", True, True) == (content, reader.eight_bit, reader.nul)
    reader, content, _ = _read(b"12345678\r\n.\r\n", max_message_bytes=9)
    assert (b"", replies.MESSAGE_TOO_BIG) == (content, reader.fault)


@pytest.mark.parametrize("cut", [1, 7, 1000])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"x" * 30 + b"\r\nyy\rz\r\n", replies.BARE_NEWLINE),
        (b"x" * 10 + b"\nyy" + b"z" * 30 + b"\r\n", replies.BARE_NEWLINE),
        (b"x" * 13 + b"\r\n" + b"yy\r\n" * 5, replies.MESSAGE_TOO_BIG),
        (b"x" * 13 + b"\r\n", replies.TEXT_LINE_TOO_LONG),
    ],
)
def test_of_several_faults_the_same_is_told(body: bytes, fault: replies.Reply, cut: int) -> None:
    """A bare newline before the size before the line, whichever the cuts of the network show first."""
    reader, content, _ = _read(body + b".\r\n", cut, max_message_bytes=24, max_text_line=12)
    assert fault is reader.fault
    assert not content or body.startswith(content)


@given(st.lists(st.binary(min_size=1, max_size=6), max_size=6))
def test_octets(pieces: list[bytes]) -> None:
    """BDAT hands text out unchanged, or finds its bare CR or LF; binary content is never judged."""
    data = b"".join(pieces)
    text = ContentReader(OPTIONS, by_data=False)
    binary = ContentReader(OPTIONS, by_data=False, binary=True)
    found = b"".join(text.feed_octets(piece) for piece in pieces) + text.finish_octets()
    assert data == b"".join(binary.feed_octets(piece) for piece in pieces) + binary.finish_octets()
    if re.search(rb"\r(?!\n)|(?<!\r)\n", data):
        assert replies.BARE_NEWLINE is text.fault
    else:
        assert data == found


@given(st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\n", b"..", b"\r\n."]), max_size=12), st.integers(1, 4))
def test_writing_and_reading_are_inverse(parts: list[bytes], cut: int) -> None:
    """What the client stuffs the server unstuffs; bare CR and LF leave as CRLF and a last line end is added."""
    content = b"".join(parts)
    writer = DataWriter()
    wire = b"".join(writer.feed(content[start : start + cut]) for start in range(0, len(content), cut)) + writer.finish()
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    reader, found, rest = _read(wire)
    assert (expected, b"", None) == (found, rest, reader.fault)
