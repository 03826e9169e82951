"""Lines and literals in a stream of bytes."""

import pytest

from appliance.protocols.imap.frames import Buffer, LineTooLongError, Literal, find_literal


@pytest.mark.parametrize(
    ("line", "literal"),
    [
        (b"a {5}\r\n", Literal(5, True, False, 5)),
        (b"a {5+}\n", Literal(5, False, False, 5)),
        (b"a ~{12+}\r\n", Literal(12, False, True, 8)),
        (b"a {5} \r\n", None),
        (b"a {5-}\r\n", None),
        (b"a {}\r\n", None),
    ],
)
def test_announcements(line: bytes, literal: Literal | None) -> None:
    """Only at the very end of a line, of either kind."""
    assert literal == find_literal(line)


def test_lines_arrive_in_pieces() -> None:
    """Nothing is returned before the line is whole, and nothing is lost behind it."""
    buffer = Buffer()
    buffer.feed(b"one\r")
    assert buffer.take_line(10) is None
    buffer.feed(b"\ntwo")
    assert b"one\r\n" == buffer.take_line(10)
    assert b"tw" == buffer.peek(2)
    assert b"two" == buffer.take(10)
    assert len(buffer) == 0


def test_a_line_has_a_limit() -> None:
    """Complete or not."""
    for text in (b"12345\n", b"123456"):
        buffer = Buffer()
        buffer.feed(text)
        with pytest.raises(LineTooLongError):
            buffer.take_line(5)


def test_dropping() -> None:
    """Counts what was there."""
    buffer = Buffer()
    buffer.feed(b"abcdef\nrest")
    assert 2 == buffer.drop(2)
    assert b"cdef\n" == buffer.take_line_part()
    assert b"rest" == buffer.take_line_part()
    assert 0 == buffer.drop(5)
