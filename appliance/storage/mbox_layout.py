"""Which mailboxes an account has as mbox files: ``<user>.mbox`` and ``folders/<name>.mbox``."""

import os
from collections.abc import Iterator, Sequence

from appliance.model.errors import InvalidNameError, NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.storage.attributes import AttributeFile
from appliance.storage.folder import Folder, FolderContext
from appliance.storage.mbox import MboxFolder
from appliance.storage.mbox_scan import scan
from appliance.storage.mbox_state import ATTRIBUTES_SUFFIX
from appliance.storage.names import from_mbox_path, mbox_path

__all__ = ["MboxLayout"]

STATE_SUFFIXES = (b".rewrite", ATTRIBUTES_SUFFIX)
"""Files beside an mbox that tell of it and must not be found by another one under its name."""
PASSING_SUFFIXES = (b".lock", b".rewrite.tmp", b".reading")
MAX_DIRECTORIES = 500
"""Directories that are watched for an account; names in further ones are noticed when something else happens."""


class MboxLayout:
    """See ``Layout``. A mailbox and the directory of its children stand side by side: ``Lists.mbox``, ``Lists/``."""

    def __init__(self, context: FolderContext, root: bytes, account: AccountName) -> None:
        self._context = context
        self._ops = context.ops
        self._root = root
        self._inbox = root + b"/" + os.fsencode(account) + b".mbox"
        self._counts: dict[bytes, tuple[tuple[int, int, int], int]] = {}

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
        self._remove(path, STATE_SUFFIXES)  # of a mailbox that another program removed
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
        self._remove(path, (*STATE_SUFFIXES, *PASSING_SUFFIXES))
        self._tidy(path)

    def _remove(self, path: bytes, suffixes: Sequence[bytes]) -> None:
        for suffix in suffixes:
            if self._ops.exists(path + suffix):
                self._ops.unlink(path + suffix)

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
        self._remove(target, STATE_SUFFIXES)
        if self._ops.exists(source + b".rewrite"):
            self._ops.rename(source + b".rewrite", target + b".rewrite")
        if self._ops.exists(source + ATTRIBUTES_SUFFIX):  # copied first: whichever name a crash leaves has them
            self._ops.replace_file(target + ATTRIBUTES_SUFFIX, self._ops.read_file(source + ATTRIBUTES_SUFFIX))
        self._ops.rename(source, target)
        self._ops.flush_path(target.rpartition(b"/")[0])
        self._ops.flush_path(source.rpartition(b"/")[0])
        self._remove(source, (ATTRIBUTES_SUFFIX,))
        self._tidy(source)

    def folder(self, name: MailboxName) -> Folder:
        return MboxFolder(self._context, self._path(name), is_inbox=name == INBOX)

    def relocate(self, folder: Folder, name: MailboxName) -> None:
        assert isinstance(folder, MboxFolder)
        folder.relocate(self._path(name))

    def count_mailboxes(self) -> int:
        return len(self.names())

    def usage(self, *, messages: bool) -> tuple[int, int]:
        used = count = 0
        known, self._counts = self._counts, {}
        for path in map(self._path, self.names()):
            try:
                status = self._ops.status(path)
            except FileNotFoundError:
                continue
            used += status.st_size
            if messages:
                mark = (status.st_ino, status.st_size, status.st_mtime_ns)
                had = known.get(path)
                self._counts[path] = had if had is not None and had[0] == mark else (mark, self._count(path, status.st_size))
                count += self._counts[path][1]
        return used, count

    def _count(self, path: bytes, size: int) -> int:
        fd = self._ops.open_read(path)
        try:
            return len(scan(fd, 0, size))
        finally:
            self._ops.close(fd)

    def attributes(self, name: MailboxName) -> AttributeFile:
        return AttributeFile(self._ops, self._path(name) + ATTRIBUTES_SUFFIX)

    def watch_paths(self, name: MailboxName) -> list[bytes]:
        return [self._path(name)]

    def status_paths(self, name: MailboxName) -> list[bytes]:
        path = self._path(name)
        return [path, path + b".rewrite"]

    def name_directories(self) -> list[bytes]:
        found = [self._root + b"/folders"]
        for directory in found:  # grows meanwhile
            for entry in self._ops.list_directory(directory):
                path = directory + b"/" + entry
                may_be = self.may_be_name(entry) and not entry.endswith(b".mbox")
                if may_be and len(found) < MAX_DIRECTORIES and self._ops.is_directory(path):
                    found.append(path)
        return found

    def may_be_name(self, entry: bytes) -> bool:
        return not entry.startswith(b".") and not entry.endswith((*STATE_SUFFIXES, *PASSING_SUFFIXES, b".tmp"))

    def encode(self, name: MailboxName) -> bytes:
        return b"INBOX" if name == INBOX else mbox_path(name).removesuffix(b".mbox")

    def decode(self, raw: bytes) -> str:
        if raw == b"INBOX":
            return INBOX
        name = from_mbox_path(raw + b".mbox")
        if name is None:
            raise InvalidNameError(repr(raw))
        return name
