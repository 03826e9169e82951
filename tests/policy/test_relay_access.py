"""Who may send through this server to other domains."""

import pytest

from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable, LocalTarget, NotLocal, Refused
from appliance.policy.relay_access import TrustedNetworks, check_recipient

LOCAL = Deliverable((LocalTarget(AccountName("ana")),))
UNKNOWN = Refused(550, "5.1.1", "no")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.9.9.9", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("192.168.1.7", True),
        ("192.168.2.7", False),
        ("203.0.113.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_trusted_networks_know_their_own(address: str, expected: bool) -> None:
    """IPv4 in IPv6 clothes counts as IPv4, a scope is not part of an address; twice, since answers are kept."""
    networks = TrustedNetworks(("127.0.0.0/8", "::1/128", "192.168.1.0/24", "fe80::/10"))
    assert [expected, expected] == [networks.contains(address), networks.contains(address)]


def test_the_cache_of_addresses_is_bounded() -> None:
    """A scan from many addresses does not fill the memory, and answers stay right."""
    networks = TrustedNetworks(("10.0.0.0/16",))
    assert [networks.contains(f"10.{number % 3}.{number // 250}.1") for number in range(3_000)] == [
        number % 3 == 0 for number in range(3_000)
    ]


@pytest.mark.parametrize(
    ("resolution", "account", "trusted", "allowed"),
    [
        (LOCAL, None, False, True),
        (NotLocal(relay_domain=True), None, False, True),
        (NotLocal(), None, False, False),
        (NotLocal(), None, True, True),
        (NotLocal(), AccountName("ana"), False, True),
        (UNKNOWN, AccountName("ana"), True, False),
    ],
)
def test_strangers_never_relay(
    resolution: Deliverable | NotLocal | Refused, account: AccountName | None, trusted: bool, allowed: bool
) -> None:
    """Only a login, a trusted network or a relay domain opens the way; an unknown address of ours stays unknown."""
    refusal = check_recipient(resolution, account=account, trusted=trusted)
    assert allowed == (refusal is None)
    if refusal is not None and resolution != UNKNOWN:
        assert (refusal.code, refusal.status) == (550, "5.7.1")
