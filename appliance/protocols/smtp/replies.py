"""SMTP replies: the value, its wire form, and the texts this server speaks.

Owns the one place where a code, an enhanced status and a sentence meet. Texts
say what to do next; a person reads them in a bounce.

Fails: ``Reply`` raises ValueError for a code outside 200-599; text can never
break the wire form (control characters become ``?``, long lines are cut).
Sources: RFC 5321 section 4.2 and 4.5.3.1.5, RFC 2034 (enhanced codes), RFC 3463
and RFC 5248 (their meaning).
"""

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "ACCEPTED",
    "AUTHENTICATED",
    "AUTH_FAILED",
    "AUTH_REQUIRED",
    "GOODBYE",
    "INTERNAL_ERROR",
    "MESSAGE_TOO_BIG",
    "NO_SUCH_ACCOUNT",
    "OK",
    "OUT_OF_SPACE",
    "QUEUED",
    "RECIPIENT_OK",
    "RELAY_DENIED",
    "SENDER_OK",
    "SEND_CONTENT",
    "SHUTTING_DOWN",
    "TIMED_OUT",
    "TOO_MANY_CONNECTIONS",
    "TRY_LATER",
    "Reply",
    "queued",
]

MAX_REPLY_LINE = 512  # RFC 5321 section 4.5.3.1.5, with CRLF
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. ``enhanced`` is ``""`` where RFC 2034 section 4 has none (greeting, EHLO, 3xx). ``text``: a line per line."""

    code: int
    enhanced: str = ""
    lines: tuple[str, ...] = ()
    _wire: bytes = field(init=False, repr=False, compare=False)

    def __init__(self, code: int, enhanced: str = "", *lines: str) -> None:
        if not 200 <= code <= 599:
            raise ValueError(f"not a reply code: {code}")
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "enhanced", enhanced)
        object.__setattr__(self, "lines", lines or ("",))
        object.__setattr__(self, "_wire", _to_wire(code, enhanced, self.lines))

    @property
    def is_positive(self) -> bool:
        """True for 2xx and 3xx."""
        return self.code < 400

    @property
    def is_temporary(self) -> bool:
        """True for 4xx."""
        return 400 <= self.code < 500

    @property
    def text(self) -> str:
        """The lines in one, for the log and for diagnostics."""
        return " ".join(line for line in self.lines if line)

    def to_bytes(self) -> bytes:
        """Return the wire form, made once."""
        return self._wire

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


def _to_wire(code: int, enhanced: str, lines: tuple[str, ...]) -> bytes:
    prefix = f"{enhanced} " if enhanced else ""
    room = MAX_REPLY_LINE - 2 - 4 - len(prefix)
    out = []
    last = len(lines) - 1
    for index, line in enumerate(lines):
        clean = _CONTROLS.sub("?", line) if _CONTROLS.search(line) else line
        # ASCII alone: RFC 6531 section 3.7.4.2 allows UTF-8 to few, and none of our texts needs it.
        text = clean.encode("ascii", "replace")[:room].rstrip()
        out.append(b"%d%c%s%s\r\n" % (code, 32 if index == last else 45, prefix.encode("ascii", "replace"), text))
    return b"".join(out)


OK: Final = Reply(250, "2.0.0", "OK")
SENDER_OK: Final = Reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient OK")
SEND_CONTENT: Final = Reply(354, "", "Send the message, end it with a line holding a dot alone")
ACCEPTED: Final = Reply(250, "2.6.0", "Chunk received")
QUEUED: Final = Reply(250, "2.0.0", "Queued")
GOODBYE: Final = Reply(221, "2.0.0", "Goodbye")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Start TLS now")
TLS_UNAVAILABLE: Final = Reply(454, "4.7.0", "TLS is not available just now")
NO_STARTTLS: Final = Reply(502, "5.5.1", "STARTTLS is not offered here")
TLS_ALREADY: Final = Reply(503, "5.5.1", "TLS is on already")
QUEUE_STARTED: Final = Reply(252, "2.0.0", "What waits for it is sent now")
NO_ETRN: Final = Reply(502, "5.5.1", "ETRN is not offered here")
HOLD_TOO_LONG: Final = Reply(501, "5.5.4", "So far ahead no message is kept; the EHLO reply says how long")
ENCRYPTION_NEEDED: Final = Reply(530, "5.7.10", "REQUIRETLS is for sessions inside TLS: send STARTTLS first")
TLS_REQUIRED: Final = Reply(530, "5.7.0", "Send STARTTLS first")

AUTHENTICATED: Final = Reply(235, "2.7.0", "Welcome")
AUTH_FAILED: Final = Reply(535, "5.7.8", "Login failed: wrong name or password")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "Log in first: set your mail program to send with name and password")
AUTH_TEMPORARY: Final = Reply(454, "4.7.0", "Logins cannot be checked just now, try again later")
AUTH_NEEDS_TLS: Final = Reply(538, "5.7.11", "Log in over TLS only: send STARTTLS first")
AUTH_ALREADY: Final = Reply(503, "5.5.1", "You are logged in already")
AUTH_NOT_NOW: Final = Reply(503, "5.5.1", "No login during a mail transaction")
AUTH_UNKNOWN: Final = Reply(504, "5.5.4", "This login mechanism is not offered")
AUTH_NOT_OFFERED: Final = Reply(502, "5.5.1", "No logins here; send mail of your own through the submission port")
AUTH_NOT_BASE64: Final = Reply(501, "5.5.2", "That is not base64")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Login cancelled")

INTERNAL_ERROR: Final = Reply(421, "4.3.0", "Internal error, try again later")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Shutting down, try again later")
TIMED_OUT: Final = Reply(421, "4.4.2", "Nothing heard for too long, goodbye")
TOO_MANY_CONNECTIONS: Final = Reply(421, "4.7.0", "Too many connections from your address, try again later")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors, goodbye")
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "Too many commands without a message, goodbye")
TRY_LATER: Final = Reply(451, "4.3.0", "Not possible just now, try again later")
OUT_OF_SPACE: Final = Reply(452, "4.3.1", "Disk is full, try again later")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients, send the others in another transaction")

RELAY_DENIED: Final = Reply(550, "5.7.1", "Mail for that domain is not taken here without a login")
NO_SUCH_ACCOUNT: Final = Reply(550, "5.1.1", "No such address here")
MESSAGE_TOO_BIG: Final = Reply(552, "5.3.4", "The message is larger than this server takes")
NO_VALID_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
BARE_NEWLINE: Final = Reply(550, "5.5.2", "The message holds a CR or LF alone; lines must end in CR LF")
TEXT_LINE_TOO_LONG: Final = Reply(500, "5.6.0", "The message holds a line that is too long")

UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Unknown command")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "That command is not implemented")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "The line is too long")
BARE_LF: Final = Reply(500, "5.5.2", "Lines must end in CR LF, not in LF alone")
BAD_CHARACTERS: Final = Reply(500, "5.5.2", "The command holds control characters or is not UTF-8")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "That command takes no argument")
NEEDS_ARGUMENT: Final = Reply(501, "5.5.4", "That command needs an argument")
USE_BDAT: Final = Reply(503, "5.5.1", "Binary content must be sent with BDAT")
GREETING_NEEDS_NAME: Final = Reply(501, "5.5.4", "Say your host name after the command")
GREET_FIRST: Final = Reply(503, "5.5.1", "Send EHLO first")
GREET_FIRST_LMTP: Final = Reply(503, "5.5.1", "Send LHLO first")
USE_LHLO: Final = Reply(500, "5.5.1", "This is LMTP: send LHLO")
USE_EHLO: Final = Reply(500, "5.5.1", "This is SMTP: send EHLO")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Send MAIL first")
RECIPIENT_FIRST: Final = Reply(503, "5.5.1", "Send RCPT first")
NESTED_MAIL: Final = Reply(503, "5.5.1", "A transaction is under way; RSET ends it")
OUT_OF_SEQUENCE: Final = Reply(503, "5.5.1", "Not at this point")
NOT_A_WEB_SERVER: Final = Reply(554, "5.5.1", "This is a mail server, goodbye")
TLS_EXPECTED_LATER: Final = Reply(554, "5.5.1", "This port starts in plain text; send STARTTLS or use the port for implicit TLS")
PIPELINED_TOO_EARLY: Final = Reply(554, "5.5.0", "Input after a command that must be waited for; see RFC 2920")
INPUT_AFTER_STARTTLS: Final = Reply(554, "5.5.0", "Input after STARTTLS, before TLS")
CANNOT_VERIFY: Final = Reply(252, "2.1.5", "Cannot say; send the message and see")
NO_EXPANSION: Final = Reply(502, "5.5.1", "Lists are not shown")


def queued(queue_id: str) -> Reply:
    """Return the reply that takes responsibility for a message (RFC 5321 section 6.1)."""
    return Reply(250, "2.0.0", f"Queued as {queue_id}")
