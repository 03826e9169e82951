"""How many connections, and how often, one client may have: counters in memory, bounded.

Owns the counting key: an IPv4 address, or the /64 of an IPv6 address, since one
subscriber line has a whole /64 (RFC 6177 section 2).
Does not: forget to count down; ``serve`` pairs ``admit`` with ``release``.

Sources: Postfix anvil(8), RFC 5321 section 4.5.4 has no word on it.
"""

import ipaddress
from collections import OrderedDict

from appliance.model.hosts import UNIX

__all__ = ["ConnectionLimits", "RateLimit", "client_key"]


def client_key(address: str) -> str:
    """Return what connections of one client are counted under; not an IP address: the text itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    if mapped is not None:
        return str(mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


class RateLimit:
    """Events per window and key, as a token bucket: ``count`` at once, then one each ``window_s / count`` seconds.

    At most ``max_keys`` keys are kept; the one longest untouched is forgotten first.
    """

    __slots__ = ("_buckets", "_count", "_max_keys", "_rate")

    def __init__(self, *, count: int, window_s: float, max_keys: int = 10_000) -> None:
        self._count = float(count)
        self._rate = count / window_s
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> bool:
        """Count one event of ``key``; False when it is one too many. ``now_s`` never runs backwards."""
        tokens, then_s = self._buckets.pop(key, (self._count, now_s))
        tokens = min(self._count, tokens + (now_s - then_s) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now_s)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return allowed


class ConnectionLimits:
    """Connections at once, together and per client; 0 means no limit. Shared by the listeners of one protocol.

    Both maxima may be changed at any time; connections that are there already stay.
    """

    __slots__ = ("_per_client", "_told", "_total", "max_per_address", "max_total")

    def __init__(self, *, max_total: int = 0, max_per_address: int = 0) -> None:
        self.max_total = max_total
        self.max_per_address = max_per_address
        self._total = 0
        self._per_client: dict[str, int] = {}
        self._told = RateLimit(count=5, window_s=60.0, max_keys=1_000)

    @property
    def total(self) -> int:
        return self._total

    def admit(self, address: str) -> bool:
        """Count a connection in, unless that breaks a limit. Unix sockets have no address to be limited by."""
        if self.max_total and self._total >= self.max_total:
            return False
        key = client_key(address)
        if self.max_per_address and self._per_client.get(key, 0) >= self.max_per_address and key != UNIX:
            return False
        self.readmit(address)
        return True

    def readmit(self, address: str) -> None:
        """Count a connection in whatever the limits say: it was there before."""
        key = client_key(address)
        self._per_client[key] = self._per_client.get(key, 0) + 1
        self._total += 1

    def is_worth_telling(self, address: str, now_s: float) -> bool:
        """Return True for the first few refusals of a client in a minute: a flood must not become one of the log."""
        return self._told.take(client_key(address), now_s)

    def release(self, address: str) -> None:
        """Count a connection out that ``admit`` counted in."""
        key = client_key(address)
        count = self._per_client[key] - 1
        if count:
            self._per_client[key] = count
        else:
            del self._per_client[key]
        self._total -= 1
