"""What other programs do to an mbox is noticed: mutt, mailx, procmail, cp, editors."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.errors import InUseError
from appliance.model.ids import INBOX, AccountName, MailboxName, ModSeq, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage
from appliance.storage import mbox_state
from appliance.storage.mailbox import FileMailbox
from appliance.storage.mbox_scan import Entry, scan
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
NewMessageMaker = Callable[..., NewMessage]
StoresMaker = Callable[..., FileMailStores]
FOREIGN = b"From bo@example.com Thu Jan  1 00:00:10 2026\nSubject: foreign\n\n>From quoted\n\n"


@pytest.fixture
def mail_format() -> str:
    return "mbox"


@pytest.fixture
def path(mail_root: Path) -> Path:
    return mail_root / "ana.mbox"


@pytest.fixture
def inbox(stores: FileMailStores, new_message: NewMessageMaker) -> FileMailbox:
    """INBOX with three messages, no longer recent."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message(name, at_s=1_600_000_000) for name in ("a", "b", "c")])
    mailbox = store.open_mailbox(INBOX)
    mailbox.claim_recent()
    return mailbox


def uids(mailbox: FileMailbox) -> list[int]:
    return list(mailbox.snapshot().uids)


def messages_in(path: Path) -> list[bytes]:
    return [b"From " + part for part in (b"\n" + path.read_bytes()).split(b"\nFrom ")[1:]]


def write(path: Path, messages: list[bytes]) -> None:
    """Write the file as mutt does: in place, the same inode."""
    data = b"\n".join(
        message.removesuffix(b"\n") + b"\n" if number < len(messages) - 1 else message for number, message in enumerate(messages)
    )
    path.write_bytes(data)


def test_what_the_file_looks_like(inbox: FileMailbox, path: Path) -> None:
    """The file is what any mbox reader expects, with fields that Dovecot, mutt and mailx know."""
    first = messages_in(path)[0]
    validity = inbox.snapshot().uid_validity
    lines = first.splitlines()
    assert b"From sender@example.net Sun Sep 13 12:26:40 2020" == lines[0]
    assert b"X-IMAPbase: %010d 0000000003" % validity == lines[1].rstrip()
    assert [b"X-UID: 1", b"Status: O", b"X-Status:", b"X-Keywords:"] == [line.rstrip() for line in (lines[2], *lines[4:7])]
    assert lines[3].startswith(b"X-Carteiro-Saved: ")  # the message is older than the file
    assert 0o600 == path.stat().st_mode & 0o777


def test_appended_by_mailx(inbox: FileMailbox, path: Path) -> None:
    """A message that another program appended gets the next uid and is recent."""
    with path.open("ab") as file:
        file.write(FOREIGN)
    assert inbox.refresh()
    assert [1, 2, 3, 4] == uids(inbox)
    assert b"Subject: foreign\r\n\r\nFrom quoted\r\n" == inbox.open_message(Uid(4)).read()
    assert 1_767_225_610 == inbox.summaries([Uid(4)])[0].internal_date_s
    assert {4} == inbox.claim_recent()


def test_appended_keeps_its_uid(make_stores: StoresMaker, inbox: FileMailbox, path: Path) -> None:
    """The uid of such a message survives a restart although the file does not say it yet, and a rewrite writes it down."""
    with path.open("ab") as file:
        file.write(FOREIGN + FOREIGN.replace(b"foreign", b"second"))
    inbox.refresh()
    mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    assert [1, 2, 3, 4, 5] == uids(mailbox)
    assert b"X-UID: 4" not in path.read_bytes()
    mailbox.store_flags([Uid(4)], FlagAction.ADD, Flag.FLAGGED)
    assert b"X-UID: 4\nStatus:   \nX-Status: F" in path.read_bytes()
    assert b"X-UID: 5" in path.read_bytes()
    assert b"Subject: second" in mailbox.open_message(Uid(5)).read()


def test_large_file_that_only_grew(monkeypatch: pytest.MonkeyPatch, inbox: FileMailbox, path: Path) -> None:
    """Of a large file only the new tail is read."""
    monkeypatch.setattr(mbox_state, "SMALL_FILE_BYTES", 100)
    read_from = []

    def recording_scan(fd: int, start: int, size: int) -> list[Entry]:
        read_from.append(start)
        return scan(fd, start, size)

    monkeypatch.setattr(mbox_state, "scan", recording_scan)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(FOREIGN)
    inbox.refresh()
    assert ([size], [1, 2, 3, 4]) == (read_from, uids(inbox))


def test_deleted_by_mutt(inbox: FileMailbox, path: Path) -> None:
    """A message that mutt took out is gone; the others keep their uids."""
    messages = messages_in(path)
    write(path, [messages[0], messages[2]])
    assert inbox.refresh()
    assert [1, 3] == uids(inbox)
    assert b"body of c" in inbox.open_message(Uid(3)).read()


@pytest.mark.parametrize("is_move", [False, True])
def test_deleted_by_mutt_just_before_a_transfer(
    inbox: FileMailbox, stores: FileMailStores, new_message: NewMessageMaker, path: Path, *, is_move: bool
) -> None:
    """Between our look and our lock messages came to stand where others stood: each is copied with its own text, and no other is taken out."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message("d", at_s=1_600_000_000)])
    store.create_mailbox(MailboxName("Lists"))
    inbox.claim_recent()
    lists = store.open_mailbox(MailboxName("Lists"))
    assert isinstance(lists, FileMailbox)
    transfer = inbox.folder.move_to if is_move else inbox.folder.copy_to
    found = messages_in(path)
    write(path, [*found[:1], *found[2:]])
    assert [1] == transfer([2], [0], lists.folder)
    lists.refresh()
    inbox.refresh()
    assert b"body of c" in lists.open_message(Uid(1)).read()
    assert ([1, 4] if is_move else [1, 3, 4]) == uids(inbox)


@pytest.mark.parametrize("is_move", [False, True])
def test_flagged_by_mutt_just_before_all_go(inbox: FileMailbox, path: Path, monkeypatch: pytest.MonkeyPatch, *, is_move: bool) -> None:
    """A change that is found when the file is locked, of messages that are taken out then: the mailbox is empty, and that is all."""
    lock = inbox.folder._lock  # type: ignore[attr-defined]
    acquire = lock.acquire

    def acquire_after_mutt() -> int:
        monkeypatch.undo()
        path.write_bytes(path.read_bytes().replace(b"\nStatus: O ", b"\nStatus: RO"))
        return int(acquire())

    monkeypatch.setattr(lock, "acquire", acquire_after_mutt)
    if is_move:
        assert (1, 2, 3) == inbox.move_to([Uid(1), Uid(2), Uid(3)], MailboxName("Sent")).source
    else:
        assert (1, 2, 3) == inbox.expunge([Uid(1), Uid(2), Uid(3)])
    assert [] == uids(inbox)
    assert [(1, 3)] == list(inbox.vanished_since(ModSeq(0)))


def test_gone_just_before_a_move(inbox: FileMailbox, path: Path) -> None:
    """What mutt deleted between our look and our lock cannot be moved; nothing else is."""
    write(path, messages_in(path)[1:])
    with pytest.raises(FileNotFoundError):
        inbox.folder.move_to([0, 1], [0, 0], inbox.folder)
    inbox.refresh()
    assert [2, 3] == uids(inbox)
    assert [Uid(2)] == list(inbox.move_to([Uid(1), Uid(2)], INBOX).source)
    assert [3, 4] == uids(inbox)


def test_first_message_deleted_by_mutt(make_stores: StoresMaker, inbox: FileMailbox, path: Path) -> None:
    """With the first message X-IMAPbase goes; uid_validity and uids stay and are written down again."""
    validity = inbox.snapshot().uid_validity
    write(path, messages_in(path)[1:])
    assert inbox.refresh()
    assert ([2, 3], validity) == (uids(inbox), inbox.snapshot().uid_validity)
    assert b"X-IMAPbase: %010d 0000000003" % validity in path.read_bytes()
    again = make_stores().account(ANA).open_mailbox(INBOX).snapshot()
    assert ([2, 3], validity, 4) == (list(again.uids), again.uid_validity, again.uid_next)


def test_first_message_deleted_while_stopped(make_stores: StoresMaker, inbox: FileMailbox, path: Path) -> None:
    """The same while nobody looked: the index remembers."""
    validity = inbox.snapshot().uid_validity
    write(path, messages_in(path)[1:])
    again = make_stores().account(ANA).open_mailbox(INBOX).snapshot()
    assert ([2, 3], validity, 4) == (list(again.uids), again.uid_validity, again.uid_next)


def test_flags_changed_by_mutt(inbox: FileMailbox, path: Path) -> None:
    """mutt writes Status and X-Status without padding, at the end of the header; that is read, and changed again by us."""
    messages = messages_in(path)
    header, _, body = messages[1].partition(b"\n\n")
    kept = [line for line in header.splitlines() if not line.startswith((b"Status", b"X-Status"))]
    messages[1] = b"\n".join([*kept, b"Status: RO", b"X-Status: A"]) + b"\n\n" + body
    write(path, messages)
    assert inbox.refresh()
    assert [0, Flag.SEEN | Flag.ANSWERED, 0] == list(inbox.snapshot().flags)
    inbox.store_flags([Uid(2)], FlagAction.ADD, Flag.FLAGGED | Flag.DRAFT)
    assert b"Status: RO\nX-Status: AFT \n" in path.read_bytes()
    assert b"body of b" in inbox.open_message(Uid(2)).read()
    assert b"body of c" in inbox.open_message(Uid(3)).read()


def test_flags_change_in_place(inbox: FileMailbox, path: Path) -> None:
    """Our own flag changes move no byte and keep the inode."""
    before = path.stat()
    inbox.store_flags([Uid(2)], FlagAction.ADD, Flag.SEEN | Flag.FLAGGED, ["$Forwarded"])
    after = path.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)


def test_expunge_keeps_the_inode(inbox: FileMailbox, path: Path) -> None:
    """A program that waits for its lock on the open file must not append to a file without a name."""
    before = path.stat().st_ino
    inbox.expunge([Uid(1)])
    assert before == path.stat().st_ino
    assert not path.with_name("ana.mbox.rewrite").exists()


def test_copied_within_mutt(inbox: FileMailbox, path: Path, make_stores: StoresMaker) -> None:
    """A copy brings the same X-UID along; it is another message and gets its own."""
    messages = messages_in(path)
    write(path, [*messages, messages[1]])
    inbox.refresh()
    assert [1, 2, 3, 4] == uids(inbox)
    again = make_stores().account(ANA).open_mailbox(INBOX)
    assert [1, 2, 3, 4] == uids(again)
    assert 1 == path.read_bytes().count(b"X-UID: 2\n")


def test_uid_from_elsewhere(inbox: FileMailbox, path: Path) -> None:
    """A message saved here from another mailbox does not smuggle its uid in."""
    with path.open("ab") as file:
        file.write(FOREIGN.replace(b"\n\n", b"\nX-UID: 4000000000\nX-IMAPbase: 7 4000000000\n\n", 1))
    inbox.refresh()
    assert ([1, 2, 3, 4], 5) == (uids(inbox), inbox.snapshot().uid_next)


def test_state_from_a_sender(stores: FileMailStores, new_message: NewMessageMaker, path: Path) -> None:
    """State fields that a sender wrote mean nothing and are dropped."""
    data = b"Status: RO\r\nX-UID: 9\r\nSubject: x\r\nX-IMAPbase: 1\r\n 2 3\r\nx-keywords: evil\r\n\r\nStatus: in the body\r\n"
    stores.deliver(ANA, [(INBOX, new_message(data=data, queue_id="Q1"))])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    assert ([1], [0]) == (uids(mailbox), list(mailbox.snapshot().flags))
    assert b"Subject: x\r\n\r\nStatus: in the body\r\n" == mailbox.open_message(Uid(1)).read()


def test_imported_mbox(make_stores: StoresMaker, path: Path, mail_root: Path) -> None:
    """An mbox without any state is taken over: uids are given and written down, bodies stay."""
    mail_root.mkdir(parents=True)
    path.write_bytes(
        FOREIGN + FOREIGN.replace(b"foreign", b"two") + b"From x@y Thu Jan  1 00:00:10 2026\nSubject: last\nStatus: R\n\nno end"
    )
    first = make_stores().account(ANA).open_mailbox(INBOX)
    assert ([1, 2, 3], [0, 0, Flag.SEEN]) == (uids(first), list(first.snapshot().flags))
    again = make_stores().account(ANA).open_mailbox(INBOX)
    assert first.snapshot() == again.snapshot()
    assert b"Subject: last\r\n\r\nno end" == again.open_message(Uid(3)).read()
    assert b"X-UID: 3" in path.read_bytes()


def test_replaced_by_another_mbox(inbox: FileMailbox, path: Path) -> None:
    """Another mailbox in its place has its own uid_validity."""
    other = FOREIGN.replace(b"Subject", b"X-IMAPbase: 0000000077 0000000009\nX-UID: 9\nSubject")
    path.with_name("new").write_bytes(other)
    path.with_name("new").rename(path)
    assert inbox.refresh()
    snapshot = inbox.snapshot()
    assert (77, [9], 10) == (snapshot.uid_validity, list(snapshot.uids), snapshot.uid_next)


def test_removed_inbox(inbox: FileMailbox, path: Path) -> None:
    """mutt removes an mbox that it emptied; INBOX is then empty and keeps counting."""
    path.unlink()
    assert inbox.refresh()
    assert ([], 4) == (uids(inbox), inbox.snapshot().uid_next)


def test_locked_by_mutt(inbox: FileMailbox, stores: FileMailStores, new_message: NewMessageMaker, path: Path) -> None:
    """While another program holds the dot-lock, changes and deliveries are refused for now, reading is not."""
    lock = path.with_name("ana.mbox.lock")
    lock.write_text("")
    with pytest.raises(InUseError):
        inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
    (error,) = stores.deliver(ANA, [(INBOX, new_message(queue_id="Q1"))])
    assert isinstance(error, InUseError)
    assert b"body of a" in inbox.open_message(Uid(1)).read()
    lock.unlink()
    assert {1: Flag.SEEN} == inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN).changed


def test_fcntl_lock(inbox: FileMailbox, path: Path) -> None:
    """An fcntl lock of another program is respected too, and the dot-lock is given back meanwhile."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # another process: fcntl locks belong to processes
        import fcntl

        fd = os.open(path, os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os.write(write_end, b"x")
        time.sleep(30)
        os._exit(0)
    try:
        os.read(read_end, 1)
        with pytest.raises(InUseError):
            inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
        assert not path.with_name("ana.mbox.lock").exists()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)
    inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)


@pytest.mark.parametrize("content", ["999999999\n", f"{os.getpid()}\n"], ids=["dead", "own"])
def test_stale_lock(inbox: FileMailbox, path: Path, content: str) -> None:
    """A dot-lock of a process that is gone, or of our own former life, does not stop anybody."""
    path.with_name("ana.mbox.lock").write_text(content)
    inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)


def test_old_lock(inbox: FileMailbox, path: Path) -> None:
    """A nameless dot-lock counts for five minutes after the last change of lock or mailbox."""
    lock = path.with_name("ana.mbox.lock")
    lock.write_text("")
    old = time.time() - 400
    os.utime(lock, (old, old))
    with pytest.raises(InUseError):
        inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
    os.utime(path, (old, old))
    inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)


@pytest.mark.parametrize("tail", [b"\0" * 3000, b"From bo@exam", b"Fro", b"From bo@example.com Thu Jan  1 00:00:10 2026"])
def test_torn_tail(make_stores: StoresMaker, inbox: FileMailbox, path: Path, tail: bytes) -> None:
    """What a crash left of an append is cut off at the next start."""
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    assert [1, 2, 3] == uids(mailbox)
    assert whole == path.read_bytes()


def test_torn_delivery(make_stores: StoresMaker, new_message: NewMessageMaker, path: Path) -> None:
    """A delivery that a crash cut anywhere is there exactly once, whole, after the queue delivers it again."""
    message = new_message("b", queue_id="Qb", at_s=1_600_000_000)
    stores = make_stores()
    stores.deliver(ANA, [(INBOX, new_message("a", queue_id="Qa", at_s=1_600_000_000))])
    begin = path.stat().st_size
    stores.deliver(ANA, [(INBOX, message)])
    whole = path.read_bytes()
    for length in range(begin, len(whole), 7):
        path.write_bytes(whole[:length])
        for old in path.parent.parent.parent.joinpath("index").glob("*"):
            old.unlink()
        stores = make_stores()
        stores.deliver(ANA, [(INBOX, message)])
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        bodies = [mailbox.open_message(Uid(uid)).read() for uid in uids(mailbox)]
        assert 2 == len(bodies), length
        assert message.content.open().read() == bodies[1], length


def test_damaged_delivery(make_stores: StoresMaker, new_message: NewMessageMaker, path: Path) -> None:
    """A delivered message whose blocks a crash filled with something else is replaced."""
    message = new_message("b", queue_id="Qb", at_s=1_600_000_000)
    make_stores().deliver(ANA, [(INBOX, message), (INBOX, new_message("c", queue_id="Qc"))])
    path.write_bytes(path.read_bytes().replace(b"body of b", b"XXXXXXXXX"))
    stores = make_stores()
    stores.deliver(ANA, [(INBOX, message)])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    assert [2, 3] == uids(mailbox)
    assert message.content.open().read() == mailbox.open_message(Uid(3)).read()


def test_folders_by_hand(stores: FileMailStores, mail_root: Path) -> None:
    """An mbox put under folders/ is a mailbox."""
    store = stores.account(ANA)
    (mail_root / "folders" / "Lists").mkdir()
    (mail_root / "folders" / "Lists" / "São.mbox").write_bytes(FOREIGN)
    assert {"INBOX", "Sent", "Lists", "Lists/São"} == {info.name for info in store.list_mailboxes()}
    assert 1 == store.status(MailboxName("Lists/São")).messages


@pytest.mark.parametrize("base", [b"9999999999 0000000003", b"0000000007 4294967295"])
def test_no_uid_left(make_stores: StoresMaker, new_message: NewMessageMaker, inbox: FileMailbox, path: Path, base: bytes) -> None:
    """Numbers in the file that no IMAP client could take are replaced by a new uid_validity; mail is delivered and read."""
    data = path.read_bytes()
    at = data.index(b"X-IMAPbase: ") + len(b"X-IMAPbase: ")
    path.write_bytes(data[:at] + base + data[at + len(base) :])
    stores = make_stores()
    stores.deliver(ANA, [(INBOX, new_message("d", queue_id="Q1"))])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    assert 4 == len(uids(mailbox))
    assert max(uids(mailbox)) < 0xFFFF_0000
    assert 0 < mailbox.snapshot().uid_validity < 1 << 32


def test_no_uid_left_while_open(inbox: FileMailbox, stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """UIDs that run out in a running server start anew at the next look at the file."""
    validity = inbox.snapshot().uid_validity
    inbox.folder.next_uid = 0xFFFF_0000 + 5
    stores.deliver(ANA, [(INBOX, new_message("d", queue_id="Q1"))])
    inbox.refresh()
    assert validity != inbox.snapshot().uid_validity
    assert [1, 2, 3, 4] == uids(inbox)
