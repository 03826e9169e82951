"""Filling the text index in the background, over real mail stores of both formats."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.services.indexer.service import Indexer, Progress
from appliance.storage.stores import FileMailStores
from tests.services.imap.conftest import FakeFeed

ANA = AccountName("ana")
LISTS = MailboxName("Lists")


class Machine:
    """Stores, an indexer over them, and a processor whose use tests decide."""

    def __init__(self, directory: Path, mail_format: str) -> None:
        self.directory = directory
        self.stores = FileMailStores(directory, FakeFeed(), formats=mail_format)  # type: ignore[arg-type]
        self.used_s = 0.0
        self.on_use: Callable[[], object] = lambda: None
        self.logged: list[str] = []

    def put(self, *bodies: str, mailbox: MailboxName = INBOX) -> None:
        messages = [NewMessage(MemoryContent(f"Subject: {body}\r\n\r\n{body}\r\n".encode()), 0.0) for body in bodies]
        self.stores.account(ANA).append(mailbox, messages)

    def indexer(self, *, accounts: Sequence[str] = ("ana",), max_bytes: int = 2**30, share_percent: int = 100) -> Indexer:
        logger = logging.getLogger("unheard")
        logger.propagate = False
        return Indexer(
            accounts=lambda: [AccountName(name) for name in accounts],
            store=self.stores.account,
            offload=InlineOffload(),
            mail_log=MailLog(logger, [lambda event, _level, _fields: self.logged.append(event)]),
            share_percent=share_percent,
            max_bytes=max_bytes,
            cpu_s=self.cpu_s,
        )

    def cpu_s(self) -> float:
        self.on_use()
        return self.used_s

    def unindexed(self, name: MailboxName = INBOX) -> list[int]:
        mailbox = self.stores.account(ANA).open_mailbox(name)
        return list(mailbox.finder.missing_texts(list(mailbox.snapshot().uids)))


@pytest.fixture(params=["maildir", "mbox"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "data", request.param)
    yield made
    made.stores.close()


async def test_every_mailbox_is_indexed(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """All of all mailboxes, then only what is new; what is gone is forgotten."""
    machine.stores.account(ANA).create_mailbox(LISTS)
    machine.put(*[f"message {number}" for number in range(20)])
    machine.put("another", mailbox=LISTS)
    indexer = machine.indexer()
    await indexer.go_round()
    assert ([], []) == (machine.unindexed(), machine.unindexed(LISTS))
    [progress] = indexer.progress()
    assert ("ana", 21, 21, "whole") == (progress.account, progress.messages, progress.indexed, progress.state)
    assert progress.kept_bytes > 0
    machine.put("new")
    machine.stores.account(ANA).open_mailbox(INBOX).expunge([1, 2])  # type: ignore[list-item]
    machine.stores.account(ANA).delete_mailbox(LISTS)
    await indexer.go_round()
    assert (19, 19) == (indexer.progress()[0].messages, indexer.progress()[0].indexed)


async def test_progress_says_when_it_looked(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """Mail of the last minute is not counted yet, and nothing is whole before all was looked at."""
    machine.put("one")
    indexer = machine.indexer()
    states: list[tuple[int, str]] = []
    machine.on_use = lambda: states.extend((one.messages, one.state) for one in indexer.progress())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(indexer.run)
        await trio.sleep(10)
        assert {"filling"} == {state for _, state in states}
        machine.put("two")
        [progress] = indexer.progress()
        assert (1, 1, "whole", 10) == (progress.messages, progress.indexed, progress.state, round(progress.looked_ago_s))
        await trio.sleep(60)
        [progress] = indexer.progress()
        assert (2, 2, "whole", 10) == (progress.messages, progress.indexed, progress.state, round(progress.looked_ago_s))
        nursery.cancel_scope.cancel()


async def test_a_restart_and_a_lost_index(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """What is indexed stays so over a restart; without the file all of it is done again."""
    machine.put("one", "two")
    await machine.indexer().go_round()
    machine.stores.close()
    assert [] == machine.unindexed()
    for path in (machine.directory / "index").glob("ana.text*"):
        path.unlink()
    assert [1, 2] == machine.unindexed()
    await machine.indexer().go_round()
    assert [] == machine.unindexed()


async def test_the_bound(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """An index that is full takes no more, and says so."""
    machine.put("one", "two")
    indexer = machine.indexer(max_bytes=1)
    await indexer.go_round()
    assert [Progress(ANA, 2, 0, indexer.progress()[0].kept_bytes, "full", 0.0)] == indexer.progress()
    assert [1, 2] == machine.unindexed()


async def test_a_store_that_fails_is_told_once(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """The others go on."""
    machine.put("one")
    indexer = machine.indexer(accounts=("..", "ana"))
    await indexer.go_round()
    await indexer.go_round()
    assert (["text_index_failed"], []) == (machine.logged, machine.unindexed())


def busy(machine: Machine, per_look_s: float, looks: int) -> Callable[[], float]:
    """Return a processor that uses ``per_look_s`` each time it is looked at, for so many looks."""
    left = [looks]

    def cpu_s() -> float:
        if left[0] > 0:
            left[0] -= 1
            machine.used_s += per_look_s
        return machine.used_s

    return cpu_s


async def test_its_share(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """A batch that took a second is followed by nine of rest, with a share of ten percent."""
    machine.put("one")
    machine.cpu_s = busy(machine, 1.0, 2)  # type: ignore[method-assign]
    began_s = trio.current_time()
    await machine.indexer(share_percent=10).go_round()
    assert 9.0 == pytest.approx(trio.current_time() - began_s)


async def test_it_rests_while_others_work(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """While the process is busy otherwise, the rest grows, up to a minute or two."""
    machine.put("one")
    machine.cpu_s = busy(machine, 30.0, 10_000)  # type: ignore[method-assign]
    began_s = trio.current_time()
    await machine.indexer(share_percent=100).go_round()
    assert 20.0 < trio.current_time() - began_s < 180.0


async def test_it_runs_round_after_round(machine: Machine, autojump_clock: trio.testing.MockClock) -> None:
    """What comes later is indexed with the next round."""
    indexer = machine.indexer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(indexer.run)
        await trio.sleep(1)
        machine.put("one")
        assert [1] == machine.unindexed()
        await trio.sleep(61)
        assert [] == machine.unindexed()
        nursery.cancel_scope.cancel()
