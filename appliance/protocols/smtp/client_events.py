"""What the client core tells its driver: replies, each bound to what it answers.

A message's life: SenderReplied, RecipientReplied for each recipient (neither after
a refused sender), ContentWanted when someone was accepted, MessageReplied after
the content, and always MessageEnded. A recipient's fate is therefore its own
negative RecipientReplied, else a negative SenderReplied, else the
MessageReplied that has its ``index`` or None.

Sources: RFC 5321 section 4.3.2, RFC 2033 section 4.2 (LMTP), RFC 2920 section 3.1.
"""

from dataclasses import dataclass
from typing import Final

from appliance.protocols.smtp.capabilities import Capabilities
from appliance.protocols.smtp.replies import Reply

__all__ = [
    "CLIENT_CLOSED",
    "CLIENT_NEEDS_DATA",
    "AuthReplied",
    "ClientClosed",
    "ClientEvent",
    "ClientNeedsData",
    "CommandReplied",
    "ContentWanted",
    "HelloReplied",
    "MessageEnded",
    "MessageImpossible",
    "MessageReplied",
    "RecipientReplied",
    "SenderReplied",
    "ServerGreeted",
    "ServerLost",
    "ServerViolation",
    "TlsReplied",
]


@dataclass(frozen=True, slots=True)
class ServerGreeted:
    """The greeting; negative (554, 421): leave."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class HelloReplied:
    """The reply to EHLO or LHLO, or to the HELO that followed a refused EHLO."""

    reply: Reply
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class TlsReplied:
    """Positive: shake hands, then ``tls_established``, then ``send_hello`` again."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class AuthReplied:
    reply: Reply


@dataclass(frozen=True, slots=True)
class SenderReplied:
    reply: Reply


@dataclass(frozen=True, slots=True)
class RecipientReplied:
    """``index`` counts the envelope's recipients from 0."""

    index: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """Call ``send_data_chunk`` as often as you like, then ``finish_data``. ``accepted``: indices of the recipients it is for."""

    accepted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MessageReplied:
    """The message's fate: for all accepted recipients (``index`` None), or in LMTP for one."""

    index: int | None
    reply: Reply


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """Everything about this message has been told; the next one may be sent."""


@dataclass(frozen=True, slots=True)
class MessageImpossible:
    """Nothing was sent: the server does not offer what the message needs. ``reply`` is ours, for the DSN. MessageEnded follows."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class CommandReplied:
    """RSET, NOOP, QUIT or another command of ``send_command``."""

    command: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class ServerViolation:
    """What came is no SMTP, or a reply nobody asked for (``reply``, often 421). Close."""

    reason: str
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class ServerLost:
    """End of input. ``expected``: after QUIT was answered. ``content_sent``: the message may have been taken all the same."""

    expected: bool
    content_sent: bool


@dataclass(frozen=True, slots=True)
class ClientNeedsData:
    """Send ``data_to_send()``; then either say something or feed ``receive_data``."""


@dataclass(frozen=True, slots=True)
class ClientClosed:
    """Nothing more will come."""


CLIENT_NEEDS_DATA: Final = ClientNeedsData()
CLIENT_CLOSED: Final = ClientClosed()

ClientEvent = (
    ServerGreeted
    | HelloReplied
    | TlsReplied
    | AuthReplied
    | SenderReplied
    | RecipientReplied
    | ContentWanted
    | MessageReplied
    | MessageEnded
    | MessageImpossible
    | CommandReplied
    | ServerViolation
    | ServerLost
    | ClientNeedsData
    | ClientClosed
)
