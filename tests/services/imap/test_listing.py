"""Mailbox patterns."""

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.services.imap.listing import compile_pattern


@settings(max_examples=300, deadline=None)
@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=8))
def test_patterns_mean_what_a_regular_expression_says(pattern: str, name: str) -> None:
    """``*`` is anything, ``%`` anything but the separator."""
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(character, re.escape(character)) for character in pattern)
    assert bool(re.fullmatch(expression, name)) == compile_pattern(pattern)(name)


def test_hostile_patterns_cost_little() -> None:
    """What makes a backtracking matcher run for ages takes milliseconds."""
    test = compile_pattern("*a" * 400 + "b")
    start_s = time.perf_counter()
    assert not test("a" * 900)
    assert 0.5 > time.perf_counter() - start_s
