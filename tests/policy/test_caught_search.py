"""The catcher's search language."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.caught_search import MAX_TERMS, Term, parse_moment, parse_query

NOW_S = 1_764_500_000.0  # 2025-11-30 10:53:20 UTC


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("Hello world", [Term("text", "hello"), Term("text", "world")]),
        ('"Hello world"', [Term("text", "hello world")]),
        ("-spam !eggs", [Term("text", "spam", True), Term("text", "eggs", True)]),
        ('subject:"a b" -from:x@y', [Term("subject", "a b"), Term("from", "x@y", True)]),
        ("To:Ana", [Term("to", "ana")]),
        ("http://a.test/x", [Term("text", "http://a.test/x")]),
        ("x-header:value", [Term("text", "x-header:value")]),
        ("is:unread has:attachment tag:One", [Term("is", "unread"), Term("has", "attachment"), Term("tag", "one")]),
        ("larger:10k smaller:2MB", [Term("larger", "10k", False, 10_240), Term("smaller", "2mb", False, 2_097_152)]),
        ("larger:much", [Term("text", "larger:much")]),
        (
            "smaller:1.5k -is:odd has:wings",
            [Term("smaller", "1.5k", False, 1_536), Term("text", "is:odd", True), Term("text", "has:wings")],
        ),
        ("from: subject:x ?!", [Term("subject", "x")]),
        ('""', []),
        ('"open', [Term("text", "open")]),
    ],
)
def test_a_query_is_a_list_of_terms(query: str, expected: list[Term]) -> None:
    """Each form of a term."""
    assert expected == list(parse_query(query, now_s=NOW_S))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-22", datetime(2025, 11, 22, tzinfo=UTC)),
        ("2025/11/22 14:30", datetime(2025, 11, 22, 14, 30, tzinfo=UTC)),
        ("2025-11-22T14:30:05Z", datetime(2025, 11, 22, 14, 30, 5, tzinfo=UTC)),
        ("22 Nov 2025", datetime(2025, 11, 22, tzinfo=UTC)),
        ("november 22 2025", datetime(2025, 11, 22, tzinfo=UTC)),
        ("yesterday", datetime(2025, 11, 29, tzinfo=UTC)),
        ("1764500000", datetime.fromtimestamp(NOW_S, UTC)),
        ("soon", None),
    ],
)
def test_dates_in_the_usual_forms(text: str, expected: datetime | None) -> None:
    """What people write as a date."""
    assert expected == parse_moment(text, now_s=NOW_S)


def test_dates_are_of_the_zone_that_was_named() -> None:
    """``tz`` moves midnight."""
    (term,) = parse_query("after:2025-11-22", now_s=NOW_S, zone="+02:00")
    assert int(datetime(2025, 11, 22, tzinfo=timezone(timedelta(hours=2))).timestamp() * 1_000) == term.number


def test_a_query_has_so_many_terms() -> None:
    """More are not looked at."""
    assert MAX_TERMS == len(parse_query("a " * 500, now_s=NOW_S))


@given(st.text(max_size=3_000))
def test_any_text_is_a_query(text: str) -> None:
    """Nothing that is typed fails."""
    assert len(parse_query(text, now_s=NOW_S)) <= MAX_TERMS
