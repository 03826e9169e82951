"""One SMTP or LMTP session: takes the core's events, asks policy and ports, answers.

Owns the conversation from greeting to close: what belongs to the session (name
said in EHLO, login), to the transaction (envelope), to the message (incoming).
Replies collect in the core and go out when it needs more input: once per
segment of a pipelining client.

Fails: ConnectionLostError passes to ``Connection.run``; a failed resource is a
reply; anything else is a bug and passes to ``net.listeners``.
Does not: acknowledge before ``Intake.accept`` has returned, ever.

Sources: RFC 5321 section 4 and 6.1, RFC 2033, RFC 3207, RFC 4954, Postfix smtpd(8).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import trio

from appliance.model.errors import ApplianceError, OutOfSpaceError
from appliance.model.hosts import UNIX
from appliance.model.ids import AccountName
from appliance.net.connection import Address, Connection, End, TlsFailedError
from appliance.protocols.smtp import events
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import SHUTTING_DOWN, TIMED_OUT, TOO_MANY_CONNECTIONS, Reply
from appliance.protocols.smtp.server import SmtpServer
from appliance.protocols.smtp.state import State
from appliance.services.smtp import lookups
from appliance.services.smtp.client import SessionClient
from appliance.services.smtp.errors import reply_for
from appliance.services.smtp.incoming import IncomingMessage
from appliance.services.smtp.login import LoginExchange
from appliance.services.smtp.opening import open_message, open_verbatim
from appliance.services.smtp.policy import refuse_recipient, refuse_sender, release_at
from appliance.services.smtp.queue_run import run_queue
from appliance.services.smtp.shared import Shared
from appliance.services.smtp.transaction import Transaction

if TYPE_CHECKING:
    from appliance.services.smtp.gate import Pass
    from appliance.services.smtp.judging import Inspection

__all__ = ["SmtpSession"]

_TARPIT_S: Final = 1.0
"""Delay of each answer to a client with many errors (Postfix smtpd_error_sleep_time)."""
_ACCEPT_S: Final = 300.0
"""What the queue gets at least to make a message durable; clients wait 600 s (RFC 5321 section 4.5.3.2.6)."""
_TLS_HANDSHAKE_S: Final = 60.0
_BETWEEN_TRANSACTIONS: Final = frozenset({State.START, State.READY})
_EARLY_TALKER: Final = Reply(554, "", "You talk before the greeting; goodbye")


class SmtpSession:
    """One connection's session. ``run`` is the conversation; the service tells its end."""

    def __init__(self, shared: Shared, connection: Connection) -> None:
        self._shared = shared
        self._connection = connection
        self._is_proxy = shared.is_proxy(connection.peer.host)
        options = self._meet(None)
        self._core = SmtpServer(options, tls_active=connection.is_tls)
        self._ends_at_s = connection.opened_at_s + shared.smtp.session_timeout_s
        self._tarpit_from = max(shared.smtp.max_errors // 2, 1)
        # The certificate may be renewed while the session lasts: this is the one that it began with.
        self._channel_binding = shared.channel_binding_for(options, is_tls=connection.is_tls)
        self._login: LoginExchange | None = None
        self._transaction: Transaction | None = None
        self._incoming: IncomingMessage | None = None
        self._inspection: Inspection | None = None
        self._pass: Pass | None = None
        """Through the gate; of a stranger who has named a recipient."""
        self._begin_refusal: Reply | None = None
        self._owes_acknowledgement = False
        self.messages = 0
        self.reason = ""
        """Why the session ended, where the core's events or we say so."""

    def _meet(self, told: events.XclientRequested | None) -> ServerOptions:
        """Take the connection's peer for the client; return what it is offered. ``told``: what a proxy says about it."""
        shared, host = self._shared, self._connection.peer.host
        self.client = SessionClient(self._connection, lmtp=shared.role.lmtp, told=told)
        self._is_trusted = shared.is_trusted(host) or host == UNIX
        # A relaying MTA in front of LMTP hands over other people's mail: that is left as it is.
        self._completes = not shared.role.verbatim and (shared.role.completes or (self._is_trusted and not shared.role.lmtp))
        return shared.options_for(is_local=self.client.is_local, is_trusted=self._is_trusted, is_proxy=self._is_proxy)

    @property
    def commands(self) -> int:
        return self._core.command_count

    @property
    def is_receiving(self) -> bool:
        """A message is under way that nobody has taken responsibility for."""
        return self._incoming is not None

    async def run(self) -> None:
        """Converse until either side ends it."""
        await self._greet()
        core, handlers = self._core, self.HANDLERS
        while True:
            event = core.next_event()
            if event is events.NEED_DATA:
                await self._exchange()
            elif event is events.CLOSED:
                await self.flush()
                return
            else:
                waiting = handlers[type(event)](self, event)
                if waiting is not None:
                    await waiting

    def close(self) -> None:
        """The session is over."""

    async def finish(self, end: End) -> None:
        """Forget what was under way and say the last words, if there is anybody to hear them."""
        await self.forget()
        if end in (End.TIMEOUT, End.SHUTDOWN):
            self.reason = self.reason or end.value
            if not self._core.is_closed:
                self._core.send_reply(TIMED_OUT if end is End.TIMEOUT else SHUTTING_DOWN)
            await self._connection.send_last(self._core.data_to_send())

    # Input and output

    async def _greet(self) -> None:
        """Send 220, unless the client could not wait for it (RFC 5321 section 3.1): only senders of spam cannot."""
        connection = self._connection
        is_suspect = self._shared.role.checks_early_talk and not self._is_trusted and not connection.is_tls
        if is_suspect and await connection.wait_input(self._shared.smtp.greeting_delay_ms / 1_000):
            self.reason = "talked before the greeting"
            self._log_refusal("CONNECT", _EARLY_TALKER, check="early_talk")
            self._core.send_greeting(_EARLY_TALKER)
        else:
            self._core.send_greeting()

    async def _exchange(self) -> None:
        """Send what collected, receive more."""
        core, connection = self._core, self._connection
        await self.flush()
        connection.set_deadline(min(trio.current_time() + self._shared.smtp.idle_timeout_s, self._ends_at_s))
        core.receive_data(await connection.receive_some(idle=core.state in _BETWEEN_TRANSACTIONS))

    def allow(self, delay_s: float) -> None:
        """Move the deadline: what we do takes ``delay_s``, and then the client has its usual time."""
        self._connection.set_deadline(trio.current_time() + delay_s + self._shared.smtp.idle_timeout_s)

    async def flush(self) -> None:
        """Send the replies that collected. Blocks: network."""
        data = self._core.data_to_send()
        if data:
            if self._core.error_count >= self._tarpit_from:
                await trio.sleep(_TARPIT_S)
            self._owes_acknowledgement = False
            if self._core.is_closed and self.reason != End.FINISHED.value:
                await self._connection.send_last(data)
            else:
                await self._send(data)

    async def _send(self, data: bytes) -> None:
        await self._connection.send_all(data)

    # The session

    async def _greeted(self, request: events.Greeted) -> None:
        await self.forget()
        self.client.greeted(request.name, is_extended=request.extended)
        self._core.accept()

    async def _xclient_requested(self, request: events.XclientRequested) -> None:
        """Go on as if the client that a proxy names had connected."""
        await self.forget()
        connection, proxy = self._connection, str(self._connection.peer)
        if request.address is not None and not connection.stand_for(Address(request.address, request.port)):
            self._core.send_reply(TOO_MANY_CONNECTIONS)
            return
        options = self._meet(request)
        self.client.account = self._shared.account_of(request.login) if request.login else None
        self._pass = None
        self._channel_binding = self._shared.channel_binding_for(options, is_tls=connection.is_tls)
        self._core.begin_again(options, authenticated=self.client.account is not None)
        self._shared.mail_log.client_told(
            session_id=connection.session_id, service=self._shared.role.service, client=self.client.text, proxy=proxy
        )

    async def _tls_requested(self, _request: events.TlsRequested) -> None:
        await self.forget()
        context = self._shared.tls_context
        assert context is not None, "STARTTLS was not offered"
        self._core.accept()
        await self.flush()
        self._connection.set_deadline(trio.current_time() + _TLS_HANDSHAKE_S)
        try:
            await self._connection.start_tls(context())
        except TlsFailedError as error:
            self.reason = f"TLS handshake failed: {error}"
            raise
        self._core.tls_established()
        self._channel_binding = self._shared.channel_binding_for(self._core.options, is_tls=True)
        self.client.forget()

    async def _auth_requested(self, request: events.AuthRequested) -> None:
        shared = self._shared
        assert shared.role.mechanisms is not None, "the core took AUTH"
        self._login = LoginExchange(
            shared.role.mechanisms,
            request.mechanism,
            shared.authenticator,
            shared.mail_log,
            self._connection,
            service=shared.role.service,
            channel_binding=self._channel_binding,
        )
        await self._continue_login(request.initial)

    async def _auth_response(self, request: events.AuthResponse) -> None:
        await self._continue_login(request.data)

    async def _continue_login(self, data: bytes | None) -> None:
        assert self._login is not None
        step = await self._login.step(data)
        if isinstance(step, bytes):
            self._core.send_challenge(step)
            return
        account, self._login = self._login.account, None
        await self._conclude_login(account, step)

    async def _conclude_login(self, account: AccountName | None, reply: Reply) -> None:
        self.client.account = account
        self._core.send_reply(reply)

    def _auth_cancelled(self, _notice: events.AuthCancelled) -> None:
        assert self._login is not None
        self._login.cancel()
        self._login = None

    def _verify_requested(self, request: events.VerifyRequested) -> None:
        may_know = self._shared.smtp.verify_command or self.client.account is not None
        self._core.send_reply(lookups.verify(self._shared.directory, request.argument, may_know=may_know))

    def _expand_requested(self, request: events.ExpandRequested) -> None:
        may_know = self.client.account is not None
        self._core.send_reply(lookups.expand(self._shared.directory, request.argument, may_know=may_know))

    async def _queue_run_requested(self, request: events.QueueRunRequested) -> None:
        may_ask = self._is_trusted or self.client.account is not None
        self._core.send_reply(await run_queue(self._shared, request.node, may_ask=may_ask))

    def _help_requested(self, _request: events.HelpRequested) -> None:
        self._core.accept()

    # The transaction

    def _mail_requested(self, request: events.MailRequested) -> Awaitable[None] | None:
        shared = self._shared
        reverse_path = shared.directory.qualify(request.reverse_path) if self._completes else request.reverse_path
        refusal = refuse_sender(shared.role, shared.directory, self.client.account, reverse_path)
        if refusal is not None:
            self.refuse("MAIL", refusal, sender=reverse_path)
            return None
        release_at_s = release_at(request, shared.clock.now_s(), shared.role.future_release_s)
        if isinstance(release_at_s, Reply):
            self.refuse("MAIL", release_at_s, sender=reverse_path)
            return None
        self._transaction = Transaction(reverse_path, request, release_at_s)
        if self._pass is not None:
            self._pass.begin(reverse_path)
        self._core.accept()
        return None

    def _recipient_requested(self, request: events.RecipientRequested) -> Awaitable[None] | None:
        assert self._transaction is not None
        if not (self._is_trusted or self.client.account is not None or self._shared.make_checks is None):
            return self._take_recipient_of_stranger(request, self._transaction)
        self._take_recipient(request)
        return None

    async def _take_recipient_of_stranger(self, request: events.RecipientRequested, transaction: Transaction) -> None:
        """Let a recipient through the gate, and through policy; those whom policy refuses cost no question."""
        if self._pass is None:
            self._pass = self._shared.open_gate(self._connection.peer.host)
            assert self._pass is not None
            self._pass.begin(transaction.reverse_path)
        if self._recipient_refusal(request) is None:
            refusal = await self._pass.refusal(self.client.helo, self._shared.directory.qualify(request.forward_path))
            if refusal is not None:
                self.refuse("RCPT", refusal.reply, recipient=request.forward_path, check=refusal.check)
                return
        self._take_recipient(request)

    def _recipient_refusal(self, request: events.RecipientRequested) -> Reply | None:
        directory = self._shared.directory
        resolution = directory.resolve(directory.qualify(request.forward_path))
        return refuse_recipient(self._shared.role, resolution, self.client.account, trusted=self._is_trusted)

    def _take_recipient(self, request: events.RecipientRequested) -> None:
        transaction, shared = self._transaction, self._shared
        assert transaction is not None
        # ``<postmaster>`` needs no domain from anybody (RFC 5321 section 4.5.1).
        address = shared.directory.qualify(request.forward_path)
        resolution = shared.directory.resolve(address)
        refusal = refuse_recipient(shared.role, resolution, self.client.account, trusted=self._is_trusted)
        if refusal is not None:
            self.refuse("RCPT", refusal, sender=transaction.reverse_path, recipient=address)
            return
        transaction.add(address, request, resolution, shared.directory, shared.plus_separator)
        self._core.accept()

    async def _reset(self, _notice: events.ResetRequested) -> None:
        await self.forget()

    # The message

    async def _data_requested(self, _request: events.DataRequested) -> None:
        await self._begin_message()
        if self._begin_refusal is not None:
            self.refuse("DATA", self._begin_refusal)
            self._begin_refusal = None
            return
        self._core.accept()

    async def _bdat_started(self, _notice: events.BdatStarted) -> None:
        if self._incoming is None and self._begin_refusal is None:
            await self._begin_message()

    async def _data_chunk(self, notice: events.DataChunk) -> None:
        if self._incoming is not None:
            await self._incoming.feed(notice.data)

    async def _bdat_chunk_finished(self, request: events.BdatChunkFinished) -> None:
        refusal = self._begin_refusal if self._incoming is None else self._incoming.refusal
        if refusal is not None:
            await self._refuse_message(refusal)
        elif request.last:
            await self._message_finished(eight_bit=request.eight_bit)
        else:
            self._core.accept()

    async def _data_finished(self, request: events.DataFinished) -> None:
        await self._message_finished(eight_bit=request.eight_bit)

    async def _data_rejected(self, notice: events.DataRejected) -> None:
        self._log_refusal("DATA", notice.reply)
        await self.forget()

    async def _begin_message(self) -> None:
        """Ask the queue for a place; what it answers waits in ``_begin_refusal``. Blocks: while the queue is behind."""
        transaction = self._transaction
        assert transaction is not None
        shared = self._shared
        try:
            writer = await shared.intake.begin()
        except ApplianceError as error:
            self._begin_refusal = self._reply_for(error)
            return
        if shared.role.verbatim:
            self._incoming = open_verbatim(writer, transaction)
            return
        self._inspection = None if self._is_trusted or self.client.account is not None else self._begin_inspection(transaction)
        self._incoming = open_message(shared, writer, self.client, transaction, completes=self._completes, inspection=self._inspection)

    def _begin_inspection(self, transaction: Transaction) -> "Inspection | None":
        return self._shared.inspection(
            client_address=self._connection.peer.host, helo=self.client.helo, reverse_path=transaction.reverse_path
        )

    async def _inspect(self, inspection: "Inspection", incoming: IncomingMessage) -> None:
        """Judge the message; the findings go in front of it, or it is refused. Blocks: network, bounded by ``checks.timeout_s``."""
        self._connection.set_deadline(trio.current_time() + _ACCEPT_S)
        fields = await inspection.finish()
        decision = inspection.decision
        if decision.status:
            incoming.refusal = Reply(550, decision.status, decision.reason)
        else:
            await incoming.prepend(fields)

    async def _message_finished(self, *, eight_bit: bool) -> None:
        """Hand the message to the queue and answer with its fate: the moment of responsibility (RFC 5321 section 6.1)."""
        transaction, incoming, shared = self._transaction, self._incoming, self._shared
        assert transaction is not None
        assert incoming is not None
        await incoming.finish()
        inspection = self._inspection
        if inspection is not None and incoming.refusal is None:
            await self._inspect(inspection, incoming)
        if incoming.refusal is not None:
            await self._refuse_message(incoming.refusal)
            return
        if self._owes_acknowledgement:
            # A pipelined BDAT: the message before this one is safe, and its client need not wait for ours.
            await self.flush()
        if shared.smtp.idle_timeout_s < _ACCEPT_S:
            self._connection.set_deadline(trio.current_time() + _ACCEPT_S)
        envelope = transaction.envelope(self.client.envelope_client(smtputf8=transaction.smtputf8), eight_bit=eight_bit)
        if inspection is not None:
            envelope = replace(envelope, is_junk=inspection.decision.fate.value == "junk", is_forged=inspection.is_forged)
        try:
            queue_id = await shared.intake.accept(envelope, incoming.writer)
        except ApplianceError as error:
            await self._refuse_message(self._reply_for(error))
            return
        self._transaction = self._incoming = self._inspection = None
        if self._pass is not None:
            self._pass.taken()
        self.messages += 1
        shared.mail_log.message_queued(
            queue_id=queue_id,
            session_id=self._connection.session_id,
            client=self.client.text,
            account=self.client.account or "",
            sender=envelope.reverse_path,
            recipients=len(envelope.recipients),
            size=incoming.writer.size,
            message_id=incoming.message_id,
            subject=incoming.subject,
            verdicts=inspection.words() if inspection is not None else None,
        )
        self._core.send_reply(Reply(250, "2.0.0", f"Ok: queued as {queue_id}"))
        self._owes_acknowledgement = True

    async def _refuse_message(self, reply: Reply) -> None:
        if self._incoming is not None and self._incoming.error is not None:
            self._log_failure(self._incoming.error)
        is_judged = self._inspection is not None and bool(self._inspection.decision.status)
        self.refuse("DATA", reply, check="authentication" if is_judged else "")
        await self.forget()

    async def forget(self) -> None:
        """Drop the transaction and what of its message was received."""
        incoming, self._incoming, self._transaction, self._begin_refusal = self._incoming, None, None, None
        self._inspection = None
        if incoming is not None:
            await incoming.writer.discard()

    # Notices, refusals, the log

    def _command_rejected(self, notice: events.CommandRejected) -> None:
        if notice.command in ("MAIL", "RCPT", "DATA", "BDAT"):
            self._log_refusal(notice.command, notice.reply)

    def _violation(self, notice: events.Violation) -> None:
        self.reason = notice.reason

    def _quit(self, _notice: events.QuitRequested) -> None:
        self.reason = End.FINISHED.value

    async def _lost(self, _notice: events.ConnectionLost) -> None:
        self.reason = End.LOST.value
        await self.forget()

    def _ignore(self, _notice: events.EarlyTalked) -> None:
        """Do nothing: ``_greet`` looked for it, and a listener that does not is told at the first command."""

    def refuse(self, stage: str, reply: Reply, *, sender: str = "", recipient: str = "", check: str = "") -> None:
        self._log_refusal(stage, reply, sender=sender, recipient=recipient, check=check)
        self._core.send_reply(reply)

    def _log_refusal(self, stage: str, reply: Reply, *, sender: str = "", recipient: str = "", check: str = "") -> None:
        transaction = self._transaction
        if transaction is not None:
            sender = sender or transaction.reverse_path
            recipient = recipient or ", ".join(transaction.given[:3])
        self._shared.mail_log.message_refused(
            session_id=self._connection.session_id,
            client=self.client.text,
            stage=stage,
            sender=sender,
            recipient=recipient,
            reply=str(reply),
            check=check,
        )

    def _reply_for(self, error: ApplianceError) -> Reply:
        self._log_failure(error)
        return reply_for(error)

    def _log_failure(self, error: ApplianceError) -> None:
        if isinstance(error, OutOfSpaceError):
            # The queue tells once that the disk is full; each refused message is told as refused.
            return
        self._shared.mail_log.warning("intake_failed", session=self._connection.session_id, reason=error.client_text, detail=error.detail)

    HANDLERS: ClassVar[Mapping[type[object], Callable[[Any, Any], Awaitable[None] | None]]] = {
        events.Greeted: _greeted,
        events.XclientRequested: _xclient_requested,
        events.MailRequested: _mail_requested,
        events.RecipientRequested: _recipient_requested,
        events.DataRequested: _data_requested,
        events.DataFinished: _data_finished,
        events.BdatChunkFinished: _bdat_chunk_finished,
        events.TlsRequested: _tls_requested,
        events.AuthRequested: _auth_requested,
        events.AuthResponse: _auth_response,
        events.VerifyRequested: _verify_requested,
        events.ExpandRequested: _expand_requested,
        events.QueueRunRequested: _queue_run_requested,
        events.HelpRequested: _help_requested,
        events.BdatStarted: _bdat_started,
        events.DataChunk: _data_chunk,
        events.DataRejected: _data_rejected,
        events.ResetRequested: _reset,
        events.AuthCancelled: _auth_cancelled,
        events.CommandRejected: _command_rejected,
        events.EarlyTalked: _ignore,
        events.QuitRequested: _quit,
        events.ConnectionLost: _lost,
        events.Violation: _violation,
    }
