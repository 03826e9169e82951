"""What stays with a mailbox under any name (RFC 8474), in both formats."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.errors import NameTooLongError, NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxName, Uid
from appliance.model.mailbox import NewMessage
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
WORK = MailboxName("Work")
PLAY = MailboxName("Play")
StoresMaker = Callable[..., FileMailStores]


def test_an_id_stays_over_rename_restart_and_index(make_stores: StoresMaker, tmp_path: Path) -> None:
    """CREATE tells it; SELECT and STATUS tell the same, whatever happens to name and index."""
    stores = make_stores()
    made = stores.account(ANA).create_mailbox(WORK)
    assert made == stores.account(ANA).open_mailbox(WORK).mailbox_id
    stores.account(ANA).rename_mailbox(WORK, PLAY)
    stores.close()
    shutil.rmtree(tmp_path / "data" / "index")
    store = make_stores().account(ANA)
    assert made == store.status(PLAY).mailbox_id == store.open_mailbox(PLAY).mailbox_id


def test_each_mailbox_has_its_own(make_stores: StoresMaker) -> None:
    """INBOX, a mailbox, and the next one under its name."""
    store = make_stores().account(ANA)
    first = store.create_mailbox(WORK)
    store.delete_mailbox(WORK)
    second = store.create_mailbox(WORK)
    assert 3 == len({store.open_mailbox(INBOX).mailbox_id, first, second})
    assert second == make_stores().account(ANA).status(WORK).mailbox_id


def test_a_copied_mailbox_gets_its_own(make_stores: StoresMaker, mail_root: Path, mail_format: str) -> None:
    """What somebody made with cp is another mailbox, and stays it."""
    store = make_stores().account(ANA)
    made = store.create_mailbox(WORK)
    if mail_format == "maildir":
        shutil.copytree(mail_root / ".Work", mail_root / ".Play")
    else:
        for path in list((mail_root / "folders").glob("Work.mbox*")):
            shutil.copy(path, path.with_name(path.name.replace("Work", "Play")))
    assert made == store.status(WORK).mailbox_id
    copied = store.status(PLAY).mailbox_id
    assert made != copied
    again = make_stores().account(ANA)
    assert (copied, made) == (again.status(PLAY).mailbox_id, again.status(WORK).mailbox_id)


def test_an_id_follows_a_mailbox_that_was_moved(make_stores: StoresMaker, mail_root: Path, mail_format: str) -> None:
    """After mv, and with a new mailbox under the old name, the old one still has its id."""
    store = make_stores().account(ANA)
    made = store.create_mailbox(WORK)
    if mail_format == "maildir":
        (mail_root / ".Work").rename(mail_root / ".Play")
    else:
        for path in list((mail_root / "folders").glob("Work.mbox*")):
            path.rename(path.with_name(path.name.replace("Work", "Play")))
    with pytest.raises(NotFoundError):
        store.open_mailbox(WORK)
    other = store.create_mailbox(WORK)
    assert (made, other) == (store.status(PLAY).mailbox_id, store.status(WORK).mailbox_id)
    assert made != other


def test_an_odd_id_is_made_anew(make_stores: StoresMaker, mail_root: Path, mail_format: str) -> None:
    """An id that was lost is made again; a strange one is not told."""
    store = make_stores().account(ANA)
    store.create_mailbox(WORK)
    if mail_format == "maildir":
        path = mail_root / ".Work" / "dovecot-uidlist"
        path.write_bytes(path.read_bytes().replace(b" G", b" G(")[:-1] + b"\n")
    else:
        (mail_root / "folders" / "Work.mbox.metadata").write_text("mailbox-id\todd id\n")
    again = make_stores().account(ANA).status(WORK).mailbox_id
    assert again.isalnum()
    assert again == make_stores().account(ANA).status(WORK).mailbox_id


@pytest.mark.parametrize(
    "name", ["x.mbox.metadata/child", "x.mbox.metadata.tmp", "x.mbox.rewrite.tmp/y", "x.mbox.reading", "é" * 118, "x" * 237]
)
def test_names_beside_an_mbox_are_no_mailboxes(make_stores: StoresMaker, new_message: Callable[..., NewMessage], name: str) -> None:
    """A mailbox may be called as what lies beside another, and be as long as its own side files allow."""
    store = make_stores().account(ANA)
    store.create_mailbox(MailboxName("x"))
    store.annotate(MailboxName("x"), {"/private/comment": b"mine"}, 10)
    try:
        store.create_mailbox(MailboxName(name))
    except NameTooLongError:  # modified UTF-7 in one directory name
        assert name.startswith("é")
        return
    store.append(MailboxName(name), [new_message(), new_message("two")])
    store.open_mailbox(MailboxName(name)).expunge([Uid(1)])
    store.annotate(MailboxName(name), {"/private/comment": b"other"}, 10)
    again = make_stores().account(ANA)
    assert {"/private/comment": b"mine"} == again.annotations(MailboxName("x"))
    assert 1 == again.status(MailboxName(name)).messages
    again.delete_mailbox(MailboxName(name))
