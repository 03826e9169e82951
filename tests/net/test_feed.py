"""Who hears of a change."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from appliance.model.changes import Changes, NameChange, NameChangeKind, NamePlaces
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.net import feed as feed_module
from appliance.net.feed import TrioChangeFeed
from appliance.net.inotify import Inotify
from appliance.net.offload import InlineOffload, ThreadOffload
from appliance.storage.stores import FileMailStores, MailFormat

ANA, BOB = AccountName("ana"), AccountName("bob")


async def test_subscribers_hear_of_their_mailbox_only() -> None:
    """Each subscriber of a mailbox is woken; others are not."""
    feed = TrioChangeFeed(offload=InlineOffload())
    with feed.subscribe(ANA, INBOX) as one, feed.subscribe(ANA, INBOX) as two, feed.subscribe(BOB, INBOX) as other:
        feed.publish(ANA, INBOX)
        await one.wait_changed()
        await two.wait_changed()
        with trio.move_on_after(0.01) as scope:
            await other.wait_changed()
        assert scope.cancelled_caught
    feed.publish(ANA, INBOX)


async def test_changes_coalesce(autojump_clock: trio.testing.MockClock) -> None:
    """What happens while the subscriber works counts as one change."""
    feed = TrioChangeFeed(offload=InlineOffload())
    with feed.subscribe(ANA, INBOX) as subscription:
        for _ in range(5):
            feed.publish(ANA, INBOX)
        await subscription.wait_changed()
        with trio.move_on_after(1) as scope:
            await subscription.wait_changed()
        assert scope.cancelled_caught


async def test_publish_from_a_thread() -> None:
    """Storage code in a worker thread may publish."""
    feed = TrioChangeFeed(offload=ThreadOffload(1))
    with feed.subscribe(ANA, INBOX) as subscription, trio.fail_after(5):
        await trio.to_thread.run_sync(feed.publish, ANA, INBOX)
        await subscription.wait_changed()


async def _changes(directory: Path, feed: TrioChangeFeed) -> None:
    """Change a watched directory in the ways of other programs; each is heard of."""
    with feed.subscribe(ANA, INBOX) as subscription:
        (directory / "message").write_text("x")
        await subscription.wait_changed()
        while True:  # what the first change still echoes
            with trio.move_on_after(0.05) as quiet:
                await subscription.wait_changed()
            if quiet.cancelled_caught:
                break
        (directory / "message").unlink()
        await subscription.wait_changed()


async def test_files_changed_by_other_programs(tmp_path: Path) -> None:
    """A file put into a watched directory wakes the subscriber; nothing is watched afterwards."""
    feed = TrioChangeFeed(offload=InlineOffload(), paths=lambda _account, _mailbox: [tmp_path])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        with trio.fail_after(5):
            await _changes(tmp_path, feed)
        nursery.cancel_scope.cancel()


async def test_a_file_replaced_is_watched_on(tmp_path: Path) -> None:
    """mutt writes an mbox anew and renames it over: the new file is watched as the old one was."""
    mbox = tmp_path / "ana.mbox"
    mbox.write_text("one")
    feed = TrioChangeFeed(offload=InlineOffload(), paths=lambda _account, _mailbox: [mbox])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        with trio.fail_after(5), feed.subscribe(ANA, INBOX) as subscription:
            for text in ("two", "three"):
                (tmp_path / "new").write_text(text)
                os.replace(tmp_path / "new", mbox)  # noqa: PTH105 - as other programs do
                await subscription.wait_changed()
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_polling_where_the_kernel_does_not_tell(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Without inotify the files are looked at every ten seconds."""
    feed = TrioChangeFeed(offload=InlineOffload(), paths=lambda _account, _mailbox: [tmp_path], inotify=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        with feed.subscribe(ANA, MailboxName("Work")) as subscription:
            os.utime(tmp_path, (1, 1))
            with trio.fail_after(11):
                await subscription.wait_changed()
            with trio.move_on_after(60) as scope:
                await subscription.wait_changed()
            assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
        await trio.sleep(0.01)


async def test_a_missing_path_is_polled_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox whose file comes, goes and comes back is heard of each time; in between the kernel tells."""
    monkeypatch.setattr(feed_module, "_POLL_S", 0.01)
    mbox = tmp_path / "later.mbox"
    feed = TrioChangeFeed(offload=InlineOffload(), paths=lambda _account, _mailbox: [mbox])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        with trio.fail_after(5), feed.subscribe(ANA, INBOX) as subscription:
            for _ in range(2):
                mbox.write_text("x")
                await subscription.wait_changed()
                await until(lambda: not feed._marks)
                mbox.rename(tmp_path / "gone.mbox")
                await subscription.wait_changed()
                await until(lambda: bool(feed._marks))
        nursery.cancel_scope.cancel()


async def test_without_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has none the feed polls."""

    def refuse(_on_change: object) -> None:
        raise OSError("no inotify on this system")

    monkeypatch.setattr(feed_module, "Inotify", refuse)
    feed = TrioChangeFeed(offload=InlineOffload(), paths=lambda _account, _mailbox: [tmp_path])
    with feed.subscribe(ANA, INBOX):
        await trio.lowlevel.checkpoint()
        assert {str(tmp_path)} == set(feed._marks)


def test_inotify_counts_what_it_cannot_watch(tmp_path: Path) -> None:
    """A missing path is no watch; a second watch of the same path is the first one."""

    async def main() -> None:
        seen: list[str | None] = []
        watcher = Inotify(seen.append)
        assert not watcher.watch(str(tmp_path / "missing"))
        assert watcher.watch(str(tmp_path))
        assert watcher.watch(str(tmp_path))
        assert watcher.is_watched(str(tmp_path))
        watcher.unwatch(str(tmp_path))
        watcher.unwatch(str(tmp_path))
        watcher.close()
        watcher.close()
        assert [] == seen

    trio.run(main)


@pytest.mark.parametrize("lost", [True, False])
async def test_lost_events_wake_everybody(tmp_path: Path, lost: bool) -> None:
    """When the kernel's queue overflowed nobody knows what changed, so all look."""
    feed = TrioChangeFeed(offload=InlineOffload(), paths=lambda _account, _mailbox: [tmp_path])
    with feed.subscribe(ANA, INBOX) as subscription, trio.move_on_after(5 if lost else 0.01) as scope:
        if lost:
            feed._on_path_changed(None)
        await subscription.wait_changed()
    assert lost != scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("mail_format", ["maildir", "mbox"])
async def test_names_changed_by_other_programs(tmp_path: Path, mail_format: MailFormat) -> None:
    """A mailbox made beside the others is heard of, in a directory that came later too; locks and lists of uids are passed over."""
    offload = InlineOffload()
    made: list[FileMailStores] = []
    feed = TrioChangeFeed(offload=offload, paths=lambda account, name: made[0].watch_paths(account, name))  # noqa: PLW0108 - not made yet
    made.append(FileMailStores(tmp_path, feed, formats=mail_format))
    store = made[0].account(ANA)
    store.subscribe(INBOX)
    store.open_mailbox(INBOX)
    root = tmp_path / "mail" / "ana"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        with trio.fail_after(5):
            for number in range(2):
                with feed.watch_account(ANA, [], store.name_places()) as watcher:
                    (root / "dovecot-uidlist.tmp").touch()
                    (root / "ana.mbox.lock").touch()
                    await trio.sleep(0.05)
                    assert Changes() == watcher.changes_nowait()
                    if mail_format == "mbox":
                        place = root / "folders" / ("Lists/" * number) / ("one.mbox" if number else "Lists")
                        place.touch() if number else place.mkdir()
                    else:
                        (root / f".Lists.{number}").mkdir()
                    assert Changes(unnamed=True) == await watcher.wait_changes()
                    with (root / "subscriptions").open("a") as file:
                        file.write("Theirs\n")
                    assert Changes(unnamed=True) == await watcher.wait_changes()
        nursery.cancel_scope.cancel()
    made[0].close()


async def test_names_changed_by_a_thread(autojump_clock: trio.testing.MockClock) -> None:
    """Changes of names are heard of in their order, with who made them."""
    feed = TrioChangeFeed(offload=InlineOffload())
    changes = [NameChange(NameChangeKind.NAME, MailboxName(name), origin="me") for name in ("b", "a")]
    for change in changes:
        feed.publish_name(ANA, change)

    def publish() -> None:
        for change in changes:
            feed.publish_name(ANA, change)

    with feed.watch_account(ANA, [], NamePlaces()) as watcher:
        await trio.to_thread.run_sync(publish)
        assert tuple(changes) == (await watcher.wait_changes()).names
