"""What the server core tells the session: past-tense facts, one value each.

``CommandRejected`` and ``SessionEnded`` come with their responses already in
the core's output; the session sends and counts them.

Sources:  RFC 3501 section 2.2.1, RFC 3502 (several messages in one APPEND), RFC 4469 (CATENATE), RFC 8508 (REPLACE).
"""

from dataclasses import dataclass, field

from appliance.model.ids import MailboxName
from appliance.protocols.imap.append_grammar import Replaced
from appliance.protocols.imap.commands import Command, FlagList

__all__ = [
    "NEED_DATA",
    "AppendAborted",
    "AppendAnnounced",
    "AppendDataReceived",
    "AppendFinished",
    "AppendMessageReceived",
    "AuthenticateResponded",
    "CatenateBegan",
    "CatenateTextAnnounced",
    "CatenateUrlNamed",
    "CommandReceived",
    "CommandRejected",
    "Event",
    "IdleFinished",
    "NeedData",
    "SessionEnded",
]


@dataclass(frozen=True, slots=True)
class NeedData:
    """Nothing more until ``receive_data`` brings more."""


NEED_DATA = NeedData()


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A complete command, allowed in this state; answer it with ``send_tagged``."""

    tag: bytes
    command: Command


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """Bad input; the response is in the output already."""

    tag: bytes | None
    text: str


@dataclass(frozen=True, slots=True)
class AppendAnnounced:
    """A message is to follow: answer with ``accept_append`` or ``refuse_append``.

    ``first``: of its command. ``binary``: a literal8, which may hold NUL. ``replaced``: the message that REPLACE removes.
    """

    tag: bytes
    mailbox: MailboxName
    flags: FlagList
    internal_date_s: int | None
    size_bytes: int
    first: bool
    binary: bool = False
    replaced: Replaced | None = None


@dataclass(frozen=True, slots=True)
class CatenateBegan:
    """A message is to follow in pieces, texts and URLs; it is complete with ``AppendMessageReceived``."""

    tag: bytes
    mailbox: MailboxName
    flags: FlagList
    internal_date_s: int | None
    first: bool
    replaced: Replaced | None = None


@dataclass(frozen=True, slots=True)
class CatenateTextAnnounced:
    """A piece of the message: answer with ``accept_append`` or ``refuse_append``; it comes as ``AppendDataReceived``."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class CatenateUrlNamed:
    """A piece of the message that is here already; nothing is to be answered yet."""

    url: bytes


@dataclass(frozen=True, slots=True)
class AppendDataReceived:
    """Part of the message announced last."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppendMessageReceived:
    """The message announced last is complete."""


@dataclass(frozen=True, slots=True)
class AppendFinished:
    """The APPEND command is complete; answer it with ``send_tagged``."""

    tag: bytes


@dataclass(frozen=True, slots=True)
class AppendAborted:
    """The command broke off after its first message; the response is in the output already."""

    text: str


@dataclass(frozen=True, slots=True)
class AuthenticateResponded:
    """The client's next SASL message; None: it cancelled the exchange."""

    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdleFinished:
    """The client sent DONE, or something else in its place; answer IDLE with ``send_tagged``."""

    properly: bool


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Nothing more will come. ``reason``: ``lost`` (the stream ended) or why we cut it."""

    reason: str


Event = (
    NeedData
    | CommandReceived
    | CommandRejected
    | AppendAnnounced
    | AppendDataReceived
    | AppendMessageReceived
    | CatenateBegan
    | CatenateTextAnnounced
    | CatenateUrlNamed
    | AppendFinished
    | AppendAborted
    | AuthenticateResponded
    | IdleFinished
    | SessionEnded
)
