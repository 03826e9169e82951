"""What a client is told when a resource fails: kinds of ``ApplianceError`` to replies.

Owns the table; the error's ``detail`` is for the log and never in a reply.
A kind not listed is deferred: the client tries again, nothing is lost.

Sources: RFC 5321 section 4.2.3, RFC 3463 section 3.3 and 3.4.
"""

from typing import Final

from appliance.model.errors import (
    ApplianceError,
    LimitError,
    OutOfSpaceError,
    OverQuotaError,
    UnavailableError,
)
from appliance.protocols.smtp.replies import OUT_OF_SPACE, TRY_LATER, Reply

__all__ = ["reply_for"]

_REPLIES: Final[tuple[tuple[type[ApplianceError], Reply], ...]] = (
    # Sub-kinds before their base.
    (OutOfSpaceError, OUT_OF_SPACE),
    (UnavailableError, TRY_LATER),
    (OverQuotaError, Reply(452, "4.2.2", "Mailbox is over its quota, try again later")),
    (LimitError, Reply(452, "4.3.2", "A limit of this server was reached, try again later")),
)


def reply_for(error: ApplianceError) -> Reply:
    """Return the reply to a command that failed for a reason of ours; always a temporary one."""
    return next((reply for kind, reply in _REPLIES if isinstance(error, kind)), TRY_LATER)
