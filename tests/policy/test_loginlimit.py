"""How long failed logins wait, and who is not listened to."""

import pytest

from appliance.model.ids import AccountName
from appliance.policy.loginlimit import LoginLimit

ANA = AccountName("ana")
STRANGER = "198.51.100.7"


def fail(limit: LoginLimit, address: str, times: int, now_s: float = 0.0) -> list[float]:
    """Fail a number of times and return the waits."""
    return [limit.failed(address, now_s) for _ in range(times)]


def test_each_failure_waits_longer() -> None:
    """The first is a typing error; then the wait doubles, to a quarter of a minute."""
    assert [0, 1, 2, 4, 8, 15, 15] == fail(LoginLimit(), STRANGER, 7)


def test_ten_failures_in_ten_minutes_close_the_door_for_the_rest_of_them() -> None:
    """For unknown and known names alike, until the window has passed."""
    limit = LoginLimit(10)
    fail(limit, STRANGER, 9)
    assert not limit.is_refused(STRANGER, None, 1.0)
    fail(limit, STRANGER, 1)
    assert [limit.is_refused(STRANGER, account, 599.0) for account in (None, ANA)] == [True, True]
    assert limit.delay_s(STRANGER, 599.0) == 15
    assert not limit.is_refused(STRANGER, None, 600.0)
    assert limit.delay_s(STRANGER, 600.0) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.1.5", "10.1.2.3", "172.16.0.1", "::1", "fe80::1%eth0", "fd00::5", "unix"])
def test_private_networks_are_only_slowed(address: str) -> None:
    """One forgotten phone does not lock the office out."""
    limit = LoginLimit(3)
    assert fail(limit, address, 20)[-1] == 15
    assert not limit.is_refused(address, None, 1.0)


def test_the_last_good_address_of_an_account_stays_open_for_it_alone() -> None:
    """Somebody else's guesses from there are still refused."""
    limit = LoginLimit(3)
    limit.succeeded(STRANGER, ANA)
    fail(limit, STRANGER, 5)
    assert [limit.is_refused(STRANGER, account, 1.0) for account in (ANA, AccountName("bob"), None)] == [False, True, True]


def test_a_good_login_does_not_buy_new_guesses() -> None:
    """Failures stay counted."""
    limit = LoginLimit(3)
    fail(limit, STRANGER, 3)
    limit.succeeded(STRANGER, ANA)
    assert limit.is_refused(STRANGER, AccountName("bob"), 1.0)


def test_an_ipv6_customer_is_one_place() -> None:
    """Every address of a /64 counts together; IPv4 in IPv6 clothes as IPv4."""
    limit = LoginLimit(3)
    for number in range(3):
        limit.failed(f"2001:db8:1:2::{number}", 0.0)
    assert limit.is_refused("2001:db8:1:2:ffff::1", None, 1.0)
    assert not limit.is_refused("2001:db8:1:3::1", None, 1.0)
    fail(limit, STRANGER, 3)
    assert limit.is_refused(f"::ffff:{STRANGER}", None, 1.0)


def test_memory_is_bounded() -> None:
    """A botnet is forgotten from its silent end; the newest stay known."""
    limit = LoginLimit(1)
    for number in range(11_000):
        limit.failed(f"198.{number >> 8 & 255}.{number & 255}.1", 0.0)
        limit.succeeded(STRANGER, AccountName(f"u{number}"))
    assert not limit.is_refused("198.0.0.1", None, 1.0)
    assert limit.is_refused("198.42.200.1", None, 1.0)
    assert limit.is_refused(STRANGER, AccountName("u0"), 1.0) is False
