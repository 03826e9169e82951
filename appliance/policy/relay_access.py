"""Who may send mail through this server to other domains: never everybody.

Owns the test for trusted networks and the decision. An open relay is found by
spammers within hours, so the default of each doubt is no.

Sources: RFC 5321 section 7.9 (not relaying is fine), Postfix
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject.
"""

import ipaddress
from collections.abc import Iterable
from typing import Protocol

from appliance.model.hosts import plain_address
from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable, NotLocal, Refused, Resolution

__all__ = ["TrustedNetworks", "check_recipient", "is_kept_for_another"]

_MAX_CACHED = 1_024
_NO_RELAY = Refused(550, "5.7.1", "Relaying denied: this server is not responsible for that domain; log in to send mail elsewhere")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Resolver(Protocol):
    """The part of the directory that is needed here."""

    def resolve(self, address: str) -> Resolution: ...


def check_recipient(resolution: Resolution, *, account: AccountName | None, trusted: bool) -> Refused | None:
    """Return the refusal for a recipient, or None when the client may send to it.

    ``account``: who is logged in; ``trusted``: the client's address is in a trusted network.
    """
    if isinstance(resolution, Refused):
        return resolution
    if isinstance(resolution, Deliverable) or account is not None or trusted:
        return None
    return None if resolution.relay_domain else _NO_RELAY


def is_kept_for_another(directory: Resolver, address: str) -> bool:
    """Tell whether mail to an address is taken in for another server: we are a backup MX of its domain."""
    resolution = directory.resolve(address)
    return isinstance(resolution, NotLocal) and resolution.relay_domain


class TrustedNetworks:
    """The networks whose clients need no login."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._networks: tuple[_Network, ...] = tuple(ipaddress.ip_network(cidr) for cidr in cidrs)
        self._cache: dict[str, bool] = {}

    def contains(self, address: str) -> bool:
        """Say whether an address as the socket gives it is trusted; what is no IP address (a Unix socket's name) is not.

        Blocks:   no (pure); a dictionary lookup for an address seen before.
        """
        cached = self._cache.get(address)
        if cached is None:
            cached = self._look(address)
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[address] = cached
        return cached

    def _look(self, address: str) -> bool:
        try:
            # A scope (fe80::1%eth0) says which link, not which network.
            client = plain_address(address)
        except ValueError:
            return False
        return any(client in network for network in self._networks if network.version == client.version)
