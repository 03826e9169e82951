"""SEARCH by what belongs to the message as an object: its identifiers and the day it was saved.

Owns how a batch of messages is asked. Identifiers are made with the first search
for them and kept in the index.

Sources:  RFC 8474 section 6 (EMAILID, THREADID), RFC 8514 section 4.3 (SAVEDBEFORE, SAVEDON, SAVEDSINCE).
"""

from collections.abc import Sequence

from appliance.model.ids import Uid
from appliance.model.ports import Mailbox
from appliance.protocols.imap.search_keys import ObjectIdKey

__all__ = ["BATCH", "saved_within", "with_object_id"]

BATCH = 200
"""Messages asked in one hop; those never asked before are read."""


def saved_within(mailbox: Mailbox, batch: Sequence[tuple[int, int]], span_s: tuple[int, int]) -> list[int]:
    """Return the positions of a batch of (position, uid) saved between two moments, both included. Blocks: disk."""
    saved = {summary.uid: summary.save_date_s for summary in mailbox.summaries([Uid(uid) for _, uid in batch])}
    return [at for at, uid in batch if Uid(uid) in saved and span_s[0] <= saved[Uid(uid)] <= span_s[1]]


def with_object_id(mailbox: Mailbox, batch: Sequence[tuple[int, int]], key: ObjectIdKey) -> list[int]:
    """Return the positions of a batch of (position, uid) that have the identifier. Blocks: disk."""
    details = mailbox.details([Uid(uid) for _, uid in batch], ids=True, previews=False)
    found: list[int] = []
    for at, uid in batch:
        known = details.get(Uid(uid))
        if known is not None and key.object_id == (known.thread_id if key.of_thread else known.email_id):
            found.append(at)
    return found
