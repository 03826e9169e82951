"""From an address to a session on which MAIL may be said: connecting, and TLS as strictly as anybody asks for.

Owns which ways are tried with one host - as its policy says, and where that
leaves it open once more without a proof and once without TLS - and what a message
itself demands: TLS for certain (REQUIRETLS), or delivery above all (TLS-Required: No).

Fails: ``SessionFailedError``; ``UnreachableError`` when nobody was spoken to.
Sources: RFC 7435 (fall back to clear text), RFC 8689 sections 4.2.1, 4.2.2 and 5, RFC 8461 section 5, Postfix smtp(8).
"""

import os
from collections.abc import Collection
from dataclasses import replace

import trio

from appliance.config.schema import RelayConfig
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.connection import Connection, ConnectionLostError, connect_tcp
from appliance.observe.maillog import MailLog
from appliance.policy.tlspolicy import HostTls, PolicySource, without_policies
from appliance.services.relay.delivery import Delivery, Demand
from appliance.services.relay.handshake import ClientTls, SessionFailedError, TlsRefusedError
from appliance.services.relay.hosts import Target
from appliance.services.relay.outcomes import Peer, failed
from appliance.services.relay.pool import SessionPool
from appliance.services.relay.security import DomainSecurity, RelaySecurity
from appliance.services.relay.session import RelaySession

__all__ = ["SessionOpener", "UnreachableError"]


class UnreachableError(SessionFailedError):
    """No connection: nobody was spoken to."""


class SessionOpener:
    """Opens sessions and counts them with the pool."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        hostname: str,
        own_names: Collection[str],
        pool: SessionPool,
        tls: ClientTls,
        security: RelaySecurity,
        mail_log: MailLog,
    ) -> None:
        self._config = config
        self._hostname = hostname
        self._own_names = own_names
        self._pool = pool
        self._tls = tls
        self._security = security
        self._log = mail_log

    async def open(self, target: Target, security: DomainSecurity, delivery: Delivery) -> RelaySession:
        """Return a session on which MAIL may be said; it counts as in use. Raises SessionFailedError."""
        await self._pool.make_room()
        is_open = False
        try:
            session = await self._open_strictly_enough(target, security, delivery)
            is_open = True
        finally:
            if not is_open:
                self._pool.forget()
        return session

    async def _open_strictly_enough(self, target: Target, security: DomainSecurity, delivery: Delivery) -> RelaySession:
        host = await security.of(target)
        if delivery.demand is Demand.TLS:
            return await self._open_for_certain(target, security, host)
        if host.refusal and delivery.demand is not Demand.DELIVERY and not host.is_testing:
            self._tell_refused(target, security, host)
            raise SessionFailedError(failed("4.7.5", host.refusal, _peer(target)))
        if host.source in {PolicySource.STS, PolicySource.DANE} and delivery.demand is Demand.DELIVERY:
            session = await self._open_some_way(target, security, without_policies(security.next_hop.tls))
            session.is_private = True
            return session
        if host.refusal:
            self._security.failed(security, target, host, "validation-failure")
            host = HostTls(TlsLevel.MAY, PolicySource.STS)
        return await self._open_some_way(target, security, host)

    def _tell_refused(self, target: Target, security: DomainSecurity, host: HostTls) -> None:
        failure = "dnssec-invalid" if host.source is PolicySource.DANE else "validation-failure"
        self._security.failed(security, target, host, failure)
        self._log.warning("relay_host_refused", destination=security.next_hop.host, relay=target.host, reason=host.refusal)

    async def _open_some_way(self, target: Target, security: DomainSecurity, host: HostTls) -> RelaySession:
        """Try as the policy says; where that is open, with any certificate, then without TLS."""
        while True:
            try:
                session = await self._open_once(target, security.next_hop, host)
            except SessionFailedError as error:
                if error.tls_failure:
                    self._security.failed(security, target, host, error.tls_failure)
                if not (isinstance(error, TlsRefusedError) and host.may_fall_back):
                    raise
                weaker = HostTls(TlsLevel.MAY if host.level is not TlsLevel.MAY else TlsLevel.NONE, host.source)
                consequence = "sent without TLS" if weaker.level is TlsLevel.NONE else "sent without a proof of who the server is"
                self._log.warning("relay_tls_failed", relay=target.host, reason=error.outcome.reason, consequence=consequence)
                host = weaker
            else:
                self._security.opened(security, target, host, session.peer.tls)
                return session

    async def _open_for_certain(self, target: Target, security: DomainSecurity, host: HostTls) -> RelaySession:
        """Open a session for a message that demands TLS all the way. What TLS keeps from going is returned to its sender."""
        peer = _peer(target)
        if host.refusal:
            raise SessionFailedError(failed("5.7.10", f"the sender demands TLS for certain, and {host.refusal}", peer))
        if host.is_testing:
            host = replace(host, is_testing=False)
        if not host.is_authenticated:
            if not target.is_secure:
                reason = (
                    f"the sender demands TLS for certain, and nothing proves that {target.host} is a server of {security.next_hop.host}"
                )
                raise SessionFailedError(failed("5.7.10", f"{reason}: it has neither DNSSEC nor MTA-STS", peer))
            host = HostTls(TlsLevel.VERIFY, host.source)
        try:
            session = await self._open_once(target, security.next_hop, host)
        except SessionFailedError as error:
            if error.tls_failure:
                self._security.failed(security, target, host, error.tls_failure)
                raise SessionFailedError(failed("5.7.10", f"the sender demands TLS for certain: {error.outcome.reason}", peer)) from error
            raise
        if session.offers_requiretls:
            self._security.opened(security, target, host, session.peer.tls)
            return session
        await session.close()
        raise SessionFailedError(failed("5.7.30", f"the sender demands REQUIRETLS, which {target.host} does not offer", session.peer))

    async def _open_once(self, target: Target, next_hop: NextHop, host: HostTls) -> RelaySession:
        peer = _peer(target)
        session = RelaySession(await self._connect(peer), peer, self._config, next_hop)
        is_open = False
        try:
            await session.open(self._tls, hostname=self._hostname, own_names=self._own_names, host=host)
            is_open = True
        finally:
            if not is_open:
                await session.close()  # noqa: ASYNC102 - it shields itself, with a deadline
        return session

    async def _connect(self, peer: Peer) -> Connection:
        own = self._config.bind_address
        # An own address serves connections of its own family only.
        bind_address = own if (":" in own) == (":" in peer.address) else ""
        with trio.move_on_after(self._config.connect_timeout_s):
            try:
                return await connect_tcp(peer.address, peer.port, bind_address=bind_address)
            except ConnectionLostError as error:
                cause = error.__cause__
                # trio says the address once more in its own words.
                words = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(error)
                raise UnreachableError(failed("4.4.1", f"cannot connect to {peer.relay}: {words}", peer)) from error
        raise UnreachableError(failed("4.4.1", f"cannot connect to {peer.relay}: timed out", peer))


def _peer(target: Target) -> Peer:
    return Peer(target.host, target.address, target.port)
