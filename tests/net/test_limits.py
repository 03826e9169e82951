"""Counting clients."""

import pytest

from appliance.net.limits import ConnectionLimits, RateLimit, client_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:bbbb::2", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
        ("::not an address", "::not an address"),
    ],
)
def test_client_key(address: str, key: str) -> None:
    """IPv4 addresses count alone, IPv6 addresses by their /64."""
    assert key == client_key(address)


def test_connection_limits() -> None:
    """Both limits hold, and what is released is free again."""
    limits = ConnectionLimits(max_total=3, max_per_address=2)
    assert [True, True, False] == [limits.admit("2001:db8::1"), limits.admit("2001:db8::2"), limits.admit("2001:db8::3")]
    assert [True, False] == [limits.admit("192.0.2.1"), limits.admit("192.0.2.2")]
    limits.release("2001:db8::2")
    assert limits.admit("2001:db8::3")
    assert 3 == limits.total


def test_unix_sockets_and_zero_are_unlimited() -> None:
    """Zero means no limit, and programs on this machine have no address to be limited by."""
    limits = ConnectionLimits(max_total=0, max_per_address=1)
    assert all(limits.admit("unix") for _ in range(5))
    unlimited = ConnectionLimits(max_total=0)
    assert all(unlimited.admit("192.0.2.1") for _ in range(5))


def test_rate_limit() -> None:
    """A burst of the whole count, then one for each share of the window."""
    limit = RateLimit(count=2, window_s=10)
    assert [True, True, False] == [limit.take("a", 0), limit.take("a", 0), limit.take("a", 4)]
    assert [True, False] == [limit.take("a", 5), limit.take("a", 5)]
    assert limit.take("b", 5)


def test_rate_limit_forgets_the_oldest() -> None:
    """Memory is bounded: the key longest untouched goes first."""
    limit = RateLimit(count=1, window_s=1_000, max_keys=2)
    assert [True, True, False, True] == [limit.take("a", 0), limit.take("b", 1), limit.take("a", 2), limit.take("c", 3)]
    assert [True, False] == [limit.take("b", 4), limit.take("c", 5)]


def test_refusals_are_told_a_few_times() -> None:
    """The log hears of a client that keeps coming, but not each time."""
    limits = ConnectionLimits(max_total=1)
    assert [True] * 5 + [False] == [limits.is_worth_telling("192.0.2.1", 0) for _ in range(6)]
    assert limits.is_worth_telling("192.0.2.2", 0)
    assert limits.is_worth_telling("192.0.2.1", 60)
