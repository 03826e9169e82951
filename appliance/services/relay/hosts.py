"""From a next hop to the addresses to try, in order.

Owns MX preference, the shuffle among equals, the end of the list at ourselves, by
name or by address, and the words for what DNS says.

Fails: what cannot be delivered is an ``Outcome`` (deferred or bounced). What the
settings name and DNS does not know is deferred: it is the admin's to mend.
Blocks: network; all hosts are looked up at once.
Sources: RFC 5321 section 5.1, RFC 7505 (null MX), RFC 3463 (x.1.2, x.4.4, x.4.6),
Postfix smtp_addr.c.
"""

import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple, Protocol

import trio

from appliance.model.domain import canonical_literal
from appliance.model.outcome import Action, Outcome
from appliance.model.routing import NextHop
from appliance.net.resolver import MailHosts, MxHost, ResolveError

__all__ = ["HostLookup", "Ourselves", "Target", "find_targets"]

MAX_HOSTS: Final = 20
MAX_TARGETS: Final = 40
_ANY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


class HostLookup(Protocol):
    """The part of the resolver that is needed here."""

    async def mail_hosts(self, domain: str) -> MailHosts: ...

    async def addresses(self, host: str) -> tuple[str, ...]: ...


class Target(NamedTuple):
    """One address to connect to; ``host`` is the name that its certificate must have, ``is_secure``: nobody on the way can have changed it."""

    host: str
    address: str
    port: int
    is_secure: bool = False


class Ourselves:
    """Knows this server by its names and by the addresses that it listens on.

    ``names``: lower case. ``listeners``: numeric address and port of each SMTP listener; ``0.0.0.0`` and ``::`` mean every
    address of this machine.
    """

    def __init__(self, names: Collection[str] = (), listeners: Iterable[tuple[str, int]] = ()) -> None:
        self.names = frozenset(names)
        self._listeners = frozenset(listeners)
        self._open_ports = frozenset(port for address, port in self._listeners if address in _ANY)

    def is_name(self, host: str) -> bool:
        return host.lower() in self.names

    def is_listener(self, address: str, port: int) -> bool:
        """Tell whether a connection to that address and port would reach this server."""
        return (address, port) in self._listeners or (port in self._open_ports and _is_of_this_machine(address))


def _is_of_this_machine(address: str) -> bool:
    """Ask the kernel: only an address of one's own can be bound. No packet is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _failed(error: ResolveError, next_hop: NextHop) -> Outcome:
    if error.temporary:
        return Outcome(Action.DEFERRED, "4.4.3", f"Name lookup failed: {error.reason}")
    if not next_hop.use_mx:
        return Outcome(Action.DEFERRED, "4.4.4", f"Cannot find the server {next_hop.host} that the settings name: {error.reason}")
    return Outcome(Action.BOUNCED, "5.1.2", f"Cannot find a mail server: {error.reason}")


def _loop(next_hop: NextHop) -> Outcome:
    if not next_hop.use_mx:
        return Outcome(
            Action.DEFERRED, "4.4.6", f"The server {next_hop.host} that the settings name is this one: mail would go round for ever"
        )
    reason = f"Mail for {next_hop.host} would come back to this server: its MX is here, but the domain is not in the settings"
    return Outcome(Action.BOUNCED, "5.4.6", reason)


async def _by_preference(next_hop: NextHop, resolver: HostLookup, shuffle: Callable[[list[MxHost]], None]) -> MailHosts | Outcome:
    """Return the hosts by preference; equals in random order, so that load spreads (RFC 5321 section 5.1)."""
    if not next_hop.use_mx:
        return MailHosts(tuple(MxHost(rank, host) for rank, host in enumerate((next_hop.host, *next_hop.others))), is_secure=True)
    found = await resolver.mail_hosts(next_hop.host)
    if found.is_null:
        return Outcome(Action.BOUNCED, "5.1.10", f"The domain {next_hop.host} says that it takes no mail")
    mixed = list(found.hosts)
    shuffle(mixed)
    mixed.sort(key=lambda host: host.preference)
    return MailHosts(tuple(mixed[:MAX_HOSTS]), is_secure=found.is_secure)


async def _look_up(hosts: Sequence[MxHost], resolver: HostLookup) -> list[tuple[str, ...] | ResolveError]:
    """Return each host's addresses, or why there are none; one slow name server holds nobody up twice."""
    results: list[tuple[str, ...] | ResolveError] = [()] * len(hosts)

    async def ask(index: int, host: str) -> None:
        try:
            results[index] = await resolver.addresses(host)
        except ResolveError as error:
            results[index] = error

    async with trio.open_nursery() as nursery:
        for index, host in enumerate(hosts):
            nursery.start_soon(ask, index, host.host)
    return results


def _interleaved(addresses: Sequence[str]) -> list[str]:
    """Take turns between IPv6 and IPv4: a machine with one of them only must get to try it (Postfix smtp_balance_inet_protocols)."""
    newer = [address for address in addresses if ":" in address]
    older = [address for address in addresses if ":" not in address]
    return [address for pair in zip_longest(newer, older) for address in pair if address is not None]


async def find_targets(
    next_hop: NextHop, resolver: HostLookup, ourselves: Ourselves, shuffle: Callable[[list[MxHost]], None]
) -> list[Target] | Outcome:
    """Return the addresses to try, best first, or the outcome when there are none.

    ``shuffle``: orders a list at random, in place.
    Blocks:   network.
    """
    port = next_hop.port
    if (literal := canonical_literal(next_hop.host)) is not None:
        return _loop(next_hop) if ourselves.is_listener(literal, port) else [Target(literal, literal, port)]
    try:
        ordered = await _by_preference(next_hop, resolver, shuffle)
    except ResolveError as error:
        return _failed(error, next_hop)
    if isinstance(ordered, Outcome):
        return ordered
    hosts = ordered.hosts
    found: list[tuple[int, Target]] = []
    failure: ResolveError | None = None
    # Hosts that are as far from the destination as we are, or farther, would send it back to us.
    own_preference: int | None = min((host.preference for host in hosts if next_hop.use_mx and ourselves.is_name(host.host)), default=None)
    for host, addresses in zip(hosts, await _look_up(hosts, resolver), strict=True):
        if own_preference is not None and host.preference >= own_preference:
            break
        if isinstance(addresses, ResolveError):
            # A host that may come back outweighs one that is gone for good.
            failure = addresses if failure is None or addresses.temporary else failure
            continue
        if any(ourselves.is_listener(address, port) for address in addresses):
            own_preference = host.preference
            continue
        found += [(host.preference, Target(host.host, address, port, ordered.is_secure)) for address in _interleaved(addresses)]
    targets = [target for preference, target in found if own_preference is None or preference < own_preference]
    if targets:
        return targets[:MAX_TARGETS]
    if failure is not None and (failure.temporary or own_preference is None):
        return _failed(failure, next_hop)
    return _loop(next_hop) if own_preference is not None else _failed(ResolveError("no host", temporary=True), next_hop)
