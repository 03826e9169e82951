"""NOTIFY: what a session is told of any mailbox while it says nothing."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.config.schema import ImapConfig
from appliance.model.changes import NameChange, NameChangeKind, NamePlaces
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage, SpecialUse
from appliance.net.feed import TrioChangeFeed
from appliance.net.offload import InlineOffload
from appliance.storage.stores import FileMailStores

House = Any
Make = Callable[..., House]
pytestmark = pytest.mark.usefixtures("autojump_clock")
ANA = AccountName("ana")
WORK = b"NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge FlagChange MailboxName))"


@pytest.fixture(params=["memory", "maildir", "mbox"])
def make_filled(request: pytest.FixtureRequest, make_house: Make, plain: bytes, tmp_path: Path) -> Iterator[Make]:
    """Return a function that builds a service over an INBOX of three plain messages."""
    opened: list[FileMailStores] = []

    def make(**settings: Any) -> House:
        if request.param == "memory":
            return make_house([plain] * 3, settings=ImapConfig(**settings))
        house = make_house(settings=ImapConfig(**settings))
        stores = FileMailStores(
            tmp_path / "data",
            house.feed,
            formats="mbox" if request.param == "mbox" else "maildir",
            special_folders={SpecialUse.SENT: MailboxName("Sent")},
        )
        opened.append(stores)
        stores.deliver(ANA, [(INBOX, NewMessage(MemoryContent(plain), 0.0))] * 3)
        house.service._shared = replace(house.service._shared, stores=stores)
        return house

    yield make
    for stores in opened:
        stores.close()


async def take(client: Any, count: int) -> list[bytes]:
    """Return lines that come without being asked for. Fails at once when nothing more will come."""
    lines: list[bytes] = []
    with trio.move_on_after(60):  # of a clock that jumps when all are waiting
        while len(lines) < count:
            lines.append(await client.line())
    assert count == len(lines), lines
    return lines


async def test_the_selected_mailbox(make_filled: Make) -> None:
    """New messages with their items, flags and expunges come at once, between commands."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in(select=b"INBOX")
        await other.log_in(select=b"INBOX")
        assert b"OK Notify completed" == (await client.ask(WORK))[-1]
        await other.ask(b"STORE 2 +FLAGS.SILENT (\\Flagged)")
        assert (await take(client, 1))[0].startswith(b"* 2 FETCH (UID 2 FLAGS (\\Flagged")
        await other.ask(b"COPY 1 INBOX")
        lines = [line for line in await take(client, 3) if b"RECENT" not in line]
        assert [b"* 4 EXISTS", b"* 4 FETCH (UID 4)"] == lines
        await other.ask(b"STORE 1 +FLAGS.SILENT (\\Deleted)")
        await take(client, 1)
        await other.ask(b"EXPUNGE")
        assert b"* 1 EXPUNGE" == (await take(client, 1))[0]
        assert b"OK Nothing done" == (await client.ask(b"NOOP"))[-1]


async def test_delayed_expunges(make_filled: Make) -> None:
    """With SELECTED-DELAYED an expunge waits for a command, or IDLE (RFC 5465 section 6.1.2)."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in(select=b"INBOX")
        await other.log_in(select=b"INBOX")
        await client.ask(b"NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))")
        await other.ask(b"STORE 1:2 +FLAGS.SILENT (\\Deleted)")
        await take(client, 2)
        await other.ask(b"UID EXPUNGE 1")
        await other.ask(b"STORE 2 +FLAGS.SILENT (\\Seen)")
        assert (await take(client, 1))[0].startswith(b"* 3 FETCH (UID 3 FLAGS (\\Seen")
        lines = await client.ask(b"FETCH 1:3 UID")
        assert not any(b"EXPUNGE" in line for line in lines)
        assert b"* 1 EXPUNGE" in await client.ask(b"NOOP")


async def test_other_mailboxes(make_filled: Make) -> None:
    """What happens in a mailbox that is not selected is told by STATUS; the selected one is told otherwise."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in(select=b"INBOX")
        await other.log_in(select=b"INBOX")
        await client.ask(WORK)
        await other.ask(b"COPY 1:2 Sent")
        assert (await take(client, 1))[0].startswith(b"* STATUS Sent (MESSAGES 2 UIDNEXT 3")
        await other.ask(b"SELECT Sent")
        await other.ask(b"STORE 1 +FLAGS.SILENT (\\Seen)")
        assert (await take(client, 1))[0].startswith(b"* STATUS Sent (UNSEEN 1")
        await client.ask(b"ENABLE CONDSTORE")
        await other.ask(b"STORE 2 +FLAGS.SILENT (\\Flagged)")
        line = (await take(client, 1))[0]
        assert b"UIDVALIDITY" in line
        assert b"HIGHESTMODSEQ" in line


async def test_status_first(make_filled: Make) -> None:
    """NOTIFY SET STATUS tells how the watched mailboxes stand before its OK, the selected one left out."""
    house = make_filled()
    async with house.session() as client:
        await client.log_in(select=b"Sent")
        lines = await client.ask(b"NOTIFY SET STATUS (mailboxes (INBOX Sent Nowhere) (MessageNew MessageExpunge))")
        assert [True, True] == [lines[0].startswith(b"* STATUS INBOX (MESSAGES 3 UIDNEXT 4 UIDVALIDITY "), 2 == len(lines)]


async def test_names(make_filled: Make) -> None:
    """Names that another session makes, renames and removes are told by LIST; our own are not."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in()
        await other.log_in()
        await client.ask(b"NOTIFY SET (personal (MailboxName SubscriptionChange MessageNew MessageExpunge))")
        await other.ask(b"CREATE Work")
        assert [b'* LIST (\\HasNoChildren) "/" Work'] == await take(client, 1)
        await other.ask(b"SUBSCRIBE Work")
        assert [b'* LIST (\\HasNoChildren \\Subscribed) "/" Work'] == await take(client, 1)
        await other.ask(b"UNSUBSCRIBE Work")
        assert [b'* LIST (\\HasNoChildren) "/" Work'] == await take(client, 1)
        await other.ask(b"RENAME Work Done")
        assert [b'* LIST (\\HasNoChildren) "/" Done ("OLDNAME" (Work))'] == await take(client, 1)
        await other.ask(b"DELETE Done")
        assert [b'* LIST (\\NonExistent) "/" Done'] == [line.replace(b" \\HasNoChildren", b"") for line in await take(client, 1)]
        lines = await client.ask(b"CREATE Mine")
        assert [1, True] == [len(lines), lines[0].endswith(b"Mailbox created")]
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_a_mailbox_made_later_is_watched(make_filled: Make) -> None:
    """The set of mailboxes is looked at again when names change."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in()
        await other.log_in(select=b"INBOX")
        await client.ask(b"NOTIFY SET (subtree Work (MailboxName MessageNew MessageExpunge))")
        await other.ask(b"CREATE Work")
        await take(client, 1)
        await other.ask(b"COPY 1 Work")
        assert [b"* STATUS Work (MESSAGES 1 UIDNEXT 2)"] == await take(client, 1)


async def test_refusals(make_filled: Make) -> None:
    """Events that we do not have are named by those that we have; NONE ends it all."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in(select=b"INBOX")
        await other.log_in(select=b"INBOX")
        supported = b"NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)]"
        for event in (b"AnnotationChange MessageNew MessageExpunge", b"Nonsense"):
            assert (await client.ask(b"NOTIFY SET (personal (" + event + b"))"))[-1].startswith(supported)
        assert (await client.ask(b"NOTIFY SET (personal (FlagChange))"))[-1].startswith(b"BAD ")
        await client.ask(WORK)
        assert b"OK Notify completed" == (await client.ask(b"NOTIFY NONE"))[-1]
        await other.ask(b"STORE 1 +FLAGS.SILENT (\\Seen)")
        lines = await client.ask(b"NOOP")
        assert lines[0].startswith(b"* 1 FETCH (UID 1 FLAGS (\\Seen")


async def test_idle_tells_what_notify_says(make_filled: Make) -> None:
    """In IDLE the same events come (RFC 5465 section 4)."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in(select=b"INBOX")
        await other.log_in(select=b"INBOX")
        await client.ask(WORK)
        await client.send(b"i IDLE\r\n")
        assert b"+ idling" == await client.line()
        await other.ask(b"COPY 1 Sent")
        assert (await take(client, 1))[0].startswith(b"* STATUS Sent (MESSAGES 1 UIDNEXT 2")
        await client.send(b"DONE\r\n")
        assert [b"i OK Idle completed"] == await client.until(b"i")
        await other.ask(b"COPY 1 Sent")
        assert (await take(client, 1))[0].startswith(b"* STATUS Sent (MESSAGES 2 UIDNEXT 3")


async def test_too_much_ends_it() -> None:
    """A watcher that does not take what is told loses names, and is told so; mailboxes count once each."""
    feed = TrioChangeFeed(offload=InlineOffload(), inotify=False)
    with feed.watch_account(ANA, [INBOX], NamePlaces()) as watcher:
        for number in range(1_005):
            feed.publish(ANA, INBOX)
            feed.publish(ANA, MailboxName("Elsewhere"))
            feed.publish_name(ANA, NameChange(NameChangeKind.NAME, MailboxName(str(number))))
        changes = await watcher.wait_changes()
    assert ((INBOX,), 1_000, True) == (changes.mailboxes, len(changes.names), changes.overflown)


async def test_overflow_is_told(make_filled: Make) -> None:
    """Then nothing more is told, as after NOTIFY NONE (RFC 5465 section 5.8)."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in()
        await other.log_in()
        await client.ask(b"NOTIFY SET (personal (MailboxName))")
        for number in range(1_005):
            house.feed.publish_name(ANA, NameChange(NameChangeKind.NAME, MailboxName(f"x{number}")))
        assert [b"* OK [NOTIFICATIONOVERFLOW] Too much happens; nothing more is told"] == await take(client, 1)
        await other.ask(b"CREATE Work")
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_annotations(stored_house: Make) -> None:
    """Entries of the mailboxes and of the server that others change are told by name, without ENABLE METADATA; our own are not."""
    house = stored_house()
    async with house.session() as client, house.session() as other:
        await client.log_in()
        await other.log_in()
        await other.ask(b'SETMETADATA Sent (/private/comment "before")')
        await client.ask(b"NOTIFY SET (mailboxes Sent (MailboxMetadataChange)) (personal (ServerMetadataChange))")
        await other.ask(b'SETMETADATA Sent (/private/comment "x" /shared/comment NIL)')
        assert [b"* METADATA Sent /private/comment /shared/comment"] == await take(client, 1)
        await other.ask(b'SETMETADATA "" (/private/vendor/x/y "z")')
        assert [b'* METADATA "" /private/vendor/x/y'] == await take(client, 1)
        await other.ask(b"SETMETADATA Sent (/private/comment NIL)")
        assert [b"* METADATA Sent /private/comment"] == await take(client, 1)
        await other.ask(b'SETMETADATA Drafts (/private/comment "x")')
        await other.ask(b'SETMETADATA INBOX (/private/comment "x")')
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
        assert [b"OK Setmetadata completed"] == await client.ask(b'SETMETADATA Sent (/private/comment "mine")')
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_annotations_of_what_is_subscribed(stored_house: Make) -> None:
    """The events of mailboxes and of the server are apart, and who asks for them anew hears of no earlier ones."""
    house = stored_house()
    wanted = b"NOTIFY SET (subscribed (MailboxMetadataChange SubscriptionChange))"
    async with house.session() as client, house.session() as other:
        await client.log_in(select=b"INBOX")
        await other.log_in()
        await other.ask(b"CREATE Work")
        await client.ask(wanted)
        await other.ask(b'SETMETADATA "" (/private/vendor/x/y "z")')
        await other.ask(b'SETMETADATA Work (/private/comment "x")')
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
        await other.ask(b"SUBSCRIBE Work")
        assert [b'* LIST (\\HasNoChildren \\Subscribed) "/" Work'] == await take(client, 1)
        await client.send(b"i IDLE\r\n")
        assert b"+ idling" == await client.line()
        await other.ask(b'SETMETADATA Work (/private/comment "y")')
        assert [b"* METADATA Work /private/comment"] == await take(client, 1)
        await client.send(b"DONE\r\n")
        await client.until(b"i")
        await client.ask(b"NOTIFY NONE")
        await other.ask(b'SETMETADATA Work (/private/comment "z")')
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
        assert [b"OK Notify completed"] == await client.ask(wanted)
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_a_mailbox_of_our_own_making_is_watched(make_filled: Make) -> None:
    """Our own CREATE and SUBSCRIBE are not told, but what happens there afterwards is (RFC 5465 section 6.4, section 6.5)."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in()
        await other.log_in(select=b"INBOX")
        await client.ask(b"NOTIFY SET (subtree Work (MessageNew MessageExpunge)) (subscribed (MessageNew MessageExpunge))")
        for name in (b"Work", b"Play"):
            await client.ask(b"CREATE " + name)
        await other.ask(b"COPY 1 Work")
        assert [b"* STATUS Work (MESSAGES 1 UIDNEXT 2)"] == await take(client, 1)
        await other.ask(b"COPY 1 Play")
        assert [b"OK Subscribed"] == await client.ask(b"SUBSCRIBE Play")
        await other.ask(b"COPY 1 Play")
        assert [b"* STATUS Play (MESSAGES 2 UIDNEXT 3)"] == await take(client, 1)


async def test_a_mailbox_made_by_delivery(stored_house: Make, plain: bytes) -> None:
    """A delivery to a mailbox that was not there is told at once: the name, and that it holds a message."""
    house = stored_house()
    stores = house.service._shared.stores
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))")
        stores.deliver(ANA, [(MailboxName("Lists/trio"), NewMessage(MemoryContent(plain), 0.0))])
        lines = await take(client, 3)
        assert [
            b'* LIST (\\HasChildren) "/" Lists',
            b'* LIST (\\HasNoChildren) "/" Lists/trio',
            b"* STATUS Lists/trio (MESSAGES 1 UIDNEXT 2)",
        ] == lines
        stores.deliver(ANA, [(MailboxName("Lists/trio"), NewMessage(MemoryContent(plain), 0.0))])
        assert [b"* STATUS Lists/trio (MESSAGES 2 UIDNEXT 3)"] == await take(client, 1)


async def test_a_mailbox_keeps_its_numbers_under_another_name(make_filled: Make) -> None:
    """After a rename only what happened since is told of the messages, and each name of a parent that was made is told once."""
    house = make_filled()
    async with house.session() as client, house.session() as other:
        await client.log_in()
        await other.log_in(select=b"INBOX")
        await other.ask(b"CREATE Work")
        await other.ask(b"COPY 1 Work")
        await client.ask(b"NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))")
        await other.ask(b"RENAME Work Done")
        assert [b'* LIST (\\HasNoChildren) "/" Done ("OLDNAME" (Work))'] == await take(client, 1)
        await other.ask(b"COPY 2 Done")
        assert [b"* STATUS Done (MESSAGES 2 UIDNEXT 3)"] == await take(client, 1)


async def test_names_changed_on_disk(stored_house: Make, tmp_path: Path) -> None:
    """What another program makes, removes and subscribes to is told; what we did ourselves meanwhile is not."""
    house = stored_house()
    root = tmp_path / "mail" / "ana"
    is_mbox = (root / "folders").is_dir()
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"NOTIFY SET (personal (MailboxName SubscriptionChange MessageNew MessageExpunge))")
        await client.ask(b"CREATE Mine")
        place = root / "folders" / "Theirs.mbox" if is_mbox else root / ".Theirs"
        if is_mbox:
            place.touch()
        else:
            for part in ("cur", "new", "tmp"):
                (place / part).mkdir(parents=True)
        house.feed.look_on_disk()
        assert [b'* LIST (\\HasNoChildren) "/" Theirs'] == await take(client, 1)
        with (root / "subscriptions").open("a") as file:
            file.write("Theirs\n")
        house.feed.look_on_disk()
        assert [b'* LIST (\\HasNoChildren \\Subscribed) "/" Theirs'] == await take(client, 1)
        if is_mbox:
            place.unlink()
        else:
            shutil.rmtree(place)
        house.feed.look_on_disk()
        lines = await take(client, 1)
        assert [True, True] == [b"\\NonExistent" in lines[0], lines[0].endswith(b" Theirs")]
        house.feed.look_on_disk()
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
