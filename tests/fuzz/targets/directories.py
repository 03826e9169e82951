"""What other programs may leave in the mail directory, put into a real one in memory.

Of most inputs the layout and its folders are read, added to, rescanned and read
anew; that takes a twentieth of the time that the whole store takes, with its
indexes. Of some inputs the store is opened, used as sessions use it, and opened again.
"""

import contextlib
import functools
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from appliance.model.changes import NameChange
from appliance.model.content import MemoryContent
from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName, MailboxName, Uid
from appliance.model.mailbox import NewMessage
from appliance.model.ports import Subscription
from appliance.storage.annotations import Annotations
from appliance.storage.fileops import FileOps
from appliance.storage.folder import Folder, FolderContext, Known
from appliance.storage.layout import Layout, MaildirLayout
from appliance.storage.lists import SpecialUseList, SubscriptionList
from appliance.storage.mbox_layout import MboxLayout
from appliance.storage.stores import FileMailStores
from appliance.storage.uidlist import MAX_UID
from appliance.storage.watch import DirectoryWatch, DirectoryWatches
from tests.fuzz.engine import Target
from tests.fuzz.targets.storage import MBOX, MBOX_WORDS, NAME, NAME_WORDS, UIDLIST, UIDLIST_WORDS

__all__ = ["TARGETS"]

_ANA = AccountName("ana")
_SHARED_MEMORY = Path("/dev/shm")
_STORE_SHARE = 1 / 40
_AT_S = 1_700_000_000.0
_MESSAGE = NewMessage(MemoryContent(b"From: a@b\r\nSubject: new\r\n\r\nFrom x\r\n"), _AT_S, 0, ("key",), None, "a@b")

T = TypeVar("T")


class _Deaf:
    def publish(self, account: AccountName, mailbox: MailboxName) -> None: ...

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...

    def subscribe(self, account: AccountName, mailbox: MailboxName) -> AbstractContextManager[Subscription]:
        raise NotImplementedError


class _Blind(DirectoryWatches):
    """A kernel that cannot watch: to close what watches takes it longer than all else does."""

    def watch(self, path: bytes) -> DirectoryWatch | None:
        return None


class _Trier:
    """Does one thing after the other. Only the documented errors may escape from a call; they are noted."""

    def __init__(self, *errors: type[Exception]) -> None:
        self._errors = errors
        self.noted: list[str] = []

    def __call__(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except self._errors as error:
            self.noted.append(type(error).__name__)
            return None


def _use_store(stores: FileMailStores) -> object:
    """Do with an account what sessions do."""
    tried = _Trier(ApplianceError)
    store = tried(lambda: stores.account(_ANA))
    if store is None:
        return tuple(tried.noted)
    names = [info.name for info in tried(store.list_mailboxes) or ()]
    tried(store.subscriptions)
    for name in names[:3]:
        mailbox = tried(functools.partial(store.open_mailbox, name))
        if mailbox is None:
            continue
        before = mailbox.snapshot()
        assert list(before.uids) == sorted(set(before.uids))
        for uid in before.uids[:3]:
            stream = tried(functools.partial(mailbox.open_message, Uid(uid)))
            if stream is not None:
                stream.read()
                stream.close()
        tried(functools.partial(mailbox.summaries, [Uid(uid) for uid in before.uids[:3]]))
        tried(functools.partial(store.append, name, [_MESSAGE]))
        tried(mailbox.refresh)
        after = mailbox.snapshot()
        if not tried.noted:
            assert len(after.uids) == len(before.uids) + 1, (list(before.uids), list(after.uids))
        tried(functools.partial(store.status, name))
    return tuple(tried.noted), len(names)


def _check_store(data_dir: Path, *, is_mbox: bool) -> object:
    found = []
    for _ in range(2):
        stores = FileMailStores(data_dir, _Deaf(), formats="mbox" if is_mbox else "maildir", lock_wait_s=0.1)
        try:
            found.append(_use_store(stores))
        finally:
            stores.close()
    return found[0]


def _use_folder(folder: Folder, again: Folder) -> object:
    """Read it, add to it, and read it as another process would: the same must be there."""
    folder.load(Known())
    uids = list(folder.table.uids)
    assert uids == sorted(set(uids))
    assert not uids or 0 < uids[-1] <= MAX_UID
    assert not uids or uids[-1] < folder.next_uid
    assert len(uids) == len(folder.table.flags) == len(folder.table.sizes)
    for position in range(min(3, len(uids))):
        with folder.open(position) as stream:
            content = stream.read()
        assert content.count(b"\n") == content.count(b"\r\n")
        folder.dates(position)
        folder.queue_id(position)
    added = folder.add([(_MESSAGE, 1)], durable=False, pending=[])
    folder.write_uids()
    assert not folder.rescan()
    assert list(folder.table.uids) == [*uids, added[0].uid]
    folder.identify()
    again.load(Known(folder.uid_validity, folder.next_uid, {hash_: uid for uid, hash_ in folder.header_hashes.items()}))
    was, now = ((one.uid_validity, list(one.table.uids)) for one in (folder, again))
    assert was == now, f"{was} {now}"
    assert list(again.table.flags) == list(folder.table.flags)
    return min(len(uids), 4), len(folder.keywords.names)


def _check_folders(data_dir: Path, *, is_mbox: bool) -> object:
    root = os.fsencode(data_dir / "mail" / "ana")
    ops = FileOps()
    context = FolderContext(ops, "host", lambda: _AT_S, lambda: 5.0, lambda: 1_700_000_001, 0.1, _Blind())
    layout: Layout = MboxLayout(context, root, _ANA) if is_mbox else MaildirLayout(context, root)
    tried = _Trier(ApplianceError, OSError)
    layout.prepare()
    SubscriptionList(ops, root, layout).read()
    uses = SpecialUseList(ops, root)
    uses.read()
    annotations = Annotations(ops, root, layout, uses)
    found: list[object] = []
    names = layout.names()
    for name in names[:2]:
        tried(functools.partial(annotations.read, name))
        found.append(tried(functools.partial(_use_folder, layout.folder(name), layout.folder(name))))
    return tuple(tried.noted), len(names), tuple(found)


def _in_directory(rnd: random.Random, *, is_mbox: bool, fill: Callable[[Path], None]) -> object:
    data_dir = Path(tempfile.mkdtemp(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None, prefix="carteiro-fuzz"))
    try:
        fill(data_dir / "mail" / "ana")
        if rnd.random() < _STORE_SHARE:
            return _check_store(data_dir, is_mbox=is_mbox)
        return _check_folders(data_dir, is_mbox=is_mbox)
    finally:
        shutil.rmtree(data_dir)


def _file_name(raw: bytes) -> bytes:
    return raw.replace(b"/", b"").replace(b"\0", b"")[:250]


def _check_maildir(data: bytes, rnd: random.Random) -> object:
    """uidlist, keywords, subscriptions, special-use, file names and folder names, separated by ``NUL LF``."""
    pieces = [*data.split(b"\0\n"), b"", b"", b"", b"", b"", b""]

    def fill(root: Path) -> None:
        for part in ("cur", "new", "tmp"):
            (root / part).mkdir(parents=True)
        for file, content in zip(("dovecot-uidlist", "dovecot-keywords", "subscriptions", "special-use"), pieces, strict=False):
            if content:
                (root / file).write_bytes(content)
        for raw in pieces[4].split(b"\n")[:6]:
            if (name := _file_name(raw)) not in {b"", b".", b".."}:
                (root / rnd.choice(("cur", "new")) / os.fsdecode(name)).write_bytes(b"Subject: x\n\nbody\n")
        for raw in pieces[5].split(b"\n")[:4]:
            if (name := _file_name(raw)) not in {b"", b".", b"..", b"cur", b"new", b"tmp"}:
                with contextlib.suppress(FileExistsError):
                    (root / os.fsdecode(name) / "cur").mkdir(parents=True)

    return _in_directory(rnd, is_mbox=False, fill=fill)


def _check_mbox(data: bytes, rnd: random.Random) -> object:
    """The INBOX file, then names of files under folders/, separated by ``NUL NUL LF``."""
    inbox, _, names = data.partition(b"\0\0\n")

    def fill(root: Path) -> None:
        (root / "folders").mkdir(parents=True)
        (root / "ana.mbox").write_bytes(inbox)
        for raw in names.split(b"\n")[:4]:
            if (name := _file_name(raw)) not in {b"", b".", b".."}:
                (root / "folders" / os.fsdecode(name)).write_bytes(b"From x Mon Jan  2 15:04:05 2006\nSubject: y\n\nz\n\n")

    return _in_directory(rnd, is_mbox=True, fill=fill)


TARGETS = [
    Target("maildir", _check_maildir, [b"\0\n".join([UIDLIST, b"0 key\n", b"V\t2\n\nLists\tpython\n", b"\\Sent\tSent\n", NAME + b"\nb\nc:2,S", b".Sent\n.Lists.python"]), b"\0\n" * 5], [*UIDLIST_WORDS, *NAME_WORDS, b"\0\n", b"\\Sent\t", b"V\t2\n"], [], 8_192),
    Target("mbox", _check_mbox, [MBOX + b"\0\0\nSent.mbox\nx.mbox.lock\n", b"", b"Subject: no From_ line\n\nx\n", MBOX + b"\0" * 50], [*MBOX_WORDS, *NAME_WORDS, b"\0\0\n"], [], 8_192),
]  # fmt: skip
