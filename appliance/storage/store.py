"""All mailboxes of one account: names, subscriptions, quota, and the mailboxes that are open.

Owns which ``FileMailbox`` stands for a name, so that all sessions share one.
Everything that changes names holds the account's lock.

Fails: as ``model.ports.MailStore`` says.
Sources: RFC 9051 section 6.3 (CREATE, DELETE, RENAME), RFC 6154, Dovecot's ``auto = subscribe``.
"""

import contextlib
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from appliance.model.changes import NameChange, NameChangeKind, NamePlaces
from appliance.model.errors import AlreadyExistsError, ApplianceError, InsideItselfError, InvalidNameError, NotFoundError, OverQuotaError
from appliance.model.ids import INBOX, MailboxId, MailboxName
from appliance.model.mailbox import (
    AnnotationChange,
    AppendResult,
    MailboxInfo,
    MailboxStatus,
    NewMessage,
    QuotaLimits,
    QuotaUse,
    SpecialUse,
)
from appliance.storage.annotations import SPECIAL_USE_ENTRY, Annotations
from appliance.storage.context import AccountContext
from appliance.storage.fileops import resource_errors
from appliance.storage.folder import Pending
from appliance.storage.layout import Layout
from appliance.storage.lists import SpecialUseList, SubscriptionList
from appliance.storage.mailbox import FileMailbox
from appliance.storage.names import check_name, parents
from appliance.storage.quota import Quota
from appliance.storage.status_cache import StatusCache, marks_of

__all__ = ["FileMailStore"]


class FileMailStore:
    """See ``model.ports.MailStore``."""

    def __init__(
        self,
        context: AccountContext,
        layout: Layout,
        root: bytes,
        special_folders: Mapping[SpecialUse, MailboxName],
        limits: Callable[[], QuotaLimits],
        keep: Callable[[FileMailbox], None],
    ) -> None:
        self._context = context
        self._layout = layout
        self._subscriptions = SubscriptionList(context.folders.ops, root, layout)
        self._special_use = SpecialUseList(context.folders.ops, root)
        self._annotations = Annotations(context.folders.ops, root, layout, self._special_use)
        self.room = Quota(context.account, limits, layout, context.folders.monotonic_s)
        self._keep = keep
        self._open: weakref.WeakValueDictionary[MailboxName, FileMailbox] = weakref.WeakValueDictionary()
        self._ids: dict[MailboxId, MailboxName] = {}
        self._statuses = StatusCache(context.now_s)
        with context.lock, resource_errors(f"open account {context.account}"):
            layout.prepare()
            if not self._special_use.exists():
                self._make_special_folders(special_folders)

    def _make_special_folders(self, special_folders: Mapping[SpecialUse, MailboxName]) -> None:
        """First use of the account: its usual folders, subscribed. Later a deleted one stays deleted."""
        uses: dict[MailboxName, tuple[SpecialUse, ...]] = {}
        for use, raw in special_folders.items():
            name = check_name(raw)
            if not self._layout.exists(name):
                self._layout.create(name)
            uses[name] = (*uses.get(name, ()), use)
        self._subscriptions.write(self._subscriptions.read() | {INBOX, *uses})
        self._special_use.write(uses)

    # Names

    def list_mailboxes(self) -> Sequence[MailboxInfo]:
        with self._context.lock, resource_errors("list mailboxes"):
            names = set(self._layout.names())
            subscribed = self._subscriptions.read()
            uses = self._special_use.read()
        above = {parent for name in names for parent in parents(name)} - names
        return [
            MailboxInfo(name, name not in above, name in subscribed, uses.get(name, ()) if name not in above else ())
            for name in sorted(names | above, key=lambda name: (name != INBOX, name))
        ]

    def exists(self, name: MailboxName) -> bool:
        with self._context.lock, resource_errors(f"look for {name}"):
            return self._layout.exists(check_name(name))

    def subscriptions(self) -> frozenset[MailboxName]:
        with self._context.lock, resource_errors("read subscriptions"):
            return self._subscriptions.read()

    def subscribe(self, name: MailboxName, origin: object = None) -> None:
        name = check_name(name)
        self._layout.encode(name)
        with self._context.lock, resource_errors("subscribe"):
            self._subscriptions.write(self._subscriptions.read() | {name})
            self._context.publish_name(NameChange(NameChangeKind.SUBSCRIPTION, name, origin=origin))

    def unsubscribe(self, name: MailboxName, origin: object = None) -> None:
        name = check_name(name)
        with self._context.lock, resource_errors("unsubscribe"):
            self._subscriptions.write(self._subscriptions.read() - {name})
            self._context.publish_name(NameChange(NameChangeKind.SUBSCRIPTION, name, origin=origin))

    def name_places(self) -> NamePlaces:
        with self._context.lock, resource_errors("look for directories"):
            directories = [os.fsdecode(path) for path in self._layout.name_directories()]
        return NamePlaces(directories, (os.fsdecode(self._subscriptions.path),), self._layout.may_be_name)

    def create_mailbox(self, name: MailboxName, special_uses: Sequence[SpecialUse] = (), origin: object = None) -> MailboxId:
        return self._create_anew(check_name(name), special_uses, NameChange(NameChangeKind.NAME, check_name(name), origin=origin))

    def _create_anew(self, name: MailboxName, special_uses: Sequence[SpecialUse], change: NameChange) -> MailboxId:
        with self._context.lock, resource_errors(f"create {name}"):
            if self._layout.exists(name):
                raise AlreadyExistsError(name)
            self._create(name, change)
            if special_uses:
                for other in self._annotations.use(name, special_uses):
                    self._annotations.note(other, [SPECIAL_USE_ENTRY], None)
            return self.find(name).mailbox_id

    def _create(self, name: MailboxName, change: NameChange) -> None:
        """Create it and its missing parents. ``change``: what is told of it."""
        missing = [one for one in [*parents(name), name] if not self._layout.exists(one)]
        self.room.check_mailboxes(len(missing))
        self._layout.prepare()  # another program may have removed the account's whole directory
        for one in missing:
            self._context.index.remove_mailbox(one)
            self._context.texts.remove_mailbox(one)
            self._layout.create(one)
            self._context.publish_name(change if one == name else NameChange(NameChangeKind.NAME, one, origin=change.origin))

    def delete_mailbox(self, name: MailboxName, origin: object = None) -> None:
        name = check_name(name)
        if name == INBOX:
            raise InvalidNameError("INBOX cannot be deleted")
        with self._context.lock, resource_errors(f"open {name}"):
            mailbox = self.find(name)
        mailbox.settle_all()
        with self._context.lock, resource_errors(f"delete {name}"):
            if not self._layout.exists(name):
                raise NotFoundError(name)
            self._layout.delete(name)
            self._gone(name)
            self._context.index.remove_mailbox(name)
            self._context.texts.remove_mailbox(name)
            uses = self._special_use.read()
            if uses.pop(name, None):
                self._special_use.write(uses)
            self.room.forget()
            self._context.publish_name(NameChange(NameChangeKind.NAME, name, origin=origin))
        self._context.publish(name)

    def _gone(self, name: MailboxName) -> None:
        self._statuses.forget(name)
        mailbox = self._open.pop(name, None)
        if mailbox is not None:
            mailbox.mark_gone()

    def rename_mailbox(self, old: MailboxName, new: MailboxName, origin: object = None) -> None:
        old, new = check_name(old), check_name(new)
        if old == INBOX:
            self._rename_inbox(new, origin)
            return
        with self._context.lock, resource_errors(f"rename {old}"):
            names = self._layout.names()
            moved = [name for name in names if name == old or name.startswith(old + "/")]
            if not moved:
                raise NotFoundError(old)
            if new.startswith(old + "/"):
                raise InsideItselfError(f"{new} lies inside {old}")
            targets = {name: MailboxName(new + name[len(old) :]) for name in moved}
            for target in targets.values():
                self._layout.encode(target)
                if self._layout.exists(target):  # a name that only stands above others may be taken
                    raise AlreadyExistsError(target)
            if new == old:
                raise AlreadyExistsError(new)
            missing = [parent for parent in parents(new) if parent not in moved and not self._layout.exists(parent)]
            self.room.check_mailboxes(len(missing))
            for parent in missing:
                self._layout.create(parent)
                self._context.publish_name(NameChange(NameChangeKind.NAME, parent, origin=origin))
            self._rename_all(targets)
            self._context.publish_name(NameChange(NameChangeKind.NAME, new, old, origin))
        for name, target in targets.items():
            self._context.publish(name)
            self._context.publish(target)

    def _rename_all(self, targets: Mapping[MailboxName, MailboxName]) -> None:
        uses = self._special_use.read()
        moved = {target: uses[name] for name, target in targets.items() if name in uses}
        if moved:  # under both names while it lasts, lest a crash part a mailbox from its use
            self._special_use.write(uses | moved)
        for name, target in targets.items():
            self._layout.rename(name, target)
            self._context.index.rename_mailbox(name, target)
            self._context.texts.rename_mailbox(name, target)
            mailbox = self._open.pop(name, None)
            if mailbox is not None:
                mailbox.name = target
                self._layout.relocate(mailbox.folder, target)
                self._open[target] = mailbox
        if moved:
            self._special_use.write({name: held for name, held in (uses | moved).items() if name not in targets})

    def _rename_inbox(self, new: MailboxName, origin: object) -> None:
        """INBOX stays; its messages go (RFC 9051 section 6.3.6)."""
        self._create_anew(new, (), NameChange(NameChangeKind.NAME, new, INBOX, origin))
        inbox = self.open_mailbox(INBOX)
        inbox.move_to(list(inbox.snapshot().uids), new)  # type: ignore[arg-type]
        with self._context.lock, resource_errors(f"annotate {new}"):
            self._annotations.copy(INBOX, check_name(new))

    # Mailboxes

    def find(self, name: MailboxName) -> FileMailbox:
        """Return the mailbox, as of its last refresh. Called with the lock held. Raises NotFoundError.

        INBOX always exists (RFC 9051 section 5.1): where another program has removed it, even the account's whole directory, it is made anew.
        """
        name = check_name(name)
        mailbox = self._open.get(name)
        if mailbox is not None and name == INBOX and not mailbox.folder.is_there():
            self._gone(name)
            mailbox = None
        if mailbox is None:
            if name == INBOX:
                self._layout.prepare()
            if not self._layout.exists(name):
                raise NotFoundError(name)
            mailbox = FileMailbox(self._context, name, self._layout.folder(name), self)
            self._open[name] = mailbox
            self._claim_id(mailbox)
        self._keep(mailbox)
        return mailbox

    def _claim_id(self, mailbox: FileMailbox) -> None:
        """Give a mailbox that somebody made by copying another an id of its own (RFC 8474 section 4)."""
        owner = self._ids.get(mailbox.mailbox_id)
        if owner is not None and owner != mailbox.name and self._layout.exists(owner) and self.find(owner).mailbox_id == mailbox.mailbox_id:
            mailbox.folder.identify(anew=True)
        self._ids[mailbox.mailbox_id] = mailbox.name

    def status(self, name: MailboxName, *, sizes: bool = True) -> MailboxStatus:
        name = check_name(name)
        paths = self._layout.status_paths(name)
        if name not in self._open:
            known = self._statuses.find(name, marks_of(paths), sizes=sizes)
            if known is not None:
                return known
        with self._context.lock, resource_errors(f"open {name}"):
            mailbox = self.find(name)
        before = marks_of(paths)
        status = mailbox.status(sizes=sizes)
        if before == marks_of(paths):
            self._statuses.keep(name, before, status, sizes=sizes)
        return status

    def open_mailbox(self, name: MailboxName) -> FileMailbox:
        with self._context.lock, resource_errors(f"open {name}"):
            mailbox = self.find(name)
            try:
                mailbox.refresh()
            except NotFoundError:  # deleted by another program; a new one may have come in its place
                self._gone(mailbox.name)
                mailbox = self.find(name)
            return mailbox

    def append(self, name: MailboxName, messages: Sequence[NewMessage], replaced_bytes: int = 0) -> AppendResult:
        with self._context.lock, resource_errors(f"open {name}"):
            mailbox = self.find(name)
        return mailbox.append(messages, replaced_bytes)

    def deliver(self, messages: Sequence[tuple[MailboxName, NewMessage]], pending: list[Pending]) -> list[ApplianceError | None]:
        """Write delivered messages; one result each. ``pending`` takes the files to flush."""
        results: list[ApplianceError | None] = [None] * len(messages)
        groups: dict[MailboxName, list[int]] = {}
        for number, (name, _) in enumerate(messages):
            groups.setdefault(name, []).append(number)
        for name, numbers in groups.items():
            try:
                with self._context.lock, resource_errors(f"deliver to {name}"):
                    mailbox = self._find_or_create(name)
                    self._deliver_group(mailbox, [(number, messages[number][1]) for number in numbers], results, pending)
            except ApplianceError as error:
                for number in numbers:
                    results[number] = error
                continue
            self._context.publish(mailbox.name)
        return results

    def _find_or_create(self, name: MailboxName) -> FileMailbox:
        try:
            mailbox = self.find(name)
            mailbox.check_there()
        except NotFoundError:
            name = check_name(name)
            self._gone(name)
            if not self._layout.exists(name):
                self._create(name, NameChange(NameChangeKind.NAME, name))
            mailbox = self.find(name)
        return mailbox

    def _deliver_group(
        self,
        mailbox: FileMailbox,
        numbered: Sequence[tuple[int, NewMessage]],
        results: list[ApplianceError | None],
        pending: list[Pending],
    ) -> None:
        fitting: list[tuple[int, NewMessage]] = []
        size = 0
        for number, message in numbered:
            try:
                self.room.check_room(size + message.content.size, len(fitting) + 1)
            except OverQuotaError as error:
                results[number] = error
                continue
            size += message.content.size
            fitting.append((number, message))
        for (number, _), result in zip(fitting, mailbox.deliver([message for _, message in fitting], pending), strict=True):
            results[number] = result

    def watch_paths(self, name: MailboxName) -> list[Path]:
        """Return the directories and files that change when a mailbox does, for the change feed. In memory."""
        return [Path(os.fsdecode(path)) for path in self._layout.watch_paths(check_name(name))]

    # Finding

    def fingerprint(self, name: MailboxName) -> object:
        """Return a value that changes when the mailbox's files do. Blocks: disk."""
        marks = []
        for path in self.watch_paths(name):
            with contextlib.suppress(OSError):
                status = path.stat()
                marks.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return marks

    def sweep_texts(self) -> None:
        """Forget what finding knows of mailboxes that are gone."""
        names = {info.name for info in self.list_mailboxes()}
        for name in self._context.texts.mailbox_names():
            if name not in names:
                self._context.texts.remove_mailbox(name)

    # Quota and annotations

    def quota(self) -> Sequence[QuotaUse]:
        with self._context.lock, resource_errors("count what is used"):
            return self.room.uses()

    def annotations(self, name: MailboxName | None) -> Mapping[str, bytes]:
        with self._context.lock, resource_errors("read annotations"):
            found = self._annotations.read(None if name is None else self._existing(name))
            words = " ".join("\\" + use.value for use in self._special_use.read().get(check_name(name), ())) if name else ""
        return found | {SPECIAL_USE_ENTRY: words.encode("ascii")} if words else found

    def annotate(
        self,
        name: MailboxName | None,
        changes: Mapping[str, bytes | None],
        max_entries: int,
        special_uses: Sequence[SpecialUse] | None = None,
        origin: object = None,
    ) -> None:
        touched: dict[MailboxName | None, list[str]] = {}
        with self._context.lock, resource_errors("annotate"):
            name = None if name is None else self._existing(name)
            self._annotations.change(name, changes, max_entries)
            if changes:
                touched[name] = list(changes)
            if special_uses is not None and name is not None:
                for other in self._annotations.use(name, special_uses):
                    touched.setdefault(other, []).append(SPECIAL_USE_ENTRY)
            for one, entries in touched.items():
                self._annotations.note(one, entries, origin if one == name else None)
        for one in touched:
            self._context.publish(one or INBOX)

    def annotation_news(self, since: int) -> tuple[int, Sequence[AnnotationChange]]:
        return self._annotations.news(since)

    def _existing(self, name: MailboxName) -> MailboxName:
        name = check_name(name)
        if not self._layout.exists(name):
            raise NotFoundError(name)
        return name

    def close(self) -> None:
        """Write down what waits, and close the index."""
        with self._context.lock:
            for mailbox in list(self._open.values()):
                mailbox.save(whole=True)
            self._context.index.close()
            self._context.texts.close()
