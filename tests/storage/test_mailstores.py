"""Every method of the mail store ports, run over both formats."""

import io
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.content import MemoryContent
from appliance.model.errors import (
    AlreadyExistsError,
    ExpungedError,
    InvalidNameError,
    LimitError,
    NotFoundError,
    OverQuotaError,
)
from appliance.model.ids import INBOX, AccountName, MailboxName, QueueId, Uid
from appliance.model.mailbox import KEYWORD_SHIFT, Flag, FlagAction, NewMessage, QuotaLimits, SpecialUse
from appliance.storage.lineends import IN_MEMORY_BYTES
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
SENT = MailboxName("Sent")
LISTS = MailboxName("Lists")
NewMessageMaker = Callable[..., NewMessage]
StoresMaker = Callable[..., FileMailStores]


def uids(mailbox: object) -> list[int]:
    return list(mailbox.snapshot().uids)  # type: ignore[attr-defined]


def text_of(mailbox: object, uid: int) -> bytes:
    with mailbox.open_message(Uid(uid)) as stream:  # type: ignore[attr-defined]
        data: bytes = stream.read()
    return data


class TestNames:
    """LIST, CREATE, DELETE, RENAME, SUBSCRIBE."""

    def test_first_use_makes_special_folders(self, stores: FileMailStores) -> None:
        """A new account has INBOX and the special folders, all subscribed."""
        infos = stores.account(ANA).list_mailboxes()
        assert [(INBOX, True, ()), (SENT, True, (SpecialUse.SENT,))] == [(info.name, info.subscribed, info.special_uses) for info in infos]

    def test_deleted_special_folder_stays_deleted(self, make_stores: StoresMaker) -> None:
        """What its owner deleted is not made again at the next start."""
        make_stores().account(ANA).delete_mailbox(SENT)
        assert [INBOX] == [info.name for info in make_stores().account(ANA).list_mailboxes()]

    @pytest.mark.parametrize(
        "name", ["Lists/python", "v1.2/x.y", "Ação/São", "a\\b", "~home", ".hidden/..", "x.mbox/y.lock", "R&D", "日本語", "INBOX/sub"]
    )
    def test_names_come_back(self, make_stores: StoresMaker, new_message: NewMessageMaker, name: str) -> None:
        """Any name that may be created is listed as it was given, with its parents, after a restart too."""
        store = make_stores().account(ANA)
        store.create_mailbox(MailboxName(name))
        store.append(MailboxName(name), [new_message()])
        again = make_stores().account(ANA)
        listed = {info.name for info in again.list_mailboxes() if info.selectable}
        above = {name.rpartition("/")[0]} if "/" in name else set()
        assert {name, *above, "INBOX", "Sent"} == listed
        assert 1 == again.status(MailboxName(name)).messages

    @pytest.mark.parametrize("name", ["", "a//b", "/a", "a\nb", "a*", "50%", " a", "x" * 300])
    def test_bad_names(self, stores: FileMailStores, name: str) -> None:
        """Names that would harm are refused."""
        with pytest.raises(InvalidNameError):
            stores.account(ANA).create_mailbox(MailboxName(name))

    def test_inbox_in_any_case(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """INBOX is one mailbox however it is written."""
        store = stores.account(ANA)
        store.append(MailboxName("inbox"), [new_message()])
        assert 1 == store.status(INBOX).messages
        with pytest.raises(AlreadyExistsError):
            store.create_mailbox(MailboxName("InBox"))

    def test_create_twice(self, stores: FileMailStores) -> None:
        """A mailbox that exists is not created again."""
        store = stores.account(ANA)
        store.create_mailbox(LISTS)
        with pytest.raises(AlreadyExistsError):
            store.create_mailbox(LISTS)

    def test_create_with_special_use(self, make_stores: StoresMaker) -> None:
        """CREATE (USE (\\Archive)) survives a restart and a rename."""
        store = make_stores().account(ANA)
        store.create_mailbox(MailboxName("Old"), [SpecialUse.ARCHIVE, SpecialUse.IMPORTANT])
        store.rename_mailbox(MailboxName("Old"), MailboxName("Older"))
        infos = {info.name: info.special_uses for info in make_stores().account(ANA).list_mailboxes()}
        assert (SpecialUse.ARCHIVE, SpecialUse.IMPORTANT) == infos[MailboxName("Older")]

    def test_delete_keeps_children(self, stores: FileMailStores) -> None:
        """A deleted mailbox with children stays as a name that cannot be selected."""
        store = stores.account(ANA)
        store.create_mailbox(MailboxName("A/B"))
        store.delete_mailbox(MailboxName("A"))
        infos = {info.name: info.selectable for info in store.list_mailboxes()}
        assert (False, True) == (infos[MailboxName("A")], infos[MailboxName("A/B")])
        with pytest.raises(NotFoundError):
            store.open_mailbox(MailboxName("A"))

    def test_delete_what_is_open(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Sessions that have a deleted mailbox open are told that it is gone, also when a new one has its name."""
        store = stores.account(ANA)
        store.append(SENT, [new_message()])
        mailbox = store.open_mailbox(SENT)
        store.delete_mailbox(SENT)
        store.create_mailbox(SENT)
        with pytest.raises(NotFoundError):
            mailbox.refresh()
        assert store.status(SENT).messages == 0
        assert store.status(SENT).uid_validity > mailbox.snapshot().uid_validity

    def test_delete_refusals(self, stores: FileMailStores) -> None:
        """INBOX stays, and what is not there cannot be deleted."""
        with pytest.raises(InvalidNameError):
            stores.account(ANA).delete_mailbox(INBOX)
        with pytest.raises(NotFoundError):
            stores.account(ANA).delete_mailbox(LISTS)

    def test_rename_with_children(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Messages, uids, children and open sessions go along."""
        store = stores.account(ANA)
        store.create_mailbox(MailboxName("A/B"))
        store.append(MailboxName("A/B"), [new_message(), new_message("two")])
        mailbox = store.open_mailbox(MailboxName("A/B"))
        before = mailbox.snapshot()
        store.rename_mailbox(MailboxName("A"), MailboxName("X/Y"))
        assert not mailbox.refresh()
        assert before == store.open_mailbox(MailboxName("X/Y/B")).snapshot()
        assert b"body of two\r\n" == text_of(mailbox, 2)[-13:]
        assert {"INBOX", "Sent", "X", "X/Y", "X/Y/B"} == {info.name for info in store.list_mailboxes()}

    def test_rename_inbox(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Renaming INBOX moves its messages and keeps it (RFC 9051 section 6.3.6)."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        store.rename_mailbox(INBOX, MailboxName("Old"))
        assert (0, 1) == (store.status(INBOX).messages, store.status(MailboxName("Old")).messages)

    def test_rename_refusals(self, stores: FileMailStores) -> None:
        """A rename over another mailbox, into itself, or of nothing is refused."""
        store = stores.account(ANA)
        store.create_mailbox(MailboxName("A"))
        with pytest.raises(AlreadyExistsError):
            store.rename_mailbox(MailboxName("A"), SENT)
        with pytest.raises(InvalidNameError):
            store.rename_mailbox(MailboxName("A"), MailboxName("A/B"))
        with pytest.raises(NotFoundError):
            store.rename_mailbox(LISTS, MailboxName("B"))

    def test_subscriptions(self, make_stores: StoresMaker) -> None:
        """A subscription is a name, whether its mailbox exists or not."""
        store = make_stores().account(ANA)
        store.subscribe(MailboxName("Gone/deep.er"))
        store.unsubscribe(SENT)
        assert {INBOX, MailboxName("Gone/deep.er")} == make_stores().account(ANA).subscriptions()

    def test_account_names(self, stores: FileMailStores) -> None:
        """No account name leads out of the mail directory."""
        for name in ("..", "a/b", "", ".x"):
            with pytest.raises(InvalidNameError):
                stores.account(AccountName(name))


class TestAppend:
    """APPEND and what is known of the messages."""

    def test_append_and_read(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Bytes, flags, keywords, dates and uids come back, after a restart and without the index too."""
        store = make_stores().account(ANA)
        message = new_message("x", flags=Flag.SEEN | Flag.FLAGGED, keywords=("$Forwarded", "Work"), at_s=1_600_000_000)
        result = store.append(INBOX, [message, new_message("y")])
        assert (Uid(1), Uid(2)) == result.uids
        for _ in range(2):
            mailbox = make_stores().account(ANA).open_mailbox(INBOX)
            snapshot = mailbox.snapshot()
            assert (result.uid_validity, [1, 2], 3) == (snapshot.uid_validity, list(snapshot.uids), snapshot.uid_next)
            names = [name for number, name in enumerate(snapshot.keywords) if snapshot.flags[0] >> KEYWORD_SHIFT + number & 1]
            assert (Flag.SEEN | Flag.FLAGGED, ["$Forwarded", "Work"]) == (snapshot.flags[0] & 0xFF, names)
            assert message.content.open().read() == text_of(mailbox, 1)
            (summary,) = mailbox.summaries([Uid(1)])
            assert (1, message.content.size, 1_600_000_000) == (summary.uid, summary.size_bytes, summary.internal_date_s)
            assert b'"x"' in summary.envelope
            assert summary.body_structure.startswith(b"(")

    def test_all_or_none(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """When one of several messages cannot be had, none is there."""

        class Broken(MemoryContent):
            def open(self) -> io.BytesIO:
                raise OSError(5, "broken")

        store = stores.account(ANA)
        bad = NewMessage(Broken(b"x"), time.time())
        with pytest.raises(Exception, match="broken"):
            store.append(INBOX, [new_message(), bad])
        assert 0 == store.status(INBOX).messages
        store.append(INBOX, [new_message()])
        assert 1 == store.status(INBOX).messages

    def test_append_to_nothing(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A mailbox must exist."""
        with pytest.raises(NotFoundError):
            stores.account(ANA).append(LISTS, [new_message()])

    @pytest.mark.parametrize(
        "data",
        [
            b"A: b\r\n\r\nFrom me to you\r\n>From x\r\n\r\nFrom ana Thu Jan  1 00:00:00 1970\r\n",
            b"A: b\r\n\r\n",
            b"\r\nonly a body\r\n",
            b"A: b\r\n\r\nlone\rCR and \xff\x00 bytes\r\n",
            b"A: b\r\n\r\n\r\n\r\n\r\n",
            b"A: b\r\n\r\nFrom",
        ],
    )
    def test_odd_bytes(self, make_stores: StoresMaker, mail_format: str, data: bytes) -> None:
        """Bodies that look like mbox separators, are empty or binary come back; an mbox ends each message with a line end."""
        store = make_stores().account(ANA)
        store.append(INBOX, [NewMessage(MemoryContent(data), time.time()), NewMessage(MemoryContent(b"X: y\r\n\r\nz\r\n"), time.time())])
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
        expected = data + b"\r\n" if mail_format == "mbox" and not data.endswith(b"\r\n") else data
        assert [expected, b"X: y\r\n\r\nz\r\n"] == [text_of(mailbox, 1), text_of(mailbox, 2)]
        assert [len(expected), 9 + 2] == [summary.size_bytes for summary in mailbox.summaries([Uid(1), Uid(2)])]

    def test_large_message(self, make_stores: StoresMaker) -> None:
        """A message beyond the window is streamed in and out, seekable, with the same bytes."""
        line = b"From the beginning of a line, 0123456789 and more\r\n"
        data = b"Subject: large\r\n\r\n" + line * (2 * IN_MEMORY_BYTES // len(line)) + b"end\r\n"
        store = make_stores().account(ANA)
        store.append(INBOX, [NewMessage(MemoryContent(data), time.time())])
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
        with mailbox.open_message(Uid(1)) as stream:
            assert len(data) == stream.seek(0, io.SEEK_END)
            stream.seek(1_000_000)
            assert data[1_000_000:1_000_100] == stream.read(100)
            stream.seek(0)
            assert data == stream.read()
        (summary,) = mailbox.summaries([Uid(1)])
        assert len(data) == summary.size_bytes == mailbox.status().size_bytes
        mailbox.copy_to([Uid(1)], INBOX)
        mailbox.move_to([Uid(1)], SENT)
        assert data == text_of(mailbox, 2) == text_of(make_stores().account(ANA).open_mailbox(SENT), 1)

    def test_quota(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Beyond the quota nothing is added; deleting makes room."""
        store = make_stores(quotas={ANA: QuotaLimits(1_000)}).account(ANA)
        store.append(INBOX, [new_message(data=b"A: b\r\n\r\n" + b"x" * 600 + b"\r\n")])
        big = new_message(data=b"A: b\r\n\r\n" + b"y" * 600 + b"\r\n")
        with pytest.raises(OverQuotaError):
            store.append(INBOX, [big])
        store.open_mailbox(INBOX).expunge([Uid(1)])
        assert (2,) == store.append(INBOX, [big]).uids

    def test_another_quota(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """A quota that changes holds from then on, for accounts in use and for those to come; what is there stays."""
        stores = make_stores(quotas={ANA: QuotaLimits(1_000)})
        store = stores.account(ANA)
        store.append(INBOX, [new_message(data=b"A: b\r\n\r\n" + b"x" * 600 + b"\r\n")])
        stores.set_quotas({ANA: QuotaLimits(2_000), AccountName("bob"): QuotaLimits(10)})
        assert (2,) == store.append(INBOX, [new_message(data=b"A: b\r\n\r\n" + b"y" * 600 + b"\r\n")]).uids
        with pytest.raises(OverQuotaError):
            stores.account(AccountName("bob")).append(INBOX, [new_message()])
        stores.set_quotas({})
        assert 1 == len(stores.account(AccountName("bob")).append(INBOX, [new_message()]).uids)


class TestFlags:
    """STORE, CONDSTORE, keywords."""

    def test_actions(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Add, remove and replace do what they say, durably, and tell the flags now."""
        store = make_stores().account(ANA)
        store.append(INBOX, [new_message(), new_message("two")])
        mailbox = store.open_mailbox(INBOX)
        assert {1: Flag.SEEN, 2: Flag.SEEN} == mailbox.store_flags([Uid(1), Uid(2)], FlagAction.ADD, Flag.SEEN).changed
        assert {1: Flag.DELETED} == mailbox.store_flags([Uid(1)], FlagAction.REPLACE, Flag.DELETED).changed
        assert {2: 0} == mailbox.store_flags([Uid(2), Uid(9)], FlagAction.REMOVE, Flag.SEEN).changed
        assert [Flag.DELETED, 0] == list(mailbox.snapshot().flags)
        assert [Flag.DELETED, 0] == list(make_stores().account(ANA).open_mailbox(INBOX).snapshot().flags)

    def test_all_flags_and_many_keywords(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """All system flags and twenty keywords on one message survive; what does not fit in place is made to fit."""
        store = make_stores().account(ANA)
        store.append(INBOX, [new_message(), new_message("two")])
        mailbox = store.open_mailbox(INBOX)
        names = [f"keyword-{number}" for number in range(20)]
        every = Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED | Flag.DRAFT
        mailbox.store_flags([Uid(1)], FlagAction.REPLACE, every, names)
        snapshot = make_stores().account(ANA).open_mailbox(INBOX).snapshot()
        assert every == snapshot.flags[0] & 0xFF
        assert names == [name for number, name in enumerate(snapshot.keywords) if snapshot.flags[0] >> KEYWORD_SHIFT + number & 1]
        assert 0 == snapshot.flags[1]
        assert b"body of two\r\n" == text_of(mailbox, 2)[-13:]

    def test_keywords_run_out(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """When all keywords are in use another is refused; one that nobody carries gives way."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        mailbox = store.open_mailbox(INBOX)
        count = 0
        while mailbox.snapshot().more_keywords:
            mailbox.store_flags([Uid(1)], FlagAction.ADD, 0, [f"k{count}"])
            count += 1
        with pytest.raises(LimitError):
            mailbox.store_flags([Uid(1)], FlagAction.ADD, 0, ["more"])
        mailbox.store_flags([Uid(1)], FlagAction.REMOVE, 0, ["k3"])
        mailbox.store_flags([Uid(1)], FlagAction.ADD, 0, ["more"])
        assert "more" == mailbox.snapshot().keywords[3]

    def test_keyword_names(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Keywords compare without case and must be atoms."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        mailbox = store.open_mailbox(INBOX)
        mailbox.store_flags([Uid(1)], FlagAction.ADD, 0, ["Work"])
        assert {1: 0} == mailbox.store_flags([Uid(1)], FlagAction.REMOVE, 0, ["wORK"]).changed
        with pytest.raises(InvalidNameError):
            mailbox.store_flags([Uid(1)], FlagAction.ADD, 0, ["two words"])

    def test_unchanged_since(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A message changed after the given modseq is left alone and named (RFC 7162 section 3.1.3)."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message(), new_message("two")])
        mailbox = store.open_mailbox(INBOX)
        seen = mailbox.snapshot().highest_modseq
        mailbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
        result = mailbox.store_flags([Uid(1), Uid(2)], FlagAction.ADD, Flag.FLAGGED, unchanged_since=seen)
        assert ((Uid(1),), {2: Flag.FLAGGED}) == (result.failed, result.changed)

    def test_modseqs_grow(self, make_stores: StoresMaker, new_message: NewMessageMaker, tmp_path: Path) -> None:
        """Modseqs grow with every change, survive a restart, and start higher when the index is lost."""
        store = make_stores().account(ANA)
        store.append(INBOX, [new_message(), new_message("two")])
        mailbox = store.open_mailbox(INBOX)
        first = mailbox.snapshot()
        mailbox.store_flags([Uid(2)], FlagAction.ADD, Flag.SEEN)
        second = mailbox.snapshot()
        assert first.modseqs[0] == second.modseqs[0] < second.modseqs[1] == second.highest_modseq
        store.close()
        assert second == make_stores().account(ANA).open_mailbox(INBOX).snapshot()
        for path in (tmp_path / "data" / "index").iterdir():
            path.unlink()
        third = make_stores().account(ANA).open_mailbox(INBOX).snapshot()
        assert min(third.modseqs) > second.highest_modseq
        assert (second.uids, second.flags, second.uid_validity, second.uid_next) == (
            third.uids,
            third.flags,
            third.uid_validity,
            third.uid_next,
        )

    def test_snapshot_never_changes(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A snapshot that a session holds stays as it was."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        mailbox = store.open_mailbox(INBOX)
        held = mailbox.snapshot()
        mailbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
        mailbox.expunge([Uid(1)])
        assert ([1], [0]) == (list(held.uids), list(held.flags))


class TestExpunge:
    """EXPUNGE and what is gone."""

    def test_expunge(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Exactly the named messages go, their uids are never given again."""
        store = make_stores().account(ANA)
        store.append(INBOX, [new_message(str(number)) for number in range(12)])
        mailbox = store.open_mailbox(INBOX)
        gone = [1, 3, 4, 5, 6, 7, 8, 9, 10, 12]
        assert tuple(gone) == mailbox.expunge([Uid(uid) for uid in (*gone, 99)])
        assert [2, 11] == uids(mailbox)
        again = make_stores().account(ANA)
        assert [2, 11] == uids(again.open_mailbox(INBOX))
        assert b"body of 10\r\n" == text_of(again.open_mailbox(INBOX), 11)[-12:]
        assert (13,) == again.append(INBOX, [new_message()]).uids

    def test_expunge_everything(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """An emptied mailbox keeps its uid_validity and goes on counting."""
        store = make_stores().account(ANA)
        result = store.append(INBOX, [new_message(), new_message("two")])
        store.open_mailbox(INBOX).expunge([Uid(1), Uid(2)])
        store.close()
        again = make_stores().account(ANA)
        status = again.status(INBOX)
        assert (0, 3, result.uid_validity) == (status.messages, status.uid_next, status.uid_validity)

    def test_gone_message(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A message that is gone cannot be opened and has no summary."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        mailbox = store.open_mailbox(INBOX)
        mailbox.expunge([Uid(1)])
        with pytest.raises(ExpungedError):
            mailbox.open_message(Uid(1))
        assert [] == list(mailbox.summaries([Uid(1)]))

    def test_waits_for_the_queue(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """A message that the queue may still have is expunged only after the queue was asked to forget it."""
        asked: list[list[str]] = []
        stores = make_stores(ensure_settled=lambda ids: asked.append(sorted(ids)))
        stores.deliver(ANA, [(INBOX, new_message(queue_id="Q1")), (INBOX, new_message("two", queue_id="Q2"))])
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        mailbox.expunge([Uid(1)])
        mailbox.move_to([Uid(2)], SENT)
        assert [["Q1"], ["Q2"]] == asked
        stores.deliver(ANA, [(INBOX, new_message(queue_id="Q3"))])
        for _ in range(4):
            stores.settle()
        mailbox.refresh()
        mailbox.expunge(mailbox.snapshot().uids)  # type: ignore[arg-type]
        assert 2 == len(asked)


class TestCopy:
    """COPY and MOVE."""

    def test_copy(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Bytes, flags, keywords and internal dates are copied; uids run in parallel; what is gone is in neither."""
        store = make_stores().account(ANA)
        store.append(SENT, [new_message("other", keywords=("x", "y"))])
        store.append(INBOX, [new_message("a", flags=Flag.SEEN, keywords=("y",), at_s=1_500_000_000), new_message("b")])
        inbox = store.open_mailbox(INBOX)
        result = inbox.copy_to([Uid(2), Uid(1), Uid(7)], SENT)
        assert ((1, 2), (2, 3)) == (result.source, result.destination)
        for opened in (store, make_stores().account(ANA)):
            sent = opened.open_mailbox(SENT)
            snapshot = sent.snapshot()
            assert result.uid_validity == snapshot.uid_validity
            keyword = 1 << KEYWORD_SHIFT + snapshot.keywords.index("y")
            assert [Flag.SEEN | keyword, 0] == list(snapshot.flags)[1:]
            assert text_of(inbox, 1) == text_of(sent, 2)
            assert 1_500_000_000 == sent.summaries([Uid(2)])[0].internal_date_s
        assert [1, 2] == uids(inbox)

    def test_copy_to_itself(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A copy into the same mailbox is another message."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        inbox = store.open_mailbox(INBOX)
        assert (2,) == inbox.copy_to([Uid(1)], INBOX).destination
        assert text_of(inbox, 1) == text_of(inbox, 2)

    def test_move(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Moved messages are in the destination only."""
        store = make_stores().account(ANA)
        store.append(INBOX, [new_message("a", flags=Flag.SEEN), new_message("b"), new_message("c")])
        inbox = store.open_mailbox(INBOX)
        result = inbox.move_to([Uid(1), Uid(3)], SENT)
        assert ((1, 3), (1, 2)) == (result.source, result.destination)
        for opened in (store, make_stores().account(ANA)):
            assert [2] == uids(opened.open_mailbox(INBOX))
            sent = opened.open_mailbox(SENT)
            assert ([1, 2], [Flag.SEEN, 0]) == (uids(sent), list(sent.snapshot().flags))
            assert b"body of c\r\n" == text_of(sent, 2)[-11:]

    def test_move_within(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A move into the same mailbox gives a new uid."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message("a"), new_message("b")])
        inbox = store.open_mailbox(INBOX)
        assert (3,) == inbox.move_to([Uid(1)], INBOX).destination
        assert [2, 3] == uids(inbox)
        assert b"body of a\r\n" == text_of(inbox, 3)[-11:]

    def test_copy_to_nothing(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """The destination must exist."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        with pytest.raises(NotFoundError):
            store.open_mailbox(INBOX).copy_to([Uid(1)], LISTS)


class TestDelivery:
    """deliver and settle."""

    def test_deliver(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Delivered messages show with the next refresh, recent, in order; missing mailboxes are made."""
        stores = make_stores()
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        batch = [(INBOX, new_message("a", queue_id="Qa")), (MailboxName("Junk"), new_message("b", queue_id="Qb"))]
        assert [None, None] == stores.deliver(ANA, batch)
        assert [] == uids(mailbox)
        assert mailbox.refresh()
        assert [1] == uids(mailbox)
        assert {1} == mailbox.claim_recent()
        assert 1 == make_stores().account(ANA).status(MailboxName("Junk")).messages

    def test_settle(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Small batches, large ones, and batches whose files have moved since can be settled."""
        for count in (1, 20, 2):
            stores.deliver(ANA, [(INBOX, new_message(str(number), queue_id=f"Q{count}x{number}")) for number in range(count)])
            if count == 2:
                stores.account(ANA).open_mailbox(INBOX).claim_recent()
            stores.settle()
        assert 23 == stores.account(ANA).status(INBOX).messages

    def test_repeated_delivery(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """A queue id that is there already is kept, in this process and after a restart."""
        message = new_message("a", queue_id="Q1", at_s=1_700_000_000)
        for stores in (make_stores(), make_stores()):
            for _ in range(2):
                assert [None] == stores.deliver(ANA, [(INBOX, message)])
            assert [1] == uids(stores.account(ANA).open_mailbox(INBOX))

    def test_origins(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """What the queue delivered tells its queue id, also after a restart; what a client put there has none."""
        make_stores().deliver(ANA, [(INBOX, new_message("a", queue_id="Q1")), (INBOX, new_message("b", queue_id="Q2"))])
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
        mailbox.append([new_message("c")])
        assert ["Q1", "Q2"] == list(mailbox.origins([Uid(1), Uid(2), Uid(3), Uid(99)]))

    def test_repeated_after_deletion(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """What its owner has deleted does not come back."""
        stores.deliver(ANA, [(INBOX, new_message("a", queue_id="Q1"))])
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        mailbox.expunge([Uid(1)])
        stores.deliver(ANA, [(INBOX, new_message("a", queue_id="Q1"))])
        assert 0 == stores.account(ANA).status(INBOX).messages

    def test_over_quota(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Each message has its own result: what fits is delivered."""
        stores = make_stores(quotas={ANA: QuotaLimits(1_500)})
        big = new_message(data=b"A: b\r\n\r\n" + b"x" * 5_000 + b"\r\n", queue_id="Q1")
        first, second = stores.deliver(ANA, [(INBOX, big), (INBOX, new_message("a", queue_id="Q2"))])
        assert isinstance(first, OverQuotaError)
        assert second is None

    def test_bad_mailbox_name(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """A name that cannot be is the error of its messages alone."""
        first, second = stores.deliver(ANA, [(MailboxName("a//b"), new_message()), (INBOX, new_message())])
        assert isinstance(first, InvalidNameError)
        assert second is None

    def test_internal_date_is_arrival(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """The internal date is when the queue took the message, whenever it is delivered, and survives without index."""
        make_stores().deliver(ANA, [(INBOX, new_message(queue_id="Q1", at_s=1_650_000_000.7))])
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
        assert 1_650_000_000 == mailbox.summaries([Uid(1)])[0].internal_date_s


class TestSharing:
    """Several sessions, feed, recent, the index."""

    def test_recent_is_told_once(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """Each message is recent for one caller, over restarts too."""
        stores = make_stores()
        stores.deliver(ANA, [(INBOX, new_message(queue_id="Q1"))])
        store = stores.account(ANA)
        assert 1 == store.status(INBOX).recent
        mailbox = store.open_mailbox(INBOX)
        assert [{1}, set()] == [set(mailbox.claim_recent()), set(mailbox.claim_recent())]
        assert frozenset() == make_stores().account(ANA).open_mailbox(INBOX).claim_recent()

    def test_feed(self, stores: FileMailStores, new_message: NewMessageMaker, feed: object) -> None:
        """Each change is published, to both mailboxes of a move."""
        store = stores.account(ANA)
        stores.deliver(ANA, [(INBOX, new_message(queue_id="Q1"))])
        inbox = store.open_mailbox(INBOX)
        inbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
        inbox.move_to([Uid(1)], SENT)
        store.open_mailbox(SENT).expunge([Uid(1)])
        store.append(SENT, [new_message()])
        published = [name for _, name in feed.published]  # type: ignore[attr-defined]
        assert [INBOX, INBOX, SENT, INBOX, SENT, SENT] == published

    def test_sessions_share_a_mailbox(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """What one session changes the other sees without a look at the disk."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message()])
        one, other = store.open_mailbox(INBOX), store.open_mailbox(INBOX)
        one.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
        assert [Flag.SEEN] == list(other.snapshot().flags)

    def test_index_deleted_while_open(self, stores: FileMailStores, new_message: NewMessageMaker, tmp_path: Path) -> None:
        """The index may vanish at any moment; it is built again with the same modseqs."""
        store = stores.account(ANA)
        store.append(INBOX, [new_message(), new_message("two")])
        mailbox = store.open_mailbox(INBOX)
        mailbox.summaries([Uid(1)])
        before = mailbox.snapshot()
        for path in (tmp_path / "data" / "index").iterdir():
            path.unlink()
        assert not mailbox.refresh()
        assert 2 == len(mailbox.summaries([Uid(1), Uid(2)]))
        mailbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN)
        store.close()
        assert (tmp_path / "data" / "index" / "ana.db").exists()
        assert before.modseqs[1] == mailbox.snapshot().modseqs[1]

    def test_index_is_garbage(self, make_stores: StoresMaker, new_message: NewMessageMaker, tmp_path: Path) -> None:
        """A damaged index is thrown away and built again."""
        stores = make_stores()
        stores.account(ANA).append(INBOX, [new_message()])
        stores.close()
        index = tmp_path / "data" / "index" / "ana.db"
        index.write_bytes(b"not a database" * 500)
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
        assert b'"one"' in mailbox.summaries([Uid(1)])[0].envelope

    def test_threads(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Deliveries, flag changes and expunges from several threads leave every message once."""
        store = stores.account(ANA)
        mailbox = store.open_mailbox(INBOX)
        errors: list[BaseException] = []

        def deliver(worker: int) -> None:
            try:
                for number in range(15):
                    message = new_message(f"{worker}-{number}", queue_id=f"Q{worker}x{number}")
                    assert [None] == stores.deliver(ANA, [(INBOX, message)])
                    mailbox.refresh()
                    mailbox.store_flags(mailbox.snapshot().uids[-1:], FlagAction.ADD, Flag.SEEN)  # type: ignore[arg-type]
            except BaseException as error:  # noqa: BLE001  - told to the main thread
                errors.append(error)

        threads = [threading.Thread(target=deliver, args=(worker,)) for worker in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == errors
        mailbox.refresh()
        assert list(range(1, 46)) == uids(mailbox)
        subjects = {summary.envelope for summary in mailbox.summaries([Uid(uid) for uid in uids(mailbox)])}
        assert 45 == len(subjects)

    def test_renderer_fails(self, make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
        """A message that the renderer cannot take is delivered, listed and readable."""

        class Broken:
            def summarise(self, data: bytes) -> object:
                raise ValueError("too odd")

            summarise_stream = summarise

        stores = make_stores(summariser=Broken())
        assert [None] == stores.deliver(ANA, [(INBOX, new_message(queue_id="Q1"))])
        mailbox = stores.account(ANA).open_mailbox(INBOX)
        (summary,) = mailbox.summaries([Uid(1)])
        assert summary.envelope.startswith(b"(NIL")
        assert len(text_of(mailbox, 1)) == summary.size_bytes

    def test_other_account_is_other_mail(self, stores: FileMailStores, new_message: NewMessageMaker) -> None:
        """Accounts do not see each other."""
        stores.account(ANA).append(INBOX, [new_message()])
        assert 0 == stores.account(AccountName("bo")).status(INBOX).messages
        assert QueueId("Q") == "Q"


def test_is_fresh(make_stores: StoresMaker, new_message: NewMessageMaker, mail_root: Path) -> None:
    """Nothing need be looked at while nothing happened; a delivery, another program and a deleted index each are news."""
    stores = make_stores()
    store = stores.account(ANA)
    store.append(INBOX, [new_message("a")])
    mailbox = store.open_mailbox(INBOX)
    mailbox.store_flags([Uid(1)], FlagAction.ADD, int(Flag.SEEN))
    mailbox.refresh()
    assert mailbox.is_fresh()
    stores.deliver(ANA, [(INBOX, new_message("b", queue_id="Q1"))])
    assert not mailbox.is_fresh()
    mailbox.refresh()
    assert mailbox.is_fresh()
    (mail_root.parent.parent / "index" / "ana.db").unlink()
    assert not mailbox.is_fresh()
    mailbox.refresh()
    assert mailbox.is_fresh()
    shutil.rmtree(mail_root)
    assert not mailbox.is_fresh()


@pytest.mark.parametrize("leaves_root", [True, False])
@pytest.mark.parametrize("way", ["append", "copy", "open", "status"])
def test_inbox_always_exists(stores: FileMailStores, new_message: NewMessageMaker, mail_root: Path, leaves_root: bool, way: str) -> None:
    """Another program that removes a whole account's mail under a running server leaves an empty INBOX, never none (RFC 9051 section 5.1)."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message("a")])
    before = store.open_mailbox(INBOX).snapshot()
    shutil.rmtree(mail_root)
    if leaves_root:
        mail_root.mkdir()
    if way == "append":
        store.append(INBOX, [new_message("b")])
    elif way == "copy":
        store.create_mailbox(MailboxName("Other"))
        store.append(MailboxName("Other"), [new_message("b")])
        store.open_mailbox(MailboxName("Other")).copy_to([Uid(1)], INBOX)
    elif way == "open":
        assert 0 == len(store.open_mailbox(INBOX).snapshot().uids)
    assert int(way in {"append", "copy"}) == store.status(INBOX).messages
    after = store.open_mailbox(INBOX).snapshot()
    assert (after.uid_validity, after.uid_next) > (before.uid_validity, before.uid_next - 1)


@pytest.mark.parametrize("leaves_root", [True, False])
def test_delivery_after_everything_was_removed(
    stores: FileMailStores, new_message: NewMessageMaker, mail_root: Path, leaves_root: bool
) -> None:
    """Another program that removes a whole account's mail under a running server stops no delivery: INBOX is made anew."""
    assert [None] == stores.deliver(ANA, [(INBOX, new_message("a", queue_id="Q1"))])
    stores.settle()
    shutil.rmtree(mail_root)
    if leaves_root:
        mail_root.mkdir()
    assert [None] == stores.deliver(ANA, [(INBOX, new_message("b", queue_id="Q2"))])
    assert 1 == stores.account(ANA).status(INBOX).messages


def test_a_copy_to_nowhere_hides_nothing(stores: FileMailStores, new_message: NewMessageMaker) -> None:
    """COPY and MOVE to a mailbox that does not exist are refused, and what was never looked at before is still shown whole."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message("a"), new_message("b")])
    inbox = store.open_mailbox(INBOX)
    for transfer in (inbox.copy_to, inbox.move_to):
        with pytest.raises(NotFoundError):
            transfer([Uid(1)], MailboxName("Nowhere"))
    assert [1, 2] == [summary.uid for summary in inbox.summaries([Uid(1), Uid(2)])]


def test_summaries_of_what_moved_meanwhile(stores: FileMailStores, new_message: NewMessageMaker, mail_root: Path) -> None:
    """Another program that rewrites or renames between our look and the reading costs a second look, not the answer."""
    store = stores.account(ANA)
    store.append(INBOX, [new_message("a"), new_message("b")])
    inbox = store.open_mailbox(INBOX)
    inbox.claim_recent()
    if (mail_root / "ana.mbox").exists():
        data = (mail_root / "ana.mbox").read_bytes()
        (mail_root / "ana.mbox").write_bytes(b"\n".join(data.split(b"\n")) + b"From bo@example.com Thu Jan  1 00:00:10 2026\n\nx\n")
    else:
        for path in list((mail_root / "cur").iterdir()):
            path.rename(path.with_name(path.name + "F"))
    assert [1, 2] == [summary.uid for summary in inbox.summaries([Uid(1), Uid(2)])]


def test_what_a_refused_append_leaves_can_be_read(make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
    """A mailbox that was about to be changed and was not is looked at again before a message counts as gone."""
    stores = make_stores(quotas={ANA: QuotaLimits(200)})
    store = stores.account(ANA)
    store.append(INBOX, [new_message("first")])
    mailbox = store.open_mailbox(INBOX)
    with pytest.raises(OverQuotaError):
        store.append(INBOX, [new_message("x" * 300)])
    assert [1] == [summary.uid for summary in mailbox.summaries([Uid(1)])]


def test_appended_just_before_a_kill(make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
    """Rows of a stream of messages may be in memory only: after a kill each has its uid and flags, and a modseq that is not below the one told."""
    store = make_stores().account(ANA)
    mailbox = store.open_mailbox(INBOX)
    for name in ("a", "b", "c"):
        store.append(INBOX, [new_message(name)])
    mailbox.expunge([Uid(2)])
    store.append(INBOX, [new_message("d")])
    told = mailbox.snapshot()
    again = make_stores().account(ANA).open_mailbox(INBOX).snapshot()  # beside the first, which never closed its index
    assert (told.uid_validity, list(told.uids), list(told.flags)) == (again.uid_validity, list(again.uids), list(again.flags))
    assert told.uid_next == again.uid_next
    assert all(one <= other for one, other in zip(told.modseqs, again.modseqs, strict=True))
    assert told.highest_modseq <= again.highest_modseq


@pytest.mark.parametrize(
    "changes", [[FlagAction.ADD], [FlagAction.ADD, FlagAction.REMOVE], [FlagAction.ADD, FlagAction.REMOVE, FlagAction.ADD]]
)
def test_flags_told_before_a_kill(make_stores: StoresMaker, new_message: NewMessageMaker, changes: list[FlagAction]) -> None:
    """Whatever was in memory only: after a kill a message whose flags changed has them, and a modseq that is not below the one told."""
    stores = make_stores()
    store = stores.account(ANA)
    store.append(INBOX, [new_message(name) for name in ("a", "b")])
    mailbox = store.open_mailbox(INBOX)
    for action in changes:
        mailbox.store_flags([Uid(2)], action, int(Flag.FLAGGED))
    told = mailbox.snapshot()
    again = make_stores().account(ANA).open_mailbox(INBOX).snapshot()  # beside the first, which never closed its index
    assert list(told.flags) == list(again.flags)
    assert told.modseqs[0] == again.modseqs[0]
    assert told.modseqs[1] <= again.modseqs[1] <= again.highest_modseq
