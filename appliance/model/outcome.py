"""What became of one recipient in one attempt: a value, never an exception.

Sources: RFC 3464 section 2.3 (action, status, diagnostic code, remote MTA),
RFC 3463 (enhanced status codes), Postfix's dsn.h.
"""

import enum
from dataclasses import dataclass, field

__all__ = ["Action", "Outcome"]


class Action(enum.Enum):
    """RFC 3464 section 2.3.3. ``RELAYED``: handed to a server that does not promise DSN."""

    DELIVERED = "delivered"
    RELAYED = "relayed"
    DEFERRED = "delayed"
    BOUNCED = "failed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt at one recipient.

    ``status`` is an enhanced code such as ``5.1.1``; ``reason`` one sentence for
    people; ``diagnostic`` the peer's reply as it came (``550 5.1.1 No such user``)
    or ``""``; ``remote_mta`` its name; ``relay`` what the log calls ``relay=``.
    """

    action: Action
    status: str
    reason: str
    diagnostic: str = ""
    remote_mta: str = ""
    relay: str = ""
    tls: str = ""
    dsn_passed: bool = False
    """True when the next server took over the duty to notify (RFC 3461 section 5.2.2): no success DSN from us."""
    setup_s: float = field(default=0.0, compare=False)
    """Seconds of the attempt until the server would take mail: looking it up, connecting, TLS, login."""

    @property
    def is_final(self) -> bool:
        """True unless the recipient must be tried again."""
        return self.action is not Action.DEFERRED
