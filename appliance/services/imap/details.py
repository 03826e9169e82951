"""FETCH of what is known of messages beside their summaries: EMAILID, THREADID, PREVIEW, SAVEDATE.

Owns how they are asked for and rendered. Identifiers and previews are made at
their first FETCH and kept in the index; ``PREVIEW (LAZY)`` shows what is there
already and makes nothing.

Sources:  RFC 8474 section 5.3, RFC 8514 section 4.2, RFC 8970 section 3.
"""

from collections.abc import Callable, Mapping, Sequence

from appliance.model.ids import Uid
from appliance.model.mailbox import MessageDetails, Summary
from appliance.model.ports import Mailbox
from appliance.protocols.imap.fetch_items import Attribute, FetchItem, PreviewItem
from appliance.protocols.imap.responses import internal_date, nstring

__all__ = ["DetailReader", "needs_details", "save_date"]


def save_date(summary: Summary) -> bytes:
    return b"SAVEDATE " + internal_date(summary.save_date_s)


_FROM_DETAILS: Mapping[Attribute, Callable[[MessageDetails], bytes]] = {
    Attribute.EMAILID: lambda details: b"EMAILID (%b)" % details.email_id.encode("ascii"),
    Attribute.THREADID: lambda details: b"THREADID (%b)" % details.thread_id.encode("ascii"),
}


def needs_details(items: Sequence[FetchItem]) -> bool:
    return any(isinstance(item, PreviewItem) or item in _FROM_DETAILS for item in items)


class DetailReader:
    """Loads and renders the details of one FETCH."""

    def __init__(self, mailbox: Mailbox, items: Sequence[FetchItem]) -> None:
        self._mailbox = mailbox
        previews = [item for item in items if isinstance(item, PreviewItem)]
        self._wants_ids = any(item in _FROM_DETAILS for item in items)
        self._wants_preview = any(not item.lazy for item in previews)
        self._loaded: Mapping[Uid, MessageDetails] = {}

    def load(self, uids: Sequence[Uid]) -> None:
        """Get the details of the next messages. Blocks: disk."""
        self._loaded = self._mailbox.details(uids, ids=self._wants_ids, previews=self._wants_preview)

    def render(self, uid: int, item: FetchItem) -> bytes | None:
        """Return the item, None if the message is gone or the item is none of ours."""
        details = self._loaded.get(Uid(uid))
        if isinstance(item, PreviewItem):
            if details is None:
                return b"PREVIEW NIL" if item.lazy else None
            return b"PREVIEW " + nstring(details.preview.encode("utf-8") if details.preview is not None else None)
        if details is None or not isinstance(item, Attribute) or item not in _FROM_DETAILS:
            return None
        return _FROM_DETAILS[item](details)
