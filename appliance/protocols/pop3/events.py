"""What a POP3 client asked for, as values; ``server.Pop3Server.next_event`` yields them.

Commands that need neither mail nor login data (CAPA, NOOP, USER, UTF8) and bad
input are dealt with inside the core and only leave their reply behind.

Sources: RFC 1939 sections 5 to 7, RFC 2595 section 4, RFC 5034 section 4.
"""

import enum
from dataclasses import dataclass

__all__ = [
    "ConnectionLost",
    "DeleteRequested",
    "Event",
    "ListingRequested",
    "LoginAttempted",
    "LoginEvent",
    "MessageRequested",
    "NeedData",
    "QuitRequested",
    "ResetRequested",
    "SaslResponded",
    "SaslStarted",
    "SessionEnded",
    "StatRequested",
    "TlsRequested",
]


class NeedData(enum.Enum):
    """Nothing whole is buffered: send what is to be sent, then receive more."""

    NEED_DATA = "need data"


@dataclass(frozen=True, slots=True, repr=False)
class LoginAttempted:
    """USER and PASS. Answer with ``login_succeeded`` or ``login_failed``."""

    login: str
    password: str

    def __repr__(self) -> str:
        return f"LoginAttempted({self.login!r}, password=...)"


@dataclass(frozen=True, slots=True)
class SaslStarted:
    """AUTH with a mechanism that was offered; ``initial`` is the decoded initial response, None when there was none."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True, repr=False)
class SaslResponded:
    """The decoded response to ``send_challenge``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TlsRequested:
    """STLS. Send the reply, take TLS up, then call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class StatRequested:
    pass


@dataclass(frozen=True, slots=True)
class ListingRequested:
    """LIST, or UIDL when ``unique_ids``; of one message, or of all when ``number`` is None."""

    unique_ids: bool
    number: int | None


@dataclass(frozen=True, slots=True)
class MessageRequested:
    """RETR, or TOP when ``lines`` is not None: that many lines of the body."""

    number: int
    lines: int | None


@dataclass(frozen=True, slots=True)
class DeleteRequested:
    number: int


@dataclass(frozen=True, slots=True)
class ResetRequested:
    pass


@dataclass(frozen=True, slots=True)
class QuitRequested:
    """QUIT after login: the UPDATE state. Delete, then call ``updated``."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Send what is to be sent and close. ``reason`` for the log: ``quit`` or why the client was cut."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The client closed without QUIT: nothing may be deleted (RFC 1939 section 6)."""


LoginEvent = LoginAttempted | SaslStarted | SaslResponded | TlsRequested
Event = (
    NeedData
    | LoginEvent
    | StatRequested
    | ListingRequested
    | MessageRequested
    | DeleteRequested
    | ResetRequested
    | QuitRequested
    | SessionEnded
    | ConnectionLost
)
