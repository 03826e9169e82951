"""The line buffer: lines, counted octets, limits, linear time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocols.lines import LineBuffer, LineTooLongError


def _lines(buffer: LineBuffer, limit: int = 100) -> list[bytes]:
    found = []
    while (line := buffer.take_line(limit)) is not None:
        found.append(line)
    return found


def test_takes_lines_without_their_ends() -> None:
    """CRLF is cut off, an unfinished line waits."""
    buffer = LineBuffer()
    buffer.append(b"one\r\n\r\nthr")
    assert [b"one", b""] == _lines(buffer)
    buffer.append(b"ee\r")
    assert [] == _lines(buffer)
    buffer.append(b"\nrest")
    assert [b"three"] == _lines(buffer)
    assert b"rest" == buffer.take_all()
    assert not buffer


def test_bare_lf_by_policy() -> None:
    """A bare LF is a line end where allowed, else it stays on the line for the grammar to refuse."""
    strict, lenient = LineBuffer(), LineBuffer(lf_ends_line=True)
    for buffer in (strict, lenient):
        buffer.append(b"one\ntwo\r\n\n")
    assert [b"one\n", b"two", b"\n"] == _lines(strict)
    assert [b"one", b"two", b""] == _lines(lenient)


@pytest.mark.parametrize("cut", [1, 2, 100])
def test_limit(cut: int) -> None:
    """A line of just the limit is taken, one octet more raises and can be skipped."""
    buffer = LineBuffer()
    data = b"12345\r\n123456\r\nx\r\n"
    found: list[bytes] = []
    skipping = False
    for start in range(0, len(data), cut):
        buffer.append(data[start : start + cut])
        if skipping:
            skipping = not buffer.skip_line()
        try:
            found += _lines(buffer, 5) if not skipping else []
        except LineTooLongError:
            found.append(b"12345") if not found else None
            found.append(b"!")
            skipping = not buffer.skip_line()
            found += _lines(buffer, 5) if not skipping else []
    assert [b"12345", b"!", b"x"] == found


def test_counted_octets() -> None:
    """Octets are taken exactly, or as many as there are."""
    buffer = LineBuffer()
    buffer.append(b"abc")
    assert buffer.take_bytes(4) is None
    buffer.append(b"def\r\n")
    assert buffer.startswith(b"abcd")
    assert b"abcd" == buffer.take_bytes(4)
    assert b"e" == buffer.take_at_most(1)
    assert b"f" == buffer.take_line(10)
    assert b"" == buffer.take_at_most(10)
    buffer.append(b"xyz")
    assert b"xy" == buffer.take_bytes(2)
    buffer.put_back(b"xy")
    buffer.append(b"!")
    assert 4 == len(buffer)
    assert b"xyz!" == buffer.take_at_most(10)
    buffer.put_back(b"a")
    buffer.clear()
    assert b"" == buffer.take_all()


def test_take_all_does_not_copy() -> None:
    """What came in one read goes out as the same object."""
    buffer = LineBuffer()
    data = b"x" * 1000
    buffer.append(data)
    assert buffer.take_all() is data


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=40), st.booleans())
def test_split_invariance(data: bytes, cuts: list[int], lf_ends_line: bool) -> None:
    """However bytes arrive, the same lines and the same rest come out."""
    whole, pieces = LineBuffer(lf_ends_line=lf_ends_line), LineBuffer(lf_ends_line=lf_ends_line)
    whole.append(data)
    expected = _lines(whole, 1000)
    found: list[bytes] = []
    for cut in [*cuts, len(data)]:
        if data[:cut]:
            pieces.append(data[:cut])
        data = data[cut:]
        found += _lines(pieces, 1000)
    assert expected == found
    assert whole.take_all() == pieces.take_all()


def test_linear_time() -> None:
    """A megabyte in single octets is searched once, not once per octet."""
    buffer = LineBuffer()
    for _ in range(100_000):
        buffer.append(b"x")
        assert buffer.take_line(1 << 20) is None
    buffer.append(b"\r\n")
    assert 100_000 == len(buffer.take_line(1 << 20) or b"")
