"""A mailbox on a full disk can be opened and read, so that somebody can make room."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from appliance.model.errors import DiskError, OutOfSpaceError, UnavailableError
from appliance.model.ids import INBOX, AccountName, Uid
from appliance.storage.fileops import FileOps, resource_errors

ANA = AccountName("ana")


class FullDirectory(FileOps):
    """``cur`` takes ``room`` more names, then none."""

    room = 0

    def rename(self, source: bytes, destination: bytes) -> None:
        if b"/cur/" in destination:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= 1
        super().rename(source, destination)


@pytest.mark.parametrize("mail_format", ["maildir"], indirect=True)
def test_new_mail_is_seen_on_a_full_disk(make_stores: Callable[..., Any], new_message: Callable[..., Any]) -> None:
    """What cannot be moved to cur/ stays recent in new/; when there is room it is claimed."""
    ops = FullDirectory()
    ops.room = 1
    stores = make_stores(ops=ops)
    stores.deliver(ANA, [(INBOX, new_message(text)) for text in ("one", "two", "three")])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    assert {Uid(1), Uid(2), Uid(3)} == mailbox.claim_recent()
    assert {Uid(2), Uid(3)} == mailbox.claim_recent()
    ops.room = 2
    assert {Uid(2), Uid(3)} == mailbox.claim_recent()
    assert set() == mailbox.claim_recent()
    mailbox.refresh()
    assert [1, 2, 3] == list(mailbox.snapshot().uids)


class NoName(FileOps):
    """No name fits while ``is_full``, not even that of a lock."""

    is_full = False

    def create(self, path: bytes) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path)

    def create_whole(self, path: bytes, data: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().create_whole(path, data)


@pytest.mark.parametrize("mail_format", ["mbox"], indirect=True)
def test_new_mail_in_a_file_that_cannot_be_locked(make_stores: Callable[..., Any], new_message: Callable[..., Any]) -> None:
    """The mailbox opens and is read; that its mail was told of stands in the file when there is room for a lock."""
    ops = NoName()
    stores = make_stores(ops=ops)
    stores.deliver(ANA, [(INBOX, new_message(text)) for text in ("one", "two")])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    ops.is_full = True
    assert {Uid(1), Uid(2)} == mailbox.claim_recent()
    assert b"body of one" in mailbox.open_message(Uid(1)).read()
    assert set() == mailbox.claim_recent()
    ops.is_full = False
    mailbox.refresh()
    assert [1, 2] == list(mailbox.snapshot().uids)


class FullUidlist(FileOps):
    """Nothing can be appended or replaced while ``is_full``: there is room for a name, not for a block."""

    is_full = False

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.is_full and (bytes(data[:3]) == b"3 V" or bytes(data[:1]).isdigit()):
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(fd, data)


@pytest.mark.parametrize("mail_format", ["maildir"], indirect=True)
def test_what_was_shown_can_be_read_on_a_full_disk(make_stores: Callable[..., Any], new_message: Callable[..., Any]) -> None:
    """A message whose uid cannot be written down is not shown yet; the others are, and it is when there is room."""
    ops = FullUidlist()
    stores = make_stores(ops=ops)
    stores.deliver(ANA, [(INBOX, new_message("one"))])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    ops.is_full = True
    stores.deliver(ANA, [(INBOX, new_message("two"))])
    for _ in range(2):
        again = stores.account(ANA).open_mailbox(INBOX)
        assert set() == again.claim_recent()
        assert [1] == list(again.snapshot().uids)
        assert b"body of one" in again.open_message(Uid(1)).read()
    ops.is_full = False
    assert mailbox.refresh()
    first, second = mailbox.snapshot().uids
    assert 1 == first < second
    assert {Uid(1), Uid(second)} == mailbox.claim_recent()
    assert b"body of two" in mailbox.open_message(Uid(second)).read()
    assert 0 < mailbox.snapshot().modseqs[1]


class Failing(FileOps):
    """No flush succeeds while ``is_broken``; nothing can be created, under a name or without, while ``is_full``."""

    is_broken = is_full = False

    def flush(self, fd: int) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, "Input/output error")
        super().flush(fd)

    def flush_path(self, path: bytes) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, "Input/output error")
        super().flush_path(path)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(fd, data)


def test_what_cannot_be_delivered_anew_is_not_there_twice(make_stores: Callable[..., Any], new_message: Callable[..., Any]) -> None:
    """A delivery whose flush failed is written again; where the disk is full just then, the attempt after it still finds the first."""
    ops = Failing()
    stores = make_stores(ops=ops)
    batch = [(INBOX, new_message("one", queue_id="Q1", at_s=1_700_000_000))]
    assert [None] == stores.deliver(ANA, batch)
    ops.is_broken = True
    with pytest.raises((OSError, UnavailableError)):
        stores.settle()
    ops.is_broken, ops.is_full = False, True
    (error,) = stores.deliver(ANA, batch)
    assert isinstance(error, OutOfSpaceError)
    ops.is_full = False
    assert [None] == stores.deliver(ANA, batch)
    stores.settle()
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    assert 1 == len(mailbox.snapshot().uids)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EROFS, DiskError),
        (errno.EACCES, DiskError),
        (errno.EIO, DiskError),
        (errno.ENOSPC, OutOfSpaceError),
        (errno.EMFILE, UnavailableError),
    ],
)
def test_what_a_disk_says(number: int, kind: type[UnavailableError]) -> None:
    """What only a person can mend is told from what may pass."""
    with pytest.raises(UnavailableError) as caught, resource_errors("append"):
        raise OSError(number, "said the disk")
    assert kind is type(caught.value)
