"""Names to addresses, mail hosts and texts, over dnspython's trio resolver, cached.

Owns which answers count as "no such name", "no such record" and "ask again
later", and the cache. Answers are values; failures that must be told apart are
``ResolveError.temporary``. Where the name servers are said to validate DNSSEC,
the AD bit of their answers is believed, else never.

Blocks:   network, cancel point; one lookup takes at most ``timeout_s``.
Does not: validate DNSSEC itself, search local domains (every name is absolute).
Sources:  RFC 5321 section 5.1 (MX and implicit MX), RFC 7505 (null MX),
RFC 2308 (negative answers), RFC 4035 section 3.2.3 and RFC 6840 section 5.7 (AD),
RFC 7672 section 2.2 (when TLSA is asked for), dnspython's dns.asyncresolver.
"""

import ipaddress
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from appliance.policy.dane import TlsaRecord
from appliance.policy.tlspolicy import TlsaAnswer, TlsaStatus

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.resolver

__all__ = ["MailHosts", "MxHost", "ResolveError", "Resolver"]

MAX_MX_RECORDS = 100
MAX_ADDRESSES = 32
MAX_TEXTS = 100
DNS_PORT = 53
_EDNS_BYTES = 1_232
"""What passes everywhere in one packet (DNS flag day 2020)."""


class ResolveError(Exception):
    """A name could not be resolved. ``temporary``: the next try may have more luck."""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.temporary = temporary


class MxHost(NamedTuple):
    preference: int
    host: str


class MailHosts(NamedTuple):
    """The hosts that take a domain's mail. ``is_null``: the domain says that it takes none (RFC 7505); ``is_secure``: DNSSEC vouches for it."""

    hosts: tuple[MxHost, ...]
    is_null: bool = False
    is_secure: bool = False


class _Answer(NamedTuple):
    records: list[Any] | None
    is_secure: bool = False
    ttl_s: float = 0.0


def _ascii(name: str) -> str:
    """Return the A-label form of a domain. Raises ResolveError for what can be no domain."""
    if name.isascii():
        return name
    import idna  # 30 ms, only for internationalised domains

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ResolveError(f"{name} is not a valid domain name: {error}", temporary=False) from error


class Resolver:
    """Looks names up. Made once; dnspython (170 ms to import) is loaded at the first lookup."""

    def __init__(
        self, servers: Sequence[str] = (), *, timeout_s: float = 10.0, cache_entries: int = 10_000, validating: bool = False
    ) -> None:
        """``servers``: ``ADDRESS`` or ``ADDRESS:PORT`` (``[ADDRESS]:PORT`` for IPv6); none: the system's.

        ``validating``: they check DNSSEC, and the way to them is safe.
        """
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._cache_entries = cache_entries
        self._validating = validating
        self._resolver: dns.asyncresolver.Resolver | None = None

    def _loaded(self) -> "dns.asyncresolver.Resolver":
        if self._resolver is None:
            import dns.asyncresolver  # see the class docstring
            import dns.flags
            import dns.nameserver
            import dns.resolver

            try:
                resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            except dns.resolver.NoResolverConfiguration as error:
                raise ResolveError("no name server is configured on this machine; set dns.servers", temporary=True) from error
            if self._servers:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(*_host_port(server)) for server in self._servers]
            resolver.lifetime = self._timeout_s
            resolver.timeout = min(self._timeout_s, max(1.0, self._timeout_s / 3))
            resolver.cache = dns.resolver.LRUCache(self._cache_entries)
            if self._validating:
                resolver.use_edns(0, dns.flags.DO, _EDNS_BYTES)
                resolver.set_flags(dns.flags.RD | dns.flags.AD)
            self._resolver = resolver
        return self._resolver

    async def _ask(self, name: str, kind: str) -> _Answer:
        """Return the records, empty when the name has none of this kind, None when there is no such name."""
        resolver = self._loaded()
        import dns.exception  # loaded with the resolver
        import dns.flags
        import dns.resolver

        try:
            answer = await resolver.resolve(_ascii(name).rstrip(".") + ".", kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return _Answer(None)
        except dns.resolver.LifetimeTimeout as error:
            raise ResolveError(f"no answer from the name servers for {name} ({kind})", temporary=True) from error
        except dns.resolver.NoNameservers as error:
            raise ResolveError(f"the name servers cannot answer for {name} ({kind})", temporary=True) from error
        except dns.exception.DNSException as error:
            raise ResolveError(f"{name} cannot be looked up: {error}", temporary=False) from error
        except OSError as error:
            raise ResolveError(f"the name servers cannot be reached: {error.strerror or error}", temporary=True) from error
        is_secure = self._validating and bool(answer.response.flags & dns.flags.AD)
        if answer.rrset is None:
            return _Answer([], is_secure)
        return _Answer(list(answer.rrset), is_secure, max(answer.expiration - time.time(), 0.0))

    async def records(self, name: str, kind: str) -> tuple[list[Any] | None, float]:
        """Return the records, empty when the name has none of this kind, None when there is no such name; and for how many seconds.

        Shape:    ``name`` as in a zone file: a backslash and three digits stand for any octet. Raises ResolveError.
        """
        answer = await self._ask(name, kind)
        return answer.records, answer.ttl_s

    async def mail_hosts(self, domain: str) -> MailHosts:
        """Return the MX hosts by preference; without MX records the domain itself (RFC 5321 section 5.1).

        Raises: ResolveError; not temporary when the domain does not exist.
        """
        records, is_secure, _ttl_s = await self._ask(domain, "MX")
        if records is None:
            raise ResolveError(f"the domain {domain} does not exist", temporary=False)
        if not records:
            return MailHosts((MxHost(0, _ascii(domain).rstrip(".")),), is_secure=is_secure)
        hosts = [MxHost(record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in records]
        # A null record beside others is a mistake of the domain's (RFC 7505 section 3); the others count.
        named = sorted(host for host in hosts if host.host not in {"", "."})
        return MailHosts(tuple(named[:MAX_MX_RECORDS]), not named, is_secure)

    async def texts(self, name: str) -> tuple[bytes, ...]:
        """Return the TXT records of a name, the strings of each joined; none when it has none or does not exist. Raises ResolveError."""
        records, _is_secure, _ttl_s = await self._ask(name, "TXT")
        return tuple(b"".join(record.strings) for record in (records or ())[:MAX_TEXTS])

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """Return the TLSA records that DNSSEC vouches for.

        A host whose address is not signed is not asked for them: it can have none that count, and name servers that
        choke on the question belong to such hosts (RFC 7672 section 2.2.2). A failure past that point may be an attack.
        """
        if not self._validating:
            return TlsaAnswer()
        for kind in ("A", "AAAA"):
            try:
                records, is_secure, _ttl_s = await self._ask(host, kind)
            except ResolveError as error:
                return TlsaAnswer(TlsaStatus.FAILED if error.temporary else TlsaStatus.ABSENT)
            if records and not is_secure:
                return TlsaAnswer()
        try:
            records, is_secure, _ttl_s = await self._ask(f"_{port}._tcp.{host}", "TLSA")
        except ResolveError as error:
            return TlsaAnswer(TlsaStatus.FAILED if error.temporary else TlsaStatus.ABSENT)
        if not records or not is_secure:
            return TlsaAnswer()
        return TlsaAnswer(TlsaStatus.FOUND, tuple(TlsaRecord(one.usage, one.selector, one.mtype, bytes(one.cert)) for one in records))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return the IPv6 and IPv4 addresses of a host, IPv6 first; CNAMEs are followed.

        Raises: ResolveError; not temporary when the host has no address at all.
        """
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            pass
        answers: dict[str, Sequence[str] | ResolveError] = {}

        async def ask(kind: str) -> None:
            try:
                records, _is_secure, _ttl_s = await self._ask(host, kind)
            except ResolveError as error:
                answers[kind] = error
            else:
                answers[kind] = [record.address for record in (records or ())[:MAX_ADDRESSES]]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "A")
            await ask("AAAA")
        found: list[str] = []
        failure: ResolveError | None = None
        for kind in ("AAAA", "A"):
            answer = answers[kind]
            if not isinstance(answer, ResolveError):
                found += answer
            elif failure is None or answer.temporary:
                failure = answer
        if not found:
            raise failure or ResolveError(f"the host {host} has no address", temporary=False)
        return tuple(found)

    def flush(self) -> None:
        """Forget every cached answer."""
        if self._resolver is not None and self._resolver.cache is not None:
            self._resolver.cache.flush()


def _host_port(server: str) -> tuple[str, int]:
    """Split ``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``."""
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        return host, int(rest[1:]) if rest else DNS_PORT
    host, colon, port = server.rpartition(":")
    if colon and ":" not in host:
        return host, int(port)
    return server, DNS_PORT
