"""The relay: tries the hosts of a next hop in order and keeps good connections for the next message.

Owns the order of attempts: an idle session first, then each address; and what is
left to try for whom. How a session is opened is ``opener``'s matter.

Fails: never for what a peer or DNS does; every recipient gets an outcome. Raises
ApplianceError when the message cannot be read.
Sources: RFC 5321 section 5.1, Postfix smtp(8) (smtp_mx_session_limit, smtp_min_data_rate).
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import trio

from appliance.config.schema import RelayConfig
from appliance.model.outcome import Outcome
from appliance.model.ports import Offload, RelayJob
from appliance.model.routing import NextHop
from appliance.observe.maillog import MailLog
from appliance.services.relay.delivery import Delivery, Demand, waives_tls
from appliance.services.relay.handshake import ClientTls, SessionFailedError
from appliance.services.relay.hosts import HostLookup, Ourselves, find_targets
from appliance.services.relay.opener import SessionOpener, UnreachableError
from appliance.services.relay.pool import SessionPool
from appliance.services.relay.security import RelaySecurity
from appliance.services.relay.session import RelaySession

__all__ = ["RelayService"]

MAX_TARGETS_TRIED: Final = 10
MAX_SESSIONS: Final = 2
"""Hosts that are spoken to about one message; greylisting is the same on all of a domain's hosts."""
HEADER_BYTES: Final = 65_536
"""As much of a message as is looked at for a header field."""
ATTEMPT_S: Final = 1_800.0
ATTEMPT_BYTES_PER_S: Final = 4_096
"""A server that is slower than both together is given up; the worst mobile link is not."""


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
        security: RelaySecurity,
        offload: Offload,
        mail_log: MailLog,
        shuffle: Callable[[list[object]], None] = random.shuffle,
    ) -> None:
        """``hostname`` is what EHLO says; ``own_names``, lower case, and ``own_listeners``, address and port, mean this server."""
        self._ourselves = Ourselves(own_names, own_listeners)
        self._resolver = resolver
        self._security = security
        self._offload = offload
        self._shuffle = shuffle
        self._pool = SessionPool(max_open=config.max_connections, idle_s=config.idle_s)
        self._opener = SessionOpener(
            config, hostname=hostname, own_names=self._ourselves.names, pool=self._pool, tls=tls, security=security, mail_log=mail_log
        )

    async def run(self) -> None:
        """Close connections that nobody used again in time, all of them at the end; keep policies and results."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._security.run)
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
        # What must be protected all the way is looked at host by host: no session is kept for it, none is used again.
        done_with = frozenset() if delivery.demand is Demand.TLS else await self._reuse(next_hop, delivery)
        if not delivery.has_pending():
            return
        began_s = trio.current_time()
        targets = await find_targets(next_hop, self._resolver, self._ourselves, self._shuffle)  # type: ignore[arg-type]
        delivery.setup_s = trio.current_time() - began_s
        if isinstance(targets, Outcome):
            delivery.fail(targets)
            return
        security = await self._security.for_next_hop(next_hop)
        if security.is_strict and delivery.demand is Demand.NOTHING:
            await self._look_for_waiver(delivery)
        sessions = len(done_with)
        for target in targets[:MAX_TARGETS_TRIED]:
            if target.address in done_with:
                continue
            try:
                session = await self._opener.open(target, security, delivery)
            except SessionFailedError as error:
                delivery.setup_s = trio.current_time() - began_s
                delivery.fail(error.outcome)
                sessions += not isinstance(error, UnreachableError)
            else:
                delivery.setup_s = trio.current_time() - began_s
                sessions += 1
                delivery.job.reached()
                await self._hand_over(next_hop, session, delivery)
            if not delivery.has_pending() or sessions >= MAX_SESSIONS:
                return

    async def _look_for_waiver(self, delivery: Delivery) -> None:
        content = delivery.job.content
        with await self._offload.run(content.open) as stream:
            header = await self._offload.run(stream.read, HEADER_BYTES)
        if waives_tls(header):
            delivery.demand = Demand.DELIVERY

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
                batch = delivery.alike(pending)[: session.recipients_max or len(pending)]
                recipients = delivery.recipients(batch)
                verdicts = await session.send(delivery.job.envelope, recipients, delivery.job.content, self._offload)
                again = delivery.take(batch, verdicts)
                if not session.can_continue:
                    break
                pending = [index for index in pending if index not in batch] + again
            is_good = session.can_continue
        finally:
            if not is_good:
                self._pool.forget()
                await session.close()  # noqa: ASYNC102 - it shields itself, with a deadline
        if is_good:
            await self._pool.put(next_hop, session)
        return is_good
