"""What the server core tells its session: one frozen value per thing that happened.

Three kinds. **Requests** wait for an answer: ``next_event`` refuses to go on until
``accept``, ``send_reply`` or ``send_challenge`` was called. **Notices** were dealt
with by the core, replies included; a session logs them or drops its own state.
**Pauses** are what ``next_event`` returns when there is nothing: ``NEED_DATA``, or
``CLOSED`` for good.

Sources: RFC 5321 section 4.1.1, RFC 3030 (BDAT), RFC 3207 (STARTTLS), RFC 4954
(AUTH), RFC 3461 (DSN parameters), RFC 6531 (SMTPUTF8), RFC 2033 (LMTP).
"""

from dataclasses import dataclass, field
from typing import Final

from appliance.model.envelope import Body, Notify, Ret
from appliance.protocols.smtp.replies import Reply

__all__ = [
    "CLOSED",
    "NEED_DATA",
    "AuthCancelled",
    "AuthRequested",
    "AuthResponse",
    "BdatChunkFinished",
    "BdatStarted",
    "Closed",
    "CommandRejected",
    "ConnectionLost",
    "DataChunk",
    "DataFinished",
    "DataRejected",
    "DataRequested",
    "EarlyTalked",
    "Event",
    "ExpandRequested",
    "Greeted",
    "HelpRequested",
    "MailRequested",
    "NeedData",
    "Notice",
    "QueueRunRequested",
    "QuitRequested",
    "RecipientRequested",
    "Request",
    "ResetRequested",
    "TlsRequested",
    "VerifyRequested",
    "Violation",
    "XclientRequested",
]

# Requests: each wants exactly one answer (DataFinished in LMTP: one per accepted recipient)


@dataclass(frozen=True, slots=True)
class Greeted:
    """EHLO, HELO or LHLO; any transaction is over. ``accept()`` sends the capability list."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class XclientRequested:
    """XCLIENT: the peer talks for a client. ``begin_again`` answers with a greeting; the session is as new then.

    ``address``: None when it was not named. Empty: not named, or not known to the peer.
    """

    address: str | None = None
    port: int = 0
    helo: str = ""
    protocol: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class MailRequested:
    """MAIL. ``reverse_path`` without brackets, ``""`` is the null path. ``envid`` and ``auth`` are decoded from xtext.

    ``hold_for_s`` or ``hold_until_s`` (seconds since the epoch): when to send it (RFC 4865), 0 for at once.
    ``size`` is what the client declared, 0 when it did not; it is within the limit. ``auth`` is ``"<>"`` when the client said so.
    """

    reverse_path: str
    size: int = 0
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    requiretls: bool = False
    hold_for_s: int = 0
    hold_until_s: float = 0.0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class RecipientRequested:
    """RCPT. ``orcpt`` is ``type;address``, decoded from xtext."""

    forward_path: str
    notify: Notify | None = None
    orcpt: str | None = None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class DataRequested:
    """DATA, with at least one recipient accepted. ``accept()`` sends 354; content follows as DataChunk."""


@dataclass(frozen=True, slots=True)
class DataFinished:
    """The whole content arrived by DATA. Answer with the message's fate; in LMTP once per accepted recipient.

    ``size``: octets handed out. ``eight_bit``: some were above 127. ``nul``: some were NUL, which RFC 5322 section 4.1
    wants readers to bear.
    """

    size: int
    eight_bit: bool = False
    nul: bool = False


@dataclass(frozen=True, slots=True)
class BdatChunkFinished:
    """One BDAT chunk arrived whole. With ``last`` it stands for DataFinished and is answered as that is.

    ``size`` counts all chunks so far. A negative answer ends the transaction (RFC 3030 section 2).
    """

    size: int
    last: bool
    eight_bit: bool = False
    nul: bool = False


@dataclass(frozen=True, slots=True)
class TlsRequested:
    """STARTTLS. After ``accept()`` send what is to be sent, shake hands, then call ``tls_established``."""


@dataclass(frozen=True, slots=True)
class AuthRequested:
    """AUTH with a mechanism that was offered. ``initial`` is decoded; None: none was sent, ``b""``: an empty one (``=``)."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a challenge, decoded."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifyRequested:
    """VRFY. ``accept()`` says 252, which tells nothing."""

    argument: str


@dataclass(frozen=True, slots=True)
class ExpandRequested:
    """EXPN. ``accept()`` says 502: not offered."""

    argument: str


@dataclass(frozen=True, slots=True)
class QueueRunRequested:
    """ETRN (RFC 1985 section 5). ``node``: what follows it, not looked at. ``accept()`` says 252: nobody counted."""

    node: str


@dataclass(frozen=True, slots=True)
class HelpRequested:
    """HELP. ``accept()`` lists the commands."""

    topic: str


# Notices: the core has already replied


@dataclass(frozen=True, slots=True)
class BdatStarted:
    """A legal BDAT; its octets follow as DataChunk. It cannot be refused before they have arrived (RFC 3030 section 2)."""

    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class DataChunk:
    """Content as it arrived, dots unstuffed, CRLF kept; never empty, cut anywhere but within a CRLF pair."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DataRejected:
    """The content was refused for its form (bare CR or LF, too long a line, too large); forget the transaction."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ResetRequested:
    """RSET: forget the transaction."""


@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The client gave the exchange up with ``*``, or sent what is not base64."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """A command was refused without asking: unknown, out of sequence, malformed, over a limit."""

    command: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class EarlyTalked:
    """The client sent before the greeting (RFC 5321 section 3.1). Told once; greet it or refuse it with ``send_greeting``."""


@dataclass(frozen=True, slots=True)
class QuitRequested:
    """QUIT; 221 is queued and the core is closed."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """End of input without QUIT. ``in_transaction``: a message was under way; forget it."""

    in_transaction: bool


@dataclass(frozen=True, slots=True)
class Violation:
    """What no mail client does by mistake; the reply is queued, the core is closed, the connection must be."""

    reply: Reply
    reason: str


# Pauses


@dataclass(frozen=True, slots=True)
class NeedData:
    """Send ``data_to_send()``, then feed ``receive_data``."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Send ``data_to_send()``, then close the connection."""


NEED_DATA: Final = NeedData()
CLOSED: Final = Closed()

Request = (
    Greeted
    | MailRequested
    | RecipientRequested
    | DataRequested
    | DataFinished
    | BdatChunkFinished
    | TlsRequested
    | AuthRequested
    | AuthResponse
    | VerifyRequested
    | ExpandRequested
    | QueueRunRequested
    | HelpRequested
    | XclientRequested
)
Notice = (
    BdatStarted
    | DataChunk
    | DataRejected
    | ResetRequested
    | AuthCancelled
    | CommandRejected
    | EarlyTalked
    | QuitRequested
    | ConnectionLost
    | Violation
)
Event = Request | Notice | NeedData | Closed
