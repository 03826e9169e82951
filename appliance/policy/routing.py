"""Which server takes mail for an address that is not ours.

Owns the order of precedence: a route for the very domain, the route for the
nearest parent with a leading dot, the smart host, the domain itself by MX.

Fails: never. Does not: ask DNS; ``NextHop.use_mx`` says that somebody must.

Sources: RFC 5321 section 5.1 (MX), section 4.1.3 (address literals), Postfix
transport(5) and relayhost.
"""

from collections.abc import Sequence
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


class RouteSettings(ServerSettings, Protocol):
    @property
    def domain(self) -> str: ...

    @property
    def use_mx(self) -> bool: ...


class RelaySettings(Protocol):
    @property
    def port(self) -> int: ...

    @property
    def tls(self) -> str: ...


class RouterSettings(Protocol):
    """What is needed of the settings; ``config.schema.Config`` fits."""

    @property
    def routes(self) -> Sequence[RouteSettings]: ...

    @property
    def smarthost(self) -> ServerSettings: ...

    @property
    def relay(self) -> RelaySettings: ...


class ConfigRouter:
    """The ``Router`` port over the settings. Pure, in memory; swapped as a whole on reload."""

    def __init__(self, config: RouterSettings, directory: LocalDomains) -> None:
        self._directory = directory
        self._routes = {_route_key(route.domain): _server(route, use_mx=route.use_mx) for route in config.routes}
        self._smarthost = _server(config.smarthost, use_mx=False) if config.smarthost.host else None
        self._port = config.relay.port
        self._tls = TlsLevel(config.relay.tls)
        self._cache: dict[str, NextHop] = {}

    def next_hop(self, address: str) -> NextHop | None:
        """Return the server for an address; None when its domain is ours, also when the local part is unknown."""
        domain = address.rpartition("@")[2]
        cached = self._cache.get(domain)
        if cached is not None:
            return cached
        if "@" not in address or self._directory.is_local_domain(domain):
            return None
        found = self._find(canonical_domain(domain))
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[domain] = found
        return found

    def _find(self, domain: str) -> NextHop:
        route = self._routes.get(domain)
        parent = domain
        while route is None and "." in parent and not parent.startswith("["):
            parent = parent.partition(".")[2]
            route = self._routes.get(f".{parent}")
        if route is not None:
            return route
        if self._smarthost is not None:
            return self._smarthost
        # A literal names its server: no MX record is looked up (RFC 5321 section 5.1).
        is_literal = canonical_literal(domain) is not None
        return NextHop(domain, self._port, use_mx=not is_literal, tls=self._tls)


def _route_key(domain: str) -> str:
    return f".{canonical_domain(domain[1:])}" if domain.startswith(".") else canonical_domain(domain)


def _server(server: ServerSettings, *, use_mx: bool) -> NextHop:
    return NextHop(canonical_domain(server.host), server.port, use_mx, TlsLevel(server.tls), server.username, server.password)
