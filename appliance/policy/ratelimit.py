"""How much one client, and its whole network, may send in an hour.

Owns ``RateLimit``: for each place a bucket that empties evenly, so that an hour's
allowance may come at once and then has to be waited for.

Does not: read a clock; ``now_s`` is an argument.
Sources: Postfix smtpd_client_message_rate_limit, RFC 6647 section 2.1 (temporary refusals).
"""

import ipaddress
from collections import OrderedDict
from typing import Final

__all__ = ["RateLimit", "network_of"]

MAX_PLACES: Final = 20_000
_HOUR_S: Final = 3_600.0


def network_of(address: str) -> str:
    """Return the network that a client's address belongs to: /24, or /64, which is one customer; what is no address is its own."""
    try:
        client = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(client, ipaddress.IPv6Address):
        if client.ipv4_mapped is None:
            return f"{ipaddress.IPv6Address(int(client) >> 64 << 64)}/64"
        client = client.ipv4_mapped
    return f"{ipaddress.IPv4Address(int(client) >> 8 << 8)}/24"


class RateLimit:
    """At most ``per_hour`` for each place; 0: no limit. The places silent longest are forgotten when there are too many."""

    def __init__(self, per_hour: int) -> None:
        self.per_hour = per_hour
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, place: str, now_s: float, amount: int = 1) -> float:
        """Count ``amount``; return 0 when it may be, else the seconds until it may, and count nothing."""
        if not self.per_hour:
            return 0.0
        level, at_s = self._levels.get(place, (0.0, now_s))
        level = max(level - (now_s - at_s) * self.per_hour / _HOUR_S, 0.0)
        over = level + amount - self.per_hour
        if over > 0:
            return over * _HOUR_S / self.per_hour
        self._levels[place] = (level + amount, now_s)
        self._levels.move_to_end(place)
        if len(self._levels) > MAX_PLACES:
            self._levels.popitem(last=False)
        return 0.0
