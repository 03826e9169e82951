"""NOTIFY: tell what happens in any mailbox of the account, all the time, not only in IDLE.

Owns what one client wants to hear, how the watched mailboxes stood when it was told last, and the task
that hears of changes. It tells only while the session waits for a command, or in IDLE; what
happens meanwhile waits for that moment. A client that takes nothing makes no pile: of each mailbox only
how it stands now is told, and names beyond a bound end all notifications (NOTIFICATIONOVERFLOW).
Does not: hold news of the selected mailbox back. News of it come at the end of commands as ever, also to a client that did not ask for SELECTED.
Source:   RFC 5465 section 3.1 (command), section 4 (IDLE), section 5 (events), section 6 (mailboxes).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import trio

from appliance.model.changes import Changes, NameChange, NameChangeKind, NamePlaces
from appliance.model.errors import ApplianceError
from appliance.model.ids import INBOX, MailboxName, ModSeq, UidNext
from appliance.model.mailbox import MailboxStatus
from appliance.model.ports import AccountSubscription
from appliance.protocols.imap.commands import Command, List, ListReturn
from appliance.protocols.imap.fetch_items import Attribute, FetchItem
from appliance.protocols.imap.mailbox_filter import MailboxScope
from appliance.protocols.imap.notify_grammar import MESSAGE_EVENTS, EventGroup, Notify
from appliance.protocols.imap.responses import list_response, mailbox_name, status
from appliance.services.imap.catalogue import Catalogue, ToldNames, read_catalogue
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.fetch import tell_messages
from appliance.services.imap.listing import SEPARATOR, list_rows
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import is_aware
from appliance.services.imap.view import Update

__all__ = ["HANDLERS", "Notifier", "notify"]

MAX_WATCHED: Final = 500
"""Mailboxes whose messages and annotations one session may watch."""
MAX_NAMES: Final = 1_000
"""Changed names told at once."""
_SUPPORTED: Final = (
    "MessageNew",
    "MessageExpunge",
    "FlagChange",
    "MailboxName",
    "SubscriptionChange",
    "MailboxMetadataChange",
    "ServerMetadataChange",
)
_KNOWN: Final = frozenset(name.upper() for name in _SUPPORTED)
_MAILBOX_METADATA: Final = "MAILBOXMETADATACHANGE"
_SERVER_METADATA: Final = "SERVERMETADATACHANGE"
_EVENT_OF = {NameChangeKind.NAME: "MAILBOXNAME", NameChangeKind.SUBSCRIPTION: "SUBSCRIPTIONCHANGE"}


async def notify(session: Session, command: Notify) -> Reply:
    """Replace what the client wants to hear (RFC 5465 section 3.1)."""
    groups = command.groups or ()
    if any(group.events - _KNOWN for group in groups):
        return no("Some of these events are not supported", b"BADEVENT (" + " ".join(_SUPPORTED).encode("ascii") + b")")
    notifier = Notifier(groups) if groups else None
    if notifier is not None:
        await notifier.look(session)
        if len(notifier.heard) > MAX_WATCHED:
            return no("Too many mailboxes to watch", b"NOTIFICATIONOVERFLOW")
    await session.replace_notifier(notifier)
    if notifier is not None and command.status:
        for name in notifier.watched:
            notifier.tell_status(session, name)
            await session.checkpoint()
    return ok("Notify completed")


class Notifier:
    """What one session hears of. Made by NOTIFY SET, replaced by the next."""

    def __init__(self, groups: Sequence[EventGroup]) -> None:
        self._groups = [group for group in groups if group.filter not in {MailboxScope.SELECTED, MailboxScope.SELECTED_DELAYED}]
        self._selected = next((group for group in groups if group not in self._groups), None)
        self.watched: dict[MailboxName, frozenset[str]] = {}
        """Mailboxes with the message events wanted of each."""
        self.heard: frozenset[MailboxName] = frozenset()
        """Those, and whose annotations are wanted; what is published for INBOX may be about the server's."""
        self._server_metadata = any(_SERVER_METADATA in group.events for group in groups)
        self.tells_annotations = self._server_metadata or any(_MAILBOX_METADATA in group.events for group in groups)
        self._subscribed: Collection[MailboxName] = ()
        self._told: ToldNames | None = None
        self._existing: frozenset[MailboxName] = frozenset()
        self._places = NamePlaces()
        self._known: dict[MailboxName, MailboxStatus] = {}
        self._marked: dict[MailboxName, None] = {}
        self._names: dict[NameChange, None] = {}
        self._unnamed = False
        self._overflown = False
        self._subscription: AccountSubscription | None = None
        self._stopped = trio.Event()
        self._waiting = trio.CancelScope()

    # The selected mailbox

    @property
    def tells_selected(self) -> bool:
        return self._selected is not None and bool(self._selected.events)

    @property
    def expunges_at_once(self) -> bool:
        """False for SELECTED-DELAYED, where numbers stay until a command may change them (RFC 5465 section 6.1.2)."""
        return self._selected is not None and self._selected.filter is MailboxScope.SELECTED

    async def sync(self, session: Session, *, expunge: bool, asked: bool) -> None:
        """Tell what became of the selected mailbox, of new messages what the client wants. ``asked``: at the end of a command."""
        selected = session.opened
        if selected is None:
            return
        before, seen = len(selected.view), list[Update]()

        def amend(update: Update) -> None:
            seen.append(update)
            if not asked and self._selected is not None and "FLAGCHANGE" not in self._selected.events:
                update.changed = []

        await session.sync(expunge=expunge, amend=amend)
        if seen and seen[0].exists and self._selected is not None and self._selected.items:
            first = before - len(seen[0].expunged)
            await tell_messages(session, selected, range(first, len(selected.view)), _with_uid(session, self._selected.items))

    # All others

    async def look(self, session: Session) -> None:
        """Find out which mailboxes are meant and how they stand: at first, and after the client changed names itself."""
        catalogue = await session.run_blocking(read_catalogue, session.store)
        if self._told is None:
            self._told = ToldNames(catalogue)
        await self._mean(session, catalogue)

    async def _mean(self, session: Session, catalogue: Catalogue) -> None:
        names, subscribed = catalogue.existing, catalogue.subscribed
        self._existing, self._subscribed = names, subscribed
        self.watched = {name: events for name in sorted(names) if (events := self._events(name, subscribed) & MESSAGE_EVENTS)}
        before = self.heard, self._places.directories
        annotated = {name for name in names if self.wants_annotations(name)}
        self.heard = frozenset({*self.watched, *annotated, *([INBOX] if self._server_metadata else [])})
        self._places = catalogue.places if self._groups else NamePlaces()
        if before != (self.heard, self._places.directories):
            self._waiting.cancel()  # to watch the others
        if len(self.heard) <= MAX_WATCHED:
            for name in self.watched.keys() - self._known.keys():
                await self._count(session, name)

    def _events(self, name: MailboxName, subscribed: Collection[MailboxName]) -> frozenset[str]:
        wanted = (group.events for group in self._groups if _covers(group, name, subscribed))
        return frozenset().union(*wanted)

    async def _count(self, session: Session, name: MailboxName) -> MailboxStatus | None:
        """Return how a mailbox stands, and keep it; None when it is gone."""
        try:
            counted = await session.run_blocking(session.store.status, name)
        except ApplianceError:
            self._known.pop(name, None)
            return None
        self._known[name] = counted
        return counted

    def tell_status(self, session: Session, name: MailboxName) -> None:
        """Tell how a mailbox stands, before the answer to NOTIFY SET STATUS (RFC 5465 section 3.1)."""
        counted = self._known.get(name)
        if counted is None or (session.opened is not None and session.opened.mailbox.name == name):
            return
        values = {"MESSAGES": counted.messages, "UIDNEXT": int(counted.uid_next), "UIDVALIDITY": int(counted.uid_validity)}
        if "FLAGCHANGE" in self.watched[name]:
            values["HIGHESTMODSEQ"] = int(counted.highest_modseq)
        session.send(status(mailbox_name(name, utf8=session.core.utf8), values))

    async def tell_others(self, session: Session) -> None:
        """Tell what became of the other mailboxes and of names."""
        if self._overflown:
            session.note("Too much happens; nothing more is told", b"NOTIFICATIONOVERFLOW")
            await session.replace_notifier(None)
            return
        if self._names or self._unnamed:
            await self._tell_names(session)
        marked, self._marked = [name for name in self._marked if name in self.watched], {}
        for name in marked:
            old = self._known.get(name)
            counted = await self._count(session, name)
            if old is not None and counted is not None and (session.opened is None or session.opened.mailbox.name != name):
                values = _news(old, counted, self.watched.get(name, frozenset()), aware=is_aware(session))
                if values:
                    session.send(status(mailbox_name(name, utf8=session.core.utf8), values))
            await session.checkpoint()

    async def _tell_names(self, session: Session) -> None:
        changes: dict[NameChange, None] = {}
        while True:
            is_searched, self._unnamed = self._unnamed, False
            catalogue = await session.run_blocking(read_catalogue, session.store)
            # Changes are published before the account is let go: what this listing shows of them was heard of by now.
            if self._subscription is not None:
                self._take(self._subscription.changes_nowait())
            self._unnamed |= is_searched
            changes |= self._names
            if not self._names:
                break
            self._names = {}
            if len(changes) > MAX_NAMES:
                self._overflown = True
                await self.tell_others(session)
                return
        assert self._told is not None
        for change in changes:
            self._told.note(change, catalogue)
            self._rename_known(change)
        found = self._told.differences(catalogue) if self._unnamed else ()
        self._unnamed = False
        for name, old in self._affected([*(change for change in changes if change.origin is not session), *found], catalogue.subscribed):
            session.send(_list_line(session, name, old, catalogue))
        await self._begin_with(session, catalogue)

    def _rename_known(self, change: NameChange) -> None:
        """What is known of a mailbox goes where it went."""
        if change.old is not None and change.old != INBOX:
            for name in [name for name in self._known if name == change.old or name.startswith(change.old + SEPARATOR)]:
                self._known[MailboxName(change.name + name[len(change.old) :])] = self._known.pop(name)

    def _affected(
        self, changes: Sequence[NameChange], subscribed: Collection[MailboxName]
    ) -> Mapping[tuple[MailboxName, MailboxName | None], None]:
        """Return each name to tell of with the one that it had; a mailbox that came or went affects its parent (RFC 5465 section 5.4)."""
        found: dict[tuple[MailboxName, MailboxName | None], None] = {}
        for change in changes:
            parent = MailboxName(change.name.rpartition(SEPARATOR)[0])
            is_birth_or_death = change.kind is NameChangeKind.NAME and change.old is None
            for name, old in ((change.name, change.old), *([(parent, None)] if is_birth_or_death and parent else [])):
                if any(_EVENT_OF[change.kind] in self._events(each, subscribed) for each in (name, old) if each is not None):
                    found[name, old] = None
        return found

    async def _begin_with(self, session: Session, catalogue: Catalogue) -> None:
        """Watch what is meant now; a mailbox that came with messages has news."""
        before = self._existing | self._known.keys()
        await self._mean(session, catalogue)
        for name in self.watched.keys() - before:
            counted = self._known.get(name)
            if counted is not None and counted.messages:
                self._known[name] = replace(counted, messages=0, unseen=0, uid_next=UidNext(1), highest_modseq=ModSeq(0))
                self._marked[name] = None

    def wants_annotations(self, name: MailboxName) -> bool:
        """Tell whether changed annotations of a mailbox, without a name of the server, are told (RFC 5465 section 5.6, section 5.7)."""
        return _MAILBOX_METADATA in self._events(name, self._subscribed) if name else self._server_metadata

    # The task

    @property
    def has_news(self) -> bool:
        return bool(self._marked or self._names or self._unnamed or self._overflown)

    def _take(self, changes: Changes) -> None:
        self._marked |= dict.fromkeys(changes.mailboxes)
        self._names |= dict.fromkeys(changes.names)
        self._unnamed |= changes.unnamed
        self._overflown |= changes.overflown

    def stop(self) -> None:
        self._stopped.set()
        self._waiting.cancel()

    async def watch(self, session: Session, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Hear of changes until ``stop``; have the session tell them when it may."""
        assert session.account is not None
        is_first = True
        while not self._stopped.is_set():
            heard, places = self.heard, self._places
            if not is_first:  # what came between two watches
                self._marked |= dict.fromkeys(self.watched)
                self._unnamed = True
            with session.shared.feed.watch_account(session.account, heard, places) as self._subscription:
                if is_first:
                    task_status.started()
                    is_first = False
                else:
                    await session.tell_news()
                while not self._stopped.is_set() and heard == self.heard and places.directories == self._places.directories:
                    # Only the waiting is cancelled: a send that is cut in two breaks the connection.
                    with trio.CancelScope() as self._waiting:
                        self._take(await self._subscription.wait_changes())
                    if not self._stopped.is_set():
                        await session.tell_news()


def _covers(group: EventGroup, name: MailboxName, subscribed: Collection[MailboxName]) -> bool:
    """Tell whether a group means this mailbox (RFC 5465 section 6); any mailbox of ours may be delivered to."""
    match group.filter:
        case MailboxScope.INBOXES | MailboxScope.PERSONAL:
            return True
        case MailboxScope.SUBSCRIBED:
            return name in subscribed
        case MailboxScope.SUBTREE:
            return any(name == top or name.startswith(top + SEPARATOR) for top in group.names)
        case _:
            return name in group.names


def _news(old: MailboxStatus, new: MailboxStatus, events: Collection[str], *, aware: bool) -> Mapping[str, int]:
    """Return what STATUS tells of a mailbox that changed from ``old`` to ``new`` (RFC 5465 section 5.1 to section 5.3)."""
    values: dict[str, int] = {}
    if "MESSAGENEW" in events and (old.uid_next, old.messages) != (new.uid_next, new.messages):
        values |= {"MESSAGES": new.messages, "UIDNEXT": int(new.uid_next)}
    flags = "FLAGCHANGE" in events and old.highest_modseq != new.highest_modseq
    if flags and old.unseen != new.unseen:
        values["UNSEEN"] = new.unseen
    if old.uid_validity != new.uid_validity or (flags and aware):
        values["UIDVALIDITY"] = int(new.uid_validity)
    if aware and values:
        values["HIGHESTMODSEQ"] = int(new.highest_modseq)
    return values


def _with_uid(session: Session, items: Sequence[FetchItem]) -> Sequence[FetchItem]:
    """Add what goes with everything told unasked (RFC 7162 section 3.2.4)."""
    extra = (Attribute.UID, Attribute.MODSEQ) if is_aware(session) else ()
    return (*(item for item in extra if item not in items), *items)


def _list_line(session: Session, name: MailboxName, old: MailboxName | None, catalogue: Catalogue) -> bytes:
    """Return LIST for a name as it is now, with the one it had (RFC 5465 section 5.4)."""
    wire = mailbox_name(name, utf8=session.core.utf8)
    wanted = List("", (name,), returns=ListReturn.SUBSCRIBED | ListReturn.CHILDREN, extended=True)
    rows = list_rows(wanted, catalogue.infos, catalogue.subscribed)
    attributes = rows[0].attributes if rows else ("\\NonExistent",)
    line = list_response(b"LIST", attributes, wire)
    return line if old is None else line[:-2] + b' ("OLDNAME" (%b))\r\n' % mailbox_name(old, utf8=session.core.utf8)


HANDLERS: Final[Mapping[type[Command], Handler]] = {Notify: notify}
