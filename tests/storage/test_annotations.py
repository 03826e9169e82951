"""Annotations of mailboxes and accounts, in both formats."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.errors import LimitError, NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage, SpecialUse
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
SENT = MailboxName("Sent")
WORK = MailboxName("Work")
COMMENT = "/private/comment"
StoresMaker = Callable[..., FileMailStores]


def test_annotations_go_where_the_mailbox_goes(make_stores: StoresMaker) -> None:
    """They survive restart and RENAME, children's too, and are gone with DELETE."""
    store = make_stores().account(ANA)
    for name in ("Work/a", "Work", ""):
        store_name = MailboxName(name) if name else None
        if name == "Work/a":
            store.create_mailbox(MailboxName(name))
        store.annotate(store_name, {COMMENT: b"of " + name.encode(), "/shared/x": b"\0\xff"}, 10)
    mailbox_id = store.status(WORK).mailbox_id
    store.rename_mailbox(WORK, MailboxName("Play"))
    store = make_stores().account(ANA)
    assert {COMMENT: b"of Work", "/shared/x": b"\0\xff"} == store.annotations(MailboxName("Play"))
    assert b"of Work/a" == store.annotations(MailboxName("Play/a"))[COMMENT]
    assert b"of " == store.annotations(None)[COMMENT]
    assert mailbox_id == store.status(MailboxName("Play")).mailbox_id
    store.delete_mailbox(MailboxName("Play/a"))
    store.create_mailbox(MailboxName("Play/a"))
    assert {} == store.annotations(MailboxName("Play/a"))
    store.create_mailbox(WORK)
    assert {} == store.annotations(WORK)


def test_all_or_none(make_stores: StoresMaker) -> None:
    """Too many, and nothing changes; what is there may change, and None removes."""
    store = make_stores().account(ANA)
    store.annotate(SENT, {"/private/a": b"1", "/private/b": b"2"}, 2)
    with pytest.raises(LimitError):
        store.annotate(SENT, {"/private/a": b"9", "/private/c": b"3"}, 2)
    with pytest.raises(LimitError):
        store.annotate(SENT, {"/private/c": b"3"}, 2, [SpecialUse.TRASH])
    assert b"1" == store.annotations(SENT)["/private/a"]
    store.annotate(SENT, {"/private/a": None, "/private/c": b"", "/private/none": None}, 2)
    assert {"/private/b": b"2", "/private/c": b"", "/private/specialuse": b"\\Sent"} == store.annotations(SENT)
    with pytest.raises(NotFoundError):
        store.annotate(WORK, {"/private/a": b"1"}, 2)
    with pytest.raises(NotFoundError):
        store.annotations(WORK)


def test_a_use_moves(make_stores: StoresMaker) -> None:
    """Set for one mailbox, it leaves the other, and both are news (RFC 6154 section 5.4)."""
    store = make_stores().account(ANA)
    store.create_mailbox(WORK)
    position, _ = store.annotation_news(-1)
    me = object()
    store.annotate(WORK, {}, 10, [SpecialUse.SENT, SpecialUse.IMPORTANT], me)
    assert (SpecialUse.IMPORTANT, SpecialUse.SENT) == {info.name: info.special_uses for info in store.list_mailboxes()}[WORK]
    assert {} == store.annotations(SENT)
    _, news = store.annotation_news(position)
    assert {(SENT, None), (WORK, me)} == {(change.mailbox, change.origin) for change in news}
    store.annotate(WORK, {}, 10, [])
    assert () == {info.name: info.special_uses for info in make_stores().account(ANA).list_mailboxes()}[WORK]


def test_inbox_keeps_its_annotations(make_stores: StoresMaker, new_message: Callable[..., NewMessage]) -> None:
    """RENAME of INBOX copies them (RFC 5464 section 4.1)."""
    store = make_stores().account(ANA)
    store.append(INBOX, [new_message()])
    store.annotate(INBOX, {COMMENT: b"mine"}, 10)
    store.rename_mailbox(INBOX, WORK)
    assert {COMMENT: b"mine"} == store.annotations(INBOX) == store.annotations(WORK)
    assert (0, 1) == (store.status(INBOX).messages, store.status(WORK).messages)


def test_people_find_them(make_stores: StoresMaker, mail_root: Path, mail_format: str) -> None:
    """A text file beside the mail."""
    store = make_stores().account(ANA)
    store.annotate(SENT, {COMMENT: "São Paulo".encode()}, 10)
    path = mail_root / (".Sent/carteiro-metadata" if mail_format == "maildir" else "folders/Sent.mbox.metadata")
    assert f"{COMMENT}\tSão Paulo\n" in path.read_text(encoding="utf-8")


def test_news_are_bounded(make_stores: StoresMaker) -> None:
    """Who was away for long is told the last thousand."""
    store = make_stores().account(ANA)
    store.annotate(None, {COMMENT: b"0"}, 10)
    position, nothing = store.annotation_news(-1)
    assert ([], (1, [])) == (nothing, store.annotation_news(1))
    store.annotate(None, {COMMENT: b"1"}, 10)
    count, news = store.annotation_news(position)
    assert (2, 1) == (count, len(news))
