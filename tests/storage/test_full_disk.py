"""A mailbox on a full disk can be opened and read, so that somebody can make room."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from appliance.model.ids import INBOX, AccountName, Uid
from appliance.storage.fileops import FileOps

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
