"""Group commit: who waits for what, and what a refusal does."""

import errno
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.errors import OutOfSpaceError, UnavailableError
from appliance.storage.spool_content import FileOps
from appliance.storage.spool_schema import Batch, Committed

ENVELOPE = Envelope("ana@here", (EnvelopeRecipient("bia@here"),))


class FailingOps(FileOps):
    """Fails the calls that are named, with that error."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.free = 1 << 40

    def _maybe_fail(self, name: str) -> None:
        if name in self.failing:
            raise OSError(self.failing[name], name)

    def write(self, descriptor: int, data: "bytes | memoryview") -> int:
        self._maybe_fail("write")
        return super().write(descriptor, data)

    def flush(self, descriptor: int) -> None:
        self._maybe_fail("flush")
        super().flush(descriptor)

    def flush_directory(self, path: Path) -> None:
        self._maybe_fail("flush_directory")
        super().flush_directory(path)

    def free_bytes(self, path: Path) -> int:
        return self.free


def count_commits(world: Any) -> list[Batch]:
    """Record every batch that goes to the spool."""
    batches: list[Batch] = []
    commit = world.spool.commit

    def recording(batch: Batch) -> Committed:
        batches.append(batch)
        done: Committed = commit(batch)
        return done

    world.spool.commit = recording
    return batches


async def test_one_transaction_takes_all_that_waits(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Messages that come while a batch is written are the next batch, together with the removals that wait."""
    async with world.running():
        batches = count_commits(world)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(world.send, "ana@here")
        assert 2 >= len(batches)
        assert 20 == sum(len(batch.additions) for batch in batches)


async def test_removals_gather(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Deliveries done cost no transaction each: they go together."""
    async with world.running():
        for _ in range(10):
            await world.send("ana@here")
        batches = count_commits(world)
        await trio.sleep(5)
        assert [10] == [len(batch.removals) for batch in batches]


async def test_removals_wait_for_no_flush(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A relayed message is taken out at once but not flushed; its file goes when two quiet seconds later the log was flushed."""
    async with world.running():
        batches = count_commits(world)
        queue_id = await world.send("a@one.example", data=b"x" * 100_000)
        await trio.sleep(0.1)
        assert [True, False] == [batch.durable for batch in batches]
        assert [] == world.spool.messages(10)
        assert (world.directory / "content" / queue_id).exists()
        await trio.sleep(2)
        assert world.spool.is_flushed
        assert not (world.directory / "content" / queue_id).exists()


async def test_a_removal_rides_on_the_flush_of_the_next_message(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """The file of a message that is gone goes with the flush that the next message needs anyway, or at the stop."""
    async with world.running():
        first = await world.send("a@one.example", data=b"x" * 100_000)
        await trio.sleep(0.1)
        assert (world.directory / "content" / first).exists()
        await world.send("a@one.example", data=b"x" * 100_000)
        await trio.sleep(0.001)
        assert not (world.directory / "content" / first).exists()
    assert [] == list((world.directory / "content").iterdir())


async def test_drained_means_durable(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Who asks whether nothing can come back waits for a flush."""
    async with world.running():
        await world.send("a@one.example")
        await trio.sleep(0.1)
        assert not world.spool.is_flushed
        await world.committer.drain()
        assert world.spool.is_flushed


async def test_a_refusal_concerns_only_its_own(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """When the batch fails, each unit is tried alone: the small ones are taken, the one whose file cannot be flushed is refused."""
    world.file_ops = ops = FailingOps()
    refused: list[UnavailableError] = []

    async def send_large() -> None:
        writer = await world.committer.begin()
        await writer.write(b"x" * 100_000)
        try:
            await world.committer.accept(ENVELOPE, writer)
        except UnavailableError as error:
            refused.append(error)
            await writer.discard()

    async with world.running():
        ops.failing["flush_directory"] = errno.EIO
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_large)
            for _ in range(3):
                nursery.start_soon(world.send, "ana@here")
        assert 1 == len(refused)
        assert [] == list((world.directory / "content").iterdir())
        assert 1 == len(world.named("queue_commit_failed"))
        ops.failing.clear()
        await send_large()
        await trio.sleep(3)
        assert 4 == len(world.local.delivered)
        assert 0 == world.committer.pressure.pending_bytes


@pytest.mark.parametrize("call", ["write", "flush"])
async def test_a_full_disk_is_said_and_leaves_nothing(world: Any, autojump_clock: trio.testing.MockClock, call: str) -> None:
    """ENOSPC while a large message comes in: OutOfSpaceError, no file, no row, no memory kept; then it works again."""
    world.file_ops = ops = FailingOps()
    async with world.running():
        ops.failing[call] = errno.ENOSPC
        writer = await world.committer.begin()
        with pytest.raises(OutOfSpaceError):  # noqa: PT012 - either call may be the one that notices
            await writer.write(b"x" * 300_000)
            await world.committer.accept(ENVELOPE, writer)
        await writer.discard()
        assert [] == list((world.directory / "content").iterdir())
        assert [] == world.spool.messages(10)
        assert 0 == world.committer.pressure.pending_bytes
        ops.failing.clear()
        await world.send("ana@here", data=b"x" * 300_000)


async def test_refuses_early_when_the_disk_is_nearly_full(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Below the reserve no message is begun; it is looked at again each second."""
    world.file_ops = ops = FailingOps()
    ops.free = -1
    async with world.running():
        with pytest.raises(OutOfSpaceError):
            await world.committer.begin()
        ops.free = 1 << 40
        await trio.sleep(1.1)
        await world.send("ana@here")


async def test_tells_once_that_the_disk_is_full(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Hundreds of senders are refused; the log says why once, with what to do, and once that it is over."""
    world.file_ops = ops = FailingOps()
    async with world.running():
        await world.send("ana@here")
        ops.free = -1
        await trio.sleep(1.1)
        for _ in range(100):
            with pytest.raises(OutOfSpaceError):
                await world.committer.begin()
            await trio.sleep(0.1)
        ops.free = 1 << 40
        await trio.sleep(1.1)
        await world.send("ana@here")
    (told,) = world.named("queue_disk_full")
    assert "free disk space" == told["fix"]
    assert 1 == len(world.named("queue_disk_recovered"))


async def test_changes_outlive_a_refusal(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Removals that the disk refuses are tried again until they are durable."""
    async with world.running():
        await world.send("ana@here")
        commit = world.spool.commit

        def refuse(_batch: Batch) -> Committed:
            raise OutOfSpaceError("disk full")

        world.spool.commit = refuse
        await trio.sleep(10)
        assert 1 == len(world.spool.messages(10))
        world.spool.commit = commit
        await trio.sleep(3)
        assert [] == world.spool.messages(10)
        assert 1 == len(world.named("queue_commit_recovered"))


async def test_begin_waits_while_the_queue_is_behind(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Bytes not yet committed are bounded: a new message waits until there is room, those begun go on."""
    async with world.running():
        writers = []
        for _ in range(3):
            writer = await world.committer.begin()
            await writer.write(b"x" * 60_000)
            writers.append(writer)
        world.committer.pressure._max_bytes = 100_000
        begun = trio.Event()

        async def begin() -> None:
            await world.committer.begin()
            begun.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin)
            await trio.testing.wait_all_tasks_blocked()
            assert not begun.is_set()
            await world.committer.accept(ENVELOPE, writers[0])
            await writers[1].discard()
            await begun.wait()


async def test_a_slow_mailbox_holds_senders_back(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Local recipients waiting in memory are bounded too."""
    world.local.gate = trio.Event()
    async with world.running():
        world.committer.pressure._max_backlog = 3
        with trio.move_on_after(1) as scope:
            for _ in range(100):
                await world.send("ana@here")
        assert scope.cancelled_caught
        assert 5 >= world.admin.counts()["active"]
        world.local.gate.set()
        await trio.sleep(1)
        await world.send("ana@here")


async def test_a_cancelled_sender_keeps_or_loses_the_whole_message(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Cut off while waiting: what no batch has taken is taken back, file and all; ``discard`` never removes an accepted file."""
    async with world.running():
        for moment in range(6):
            with trio.CancelScope() as scope:
                writer = await world.committer.begin()
                try:
                    await writer.write(b"x" * 100_000)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(world.committer.accept, ENVELOPE, writer)
                        for _ in range(moment):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()
                finally:
                    await writer.discard()
        await trio.testing.wait_all_tasks_blocked()
        rows = {message.queue_id for message in world.spool.messages(100)}
        files = {path.name for path in (world.directory / "content").iterdir()}
        assert rows == files
        assert 0 == world.committer.pressure.pending_bytes


async def test_stopping_never_looks_like_success(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """After the stop ``accept`` is refused, never silently passed."""
    async with world.running():
        writer = await world.committer.begin()
        await writer.write(b"x")
    with pytest.raises(UnavailableError):
        await world.committer.accept(ENVELOPE, writer)


async def test_the_memory_of_a_large_message_is_bounded(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Twenty megabytes come in through a quarter of one."""
    most = 0
    async with world.running():
        writer = await world.committer.begin()
        for _ in range(320):
            await writer.write(b"x" * 65_536)
            most = max(most, world.committer.pressure.pending_bytes)
        await world.committer.accept(ENVELOPE, writer)
        assert 262_144 + 65_536 >= most
        assert 320 * 65_536 == (world.directory / "content" / writer.queue_id).stat().st_size


@pytest.mark.parametrize("size", [10, 70_000, 400_000])
async def test_octets_can_be_put_in_front(world: Any, size: int, autojump_clock: trio.testing.MockClock) -> None:
    """Of a message in memory, one that will be a file, and one that is a file already; the memory account stays right."""
    async with world.running():
        writer = await world.committer.begin()
        body = bytes(number % 251 for number in range(size))
        for at in range(0, size, 100_000):
            await writer.write(body[at : at + 100_000])
        await writer.prepend(b"X: 1\r\n")
        content = await writer.finish()
        with content.open() as stream:
            assert b"X: 1\r\n" + body == stream.read()
        assert size + 6 == content.size
        await writer.discard()
        assert 0 == world.committer.pressure.pending_bytes


async def test_a_full_disk_while_octets_are_put_in_front(world: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Is told once more at the end, and leaves no file behind."""
    world.file_ops = ops = FailingOps()
    async with world.running():
        writer = await world.committer.begin()
        await writer.write(b"x" * 400_000)
        ops.failing["write"] = errno.ENOSPC
        with pytest.raises(OutOfSpaceError):
            await writer.prepend(b"X: 1\r\n")
        with pytest.raises(OutOfSpaceError):
            await writer.finish()
        await writer.discard()
        assert [] == list((world.spool.directory / "content").iterdir())
