"""Which mailboxes an account has on disk: what a format must offer, and the Maildir++ answer."""

from typing import Protocol

from appliance.model.errors import InvalidNameError
from appliance.model.ids import INBOX, MailboxName
from appliance.storage.attributes import AttributeFile
from appliance.storage.folder import Folder, FolderContext
from appliance.storage.maildir import MaildirFolder
from appliance.storage.maildir_names import file_size_of
from appliance.storage.maildir_scan import make_maildir
from appliance.storage.names import from_maildir, maildir_directory

__all__ = ["Layout", "MaildirLayout"]

DELETED = b"..deleted-"
"""Begins the name under which a folder waits for its removal; no reader of Maildir++ takes it for one."""


class Layout(Protocol):
    """All mailboxes of an account in one format. Called with the account's lock held; raises ``OSError``."""

    def prepare(self) -> None:
        """Make sure that INBOX is there. Durable at return."""

    def names(self) -> list[MailboxName]: ...

    def exists(self, name: MailboxName) -> bool: ...

    def create(self, name: MailboxName) -> None:
        """Create one mailbox, not its parents. Durable at return."""

    def delete(self, name: MailboxName) -> None: ...

    def rename(self, old: MailboxName, new: MailboxName) -> None:
        """Rename one mailbox, not its children. Durable at return."""

    def folder(self, name: MailboxName) -> Folder: ...

    def relocate(self, folder: Folder, name: MailboxName) -> None:
        """Point an open folder to its new place."""

    def usage(self, *, messages: bool) -> tuple[int, int]:
        """Return the size of all mail on disk and, where asked for, the number of messages."""

    def count_mailboxes(self) -> int: ...

    def attributes(self, name: MailboxName) -> AttributeFile:
        """Return what is noted about a mailbox beside its mail; it goes where the mailbox goes."""

    def watch_paths(self, name: MailboxName) -> list[bytes]:
        """Return the directories and files that change when the mailbox does."""

    def status_paths(self, name: MailboxName) -> list[bytes]:
        """Return the directories and files of which one changes when anything does that STATUS tells."""

    def name_directories(self) -> list[bytes]:
        """Return the directories whose entries are mailboxes."""

    def may_be_name(self, entry: bytes) -> bool:
        """Tell whether an entry of those may be a mailbox. In memory."""

    def encode(self, name: MailboxName) -> bytes:
        """Return the name as it stands in the subscriptions file."""

    def decode(self, raw: bytes) -> str:
        """Return the name that a line of the subscriptions file means. Raises ValueError."""


class MaildirLayout:
    """Maildir++: INBOX is the root, ``.A.B`` beside its cur/ is mailbox A/B."""

    def __init__(self, context: FolderContext, root: bytes) -> None:
        self._context = context
        self._ops = context.ops
        self._root = root

    def _path(self, name: MailboxName) -> bytes:
        directory = maildir_directory(name)
        return self._root + b"/" + directory if directory else self._root

    def prepare(self) -> None:
        if not self._ops.is_directory(self._root + b"/cur"):
            make_maildir(self._ops, self._root, is_root=True)
            self._ops.flush_path(self._root)
            self._ops.flush_path(self._root.rpartition(b"/")[0])
        for name in (b"/new", b"/tmp"):
            self._ops.make_directory(self._root + name)
        for entry in self._ops.list_directory(self._root):
            if entry.startswith(DELETED):  # a crash came between
                self._ops.remove_tree(self._root + b"/" + entry)

    def names(self) -> list[MailboxName]:
        found = [INBOX]
        for directory in self._ops.list_directory(self._root):
            if directory.startswith(b".") and self._ops.is_directory(self._root + b"/" + directory + b"/cur"):
                name = from_maildir(directory)
                if name is not None:
                    found.append(name)
        return found

    def exists(self, name: MailboxName) -> bool:
        return name == INBOX or self._ops.is_directory(self._path(name) + b"/cur")

    def create(self, name: MailboxName) -> None:
        path = self._path(name)
        make_maildir(self._ops, path, is_root=False)
        self._ops.flush_path(path)
        self._ops.flush_path(self._root)

    def delete(self, name: MailboxName) -> None:
        aside = self._root + b"/" + DELETED + maildir_directory(name)[1:]
        if self._ops.is_directory(aside):
            self._ops.remove_tree(aside)
        self._ops.rename(self._path(name), aside)
        self._ops.flush_path(self._root)
        self._ops.remove_tree(aside)

    def rename(self, old: MailboxName, new: MailboxName) -> None:
        self._ops.rename(self._path(old), self._path(new))
        self._ops.flush_path(self._root)

    def folder(self, name: MailboxName) -> Folder:
        path = self._path(name)
        for part in (b"/new", b"/tmp"):  # lost by a careless copy; cur/ makes it a mailbox
            if self._ops.is_directory(path + b"/cur"):
                self._ops.make_directory(path + part)
        return MaildirFolder(self._context, path)

    def relocate(self, folder: Folder, name: MailboxName) -> None:
        assert isinstance(folder, MaildirFolder)
        folder.relocate(self._path(name))

    def count_mailboxes(self) -> int:
        return len(self.names())

    def usage(self, *, messages: bool) -> tuple[int, int]:
        used = count = 0
        for name in self.names():
            for part in (b"/new", b"/cur"):
                path = self._path(name) + part
                for file_name in self._ops.list_directory(path):
                    if file_name.startswith(b"."):
                        continue
                    count += 1
                    size = file_size_of(file_name)
                    used += size if size >= 0 else self._ops.status(path + b"/" + file_name).st_size
        return used, count

    def attributes(self, name: MailboxName) -> AttributeFile:
        return AttributeFile(self._ops, self._path(name) + b"/carteiro-metadata")

    def watch_paths(self, name: MailboxName) -> list[bytes]:
        path = self._path(name)
        return [path + b"/new", path + b"/cur"]

    def status_paths(self, name: MailboxName) -> list[bytes]:
        return [*self.watch_paths(name), self._path(name) + b"/dovecot-uidlist"]

    def name_directories(self) -> list[bytes]:
        return [self._root]

    def may_be_name(self, entry: bytes) -> bool:
        return entry.startswith(b".") and not entry.startswith(b"..")

    def encode(self, name: MailboxName) -> bytes:
        return maildir_directory(name)[1:] or b"INBOX"

    def decode(self, raw: bytes) -> str:
        if raw == b"INBOX":
            return INBOX
        name = from_maildir(b"." + raw)
        if name is None:
            raise InvalidNameError(repr(raw))
        return name
