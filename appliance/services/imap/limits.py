"""MESSAGELIMIT and SAVELIMIT: how many messages one command may work on, where the settings say so.

The newest messages of a set are done, and the answer names the oldest of them, so that the
client knows where to go on. Of SEARCH that is the messages which its sequence sets name, found or not.
SORT and THREAD are not limited: they put in order what was found, and half of it would be of no use.
EXPUNGE and CLOSE must not be.

Source:   RFC 9738 section 3 (capabilities), section 3.1 (response code), section 3.3 (SORT, THREAD), section 3.4 (SAVE).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, no

if TYPE_CHECKING:
    from appliance.services.imap.session import Session

__all__ = ["limit_reply", "newest", "refuse_appends", "refuse_copies", "refuse_range"]

Number = TypeVar("Number", bound=int)


def newest(session: "Session", messages: Sequence[Number]) -> Sequence[Number]:
    """Return those of the messages (ascending) that a command may work on."""
    limit = session.shared.settings.message_limit
    return messages[-limit:] if limit else messages


def limit_reply(session: "Session", reply: Reply, done: int, last_uid: int, wanted: int) -> Reply:
    """Say in the answer that only ``done`` of ``wanted`` messages were worked on, ``last_uid`` the oldest (RFC 9738 section 3.1)."""
    if done == wanted:
        return reply
    code = b"MESSAGELIMIT %d %d" % (session.shared.settings.message_limit, last_uid)
    text = f"Only the newest {done} of {wanted} messages were worked on"
    if reply.code or reply.condition is not Condition.OK:
        session.core.send_untagged(Condition.NO, text, code)
        return reply
    return Reply(Condition.OK, text, code)


def refuse_copies(session: "Session", uids: Sequence[int]) -> Reply | None:
    """COPY is all or nothing: say how many are too many, None if these are not."""
    settings = session.shared.settings
    limit = settings.message_limit or settings.save_limit
    if not limit or len(uids) <= limit:
        return None
    return no("Too many messages to copy at once", b"MESSAGELIMIT %d %d" % (limit, uids[-limit]))


def refuse_appends(session: "Session", count: int) -> Reply | None:
    """Say that one APPEND brings too many messages, of which none is kept then (RFC 9738 section 3.1, RFC 3502 section 6.3.11)."""
    settings = session.shared.settings
    limit = settings.message_limit or settings.save_limit
    return no("Too many messages to append at once", b"MESSAGELIMIT %d" % limit) if limit and count > limit else None


def refuse_range(session: "Session", count: int) -> Reply | None:
    """Say that a range of PARTIAL is too long: where it lies depends on the whole, so that no part of it is done (RFC 9738 section 3.1)."""
    limit = session.shared.settings.message_limit
    return no("Too many messages to fetch at once", b"MESSAGELIMIT %d" % limit) if limit and count > limit else None
