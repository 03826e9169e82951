"""What a mail catcher knows of a message, and what it may do to a session on purpose.

The envelope stands apart from the message, whose bytes stay exactly as they came:
what the two say differently (hidden recipients, another sender) is what a
developer wants to see.

Sources: RFC 5321 section 2.3.1 (envelope and content), Mailpit and MailHog (the fields their clients read).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = ["CaughtEnvelope", "CaughtSummary", "Fault", "FaultSource", "Indexed", "Person", "SessionFaults", "Stored", "Term"]


class Person(NamedTuple):
    """A name, ``""`` when none is given, and an address in wire form."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtEnvelope:
    """What was said beside the message. ``username``: what the client logged in as, ``""`` without a login."""

    reverse_path: str = ""
    recipients: tuple[str, ...] = ()
    helo: str = ""
    client: str = ""
    protocol: str = ""
    username: str = ""
    tls: str = ""
    body: str = "7BIT"
    smtputf8: bool = False
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """What is read from a message once, for lists and for searching. ``texts``: lower case, by search key."""

    message_id: str
    sender: Person | None
    to: Sequence[Person]
    cc: Sequence[Person]
    bcc: Sequence[Person]
    """Those of the envelope included whom no field names."""
    hidden: Sequence[str]
    """The addresses of the envelope that no field names."""
    reply_to: Sequence[Person]
    subject: str
    snippet: str
    attachments: int
    inlines: int
    date_s: float | None
    tags: Sequence[str]
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtSummary:
    """One message in a list. ``number`` rises with each message; ``created_ms`` milliseconds since the epoch; ``size`` of its own bytes."""

    number: int
    id: str
    inbox: str
    created_ms: int
    size: int
    read: bool
    envelope: CaughtEnvelope
    message_id: str
    sender: Person | None
    to: Sequence[Person]
    cc: Sequence[Person]
    bcc: Sequence[Person]
    """Those of the envelope included whom no field names."""
    hidden: Sequence[str]
    """The addresses of the envelope that no field names."""
    reply_to: Sequence[Person]
    subject: str
    snippet: str
    attachments: int
    inlines: int
    date_s: float | None
    tags: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is found of a message by its id: its place in the list and in the mailbox. ``uid`` 0: not in a mailbox yet."""

    number: int
    id: str
    inbox: str
    uid: int
    read: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What to do to a client. ``code`` 0: answer as usual, after the delay. ``hang_up``: end the connection without a word."""

    code: int = 0
    status: str = ""
    text: str = ""
    delay_s: float = 0
    hang_up: bool = False


class SessionFaults(Protocol):
    """Decides, at each step of one session, whether something goes wrong on purpose. In memory."""

    @property
    def without(self) -> Collection[str]:
        """Extensions that are neither offered nor taken now, in capitals."""

    @property
    def bytes_per_s(self) -> float:
        """What the link carries each way now; 0 for as much as comes."""

    def at_greeting(self) -> Fault | None: ...

    def at_tls(self) -> Fault | None:
        """Decide when STARTTLS comes. ``hang_up``: the handshake fails."""

    def at_login(self, login: str) -> Fault | None: ...

    def at_sender(self, reverse_path: str) -> Fault | None: ...

    def at_recipient(self, reverse_path: str, recipient: str) -> Fault | None: ...

    def at_data(self, recipients: Sequence[str]) -> Fault | None:
        """Decide when DATA or the first BDAT comes."""

    def at_end(self, recipients: Sequence[str]) -> Fault | None:
        """Decide when the message has arrived."""

    def close(self) -> None:
        """The session is over. Harmless when repeated."""


class FaultSource(Protocol):
    def begin(self, client: str) -> SessionFaults:
        """Return what accompanies one session. ``client``: the address."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a search. ``key`` is a word of ``policy.caught_search``; ``value`` lower case; ``number``: bytes or milliseconds since the epoch, None when it cannot be read."""

    key: str
    value: str
    negated: bool = False
    number: int | None = None
