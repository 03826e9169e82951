"""Header sections: where they end, what is in them, and that nothing changes unasked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.message.header import (
    Field,
    HeaderSection,
    all_values,
    body_offset,
    first_values,
    iterate_fields,
    select_fields,
    split_message,
    unfold,
)

ORDINARY = b"From: a@b.example\r\nSubject: one\r\n two\r\nTo : c@d.example\r\n\r\n body\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ORDINARY, len(ORDINARY) - 7),
        (b"A: b\n\nx", 6),
        (b"\r\nx", 2),
        (b"\nx", 1),
        (b"A: b\r\n", -1),
        (b"", -1),
        (b"A: b\r\n\n\r\nx", 7),
    ],
)
def test_the_body_starts_behind_the_first_empty_line(data: bytes, expected: int) -> None:
    """CRLF and LF both end lines; whichever empty line is first counts."""
    assert expected == body_offset(data)


def test_fields_come_whole_and_in_order() -> None:
    """A folded field is one; a body line that starts with a space is none."""
    expected = [
        Field(b"From", b"From: a@b.example\r\n"),
        Field(b"Subject", b"Subject: one\r\n two\r\n"),
        Field(b"To", b"To : c@d.example\r\n"),
    ]
    assert expected == list(iterate_fields(ORDINARY))
    assert [b"a@b.example", b"one two", b"c@d.example"] == [field.value for field in expected]


def test_malformed_lines_keep_their_place_without_a_name() -> None:
    """A fold before any field, a line without colon and a name with a space are kept under the empty name."""
    data = b" fold\r\nno colon here\r\nbad name: x\r\n: y\r\nGood: z\r\n\r\n"
    section = HeaderSection(data)
    assert [b"", b"", b"", b"", b"Good"] == [field.name for field in section.fields]
    assert b"no colon here" == section.fields[1].value
    assert data == section.to_bytes()


def test_a_section_answers_in_any_case() -> None:
    """Names are compared without case; the first field wins for get."""
    section = HeaderSection(b"X-A: 1\r\nx-a: 2\r\nB: 3\r\n\r\nbody")
    assert b"1" == section.get(b"X-a")
    assert [b"1", b"2"] == section.get_all(b"x-A")
    assert 2 == section.count(b"X-A")
    assert section.get(b"absent") is None


def test_a_section_is_changed_by_making_another() -> None:
    """Fields are left out by lower-case name and put in front or behind; the empty line stays."""
    section = HeaderSection(b"A: 1\r\nB: 2\r\njunk\r\n\r\n")
    changed = section.without({b"a"}).prepend(b"R: 0\r\n").append(b"Z: 9\r\n")
    assert b"R: 0\r\nB: 2\r\njunk\r\nZ: 9\r\n\r\n" == changed.to_bytes()
    assert b"A: 1\r\nB: 2\r\njunk\r\n\r\n" == section.to_bytes()


def test_fields_over_the_limit_stay_as_one_lump() -> None:
    """What is not indexed is not lost."""
    data = b"A: 1\r\n" * 5 + b"\n"
    section = HeaderSection(data, max_fields=2)
    assert 3 == len(section.fields)
    assert data == section.to_bytes()


def test_first_values_takes_the_first_of_each_name() -> None:
    """The quick way in unfolds and strips."""
    header = b"Subject:  a\r\n\tb \r\nsubject: c\r\nFROM : x\r\nOther: y\r\n\r\n"
    assert {b"subject": b"a\tb", b"from": b"x"} == first_values(header, {b"subject", b"from"})


@settings(deadline=None)
@given(header=st.lists(st.sampled_from([b"Subject", b"to", b"X", b":", b" ", b"\t", b"\r\n", b"\n", b"a,b", b"\r"])).map(b"".join))
def test_all_values_are_those_of_the_fields(header: bytes) -> None:
    """The quick way in gives what going through the fields does."""
    wanted = frozenset({b"subject", b"to"})
    expected: dict[bytes, list[bytes]] = {}
    section, _ = split_message(header)
    for found in iterate_fields(section):
        if found.name.lower() in wanted:
            expected.setdefault(found.name.lower(), []).append(found.value)
    assert expected == all_values(section, wanted)


def test_selected_fields_stand_exactly_as_they_were() -> None:
    """HEADER.FIELDS and its opposite end with an empty line even when nothing matched (RFC 9051 section 6.4.5.1)."""
    header = b"A: 1\r\nB: 2\r\n 3\r\njunk\r\n\r\n"
    assert b"B: 2\r\n 3\r\n\r\n" == select_fields(header, {b"b"})
    assert b"A: 1\r\njunk\r\n\r\n" == select_fields(header, {b"b"}, exclude=True)
    assert b"\r\n" == select_fields(header, {b"none"})
    assert b"A: 1\r\n\r\n" == select_fields(b"A: 1", {b"a"})


def test_split_and_unfold() -> None:
    """A message without an empty line is all header."""
    assert (b"A: 1\r\n\r\n", b"x") == split_message(b"A: 1\r\n\r\nx")
    assert (b"A: 1\r\n", b"") == split_message(b"A: 1\r\n")
    assert b"a b" == unfold(b" a\r\n b\r\n")
