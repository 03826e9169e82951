"""From a next hop to the addresses to try, in order.

Owns MX preference, the shuffle among equals, the end of the list at our own
name, and the words for what DNS says.

Fails: what cannot be delivered is an ``Outcome`` (deferred or bounced).
Sources: RFC 5321 section 5.1, RFC 7505 (null MX), RFC 3463 (x.1.2, x.4.4, x.4.6).
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from appliance.model.outcome import Action, Outcome
from appliance.model.routing import NextHop
from appliance.net.resolver import MailHosts, MxHost, ResolveError

__all__ = ["HostLookup", "Target", "find_targets"]

MAX_HOSTS = 20
MAX_TARGETS = 40


class HostLookup(Protocol):
    """The part of the resolver that is needed here."""

    async def mail_hosts(self, domain: str) -> MailHosts: ...

    async def addresses(self, host: str) -> tuple[str, ...]: ...


class Target(NamedTuple):
    """One address to connect to; ``host`` is the name that its certificate must have."""

    host: str
    address: str
    port: int


def _literal(host: str) -> str | None:
    """Return the address inside ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 section 4.1.3), or of a bare address."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _failed(error: ResolveError) -> Outcome:
    if error.temporary:
        return Outcome(Action.DEFERRED, "4.4.3", f"Name lookup failed: {error.reason}")
    return Outcome(Action.BOUNCED, "5.1.2", f"Cannot find a mail server: {error.reason}")


def _shuffled(hosts: Sequence[MxHost], shuffle: Callable[[list[MxHost]], None]) -> list[MxHost]:
    """Order by preference; equals in random order, so that load spreads (RFC 5321 section 5.1)."""
    mixed = list(hosts)
    shuffle(mixed)
    return sorted(mixed, key=lambda host: host.preference)


async def _preferred(
    next_hop: NextHop, resolver: HostLookup, own_names: frozenset[str], shuffle: Callable[[list[MxHost]], None]
) -> list[MxHost] | Outcome:
    found = await resolver.mail_hosts(next_hop.host)
    if found.is_null:
        return Outcome(Action.BOUNCED, "5.1.10", f"The domain {next_hop.host} says that it takes no mail")
    hosts = _shuffled(found.hosts, shuffle)
    for ours in hosts:
        if ours.host.lower().rstrip(".") in own_names:
            # Hosts that are as far from the destination as we are, or farther, would send it back to us.
            hosts = [host for host in hosts if host.preference < ours.preference]
            break
    if not hosts:
        return Outcome(
            Action.BOUNCED,
            "5.4.6",
            f"Mail for {next_hop.host} would come back to this server: its MX is here, but the domain is not in the settings",
        )
    return hosts[:MAX_HOSTS]


async def find_targets(
    next_hop: NextHop, resolver: HostLookup, own_names: frozenset[str], shuffle: Callable[[list[MxHost]], None]
) -> list[Target] | Outcome:
    """Return the addresses to try, best first, or the outcome when there are none.

    ``own_names``: names of this server, lower case. ``shuffle``: orders a list at random, in place.
    Blocks: network.
    """
    if (address := _literal(next_hop.host)) is not None:
        return [Target(address, address, next_hop.port)]
    try:
        hosts = await _preferred(next_hop, resolver, own_names, shuffle) if next_hop.use_mx else [MxHost(0, next_hop.host)]
    except ResolveError as error:
        return _failed(error)
    if isinstance(hosts, Outcome):
        return hosts
    targets: list[Target] = []
    failure: ResolveError | None = None
    for host in hosts:
        try:
            targets += [Target(host.host, address, next_hop.port) for address in await resolver.addresses(host.host)]
        except ResolveError as error:
            # A host that may come back outweighs one that is gone for good.
            failure = error if failure is None or error.temporary else failure
    if targets:
        return targets[:MAX_TARGETS]
    return _failed(failure or ResolveError("no host", temporary=True))
