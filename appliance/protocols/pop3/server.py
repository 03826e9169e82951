"""The server's side of a POP3 session, without sockets.

``receive_data`` takes bytes (``b""``: the client closed), ``next_event`` yields
what was asked for until ``NEED_DATA``, ``data_to_send`` hands out the replies;
what it returns is to be sent before the connection is read, closed or
encrypted. Replies leave in the order of the commands however many were
pipelined (RFC 2449 section 6.8). Nothing raises for what a client sends.

Owns: states, command syntax, CAPA, the limits on line length and bad commands.
Does not: know passwords, mail or time. After STLS everything buffered is
dropped, so no command sent in the clear takes effect inside TLS.

Sources: RFC 1939, RFC 2449, RFC 2595 section 4, RFC 5034, RFC 6856 sections 2 and 3.
"""

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from appliance.protocols.language import DEFAULT_LANGUAGE, LANGUAGE_NAMES, Words, choose_language
from appliance.protocols.lines import LineBuffer, LineTooLongError
from appliance.protocols.pop3.events import (
    ConnectionLost,
    DeleteRequested,
    Event,
    ListingRequested,
    LoginAttempted,
    MessageRequested,
    NeedData,
    QuitRequested,
    ResetRequested,
    SaslResponded,
    SaslStarted,
    SessionEnded,
    StatRequested,
    TlsRequested,
)
from appliance.protocols.pop3.grammar import (
    BadCommandError,
    decode_base64,
    decode_text,
    parse_command,
    parse_number,
    parse_numbers,
)
from appliance.protocols.pop3.replies import END, error_line, ok_line
from appliance.protocols.pop3.state import OUTCOMES, TRANSITIONS, Outcome, State, Verb
from appliance.protocols.pop3.texts import PORTUGUESE

__all__ = ["MAX_LINE_BYTES", "Pop3Server"]

MAX_LINE_BYTES = 12_288
"""RFC 2449 section 4 asks for 255; RFC 4954 section 4 has 12,288 for SASL, and tokens in AUTH lines need it."""


class Pop3Server:
    """One session. ``mechanisms`` are SASL names in the order they are offered.

    ``login_allowed``: False while passwords would travel in the clear; ``refusal``
    then tells the user what to do. ``tls_available``: STLS is offered.
    ``login_delay_s``: told in CAPA when it is not 0. ``preferred_language``: what ``LANG *`` chooses.
    """

    def __init__(
        self,
        *,
        mechanisms: Sequence[str] = (),
        tls_available: bool = False,
        tls_active: bool = False,
        login_allowed: bool = True,
        refusal: str = "Log in over TLS only",
        max_bad_commands: int = 20,
        max_line_bytes: int = MAX_LINE_BYTES,
        login_delay_s: int = 0,
        preferred_language: str = DEFAULT_LANGUAGE,
    ) -> None:
        self.state = State.AUTHORIZATION
        self.utf8 = False
        self.commands = 0
        self.words = Words(PORTUGUESE)
        self._login_delay_s = login_delay_s
        self._preferred_language = preferred_language
        self._mechanisms = tuple(mechanisms)
        self._tls_available = tls_available
        self._tls_active = tls_active
        self._login_allowed = login_allowed
        self._refusal = refusal
        self._bad_left = max_bad_commands
        self._max_line_bytes = max_line_bytes
        self._login = ""
        self._input = LineBuffer(lf_ends_line=True)
        self._eof = False
        self._ended = ""
        self._output: list[bytes] = []
        self.output_bytes = 0

    # Input

    def receive_data(self, data: bytes) -> None:
        """Take what arrived; ``b""`` means that nothing more will."""
        if not data:
            self._eof = True
        elif self.state is not State.CLOSED:
            self._input.append(data)

    def next_event(self) -> Event:
        """Return the next thing to act upon; ``NEED_DATA`` when there is none yet."""
        while True:
            if self._ended:
                reason, self._ended = self._ended, ""
                return SessionEnded(reason)
            if self.state is State.CLOSED:
                return NeedData.NEED_DATA
            assert self.state not in (State.AUTHENTICATING, State.NEGOTIATING, State.UPDATE), f"outcome missing in {self.state}"
            try:
                line = self._input.take_line(self._max_line_bytes)
            except LineTooLongError:
                self._end("line too long", self.error_line("Line too long"))
                continue
            if line is None:
                if self._eof:
                    self.state = State.CLOSED
                    return ConnectionLost()
                return NeedData.NEED_DATA
            event = self._take_response(line) if self.state is State.SASL_RESPONSE else self._take_command(line)
            if event is not None:
                return event

    def _take_command(self, line: bytes) -> Event | None:
        self.commands += 1
        try:
            verb, argument = parse_command(line)
            following = TRANSITIONS[self.state].get(verb)
            if following is not None:
                return self._HANDLERS[verb](self, argument, following)
            self._reject(_out_of_state(self.state, verb))
        except BadCommandError as error:
            self._reject(str(error))
        return None

    # Commands: each validates before it changes the state

    def _on_capa(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        lines = [
            "TOP",
            "UIDL",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "PIPELINING",
            "EXPIRE NEVER",
            "UTF8 USER",
            "LANG",
            "IMPLEMENTATION Carteiro",
        ]
        # RFC 2449 sections 6.2 and 6.3: USER and SASL are announced in both states, though only one takes them.
        if self._login_allowed:
            lines.append("USER")
            if self._mechanisms:
                lines.append("SASL " + " ".join(self._mechanisms))
        if self._login_delay_s:
            lines.append(f"LOGIN-DELAY {self._login_delay_s}")
        if self._tls_available and not self._tls_active and self.state is not State.TRANSACTION:
            lines.append("STLS")
        self.state = following
        self.send(self.ok_line("Capability list follows") + "".join([f"{line}\r\n" for line in lines]).encode("ascii") + END)
        return None

    def _on_utf8(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        self.utf8 = True
        self.state = following
        self.send(self.ok_line("UTF8 enabled"))
        return None

    def _on_lang(self, argument: bytes, following: State) -> Event | None:
        """RFC 6856 section 3.2: the reply names the language and is already in it."""
        words = argument.split()
        if not words:
            self.state = following
            listing = "".join([f"{tag} {name}\r\n" for tag, name in LANGUAGE_NAMES.items()])
            self.send(self.ok_line("Languages follow") + listing.encode("utf-8") + END)
            return None
        if len(words) > 1:
            raise BadCommandError("LANG needs one language tag")
        language = choose_language(words[0].decode("ascii", "replace"), self._preferred_language)
        if language is None:
            raise BadCommandError("There is no such language here")
        self.words.language = language
        self.state = following
        self.send(ok_line(f"{language} {self.words('Language changed')}"))
        return None

    def _on_stls(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        if self._tls_active:
            raise BadCommandError("TLS is already active")
        if not self._tls_available:
            raise BadCommandError("TLS is not available here")
        if self.utf8:
            raise BadCommandError("STLS must come before UTF8")  # RFC 6856 section 2.1
        self.state = following
        self.send(self.ok_line("Begin TLS negotiation"))
        return TlsRequested()

    def _on_user(self, argument: bytes, following: State) -> Event | None:
        if not argument.strip():
            raise BadCommandError("USER needs a name")
        if not self._login_allowed:
            self._reject(self._refusal, "AUTH")
            return None
        self._login = decode_text(argument.strip(b" "))
        self.state = following
        # The same for every name: whether it exists is nobody's business (RFC 1939 section 13).
        self.send(self.ok_line("Password?"))
        return None

    def _on_pass(self, argument: bytes, following: State) -> Event | None:
        password = decode_text(argument)  # Blanks belong to it: RFC 1939 section 7, PASS.
        login, self._login = self._login, ""
        self.state = following
        return LoginAttempted(login, password)

    def _on_auth(self, argument: bytes, following: State) -> Event | None:
        words = argument.split()
        if not words:
            # Older clients ask for the list this way (RFC 1734 servers answered it; Outlook still tries).
            names = self._mechanisms if self._login_allowed else ()
            self.send(self.ok_line("Mechanisms follow") + "".join([f"{name}\r\n" for name in names]).encode("ascii") + END)
            return None
        if not self._login_allowed:
            self._reject(self._refusal, "AUTH")
            return None
        mechanism = words[0].upper().decode("ascii", "replace")
        if mechanism not in self._mechanisms:
            raise BadCommandError("Unknown authentication mechanism")
        if len(words) > 2:
            raise BadCommandError("Too many arguments")
        initial = None
        if len(words) == 2:
            initial = b"" if words[1] == b"=" else decode_base64(words[1])
        self.state = following
        return SaslStarted(mechanism, initial)

    def _on_quit(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        if following is State.UPDATE:
            self.state = following
            return QuitRequested()
        self._end("quit", self.ok_line("Bye"))
        return None

    def _on_noop(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        self.state = following
        self.send(self.ok_line())
        return None

    def _on_stat(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        self.state = following
        return StatRequested()

    def _on_reset(self, argument: bytes, following: State) -> Event | None:
        _expect_nothing(argument)
        self.state = following
        return ResetRequested()

    def _on_list(self, argument: bytes, following: State) -> Event | None:
        number = parse_number(argument) if argument.strip() else None
        self.state = following
        return ListingRequested(unique_ids=False, number=number)

    def _on_uidl(self, argument: bytes, following: State) -> Event | None:
        number = parse_number(argument) if argument.strip() else None
        self.state = following
        return ListingRequested(unique_ids=True, number=number)

    def _on_retr(self, argument: bytes, following: State) -> Event | None:
        number = parse_number(argument)
        self.state = following
        return MessageRequested(number, None)

    def _on_top(self, argument: bytes, following: State) -> Event | None:
        number, lines = parse_numbers(argument)
        self.state = following
        return MessageRequested(number, lines)

    def _on_dele(self, argument: bytes, following: State) -> Event | None:
        number = parse_number(argument)
        self.state = following
        return DeleteRequested(number)

    def _take_response(self, line: bytes) -> Event | None:
        """Take a SASL response; ``*`` takes the exchange back (RFC 5034 section 4)."""
        if line == b"*":
            self._move(Outcome.LOGIN_FAILED)
            self._reject("Authentication cancelled")
            return None
        try:
            data = decode_base64(line)
        except BadCommandError as error:
            self._move(Outcome.LOGIN_FAILED)
            self._reject(str(error))
            return None
        self._move(Outcome.RESPONDED)
        return SaslResponded(data)

    _HANDLERS: ClassVar[Mapping[Verb, Callable[["Pop3Server", bytes, State], Event | None]]] = {
        Verb.AUTH: _on_auth,
        Verb.CAPA: _on_capa,
        Verb.DELE: _on_dele,
        Verb.LANG: _on_lang,
        Verb.LIST: _on_list,
        Verb.NOOP: _on_noop,
        Verb.PASS: _on_pass,
        Verb.QUIT: _on_quit,
        Verb.RETR: _on_retr,
        Verb.RSET: _on_reset,
        Verb.STAT: _on_stat,
        Verb.STLS: _on_stls,
        Verb.TOP: _on_top,
        Verb.UIDL: _on_uidl,
        Verb.USER: _on_user,
        Verb.UTF8: _on_utf8,
    }

    # What the service reports

    def send_challenge(self, challenge: bytes) -> None:
        """Queue a SASL challenge and wait for the response."""
        self._move(Outcome.CHALLENGED)
        self.send(b"+ " + binascii.b2a_base64(challenge, newline=False) + b"\r\n")

    def login_succeeded(self, text: str = "Logged in", **values: object) -> None:
        """Open TRANSACTION."""
        self._move(Outcome.LOGIN_SUCCEEDED)
        self.send(self.ok_line(text, **values))

    def login_failed(self, text: str, code: str = "AUTH", *, counts: bool = True, **values: object) -> None:
        """Queue the refusal and let the client try again; ``counts``: against the limit of bad commands."""
        self._move(Outcome.LOGIN_FAILED)
        if counts:
            self._reject(text, code)
        else:
            self.send(self.error_line(text, code, **values))

    def tls_started(self, mechanisms: Sequence[str] | None = None) -> None:
        """Continue inside TLS, with everything forgotten that was said before (RFC 2595 section 4).

        ``mechanisms``: what is offered from now on, if that changes.
        """
        self._move(Outcome.TLS_STARTED)
        self._input.clear()
        self._login = ""
        self.words.language = DEFAULT_LANGUAGE
        self._tls_active = self._login_allowed = True
        if mechanisms is not None:
            self._mechanisms = tuple(mechanisms)

    def updated(self, reply: bytes) -> None:
        """Queue the reply to QUIT and end the session."""
        self._move(Outcome.UPDATED)
        self._end("quit", reply)

    def end(self, reason: str, reply: bytes) -> None:
        """End the session from our side."""
        self._end(reason, reply)

    def ok_line(self, text: str = "", **values: object) -> bytes:
        """Return ``+OK`` with a text in the session's language."""
        return ok_line(self.words(text, **values))

    def error_line(self, text: str, code: str = "", **values: object) -> bytes:
        """Return ``-ERR`` with a text in the session's language."""
        return error_line(self.words(text, **values), code)

    def send(self, data: bytes) -> None:
        """Queue a reply, or a piece of one."""
        self._output.append(data)
        self.output_bytes += len(data)

    def data_to_send(self) -> bytes:
        """Return what is queued, as one piece."""
        data = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        self.output_bytes = 0
        return data

    # Inside

    def _move(self, outcome: Outcome) -> None:
        self.state = OUTCOMES[self.state][outcome]

    def _reject(self, text: str, code: str = "", **values: object) -> None:
        self._bad_left -= 1
        if self._bad_left > 0:
            self.send(self.error_line(text, code, **values))
        else:
            self._end("too many bad commands", self.error_line("Too many bad commands"))

    def _end(self, reason: str, reply: bytes) -> None:
        self.send(reply)
        self.state = State.CLOSED
        self._ended = reason
        self._input.clear()


def _expect_nothing(argument: bytes) -> None:
    if argument.strip():
        raise BadCommandError("This command takes no argument")


def _out_of_state(state: State, verb: Verb) -> str:
    if state is State.TRANSACTION:
        return "You are logged in already"
    if verb is Verb.PASS:
        return "USER comes first"
    return "Log in first"
