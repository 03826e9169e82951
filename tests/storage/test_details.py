"""Identifiers, previews and save dates: the same after COPY, MOVE, restart and the loss of the index, in both formats."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.content import MemoryContent
from appliance.model.errors import NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxName, Uid
from appliance.model.mailbox import Flag, FlagAction, MessageDetails, NewMessage
from appliance.storage.maildir_names import is_ours, saved_of
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
SENT = MailboxName("Sent")
OLD_S = 1_000_000_000
StoresMaker = Callable[..., FileMailStores]


class _Clock:
    def __init__(self, now_s: float) -> None:
        self.at_s = now_s

    def now_s(self) -> float:
        return self.at_s

    def monotonic_s(self) -> float:
        return self.at_s


def message(text: str = "one", at_s: float = OLD_S) -> NewMessage:
    return NewMessage(MemoryContent(f"Message-ID: <{text}@x>\r\nSubject: {text}\r\n\r\nbody of {text}\r\n".encode()), at_s)


def details(stores: FileMailStores, name: MailboxName = INBOX, uid: int = 1) -> MessageDetails:
    return stores.account(ANA).open_mailbox(name).details([Uid(uid)], ids=True, previews=True)[Uid(uid)]


def dates(stores: FileMailStores, name: MailboxName = INBOX, uid: int = 1) -> tuple[int, int]:
    (summary,) = stores.account(ANA).open_mailbox(name).summaries([Uid(uid)])
    return summary.internal_date_s, summary.save_date_s


def lose_index(directory: Path) -> None:
    for path in (directory / "data" / "index").iterdir():
        path.unlink()


def test_details_are_made_and_kept(stores: FileMailStores) -> None:
    """What was not asked for is not made; what was made is told with the next question."""
    store = stores.account(ANA)
    store.append(INBOX, [message(), message("two")])
    mailbox = store.open_mailbox(INBOX)
    uids = [Uid(1), Uid(2), Uid(9)]
    assert {} == mailbox.details(uids, ids=False, previews=False)
    previews = mailbox.details(uids, ids=False, previews=True)
    assert {1: MessageDetails(preview="body of one"), 2: MessageDetails(preview="body of two")} == previews
    known = mailbox.details(uids, ids=True, previews=False)
    assert ["body of one", "body of two"] == [one.preview for one in known.values()]
    assert 4 == len({name for one in known.values() for name in (one.email_id, one.thread_id)})
    assert known == mailbox.details(uids, ids=False, previews=False)


def test_identifiers_survive_everything(make_stores: StoresMaker, tmp_path: Path) -> None:
    """RFC 8474 section 5.1: the same in the copy, after MOVE, a restart and the loss of the index."""
    stores = make_stores()
    store = stores.account(ANA)
    store.append(INBOX, [message()])
    made = details(stores)
    store.open_mailbox(INBOX).copy_to([Uid(1)], SENT)
    assert made == details(stores, SENT)
    stores.close()
    lose_index(tmp_path)
    stores = make_stores()
    assert (made, made) == (details(stores), details(stores, SENT))
    stores.account(ANA).open_mailbox(INBOX).move_to([Uid(1)], SENT)
    assert made == details(stores, SENT, 2)


def test_save_dates_survive_everything(make_stores: StoresMaker, tmp_path: Path) -> None:
    """RFC 8514 section 4.2: when it was put there, not its internal date; flags and a lost index change nothing."""
    clock = _Clock(1_700_000_000.0)
    stores = make_stores(clock=clock)
    store = stores.account(ANA)
    store.append(INBOX, [message(), message("now", 1_700_000_000.0)])
    assert (OLD_S, 1_700_000_000) == dates(stores)
    clock.at_s += 1_000
    store.open_mailbox(INBOX).copy_to([Uid(1)], SENT)
    store.open_mailbox(INBOX).store_flags([Uid(1), Uid(2)], FlagAction.ADD, int(Flag.SEEN), ["keyword" * 9])
    stores.close()
    lose_index(tmp_path)
    clock.at_s += 1_000
    stores = make_stores(clock=clock)
    assert (OLD_S, 1_700_000_000) == dates(stores)
    assert (1_700_000_000, 1_700_000_000) == dates(stores, uid=2)
    assert (OLD_S, 1_700_001_000) == dates(stores, SENT)


def test_the_date_of_another_programs_file_is_that_of_the_file(make_stores: StoresMaker, tmp_path: Path) -> None:
    """Dovecot keeps the internal date there; the name tells when it was delivered. A copy has the same dates to show."""
    stores = make_stores(formats="maildir")
    store = stores.account(ANA)
    path = tmp_path / "data" / "mail" / "ana" / "cur" / "1500000000.M1P1.host,S=20,W=22:2,S"
    path.write_bytes(b"Subject: s\n\nbody\n")
    os.utime(path, (OLD_S, OLD_S))
    assert (OLD_S, 1_500_000_000) == dates(stores)
    before = details(stores)
    store.open_mailbox(INBOX).copy_to([Uid(1)], SENT)
    assert OLD_S == dates(stores, SENT)[0]
    assert before.email_id == details(stores, SENT).email_id


def test_a_mailbox_that_is_gone_has_no_details(stores: FileMailStores) -> None:
    """Its messages neither."""
    store = stores.account(ANA)
    store.append(SENT, [message()])
    mailbox = store.open_mailbox(SENT)
    mailbox.expunge([Uid(1)])
    assert {} == mailbox.details([Uid(1)], ids=True, previews=True)
    store.delete_mailbox(SENT)
    with pytest.raises(NotFoundError):
        mailbox.details([Uid(1)], ids=True, previews=False)


def test_names_tell_when_a_file_was_put_there() -> None:
    """Ours by their random part, all others by the time they begin with."""
    assert 1_796_067_743 == saved_of(b"1000000000.M0P7R%x1.host" % 1_796_067_743_000_005)
    assert 1_000_000_000 == saved_of(b"1000000000.M0P7Q12ab.host")
    assert 1_000_000_000 == saved_of(b"1000000000.M1P2.host")
    assert 0 == saved_of(b"odd")
    assert [True, True, False] == [is_ours(name) for name in (b"1000000000.M0P7Q1a.h", b"1000000000.M0P7Rf.h", b"1000000000.M1P2.host")]
