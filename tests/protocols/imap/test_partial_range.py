"""Ranges from either end: what they mean, and what is none."""

import pytest

from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.partial_range import PartialRange, read_partial_range


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"1:3", [1, 2, 3]),
        (b"3:1", [1, 2, 3]),
        (b"4:9", [4, 5]),
        (b"6:9", []),
        (b"-1:-2", [4, 5]),
        (b"-2:-1", [4, 5]),
        (b"-5:-9", [1]),
        (b"-6:-9", []),
        (b"1:4294967295", [1, 2, 3, 4, 5]),
    ],
)
def test_ranges(raw: bytes, expected: list[int]) -> None:
    """Of five results; where the range goes beyond them, those that there are (RFC 9394 section 3.1)."""
    found = read_partial_range(Reader(raw))
    assert raw == found.to_bytes()
    assert expected == [1, 2, 3, 4, 5][found.slice(5)]
    assert [] == [][found.slice(0)]


@pytest.mark.parametrize("raw", [b"", b"1", b"0:1", b"1:0", b"1:-1", b"-1:1", b"1:*", b"1:4294967296"])
def test_no_ranges(raw: bytes) -> None:
    """Both ends are told, neither is 0 nor ``*``, and both count from the same side."""
    with pytest.raises(ParseError):
        read_partial_range(Reader(raw))


def test_the_reader_stands_behind_it() -> None:
    """What follows is for whoever asked."""
    reader = Reader(b"-1:-2)")
    assert PartialRange(-1, -2) == read_partial_range(reader)
    assert reader.take(b")")
