"""One conversation with a server that takes our mail: drives the client core over a connection.

Owns deadlines (RFC 5321 section 4.5.3.2), TLS as the next hop demands, login,
and the mapping of one message's replies to outcomes. A session is used for
several messages and stays good until ``is_usable`` says otherwise.

Fails: ``SessionFailedError`` carries the outcome that the whole attempt has at this
server; ``TlsRefusedError`` lets the caller try again without TLS where that is allowed.
Sources: RFC 5321 section 3 and 4.5.3.2, RFC 3207, RFC 4954, RFC 7435, Postfix smtp(8).
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from appliance.config.schema import RelayConfig
from appliance.model.content import Content
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Offload
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.connection import Connection, ConnectionLostError, TlsFailedError
from appliance.protocols.smtp.client import ClientMechanism, SmtpClient
from appliance.protocols.smtp.client_events import (
    AuthReplied,
    ClientClosed,
    ClientEvent,
    ClientNeedsData,
    ContentWanted,
    HelloReplied,
    MessageEnded,
    MessageImpossible,
    MessageReplied,
    RecipientReplied,
    SenderReplied,
    ServerGreeted,
    ServerLost,
    ServerViolation,
    TlsReplied,
)
from appliance.services.relay.outcomes import Peer, from_reply, lost, not_capable

__all__ = ["ChooseMechanism", "ClientTls", "RelaySession", "SessionFailedError", "TlsRefusedError"]

CHUNK_BYTES = 65_536
INLINE_BYTES = 65_536
QUIT_S = 2.0

ChooseMechanism = Callable[[Sequence[str], str, str], ClientMechanism | None]
"""Offered mechanisms, user name and password to the mechanism to log in with; None when none fits."""


class ClientTls(Protocol):
    """Hands out TLS contexts; ``verify``: certificate and name must be right."""

    def __call__(self, *, verify: bool) -> ssl.SSLContext: ...


class SessionFailedError(Exception):
    """The server cannot take the message now; ``outcome`` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class TlsRefusedError(SessionFailedError):
    """The handshake failed; without TLS it may work."""


class RelaySession:
    """A connection on which ``open`` has succeeded. One message at a time."""

    def __init__(self, connection: Connection, peer: Peer, config: RelayConfig, hostname: str) -> None:
        self._connection = connection
        self._config = config
        self.peer = peer
        self._client = SmtpClient(hostname)
        self.messages = 0
        self._broken = False

    @property
    def is_usable(self) -> bool:
        """True while another message may be sent."""
        return not self._broken and self._client.is_idle and self.messages < self._config.max_messages_per_connection

    # Opening

    async def open(self, next_hop: NextHop, tls: ClientTls, choose: ChooseMechanism) -> None:
        """Go from the bare connection to where MAIL may be said.

        Blocks:   network, within the configured deadlines.
        Raises:   SessionFailedError, TlsRefusedError.
        """
        if next_hop.tls is TlsLevel.IMPLICIT:
            await self._shake_hands(next_hop, tls)
            self._client.tls_active = True
        greeted = await self._event("waiting for the greeting", self._config.greeting_timeout_s)
        if isinstance(greeted, ServerGreeted) and not greeted.reply.is_positive:
            raise SessionFailedError(_deferred(from_reply(greeted.reply, "the connection", self.peer)))
        hello = await self._hello()
        if next_hop.tls not in {TlsLevel.NONE, TlsLevel.IMPLICIT}:
            hello = await self._upgrade(next_hop, tls, hello)
        if next_hop.username:
            await self._log_in(next_hop, hello, choose)

    async def _hello(self) -> HelloReplied:
        self._client.send_hello()
        event = await self._event("saying EHLO", self._config.greeting_timeout_s)
        assert isinstance(event, HelloReplied)
        if not event.reply.is_positive:
            raise SessionFailedError(_deferred(from_reply(event.reply, "EHLO", self.peer)))
        return event

    async def _upgrade(self, next_hop: NextHop, tls: ClientTls, hello: HelloReplied) -> HelloReplied:
        if not hello.capabilities.offers("STARTTLS"):
            if next_hop.tls is TlsLevel.MAY:
                return hello
            raise SessionFailedError(
                Outcome(
                    Action.DEFERRED,
                    "4.7.4",
                    f"{self.peer.host} offers no TLS, which the settings demand",
                    "",
                    self.peer.host,
                    self.peer.relay,
                )
            )
        self._client.send_starttls()
        event = await self._event("saying STARTTLS", self._config.command_timeout_s)
        assert isinstance(event, TlsReplied)
        if not event.reply.is_positive:
            if next_hop.tls is TlsLevel.MAY:
                return hello
            raise SessionFailedError(_deferred(from_reply(event.reply, "STARTTLS", self.peer)))
        await self._shake_hands(next_hop, tls)
        self._client.tls_established()
        return await self._hello()

    async def _shake_hands(self, next_hop: NextHop, tls: ClientTls) -> None:
        verify = next_hop.tls in {TlsLevel.VERIFY, TlsLevel.IMPLICIT}
        with trio.move_on_after(self._config.greeting_timeout_s) as scope:
            try:
                await self._connection.start_tls(tls(verify=verify), server_hostname=self.peer.host)
            except TlsFailedError as error:
                self._broken = True
                raise TlsRefusedError(
                    Outcome(Action.DEFERRED, "4.7.5", f"TLS with {self.peer.host} failed: {error}", "", self.peer.host, self.peer.relay)
                ) from error
        if scope.cancelled_caught:
            raise TlsRefusedError(lost("timed out", "shaking hands for TLS", self.peer))
        self.peer = self.peer._replace(tls=self._connection.tls_info[0])

    async def _log_in(self, next_hop: NextHop, hello: HelloReplied, choose: ChooseMechanism) -> None:
        mechanism = choose(hello.capabilities.auth_mechanisms, next_hop.username, next_hop.password)
        if mechanism is None:
            reason = f"{self.peer.host} offers no way to log in that is known here"
            raise SessionFailedError(Outcome(Action.DEFERRED, "4.7.0", reason, "", self.peer.host, self.peer.relay, self.peer.tls))
        self._client.send_auth(mechanism)
        event = await self._event("logging in", self._config.command_timeout_s)
        assert isinstance(event, AuthReplied)
        if not event.reply.is_positive:
            # A wrong password at the smart host is the admin's to mend, not the sender's: mail waits.
            raise SessionFailedError(_deferred(from_reply(event.reply, "AUTH", self.peer)))

    # A message

    async def send(
        self, envelope: Envelope, recipients: tuple[EnvelopeRecipient, ...], content: Content, offload: Offload
    ) -> list[Outcome]:
        """Hand one message over; one outcome per recipient, in order.

        Blocks:   network, disk for large content.
        Raises:   SessionFailedError when the connection broke before the content was whole: nothing was taken.
        """
        self.messages += 1
        attempt = _Attempt(len(recipients), self.peer, dsn=self._client.capabilities.offers("DSN"))
        shown = Envelope(envelope.reverse_path, recipients, envelope.body, envelope.smtputf8, envelope.ret, envelope.envid, envelope.client)
        self._client.send_message(shown, size=content.size)
        while True:
            event = await self._event(
                attempt.stage, self._config.data_timeout_s if attempt.content_sent else self._config.command_timeout_s, attempt
            )
            match event:
                case MessageEnded():
                    return attempt.outcomes()
                case ContentWanted():
                    await self._stream(content, offload)
                    attempt.content_sent = True
                case _:
                    attempt.take(event)
            if attempt.is_lost:
                return attempt.outcomes()

    async def _stream(self, content: Content, offload: Offload) -> None:
        if content.size <= INLINE_BYTES:
            with content.open() as small:
                self._client.send_data_chunk(small.read())
            self._client.finish_data()
            return
        stream = await offload.run(content.open)
        try:
            while data := await offload.run(stream.read, CHUNK_BYTES * 4):
                self._client.send_data_chunk(data)
                await self._flush("sending the message", self._config.data_timeout_s)
        finally:
            stream.close()
        self._client.finish_data()

    # Plumbing

    async def _event(self, stage: str, timeout_s: float, attempt: "_Attempt | None" = None) -> ClientEvent:
        """Return the next event; what ends the conversation raises, or settles ``attempt`` when its content was sent."""
        while True:
            event = self._client.next_event()
            match event:
                case ClientNeedsData():
                    try:
                        await self._exchange(stage, timeout_s)
                    except SessionFailedError as error:
                        if attempt is None or not attempt.content_sent:
                            raise
                        attempt.lose(error.outcome)
                        return event
                case ServerLost() | ServerViolation() | ClientClosed():
                    self._broken = True
                    outcome = self._ended(event, stage)
                    if attempt is None or not attempt.content_sent:
                        raise SessionFailedError(outcome)
                    attempt.lose(outcome)
                    return event
                case _:
                    return event

    def _ended(self, event: ServerLost | ServerViolation | ClientClosed, stage: str) -> Outcome:
        if isinstance(event, ServerViolation):
            if event.reply is not None:
                return _deferred(from_reply(event.reply, stage, self.peer))
            return lost(event.reason, stage, self.peer)
        return lost("the server closed it", stage, self.peer)

    async def _exchange(self, stage: str, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s) as scope:
            try:
                if data := self._client.data_to_send():
                    await self._connection.send_all(data)
                self._client.receive_data(await self._connection.receive_some())
            except ConnectionLostError as error:
                self._broken = True
                raise SessionFailedError(lost(str(error), stage, self.peer)) from error
        if scope.cancelled_caught:
            self._broken = True
            raise SessionFailedError(lost("timed out", stage, self.peer))

    async def _flush(self, stage: str, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s) as scope:
            try:
                await self._connection.send_all(self._client.data_to_send())
            except ConnectionLostError as error:
                self._broken = True
                raise SessionFailedError(lost(str(error), stage, self.peer)) from error
        if scope.cancelled_caught:
            self._broken = True
            raise SessionFailedError(lost("timed out", stage, self.peer))

    async def close(self) -> None:
        """Say QUIT if there is somebody to say it to, and close. Never hangs, raises nothing."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + QUIT_S):
            if self._client.is_idle and not self._broken:
                self._client.send_quit()
                try:
                    await self._connection.send_all(self._client.data_to_send())
                    await self._connection.receive_some()
                except ConnectionLostError:
                    self._broken = True
        await self._connection.aclose()


def _deferred(outcome: Outcome) -> Outcome:
    """Turn a refusal of us as a client into a reason to wait: another host, or tomorrow, may be kinder (Postfix smtp_skip_5xx_greeting)."""
    status = f"4{outcome.status[1:]}"
    return Outcome(Action.DEFERRED, status, outcome.reason, outcome.diagnostic, outcome.remote_mta, outcome.relay, outcome.tls)


class _Attempt:
    """Collects what the replies say of each recipient."""

    def __init__(self, count: int, peer: Peer, *, dsn: bool) -> None:
        self._outcomes: list[Outcome | None] = [None] * count
        self._peer = peer
        self._dsn = dsn
        self.content_sent = False
        self.is_lost = False

    @property
    def stage(self) -> str:
        return "waiting for the reply to the end of the message" if self.content_sent else "handing the envelope over"

    def take(self, event: ClientEvent) -> None:
        """Note one reply."""
        match event:
            case SenderReplied(reply) if not reply.is_positive:
                self._settle_rest(from_reply(reply, "MAIL FROM", self._peer))
            case RecipientReplied(index, reply) if not reply.is_positive:
                self._outcomes[index] = from_reply(reply, "RCPT TO", self._peer)
            case MessageReplied(index, reply):
                outcome = self._accepted(reply.text) if reply.is_positive else from_reply(reply, "end of DATA", self._peer)
                if index is None:
                    self._settle_rest(outcome)
                else:
                    self._outcomes[index] = outcome
            case MessageImpossible(reply):
                self._settle_rest(not_capable(reply.enhanced, reply.text, self._peer))
            case _:
                pass

    def _accepted(self, words: str) -> Outcome:
        peer = self._peer
        return Outcome(
            Action.RELAYED, "2.0.0", f"taken by {peer.host}: {words}", f"250 {words}", peer.host, peer.relay, peer.tls, self._dsn
        )

    def lose(self, outcome: Outcome) -> None:
        """The reply to the content never came: the message may arrive twice, it must not be lost (RFC 1047)."""
        self.is_lost = True
        self._settle_rest(outcome)

    def _settle_rest(self, outcome: Outcome) -> None:
        self._outcomes = [known or outcome for known in self._outcomes]

    def outcomes(self) -> list[Outcome]:
        """Return one outcome per recipient; who was told nothing waits."""
        missing = lost("no reply for this recipient", self.stage, self._peer)
        return [outcome or missing for outcome in self._outcomes]
