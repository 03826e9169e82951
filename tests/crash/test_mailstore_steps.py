"""The mail stores, stopped or failing at every single system call that changes the disk.

A *crash* runs an operation until step n, then nothing more reaches the disk, as
if the process had been killed there; a new process opens what is left. A *fault*
makes step n fail with an errno; the same process goes on. After either, the
states must be in the documented set (doc/mailboxes.md): a message is there
whole or not at all, no other message is touched, no uid names two messages.

Does not: model a disk that loses unflushed writes in any order; flushes are
counted instead, see ``TestFlushes``.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.model.changes import NameChange
from appliance.model.content import MemoryContent
from appliance.model.errors import OutOfSpaceError, UnavailableError
from appliance.model.ids import INBOX, AccountName, MailboxName, QueueId, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage
from appliance.storage.fileops import FileOps
from appliance.storage.mailbox import FileMailbox
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
SENT = MailboxName("Sent")


class Crash(BaseException):
    """The process is gone."""


class FaultyOps(FileOps):
    """Counts the calls that change something; at one of them it fails, or stops for good."""

    def __init__(self) -> None:
        self.count = 0
        self.fail_at = -1
        self.error: int | None = None
        self.is_dead = False
        self.calls: list[str] = []

    def arm(self, fail_at: int, error: int | None) -> None:
        self.count, self.fail_at, self.error, self.calls = 0, fail_at, error, []

    def _step(self, name: str) -> None:
        if self.is_dead:
            raise Crash
        self.calls.append(name)
        self.count += 1
        if self.count - 1 == self.fail_at:
            if self.error is None:
                self.is_dead = True
                raise Crash
            raise OSError(self.error, os.strerror(self.error))

    def create(self, path: bytes) -> int:
        self._step("create")
        return super().create(path)

    def open_append(self, path: bytes) -> int:
        self._step("open_append")
        return super().open_append(path)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        try:
            self._step("write")
        except (Crash, OSError):
            os.write(fd, data[: len(data) // 2])  # a failing write may have written a part
            raise
        super().write(fd, data)

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        try:
            self._step("write_at")
        except (Crash, OSError):
            os.pwrite(fd, data[: len(data) // 2], offset)
            raise
        super().write_at(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        self._step("truncate")
        super().truncate(fd, size)

    def allocate(self, fd: int, offset: int, length: int) -> None:
        self._step("allocate")
        super().allocate(fd, offset, length)

    def rename(self, source: bytes, destination: bytes) -> None:
        self._step("rename")
        super().rename(source, destination)

    def rename_within(self, directory: int, old: bytes, new: bytes) -> None:
        self._step("rename")
        super().rename_within(directory, old, new)

    def link(self, source: bytes, destination: bytes) -> None:
        self._step("link")
        super().link(source, destination)

    def unlink(self, path: bytes) -> None:
        self._step("unlink")
        super().unlink(path)

    def make_directory(self, path: bytes) -> None:
        self._step("make_directory")
        super().make_directory(path)

    def flush(self, fd: int) -> None:
        self._step("flush")

    def flush_path(self, path: bytes) -> None:
        self._step("flush_path")

    def flush_filesystem(self, path: bytes) -> None:
        self._step("flush_filesystem")

    def replace_file(self, path: bytes, data: bytes) -> None:
        self._step("replace_file")
        super().replace_file(path, data)


class NoFeed:
    """Tells nobody."""

    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        pass

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...

    def subscribe(self, account: AccountName, mailbox: MailboxName) -> Any:
        raise NotImplementedError


class PlainSummariser:
    """Renders at once; what is rendered is not the matter here."""

    envelope = body = body_structure = b"()"

    def summarise(self, data: bytes) -> "PlainSummariser":
        return self

    def summarise_stream(self, stream: object) -> "PlainSummariser":
        return self


def message(name: str, queue_id: str | None = None) -> NewMessage:
    data = f"Subject: {name}\r\n\r\nbody of {name}\r\nFrom here on more\r\n".encode()
    return NewMessage(MemoryContent(data), 1_600_000_000.0, queue_id=None if queue_id is None else QueueId(queue_id))


def body_of(name: str) -> bytes:
    with message(name).content.open() as stream:
        return stream.read()


Operation = Callable[[FileMailStores], object]


def _append(stores: FileMailStores) -> object:
    return stores.account(ANA).append(INBOX, [message("new1"), message("new2")])


def _deliver(stores: FileMailStores) -> object:
    results = stores.deliver(ANA, [(INBOX, message("new1", "Q1")), (INBOX, message("new2", "Q2"))])
    for error in results:
        if error is not None:
            raise error
    return results


def _expunge(stores: FileMailStores) -> object:
    return stores.account(ANA).open_mailbox(INBOX).expunge([Uid(1), Uid(3)])


def _flags(stores: FileMailStores) -> object:
    return stores.account(ANA).open_mailbox(INBOX).store_flags([Uid(1), Uid(2)], FlagAction.ADD, Flag.SEEN, ["Work"])


def _long_flags(stores: FileMailStores) -> object:
    names = [f"keyword-{number}" for number in range(12)]
    return stores.account(ANA).open_mailbox(INBOX).store_flags([Uid(1), Uid(2)], FlagAction.ADD, Flag.SEEN, names)


def _copy(stores: FileMailStores) -> object:
    return stores.account(ANA).open_mailbox(INBOX).copy_to([Uid(1), Uid(2)], SENT)


def _move(stores: FileMailStores) -> object:
    return stores.account(ANA).open_mailbox(INBOX).move_to([Uid(1), Uid(2)], SENT)


OPERATIONS: dict[str, Operation] = {
    "append": _append,
    "deliver": _deliver,
    "expunge": _expunge,
    "flags": _flags,
    "long_flags": _long_flags,
    "copy": _copy,
    "move": _move,
}
OLD = ["a", "b", "c"]


def prepare(directory: Path, mail_format: Any, ops: FileOps) -> FileMailStores:
    """Return stores with three messages in INBOX and an empty Sent, all loaded."""
    stores = FileMailStores(
        directory,
        NoFeed(),
        formats=mail_format,
        special_folders={},
        summariser=PlainSummariser(),
        ops=ops,
        lock_wait_s=0.05,
    )
    store = stores.account(ANA)
    store.create_mailbox(SENT)
    store.append(INBOX, [message(name) for name in OLD])
    store.open_mailbox(INBOX).claim_recent()
    store.open_mailbox(SENT)
    return stores


def contents(mailbox: FileMailbox) -> dict[int, bytes]:
    """Return every message by uid."""
    found = {}
    for uid in mailbox.snapshot().uids:
        with mailbox.open_message(Uid(uid)) as stream:
            found[uid] = stream.read()
    return found


def check(operation: str, inbox: dict[int, bytes], sent: dict[int, bytes], flags: dict[int, int]) -> None:
    """Assert that what is left is a documented state of an operation that was begun and not acknowledged."""
    old = {number + 1: body_of(name) for number, name in enumerate(OLD)}
    new = [body_of("new1"), body_of("new2")]
    for uid, data in inbox.items():
        if uid in old:
            assert old[uid] == data, "another message under an old uid"
        else:
            assert data in new or (operation in ("copy", "move") and data in old.values()), "half a message"
    assert all(data in old.values() for data in sent.values()), "half a copy"
    assert len({*inbox.values(), *sent.values()} & set(old.values())) == 3 or operation == "expunge", "a message was lost"
    if operation == "expunge":
        assert 2 in inbox
        assert not sent
    elif operation != "move":
        assert set(old) <= set(inbox)
    else:
        for uid in (1, 2):
            assert uid in inbox or old[uid] in sent.values()
        assert 3 in inbox
    values = list(inbox.values())
    assert all(values.count(data) <= 1 for data in new), "delivered twice"
    assert flags.get(3, 0) == 0
    if "flags" not in operation:
        assert not any(flags.values())


def reopen(directory: Path, mail_format: Any, *, without_index: bool) -> FileMailStores:
    if without_index:
        for path in (directory / "index").iterdir():
            path.unlink()
    return FileMailStores(directory, NoFeed(), formats=mail_format, special_folders={}, summariser=PlainSummariser(), lock_wait_s=0.05)


def survey(stores: FileMailStores) -> tuple[dict[int, bytes], dict[int, bytes], dict[int, int]]:
    store = stores.account(ANA)
    inbox = store.open_mailbox(INBOX)
    snapshot = inbox.snapshot()
    flags = dict(zip(snapshot.uids, snapshot.flags, strict=True))
    return contents(inbox), contents(store.open_mailbox(SENT)), flags


@pytest.mark.parametrize("mail_format", ["maildir", "mbox"])
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_crash_at_every_step(tmp_path: Path, operation: str, mail_format: str) -> None:
    """Killed at any step, a new process finds a documented state, and the same operation then succeeds."""
    step = 0
    while True:
        ops = FaultyOps()
        directory = tmp_path / str(step)
        stores = prepare(directory, mail_format, ops)
        ops.arm(step, None)
        try:
            OPERATIONS[operation](stores)
        except Crash:
            pass
        else:
            assert not ops.is_dead
            break
        again = reopen(directory, mail_format, without_index=step % 2 == 1)
        check(operation, *survey(again))
        if operation == "deliver":  # the queue still has them
            assert [None, None] == again.deliver(ANA, [(INBOX, message("new1", "Q1")), (INBOX, message("new2", "Q2"))])
            inbox, _, _ = survey(again)
            assert sorted([*map(body_of, OLD), body_of("new1"), body_of("new2")]) == sorted(inbox.values())
        else:
            again.account(ANA).append(INBOX, [message("later")])
            assert body_of("later") in survey(again)[0].values()
        again.close()
        step += 1
    assert step > 2


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("mail_format", ["maildir", "mbox"])
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_fault_at_every_step(tmp_path: Path, operation: str, mail_format: str, error: int) -> None:
    """A full or failing disk is an error of its kind, leaves a documented state, and the same process goes on."""
    step = 0
    while True:
        ops = FaultyOps()
        directory = tmp_path / str(step)
        stores = prepare(directory, mail_format, ops)
        ops.arm(step, error)
        raised = None
        try:
            OPERATIONS[operation](stores)
        except UnavailableError as caught:
            raised = caught
        if ops.count <= step:
            break
        ops.arm(-1, None)
        inbox, sent, flags = survey(stores)
        if raised is not None:
            assert isinstance(raised, OutOfSpaceError) == (error == errno.ENOSPC)
            check(operation, inbox, sent, flags)
        stores.account(ANA).append(INBOX, [message("later")])
        here = survey(stores)
        stores.close()
        again = reopen(directory, mail_format, without_index=step % 2 == 1)
        assert here == survey(again), (step, ops.calls)
        again.close()
        step += 1
    assert step > 2


def _flushes(ops: FaultyOps) -> list[str]:
    return [name for name in ops.calls if name.startswith("flush")]


class TestFlushes:
    """What is on stable storage at return: the flushes come after what they cover and before the answer."""

    @pytest.fixture(params=["maildir", "mbox"])
    def mail_format(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "deliver"])
    def test_durable_at_return(self, tmp_path: Path, operation: str, mail_format: str) -> None:
        """Nothing that changes files comes after the last flush, but the removal of a finished journal and of locks."""
        ops = FaultyOps()
        stores = prepare(tmp_path, mail_format, ops)
        ops.arm(-1, None)
        OPERATIONS[operation](stores)
        flushes = [number for number, name in enumerate(ops.calls) if name.startswith(("flush", "replace_file"))]
        assert flushes
        assert set(ops.calls[flushes[-1] + 1 :]) <= {"unlink"}

    def test_delivery_does_not_wait(self, tmp_path: Path, mail_format: str) -> None:
        """Delivery flushes nothing; settle flushes little for few messages and once for many."""
        ops = FaultyOps()
        stores = prepare(tmp_path, mail_format, ops)
        ops.arm(-1, None)
        stores.deliver(ANA, [(INBOX, message("x", "Q0"))])
        assert [] == _flushes(ops)
        ops.arm(-1, None)
        stores.settle()
        assert 1 <= len(_flushes(ops)) <= 2
        for number in range(1, 40):
            stores.deliver(ANA, [(INBOX, message(f"x{number}", f"Q{number}"))])
        ops.arm(-1, None)
        stores.settle()
        assert 1 == len(_flushes(ops))

    def test_failed_settle_writes_again(self, tmp_path: Path, mail_format: str) -> None:
        """After a settle that failed, the same delivery writes the message again instead of trusting the cache."""
        ops = FaultyOps()
        stores = prepare(tmp_path, mail_format, ops)
        stores.deliver(ANA, [(INBOX, message("new1", "Q1"))])
        stores.account(ANA).open_mailbox(INBOX).save()  # the uids; what follows are flushes
        ops.arm(0, errno.EIO)
        with pytest.raises(UnavailableError):
            stores.settle()
        ops.arm(-1, None)
        assert [None] == stores.deliver(ANA, [(INBOX, message("new1", "Q1"))])
        assert any(name in ("write", "write_at") for name in ops.calls)
        inbox, _, _ = survey(stores)
        assert [*map(body_of, OLD), body_of("new1")] == list(inbox.values())
        stores.settle()

    def test_uids_are_flushed_before_they_are_told(self, tmp_path: Path, mail_format: str) -> None:
        """A refresh that shows delivered messages has put their uids on stable storage."""
        ops = FaultyOps()
        stores = prepare(tmp_path, mail_format, ops)
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        stores.deliver(ANA, [(INBOX, message("x", "Q0"))])
        ops.arm(-1, None)
        assert mailbox.refresh()
        assert ["flush" if mail_format == "maildir" else "flush_path"] == _flushes(ops) == ops.calls[-1:]
        ops.arm(-1, None)
        mailbox.refresh()
        assert [] == ops.calls


def test_append_by_another_program_between_crash_and_restart(tmp_path: Path) -> None:
    """A message that mutt appended while a rewrite lay interrupted is kept behind the finished rewrite."""
    foreign = b"From bo@example.com Thu Jan  1 00:00:10 2026\nSubject: foreign\n\nkept\n\n"
    step = kept = 0
    while True:
        ops = FaultyOps()
        directory = tmp_path / str(step)
        stores = prepare(directory, "mbox", ops)
        ops.arm(step, None)
        try:
            _expunge(stores)
        except Crash:
            pass
        else:
            break
        path = directory / "mail" / "ana" / "ana.mbox"
        with path.open("ab") as file:
            file.write(foreign)
        again = reopen(directory, "mbox", without_index=False)
        inbox, _, _ = survey(again)
        assert b"Subject: foreign\r\n\r\nkept\r\n" in inbox.values()
        assert body_of("b") in inbox.values()
        kept += 1
        again.close()
        step += 1
    assert kept > 2
