"""Which mailboxes an account has as mbox files: ``<user>.mbox`` and ``folders/<name>.mbox``."""

import os
from collections.abc import Iterator

from appliance.model.errors import InvalidNameError, NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.storage.folder import Folder, FolderContext
from appliance.storage.mbox import MboxFolder
from appliance.storage.names import from_mbox_path, mbox_path

__all__ = ["MboxLayout"]

SIDE_FILES = (b".lock", b".rewrite", b".rewrite.tmp", b".reading")


class MboxLayout:
    """See ``Layout``. A mailbox and the directory of its children stand side by side: ``Lists.mbox``, ``Lists/``."""

    def __init__(self, context: FolderContext, root: bytes, account: AccountName) -> None:
        self._context = context
        self._ops = context.ops
        self._root = root
        self._inbox = root + b"/" + os.fsencode(account) + b".mbox"

    def _path(self, name: MailboxName) -> bytes:
        return self._inbox if name == INBOX else self._root + b"/folders/" + mbox_path(name)

    def prepare(self) -> None:
        self._ops.make_directory(self._root)
        self._ops.make_directory(self._root + b"/folders")
        if not self._ops.exists(self._inbox):
            self._ops.close(self._ops.open_update(self._inbox, create=True))
            self._ops.flush_path(self._root)
            self._ops.flush_path(self._root.rpartition(b"/")[0])

    def names(self) -> list[MailboxName]:
        return [INBOX, *self._walk(b"")]

    def _walk(self, below: bytes) -> Iterator[MailboxName]:
        for entry in self._ops.list_directory(self._root + b"/folders/" + below):
            path = below + entry
            name = from_mbox_path(path)
            if name is not None:
                yield name
            elif not entry.startswith(b".") and self._ops.is_directory(self._root + b"/folders/" + path):
                yield from self._walk(path + b"/")

    def exists(self, name: MailboxName) -> bool:
        return name == INBOX or self._ops.exists(self._path(name))

    def create(self, name: MailboxName) -> None:
        path = self._path(name)
        self._make_directories(path)
        self._ops.close(self._ops.create(path))
        self._ops.flush_path(path.rpartition(b"/")[0])

    def _make_directories(self, path: bytes) -> None:
        above = self._root + b"/folders"
        for level in path[len(above) + 1 :].split(b"/")[:-1]:
            parent, above = above, above + b"/" + level
            if not self._ops.is_directory(above):
                self._ops.make_directory(above)
                self._ops.flush_path(parent)

    def delete(self, name: MailboxName) -> None:
        path = self._path(name)
        self._ops.unlink(path)
        self._ops.flush_path(path.rpartition(b"/")[0])
        for suffix in SIDE_FILES:
            if self._ops.exists(path + suffix):
                self._ops.unlink(path + suffix)
        self._tidy(path)

    def _tidy(self, path: bytes) -> None:
        """Remove directories that hold nothing any more."""
        directory = path.rpartition(b"/")[0]
        while directory != self._root + b"/folders":
            try:
                self._ops.remove_directory(directory)
            except OSError:  # not empty
                return
            directory = directory.rpartition(b"/")[0]

    def rename(self, old: MailboxName, new: MailboxName) -> None:
        source, target = self._path(old), self._path(new)
        if not self._ops.exists(source):
            raise NotFoundError(old)
        self._make_directories(target)
        if self._ops.exists(source + b".rewrite"):
            self._ops.rename(source + b".rewrite", target + b".rewrite")
        self._ops.rename(source, target)
        self._ops.flush_path(target.rpartition(b"/")[0])
        self._ops.flush_path(source.rpartition(b"/")[0])
        self._tidy(source)

    def folder(self, name: MailboxName) -> Folder:
        return MboxFolder(self._context, self._path(name), is_inbox=name == INBOX)

    def relocate(self, folder: Folder, name: MailboxName) -> None:
        assert isinstance(folder, MboxFolder)
        folder.relocate(self._path(name))

    def used_bytes(self) -> int:
        return sum(self._ops.status(self._path(name)).st_size for name in self.names() if self._ops.exists(self._path(name)))

    def watch_paths(self, name: MailboxName) -> list[bytes]:
        return [self._path(name)]

    def encode(self, name: MailboxName) -> bytes:
        return b"INBOX" if name == INBOX else mbox_path(name).removesuffix(b".mbox")

    def decode(self, raw: bytes) -> str:
        if raw == b"INBOX":
            return INBOX
        name = from_mbox_path(raw + b".mbox")
        if name is None:
            raise InvalidNameError(repr(raw))
        return name
