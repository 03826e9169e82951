"""Property of the mailbox view: a client that believes what it is told knows what the store has."""

from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.ids import ModSeq, Uid, UidNext, UidValidity
from appliance.model.mailbox import Snapshot
from appliance.services.imap import view as view_module
from appliance.services.imap.view import MailboxView, Update


@dataclass
class Store:
    """The truth: uid to flags. ``told``: who has been recent already."""

    messages: dict[int, int] = field(default_factory=dict)
    uid_next: int = 1
    unclaimed: set[Uid] = field(default_factory=set)

    def snapshot(self) -> Snapshot:
        uids = sorted(self.messages)
        return Snapshot(
            UidValidity(1),
            UidNext(self.uid_next),
            ModSeq(1),
            array("I", uids),
            array("Q", [self.messages[uid] for uid in uids]),
            array("Q", [1] * len(uids)),
        )

    def claim(self) -> set[Uid]:
        claimed, self.unclaimed = self.unclaimed, set()
        return claimed


@dataclass
class Believer:
    """A client: what it thinks the mailbox holds, by what it was told alone. None: flags not told yet."""

    flags: list[int | None]
    exists: int

    def hear(self, update: Update, view: MailboxView) -> None:
        for number in update.expunged:
            del self.flags[number - 1]
        if update.exists:
            self.flags += [None] * (len(view) - len(self.flags))
        for at in update.changed:
            self.flags[at] = view.flags[at]


CHANGES = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 3)),
    st.tuples(st.just("flag"), st.integers(0, 30)),
    st.tuples(st.just("remove"), st.integers(0, 30)),
    st.tuples(st.just("remove_many"), st.integers(0, 30)),
    st.tuples(st.just("sync"), st.booleans()),
)


def apply(store: Store, kind: str, value: int) -> None:
    uids = sorted(store.messages)
    if kind == "add":
        for _ in range(value):
            store.messages[store.uid_next] = 0
            store.unclaimed.add(Uid(store.uid_next))
            store.uid_next += 1
    elif kind == "flag" and uids:
        store.messages[uids[value % len(uids)]] ^= 1
    elif kind == "remove" and uids:
        del store.messages[uids[value % len(uids)]]
    elif kind == "remove_many":
        for uid in uids[value:]:
            del store.messages[uid]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 12), st.lists(CHANGES, max_size=25), st.sampled_from([2, 200]))
def test_a_client_knows_what_the_store_has(first: int, changes: list[tuple[str, int]], many: int) -> None:
    """After the last look its numbers and flags are the store's, whatever happened and whenever EXPUNGE was allowed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_module, "_MANY", many)
        patch.setattr(view_module, "_BLOCK", 3)
        store = Store()
        apply(store, "add", first)
        view = MailboxView(store.snapshot(), store.claim())
        client = Believer(list(view.flags), len(view))
        for kind, value in [*changes, ("sync", True)]:
            if kind != "sync":
                apply(store, kind, value)
                continue
            snapshot = store.snapshot()
            recent = store.claim() if view.has_news(snapshot) else set()
            client.hear(view.update(snapshot, recent, expunge=bool(value)), view)
            assert len(client.flags) == len(view.uids) == len(view.flags) == len(view.recents)
            assert view.recent_count == sum(1 for mark in view.recents if mark)
        assert sorted(store.messages) == list(view.uids)
        assert not view.ghosts
        assert all(told in {None, store.messages[uid]} for uid, told in zip(view.uids, client.flags, strict=True))
        assert [store.messages[uid] for uid in view.uids] == list(view.flags)


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(1, 12), min_size=1), st.sets(st.integers(1, 12)), st.sets(st.integers(1, 12)), st.booleans())
def test_messages_that_come_back_do_no_harm(first: set[int], second: set[int], third: set[int], expunge: bool) -> None:
    """A uid that was told as expunged stays out of sight; numbers and arrays stay in step."""
    store = Store(dict.fromkeys(first, 0), 13)
    view = MailboxView(store.snapshot(), set())
    for uids in (second, third):
        store.messages = dict.fromkeys(uids, 1)
        before = len(view)
        update = view.update(store.snapshot(), expunge=expunge)
        assert len(view.uids) == len(view.flags) == len(view.recents)
        assert list(view.uids) == sorted(set(view.uids))
        assert all(1 <= number <= before for number in update.expunged)
        assert view.ghosts == set(view.uids) - uids
