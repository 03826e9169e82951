"""The annotations of an account and of its mailboxes, their special uses, and who changed what lately.

Values lie in the attribute file beside each mailbox, those of the account in
``server-metadata``. News are kept in memory alone: a session that asks for them
was there when they were made.

Called with the account's lock held, but for ``news``.
Fails:    ``LimitError`` when there would be too many; ``OSError``.
Sources:  RFC 5464 sections 4.1 and 4.3, RFC 6154 sections 3 and 4.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from appliance.model.errors import LimitError
from appliance.model.ids import MailboxName
from appliance.model.mailbox import AnnotationChange, SpecialUse
from appliance.storage.attributes import AttributeFile
from appliance.storage.fileops import FileOps
from appliance.storage.layout import Layout
from appliance.storage.lists import SpecialUseList

__all__ = ["SPECIAL_USE_ENTRY", "Annotations"]

MAX_NEWS = 1_000
SPECIAL_USE_ENTRY = "/private/specialuse"
"""Shows and sets what LIST tells; it lies in no attribute file."""


class Annotations:
    """See the module."""

    def __init__(self, ops: FileOps, root: bytes, layout: Layout, uses: SpecialUseList) -> None:
        self._layout = layout
        self._uses = uses
        self._server = AttributeFile(ops, root + b"/server-metadata")
        self._news: deque[AnnotationChange] = deque(maxlen=MAX_NEWS)
        self._count = 0

    def _file(self, name: MailboxName | None) -> AttributeFile:
        return self._server if name is None else self._layout.attributes(name)

    def read(self, name: MailboxName | None) -> dict[str, bytes]:
        """Return the entries of a mailbox, or of the account."""
        return {key: value for key, value in self._file(name).read().items() if key.startswith("/")}

    def change(self, name: MailboxName | None, changes: Mapping[str, bytes | None], max_entries: int) -> None:
        """Set or remove entries, all or none; keys that are no entries stay. Durable at return."""
        file = self._file(name)
        noted = file.read()
        wanted = {key: value for key, value in {**noted, **changes}.items() if value is not None}
        added = any(value is not None and key not in noted for key, value in changes.items())
        if added and sum(1 for key in wanted if key.startswith("/")) > max_entries:
            raise LimitError(f"more than {max_entries} annotations")
        if wanted != noted:
            file.write(wanted)

    def copy(self, source: MailboxName, target: MailboxName) -> None:
        """Give a mailbox the entries of another (RENAME of INBOX, RFC 5464 section 4.1)."""
        entries = self.read(source)
        if entries:
            self.change(target, entries, len(entries))

    def use(self, name: MailboxName, uses: Sequence[SpecialUse]) -> list[MailboxName]:
        """Say what a mailbox is for; each use leaves the mailbox that had it. Return whose uses changed (RFC 6154 section 5.4)."""
        before = self._uses.read()
        after = {other: tuple(use for use in had if use not in uses) for other, had in before.items()}
        after[name] = tuple(uses)
        after = {other: several for other, several in after.items() if several}
        changed = [other for other in {**before, **after} if before.get(other, ()) != after.get(other, ())]
        if changed:
            self._uses.write(after)
        return changed

    # News

    def note(self, mailbox: MailboxName | None, entries: Sequence[str], origin: object) -> None:
        if entries:
            self._news.append(AnnotationChange(mailbox or MailboxName(""), tuple(entries), origin))
            self._count += 1

    def news(self, since: int) -> tuple[int, list[AnnotationChange]]:
        """Return where the news end now and what came since then; ``since`` negative: from now on. In memory."""
        count = self._count
        missed = min(count - since, len(self._news)) if since >= 0 else 0
        return count, list(self._news)[len(self._news) - missed :] if missed else []
