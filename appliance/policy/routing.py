"""Which server takes mail for an address that is not ours.

Owns the order of precedence: a route for the very domain, the route for the
nearest parent with a leading dot, a route of the sender's, the smart host, the
domain itself by MX; with ``delivery = "ladder"`` the last two the other way round.

Fails: never. Does not: ask DNS; ``NextHop.use_mx`` says that somebody must.

Sources: RFC 5321 section 5.1 (MX), section 4.1.3 (address literals), Postfix
transport(5), relayhost, sender_dependent_relayhost_maps and smtp_fallback_relay.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from appliance.model.domain import canonical_domain, canonical_literal
from appliance.model.routing import NextHop, TlsLevel

__all__ = ["ConfigRouter", "LocalDomains", "RouterSettings"]

_MAX_CACHED = 4_096


class LocalDomains(Protocol):
    """What is needed of the directory."""

    def is_local_domain(self, domain: str) -> bool: ...


class ServerSettings(Protocol):
    """A server by name; ``RouteConfig`` and ``SmarthostConfig`` fit."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def tls(self) -> str: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...


class SmarthostSettings(ServerSettings, Protocol):
    @property
    def others(self) -> Sequence[str]: ...


class SenderRouteSettings(ServerSettings, Protocol):
    @property
    def sender(self) -> str: ...


class RouteSettings(ServerSettings, Protocol):
    @property
    def domain(self) -> str: ...

    @property
    def protocol(self) -> str: ...

    @property
    def use_mx(self) -> bool: ...


class RelaySettings(Protocol):
    @property
    def delivery(self) -> str: ...

    @property
    def ladder_after(self) -> int: ...

    @property
    def port(self) -> int: ...

    @property
    def tls(self) -> str: ...


class RouterSettings(Protocol):
    """What is needed of the settings; ``config.schema.Config`` fits."""

    @property
    def routes(self) -> Sequence[RouteSettings]: ...

    @property
    def sender_routes(self) -> Sequence[SenderRouteSettings]: ...

    @property
    def smarthost(self) -> SmarthostSettings: ...

    @property
    def relay(self) -> RelaySettings: ...


class ConfigRouter:
    """The ``Router`` port over the settings. Pure, in memory; swapped as a whole on reload."""

    def __init__(self, config: RouterSettings, directory: LocalDomains) -> None:
        self._directory = directory
        self._routes = {
            _route_key(route.domain): _server(route, use_mx=route.use_mx, lmtp=route.protocol == "lmtp") for route in config.routes
        }
        self._senders = {_sender_key(route.sender): _server(route) for route in config.sender_routes}
        smarthost = config.smarthost
        others = tuple(canonical_domain(host) for host in smarthost.others)
        self._smarthost = replace(_server(smarthost), others=others) if smarthost.host else None
        self._delivery = config.relay.delivery
        self._ladder_after = config.relay.ladder_after
        self._port = config.relay.port
        self._tls = TlsLevel(config.relay.tls)
        self._cache: dict[str, NextHop] = {}

    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        """Return the server for an address; None when its domain is ours, also when the local part is unknown."""
        domain = address.rpartition("@")[2]
        sender = self._sender_route(reverse_path) if self._senders and reverse_path else None
        if sender is None and (cached := self._cache.get(domain)) is not None:
            return cached
        if "@" not in address or self._directory.is_local_domain(domain):
            return None
        canonical = canonical_domain(domain)
        if sender is not None:
            return self._route(canonical) or sender
        found = self._route(canonical) or self._usual(canonical)
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[domain] = found
        return found

    def _sender_route(self, reverse_path: str) -> NextHop | None:
        """Return the way of a sender: of the address, or of its domain."""
        key = _sender_key(reverse_path)
        return self._senders.get(key) or self._senders.get(key.rpartition("@")[2])

    def _route(self, domain: str) -> NextHop | None:
        route = self._routes.get(domain)
        parent = domain
        while route is None and "." in parent and not parent.startswith("["):
            parent = parent.partition(".")[2]
            route = self._routes.get(f".{parent}")
        return route

    def _usual(self, domain: str) -> NextHop:
        if self._smarthost is not None and self._delivery in {"auto", "relay"}:
            return self._smarthost
        # A literal names its server: no MX record is looked up (RFC 5321 section 5.1).
        is_literal = canonical_literal(domain) is not None
        direct = NextHop(domain, self._port, use_mx=not is_literal, tls=self._tls)
        if self._smarthost is None or self._delivery != "ladder":
            return direct
        return replace(direct, fallback=self._smarthost, fallback_after=self._ladder_after)


def _route_key(domain: str) -> str:
    return f".{canonical_domain(domain[1:])}" if domain.startswith(".") else canonical_domain(domain)


def _sender_key(sender: str) -> str:
    """Return an address or a domain as it is looked up: senders' local parts are not told apart by case."""
    local, _at, domain = sender.rpartition("@")
    domain = canonical_domain(domain)
    return f"{local.lower()}@{domain}" if local else domain


def _server(server: ServerSettings, *, use_mx: bool = False, lmtp: bool = False) -> NextHop:
    tls = TlsLevel(server.tls)
    return NextHop(canonical_domain(server.host), server.port, use_mx, tls, server.username, server.password, lmtp=lmtp)
