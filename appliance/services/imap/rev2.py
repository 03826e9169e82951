r"""What a session says differently once it speaks IMAP4rev2.

Owns the differences in what is told unasked: no RECENT and no ``\Recent``, no UNSEEN with
SELECT but a LIST, and names in UTF-8 (``ImapServer.utf8``). What IMAP4rev2 took out of the
grammar stays readable: both revisions are served at once.

Sources:  RFC 9051 Appendix A and Appendix E, section 6.3.2 (SELECT).
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from appliance.model.ids import MailboxName, Uid
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.responses import list_response, mailbox_name

if TYPE_CHECKING:
    from appliance.services.imap.session import Session

__all__ = ["recents_told", "selected_list", "speaks_rev2"]


def speaks_rev2(session: "Session") -> bool:
    return Extension.IMAP4REV2 in session.enabled


def recents_told(session: "Session", recent: frozenset[Uid]) -> Collection[Uid]:
    """Return who is recent for this client: nobody in IMAP4rev2. They were claimed all the same, lest another session tell them."""
    return () if speaks_rev2(session) else recent


def selected_list(session: "Session", name: MailboxName) -> bytes:
    """Return the LIST that comes with SELECT (RFC 9051 section 6.3.2); nothing in IMAP4rev1."""
    return list_response(b"LIST", (), mailbox_name(name, utf8=session.core.utf8)) if speaks_rev2(session) else b""
