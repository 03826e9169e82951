"""What other programs do to a Maildir is noticed: cp, rm, mv, mutt, Dovecot."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.errors import ExpungedError, NotFoundError
from appliance.model.ids import INBOX, AccountName, MailboxName, Uid
from appliance.model.mailbox import KEYWORD_SHIFT, Flag, FlagAction, NewMessage
from appliance.storage import watch
from appliance.storage.mailbox import FileMailbox
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
NewMessageMaker = Callable[..., NewMessage]
StoresMaker = Callable[..., FileMailStores]


@pytest.fixture
def mail_format() -> str:
    return "maildir"


@pytest.fixture(params=["counted", "by time"], autouse=True)
def noticing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are noticed where the kernel counts them, and where only file times tell."""

    def missing() -> None:
        raise OSError("no inotify on this system")

    if request.param == "by time":
        monkeypatch.setattr(watch, "InotifyQueue", missing)


@pytest.fixture
def inbox(stores: FileMailStores, new_message: NewMessageMaker) -> FileMailbox:
    """INBOX with three messages, no longer recent."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message(name) for name in ("a", "b", "c")])
    mailbox = store.open_mailbox(INBOX)
    mailbox.claim_recent()
    return mailbox


def file_of(root: Path, uid: int) -> Path:
    """Return a message's file, by the uidlist as another program would."""
    for line in (root / "dovecot-uidlist").read_text().splitlines()[1:]:
        number, _, base = line.partition(" :")
        if int(number) == uid:
            return next(path for part in ("cur", "new") for path in (root / part).iterdir() if path.name.startswith(base))
    raise AssertionError(uid)


def uids(mailbox: FileMailbox) -> list[int]:
    return list(mailbox.snapshot().uids)


def test_nothing_changed(inbox: FileMailbox) -> None:
    """Without a change there is no news."""
    assert not inbox.refresh()


def test_rm(inbox: FileMailbox, mail_root: Path) -> None:
    """A removed file is an expunged message; the others keep their uids."""
    file_of(mail_root, 2).unlink()
    with pytest.raises(ExpungedError):
        inbox.open_message(Uid(2))
    assert inbox.refresh()
    assert [1, 3] == uids(inbox)


def test_cp(inbox: FileMailbox, mail_root: Path) -> None:
    """A file copied into new/ or cur/ under any name is a new message, its date from the name or the file."""
    (mail_root / "new" / "1500000000.foreign.host").write_bytes(b"Subject: x\n\nlf only\n")
    (mail_root / "cur" / "handmade:2,FS").write_bytes(b"Subject: y\r\n\r\ncrlf\r\n")
    os.utime(mail_root / "cur" / "handmade:2,FS", (1_400_000_000, 1_400_000_000))
    assert inbox.refresh()
    assert [1, 2, 3, 4, 5] == uids(inbox)
    assert Flag.FLAGGED | Flag.SEEN == inbox.snapshot().flags[4]
    dates = [(summary.internal_date_s, summary.size_bytes) for summary in inbox.summaries([Uid(4), Uid(5)])]
    assert [(1_500_000_000, 23), (1_400_000_000, 20)] == dates
    assert b"Subject: y\r\n\r\ncrlf\r\n" == inbox.open_message(Uid(5)).read()
    assert {4} == inbox.claim_recent()
    assert (mail_root / "cur" / "1500000000.foreign.host:2,").exists()


def test_flags_renamed(inbox: FileMailbox, mail_root: Path) -> None:
    """A file renamed with other flags keeps its uid and gets a higher modseq."""
    before = inbox.snapshot()
    path = file_of(mail_root, 2)
    path.rename(path.with_name(path.name.replace(":2,", ":2,FRS")))
    assert inbox.refresh()
    after = inbox.snapshot()
    assert [0, Flag.FLAGGED | Flag.ANSWERED | Flag.SEEN, 0] == list(after.flags)
    assert [before.modseqs[0], before.modseqs[2]] == [after.modseqs[0], after.modseqs[2]]
    assert after.modseqs[1] > before.highest_modseq


def test_renamed_between_look_and_step(inbox: FileMailbox, mail_root: Path) -> None:
    """A message renamed behind our back is opened, changed and copied all the same."""
    path = file_of(mail_root, 1)
    path.rename(path.with_name(path.name + "R"))
    assert b"body of a" in inbox.open_message(Uid(1)).read()
    path = file_of(mail_root, 1)
    path.rename(path.with_name(path.name.replace(":2,R", ":2,FR")))
    assert {1: Flag.ANSWERED | Flag.FLAGGED | Flag.SEEN} == inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN).changed
    assert (1,) == inbox.copy_to([Uid(1)], MailboxName("Sent")).destination


def test_letters_that_are_not_ours(inbox: FileMailbox, mail_root: Path) -> None:
    """mutt's P (passed) stays in the name when we change flags, and odd orders are understood."""
    path = file_of(mail_root, 1)
    path.rename(path.with_name(path.name + "SP"))
    inbox.refresh()
    inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.FLAGGED)
    assert file_of(mail_root, 1).name.endswith(":2,FPS")
    assert b"body of a" in inbox.open_message(Uid(1)).read()
    inbox.store_flags([Uid(1)], FlagAction.REPLACE, 0)
    assert file_of(mail_root, 1).name.endswith(":2,P")


def test_mutt_moves_new_to_cur(stores: FileMailStores, new_message: NewMessageMaker, mail_root: Path) -> None:
    """A message that mutt moved to cur/ keeps its uid and is not recent any more."""
    stores.deliver(ANA, [(INBOX, new_message(queue_id="Q1")), (INBOX, new_message(queue_id="Q2"))])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    path = file_of(mail_root, 1)
    path.rename(mail_root / "cur" / (path.name + ":2,S"))
    assert mailbox.refresh()
    assert ([1, 2], [Flag.SEEN, 0]) == (uids(mailbox), list(mailbox.snapshot().flags))
    assert {2} == mailbox.claim_recent()


def test_lost_uidlist(inbox: FileMailbox, mail_root: Path) -> None:
    """Without the uidlist uids mean nothing: a new, higher uid_validity, all messages in order of arrival."""
    before = inbox.snapshot()
    (mail_root / "dovecot-uidlist").unlink()
    assert inbox.refresh()
    after = inbox.snapshot()
    assert after.uid_validity > before.uid_validity
    assert [1, 2, 3] == list(after.uids)
    assert 3 == len(inbox.summaries([Uid(1), Uid(2), Uid(3)]))


def test_uidlist_written_by_dovecot(inbox: FileMailbox, mail_root: Path) -> None:
    """Dovecot's rewritten list, with sizes and other fields, is taken as it is."""
    lines = (mail_root / "dovecot-uidlist").read_text().splitlines()
    validity = lines[0].split()[1]
    (mail_root / "cur" / "1600000000.M1P2.host,S=20,W=23:2,").write_bytes(b"Subject: x\n\nlf only\n")
    rewritten = [f"3 {validity} N41 Gabcdef0123456789", *lines[1:3], "40 S20 W23 :1600000000.M1P2.host,S=20,W=23"]
    (mail_root / "dovecot-uidlist").write_text("\n".join(rewritten) + "\n")
    file_of(mail_root, 2)
    assert inbox.refresh()
    snapshot = inbox.snapshot()
    assert [1, 2, 40, 41] == list(snapshot.uids)
    assert b"body of c" in inbox.open_message(Uid(41)).read()
    assert b"lf only" in inbox.open_message(Uid(40)).read()
    assert "G" + "abcdef0123456789" == (mail_root / "dovecot-uidlist").read_text().split()[3]


@pytest.mark.parametrize("damage", [b"", b"garbage\n", b"3 V0 N1 Gx\n", b"3 Vx N1 Gx\n"])
def test_damaged_uidlist(inbox: FileMailbox, mail_root: Path, damage: bytes) -> None:
    """A list that makes no sense is as good as none."""
    before = inbox.snapshot()
    (mail_root / "dovecot-uidlist").write_bytes(damage)
    assert inbox.refresh()
    assert inbox.snapshot().uid_validity > before.uid_validity
    assert [1, 2, 3] == uids(inbox)


def test_cut_uidlist(make_stores: StoresMaker, inbox: FileMailbox, mail_root: Path) -> None:
    """A last line that a crash cut is dropped; its message gets a new uid, for its old one was told."""
    validity = inbox.snapshot().uid_validity
    data = (mail_root / "dovecot-uidlist").read_bytes()
    (mail_root / "dovecot-uidlist").write_bytes(data[:-30])
    snapshot = make_stores().account(ANA).open_mailbox(INBOX).snapshot()
    assert (validity, [1, 2, 4]) == (snapshot.uid_validity, list(snapshot.uids))
    assert (mail_root / "dovecot-uidlist").read_bytes().endswith(b"\n")


def test_removed_while_stopped(make_stores: StoresMaker, inbox: FileMailbox, mail_root: Path) -> None:
    """What went while nobody looked is gone, and its uid is not given again."""
    file_of(mail_root, 3).unlink()
    mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    assert ([1, 2], 4) == (uids(mailbox), mailbox.snapshot().uid_next)
    assert "3 :" not in (mail_root / "dovecot-uidlist").read_text()


def test_folder_by_hand(stores: FileMailStores, mail_root: Path) -> None:
    """A Maildir++ folder made by another program is a mailbox; what is none is not listed."""
    for part in ("cur", "new", "tmp"):
        (mail_root / ".Lists.S&AOM-o" / part).mkdir(parents=True)
        (mail_root / "..hidden" / part).mkdir(parents=True)
    (mail_root / ".mutt").mkdir()
    names = {info.name: info.selectable for info in stores.account(ANA).list_mailboxes()}
    assert {"INBOX": True, "Lists": False, "Lists/São": True, "Sent": True} == names


def test_folder_removed_by_hand(stores: FileMailStores, mail_root: Path, new_message: NewMessageMaker) -> None:
    """A folder that another program removed is gone for open sessions, and delivery makes it again."""
    store = stores.account(ANA)
    mailbox = store.open_mailbox(MailboxName("Sent"))
    shutil.rmtree(mail_root / ".Sent")
    with pytest.raises(NotFoundError):
        mailbox.refresh()
    with pytest.raises(NotFoundError):
        store.open_mailbox(MailboxName("Sent"))
    assert [None] == stores.deliver(ANA, [(MailboxName("Sent"), new_message(queue_id="Q1"))])
    assert 1 == store.status(MailboxName("Sent")).messages


def test_keyword_letters_without_file(inbox: FileMailbox, mail_root: Path) -> None:
    """Letters that no dovecot-keywords explains are keywords without a name of their own."""
    path = file_of(mail_root, 1)
    path.rename(path.with_name(path.name + "c"))
    inbox.refresh()
    snapshot = inbox.snapshot()
    assert (1 << KEYWORD_SHIFT + 2, ("unknown-0", "unknown-1", "unknown-2")) == (snapshot.flags[0], snapshot.keywords)


def test_junk_in_the_directories(inbox: FileMailbox, mail_root: Path) -> None:
    """Hidden files and directories in cur/ are no messages."""
    (mail_root / "cur" / ".nfs0001").write_bytes(b"x")
    (mail_root / "cur" / "directory").mkdir()
    inbox.refresh()
    assert [1, 2, 3] == uids(inbox)


def test_short_file_is_replaced(make_stores: StoresMaker, new_message: NewMessageMaker, mail_root: Path) -> None:
    """A file that a crash left empty or wrong is replaced when the queue delivers it again, under the same uid."""
    message = new_message("a", queue_id="Q1", at_s=1_700_000_000)
    stores = make_stores()
    stores.deliver(ANA, [(INBOX, message)])
    stores.settle()
    for damage in (b"", b"X" * len(file_of(mail_root, 1).read_bytes())):
        file_of(mail_root, 1).write_bytes(damage)
        stores = make_stores()
        stores.deliver(ANA, [(INBOX, message)])
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        assert [1] == uids(mailbox)
        assert message.content.open().read() == mailbox.open_message(Uid(1)).read()


def test_leftovers(make_stores: StoresMaker, inbox: FileMailbox, mail_root: Path) -> None:
    """What crashes left is removed at the next start: old files in tmp/, folders on their way out."""
    old, young = mail_root / "tmp" / "old", mail_root / "tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    (mail_root / "..deleted-Lists" / "cur").mkdir(parents=True)
    assert uids(inbox) == uids(make_stores().account(ANA).open_mailbox(INBOX))
    assert (False, True, False) == (old.exists(), young.exists(), (mail_root / "..deleted-Lists").exists())


def test_copy_is_a_hard_link(inbox: FileMailbox, mail_root: Path) -> None:
    """A copy takes no space."""
    inbox.copy_to([Uid(1)], MailboxName("Sent"))
    assert 2 == file_of(mail_root, 1).stat().st_nlink


@pytest.mark.parametrize("header", ["N4294967296", "N4294967295", "N" + "9" * 5_000])
def test_no_uid_left(make_stores: StoresMaker, new_message: NewMessageMaker, mail_root: Path, header: str) -> None:
    """A uidlist whose UIDs are used up, by whomever, is replaced by one with a new uid_validity; mail is delivered and read."""
    make_stores().account(ANA).append(INBOX, [new_message("a")])
    uidlist = mail_root / "dovecot-uidlist"
    uidlist.write_text(uidlist.read_text().replace("N2", header, 1).replace("N1", header, 1))
    stores = make_stores()
    stores.deliver(ANA, [(INBOX, new_message("b", queue_id="Q1"))])
    assert [1, 2] == uids(stores.account(ANA).open_mailbox(INBOX))


def test_no_uid_left_while_open(inbox: FileMailbox, stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """UIDs that run out in a running server start anew at the next look."""
    validity = inbox.snapshot().uid_validity
    inbox.folder.next_uid = 0xFFFF_0000 + 5
    inbox.refresh()
    assert validity != inbox.snapshot().uid_validity
    stores.deliver(ANA, [(INBOX, new_message("d", queue_id="Q1"))])
    inbox.refresh()
    assert [1, 2, 3, 4] == uids(inbox)


def test_folder_with_too_long_a_name(inbox: FileMailbox, stores: FileMailStores, mail_root: Path) -> None:
    """A directory that no mailbox name leads to is left alone; the others are listed."""
    (mail_root / ("." + "x" * 250) / "cur").mkdir(parents=True)
    assert ["INBOX", "Sent"] == sorted(info.name for info in stores.account(ANA).list_mailboxes())


def test_change_between_two_of_ours(inbox: FileMailbox, mail_root: Path) -> None:
    """A file that another program removes between two changes of ours is noticed, and ours are not mistaken for others'."""
    for round_number in range(20):
        inbox.store_flags([Uid(1)], FlagAction.ADD if round_number % 2 else FlagAction.REMOVE, int(Flag.FLAGGED))
    file_of(mail_root, 2).unlink()
    inbox.store_flags([Uid(1)], FlagAction.REPLACE, int(Flag.SEEN))
    assert [1, 3] == uids(inbox)
    assert Flag.SEEN == inbox.snapshot().flags[0]


def test_a_file_without_a_name_keeps_its_uid(make_stores: StoresMaker, mail_root: Path, inbox: FileMailbox) -> None:
    """A name of nothing but flags is no good one, and still the message has one uid for good."""
    (mail_root / "cur" / ":2,S").write_bytes(b"Subject: odd\n\nx\n")
    assert inbox.refresh()
    known = uids(inbox)
    assert 4 == len(known)
    assert known == uids(make_stores().account(ANA).open_mailbox(INBOX))


def test_what_another_program_took_away_is_told(stores: FileMailStores, new_message: NewMessageMaker, mail_root: Path) -> None:
    """By the queue id of the delivery, also when the uidlist was rewritten; what is renamed, moved or expunged by us is not."""
    told: list[tuple[str, str, list[str]]] = []
    stores.vanished = lambda account, mailbox, queue_ids: told.append((account, mailbox, list(queue_ids)))
    stores.deliver(ANA, [(INBOX, new_message(text, queue_id=text)) for text in ("Q1", "Q2", "Q3", "Q4", "Q5")])
    store = stores.account(ANA)
    store.create_mailbox(MailboxName("Other"))
    mailbox = store.open_mailbox(INBOX)
    seen = file_of(mail_root, 1)
    seen.rename(mail_root / "cur" / f"{seen.name.partition(':')[0]}:2,S")
    mailbox.expunge([Uid(2)])
    mailbox.move_to([Uid(3)], MailboxName("Other"))
    mailbox.refresh()
    assert [] == told
    file_of(mail_root, 4).unlink()
    mailbox.refresh()
    assert [("ana", "INBOX", ["Q4"])] == told
    file_of(mail_root, 5).unlink()
    (mail_root / "dovecot-uidlist").write_text((mail_root / "dovecot-uidlist").read_text() + "\n")
    mailbox.refresh()
    assert [("ana", "INBOX", ["Q5"])] == told[1:]
