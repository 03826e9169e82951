"""Telling the client, at a legal moment, what became of its mailbox.

Sources:  RFC 3501 section 5.2 and section 7.4.1 (when EXPUNGE may be sent), RFC 7162 section 3.2.10 and RFC 9586 section 3.4 (VANISHED),
          RFC 5464 section 4.4 and RFC 5465 section 5.6 and section 5.7 (METADATA).
"""

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from appliance.model.errors import ApplianceError, NotFoundError
from appliance.model.ids import Uid
from appliance.protocols.imap.extensions import Extension
from appliance.protocols.imap.metadata_responses import metadata_news
from appliance.protocols.imap.responses import vanished
from appliance.services.imap.rev2 import recents_told, speaks_rev2
from appliance.services.imap.selection import Selected, tell_flags
from appliance.services.imap.sync import news_rows, vanishes
from appliance.services.imap.view import Update

if TYPE_CHECKING:
    from appliance.services.imap.session import Session

__all__ = ["ROWS", "sync", "tell_annotations"]

ROWS: Final = 2_000
"""Rows rendered between two chances for other sessions: about 0.5 ms."""
REFRESH_S: Final = 1.0
"""A command looks at the disk when its last look is this old, whatever the change feed says (it may only be able to poll)."""


async def sync(session: "Session", *, expunge: bool, amend: "Callable[[Update], None] | None" = None) -> None:
    """Tell the client what became of its mailbox. ``amend`` may change what is told."""
    selected = session.opened
    if selected is None:
        return
    now_s = trio.current_time()
    try:
        if selected.is_stale or now_s - selected.refreshed_at_s >= REFRESH_S:
            selected.is_stale = False
            selected.refreshed_at_s = now_s
            if not selected.mailbox.is_fresh():
                await session.run_blocking(selected.mailbox.refresh)
        snapshot = selected.mailbox.snapshot()
        recent: frozenset[Uid] = frozenset()
        if not selected.read_only and selected.view.has_news(snapshot):
            recent = await session.run_blocking(selected.mailbox.claim_recent)
    except NotFoundError:
        session.core.send_bye("The selected mailbox was deleted", "mailbox deleted")
        return
    except ApplianceError as error:
        # The client loses nothing: it is told the next time.
        session.explain(error)
        return
    if snapshot.uid_validity != selected.view.snapshot.uid_validity:
        session.core.send_bye("The selected mailbox was made anew", "mailbox replaced")
        return
    before = selected.view.uids[:] if selected.contexts else array("I")
    update = selected.view.update(snapshot, recents_told(session, recent), expunge=expunge)
    touched = update.changed
    if amend is not None:
        amend(update)
    await _tell(session, selected, update, before, touched)


def tell_annotations(session: "Session") -> None:
    """Tell what others annotated: all of it after ENABLE METADATA (RFC 5464 section 4.4), else what NOTIFY asked for."""
    is_enabled, notifier = Extension.METADATA in session.enabled, session.notifier
    if session.opened_store is None or not (is_enabled or (notifier is not None and notifier.tells_annotations)):
        session.annotations_seen = -1
        return
    session.annotations_seen, changes = session.opened_store.annotation_news(session.annotations_seen)
    for change in changes:
        if change.origin is not session and (is_enabled or (notifier is not None and notifier.wants_annotations(change.mailbox))):
            session.send(metadata_news(change.mailbox, change.entries, utf8=session.core.utf8))


async def _tell(session: "Session", selected: Selected, update: Update, before: "array[int]", touched: Sequence[int]) -> None:
    """Send an update in the order that RFC 3501 section 7.4.1 asks for.

    For a search that is kept true ``before`` are the uids as they were, and ``touched`` is whose flags changed, told or not.
    """
    view = selected.view
    if selected.contexts:
        session.send(selected.contexts.lose(before, view))
    if vanishes(session) and update.vanished:
        session.send(vanished(update.vanished))
        selected.owes_highest = True
    else:
        for low in range(0, len(update.expunged), ROWS):
            session.send(b"".join([b"* %d EXPUNGE\r\n" % number for number in update.expunged[low : low + ROWS]]))
            await session.checkpoint()
    if update.exists:
        session.send(b"* %d EXISTS\r\n" % len(view))
    if (update.exists or update.recent) and not speaks_rev2(session):
        session.send(b"* %d RECENT\r\n" % view.recent_count)
    if update.keywords:
        tell_flags(session, selected)
    for low in range(0, len(update.changed), ROWS):
        session.send(news_rows(session, view, update.changed[low : low + ROWS]))
        await session.checkpoint()
    for low in range(0, len(update.numbered), ROWS):
        session.send(news_rows(session, view, update.numbered[low : low + ROWS], flags=False))
        await session.checkpoint()
    if selected.contexts and (touched or update.exists):
        fresh = range(view.position_after(before[-1] if before else 0), len(view))
        session.send(await selected.contexts.renew(sorted({*touched, *fresh}), view))
