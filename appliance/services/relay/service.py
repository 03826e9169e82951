"""The relay: tries the hosts of a next hop in order and keeps good connections for the next message.

Owns the order of attempts: an idle session first, then each address, once more
without TLS where TLS is only preferred; and what is left to try for whom.

Fails: never for what a peer or DNS does; every recipient gets an outcome. Raises
ApplianceError when the message cannot be read.
Sources: RFC 5321 section 5.1, RFC 7435 (fall back to clear text), Postfix smtp(8)
(smtp_mx_session_limit, smtp_min_data_rate).
"""

import os
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import trio

from appliance.config.schema import RelayConfig
from appliance.model.outcome import Outcome
from appliance.model.ports import Offload, RelayJob
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.connection import Connection, ConnectionLostError, connect_tcp
from appliance.observe.maillog import MailLog
from appliance.services.relay.delivery import Delivery
from appliance.services.relay.hosts import HostLookup, Ourselves, Target, find_targets
from appliance.services.relay.outcomes import Peer, failed
from appliance.services.relay.pool import SessionPool
from appliance.services.relay.session import ClientTls, RelaySession, SessionFailedError, TlsRefusedError

__all__ = ["RelayService"]

MAX_TARGETS_TRIED: Final = 10
MAX_SESSIONS: Final = 2
"""Hosts that are spoken to about one message; greylisting is the same on all of a domain's hosts."""
ATTEMPT_S: Final = 1_800.0
ATTEMPT_BYTES_PER_S: Final = 4_096
"""A server that is slower than both together is given up; the worst mobile link is not."""


class _UnreachableError(SessionFailedError):
    """No connection: nobody was spoken to."""


class RelayService:
    """Implements ``model.ports.RelayDelivery``. ``run`` must run, it closes idle connections."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        hostname: str,
        own_names: Collection[str],
        own_listeners: Iterable[tuple[str, int]] = (),
        resolver: HostLookup,
        tls: ClientTls,
        offload: Offload,
        mail_log: MailLog,
        shuffle: Callable[[list[object]], None] = random.shuffle,
    ) -> None:
        """``hostname`` is what EHLO says; ``own_names``, lower case, and ``own_listeners``, address and port, mean this server."""
        self._config = config
        self._hostname = hostname
        self._ourselves = Ourselves(own_names, own_listeners)
        self._resolver = resolver
        self._tls = tls
        self._offload = offload
        self._mail_log = mail_log
        self._shuffle = shuffle
        self._pool = SessionPool(max_open=config.max_connections, idle_s=config.idle_s)

    async def run(self) -> None:
        """Close connections that nobody used again in time; all of them at the end."""
        await self._pool.run()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """Try once; one outcome per recipient, in their order."""
        delivery = Delivery(job)
        with trio.move_on_after(ATTEMPT_S + job.content.size / ATTEMPT_BYTES_PER_S) as scope:
            await self._deliver(job.next_hop, delivery)
        if scope.cancelled_caught:
            delivery.time_out()
        return delivery.outcomes()

    async def _deliver(self, next_hop: NextHop, delivery: Delivery) -> None:
        done_with = await self._reuse(next_hop, delivery)
        if not delivery.has_pending():
            return
        began_s = trio.current_time()
        targets = await find_targets(next_hop, self._resolver, self._ourselves, self._shuffle)  # type: ignore[arg-type]
        delivery.setup_s = trio.current_time() - began_s
        if isinstance(targets, Outcome):
            delivery.fail(targets)
            return
        sessions = len(done_with)
        for target in targets[:MAX_TARGETS_TRIED]:
            if target.address in done_with:
                continue
            try:
                session = await self._open(target, next_hop)
            except SessionFailedError as error:
                delivery.setup_s = trio.current_time() - began_s
                delivery.fail(error.outcome)
                sessions += not isinstance(error, _UnreachableError)
            else:
                delivery.setup_s = trio.current_time() - began_s
                sessions += 1
                await self._hand_over(next_hop, session, delivery)
            if not delivery.has_pending() or sessions >= MAX_SESSIONS:
                return

    async def _reuse(self, next_hop: NextHop, delivery: Delivery) -> frozenset[str]:
        """Try idle sessions; return the address that has given its verdict.

        A server that had tired of waiting says nothing about a fresh connection.
        """
        while (session := self._pool.take(next_hop)) is not None:
            if await self._hand_over(next_hop, session, delivery):
                return frozenset({session.peer.address})
            if not delivery.has_pending():
                break
        return frozenset()

    async def _hand_over(self, next_hop: NextHop, session: RelaySession, delivery: Delivery) -> bool:
        """Send the message in as many transactions as the server wants; True when the session is still good."""
        is_good = False
        try:
            pending = delivery.pending()
            while pending:
                batch = pending[: session.recipients_max or len(pending)]
                recipients = delivery.recipients(batch)
                verdicts = await session.send(delivery.job.envelope, recipients, delivery.job.content, self._offload)
                again = delivery.take(batch, verdicts)
                if not session.can_continue:
                    break
                pending = pending[len(batch) :] + again
            is_good = session.can_continue
        finally:
            if not is_good:
                self._pool.forget()
                await session.close()  # noqa: ASYNC102 - it shields itself, with a deadline
        if is_good:
            await self._pool.put(next_hop, session)
        return is_good

    # Connections

    async def _open(self, target: Target, next_hop: NextHop) -> RelaySession:
        """Return a session on which MAIL may be said. Raises SessionFailedError."""
        await self._pool.make_room()
        is_open = False
        try:
            session = await self._open_either_way(target, next_hop)
            is_open = True
        finally:
            if not is_open:
                self._pool.forget()
        return session

    async def _open_either_way(self, target: Target, next_hop: NextHop) -> RelaySession:
        try:
            return await self._open_once(target, next_hop, next_hop.tls)
        except TlsRefusedError as error:
            if next_hop.tls is not TlsLevel.MAY:
                raise
            self._mail_log.warning("relay_tls_failed", relay=target.host, reason=error.outcome.reason, consequence="sent without TLS")
        return await self._open_once(target, next_hop, TlsLevel.NONE)

    async def _open_once(self, target: Target, next_hop: NextHop, level: TlsLevel) -> RelaySession:
        peer = Peer(target.host, target.address, target.port)
        session = RelaySession(await self._connect(peer), peer, self._config, next_hop)
        is_open = False
        try:
            await session.open(self._tls, hostname=self._hostname, own_names=self._ourselves.names, level=level)
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
                raise _UnreachableError(failed("4.4.1", f"cannot connect to {peer.relay}: {words}", peer)) from error
        raise _UnreachableError(failed("4.4.1", f"cannot connect to {peer.relay}: timed out", peer))
