"""How long a failed login waits, and when an address is not listened to for a while.

Owns the count of failures per client address. Each failure waits longer than the
one before; after ``max_failures`` within the window every login from there is refused
unseen until the window has passed. Private networks, and the address of an
account's last good login, are only slowed: an office behind one forgotten phone
must not be locked out by it. IPv6 clients count by their /64, which is one customer.

Does not: wait. ``now_s`` is an argument, the delay a return value.

Sources: RFC 4954 section 9 (guessing), Dovecot auth-penalty, fail2ban's habit.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from appliance.model.ids import AccountName

__all__ = ["LoginLimit"]

_WINDOW_S = 600.0
_FIRST_DELAY_S = 1.0
_MAX_DELAY_S = 15.0
_MAX_ADDRESSES = 10_000

# Not ipaddress's is_private: that counts ranges which strangers share, too.
_PRIVATE = tuple(
    ipaddress.ip_network(cidr)
    for cidr in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        # ::1 counts as its /64, as every IPv6 client.
        "::/64",
        "fe80::/10",
        "fc00::/7",
    )
)


@dataclass(slots=True)
class _Failures:
    count: int
    first_s: float


class LoginLimit:
    """Failed logins of the last ten minutes, at most 10,000 addresses; the longest silent are forgotten first."""

    def __init__(self, max_failures: int = 10) -> None:
        self.max_failures = max_failures
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._last_good: OrderedDict[AccountName, str] = OrderedDict()

    def is_refused(self, address: str, account: AccountName | None, now_s: float) -> bool:
        """Say whether a login is refused before its password is looked at. ``account``: whose login it would be, if there is one."""
        place = _place(address)
        failures = self._current(place, now_s)
        if failures is None or failures.count < self.max_failures or _is_private(place):
            return False
        return account is None or self._last_good.get(account) != place

    def failed(self, address: str, now_s: float) -> float:
        """Count a failure; return the seconds to wait before the answer: 0, 1, 2, 4, ... up to 15."""
        place = _place(address)
        failures = self._current(place, now_s)
        if failures is None:
            failures = self._failures[place] = _Failures(0, now_s)
        failures.count += 1
        self._failures.move_to_end(place)
        if len(self._failures) > _MAX_ADDRESSES:
            self._failures.popitem(last=False)
        return _delay_s(failures.count)

    def delay_s(self, address: str, now_s: float) -> float:
        """Return the wait that a login refused unseen gets; it is not counted again."""
        failures = self._current(_place(address), now_s)
        return _delay_s(failures.count + 1) if failures else 0.0

    def succeeded(self, address: str, account: AccountName) -> None:
        """Remember where an account last logged in. Failures stay counted: else one known password would buy endless guesses at others."""
        self._last_good[account] = _place(address)
        self._last_good.move_to_end(account)
        if len(self._last_good) > _MAX_ADDRESSES:
            self._last_good.popitem(last=False)

    def _current(self, place: str, now_s: float) -> _Failures | None:
        failures = self._failures.get(place)
        if failures is not None and now_s - failures.first_s >= _WINDOW_S:
            del self._failures[place]
            return None
        return failures


def _delay_s(count: int) -> float:
    """The first failure is a typing error and waits for nothing."""
    return 0.0 if count <= 1 else min(_FIRST_DELAY_S * 2 ** min(count - 2, 10), _MAX_DELAY_S)


def _place(address: str) -> str:
    try:
        client = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(client, ipaddress.IPv6Address):
        if client.ipv4_mapped:
            return str(client.ipv4_mapped)
        return str(ipaddress.ip_network((int(client) >> 64 << 64, 64)))
    return str(client)


def _is_private(place: str) -> bool:
    """Say whether a place is this machine or its own network; what is no address is a Unix socket, so this machine."""
    try:
        network = ipaddress.ip_network(place)
    except ValueError:
        return True
    return any(network.version == private.version and network.subnet_of(private) for private in _PRIVATE)  # type: ignore[arg-type]
