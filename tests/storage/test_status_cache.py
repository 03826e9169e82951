"""STATUS of mailboxes that nobody has open."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from appliance.model.ids import AccountName, MailboxName, Uid
from appliance.model.mailbox import Flag, FlagAction
from appliance.storage import stores as stores_module
from appliance.storage.store import FileMailStore

ANA = AccountName("ana")
NAMES = [MailboxName(f"box {number}") for number in range(6)]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[MailboxName]:
    """Mailboxes that were opened to be counted."""
    opened: list[MailboxName] = []
    find = FileMailStore.find

    def recording(self: FileMailStore, name: MailboxName) -> Any:
        opened.append(name)
        return find(self, name)

    monkeypatch.setattr(FileMailStore, "find", recording)
    monkeypatch.setattr(stores_module, "MAX_KEPT_MAILBOXES", 2)
    return opened


class LaterClock:
    """The time some seconds from now, so that no file was changed just now."""

    def now_s(self) -> float:
        return time.time() + 10

    def monotonic_s(self) -> float:
        return time.monotonic()


def test_nothing_is_opened_twice(make_stores: Callable[..., Any], new_message: Callable[..., Any], counted: list[MailboxName]) -> None:
    """More mailboxes than are kept in memory are counted once; one that changed, by us or by others, is counted again."""
    stores = make_stores(clock=LaterClock())
    store = stores.account(ANA)
    for name in NAMES:
        store.create_mailbox(name)
        store.append(name, [new_message()])
    first = [store.status(name) for name in NAMES]
    counted.clear()
    assert first == [store.status(name) for name in NAMES]
    assert set(counted) <= set(NAMES[-2:])
    mailbox = store.open_mailbox(NAMES[0])
    mailbox.store_flags([Uid(1)], FlagAction.ADD, Flag.SEEN.value)
    del mailbox
    store.append(NAMES[1], [new_message()])
    for name in NAMES[2:5]:
        store.open_mailbox(name)
    assert [0, 1, 2] == [store.status(NAMES[0]).unseen, store.status(NAMES[2]).unseen, store.status(NAMES[1]).messages]
    store.delete_mailbox(NAMES[3])
    store.create_mailbox(NAMES[3])
    assert (0, first[3].uid_validity) < (store.status(NAMES[3]).messages + 1, store.status(NAMES[3]).uid_validity)
    assert 0 == store.status(NAMES[3]).messages


def test_sizes_are_counted_when_asked_for(
    make_stores: Callable[..., Any], new_message: Callable[..., Any], counted: list[MailboxName]
) -> None:
    """What was counted without sizes does not answer who asks for them."""
    store = make_stores(clock=LaterClock()).account(ANA)
    for name in NAMES:
        store.create_mailbox(name)
        store.append(name, [new_message()])
        store.status(name, sizes=False)
    counted.clear()
    store.status(NAMES[0], sizes=False)
    assert [] == counted
    assert 0 < store.status(NAMES[0]).size_bytes
    assert [NAMES[0]] == counted


def test_just_changed_is_not_kept(make_stores: Callable[..., Any], new_message: Callable[..., Any], counted: list[MailboxName]) -> None:
    """Two changes within one step of the file times must not look the same."""
    store = make_stores().account(ANA)
    for name in NAMES:
        store.create_mailbox(name)
        store.append(name, [new_message()])
        store.status(name)
    counted.clear()
    store.status(NAMES[0])
    assert [NAMES[0]] == counted
