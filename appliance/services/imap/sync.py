"""CONDSTORE in a session: when it is on, and how news look then.

A client that has shown that it knows modseqs is told UID and MODSEQ with every
flag that it did not ask for. While an expunge is held back, HIGHESTMODSEQ says up to
where everything is told, so that a client that loses its connection misses nothing.

Sources:  RFC 7162 section 3.1 (CONDSTORE enabling commands), section 3.2 (order of events), section 3.2.4
          (UID and MODSEQ), section 6 (HIGHESTMODSEQ while expunges wait).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply
from appliance.services.imap.view import MailboxView

if TYPE_CHECKING:
    from appliance.services.imap.selection import Selected
    from appliance.services.imap.session import Session

__all__ = ["become_aware", "is_aware", "news_rows", "note_highest", "uses_uids", "vanishes", "with_highest"]


def is_aware(session: "Session") -> bool:
    """Tell whether the client takes MODSEQ unasked."""
    return Extension.CONDSTORE in session.enabled


def uses_uids(session: "Session") -> bool:
    """Tell whether the client wants no message numbers (RFC 9586 section 3)."""
    return Extension.UIDONLY in session.enabled


def vanishes(session: "Session") -> bool:
    """Tell whether VANISHED stands in the place of EXPUNGE (RFC 7162 section 3.2.10.2, RFC 9586 section 3.4)."""
    return not session.core.enabled.isdisjoint({Extension.QRESYNC, Extension.UIDONLY})


def become_aware(session: "Session") -> None:
    """Note a CONDSTORE enabling command; the first one is told where the selected mailbox stands (RFC 7162 section 3.1)."""
    if not is_aware(session):
        session.core.enabled.add(Extension.CONDSTORE)
        if session.opened is not None:
            note_highest(session)


def note_highest(session: "Session") -> None:
    """Tell up to which modseq the client knows everything."""
    session.selected.owes_highest = False
    session.note("Highest mailbox mod-sequence", _highest(session.selected))


def _highest(selected: "Selected") -> bytes:
    return b"HIGHESTMODSEQ %d" % selected.view.told_modseq


def with_highest(session: "Session", reply: Reply) -> Reply:
    """Return the tagged response with HIGHESTMODSEQ if expunges were told, or are held back while later modseqs are told."""
    selected = session.opened
    if selected is None or not is_aware(session) or not (selected.owes_highest or selected.view.ghosts):
        return reply
    selected.owes_highest = False
    if reply.code or reply.condition is not Condition.OK:
        note_highest(session)
        return reply
    return reply._replace(code=_highest(selected))


def news_rows(session: "Session", view: MailboxView, positions: Sequence[int], *, flags: bool = True) -> bytes:
    """Return FETCH responses that nobody asked for."""
    aware, uid_only = is_aware(session), uses_uids(session)
    if not aware and not uid_only:
        return view.flag_rows(positions) if flags else b""
    return view.sync_rows(positions, uid=not uid_only or aware, flags=flags, modseq=aware, uid_only=uid_only)
