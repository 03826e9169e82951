"""Rates by the hour."""

import pytest

from appliance.policy.ratelimit import MAX_PLACES, RateLimit, network_of


def test_an_allowance_may_come_at_once_and_then_comes_evenly() -> None:
    """What is refused is not counted."""
    limit = RateLimit(10)
    assert [0.0] * 10 == [limit.take("a", 0) for _ in range(10)]
    assert [360.0, 360.0, 0.0] == [limit.take("a", 0), limit.take("a", 0), limit.take("b", 0)]
    assert 0.0 == limit.take("a", 360)


def test_no_limit_counts_nothing() -> None:
    """0 is off."""
    assert [0.0] * 3 == [RateLimit(0).take("a", 0) for _ in range(3)]


def test_the_longest_silent_are_forgotten() -> None:
    """However many addresses there are, memory is bounded."""
    limit = RateLimit(1)
    for number in range(MAX_PLACES + 1):
        limit.take(str(number), 0)
    assert [0.0, 3_600.0] == [limit.take("0", 0), limit.take(str(MAX_PLACES), 0)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.9", "192.0.2.0/24"),
        ("2001:db8::9", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.9", "192.0.2.0/24"),
        ("unix", "unix"),
    ],
)
def test_networks(address: str, expected: str) -> None:
    """A /24 and a /64 are one customer."""
    assert expected == network_of(address)
