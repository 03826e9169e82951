"""One conversation with a server that takes our mail: drives the client core over a connection.

Owns deadlines (RFC 5321 section 4.5.3.2), TLS as the next hop demands, login, and
the content's way to the wire. A session is used for several messages and stays
good until ``is_usable`` says otherwise.

Fails: ``SessionFailedError`` carries the outcome that the whole attempt has at this
server; ``TlsRefusedError`` lets the caller try again without TLS where that is allowed.
Does not: send user name or password in the clear, unless the settings say ``none``.
Sources: RFC 5321 section 3 and 4.5.3.2, RFC 3207, RFC 4954, RFC 7435, RFC 7504, Postfix smtp(8).
"""

import math
import secrets
from collections.abc import Collection

import trio

from appliance.config.schema import RelayConfig
from appliance.model.content import Content
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.errors import CorruptError
from appliance.model.outcome import Outcome
from appliance.model.ports import Offload
from appliance.model.routing import NextHop, TlsLevel
from appliance.net.connection import Connection, ConnectionLostError
from appliance.net.tls import server_end_point
from appliance.policy.tlspolicy import HostTls, PolicySource
from appliance.protocols.sasl.mechanisms import PLAINTEXT_MECHANISMS, SCRAM_PLUS, choose_client_mechanism
from appliance.protocols.sasl.prep import PrepError
from appliance.protocols.smtp.client import ClientMechanism, SmtpClient
from appliance.protocols.smtp.client_events import (
    AuthReplied,
    ClientClosed,
    ClientEvent,
    ClientNeedsData,
    ContentWanted,
    HelloReplied,
    MessageEnded,
    ServerGreeted,
    ServerLost,
    ServerViolation,
    TlsReplied,
)
from appliance.services.relay.handshake import ClientTls, SessionFailedError, TlsRefusedError, shake_hands
from appliance.services.relay.outcomes import Peer, as_deferred, failed, from_reply, lost
from appliance.services.relay.transaction import Transaction, Verdict

__all__ = ["RelaySession"]

CHUNK_BYTES = 262_144
INLINE_BYTES = 65_536
"""Content up to this size is in memory; more is read in a thread."""
LAST_WORDS_S = 2.0
SENDING = "sending the message"


class RelaySession:
    """A connection on which ``open`` has succeeded. One message at a time."""

    def __init__(self, connection: Connection, peer: Peer, config: RelayConfig, next_hop: NextHop) -> None:
        self._connection = connection
        self._config = config
        self._next_hop = next_hop
        self._client: SmtpClient
        self._stage = ""
        self._scope = trio.CancelScope()
        self._is_broken = False
        self.peer = peer
        self.transactions = 0
        self.is_private = False
        """True when it is less safe than other messages to the same next hop need: it serves one."""
        self.is_authenticated = False
        """True when TLS has proven who the server is."""

    @property
    def can_continue(self) -> bool:
        """True while the server may be asked for another transaction."""
        return not self._is_broken and self._client.is_idle

    @property
    def is_usable(self) -> bool:
        """True while another message may be sent."""
        return self.can_continue and not self.is_private and self.transactions < self._config.max_messages_per_connection

    @property
    def recipients_max(self) -> int:
        """How many recipients the server takes in one transaction (RFC 9422 section 4.2); 0: it did not say."""
        return self._client.capabilities.recipients_max

    @property
    def offers_requiretls(self) -> bool:
        """True where the server promises to demand TLS of its own next hops, too (RFC 8689 section 4.2.1)."""
        return self._client.capabilities.offers("REQUIRETLS")

    # Opening

    async def open(self, tls: ClientTls, *, hostname: str, own_names: Collection[str], host: HostTls) -> None:
        """Go from the bare connection to where MAIL may be said.

        ``hostname`` is what EHLO says. ``host`` is what settings and policies ask for, or less after a failed handshake.
        Blocks:   network, within the configured deadlines.
        Raises:   SessionFailedError, TlsRefusedError.
        """
        with trio.CancelScope() as self._scope:
            self._client = SmtpClient(hostname, lmtp=self._next_hop.lmtp, tls_active=host.level is TlsLevel.IMPLICIT)
            if host.level is TlsLevel.IMPLICIT:
                await self._shake_hands(tls, host)
            await self._await_greeting()
            hello = await self._hello(own_names)
            if host.level not in {TlsLevel.NONE, TlsLevel.IMPLICIT}:
                hello = await self._upgrade(tls, host, hello, own_names)
            if self._next_hop.username:
                await self._log_in(hello)
            return
        self._is_broken = True
        raise SessionFailedError(self._timed_out())

    def _timed_out(self) -> Outcome:
        return lost("timed out", self._stage, self.peer)

    async def _await_greeting(self) -> None:
        greeted = await self._event("waiting for the greeting", self._config.greeting_timeout_s)
        assert isinstance(greeted, ServerGreeted)
        if greeted.reply.is_positive:
            return
        outcome = from_reply(greeted.reply, "the connection", self.peer)
        # Another host, or tomorrow, may be kinder (Postfix smtp_skip_5xx_greeting); 521 alone is the host's last word (RFC 7504 section 3).
        raise SessionFailedError(outcome if greeted.reply.code == 521 else as_deferred(outcome))

    async def _hello(self, own_names: Collection[str]) -> HelloReplied:
        self._client.send_hello()
        event = await self._event("saying EHLO", self._config.greeting_timeout_s)
        assert isinstance(event, HelloReplied)
        if not event.reply.is_positive:
            raise SessionFailedError(from_reply(event.reply, "EHLO", self.peer))
        name = event.reply.lines[0].split(" ", 1)[0].lower()
        if self._next_hop.use_mx and name in own_names:
            reason = f"mail for {self._next_hop.host} comes back to this server: {self.peer.relay} greets with our name {name}"
            raise SessionFailedError(failed("5.4.6", reason, self.peer))
        return event

    async def _upgrade(self, tls: ClientTls, host: HostTls, hello: HelloReplied, own_names: Collection[str]) -> HelloReplied:
        if not hello.capabilities.offers("STARTTLS"):
            if host.may_fall_back:
                return hello
            demands = "its MTA-STS policy demands" if host.source is PolicySource.STS else "its TLSA records promise"
            demands = "the settings demand" if host.source in {PolicySource.SETTINGS, PolicySource.NONE} else demands
            raise SessionFailedError(
                failed("4.7.4", f"{self.peer.host} offers no TLS, which {demands}", self.peer), "starttls-not-supported"
            )
        self._client.send_starttls()
        try:
            event = await self._event("saying STARTTLS", self._config.command_timeout_s)
        except SessionFailedError as error:
            # Servers whose TLS is broken often just close.
            raise TlsRefusedError(error.outcome) from error
        assert isinstance(event, TlsReplied)
        if not event.reply.is_positive:
            if host.may_fall_back:
                return hello
            raise SessionFailedError(as_deferred(from_reply(event.reply, "STARTTLS", self.peer)), "starttls-not-supported")
        await self._shake_hands(tls, host)
        self._client.tls_established()
        return await self._hello(own_names)

    async def _shake_hands(self, tls: ClientTls, host: HostTls) -> None:
        # A scope of its own: a handshake that hangs leaves the way without TLS open.
        self._scope.deadline = math.inf
        with trio.move_on_after(self._config.greeting_timeout_s):
            try:
                await shake_hands(self._connection, self.peer, host, tls)
            except TlsRefusedError:
                self._is_broken = True
                raise
            self.peer = self.peer._replace(tls=self._connection.tls_info[0])
            self.is_authenticated = host.is_authenticated
            return
        self._is_broken = True
        raise TlsRefusedError(lost("timed out", "shaking hands for TLS", self.peer))

    async def _log_in(self, hello: HelloReplied) -> None:
        self._client.send_auth(self._mechanism(hello.capabilities.auth_mechanisms))
        event = await self._event("logging in", self._config.command_timeout_s)
        assert isinstance(event, AuthReplied)
        if not event.reply.is_positive:
            # A wrong password at the smart host is the admin's to mend, not the sender's: mail waits.
            raise SessionFailedError(as_deferred(from_reply(event.reply, "AUTH", self.peer)))

    def _mechanism(self, offered: Collection[str]) -> ClientMechanism:
        next_hop = self._next_hop
        reason = f"{self.peer.host} offers no way to log in that is known here"
        if not self._client.tls_active and next_hop.tls is not TlsLevel.NONE and PLAINTEXT_MECHANISMS.intersection(offered):
            reason = f"{self.peer.host} wants the password, but there is no TLS to protect it"
        try:
            mechanism = choose_client_mechanism(
                offered,
                next_hop.username,
                next_hop.password,
                nonce=secrets.token_urlsafe(24),
                # What the next hop says, not what is left after a failed handshake: whoever breaks it would be told the password.
                plaintext_allowed=self._client.tls_active or next_hop.tls is TlsLevel.NONE,
                channel_binding=self._channel_binding(offered),
            )
        except PrepError:
            mechanism = None
            reason = f"the login for {self.peer.host} has characters that cannot be sent"
        if mechanism is None:
            raise SessionFailedError(failed("4.7.0", reason, self.peer))
        return mechanism

    def _channel_binding(self, offered: Collection[str]) -> tuple[str, bytes] | None:
        """Bind the login to the certificate that we see: then it is worth nothing to somebody in the middle, who shows another."""
        certificate = self._connection.tls_peer_certificate()
        if not certificate or SCRAM_PLUS not in offered:
            return None
        return "tls-server-end-point", server_end_point(certificate)

    # A message

    async def send(
        self, envelope: Envelope, recipients: tuple[EnvelopeRecipient, ...], content: Content, offload: Offload
    ) -> list[Verdict]:
        """Hand one message over in one transaction; one verdict per recipient, in order.

        Blocks:   network, disk for large content.
        Raises:   ApplianceError when the content cannot be read.
        """
        self.transactions += 1
        dsn = self._client.capabilities.offers("DSN")
        transaction = Transaction(len(recipients), self.peer, dsn=dsn, is_configured=not self._next_hop.use_mx)
        shown = Envelope(
            envelope.reverse_path,
            recipients,
            envelope.body,
            envelope.smtputf8,
            envelope.ret,
            envelope.envid,
            requires_tls=envelope.requires_tls,
        )
        is_done = False
        try:
            with trio.CancelScope() as self._scope:
                self._client.send_message(shown, size=content.size)
                await self._converse(transaction, content, offload)
                is_done = True
        except SessionFailedError as error:
            transaction.lose(error.outcome)
        else:
            if not is_done:
                transaction.lose(self._timed_out())
        finally:
            self._is_broken |= transaction.is_doubtful or not is_done
        return transaction.verdicts()

    async def _converse(self, transaction: Transaction, content: Content, offload: Offload) -> None:
        stage, timeout_s = "handing the envelope over", float(self._config.command_timeout_s)
        while True:
            event = await self._event(stage, timeout_s)
            match event:
                case MessageEnded():
                    return
                case ContentWanted():
                    await self._stream(content, offload)
                    transaction.content_sent = True
                    stage, timeout_s = "waiting for the reply to the end of the message", self._config.data_timeout_s
                case _:
                    transaction.take(event)

    async def _stream(self, content: Content, offload: Offload) -> None:
        if content.size <= INLINE_BYTES:
            with content.open() as small:
                data = small.read()
            self._check_size(len(data), content)
            self._client.send_data_chunk(data)
        else:
            await self._stream_large(content, offload)
        self._client.finish_data()

    async def _stream_large(self, content: Content, offload: Offload) -> None:
        stream = await offload.run(content.open)
        size = 0
        try:
            while (data := await offload.run(stream.read, CHUNK_BYTES)) and not self._client.content_refused:
                size += len(data)
                self._client.send_data_chunk(data)
                self._expect(SENDING, self._config.data_timeout_s)
                await self._flush()
        finally:
            stream.close()
        if not self._client.content_refused:
            self._check_size(size, content)

    @staticmethod
    def _check_size(size: int, content: Content) -> None:
        """Raise before the final dot: a message cut short must not pass for a whole one."""
        if size != content.size:
            raise CorruptError(f"{size} of {content.size} bytes could be read")

    # Plumbing

    def _expect(self, stage: str, timeout_s: float) -> None:
        """Move the deadline: one scope per conversation, not per command."""
        self._stage = stage
        self._scope.deadline = trio.current_time() + timeout_s

    async def _event(self, stage: str, timeout_s: float) -> ClientEvent:
        """Return the next event, all of which must arrive in time. Raises SessionFailedError when there will be none."""
        event = self._client.next_event()
        if isinstance(event, ClientNeedsData):
            self._expect(stage, timeout_s)
            while isinstance(event, ClientNeedsData):
                await self._exchange()
                event = self._client.next_event()
        if isinstance(event, ServerLost | ServerViolation | ClientClosed):
            self._is_broken = True
            raise SessionFailedError(self._ended(event))
        return event

    def _ended(self, event: ServerLost | ServerViolation | ClientClosed) -> Outcome:
        if not isinstance(event, ServerViolation):
            return lost("the server closed it", self._stage, self.peer)
        if event.reply is None or event.reply.is_positive:
            return lost(event.reason, self._stage, self.peer)
        outcome = from_reply(event.reply, self._stage, self.peer)
        # A verdict on the content may come before its end; at any other moment the server speaks of itself.
        return outcome if self._stage is SENDING else as_deferred(outcome)

    async def _exchange(self) -> None:
        try:
            if data := self._client.data_to_send():
                await self._connection.send_all(data)
            self._client.receive_data(await self._connection.receive_some())
        except ConnectionLostError as error:
            raise await self._broken(error) from error

    async def _flush(self) -> None:
        """Send a piece of content, and hear a server that does not wait for its end."""
        try:
            await self._connection.send_all(self._client.data_to_send())
            if not await self._connection.wait_input(0):
                return
            self._client.receive_data(await self._connection.receive_some())
        except ConnectionLostError as error:
            raise await self._broken(error) from error
        event = self._client.next_event()
        if isinstance(event, ServerLost | ServerViolation | ClientClosed):
            self._is_broken = True
            raise SessionFailedError(self._ended(event))

    async def _broken(self, error: ConnectionLostError) -> SessionFailedError:
        """Return what to raise for a broken connection: what the server said before, if it said anything."""
        self._is_broken = True
        with trio.move_on_after(LAST_WORDS_S):
            try:
                self._client.receive_data(await self._connection.receive_some())
            except ConnectionLostError:
                return SessionFailedError(lost(str(error), self._stage, self.peer))
            event = self._client.next_event()
            if isinstance(event, ServerViolation):
                return SessionFailedError(self._ended(event))
        return SessionFailedError(lost(str(error), self._stage, self.peer))

    async def close(self) -> None:
        """Say QUIT if there is somebody to say it to, and close. Never hangs, raises nothing.

        The reply is not waited for, as Postfix does (smtp_skip_quit_response).
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
            if self.can_continue:
                self._client.send_quit()
                try:
                    await self._connection.send_all(self._client.data_to_send())
                except ConnectionLostError:
                    self._is_broken = True
        await self._connection.aclose()
