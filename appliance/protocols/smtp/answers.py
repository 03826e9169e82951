"""The answering half of the SMTP server core: what a session says, and what that does to the state.

Owns the session's state and output; ``server.SmtpServer`` adds the input. Split
for reading only: the two are one object.

Fails: LocalProtocolError when an answer fits nothing that was asked.
Sources: RFC 5321 section 4.2 and 4.3.2, RFC 2033 section 4.2 (a reply per
recipient), RFC 3030 section 2, RFC 3207 section 4.2, RFC 4954 section 4.
"""

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from appliance.model.envelope import Body
from appliance.protocols.lines import LineBuffer
from appliance.protocols.smtp import replies
from appliance.protocols.smtp.capabilities import greeting_reply, opening_reply
from appliance.protocols.smtp.content import ContentReader
from appliance.protocols.smtp.errors import LocalProtocolError
from appliance.protocols.smtp.events import (
    AuthRequested,
    AuthResponse,
    BdatChunkFinished,
    CommandRejected,
    DataFinished,
    DataRequested,
    Event,
    ExpandRequested,
    Greeted,
    HelpRequested,
    MailRequested,
    Notice,
    QueueRunRequested,
    RecipientRequested,
    Request,
    TlsRequested,
    VerifyRequested,
    Violation,
    XclientRequested,
)
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.state import TRANSITIONS, Signal, State, Verb

__all__ = ["AnsweringServer"]

R = TypeVar("R", bound=Request)

_HELP: Final = Reply(214, "2.0.0", "Commands: EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT STARTTLS AUTH VRFY EXPN HELP", "See RFC 5321")
_USUAL: Final[Mapping[type[Request | None], Reply]] = {
    MailRequested: replies.SENDER_OK,
    RecipientRequested: replies.RECIPIENT_OK,
    DataRequested: replies.SEND_CONTENT,
    DataFinished: replies.QUEUED,
    BdatChunkFinished: replies.ACCEPTED,
    TlsRequested: replies.READY_FOR_TLS,
    VerifyRequested: replies.CANNOT_VERIFY,
    ExpandRequested: replies.NO_EXPANSION,
    QueueRunRequested: replies.QUEUE_STARTED,
    HelpRequested: _HELP,
}


class AnsweringServer:
    """State, output and answers of one connection's server side."""

    __slots__ = (
        "_authenticated",
        "_bdat_last",
        "_bdat_left",
        "_body",
        "_buffer",
        "_commands_since_mail",
        "_content",
        "_discard_bdat",
        "_eof",
        "_events",
        "_options",
        "_out",
        "_pending",
        "_skipped",
        "_smtputf8",
        "_state",
        "_table",
        "_tls_active",
        "_told_early",
        "command_count",
        "error_count",
        "recipient_count",
    )

    def __init__(self, options: ServerOptions, *, tls_active: bool = False) -> None:
        """``tls_active``: implicit TLS, the first byte was already protected."""
        self._options = options
        self._tls_active = tls_active
        self._authenticated = False
        self._buffer = LineBuffer()
        self._out: list[bytes] = []
        self._events: deque[Notice] = deque()
        self._pending: Request | None = None
        self._eof = False
        self._told_early = False
        self._skipped = 0
        """Octets of an over-long line that were dropped; not 0: its end has not been seen."""
        self._smtputf8 = False
        self._body = Body.SEVEN_BIT
        self._content: ContentReader | None = None
        self._bdat_left = 0
        self._bdat_last = False
        self._discard_bdat: Reply | None = None
        """The reply to a BDAT out of sequence, whose octets must be read past first (RFC 3030 section 2)."""
        self._commands_since_mail = 0
        self.command_count = 0
        """Command lines so far."""
        self.error_count = 0
        """Commands rejected or answered with 5xx; a session slows down as it grows."""
        self.recipient_count = 0
        """Recipients accepted in this transaction: so many replies LMTP wants after the content."""
        self._state = State.CONNECTED
        self._table = TRANSITIONS[State.CONNECTED]

    # What a session may know

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_closed(self) -> bool:
        return self._state is State.CLOSED

    @property
    def tls_active(self) -> bool:
        return self._tls_active

    @property
    def authenticated(self) -> bool:
        return self._authenticated

    @property
    def options(self) -> ServerOptions:
        return self._options

    def data_to_send(self) -> bytes:
        """Return and forget what is to be sent. Send it at NEED_DATA, at CLOSED, before a TLS handshake and before anything slow."""
        if not self._out:
            return b""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        return data

    # Answers

    def send_greeting(self, reply: Reply | None = None) -> None:
        """Queue 220, first of all; or a 4xx/5xx ``reply``, which closes (421, 554: RFC 5321 section 3.1)."""
        if self._state is not State.CONNECTED:
            raise LocalProtocolError("the greeting was sent already")
        if reply is None:
            reply = opening_reply(self._options)
        self._out.append(reply.to_bytes())
        if reply.is_positive:
            self._move(Signal.GREETING_SENT)
        else:
            self._close()

    def accept(self) -> None:
        """Answer the pending request with its usual positive reply.

        Greeted: the capabilities; DataRequested: 354; DataFinished: 250, to every recipient in LMTP.
        """
        request = self._pending
        usual = _USUAL.get(type(request))
        if usual is not None:
            self.send_reply(replies.QUEUED if isinstance(request, BdatChunkFinished) and request.last else usual)
        elif isinstance(request, Greeted):
            self.send_reply(self._greeting_reply(request))
        elif isinstance(request, XclientRequested):
            self.begin_again(self._options)
        else:
            raise LocalProtocolError("no request that has a usual answer is pending")

    def send_reply(self, reply: Reply) -> None:
        """Answer the pending request; a negative reply refuses it, 421 also closes and may be sent at any time.

        In LMTP a single reply to DataFinished stands for all recipients.
        """
        request = self._pending
        if reply.code == 421:
            self._out.append(reply.to_bytes())
            self._close()
            return
        if request is None:
            raise LocalProtocolError("no request is pending")
        self._pending = None
        wire = reply.to_bytes()
        self._out.append(wire * self.recipient_count if self._options.lmtp and self._wants_fates(request) else wire)
        self._settle(request, reply)

    def send_replies(self, fates: Sequence[Reply]) -> None:
        """Answer DataFinished or the last BDAT chunk: in LMTP one reply per accepted recipient, in order of RCPT."""
        request = self._pending
        if request is None or not isinstance(request, DataFinished | BdatChunkFinished):
            raise LocalProtocolError("no content waits for its fate")
        wanted = self.recipient_count if self._wants_fates(request) else 1
        if len(fates) != wanted:
            raise LocalProtocolError(f"{len(fates)} replies, {wanted} wanted")
        self._pending = None
        self._out.extend(reply.to_bytes() for reply in fates)
        self._settle(request, fates[0])

    def send_challenge(self, data: bytes) -> None:
        """Answer AuthRequested or AuthResponse with 334; the next event is AuthResponse or AuthCancelled."""
        if not isinstance(self._pending, AuthRequested | AuthResponse):
            raise LocalProtocolError("no login is under way")
        self._pending = None
        self._out.append(b"334 " + base64.b64encode(data) + b"\r\n")

    def tls_established(self) -> None:
        """Tell that the handshake succeeded: everything learnt before is forgotten (RFC 3207 section 4.2)."""
        if self._state is not State.TLS:
            raise LocalProtocolError("STARTTLS was not accepted")
        assert not self._buffer, "plain text would be taken for TLS"
        self._tls_active = True
        self._move(Signal.TLS_ESTABLISHED)

    def begin_again(self, options: ServerOptions, *, authenticated: bool = False) -> None:
        """Answer XclientRequested: greet once more, with what the client it names is offered."""
        if not isinstance(self._pending, XclientRequested):
            raise LocalProtocolError("no XCLIENT is pending")
        self._pending = None
        self._options = options
        self._authenticated = authenticated
        self._out.append(opening_reply(options).to_bytes())
        self._forget_transaction()
        self._move(Verb.XCLIENT)

    def offer(self, options: ServerOptions) -> None:
        """Offer and take something else from the next command on."""
        self._options = options

    def _wants_fates(self, request: Request) -> bool:
        if not self._options.lmtp:
            return False
        return isinstance(request, DataFinished) or (isinstance(request, BdatChunkFinished) and request.last)

    def _greeting_reply(self, request: Greeted) -> Reply:
        if not request.extended:
            return Reply(250, "", self._options.hostname)
        return greeting_reply(self._options, tls_active=self._tls_active, authenticated=self._authenticated)

    def _settle(self, request: Request, reply: Reply) -> None:
        """Move the state as the answer to a request says."""
        code = reply.code
        if code >= 500:
            self._count_error()
        if isinstance(request, RecipientRequested):
            if code < 400:
                self.recipient_count += 1
                self._move(Verb.RCPT)
        elif isinstance(request, MailRequested):
            if code < 400:
                self._smtputf8 = request.smtputf8
                self._body = request.body
                self._move(Verb.MAIL)
        elif isinstance(request, DataFinished):
            self._message_settled(positive=code < 400)
        else:
            self._settle_rare(request, positive=code < 400)

    def _settle_rare(self, request: Request, *, positive: bool) -> None:
        if isinstance(request, BdatChunkFinished):
            if request.last or not positive:
                self._message_settled(positive=positive)
            else:
                self._move(Signal.CHUNK_ENDED)
        elif isinstance(request, AuthRequested | AuthResponse):
            self._authenticated = positive
            self._move(Signal.AUTH_ENDED)
        elif not positive:
            return
        elif isinstance(request, DataRequested):
            self._content = ContentReader(self._options, by_data=True)
            self._move(Verb.DATA)
        elif isinstance(request, Greeted):
            self._forget_transaction()
            self._move(Verb.EHLO)
        elif isinstance(request, TlsRequested):
            self._authenticated = False
            self._forget_transaction()
            self._buffer.clear()
            self._move(Verb.STARTTLS)

    def _message_settled(self, *, positive: bool) -> None:
        if positive:
            self.error_count = 0  # as Postfix does: smtpd_hard_error_limit is about errors without mail
            self._commands_since_mail = 0
        self._end_transaction(Signal.CONTENT_ENDED)

    def _end_transaction(self, signal: Signal) -> None:
        self._forget_transaction()
        self._move(signal)

    def _forget_transaction(self) -> None:
        self.recipient_count = 0
        self._smtputf8 = False
        self._body = Body.SEVEN_BIT
        self._content = None

    def _move(self, cause: Verb | Signal) -> None:
        state = self._table[cause]
        assert state is not None, f"{cause} in {self._state}"
        self._state = state
        self._table = TRANSITIONS[state]

    def _close(self) -> None:
        self._move(Signal.LOST)
        self._forget_transaction()
        self._bdat_left = 0
        self._pending = None
        self._buffer.clear()

    def _ask(self, request: R) -> R:
        self._pending = request
        return request

    def _reject(self, command: str, reply: Reply) -> Event:
        """Refuse a command, count it, and end the session when it was one too many."""
        self._out.append(reply.to_bytes())
        if not reply.is_temporary:
            self._count_error()
        return CommandRejected(command, reply)

    def _count_error(self) -> None:
        self.error_count += 1

    def _has_erred_enough(self) -> bool:
        return 0 < self._options.max_errors <= self.error_count

    def _violation(self, reply: Reply, reason: str) -> Violation:
        self._out.append(reply.to_bytes())
        self._close()
        return Violation(reply, reason)
