"""Threads: the algorithms, their written form, and what loops and depth do to them."""

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.message.thread import STEP, Steps, ThreadMessage, ordered_subject, references, refs

Algorithm = Callable[[Sequence[ThreadMessage]], Steps]


def run(steps: Steps) -> bytes:
    """Take all steps; return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bytes(end.value)


def message(number: int, *parents: int, subject: bytes = b"", reply: bool = False, sent_s: int | None = None) -> ThreadMessage:
    return ThreadMessage(number, number if sent_s is None else sent_s, number, subject, reply, number, parents)


def test_the_example_of_the_grammar() -> None:
    """RFC 5256 section 4: message 2 alone; 3 answered by 6, that by 4 and 44, these by 23, 7 and 96."""
    messages = [
        message(2), message(3), message(6, 3), message(4, 3, 6), message(23, 3, 6, 4), message(44, 3, 6), message(7, 44), message(96, 7),
    ]  # fmt: skip
    assert b"(2)(3 6 (4 23)(44 7 96))" == run(references(messages))
    assert b"(2)(3 6 (4 23)(44 7 96))" == run(refs(messages))


def test_a_missing_parent_with_two_children_leaves_a_gap() -> None:
    """RFC 5256 section 3, step 3: dummies stay at the top only when they hold several; "((170)(179))"."""
    assert b"((1)(2))" == run(references([message(1, 99), message(2, 99)]))
    assert b"(1)" == run(references([message(1, 99)]))
    assert b"(3 (1)(2))" == run(references([message(1, 3, 99), message(2, 3, 99), message(3)]))


def test_threads_of_one_subject_are_merged() -> None:
    """Step 5, each of its four cases."""
    one, other = message(1, subject=b"S"), message(2, subject=b"S", reply=True)
    assert b"(1 2)" == run(references([one, other]))
    assert b"(2 1)" == run(references([message(1, subject=b"S", reply=True), message(2, subject=b"S")]))
    assert b"((1)(2))" == run(references([message(1, subject=b"S"), message(2, subject=b"S")]))
    assert b"((1)(2)(3))" == run(references([message(1, 9, subject=b"S"), message(2, 9, subject=b"S"), message(3, subject=b"S")]))
    both = [message(1, 8, subject=b"S"), message(2, 8, subject=b"S"), message(3, 9, subject=b"S"), message(4, 9, subject=b"S")]
    assert b"((1)(2)(3)(4))" == run(references(both))
    assert b"((1)(2)(3))" == run(references([message(number, subject=b"S") for number in (1, 2, 3)]))


def test_an_empty_subject_merges_nothing() -> None:
    """Step 5.B.ii."""
    assert b"(1)(2)" == run(references([message(1), message(2)]))


def test_refs_does_not_look_at_subjects() -> None:
    """And the thread that heard last comes last."""
    assert b"(1)(2)" == run(refs([message(1, subject=b"S"), message(2, subject=b"S")]))
    assert b"(2)(1 3)" == run(refs([message(1), message(2), message(3, 1)]))


def test_a_second_message_of_an_identifier_has_none() -> None:
    """Step 1.A: the first keeps it."""
    copy = ThreadMessage(2, 2, 2, message_id=1)
    assert b"(1 3)(2)" == run(references([message(1), copy, message(3, 1)]))


def test_the_last_reference_wins_over_an_earlier_guess() -> None:
    """Step 1.B: a link made from somebody else's References is broken by the message's own."""
    messages = [message(1), message(2), message(4, 1, 3), message(3, 2)]
    assert b"(1)(2 3 4)" == run(references(messages))


def test_a_message_without_references_loses_its_guessed_parent() -> None:
    """Step 1.B: "if this message has no references, it will now have no parent"."""
    assert b"(1)(3 4)" == run(references([message(1), message(4, 1, 3), message(3)]))


@pytest.mark.parametrize("algorithm", [references, refs])
def test_loops_are_not_linked(algorithm: Algorithm) -> None:
    """Two that answer each other, and one that answers itself."""
    assert b"(2 1)" == run(algorithm([message(1, 2), message(2, 1)]))
    assert b"(1)" == run(algorithm([message(1, 1)]))
    assert b"(3 2 1)" == run(algorithm([message(1, 2), message(2, 3), message(3, 1)]))


def test_siblings_and_threads_are_sorted_by_sent_date() -> None:
    """Step 6; what was sent at one time stays in the order of the mailbox."""
    messages = [message(1, sent_s=50), message(2, 1, sent_s=9), message(3, 1, sent_s=7), message(4, 1, sent_s=7), message(5, sent_s=20)]
    assert b"(5)(1 (3)(4)(2))" == run(references(messages))


def test_ordered_subject() -> None:
    """RFC 5256 section 3: all that follow are siblings below the first."""
    messages = [
        message(1, subject=b"B"),
        message(2, subject=b"A"),
        message(3, subject=b"B"),
        message(4, subject=b"B"),
        message(5, sent_s=0),
    ]
    assert b"(5)(1 (3)(4))(2)" == run(ordered_subject(messages))
    assert b"" == run(ordered_subject([]))


def test_a_thread_as_deep_as_the_mailbox() -> None:
    """No recursion, and the turn is given back on the way."""
    deep = [message(number, number - 1) for number in range(2, 3 * STEP)]
    steps = references([message(1), *deep])
    turns = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            written = end.value
            break
        turns += 1
    assert b"(" + b" ".join(b"%d" % number for number in range(1, 3 * STEP)) + b")" == written
    assert turns > 10


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.lists(st.integers(1, 9), max_size=4), st.sampled_from([b"", b"A", b"B"]), st.booleans()),
        max_size=12,
    )
)
def test_every_message_is_told_once(drawn: list[tuple[int, list[int], bytes, bool]]) -> None:
    """Whatever refers to whatever, nothing is lost or doubled, and the parentheses fit."""
    messages = [
        ThreadMessage(number, number % 5, number, subject, reply, own, parents)
        for number, (own, parents, subject, reply) in enumerate(drawn, 1)
    ]
    for algorithm in (references, refs, ordered_subject):
        written = run(algorithm(messages))
        assert list(range(1, len(messages) + 1)) == sorted(map(int, re.findall(rb"\d+", written)))
        depth = 0
        for octet in written:
            depth += {40: 1, 41: -1}.get(octet, 0)
            assert depth > 0 or octet == 41
        assert depth == 0
