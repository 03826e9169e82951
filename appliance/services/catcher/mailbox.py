"""The caught mail as mailboxes: what IMAP and POP3 show is what the catcher has, both ways.

Owns the way between the two: messages go into the INBOX of their inbox's account
after they were kept; what is deleted or marked on one side is deleted or marked
on the other; what a mail program puts there is caught, too. Each delivered
message carries its identifier, so that a crash between the two leaves nothing twice.

Fails: never; what a store refuses is told in the log and tried again with the next change.

Sources: RFC 5321 section 4.4 (Return-Path of final delivery).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from appliance.message.header import first_values, read_header
from appliance.message.text import decode_bytes
from appliance.model.caught import CaughtEnvelope, Stored
from appliance.model.content import MemoryContent, PrefixedContent
from appliance.model.errors import ApplianceError
from appliance.model.ids import INBOX, AccountName, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage, Snapshot
from appliance.model.ports import ChangeFeed, Mailbox, MailStores
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.ids import new_id
from appliance.storage.caught import NewCaught

__all__ = ["ID_FIELD", "MailboxKeeper"]

ID_FIELD: Final = "X-Caught-Id"
_BATCH: Final = 64
_MAX_IMPORT: Final = 52_428_800


@dataclass(slots=True)
class _Difference:
    """What a mailbox has that the catcher does not know."""

    gone: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    found: list[tuple[int, int]] = field(default_factory=list)
    foreign: list[NewCaught] = field(default_factory=list)


class MailboxKeeper:
    """Keeps the mailboxes of all inboxes in step with the catcher. ``account_of``: the account of an inbox."""

    def __init__(
        self,
        catcher: Catcher,
        stores: MailStores,
        feed: ChangeFeed,
        account_of: Callable[[str], AccountName],
        inboxes: Sequence[str] = ("",),
    ) -> None:
        self._catcher = catcher
        self._stores = stores
        self._feed = feed
        self._account_of = account_of
        self._first = inboxes
        self._turn = trio.Lock()
        self._modseqs: dict[str, int] = {}
        self._nursery: trio.Nursery | None = None
        self._watched: set[str] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for inbox in self._first:
                self._watch(inbox)
            while True:
                await self.catch_up()
                if not self._has_work:
                    await self._catcher.arrived.park()

    @property
    def _has_work(self) -> bool:
        return bool(self._catcher.removed or self._catcher.marked)

    async def catch_up(self) -> None:
        """Bring the mailboxes up to what the catcher has now."""
        async with self._turn:
            try:
                await self._deliver()
                await self._remove()
                await self._mark()
            except ApplianceError as error:
                self._catcher.mail_log.warning("mailbox_behind", reason=error.client_text, detail=error.detail)
                self._catcher.removed.clear()
                self._catcher.marked.clear()

    def _watch(self, inbox: str) -> None:
        assert self._nursery is not None
        if inbox not in self._watched:
            self._watched.add(inbox)
            self._nursery.start_soon(self._watch_forever, inbox)

    # From the catcher

    async def _deliver(self) -> None:
        offload, store = self._catcher.offload, self._catcher.store
        while rows := await offload.run(store.undelivered, _BATCH):
            by_inbox: dict[str, list[tuple[Stored, int, CaughtEnvelope]]] = {}
            for row in rows:
                by_inbox.setdefault(row[0].inbox, []).append(row)
            for inbox, messages in by_inbox.items():
                self._watch(inbox)
                self._catcher.marked += await offload.run(self._append, inbox, messages)

    def _append(self, inbox: str, rows: Sequence[tuple[Stored, int, CaughtEnvelope]]) -> list[Stored]:
        """Put messages into a mailbox and remember their uids; return those that were marked meanwhile. Blocks: disk."""
        store = self._catcher.store
        messages: list[NewMessage] = []
        numbers: list[int] = []
        for stored, created_ms, envelope in rows:
            data = store.content(stored.number)
            if data is not None:
                content = PrefixedContent(_trace(stored.id, envelope), MemoryContent(data))
                flags = int(Flag.SEEN) if stored.read else 0
                messages.append(NewMessage(content, created_ms / 1_000, flags, reverse_path=envelope.reverse_path))
                numbers.append(stored.number)
        appended = self._stores.account(self._account_of(inbox)).append(INBOX, messages)
        store.set_uids(list(zip(numbers, appended.uids, strict=True)))
        as_appended = {stored.id: stored.read for stored, _, _ in rows}
        now = [stored for stored in map(store.stored, as_appended) if stored is not None]
        return [stored for stored in now if stored.uid and stored.read != as_appended[stored.id]]

    async def _remove(self) -> None:
        gone, self._catcher.removed = self._catcher.removed, []
        for inbox, uids in _by_inbox(gone).items():
            await self._catcher.offload.run(lambda inbox=inbox, uids=uids: self._open(inbox).expunge(uids))  # type: ignore[misc]

    async def _mark(self) -> None:
        marked, self._catcher.marked = self._catcher.marked, []
        for read in (True, False):
            for inbox, uids in _by_inbox([stored for stored in marked if stored.read is read]).items():
                await self._catcher.offload.run(self._store_seen, inbox, uids, read)

    def _store_seen(self, inbox: str, uids: Sequence[Uid], read: bool) -> None:
        self._open(inbox).store_flags(uids, FlagAction.ADD if read else FlagAction.REMOVE, int(Flag.SEEN))

    def _open(self, inbox: str) -> Mailbox:
        return self._stores.account(self._account_of(inbox)).open_mailbox(INBOX)

    # From the mailbox

    async def _watch_forever(self, inbox: str) -> None:
        account = self._account_of(inbox)
        with self._feed.subscribe(account, INBOX) as subscription:
            await self._take_over(inbox)
            while True:
                await subscription.wait_changed()
                await self._take_over(inbox)

    async def _take_over(self, inbox: str) -> None:
        """Do in the catcher what was done in the mailbox."""
        catcher = self._catcher
        async with self._turn:
            try:
                difference = await catcher.offload.run(self._compare, inbox)
            except ApplianceError as error:
                catcher.mail_log.warning("mailbox_unread", inbox=inbox, reason=error.client_text, detail=error.detail)
                return
            if difference.found:
                await catcher.offload.run(catcher.store.set_uids, difference.found)
        for new in difference.foreign:
            await catcher.keep(new)
        if difference.gone:
            await catcher.delete(difference.gone, from_mailbox=True)
        if difference.read:
            await catcher.set_read(difference.read, read=True, from_mailbox=True)
        if difference.unread:
            await catcher.set_read(difference.unread, read=False, from_mailbox=True)

    def _compare(self, inbox: str) -> _Difference:
        """Return what differs. Blocks: disk."""
        mailbox = self._open(inbox)
        snapshot, difference = mailbox.snapshot(), _Difference()
        if self._modseqs.get(inbox) == snapshot.highest_modseq:
            return difference
        known = {stored.uid: stored for stored in self._catcher.store.in_mailbox(inbox)}
        waiting = {stored.uid for stored in self._catcher.removed}
        marked = {stored.uid for stored in self._catcher.marked}
        seen = {uid: bool(flags & Flag.SEEN) for uid, flags in zip(snapshot.uids, snapshot.flags, strict=True)}
        difference.gone = [stored.id for uid, stored in known.items() if uid not in seen]
        for uid, is_seen in seen.items():
            stored = known.get(uid)
            if stored is None:
                if uid not in waiting:
                    self._take_foreign(mailbox, snapshot, uid, inbox, difference)
            elif stored.read != is_seen and uid not in marked:
                (difference.read if is_seen else difference.unread).append(stored.id)
        self._modseqs[inbox] = snapshot.highest_modseq
        return difference

    def _take_foreign(self, mailbox: Mailbox, snapshot: Snapshot, uid: int, inbox: str, difference: _Difference) -> None:
        """Judge a message that the catcher does not know under this uid: its own after a crash, one it deleted, or a mail program's."""
        with mailbox.open_message(Uid(uid)) as stream:
            header = read_header(stream)
            stream.seek(0)
            data = stream.read(_MAX_IMPORT)
        name = ID_FIELD.lower().encode()
        values = first_values(header, {name, b"return-path"})
        message_id = decode_bytes(values.get(name, b""))
        own = self._catcher.store.stored(message_id) if message_id else None
        if own is not None and not own.uid:
            difference.found.append((own.number, uid))
        elif message_id and own is None:
            self._catcher.removed.append(Stored(number=0, id=message_id, inbox=inbox, uid=uid, read=False))
        else:
            known = mailbox.summaries([Uid(uid)])
            created_s = known[0].internal_date_s if known else self._catcher.clock.now_s()
            flags = snapshot.flags[snapshot.uids.index(uid)]
            difference.foreign.append(
                NewCaught(
                    id=new_id(),
                    inbox=inbox,
                    created_ms=int(created_s * 1_000),
                    envelope=CaughtEnvelope(reverse_path=decode_bytes(values.get(b"return-path", b"")).strip("<> "), protocol="IMAP"),
                    content=MemoryContent(data),
                    uid=uid,
                    read=bool(flags & Flag.SEEN),
                )
            )


def _trace(message_id: str, envelope: CaughtEnvelope) -> bytes:
    """Return the fields of final delivery."""
    lines = [f"Return-Path: <{envelope.reverse_path}>"]
    lines += [f"Delivered-To: {recipient}" for recipient in envelope.recipients[:100]]
    lines.append(f"{ID_FIELD}: {message_id}")
    return "".join([line + "\r\n" for line in lines]).encode("utf-8", "replace")


def _by_inbox(messages: Sequence[Stored]) -> dict[str, list[Uid]]:
    found: dict[str, list[Uid]] = {}
    for stored in messages:
        found.setdefault(stored.inbox, []).append(Uid(stored.uid))
    return found
