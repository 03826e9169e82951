"""The server's side of an IMAP connection, without any input or output of its own.

Owns framing (lines, literals of both kinds), the state of the connection, the
tag and verb of the command under way, and every reply to bad input. Contract:
feed ``receive_data`` (``b""`` is the end of the stream), take ``next_event``
until ``NEED_DATA``, send ``data_to_send`` before waiting for more. A command
holds back what was pipelined behind it until ``send_tagged``.

A literal of up to ``max_literal_bytes`` becomes part of its command; the message of
APPEND never does: it is announced, and goes out in chunks as they arrive. Input
is refused before it is read wherever the client waits for us (RFC 7888).

Fails:    ``LocalProtocolError`` when the session uses it wrongly; never for input.
Does not: know mailboxes, TLS or time.
Sources:  RFC 3501 section 2.2, section 6.2.1 (STARTTLS), section 9, RFC 2177
          (IDLE), RFC 3502 (MULTIAPPEND), RFC 4469 (CATENATE), RFC 8508 (REPLACE), RFC 4959 (SASL-IR), RFC 7888 (LITERAL+, LITERAL-).
"""

import base64
from collections.abc import Callable
from typing import Final

from appliance.protocols.imap.append_progress import AppendProgress
from appliance.protocols.imap.events import (
    NEED_DATA,
    AppendAborted,
    AppendDataReceived,
    AppendMessageReceived,
    AuthenticateResponded,
    CommandReceived,
    CommandRejected,
    Event,
    IdleFinished,
    SessionEnded,
)
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.frames import Buffer, LineTooLongError, Literal, find_literal
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.head import Head, looks_like_http, read_head, read_tag
from appliance.protocols.imap.outbox import Outbox
from appliance.protocols.imap.parser import decode_base64
from appliance.protocols.imap.phase import Phase
from appliance.protocols.imap.state import Condition, State

__all__ = ["LITERAL_MINUS_BYTES", "ImapServer", "LocalProtocolError"]

MAX_UNAUTHENTICATED_BYTES: Final = 16_384
"""Strangers get less room than max_command_bytes: enough for a SASL initial response."""
LITERAL_MINUS_BYTES: Final = 4_096
"""What LITERAL- lets a client send without waiting (RFC 7888 section 5). Strangers get no more."""

_TLS_RECORD = b"\x16\x03"
_UTF8 = frozenset({Extension.UTF8_ACCEPT, Extension.IMAP4REV2})


class LocalProtocolError(Exception):
    """The session called a method that does not fit what the connection is doing: a bug of ours."""


class ImapServer(Outbox):
    """One connection. See the module for the contract."""

    def __init__(
        self,
        *,
        max_command_bytes: int = 65_536,
        max_literal_bytes: int = 131_072,
        max_append_bytes: int = 50 * 1_048_576,
        max_bad_commands: int = 20,
        max_unasked_bytes: int | None = None,
    ) -> None:
        super().__init__()
        self.state = State.NOT_AUTHENTICATED
        self.enabled: set[Extension] = set()
        """What the client has switched on for this session (RFC 5161)."""
        self._max_command = max_command_bytes
        self._max_literal = max_literal_bytes
        self._max_append = max_append_bytes
        self._max_bad = max_bad_commands
        self._max_unasked = max_unasked_bytes
        self._bad = 0
        self._phase = Phase.COMMAND
        self._buffer = Buffer()
        self._eof = False
        self._end_reason = "lost"
        self._need = 0
        self._synchronising = True
        self._tail = b""
        self._tag: bytes | None = None
        self._head: Head | None = None
        self._command = bytearray()
        self._text_bytes = 0
        self._append: AppendProgress | None = None
        self._steps: dict[Phase, Callable[[], Event | None]] = {
            Phase.COMMAND: self._step_command,
            Phase.LITERAL: self._step_literal,
            Phase.ANSWER: lambda: NEED_DATA,
            Phase.APPEND_STEP: self._step_append,
            Phase.APPEND_DECISION: lambda: NEED_DATA,
            Phase.APPEND_DATA: self._step_append_data,
            Phase.APPEND_TAIL: self._step_append_tail,
            Phase.SKIP_LITERAL: self._step_skip_literal,
            Phase.SKIP_LINE: self._step_skip_line,
            Phase.AUTHENTICATE: self._step_authenticate,
            Phase.IDLE: self._step_idle,
            Phase.ENDED: lambda: SessionEnded(self._end_reason),
        }

    # Input

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer; ``b""`` is the end of the stream."""
        if not data:
            self._eof = True
        elif self._phase is not Phase.ENDED:
            self._buffer.feed(data)

    def next_event(self) -> Event:
        """Return what happened next, or NEED_DATA."""
        while True:
            event = self._steps[self._phase]()
            if event is not None:
                return event

    @property
    def utf8(self) -> bool:
        """True when mailbox names and quoted strings travel in UTF-8 (RFC 6855 section 3, RFC 9051 section 5.1)."""
        return not self.enabled.isdisjoint(_UTF8)

    @property
    def is_answering(self) -> bool:
        """True while a command waits for its tagged response."""
        return self._tag is not None

    @property
    def has_input(self) -> bool:
        """True when something was pipelined behind the command under way."""
        return len(self._buffer) > 0

    @property
    def tag(self) -> bytes:
        """Return the tag of the command under way."""
        if self._tag is None:
            raise LocalProtocolError("no command is under way")
        return self._tag

    # Output

    def send_tagged(self, condition: Condition, text: str, code: bytes = b"") -> None:
        """End the command under way and follow it into its next state."""
        if self._tag is None or self._phase is not Phase.ANSWER:
            raise LocalProtocolError(f"tagged response while {self._phase.value}")
        self._out.append(self._tag + b" " + self._line(condition.value, text, code))
        if condition is Condition.OK and self.state is not State.NOT_AUTHENTICATED:
            self._bad = 0
        if self._head is not None:
            self.state = self._head.verb.moves.get(condition, self.state)
        self._forget_command()
        self._phase = Phase.COMMAND

    def send_bye(self, text: str, reason: str, code: bytes = b"") -> None:
        """Say that we close and take no more input."""
        if self._phase is not Phase.ENDED:
            self._out.append(self.bye_line(text, code))
            self._end(reason)

    def send_logout(self) -> None:
        """Answer LOGOUT."""
        self._out.append(self.bye_line("Logging out"))
        self.send_tagged(Condition.OK, "Logout completed")
        self._end("quit")

    def send_challenge(self, data: bytes) -> None:
        """Ask for the client's next SASL message."""
        if self._name != "AUTHENTICATE" or self._phase is not Phase.ANSWER:
            raise LocalProtocolError("challenge without AUTHENTICATE")
        self._out.append(b"+ %b\r\n" % base64.b64encode(data))
        self._phase = Phase.AUTHENTICATE

    def start_idle(self) -> None:
        """Let IDLE begin; untagged responses may be sent until ``IdleFinished``."""
        if self._name != "IDLE" or self._phase is not Phase.ANSWER:
            raise LocalProtocolError("idling without IDLE")
        self._out.append(self._line(b"+", "idling", b""))
        self._phase = Phase.IDLE

    def start_tls(self) -> None:
        """Forget what came in plain text behind STARTTLS (RFC 3501 section 6.2.1); call it once its OK is sent."""
        if self._tag is not None or self.state is not State.NOT_AUTHENTICATED:
            raise LocalProtocolError(f"start of TLS while {self._phase.value}")
        self._buffer.clear()

    def accept_append(self) -> None:
        """Take the message that was announced."""
        self._check_append()
        if self._synchronising:
            self._out.append(b"+ OK\r\n")
        self._phase = Phase.APPEND_DATA

    def refuse_append(self, condition: Condition, text: str, code: bytes = b"") -> None:
        """End the command without the message: unread if the client waits, dropped if it is on its way."""
        self._check_append()
        if not self._synchronising and self._need > 2 * self._max_append:
            self.send_bye("Message is far too large", "too large", b"TOOBIG")
            return
        self._phase = Phase.ANSWER
        need = self._need
        self.send_tagged(condition, text, code)
        self._skip(need)

    def _check_append(self) -> None:
        if self._phase is not Phase.APPEND_DECISION:
            raise LocalProtocolError(f"decision on a message while {self._phase.value}")

    # Frames

    def _starved(self) -> Event:
        if not self._eof:
            return NEED_DATA
        self._end("lost")
        return SessionEnded("lost")

    def _end(self, reason: str) -> None:
        self._phase = Phase.ENDED
        self._end_reason = reason
        self.state = State.LOGOUT
        self._buffer.clear()
        self._forget_command()

    def _limit(self, configured: int) -> int:
        return min(configured, MAX_UNAUTHENTICATED_BYTES) if self.state is State.NOT_AUTHENTICATED else configured

    def _forget_command(self) -> None:
        self._tag = None
        self._head = None
        self._command = bytearray()
        self._text_bytes = 0
        self._append = None

    # Commands

    def _step_command(self) -> Event | None:
        if not self._command and self._buffer.startswith(_TLS_RECORD):
            self.send_bye("TLS starts with STARTTLS on this port", "not IMAP")
            return None
        try:
            line = self._buffer.take_line(self._limit(self._max_command) - self._text_bytes)
        except LineTooLongError:
            return self._reject_long_line()
        if line is None:
            return self._starved()
        self._text_bytes += len(line)
        literal = self._find_literal(line)
        try:
            if not self._command and looks_like_http(line):
                self.send_bye("This is IMAP, not HTTP", "not IMAP")
                return None
            self._command += line
            if self._tag is None:
                self._read_head()
            return self._end_line(literal)
        except ParseError as error:
            return self._reject(str(error), error.code)

    def _reject_long_line(self) -> Event:
        """Find the tag in what has arrived, answer, and drop the rest of the line."""
        self._command += self._buffer.peek(200)
        try:
            if self._tag is None:
                self._read_head()
        except ParseError as error:
            event = self._reject(str(error))
        else:
            event = self._reject("command is too long", b"TOOBIG")
        if self._phase is not Phase.ENDED:
            self._phase = Phase.SKIP_LINE
            self._tail = b""
        return event

    def _find_literal(self, line: bytes) -> Literal | None:
        literal = find_literal(line)
        self._need = literal.size if literal else 0
        self._synchronising = literal is None or literal.synchronising
        return literal

    def _check_unasked(self, literal: Literal | None) -> None:
        """Refuse what is too long to be sent without waiting for us (RFC 7888 section 5). Raises ParseError."""
        most = LITERAL_MINUS_BYTES if self.state is State.NOT_AUTHENTICATED else self._max_unasked
        if literal is not None and not literal.synchronising and most is not None and literal.size > most:
            raise ParseError(f"a literal of more than {most} bytes waits for our answer", b"TOOBIG")

    def _read_head(self) -> None:
        """Read tag and verb of the command; check that the verb may come now."""
        data = bytes(self._command)
        self._tag = read_tag(data)
        self._head = read_head(data, len(self._tag), self.state)

    @property
    def _name(self) -> str:
        return self._head.name if self._head is not None else ""

    def _end_line(self, literal: Literal | None) -> Event | None:
        """Go on behind a line of the command, whose head is known."""
        assert self._head is not None
        self._check_unasked(literal)
        if self._head.verb.read is None:
            self._append = AppendProgress(replaces=self._head.name == "REPLACE", uid=self._head.uid)
            self._read_append(self._append, literal, self._head.at)
        elif literal is not None:
            self._take_literal()
        else:
            return self._complete()
        return None

    def _complete(self) -> Event:
        """Turn the whole command into an event."""
        assert self._head is not None
        assert self._head.verb.read is not None
        reader = Reader(_without_line_end(bytes(self._command)), self._head.at, utf8=self.utf8)
        command = self._head.verb.read(reader, self._head.uid)
        reader.read_end()
        self._command = bytearray()
        self._phase = Phase.ANSWER
        return CommandReceived(self.tag, command)

    def _take_literal(self) -> None:
        """Let the literal that ends the line just read become part of the command."""
        if len(self._command) - self._text_bytes + self._need > self._limit(self._max_literal):
            raise ParseError("literal is too long", b"TOOBIG")
        if self._synchronising:
            self._out.append(b"+ OK\r\n")
        self._phase = Phase.LITERAL

    def _step_literal(self) -> Event | None:
        taken = self._buffer.take(self._need)
        self._command += taken
        self._need -= len(taken)
        if self._need:
            return self._starved()
        self._phase = Phase.APPEND_TAIL if self._append is not None and self._append.has_begun else Phase.COMMAND
        return None

    # APPEND and REPLACE

    def _read_append(self, append: AppendProgress, literal: Literal | None, at: int) -> None:
        """Read what has come up to a literal or the end of the line, and tell it step by step."""
        data = bytes(self._command)
        data = data[: -literal.length] if literal is not None else _without_line_end(data)
        if not append.read(Reader(data, at, utf8=self.utf8), literal):
            self._take_literal()
            return
        self._command = bytearray()
        self._text_bytes = 0
        self._phase = Phase.APPEND_STEP

    def _step_append(self) -> Event:
        assert self._append is not None
        event, self._phase = self._append.next_step(self.tag, self._need)
        return event

    def _step_append_data(self) -> Event | None:
        if not self._need:
            assert self._append is not None
            self._phase = Phase.APPEND_TAIL
            return AppendMessageReceived() if self._append.is_whole_message else None
        if not self._buffer:
            return self._starved()
        data = self._buffer.take(self._need)
        self._need -= len(data)
        return AppendDataReceived(data)

    def _step_append_tail(self) -> Event | None:
        assert self._append is not None
        try:
            line = self._buffer.take_line(self._max_command - self._text_bytes)
        except LineTooLongError:
            self._reject("command is too long", b"TOOBIG")
            self._tail = b""
            return self._abort_append("command is too long", Phase.SKIP_LINE)
        if line is None:
            return self._starved()
        self._text_bytes += len(line)
        self._command += line
        literal = self._find_literal(line)
        try:
            self._check_unasked(literal)
            self._read_append(self._append, literal, 0)
        except ParseError as error:
            self._reject(str(error), error.code)
            return self._abort_append(str(error), self._phase)
        return None

    def _abort_append(self, text: str, phase: Phase) -> Event:
        if self._phase is not Phase.ENDED:
            self._phase = phase
        return AppendAborted(text)

    # Dropped input

    def _skip(self, need: int) -> None:
        """Drop a literal that is on its way, and the rest of its command; nothing if the client waits for us."""
        if self._phase is Phase.ENDED or self._synchronising:
            return
        self._need = need
        self._phase = Phase.SKIP_LITERAL

    def _step_skip_literal(self) -> Event | None:
        self._need -= self._buffer.drop(self._need)
        if self._need:
            return self._starved()
        self._phase = Phase.SKIP_LINE
        self._tail = b""
        return None

    def _step_skip_line(self) -> Event | None:
        part = self._buffer.take_line_part()
        # The end of the line may tell of a further literal, which must not be read as commands.
        self._tail = (self._tail + part)[-32:]
        if not part.endswith(b"\n"):
            return self._starved()
        literal = find_literal(self._tail)
        self._phase = Phase.COMMAND
        if literal and not literal.synchronising:
            self._need = literal.size
            self._phase = Phase.SKIP_LITERAL
        return None

    # SASL and IDLE

    def _step_authenticate(self) -> Event:
        try:
            line = self._buffer.take_line(MAX_UNAUTHENTICATED_BYTES)
        except LineTooLongError:
            return self._reject_long_line()
        if line is None:
            return self._starved()
        raw = line.rstrip(b"\r\n")
        if raw == b"*":
            self._phase = Phase.ANSWER
            return AuthenticateResponded(None)
        self._synchronising = True
        try:
            data = decode_base64(raw)
        except ParseError as error:
            return self._reject(str(error))
        self._phase = Phase.ANSWER
        return AuthenticateResponded(data)

    def _step_idle(self) -> Event:
        try:
            line = self._buffer.take_line(self._max_command)
        except LineTooLongError:
            return self._reject_long_line()
        if line is None:
            return self._starved()
        self._phase = Phase.ANSWER
        return IdleFinished(line.strip().upper() == b"DONE")

    # Rejections

    def _reject(self, text: str, code: bytes = b"") -> Event:
        """Answer BAD, count it, and go on with the next command."""
        tag, need = self._tag, self._need
        self._out.append((tag or b"*") + b" " + self._line(b"BAD", text[0].upper() + text[1:], code))
        self._forget_command()
        self._phase = Phase.COMMAND
        self._bad += 1
        if self._bad >= self._max_bad:
            self.send_bye("Too many bad commands", "too many bad commands")
        elif need > 2 * self._max_append and not self._synchronising:
            self.send_bye("Literal is far too long", "too large", b"TOOBIG")
        elif need:
            self._skip(need)
        self._need = 0 if self._phase is not Phase.SKIP_LITERAL else need
        return CommandRejected(tag, text)


def _without_line_end(line: bytes) -> bytes:
    return line[: -2 if line.endswith(b"\r\n") else -1]
