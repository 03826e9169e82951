"""The SMTP and LMTP server core: bytes in, events out, replies in, bytes out.

Owns grammar, order of commands (``state.TRANSITIONS``), limits, and every reply
that needs no policy. The session owns policy: it answers each request event with
``accept`` or ``send_reply``. Use::

    server.send_greeting()
    loop: event = server.next_event()
          NEED_DATA -> send data_to_send(), receive_data(what arrived)
          CLOSED    -> send data_to_send(), close
          request   -> decide, answer; notice -> note it

Fails: nothing a peer sends raises; LocalProtocolError means a bug of the caller.
Does not: keep time (the session's deadline), or know who may relay.
Does not: give equal events for equal bytes where the client must wait for a reply
and did not; ``forbid_unauth_pipelining`` ends such sessions (RFC 2920 section 3.1).

Sources: RFC 5321 section 4, RFC 2033, RFC 2920, RFC 3030, RFC 3207, RFC 4954,
Postfix smtpd(8) for what to do about bad clients.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from appliance.model.envelope import Body
from appliance.protocols.lines import LineTooLongError
from appliance.protocols.smtp import replies
from appliance.protocols.smtp.answers import AnsweringServer
from appliance.protocols.smtp.commands import (
    FOREIGN_VERBS,
    KNOWN_ELSEWHERE,
    decode_base64,
    parse_auth,
    parse_bdat,
    parse_mail,
    parse_rcpt,
    split_command,
)
from appliance.protocols.smtp.content import ContentReader
from appliance.protocols.smtp.errors import LocalProtocolError
from appliance.protocols.smtp.events import (
    CLOSED,
    NEED_DATA,
    AuthCancelled,
    AuthRequested,
    AuthResponse,
    BdatChunkFinished,
    BdatStarted,
    ConnectionLost,
    DataChunk,
    DataFinished,
    DataRejected,
    DataRequested,
    EarlyTalked,
    Event,
    ExpandRequested,
    Greeted,
    HelpRequested,
    QueueRunRequested,
    QuitRequested,
    ResetRequested,
    TlsRequested,
    VerifyRequested,
    Violation,
)
from appliance.protocols.smtp.grammar import GrammarError
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.state import Signal, State, Verb
from appliance.protocols.smtp.xclient import parse_xclient

__all__ = ["SmtpServer"]

MAX_SKIPPED_BYTES: Final = 1_048_576
"""How much of an over-long command line is read past before the session ends; far more than any client's mistake."""

MAX_HELO_NAME: Final = 255  # RFC 5321 section 4.5.3.1.2

_VERBS: Final[Mapping[str, Verb]] = {
    **{verb.value: verb for verb in Verb},
    "HELO": Verb.EHLO,
    "LHLO": Verb.EHLO,
    "VERB": Verb.NOOP,  # sendmail's: be wordy. Old programs begin with it; there is nothing to add
}
_IN_TRANSACTION: Final = frozenset({State.MAIL, State.RCPT, State.DATA, State.CHUNK, State.BDAT})
_READS_LINES: Final = frozenset({State.START, State.READY, State.AUTH, State.MAIL, State.RCPT, State.BDAT})
_WITHOUT_ARGUMENT: Final = frozenset({Verb.DATA, Verb.RSET, Verb.QUIT, Verb.STARTTLS})
_MAIL_VERBS: Final = frozenset({Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT})


def _shown_verb(line: bytes) -> str:
    """Return the verb of a line for the log, and never more: the rest may be a password sent at the wrong moment."""
    word = line.split(None, 1)[0].upper() if line.strip() else b""
    name = word.decode("ascii", "replace")
    return name if name in _VERBS else ""


class SmtpServer(AnsweringServer):
    """One connection's server side, without I/O."""

    __slots__ = ()

    # Bytes

    def receive_data(self, data: bytes) -> None:
        """Take what the peer sent; ``b""`` is end of input. Never raises for what it holds."""
        if not data:
            self._eof = True
        elif self._state is not State.CLOSED and self._state is not State.TLS:
            # What came in plain text after STARTTLS must never be taken for what came in TLS (RFC 3207 section 4.2).
            self._buffer.append(data)

    # Events

    def next_event(self) -> Event:
        """Return the next event, NEED_DATA or CLOSED.

        Raises:   LocalProtocolError while a request waits for its answer.
        """
        if self._pending is not None:
            raise LocalProtocolError(f"{type(self._pending).__name__} has not been answered")
        while True:
            if self._events:
                return self._events.popleft()
            # Nearly every step reads a command line; the rest is looked at when it does not.
            event = self._read_line() if self._state in _READS_LINES and not self._bdat_left else self._step()
            if event is NEED_DATA and self._eof:
                return self._lost()
            if event is not None:
                return event

    def _lost(self) -> ConnectionLost:
        in_transaction = self._state in _IN_TRANSACTION
        self._close()
        return ConnectionLost(in_transaction)

    def _step(self) -> Event | None:
        state = self._state
        if state is State.DATA:
            return self._read_data()
        if self._bdat_left or state is State.CHUNK:
            return self._read_bdat()
        if state is State.CONNECTED:
            return self._before_greeting()
        return CLOSED if state is State.CLOSED else NEED_DATA

    def _before_greeting(self) -> Event:
        if self._buffer and not self._told_early:
            self._told_early = True
            return EarlyTalked()
        return NEED_DATA

    # Command lines

    def _read_line(self) -> Event | None:
        if self.error_count and self._has_erred_enough():
            return self._violation(replies.TOO_MANY_ERRORS, "too many errors")
        if self._skipped:
            return self._skip_line()
        if self.command_count == 0 and self._buffer.startswith(b"\x16\x03"):
            return self._violation(replies.TLS_EXPECTED_LATER, "TLS handshake on a plain-text port")
        try:
            line = self._buffer.take_line(self._options.max_command_line)
        except LineTooLongError:
            return self._skip_line()
        if line is None:
            return NEED_DATA
        if self._state is State.AUTH:
            return self._auth_response(line)
        self.command_count += 1
        try:
            return self._command(line)
        except GrammarError as error:
            return self._reject(_shown_verb(line), error.reply)

    def _skip_line(self) -> Event:
        """Read past a line that is too long (RFC 5321 section 4.5.3.1.9 lets us refuse it)."""
        before = len(self._buffer)
        ended = self._buffer.skip_line()
        self._skipped += before - len(self._buffer)
        if self._skipped > MAX_SKIPPED_BYTES:
            return self._violation(replies.LINE_TOO_LONG, "endless command line")
        if not ended:
            return NEED_DATA
        self._skipped = 0
        if self._state is State.AUTH:
            return self._cancel_auth(replies.LINE_TOO_LONG)
        self.command_count += 1
        return self._reject("", replies.LINE_TOO_LONG)

    def _command(self, line: bytes) -> Event | None:
        name, argument = split_command(line)
        verb = _VERBS.get(name)
        if verb is None or (verb is Verb.XCLIENT and not self._options.xclient):
            if name in FOREIGN_VERBS:
                return self._violation(replies.NOT_A_WEB_SERVER, "HTTP")
            return self._reject("", replies.NOT_IMPLEMENTED if verb or name in KNOWN_ELSEWHERE else replies.UNKNOWN_COMMAND)
        if verb not in _MAIL_VERBS and verb is not Verb.QUIT:
            self._commands_since_mail += 1
            if 0 < self._options.max_commands_without_mail < self._commands_since_mail:
                return self._violation(replies.TOO_MANY_COMMANDS, "too many commands without a message")
        if verb is Verb.BDAT:
            return self._bdat(argument)
        if self._table[verb] is None:
            return self._reject(name, self._out_of_sequence(verb))
        if argument and verb in _WITHOUT_ARGUMENT:
            return self._reject(name, replies.NO_ARGUMENT)
        if verb is Verb.EHLO:
            return self._ehlo(name, argument)
        return self._HANDLERS[verb](self, argument, line)

    def _out_of_sequence(self, verb: Verb) -> Reply:
        """Say what should have come first (RFC 5321 section 4.1.4)."""
        state = self._state
        if verb is Verb.STARTTLS and state is not State.START and state is not State.READY:
            return replies.OUT_OF_SEQUENCE
        if state is State.START:
            return replies.GREET_FIRST_LMTP if self._options.lmtp else replies.GREET_FIRST
        if verb is Verb.AUTH:
            return replies.AUTH_NOT_NOW
        if verb in (Verb.MAIL, Verb.XCLIENT, Verb.ETRN):
            return replies.NESTED_MAIL
        if state is State.READY:
            return replies.MAIL_FIRST
        if state is State.MAIL:
            # RFC 5321 section 3.3 leaves the choice in SMTP, RFC 2033 section 4.2 does not in LMTP.
            return replies.RECIPIENT_FIRST if self._options.lmtp else replies.NO_VALID_RECIPIENTS
        return replies.OUT_OF_SEQUENCE

    def _talks_too_early(self) -> bool:
        return self._options.forbid_unauth_pipelining and bool(self._buffer)

    def _pipelined_too_early(self, name: str) -> Violation:
        return self._violation(replies.PIPELINED_TOO_EARLY, f"did not wait for the reply to {name}")

    def _ehlo(self, name: str, argument: str) -> Event:
        if self._options.lmtp != (name == "LHLO"):
            return self._reject(name, replies.USE_LHLO if self._options.lmtp else replies.USE_EHLO)
        if not self._options.extended and name != "HELO":
            return self._reject(name, replies.NOT_IMPLEMENTED)
        host = argument.split(" ", 1)[0]
        # What is said is only told and logged; many honest clients say no valid name (RFC 5321 section 4.1.4).
        if not host or len(host) > MAX_HELO_NAME or not host.isprintable():
            return self._reject(name, replies.GREETING_NEEDS_NAME)
        if self._talks_too_early():
            return self._pipelined_too_early(name)
        return self._ask(Greeted(host, name != "HELO"))

    def _mail(self, argument: str, line: bytes) -> Event:
        options = self._options
        if options.tls_required and not self._tls_active:
            return self._reject("MAIL", replies.TLS_REQUIRED)
        if options.auth_required and not self._authenticated:
            return self._reject("MAIL", replies.AUTH_REQUIRED)
        request = parse_mail(argument, options, line)
        if request.requiretls and not self._tls_active:
            return self._reject("MAIL", replies.ENCRYPTION_NEEDED)
        return self._ask(request)

    def _rcpt(self, argument: str, line: bytes) -> Event:
        request = parse_rcpt(argument, self._options, line, smtputf8=self._smtputf8)
        if self.recipient_count >= self._options.max_recipients:
            return self._reject("RCPT", replies.TOO_MANY_RECIPIENTS)
        return self._ask(request)

    def _data(self, argument: str, line: bytes) -> Event:
        if self._body is Body.BINARY_MIME:
            return self._reject("DATA", replies.USE_BDAT)  # RFC 3030 section 3
        if self._talks_too_early():
            return self._pipelined_too_early("DATA")
        return self._ask(DataRequested())

    def _rset(self, argument: str, line: bytes) -> Event:
        self._out.append(replies.OK.to_bytes())
        self._forget_transaction()
        self._move(Verb.RSET)
        return ResetRequested()

    def _noop(self, argument: str, line: bytes) -> None:
        self._out.append(replies.OK.to_bytes())

    def _vrfy(self, argument: str, line: bytes) -> Event:
        return self._ask(VerifyRequested(argument)) if argument else self._reject("VRFY", replies.NEEDS_ARGUMENT)

    def _expn(self, argument: str, line: bytes) -> Event:
        return self._ask(ExpandRequested(argument)) if argument else self._reject("EXPN", replies.NEEDS_ARGUMENT)

    def _etrn(self, argument: str, line: bytes) -> Event:
        if not self._options.etrn:
            return self._reject("ETRN", replies.NO_ETRN)
        return self._ask(QueueRunRequested(argument)) if argument else self._reject("ETRN", replies.NEEDS_ARGUMENT)

    def _help(self, argument: str, line: bytes) -> Event:
        return self._ask(HelpRequested(argument)) if self._options.help else self._reject("HELP", replies.NOT_IMPLEMENTED)

    def _starttls(self, argument: str, line: bytes) -> Event:
        if not self._options.starttls:
            return self._reject("STARTTLS", replies.NO_STARTTLS)
        if self._tls_active:
            return self._reject("STARTTLS", replies.TLS_ALREADY)
        if self._buffer:
            return self._violation(replies.INPUT_AFTER_STARTTLS, "input after STARTTLS")
        return self._ask(TlsRequested())

    def _auth(self, argument: str, line: bytes) -> Event:
        refusal = self._auth_refusal()
        if refusal is not None:
            return self._reject("AUTH", refusal)
        mechanism, initial = parse_auth(argument)
        if mechanism not in self._options.auth_mechanisms:
            return self._reject("AUTH", replies.AUTH_UNKNOWN)
        if self._talks_too_early():
            return self._pipelined_too_early("AUTH")
        self._move(Verb.AUTH)
        return self._ask(AuthRequested(mechanism, initial))

    def _auth_refusal(self) -> Reply | None:
        options = self._options
        if not options.auth_mechanisms:
            return replies.AUTH_NOT_OFFERED
        if self._authenticated:
            return replies.AUTH_ALREADY
        if not self._tls_active:
            if options.tls_required:
                return replies.TLS_REQUIRED
            if options.auth_needs_tls:
                return replies.AUTH_NEEDS_TLS
        return None

    def _auth_response(self, line: bytes) -> Event:
        if line == b"*":
            return self._cancel_auth(replies.AUTH_CANCELLED)
        try:
            return self._ask(AuthResponse(decode_base64(line)))
        except GrammarError as error:
            return self._cancel_auth(error.reply)

    def _cancel_auth(self, reply: Reply) -> Event:
        """End the exchange (RFC 4954 section 4); it counts as an error, or names could be tried without end."""
        self._move(Signal.AUTH_ENDED)
        self._reject("AUTH", reply)
        return AuthCancelled(reply)

    def _quit(self, argument: str, line: bytes) -> Event:
        self._out.append(replies.GOODBYE.to_bytes())
        self._close()
        return QuitRequested()

    # Content

    def _read_data(self) -> Event | None:
        content = self._content
        assert content is not None
        if not content.ended:
            data = self._buffer.take_all()
            if not data:
                return NEED_DATA
            piece, rest = content.feed_data(data)
            if rest:
                self._buffer.put_back(rest)
            if piece:
                return DataChunk(piece)
            return None
        if content.fault is None:
            return self._ask(DataFinished(content.size, content.eight_bit, content.nul))
        return self._content_rejected(content.fault, self.recipient_count if self._options.lmtp else 1)

    def _content_rejected(self, reply: Reply, times: int) -> Event:
        self._out.append(reply.to_bytes() * times)
        self.error_count += 1
        ends = self._state is State.DATA and reply is replies.BARE_NEWLINE
        self._end_transaction(Signal.CONTENT_ENDED)
        if ends:
            # Whoever sends this is broken or smuggles, and what follows in its input may be meant for us as commands.
            self._close()
            self._events.append(Violation(reply, "bare CR or LF in DATA"))
        return DataRejected(reply)

    def _bdat(self, argument: str) -> Event | None:
        try:
            size, last = parse_bdat(argument)
        except GrammarError as error:
            # How many octets follow is not known, and none of them may be taken for a command.
            return self._violation(error.reply, "malformed BDAT")
        if 0 < self._options.max_message_bytes < size:
            return self._violation(replies.MESSAGE_TOO_BIG, "BDAT chunk larger than the limit")
        if not self._options.chunking or self._table[Verb.BDAT] is None:
            refusal = self._out_of_sequence(Verb.BDAT) if self._options.chunking else replies.NOT_IMPLEMENTED
            if size == 0:
                return self._reject("BDAT", refusal)
            self._bdat_left = size
            self._discard_bdat = refusal
            return None
        if self._content is None:
            self._content = ContentReader(self._options, by_data=False, binary=self._body is Body.BINARY_MIME)
        self._bdat_left = size
        self._bdat_last = last
        self._move(Verb.BDAT)
        return BdatStarted(size, last)

    def _read_bdat(self) -> Event | None:
        if self._bdat_left:
            data = self._buffer.take_at_most(self._bdat_left)
            if not data:
                return NEED_DATA
            self._bdat_left -= len(data)
            if self._discard_bdat is None:
                assert self._content is not None
                piece = self._content.feed_octets(data)
                return DataChunk(piece) if piece else None
        if self._discard_bdat is not None:
            if self._bdat_left:
                return None
            refusal, self._discard_bdat = self._discard_bdat, None
            return self._reject("BDAT", refusal)
        return self._chunk_finished()

    def _chunk_finished(self) -> Event:
        content = self._content
        assert content is not None
        last = self._bdat_last
        if last:
            content.finish_octets()
        if content.fault is not None:
            return self._content_rejected(content.fault, self.recipient_count if last and self._options.lmtp else 1)
        return self._ask(BdatChunkFinished(content.size, last, content.eight_bit, content.nul))

    def _xclient(self, argument: str, line: bytes) -> Event:
        request = parse_xclient(argument)
        if self._talks_too_early():
            return self._pipelined_too_early("XCLIENT")
        return self._ask(request)

    _HANDLERS: ClassVar[Mapping[Verb, Callable[["SmtpServer", str, bytes], Event | None]]] = {
        Verb.MAIL: _mail,
        Verb.RCPT: _rcpt,
        Verb.DATA: _data,
        Verb.RSET: _rset,
        Verb.NOOP: _noop,
        Verb.VRFY: _vrfy,
        Verb.EXPN: _expn,
        Verb.ETRN: _etrn,
        Verb.HELP: _help,
        Verb.STARTTLS: _starttls,
        Verb.AUTH: _auth,
        Verb.QUIT: _quit,
        Verb.XCLIENT: _xclient,
    }
