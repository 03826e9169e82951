"""The relay: tries the hosts of a next hop in order and keeps good connections for the next message.

Owns the pool of idle sessions and the order of attempts: an idle session first,
then each address, once more without TLS where TLS is only preferred.

Fails: never for what a peer or DNS does; every recipient gets an outcome.
Sources: RFC 5321 section 5.1, RFC 7435 (fall back to clear text), Postfix smtp(8)
(connection cache, smtp_mx_session_limit).
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import trio

from appliance.config.schema import RelayConfig
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Offload, RelayJob
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.connection import Connection, ConnectionLostError, connect_tcp
from appliance.observe.maillog import MailLog
from appliance.services.relay.hosts import HostLookup, Target, find_targets
from appliance.services.relay.outcomes import Peer
from appliance.services.relay.session import ChooseMechanism, ClientTls, RelaySession, SessionFailedError, TlsRefusedError

__all__ = ["RelayService"]

MAX_TARGETS_TRIED = 10
MAX_IDLE_PER_DESTINATION = 20


class RelayService:
    """Implements ``model.ports.RelayDelivery``. ``run`` must run, it closes idle connections."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        hostname: str,
        own_names: frozenset[str],
        resolver: HostLookup,
        tls: ClientTls,
        choose_mechanism: ChooseMechanism,
        offload: Offload,
        mail_log: MailLog,
        shuffle: Callable[[list[object]], None] = random.shuffle,
    ) -> None:
        """``hostname`` is what EHLO says; ``own_names`` are names that mean this server, lower case."""
        self._config = config
        self._hostname = hostname
        self._own_names = own_names
        self._resolver = resolver
        self._tls = tls
        self._choose_mechanism = choose_mechanism
        self._offload = offload
        self._mail_log = mail_log
        self._shuffle = shuffle
        self._idle: dict[NextHop, list[tuple[RelaySession, float]]] = {}
        self._has_idle = trio.Event()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """Try once; one outcome per recipient, in their order."""
        while (session := self._take_idle(job.next_hop)) is not None:
            with suppress(SessionFailedError):
                return await self._send(session, job)
            # The server had tired of waiting: that says nothing about a fresh connection.
        targets = await find_targets(job.next_hop, self._resolver, self._own_names, self._shuffle)  # type: ignore[arg-type]
        if isinstance(targets, Outcome):
            return [targets] * len(job.recipients)
        failure: Outcome | None = None
        for target in targets[:MAX_TARGETS_TRIED]:
            try:
                session = await self._open(target, job.next_hop)
                return await self._send(session, job)
            except SessionFailedError as error:
                failure = error.outcome
        return [failure or Outcome(Action.DEFERRED, "4.4.1", "no host could be tried")] * len(job.recipients)

    async def _send(self, session: RelaySession, job: RelayJob) -> Sequence[Outcome]:
        done = False
        try:
            outcomes = await session.send(job.envelope, job.recipients, job.content, self._offload)
            done = session.is_usable
        finally:
            if not done:
                await session.close()
        if done:
            self._keep(job.next_hop, session)
        return outcomes

    # Connections

    async def _open(self, target: Target, next_hop: NextHop) -> RelaySession:
        """Return a session on which MAIL may be said. Raises SessionFailedError."""
        try:
            return await self._open_once(target, next_hop)
        except TlsRefusedError as error:
            if next_hop.tls is not TlsLevel.MAY:
                raise
            self._mail_log.warning("relay_tls_failed", relay=target.host, reason=error.outcome.reason, consequence="sent without TLS")
            return await self._open_once(target, replace(next_hop, tls=TlsLevel.NONE))

    async def _open_once(self, target: Target, next_hop: NextHop) -> RelaySession:
        connection = await self._connect(target)
        peer = Peer(target.host, target.address, target.port)
        session = RelaySession(connection, peer, self._config, self._hostname)
        opened = False
        try:
            await session.open(next_hop, self._tls, self._choose_mechanism)
            opened = True
        finally:
            if not opened:
                await session.close()
        return session

    async def _connect(self, target: Target) -> Connection:
        relay = f"{target.host}[{target.address}]:{target.port}"
        with trio.move_on_after(self._config.connect_timeout_s):
            try:
                return await connect_tcp(target.address, target.port, bind_address=self._config.bind_address)
            except ConnectionLostError as error:
                raise SessionFailedError(
                    Outcome(Action.DEFERRED, "4.4.1", f"cannot connect to {relay}: {error}", "", target.host, relay)
                ) from error
        raise SessionFailedError(Outcome(Action.DEFERRED, "4.4.1", f"cannot connect to {relay}: timed out", "", target.host, relay))

    # The pool

    def _take_idle(self, next_hop: NextHop) -> RelaySession | None:
        sessions = self._idle.get(next_hop)
        if not sessions:
            return None
        session, _ = sessions.pop()
        if not sessions:
            del self._idle[next_hop]
        return session

    def _keep(self, next_hop: NextHop, session: RelaySession) -> None:
        self._idle.setdefault(next_hop, []).append((session, trio.current_time() + self._config.idle_s))
        self._has_idle.set()

    async def run(self) -> None:
        """Close sessions that nobody took again in time; all of them at the end."""
        try:
            while True:
                await self._has_idle.wait()
                self._has_idle = trio.Event()
                while self._idle:
                    next_end = min(end for sessions in self._idle.values() for _, end in sessions)
                    await trio.sleep_until(next_end)
                    await self._close_expired(trio.current_time())
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2.0):
                await self._close_expired(float("inf"))

    async def _close_expired(self, now_s: float) -> None:
        expired = [session for sessions in self._idle.values() for session, end in sessions if end <= now_s]
        kept = {hop: [entry for entry in sessions if entry[1] > now_s] for hop, sessions in self._idle.items()}
        self._idle = {hop: sessions for hop, sessions in kept.items() if sessions}
        async with trio.open_nursery() as nursery:
            for session in expired:
                nursery.start_soon(session.close)
