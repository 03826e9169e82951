"""TLS with other servers over time: which policy holds, what it came to, and what is worse than before.

Owns the joining of settings, DANE and MTA-STS for each host, the level last
reached with each domain, and the results per day that TLS reports are made of.

Fails: never; without its file it goes on from memory.
Sources: RFC 8460 section 4 (results), RFC 8461 section 5, RFC 7672, Postfix TLS_README.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import trio

from appliance.model.errors import ApplianceError
from appliance.model.ports import Clock, Offload
from appliance.model.routing import NextHop, TlsLevel
from appliance.observe.maillog import MailLog
from appliance.policy.tlspolicy import NO_TLSA, HostTls, PolicySource, TlsaAnswer, decide
from appliance.services.relay.hosts import Target
from appliance.services.relay.sts import FoundPolicy, StsPolicies
from appliance.storage.tls_state import SeenLevel, TlsResult, TlsState

__all__ = ["DomainSecurity", "RelaySecurity", "TlsaLookup"]

WRITE_S: Final = 60.0
MAX_LEVELS: Final = 10_000
MAX_RESULTS: Final = 10_000
DAY_S: Final = 86_400


class TlsaLookup(Protocol):
    """The part of the resolver that is needed here."""

    async def tlsa(self, host: str, port: int) -> TlsaAnswer: ...


class DomainSecurity:
    """What holds for one next hop during one attempt; asked once per host."""

    def __init__(self, next_hop: NextHop, found: FoundPolicy, lookup: TlsaLookup | None) -> None:
        self.next_hop = next_hop
        self.found = found
        self._lookup = lookup

    @property
    def is_strict(self) -> bool:
        """True where somebody other than the settings may demand something."""
        return self._lookup is not None or self.found.policy is not None

    async def of(self, target: Target) -> HostTls:
        """Return how the host is spoken to. Blocks: network."""
        level = self.next_hop.tls
        tlsa = NO_TLSA
        if self._lookup is not None and target.is_secure and level in {TlsLevel.MAY, TlsLevel.ENCRYPT, TlsLevel.DANE}:
            tlsa = await self._lookup.tlsa(target.host, target.port)
        return decide(level, target.host, domain=self.next_hop.host, sts=self.found.policy, tlsa=tlsa)


class RelaySecurity:
    """One for the relay. ``run`` must run: it writes results down and refreshes policies."""

    def __init__(
        self,
        *,
        sts: StsPolicies | None,
        tlsa: TlsaLookup | None,
        state: TlsState,
        offload: Offload,
        clock: Clock,
        mail_log: MailLog,
    ) -> None:
        """``sts`` and ``tlsa``: None where the settings have it off."""
        self._sts = sts
        self._tlsa = tlsa
        self._state = state
        self._offload = offload
        self._clock = clock
        self._log = mail_log
        self._levels: OrderedDict[str, SeenLevel] = OrderedDict()
        self._changed: set[str] = set()
        self._results: Counter[TlsResult] = Counter()
        self._is_loaded = False

    async def for_next_hop(self, next_hop: NextHop) -> DomainSecurity:
        """Return what holds for a next hop. Blocks: network, where a policy must be fetched."""
        if not self._is_loaded:
            await self._load()
        # A server that the settings name has no policy of its own: RFC 8461 speaks of MX hosts.
        asks = self._sts is not None and next_hop.use_mx and next_hop.tls in {TlsLevel.MAY, TlsLevel.ENCRYPT}
        found = await self._sts.policy(next_hop.host) if self._sts is not None and asks else FoundPolicy()
        return DomainSecurity(next_hop, found, self._tlsa)

    async def _load(self) -> None:
        self._is_loaded = True
        try:
            levels = await self._offload.run(self._state.levels)
        except ApplianceError as error:
            self._log.warning("tls_state_unavailable", reason=error.detail)
            return
        for level in reversed(levels[:MAX_LEVELS]):
            self._levels.setdefault(level.domain, level)

    # What came of it

    def opened(self, security: DomainSecurity, target: Target, host: HostTls, tls: str) -> None:
        """Note a session with a host. ``tls``: the version, ``""`` for none. In memory."""
        if host.source is not PolicySource.STS or host.is_authenticated:
            # Else the policy is only tested, and what it would have kept back was counted as failed.
            self._count(security, target, host, "" if tls else self._why_clear(host))
        self._remember(security.next_hop.host, tls, is_authenticated=bool(tls) and host.is_authenticated)

    def failed(self, security: DomainSecurity, target: Target, host: HostTls, failure: str) -> None:
        """Note a session that TLS or its policy kept from being opened. ``failure``: RFC 8460 section 4.3. In memory."""
        self._count(security, target, host, failure)

    @staticmethod
    def _why_clear(host: HostTls) -> str:
        return "" if host.level is TlsLevel.NONE else "starttls-not-supported"

    def _count(self, security: DomainSecurity, target: Target, host: HostTls, failure: str) -> None:
        if security.found.failure and not failure and host.source is PolicySource.NONE:
            failure = security.found.failure
        if len(self._results) >= MAX_RESULTS:
            return  # A day with so many domains tells its first ones; a minute later there is room.
        day = int(self._clock.now_s()) // DAY_S
        policy = security.found.text if host.source is PolicySource.STS else ""
        self._results[TlsResult(day, security.next_hop.host, host.source.value, policy, target.host, target.address, failure)] += 1

    def _remember(self, domain: str, tls: str, *, is_authenticated: bool) -> None:
        """Keep the level; tell when it is worse than last time."""
        now_s = self._clock.now_s()
        before = self._levels.pop(domain, None)
        seen = self._levels[domain] = SeenLevel(domain, tls, is_authenticated, now_s)
        if before is None or (before.tls, before.is_authenticated) != (seen.tls, seen.is_authenticated):
            self._changed.add(domain)
        if len(self._levels) > MAX_LEVELS:
            self._changed.discard(self._levels.popitem(last=False)[0])
        if before is not None and before.tls and not tls:
            self._tell_downgrade(before, "its servers offer no TLS any more: mail to it can be read on the way")
        elif before is not None and before.is_authenticated and not is_authenticated:
            self._tell_downgrade(before, "its servers prove no more who they are: it has withdrawn its policy")

    def _tell_downgrade(self, before: SeenLevel, reason: str) -> None:
        self._log.warning(
            "relay_tls_downgraded",
            destination=before.domain,
            before=before.tls + (" authenticated" if before.is_authenticated else ""),
            reason=reason,
            fix='ask its postmaster; tls = "encrypt" in a [[routes]] entry keeps mail back rather than sending it in the clear',
        )

    def level(self, domain: str) -> SeenLevel | None:
        """Return how the last session with a domain was protected. In memory."""
        return self._levels.get(domain)

    async def run(self) -> None:
        """Write down and refresh, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._sts is not None:
                nursery.start_soon(self._sts.run)
            try:
                while True:
                    await trio.sleep(WRITE_S)
                    await self.write()
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                    await self.write()  # noqa: ASYNC102 - bounded by the deadline above
                nursery.cancel_scope.cancel()

    async def write(self) -> None:
        """Put what is new into the file. Blocks: disk."""
        results, self._results = self._results, Counter()
        changed, self._changed = self._changed, set()
        if not results and not changed:
            return
        levels: Sequence[SeenLevel] = [self._levels[domain] for domain in changed if domain in self._levels]
        counted = [replace(result, sessions=count) for result, count in results.items()]
        try:
            await self._offload.run(self._state.add, levels, counted, self._clock.now_s())
        except ApplianceError as error:
            self._log.warning("tls_state_unavailable", reason=error.detail)
