"""Messages that a POP3 client deleted and the office keeps for some days.

With ``pop3.keep_deleted_days`` QUIT does not remove what was marked by DELE: it
gets the keyword ``$POP3Deleted`` and is not shown to POP3 again, while IMAP
still has it. A login removes what is older than that many days, counted from
its arrival; so a program that "leaves nothing on the server" empties nobody
else's mailbox at once. Without the setting marked messages from the time when it
was on are removed with the next login.

Does not: run by itself; an account that nobody opens by POP3 keeps everything.
Sources: Dovecot's pop3_deleted_flag, RFC 2449 section 6.7 (what EXPIRE means: ours is NEVER, as nothing goes that a client did not delete).
"""

from array import array
from collections.abc import Sequence
from typing import Final

from appliance.model.ids import Uid
from appliance.model.mailbox import KEYWORD_SHIFT, FlagAction, Snapshot
from appliance.model.ports import Mailbox

__all__ = ["DELETED_KEYWORD", "mark_deleted", "remove_old", "shown_uids"]

DELETED_KEYWORD: Final = "$POP3Deleted"
_DAY_S = 86_400


def _bit(view: Snapshot) -> int:
    wanted = DELETED_KEYWORD.lower()
    return next((1 << (KEYWORD_SHIFT + number) for number, name in enumerate(view.keywords) if name.lower() == wanted), 0)


def shown_uids(view: Snapshot) -> "array[int]":
    """Return the uids that are not marked; the very array of ``view`` when none is."""
    bit = _bit(view)
    if not bit:
        return view.uids
    return array("I", [uid for uid, flags in zip(view.uids, view.flags, strict=True) if not flags & bit])


def remove_old(mailbox: Mailbox, keep_days: int, now_s: float) -> None:
    """Remove the marked messages that came more than ``keep_days`` ago.

    Units:    ``now_s`` seconds since the epoch.
    Blocks:   disk.
    Raises:   ApplianceError.
    """
    view = mailbox.snapshot()
    bit = _bit(view)
    marked = [Uid(uid) for uid, flags in zip(view.uids, view.flags, strict=True) if flags & bit] if bit else []
    if not marked:
        return
    edge_s = now_s - keep_days * _DAY_S
    old = [summary.uid for summary in mailbox.summaries(marked) if summary.internal_date_s <= edge_s]
    if old:
        mailbox.expunge(old)


def mark_deleted(mailbox: Mailbox, uids: Sequence[Uid]) -> None:
    """Mark messages. Durable at return. Blocks: disk. Raises: ApplianceError, LimitError when the mailbox has no keyword left."""
    mailbox.store_flags(uids, FlagAction.ADD, 0, (DELETED_KEYWORD,))
