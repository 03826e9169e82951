"""The SMTP and LMTP client core: one method per thing to say, one event per reply.

Owns pipelining (MAIL, all RCPT and DATA in one go where offered), what an envelope
becomes given what the server offers, and the order of replies. Use::

    loop: event = client.next_event()
          ClientNeedsData -> send data_to_send(), receive_data(what arrived)
          anything else   -> say the next thing (send_hello, send_message, ...)

Fails: a server's misbehaviour is ServerViolation or ServerLost; LocalProtocolError
means that something was said at the wrong moment.
Does not: keep time; RFC 5321 section 4.5.3.2 has the driver's deadlines.
Does not: convert content. 8-bit content goes to servers without 8BITMIME as it is
(nobody refuses it, and a converted message loses its signature); SMTPUTF8 and
BINARYMIME that are not offered make a message impossible.

Sources: RFC 5321 section 4, RFC 2920 section 3.1 (what may be pipelined, the lone
dot when all recipients were refused), RFC 3030, RFC 3207, RFC 3461 section 5.2.1,
RFC 4954 section 4, Postfix smtp_proto.c.
"""

import base64
import binascii
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from appliance.model.envelope import Body, Envelope
from appliance.protocols.smtp.capabilities import Capabilities, parse_capabilities
from appliance.protocols.smtp.client_events import (
    CLIENT_CLOSED,
    CLIENT_NEEDS_DATA,
    AuthReplied,
    ClientEvent,
    CommandReplied,
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
from appliance.protocols.smtp.commands import format_mail, format_rcpt
from appliance.protocols.smtp.errors import LocalProtocolError
from appliance.protocols.smtp.events import MailRequested, RecipientRequested
from appliance.protocols.smtp.grammar import needs_smtputf8
from appliance.protocols.smtp.outgoing import DataWriter
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.reply_reader import ReplyError, ReplyReader

__all__ = ["ClientMechanism", "SmtpClient"]

_NO_SMTPUTF8: Final = Reply(550, "5.6.7", "The message needs SMTPUTF8, which the server does not offer")
_NO_BINARYMIME: Final = Reply(554, "5.6.3", "The message is binary, which the server does not take")
_TOO_BIG: Final = Reply(552, "5.3.4", "The message is larger than the server takes")


class ClientMechanism(Protocol):
    """A SASL mechanism's client side, as ``protocols.sasl`` has them."""

    @property
    def name(self) -> str: ...

    @property
    def is_complete(self) -> bool:
        """True when the server may say yes now; SCRAM: when it has proved that it knows the password too."""

    def initial_response(self) -> bytes | None: ...

    def respond(self, challenge: bytes) -> bytes | None:
        """Return the answer, or None to give up."""


@dataclass(slots=True)
class _Message:
    """The message under way."""

    recipient_count: int
    by_bdat: bool
    writer: DataWriter = field(default_factory=DataWriter)
    sender_refused: bool = False
    recipients_answered: int = 0
    accepted: list[int] = field(default_factory=list)
    wants_content: bool = False
    finished: bool = False
    failure: Reply | None = None
    """The first BDAT chunk's negative reply."""


class SmtpClient:
    """One connection's client side, without I/O."""

    __slots__ = (
        "_capabilities",
        "_closed",
        "_eof",
        "_events",
        "_hello",
        "_in_flight",
        "_lmtp",
        "_mechanism",
        "_message",
        "_name",
        "_needs_reset",
        "_out",
        "_quit_answered",
        "_reader",
        "_to_say",
        "tls_active",
    )

    def __init__(self, name: str, *, lmtp: bool = False, tls_active: bool = False) -> None:
        """``name``: what EHLO says, a host name or an address literal."""
        self._name = name
        self._lmtp = lmtp
        self._reader = ReplyReader()
        self._capabilities = Capabilities()
        self._out: list[bytes] = []
        self._events: deque[ClientEvent] = deque()
        # What a reply answers, in order; and what is not said yet because the server does not pipeline.
        self._in_flight: deque[tuple[str, int]] = deque([("greeting", 0)])
        self._to_say: deque[tuple[str, int, bytes]] = deque()
        self._hello = "LHLO" if lmtp else "EHLO"
        self._mechanism: ClientMechanism | None = None
        self._message: _Message | None = None
        self._needs_reset = False
        self._quit_answered = False
        self._eof = False
        self._closed = False
        self.tls_active = tls_active

    @property
    def capabilities(self) -> Capabilities:
        """What the last HELLO offered."""
        return self._capabilities

    @property
    def is_idle(self) -> bool:
        """True when nothing waits for a reply, so something may be said."""
        return not self._in_flight and not self._to_say and self._message is None and not self._closed

    @property
    def content_refused(self) -> bool:
        """True when a BDAT chunk was refused: spare yourself the rest and call ``finish_data``."""
        return self._message is not None and self._message.failure is not None

    # Bytes

    def receive_data(self, data: bytes) -> None:
        """Take what the server sent; ``b""`` is end of input."""
        if not data:
            self._eof = True
        elif not self._closed:
            self._reader.receive_data(data)

    def data_to_send(self) -> bytes:
        """Return and forget what is to be sent."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def next_event(self) -> ClientEvent:
        """Return the next event. Never raises for what a server does."""
        while not self._events:
            if self._closed:
                return CLIENT_CLOSED
            try:
                reply = self._reader.take_reply()
            except ReplyError as error:
                self._close()
                return ServerViolation(str(error))
            if reply is None:
                if not self._eof:
                    return CLIENT_NEEDS_DATA
                return self._lost()
            self._answered(reply)
        return self._events.popleft()

    def _lost(self) -> ClientEvent:
        message = self._message
        event = ServerLost(self._quit_answered, message is not None and message.finished)
        self._close()
        return event

    def _close(self) -> None:
        self._closed = True
        self._in_flight.clear()
        self._to_say.clear()
        self._message = None

    # What may be said

    def send_hello(self) -> None:
        """Say EHLO (LHLO); HELO follows by itself when a server does not know it. Answer: HelloReplied."""
        self._say_alone(self._hello.lower(), f"{self._hello} {self._name}")

    def send_starttls(self) -> None:
        """Answer: TlsReplied."""
        self._say_alone("starttls", "STARTTLS")

    def tls_established(self) -> None:
        """Tell that the handshake succeeded; what was learnt before is forgotten (RFC 3207 section 4.2)."""
        if not self.is_idle:
            raise LocalProtocolError("a reply is still to come")
        # Replies that were injected before TLS must not be taken for the server's (RFC 3207 section 6).
        self._reader.clear()
        self._capabilities = Capabilities()
        self.tls_active = True

    def send_auth(self, mechanism: ClientMechanism) -> None:
        """Log in, with an initial response if the mechanism has one (RFC 4954 section 4). Answer: AuthReplied."""
        self._mechanism = mechanism
        initial = mechanism.initial_response()
        words = f"AUTH {mechanism.name}"
        if initial is not None:
            words += " " + (base64.b64encode(initial).decode() or "=")
        self._say_alone("auth", words)

    def send_command(self, line: str) -> None:
        """Say RSET, NOOP, VRFY or the like. Answer: CommandReplied."""
        self._say_alone(f"command {line.split(' ', 1)[0]}", line)

    def send_quit(self) -> None:
        """Answer: CommandReplied with ``QUIT``, then ServerLost."""
        self._say_alone("command QUIT", "QUIT")

    def _say_alone(self, kind: str, line: str) -> None:
        if not self.is_idle:
            raise LocalProtocolError(f"{line.split(' ', 1)[0]} while a reply is still to come")
        if "\r" in line or "\n" in line:
            raise LocalProtocolError("a command is one line")
        self._say(kind, 0, line.encode() + b"\r\n")

    def _say(self, kind: str, index: int, wire: bytes) -> None:
        self._out.append(wire)
        self._in_flight.append((kind, index))

    # A message

    def send_message(self, envelope: Envelope, *, size: int = 0, use_bdat: bool = False) -> None:
        """Begin a message for all recipients of the envelope; see ``client_events`` for what follows.

        ``use_bdat``: prefer BDAT where CHUNKING and PIPELINING are offered; binary content always takes it.
        ``size``: octets of the content, 0 when not known.
        """
        if not self.is_idle:
            raise LocalProtocolError("a message or a reply is under way")
        offers = self._capabilities.offers
        impossible = self._impossible(envelope, size)
        if impossible is not None:
            self._events += [MessageImpossible(impossible), MessageEnded()]
            return
        by_bdat = envelope.body is Body.BINARY_MIME or (use_bdat and offers("CHUNKING") and offers("PIPELINING"))
        self._message = _Message(len(envelope.recipients), by_bdat)
        if self._needs_reset:
            self._to_say.append(("rset", 0, b"RSET\r\n"))
            self._needs_reset = False
        self._to_say.append(("mail", 0, format_mail(self._mail(envelope, size))))
        dsn = offers("DSN")
        for index, recipient in enumerate(envelope.recipients):
            notify, orcpt = (recipient.notify, recipient.orcpt) if dsn else (None, None)
            self._to_say.append(("rcpt", index, format_rcpt(RecipientRequested(recipient.address, notify, orcpt))))
        if not by_bdat:
            self._to_say.append(("data", 0, b"DATA\r\n"))
        self._say_more()

    def _impossible(self, envelope: Envelope, size: int) -> Reply | None:
        capabilities = self._capabilities
        if not capabilities.offers("SMTPUTF8") and _wants_smtputf8(envelope):
            return _NO_SMTPUTF8
        # Chunks are sent without waiting, which RFC 3030 section 2 allows only with PIPELINING.
        if envelope.body is Body.BINARY_MIME and not capabilities.keywords >= {"BINARYMIME", "CHUNKING", "PIPELINING"}:
            return _NO_BINARYMIME
        if 0 < capabilities.size < size:
            return _TOO_BIG  # RFC 1870 section 5
        return None

    def _mail(self, envelope: Envelope, size: int) -> MailRequested:
        offers = self._capabilities.offers
        sends_body = offers("BINARYMIME") if envelope.body is Body.BINARY_MIME else offers("8BITMIME")
        dsn = offers("DSN")
        return MailRequested(
            envelope.reverse_path,
            size=size if offers("SIZE") else 0,
            body=envelope.body if sends_body else Body.SEVEN_BIT,
            smtputf8=_wants_smtputf8(envelope),
            ret=envelope.ret if dsn else None,
            envid=envelope.envid if dsn else None,
            requiretls=envelope.requires_tls and offers("REQUIRETLS"),
        )

    def _say_more(self) -> None:
        """Say what may be said now: everything where the server pipelines, else one command when none is in flight."""
        while self._to_say and (self._capabilities.offers("PIPELINING") or not self._in_flight):
            self._say(*self._to_say.popleft())

    def send_data_chunk(self, data: bytes) -> None:
        """Send a piece of content; its lines end in CRLF, dots are stuffed here."""
        message = self._streaming()
        if not data or message.failure is not None:
            return
        if message.by_bdat:
            self._say("chunk", 0, b"BDAT %d\r\n%s" % (len(data), data))
        else:
            self._out.append(message.writer.feed(data))

    def finish_data(self) -> None:
        """Tell that the content is whole; MessageReplied follows."""
        message = self._streaming()
        message.wants_content = False
        message.finished = True
        if message.by_bdat:
            if message.failure is None:
                self._out.append(b"BDAT 0 LAST\r\n")
                self._expect_fates(message)
            elif not self._in_flight:
                self._chunks_failed(message)
            return
        self._out.append(message.writer.finish())
        self._expect_fates(message)

    def _streaming(self) -> _Message:
        if self._message is None or not self._message.wants_content:
            raise LocalProtocolError("the server does not want content now")
        return self._message

    def _expect_fates(self, message: _Message) -> None:
        """RFC 2033 section 4.2: LMTP answers once for each recipient that it accepted."""
        self._in_flight.extend(("fate", index) for index in (message.accepted if self._lmtp else [-1]))

    # Replies

    def _answered(self, reply: Reply) -> None:
        if not self._in_flight:
            self._close()
            self._events.append(ServerViolation("a reply nobody asked for", reply))
            return
        kind, index = self._in_flight.popleft()
        answer = self._OF_MESSAGE.get(kind)
        if answer is not None and self._message is not None:
            answer(self, index, self._message, reply)
        else:
            self._alone_answered(kind, reply)
        self._say_more()

    def _alone_answered(self, kind: str, reply: Reply) -> None:
        if kind in {"ehlo", "lhlo", "helo"}:
            self._hello_answered(kind, reply)
        elif kind == "auth":
            self._auth_answered(reply)
        elif kind == "starttls":
            self._events.append(TlsReplied(reply))
        elif kind == "greeting":
            self._events.append(ServerGreeted(reply))
        else:
            command = kind.removeprefix("command ")
            self._quit_answered = command == "QUIT"
            self._events.append(CommandReplied(command, reply))

    def _hello_answered(self, name: str, reply: Reply) -> None:
        # RFC 5321 section 3.2: servers without extensions refuse EHLO with 500 or 502; some say 501, 504 or 550.
        if name == "ehlo" and reply.code >= 500:
            self._say("helo", 0, f"HELO {self._name}\r\n".encode())
            return
        extended = reply.is_positive and name != "helo"
        self._capabilities = parse_capabilities(reply.lines[1:]) if extended else Capabilities()
        self._events.append(HelloReplied(reply, self._capabilities))

    def _auth_answered(self, reply: Reply) -> None:
        mechanism = self._mechanism
        assert mechanism is not None
        if reply.code == 334:
            answer = self._sasl_answer(mechanism, reply)
            self._say("auth", 0, b"*\r\n" if answer is None else base64.b64encode(answer) + b"\r\n")
            return
        self._mechanism = None
        if reply.is_positive and not mechanism.is_complete:
            self._close()
            self._events.append(ServerViolation("the server did not prove that it knows the password", reply))
            return
        self._events.append(AuthReplied(reply))

    def _sasl_answer(self, mechanism: ClientMechanism, reply: Reply) -> bytes | None:
        try:
            challenge = base64.b64decode(reply.text.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        return mechanism.respond(challenge)

    # Replies within a message; MAIL, RCPT and DATA may all be in flight at once

    def _rset_answered(self, index: int, message: _Message, reply: Reply) -> None:
        """Nothing to tell; a server that fails here fails MAIL too."""

    def _mail_answered(self, index: int, message: _Message, reply: Reply) -> None:
        self._events.append(SenderReplied(reply))
        if not reply.is_positive:
            message.sender_refused = True
            self._drop_unsaid(message)

    def _rcpt_answered(self, index: int, message: _Message, reply: Reply) -> None:
        message.recipients_answered += 1
        if not message.sender_refused:
            if reply.is_positive:
                message.accepted.append(index)
            self._events.append(RecipientReplied(index, reply))
        if message.recipients_answered < message.recipient_count:
            return
        if not message.accepted:
            self._drop_unsaid(message)
        elif message.by_bdat:
            self._want_content(message)

    def _drop_unsaid(self, message: _Message) -> None:
        """Leave unsaid what has no chance any more; end the message when no reply is to come."""
        self._to_say.clear()
        if not self._in_flight:
            self._needs_reset = not message.sender_refused
            self._end_message()

    def _want_content(self, message: _Message) -> None:
        message.wants_content = True
        self._events.append(ContentWanted(tuple(message.accepted)))

    def _data_answered(self, index: int, message: _Message, reply: Reply) -> None:
        if reply.code == 354:
            if message.accepted:
                self._want_content(message)
            else:
                # RFC 2920 section 3.1: a pipelined DATA may be taken although every recipient was refused.
                self._say("dot", 0, b".\r\n")
            return
        if message.accepted:
            self._events.append(MessageReplied(None, reply))
        self._needs_reset = True
        self._end_message()

    def _dot_answered(self, index: int, message: _Message, reply: Reply) -> None:
        self._end_message()

    def _fate_answered(self, index: int, message: _Message, reply: Reply) -> None:
        # After a refused chunk the last one only gets 503; what was wrong stood in the first refusal.
        self._events.append(MessageReplied(None if index < 0 else index, message.failure or reply))
        if not self._in_flight:
            self._needs_reset = message.failure is not None
            self._end_message()

    def _chunk_answered(self, index: int, message: _Message, reply: Reply) -> None:
        if not reply.is_positive and message.failure is None:
            message.failure = reply
            if message.finished:
                # The transaction is over, so BDAT LAST is refused once, not once for each recipient.
                chunks = [waiting for waiting in self._in_flight if waiting[0] == "chunk"]
                self._in_flight = deque([*chunks, ("fate", -1)])
        if message.failure is not None and message.finished and not self._in_flight:
            self._chunks_failed(message)

    def _chunks_failed(self, message: _Message) -> None:
        assert message.failure is not None
        self._events.append(MessageReplied(None, message.failure))
        self._needs_reset = True
        self._end_message()

    _OF_MESSAGE: ClassVar[Mapping[str, Callable[["SmtpClient", int, _Message, Reply], None]]] = {
        "rset": _rset_answered,
        "mail": _mail_answered,
        "rcpt": _rcpt_answered,
        "data": _data_answered,
        "dot": _dot_answered,
        "fate": _fate_answered,
        "chunk": _chunk_answered,
    }

    def _end_message(self) -> None:
        self._message = None
        self._events.append(MessageEnded())


def _wants_smtputf8(envelope: Envelope) -> bool:
    paths: Sequence[str] = [envelope.reverse_path, *(recipient.address for recipient in envelope.recipients)]
    return envelope.smtputf8 or any(needs_smtputf8(path) for path in paths)
