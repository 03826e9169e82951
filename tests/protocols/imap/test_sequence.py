"""Sequence sets."""

import pytest

from appliance.protocols.imap.sequence import MAX_RANGES, SequenceSet, format_sequence_set


@pytest.mark.parametrize(
    ("raw", "largest", "expected"),
    [
        (b"1", 5, [(1, 1)]),
        (b"2:4,1", 5, [(1, 4)]),
        (b"4:2", 5, [(2, 4)]),
        (b"*", 5, [(5, 5)]),
        (b"7:*", 5, [(5, 7)]),
        (b"1:*", 0, []),
        (b"3,*", 0, [(3, 3)]),
        (b"1:3,5:6,4,9", 9, [(1, 6), (9, 9)]),
    ],
)
def test_sets_resolve_to_ascending_ranges(raw: bytes, largest: int, expected: list[tuple[int, int]]) -> None:
    """Ranges may be backwards, overlap, touch, and name ``*``."""
    parsed = SequenceSet.parse(raw)
    assert expected == parsed.resolve(largest)
    assert parsed == SequenceSet.parse(parsed.to_bytes())


@pytest.mark.parametrize("raw", [b"", b"0", b"1,", b"a", b"1:", b"1::2", b"4294967296", b"-1", b"1:2:3"])
def test_broken_sets_are_refused(raw: bytes) -> None:
    """Each error is a ValueError with a sentence."""
    with pytest.raises(ValueError, match="sequence set"):
        SequenceSet.parse(raw)


def test_the_number_of_ranges_is_bounded() -> None:
    """A set cannot be made of endless ranges."""
    with pytest.raises(ValueError, match="too many"):
        SequenceSet.parse(b"1," * MAX_RANGES + b"1")


def test_facts_about_a_set() -> None:
    """The session asks for the highest number and for ``*``."""
    assert (True, 9) == (SequenceSet.parse(b"9,*:3").uses_star, SequenceSet.parse(b"9,*:3").highest)
    assert not SequenceSet.parse(b"1:2").uses_star


@pytest.mark.parametrize(
    ("numbers", "expected"), [([], b""), ([4], b"4"), ([1, 2, 3, 7], b"1:3,7"), ([5, 4, 3], b"5,4,3"), (iter([1, 2]), b"1:2")]
)
def test_runs_are_joined_in_their_order(numbers: list[int], expected: bytes) -> None:
    """COPYUID needs the order kept."""
    assert expected == format_sequence_set(numbers)
