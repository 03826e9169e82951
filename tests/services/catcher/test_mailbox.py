"""The caught mail and the mailbox: what happens on one side happens on the other, in both formats."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from appliance.model.changes import NameChange
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage
from appliance.services.catcher.mailbox import ID_FIELD, MailboxKeeper
from appliance.storage.stores import FileMailStores

DEV = AccountName("dev")
MESSAGE = b"From: ana@shop.test\r\nSubject: %b\r\n\r\nBody\r\n"


@dataclass
class Feed:
    """A change feed without threads."""

    events: list[trio.Event] = field(default_factory=list)

    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        for event in self.events:
            event.set()

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...

    @contextmanager
    def subscribe(self, account: AccountName, mailbox: MailboxName) -> Iterator["Feed"]:
        self.events.append(trio.Event())
        yield self

    async def wait_changed(self) -> None:
        await self.events[0].wait()
        self.events[0] = trio.Event()


@dataclass
class House:
    catching: Any
    stores: FileMailStores
    keeper: MailboxKeeper

    @property
    def inbox(self) -> Any:
        return self.stores.account(DEV).open_mailbox(INBOX)

    def uids(self) -> list[int]:
        return list(self.inbox.snapshot().uids)

    async def settle(self) -> None:
        await self.catching.catcher.settled()
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()


@pytest.fixture(params=["maildir", "mbox"])
async def house(request: pytest.FixtureRequest, tmp_path: Path, catching: Any, nursery: trio.Nursery) -> House:
    feed = Feed()
    stores = FileMailStores(tmp_path, feed, formats=request.param)
    keeper = MailboxKeeper(catching.catcher, stores, feed, lambda inbox: AccountName(inbox or "dev"))
    nursery.start_soon(keeper.run)
    return House(catching, stores, keeper)


async def test_a_caught_message_is_in_the_mailbox(house: House) -> None:
    """With the trace of delivery in front, and its own bytes behind."""
    message_id = await house.catching.catch(MESSAGE % b"one", "dev@app.test")
    await house.settle()
    (uid,) = house.uids()
    with house.inbox.open_message(Uid(uid)) as stream:
        data = stream.read()
    assert data.endswith(MESSAGE % b"one")
    assert data.startswith(f"Return-Path: <app@shop.test>\r\nDelivered-To: dev@app.test\r\n{ID_FIELD}: {message_id}\r\n".encode())


async def test_expunge_deletes_the_caught_message(house: House) -> None:
    """A mail program that deletes a message deletes it everywhere."""
    for name in (b"one", b"two"):
        await house.catching.catch(MESSAGE % name, "dev@app.test")
    await house.settle()
    house.inbox.expunge([Uid(house.uids()[0])])
    await house.settle()
    assert ["two"] == await house.catching.subjects()


async def test_a_deleted_message_leaves_the_mailbox(house: House) -> None:
    """What is deleted on the page is gone for mail programs, too."""
    ids = [await house.catching.catch(MESSAGE % name, "dev@app.test") for name in (b"one", b"two")]
    await house.settle()
    await house.catching.catcher.delete([ids[1]])
    await house.settle()
    assert 1 == len(house.uids())
    await house.catching.catcher.delete(None)
    await house.settle()
    assert [] == house.uids()


async def test_read_is_seen(house: House) -> None:
    """Read and unread go both ways."""
    message_id = await house.catching.catch(MESSAGE % b"one", "dev@app.test")
    await house.settle()
    await house.catching.catcher.set_read([message_id], read=True)
    await house.settle()
    assert Flag.SEEN == house.inbox.snapshot().flags[0] & Flag.SEEN
    house.inbox.store_flags([Uid(house.uids()[0])], FlagAction.REMOVE, int(Flag.SEEN))
    await house.settle()
    assert not house.catching.catcher.store.summary(message_id).read


async def test_what_a_mail_program_puts_there_is_caught(house: House) -> None:
    """APPEND into the INBOX shows on the page."""
    await house.settle()
    house.stores.account(DEV).append(INBOX, [NewMessage(MemoryContent(MESSAGE % b"appended"), 1_700_000_000.0)])
    await house.settle()
    assert ["appended"] == await house.catching.subjects()
    assert 1 == len(house.uids())


async def test_a_crash_between_the_two_leaves_nothing_twice(house: House) -> None:
    """A message in the mailbox whose uid was not remembered is found by its identifier."""
    message_id = await house.catching.catch(MESSAGE % b"one", "dev@app.test")
    await house.settle()
    store = house.catching.catcher.store
    store.set_uids([(store.stored(message_id).number, 0)])
    difference = MailboxKeeper(house.catching.catcher, house.stores, Feed(), lambda _inbox: DEV)._compare("")
    assert ([], [(store.stored(message_id).number, house.uids()[0])]) == (difference.foreign, difference.found)


async def test_each_inbox_has_its_own_mailbox(house: House) -> None:
    """A message of an inbox with a name is in the account of that name."""
    await house.catching.catch(MESSAGE % b"mine", "dev@app.test", inbox="run7")
    await house.settle()
    assert [] == house.uids()
    assert 1 == len(house.stores.account(AccountName("run7")).open_mailbox(INBOX).snapshot().uids)


async def test_what_is_read_on_its_way_into_the_mailbox_stays_read(catching: Any, nursery: trio.Nursery, tmp_path: Path) -> None:
    """Somebody opens a message after it was taken up for delivery and before it is in the mailbox."""
    store = catching.catcher.store

    def account(_inbox: str) -> AccountName:
        if store.undelivered(1):
            store.set_read(None, read=True)
        return DEV

    feed = Feed()
    stores = FileMailStores(tmp_path, feed)
    house = House(catching, stores, MailboxKeeper(catching.catcher, stores, feed, account))
    nursery.start_soon(house.keeper.run)
    await house.settle()
    await catching.catch(MESSAGE % b"one", "c@d.test")
    await house.settle()
    assert 0 == store.counts().unread
    assert [True] == [bool(flags & Flag.SEEN) for flags in house.inbox.snapshot().flags]
