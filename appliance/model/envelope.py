"""The SMTP envelope: what travels beside a message.

Paths are ``str`` in wire form without angle brackets: ``local@domain``, a quoted
local part still quoted, Unicode only when ``smtputf8``. ``""`` is the null
reverse-path.

Sources: RFC 5321 section 2.3.1, RFC 3461 section 4 (NOTIFY, ORCPT, RET, ENVID),
RFC 6152 and RFC 3030 (BODY), RFC 6531 (SMTPUTF8), RFC 8689 (REQUIRETLS).
"""

import enum
from dataclasses import dataclass, field

from appliance.model.ids import AccountName, SessionId

__all__ = ["NULL_REVERSE_PATH", "Body", "Client", "Envelope", "EnvelopeRecipient", "Notify", "Ret"]

NULL_REVERSE_PATH = ""


class Body(enum.Enum):
    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


class Notify(enum.Flag):
    """RFC 3461 section 4.1; the default when the sender said nothing is FAILURE | DELAY."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4


class Ret(enum.Enum):
    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One forward-path. ``original`` is the RCPT address before alias expansion, when it differs."""

    address: str
    notify: Notify | None = None
    orcpt: str | None = None
    original: str | None = None

    @property
    def is_expanded(self) -> bool:
        """True for an alias whose members are in the envelope as well: it is there only to be reported (RFC 3461 section 5.2.7.3)."""
        return self.original == self.address


@dataclass(frozen=True, slots=True)
class Client:
    """Who handed the message over; for trace fields and the log."""

    address: str = ""
    port: int = 0
    helo: str = ""
    name: str = ""
    protocol: str = "ESMTP"
    account: AccountName | None = None
    session_id: SessionId = field(default=SessionId(""))


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything the queue must keep of one mail transaction. ``recipients`` is never empty."""

    reverse_path: str
    recipients: tuple[EnvelopeRecipient, ...]
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    client: Client = field(default_factory=Client)
    is_junk: bool = field(default=False, kw_only=True)
    """Judged to belong into the Junk folder."""
    is_forged: bool = field(default=False, kw_only=True)
    """Its sender's domain says that the client may not send for it (SPF fail): nobody is told what becomes of the message."""
    release_at_s: float = field(default=0.0, kw_only=True)
    """RFC 4865: not to be sent before; whole seconds since the epoch, 0 for at once."""
    hold_reason: str = field(default="", kw_only=True)
    """Why it goes on hold as soon as it is taken; the queue keeps that in its state, not in the envelope."""
    requires_tls: bool = False
    """RFC 8689: rather return the message than send it where TLS is not certain."""
