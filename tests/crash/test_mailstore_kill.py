"""kill -9 in the middle of what changes mailboxes, and indexes that were damaged: mail is right, UIDs stay, nobody repairs by hand."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from appliance.model.changes import NameChange
from appliance.model.content import MemoryContent
from appliance.model.errors import ApplianceError
from appliance.model.ids import INBOX, AccountName, MailboxName, ModSeq, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage
from appliance.storage.mailbox import FileMailbox
from appliance.storage.store import FileMailStore
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
LISTS = MailboxName("Lists")
MailFormat = Literal["maildir", "mbox"]
COUNT = 40
Known = dict[int, tuple[bytes, int]]
"""Uid to text and flags."""

pytestmark = pytest.mark.slow


class _Feed:
    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        """Nobody listens."""

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...

    def subscribe(self, account: AccountName, mailbox: MailboxName) -> "object":
        raise NotImplementedError


def _open(directory: Path, mail_format: MailFormat) -> FileMailStores:
    return FileMailStores(directory, _Feed(), formats=mail_format, lock_wait_s=2.0)  # type: ignore[arg-type]


def _message(text: str) -> NewMessage:
    data = f"From: ana@example.com\r\nSubject: {text}\r\nMessage-ID: <{text}@example.com>\r\n\r\nbody of {text}\r\n".encode()
    return NewMessage(MemoryContent(data), 1_700_000_000.0)


def _read(mailbox: FileMailbox) -> Known:
    mailbox.refresh()
    found = {}
    for uid, flags in zip(mailbox.snapshot().uids, mailbox.snapshot().flags, strict=True):
        with mailbox.open_message(Uid(uid)) as stream:
            found[uid] = (stream.read(), flags)
    return found


def _fill(directory: Path, mail_format: MailFormat) -> tuple[Known, ModSeq]:
    stores = _open(directory, mail_format)
    store = stores.account(ANA)
    store.create_mailbox(LISTS)
    store.append(INBOX, [_message(str(number)) for number in range(COUNT)])
    inbox = store.open_mailbox(INBOX)
    inbox.summaries([Uid(uid) for uid in inbox.snapshot().uids])
    inbox.store_flags([Uid(3)], FlagAction.ADD, int(Flag.FLAGGED))
    known = _read(inbox)
    modseq = inbox.snapshot().highest_modseq
    stores.close()
    return known, modseq


# What the process that is killed does, over and over


def _copy(store: FileMailStore, rnd: random.Random) -> None:
    store.open_mailbox(INBOX).copy_to([Uid(uid) for uid in rnd.sample(range(1, COUNT + 1), 10)], LISTS)


def _move(store: FileMailStore, rnd: random.Random) -> None:
    for source, target in ((INBOX, LISTS), (LISTS, INBOX)):
        mailbox = store.open_mailbox(source)
        uids = list(mailbox.snapshot().uids)
        mailbox.move_to([Uid(uid) for uid in rnd.sample(uids, min(10, len(uids)))], target)


def _expunge(store: FileMailStore, rnd: random.Random) -> None:
    uids = list(store.open_mailbox(INBOX).snapshot().uids)
    store.open_mailbox(INBOX).expunge([Uid(uid) for uid in rnd.sample(uids, min(3, len(uids)))])


def _append(store: FileMailStore, rnd: random.Random) -> None:
    store.append(LISTS, [_message(f"new {rnd.random()}") for _ in range(3)])


def _rename(store: FileMailStore, rnd: random.Random) -> None:
    names = {info.name for info in store.list_mailboxes()}
    old, new = (LISTS, MailboxName("Moved/Here")) if LISTS in names else (MailboxName("Moved/Here"), LISTS)
    store.append(old, [_message("in a renamed mailbox")])
    store.rename_mailbox(old, new)


def _flags(store: FileMailStore, rnd: random.Random) -> None:
    inbox = store.open_mailbox(INBOX)
    inbox.store_flags([Uid(rnd.randint(1, COUNT))], rnd.choice((FlagAction.ADD, FlagAction.REMOVE)), int(Flag.SEEN))


def _index(store: FileMailStore, rnd: random.Random) -> None:
    """Have rows written all the time: summaries of new messages, and of flags that come back to what the row says."""
    _append(store, rnd)
    lists = store.open_mailbox(LISTS)
    lists.refresh()
    lists.summaries([Uid(uid) for uid in lists.snapshot().uids])
    for action in (FlagAction.ADD, FlagAction.REMOVE):
        store.open_mailbox(INBOX).store_flags([Uid(rnd.randint(1, COUNT))], action, int(Flag.DRAFT))


WORK: dict[str, Callable[[FileMailStore, random.Random], None]] = {
    "copy": _copy, "move": _move, "expunge": _expunge, "append": _append, "rename": _rename, "flags": _flags, "index": _index,
}  # fmt: skip


def _live_and_die(directory: Path, mail_format: MailFormat, work: str, seed: int, after_s: float) -> None:
    """Work in a child process, and kill it after a while."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            rnd = random.Random(seed)
            store = _open(directory, mail_format).account(ANA)
            while True:
                WORK[work](store, rnd)
        finally:
            os._exit(1)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    assert signal.SIGKILL == os.WTERMSIG(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("work", sorted(WORK))
@pytest.mark.parametrize("mail_format", ["maildir", "mbox"])
def test_kill_9(tmp_path: Path, mail_format: MailFormat, work: str) -> None:
    """Whatever was under way: messages are whole, a UID never names another message, what went is told, modseqs do not go back."""
    known, modseq = _fill(tmp_path, mail_format)
    for kill in range(4):
        _live_and_die(tmp_path, mail_format, work, kill, after_s=0.02 + 0.05 * kill)
        stores = _open(tmp_path, mail_format)
        store = stores.account(ANA)
        inbox = store.open_mailbox(INBOX)
        found = _read(inbox)
        assert {uid: text for uid, (text, _) in found.items() if uid in known} == {
            uid: text for uid, (text, _) in known.items() if uid in found
        }
        gone = {uid for first, last in inbox.vanished_since(modseq) for uid in range(first, last + 1)}
        assert set(known) - set(found) <= gone
        assert not gone & set(found)
        assert modseq <= inbox.snapshot().highest_modseq
        if work in {"copy", "append", "rename", "flags", "index"}:
            assert set(known) == set(found)
        changed = {uid for uid, (_, flags) in found.items() if uid in known and flags != known[uid][1]}
        modseqs = dict(zip(inbox.snapshot().uids, inbox.snapshot().modseqs, strict=True))
        assert all(modseqs[uid] > modseq for uid in changed)
        _check_others(store, {text for text, _ in known.values()}, work)
        known, modseq = found, inbox.snapshot().highest_modseq
        stores.close()


def _check_others(store: FileMailStore, texts: set[bytes], work: str) -> None:
    """Everywhere else messages are whole, too; what was moved is in one of the two or in both."""
    names = [info.name for info in store.list_mailboxes() if info.selectable and info.name != INBOX]
    others = [text for name in names for text, _ in _read(store.open_mailbox(name)).values()]
    assert all(text.endswith(b"\r\n") and b"\r\n\r\nbody of " in text for text in others)
    if work == "move":
        everywhere = {*others, *(text for text, _ in _read(store.open_mailbox(INBOX)).values())}
        assert texts <= everywhere
        assert COUNT == len(everywhere)
    if work == "rename":
        assert 1 == len([name for name in names if name in {LISTS, MailboxName("Moved/Here")}])


# Damage to the index


def _delete(path: Path) -> None:
    for one in path.parent.iterdir():
        one.unlink()


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    rnd = random.Random(4)
    for _ in range(200):
        data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
    path.write_bytes(data)


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1_000)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("damage", [_delete, _truncate, _empty, _flip, _garbage])
@pytest.mark.parametrize("mail_format", ["maildir", "mbox"])
def test_a_damaged_index(tmp_path: Path, mail_format: MailFormat, damage: Callable[[Path], None], running: bool) -> None:
    """UIDs, flags, texts and summaries are as they were; every expunge is told; work goes on."""
    known, modseq = _fill(tmp_path, mail_format)
    stores = _open(tmp_path, mail_format)
    inbox = stores.account(ANA).open_mailbox(INBOX)
    inbox.expunge([Uid(5), Uid(9)])
    sizes = {summary.uid: (summary.size_bytes, summary.envelope) for summary in inbox.summaries([Uid(uid) for uid in known])}
    validity, seen = inbox.snapshot().uid_validity, inbox.snapshot().highest_modseq
    if not running:
        stores.close()
    damage(tmp_path / "index" / "ana.db")
    if not running:
        stores = _open(tmp_path, mail_format)
        inbox = stores.account(ANA).open_mailbox(INBOX)
    for step in range(3):
        found = _read(inbox)
        assert {uid: value for uid, value in known.items() if uid not in {5, 9}} == {uid: found[uid] for uid in known if uid in found}
        assert sizes == {summary.uid: (summary.size_bytes, summary.envelope) for summary in inbox.summaries([Uid(uid) for uid in known])}
        gone = {uid for first, last in inbox.vanished_since(modseq) for uid in range(first, last + 1)}
        assert {5, 9} <= gone
        assert not gone & set(found)
        assert (validity, True) == (inbox.snapshot().uid_validity, seen <= inbox.snapshot().highest_modseq)
        stores.account(ANA).append(INBOX, [_message(f"later {step}")])
        seen = inbox.snapshot().highest_modseq
    try:
        stores.close()
    except ApplianceError as error:
        raise AssertionError(error) from error
