"""When a deferred recipient is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.config.schema import QueueConfig
from appliance.policy.retry import next_attempt_s

CONFIG = QueueConfig()


def test_waits_grow_from_minutes_to_the_ceiling() -> None:
    """Five minutes, a quarter of an hour, then doubling up to four hours."""
    assert [round(next_attempt_s(attempts, CONFIG, 0.5)) for attempts in range(1, 9)] == [
        300,
        900,
        1_800,
        3_600,
        7_200,
        14_400,
        14_400,
        14_400,
    ]


def test_jitter_moves_a_wait_by_a_tenth() -> None:
    """A thousand messages for one dead server do not return in the same second."""
    assert (round(next_attempt_s(1, CONFIG, 0.0)), round(next_attempt_s(1, CONFIG, 1.0))) == (270, 330)


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_waits_never_shrink_nor_leave_their_bounds(attempts: int, jitter: float) -> None:
    """Whatever the count of attempts."""
    wait_s = next_attempt_s(attempts, CONFIG, jitter)
    assert 270 <= wait_s <= CONFIG.max_retry_s * 1.1
    assert wait_s <= next_attempt_s(attempts + 1, CONFIG, jitter)
