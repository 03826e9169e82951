"""What is made of single messages when somebody asks: EMAILID, THREADID, preview. Made once, kept in the index.

Identifiers follow from content and internal date, which copies share, so that
nothing is lost with the index. Each message is read without the account's lock.

Fails: as ``mailbox_content``.
Sources: RFC 8474 section 5, RFC 8970 section 3.
"""

from collections.abc import Mapping, Sequence

from appliance.model.errors import ApplianceError, NotFoundError
from appliance.model.ids import Uid
from appliance.model.mailbox import MessageDetails
from appliance.storage.fileops import resource_errors
from appliance.storage.index import DetailRow
from appliance.storage.mailbox_content import MailboxContent

__all__ = ["MailboxDetails"]


class MailboxDetails(MailboxContent):
    """The part of a mailbox that looks into messages for more than their summaries."""

    def details(self, uids: Sequence[Uid], *, ids: bool, previews: bool) -> Mapping[Uid, MessageDetails]:
        known: dict[int, DetailRow] = {}
        with self.context.lock, resource_errors(f"details of {self.name}"):
            if self._is_gone:
                raise NotFoundError(f"{self.name} was deleted")
            if self._row_id:
                known = self.context.index.details(self._row_id, sorted(set(uids)))
        lacking = [uid for uid in uids if _lacks(known.get(uid), ids=ids, preview=previews)]
        if lacking:
            dates = {summary.uid: summary.internal_date_s for summary in self.summaries(lacking)} if ids else {}
            made = [self._make(uid, known.get(uid, (uid, "", "", None)), dates.get(uid), preview=previews) for uid in lacking]
            rows = [row for row in made if row is not None]
            known.update((row[0], row) for row in rows)
            with self.context.lock:
                if rows and self._row_id and not self._is_gone:
                    self.context.index.save_details(self._row_id, rows)
        table = self.folder.table
        return {uid: MessageDetails(*known[uid][1:]) for uid in uids if uid in known and table.position(uid) >= 0}

    def _make(self, uid: Uid, row: DetailRow, internal_date_s: int | None, *, preview: bool) -> DetailRow | None:
        from appliance.message import identity, mime  # with the first message somebody asks about
        from appliance.message import preview as previewing

        _, email_id, thread_id, text = row
        try:
            with self.open_message(uid) as stream:
                if internal_date_s is not None:
                    email_id, thread_id = identity.identify(stream, internal_date_s)
                if preview and text is None:
                    stream.seek(0)
                    text = previewing.make_preview(stream, mime.scan_stream(stream))
        except (ApplianceError, OSError):  # gone, or not to be read now: there is nothing to tell
            return None
        return (uid, email_id, thread_id, text)


def _lacks(row: DetailRow | None, *, ids: bool, preview: bool) -> bool:
    _, email_id, _, text = row or (0, "", "", None)
    return (ids and not email_id) or (preview and text is None)
