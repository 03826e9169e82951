"""QRESYNC: tell a client that comes back what it missed, in SELECT and in UID FETCH.

Sources:  RFC 7162 section 3.2.5 (SELECT), section 3.2.5.2 (message sequence match data), section 3.2.6 (VANISHED).
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from appliance.model.ids import ModSeq
from appliance.model.uidranges import absent, common
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.responses import vanished_earlier
from appliance.protocols.imap.sequence import SequenceSet
from appliance.protocols.imap.state import Condition
from appliance.protocols.imap.sync_values import Qresync
from appliance.services.imap.errors import RefusalError, Reply
from appliance.services.imap.news import ROWS
from appliance.services.imap.selection import Selected
from appliance.services.imap.session import Session
from appliance.services.imap.sync import uses_uids
from appliance.services.imap.view import MailboxView

__all__ = ["changed_since", "require_qresync", "resynchronise", "tell_vanished"]

_NOT_ENABLED: Final = Reply(Condition.BAD, "ENABLE QRESYNC comes first")


def require_qresync(session: Session) -> None:
    """Raise RefusalError unless the client has enabled QRESYNC (RFC 7162 section 3.2.3)."""
    if Extension.QRESYNC not in session.enabled:
        raise RefusalError(_NOT_ENABLED)


def changed_since(view: MailboxView, positions: Sequence[int], since: int) -> list[int]:
    """Return those of the messages that have a higher modseq (RFC 7162 section 3.1.4.1)."""
    return [at for at, modseq in zip(positions, view.modseqs_at(positions), strict=True) if modseq > since]


async def resynchronise(session: Session, selected: Selected, known: Qresync) -> None:
    """Tell what was expunged and changed since the client looked last, if it knows this mailbox at all."""
    view = selected.view
    if known.uid_validity != view.snapshot.uid_validity:
        return
    known_to = _known_to(view, known.matches) if known.matches is not None else 0
    uids = known.known_uids or SequenceSet(((1, max(1, view.snapshot.uid_next - 1)),))
    await tell_vanished(session, selected, known.modseq, uids, above=known_to)
    changed = changed_since(view, list(chain.from_iterable(view.positions(uids, uid=True))), known.modseq)
    for low in range(0, len(changed), ROWS):
        session.send(view.sync_rows(changed[low : low + ROWS], uid=True, flags=True, modseq=True, uid_only=uses_uids(session)))
        await session.checkpoint()


async def tell_vanished(session: Session, selected: Selected, since: ModSeq, uids: SequenceSet, *, above: int = 0) -> None:
    """Send VANISHED (EARLIER) for those of ``uids`` above ``above`` that went since; what the client has in its view is told otherwise."""
    gone = await session.run_blocking(selected.mailbox.vanished_since, since)
    view = selected.view
    wanted = uids.resolve(view.uids[-1] if view.uids else 0)
    # A message that only just went, or came and went, is in or beyond the view: EXPUNGE is for these.
    ranges = absent(common(common(gone, wanted), [(above + 1, view.snapshot.uid_next - 1)]), view.uids)
    if ranges:
        session.send(vanished_earlier(ranges))
    await session.checkpoint()


def _known_to(view: MailboxView, matches: tuple[SequenceSet, SequenceSet]) -> int:
    """Return the highest uid that has the message number that the client remembers: up to there it knows all expunges."""
    known = 0
    numbers, uids = (chain.from_iterable(range(low, high + 1) for low, high in one.ranges) for one in matches)
    for number, uid in zip(numbers, uids, strict=False):
        if number > len(view):
            break
        if view.uids[number - 1] == uid:
            known = uid
    return known
