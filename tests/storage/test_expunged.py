"""Which uids went, told from a modseq on: over both formats, through restarts, other programs and a lost index."""

import mailbox as stdlib_mailbox
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.ids import INBOX, AccountName, MailboxName, ModSeq, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage, Told
from appliance.model.uidranges import absent, common, joined, ranges_of
from appliance.storage import index
from appliance.storage.mailbox import FileMailbox
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
StoresMaker = Callable[..., FileMailStores]
NewMessageMaker = Callable[..., NewMessage]
Range = tuple[int, int]


def _expand(ranges: Iterable[Range]) -> set[int]:
    return {uid for first, last in ranges for uid in range(first, last + 1)}


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9))), st.sets(st.integers(1, 70)))
def test_ranges_are_sets(pairs: list[Range], present: set[int]) -> None:
    """Joining and taking away give what sets give, in order and with gaps between."""
    ranges = [(first, first + more) for first, more in pairs]
    found = joined(ranges)
    assert _expand(ranges) == _expand(found)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))
    assert _expand(ranges) - present == _expand(absent(found, sorted(present)))
    assert found == ranges_of(_expand(ranges))
    assert _expand(found) & present == _expand(common(found, ranges_of(present)))


@pytest.fixture
def fill(new_message: NewMessageMaker) -> Callable[[FileMailStores, int], FileMailbox]:
    """Return a function that puts so many messages into INBOX and opens it."""

    def fill(stores: FileMailStores, count: int) -> FileMailbox:
        store = stores.account(ANA)
        store.append(INBOX, [new_message(str(number)) for number in range(count)])
        return store.open_mailbox(INBOX)

    return fill


def _expunge(mailbox: FileMailbox, *uids: int) -> None:
    assert uids == mailbox.expunge([Uid(uid) for uid in uids])


def _told(mailbox: FileMailbox) -> ModSeq:
    return mailbox.snapshot().highest_modseq


def test_expunges_are_told_from_a_modseq_on(make_stores: StoresMaker, fill: Callable[..., FileMailbox]) -> None:
    """Each expunge is told to who has not seen it, also after a restart, and moves the mailbox's modseq."""
    stores = make_stores()
    mailbox = fill(stores, 6)
    before = _told(mailbox)
    _expunge(mailbox, 2, 3)
    between = _told(mailbox)
    _expunge(mailbox, 5)
    after = _told(mailbox)
    assert before < between < after
    stores.close()
    for opened in (mailbox, make_stores().account(ANA).open_mailbox(INBOX)):
        assert [[(2, 3), (5, 5)], [(5, 5)], []] == [opened.vanished_since(modseq) for modseq in (before, between, after)]
        assert after == _told(opened)


def test_moved_messages_vanish(make_stores: StoresMaker, fill: Callable[..., FileMailbox]) -> None:
    """MOVE expunges from where it moves."""
    mailbox = fill(make_stores(), 3)
    before = _told(mailbox)
    mailbox.move_to([Uid(1), Uid(2)], MailboxName("Sent"))
    assert [(1, 2)] == mailbox.vanished_since(before)


def _remove_by_hand(root: Path, mail_format: str, number: int) -> None:
    """Delete the message with this text as rm or mutt would."""
    if mail_format == "maildir":
        for path in [*(root / "cur").iterdir(), *(root / "new").iterdir()]:
            if f"body of {number}".encode() in path.read_bytes():
                path.unlink()
        return
    box = stdlib_mailbox.mbox(root / "ana.mbox", create=False)
    for key, message in box.items():
        if f"body of {number}" in message.as_string():
            box.remove(key)
    box.close()


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_what_other_programs_remove_vanishes(
    make_stores: StoresMaker, fill: Callable[..., FileMailbox], mail_root: Path, mail_format: str, running: bool
) -> None:
    """A message that another program removed, while we ran or not, is told as expunged since."""
    stores = make_stores()
    mailbox = fill(stores, 3)
    before = _told(mailbox)
    if not running:
        stores.close()
    _remove_by_hand(mail_root, mail_format, 1)
    if not running:
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    mailbox.refresh()
    assert [(2, 2)] == mailbox.vanished_since(before)
    assert _told(mailbox) > before


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_without_the_index_all_that_is_not_there_vanished(
    make_stores: StoresMaker, fill: Callable[..., FileMailbox], tmp_path: Path, running: bool
) -> None:
    """When the index was lost, who comes with an older modseq is told every uid that is not there; modseqs never go back."""
    stores = make_stores()
    mailbox = fill(stores, 5)
    before = _told(mailbox)
    _expunge(mailbox, 1, 4)
    after = _told(mailbox)
    if not running:
        stores.close()
    for path in (tmp_path / "data" / "index").iterdir():
        path.unlink()
    if not running:
        mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    mailbox.refresh()
    assert [(1, 1), (4, 4)] == mailbox.vanished_since(before) == mailbox.vanished_since(after)
    _expunge(mailbox, 2)
    assert [(1, 2), (4, 4)] == mailbox.vanished_since(after)
    assert after < _told(mailbox)
    assert [] == mailbox.vanished_since(_told(mailbox))


def test_the_log_is_bounded(make_stores: StoresMaker, fill: Callable[..., FileMailbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ranges make room for new ones; from below them every uid that is not there is told."""
    monkeypatch.setattr(index, "MAX_EXPUNGED", 8)
    mailbox = fill(make_stores(), 30)
    steps = [_told(mailbox)]
    for uid in range(1, 24, 2):
        _expunge(mailbox, uid)
        steps.append(_told(mailbox))
    gone = list(range(1, 24, 2))
    assert gone == sorted(_expand(mailbox.vanished_since(steps[0])))
    assert gone[-3:] == sorted(_expand(mailbox.vanished_since(steps[-4])))
    for number, modseq in enumerate(steps):
        assert _expand(mailbox.vanished_since(modseq)) >= set(gone[number:])
    with mailbox.context.lock:
        rows = mailbox.context.index._open().execute("SELECT count(*) FROM expunged").fetchone()[0]
    assert rows <= 8


def test_uids_that_the_index_never_knew(make_stores: StoresMaker, fill: Callable[..., FileMailbox], tmp_path: Path) -> None:
    """Messages told and expunged after the index's last surviving row are told as expunged, from whatever modseq."""
    stores = make_stores()
    mailbox = fill(stores, 2)
    stores.close()
    kept = (tmp_path / "data" / "index" / "ana.db").read_bytes()
    stores = make_stores()
    mailbox = fill(stores, 3)
    told = _told(mailbox)
    _expunge(mailbox, 3, 5)
    stores.close()
    (tmp_path / "data" / "index" / "ana.db").write_bytes(kept)
    mailbox = make_stores().account(ANA).open_mailbox(INBOX)
    assert {3, 5} <= _expand(mailbox.vanished_since(told))
    assert _told(mailbox) > told


def test_after_a_power_cut_nothing_is_taken_for_known(
    make_stores: StoresMaker, fill: Callable[..., FileMailbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another boot finds the index open, its last rows may be lost: every message counts as changed since."""
    mailbox = fill(make_stores(), 3)
    _expunge(mailbox, 2)
    told = _told(mailbox)
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(index, "BOOT_ID", boot)
    again = make_stores().account(ANA).open_mailbox(INBOX)
    assert min(again.snapshot().modseqs) > told
    assert [(2, 2)] == again.vanished_since(told)
    assert [] == again.vanished_since(_told(again))


def test_after_a_kill_everything_is_known(make_stores: StoresMaker, fill: Callable[..., FileMailbox]) -> None:
    """A process that was killed leaves all rows: nothing counts as changed."""
    mailbox = fill(make_stores(), 3)
    _expunge(mailbox, 2)
    again = make_stores().account(ANA).open_mailbox(INBOX)
    assert mailbox.snapshot() == again.snapshot()


class TestUnchangedSince:
    """STORE UNCHANGEDSINCE: what stands in the way of a change."""

    @pytest.fixture
    def mailbox(self, make_stores: StoresMaker, fill: Callable[..., FileMailbox]) -> FileMailbox:
        return fill(make_stores(), 2)

    @staticmethod
    def _store(mailbox: FileMailbox, action: FlagAction, flags: int, keywords: Sequence[str], since: int, told: Told | None = None) -> bool:
        """Return whether message 1 was changed."""
        result = mailbox.store_flags([Uid(1)], action, flags, keywords, ModSeq(since), told)
        assert (Uid(1) in result.changed) is (not result.failed)
        if not result.failed:
            assert mailbox.snapshot().modseqs[0] == result.modseqs[Uid(1)]
        return not result.failed

    def test_zero_asks_for_keywords(self, mailbox: FileMailbox) -> None:
        """With 0 a keyword can be set by one client alone; system flags always exist (RFC 7162 section 3.1.3, example 8)."""
        assert not self._store(mailbox, FlagAction.ADD, int(Flag.SEEN), (), 0)
        assert self._store(mailbox, FlagAction.ADD, 0, ("$MDNSent",), 0)
        assert not self._store(mailbox, FlagAction.ADD, 0, ("$MDNSent",), 0)
        assert not self._store(mailbox, FlagAction.REPLACE, 0, ("$Other",), 0)
        assert self._store(mailbox, FlagAction.REMOVE, 0, ("$Unknown",), 0)

    def test_flags_as_told_do_not_stand_in_the_way(self, mailbox: FileMailbox) -> None:
        """A change of another flag that the client was not told of yet is no reason to refuse (RFC 7162 section 3.1.12)."""
        snapshot = mailbox.snapshot()
        told = Told({Uid(1): snapshot.flags[0]}, snapshot.keywords)
        mailbox.store_flags([Uid(1)], FlagAction.ADD, int(Flag.DELETED))
        since = snapshot.highest_modseq
        assert not self._store(mailbox, FlagAction.ADD, int(Flag.SEEN), (), since)
        assert self._store(mailbox, FlagAction.ADD, int(Flag.SEEN), (), since, told)
        assert not self._store(mailbox, FlagAction.REMOVE, int(Flag.DELETED), (), since, told)
        assert not self._store(mailbox, FlagAction.REPLACE, int(Flag.SEEN), (), since, told)
        assert [int(Flag.DELETED | Flag.SEEN), 0] == list(mailbox.snapshot().flags)

    def test_nothing_changed_keeps_the_modseq(self, mailbox: FileMailbox) -> None:
        """Setting what is set is no change (RFC 7162 section 3.1.11)."""
        mailbox.store_flags([Uid(1)], FlagAction.ADD, int(Flag.SEEN))
        before = mailbox.snapshot().modseqs[0]
        assert self._store(mailbox, FlagAction.ADD, int(Flag.SEEN), (), before)
        assert before == mailbox.snapshot().modseqs[0]
