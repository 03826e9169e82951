"""CONDSTORE, QRESYNC and UIDONLY in sessions, over mail in memory, in a Maildir and in an mbox."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

from appliance.config.schema import ImapConfig
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import NewMessage, SpecialUse
from appliance.storage.stores import FileMailStores

House = Any
Make = Callable[..., House]
DIALOGS = Path(__file__).resolve().parents[2] / "dialogs"
ANA = AccountName("ana")
KINDS = ["memory", "maildir", "mbox"]


def _load(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def make_filled(make_house: Make, plain: bytes, tmp_path: Path) -> Iterator[Make]:
    """Return a function that builds a service over an INBOX of so many plain messages, in memory or on files."""
    opened: list[FileMailStores] = []

    def make(kind: str, count: int = 3, **settings: Any) -> House:
        if kind == "memory":
            return make_house([plain] * count, settings=ImapConfig(**settings))
        house = make_house(settings=ImapConfig(**settings))
        stores = FileMailStores(
            tmp_path / "data",
            house.feed,
            formats="mbox" if kind == "mbox" else "maildir",
            special_folders={SpecialUse.SENT: MailboxName("Sent")},
        )
        opened.append(stores)
        stores.deliver(ANA, [(INBOX, NewMessage(MemoryContent(plain), 0.0))] * count)
        house.service._shared = replace(house.service._shared, stores=stores)
        house.store = stores.account(ANA)
        return house

    yield make
    for stores in opened:
        stores.close()


@pytest.fixture(params=sorted((DIALOGS / "imapsync").glob("*.dialog")), ids=lambda path: path.stem)
def dialog(request: pytest.FixtureRequest) -> Any:
    """Each dialogue, parsed."""
    return _load("dialog_format", DIALOGS / "dialog_format.py").parse(request.param.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
async def test_dialog(dialog: Any, kind: str, make_filled: Make) -> None:
    """Line by line, over each kind of mail store."""
    house = make_filled(kind, **dialog.settings)
    async with house.session() as client:
        with trio.fail_after(30):
            await _load("imap_dialogs", Path(__file__).with_name("test_imap_dialogs.py")).play(client, dialog.steps, None)


def number_in(pattern: bytes, lines: list[bytes]) -> int:
    """Return the number that a line tells, the last one if there are several."""
    return int([match[1] for line in lines if (match := re.search(pattern, line))][-1])


async def highest(client: Any) -> int:
    """Select INBOX with CONDSTORE and return where it stands."""
    return number_in(rb"\[HIGHESTMODSEQ (\d+)\]", await client.ask(b"SELECT INBOX (CONDSTORE)"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestTwoSessions:
    """What one session changes, another is told."""

    async def test_flags_come_with_their_modseq(self, make_filled: Make, kind: str) -> None:
        """A change by another session is told with UID and MODSEQ, which is the mailbox's highest then."""
        house = make_filled(kind)
        async with house.session() as first, house.session() as second:
            await first.log_in()
            await second.log_in(select=b"INBOX")
            before = await highest(first)
            await second.ask(b"STORE 2 +FLAGS.SILENT (\\Flagged)")
            lines = await first.ask(b"NOOP")
            told = number_in(rb"\* 2 FETCH \(UID 2 FLAGS \(\\Flagged(?: \\Recent)?\) MODSEQ \((\d+)\)\)", lines)
            assert told > before
            assert b"* SEARCH 2 (MODSEQ %d)" % told in await first.ask(b"SEARCH MODSEQ %d" % told)
            assert b"* STATUS INBOX (HIGHESTMODSEQ %d)" % told in await second.ask(b"STATUS INBOX (HIGHESTMODSEQ)")

    async def test_vanished_waits_like_expunge(self, make_filled: Make, kind: str) -> None:
        """While message numbers count, VANISHED waits and HIGHESTMODSEQ says so (RFC 7162 section 6)."""
        house = make_filled(kind)
        async with house.session() as first, house.session() as second:
            await first.log_in()
            await first.ask(b"ENABLE QRESYNC")
            before = await highest(first)
            await second.log_in(select=b"INBOX")
            await second.ask(b"STORE 2 +FLAGS.SILENT (\\Deleted)")
            await second.ask(b"EXPUNGE")
            await second.ask(b"STORE 2 +FLAGS.SILENT (\\Flagged)")
            lines = await first.ask(b"FETCH 1:3 (MODSEQ)")
            assert not any(b"VANISHED" in line for line in lines)
            assert b"* 2 FETCH (MODSEQ" not in b"".join(lines)
            assert before == number_in(rb"OK \[HIGHESTMODSEQ (\d+)\]", lines[-1:])
            lines = await first.ask(b"UID SEARCH 1")
            assert [b"* SEARCH 1", b"OK [HIGHESTMODSEQ %d] Search completed" % before] == lines
            lines = await first.ask(b"UID SEARCH ALL")
            assert [b"* SEARCH 1 2 3", b"* VANISHED 2"] == lines[:2]
            assert before < number_in(rb"OK \[HIGHESTMODSEQ (\d+)\]", lines[-1:])

    async def test_idle_tells_vanished(self, make_filled: Make, kind: str) -> None:
        """In IDLE an expunge by another session comes as VANISHED with its HIGHESTMODSEQ."""
        house = make_filled(kind)
        async with house.session() as first, house.session() as second:
            await first.log_in()
            await first.ask(b"ENABLE QRESYNC")
            await first.ask(b"SELECT INBOX")
            await second.log_in(select=b"INBOX")
            await first.send(b"i IDLE\r\n")
            assert b"+ idling" == await first.line()
            await second.ask(b"STORE 3 +FLAGS.SILENT (\\Deleted)")
            assert (await first.line()).startswith(b"* 3 FETCH (UID 3 FLAGS (\\Deleted")
            await second.ask(b"EXPUNGE")
            assert b"* VANISHED 3" == await first.line()
            lines = [await first.line()]
            while b"HIGHESTMODSEQ" not in lines[-1]:
                lines.append(await first.line())
            await first.send(b"DONE\r\n")
            assert [b"i OK Idle completed"] == await first.until(b"i")

    async def test_coming_back(self, make_filled: Make, kind: str) -> None:
        """SELECT (QRESYNC) tells what was expunged and changed meanwhile, of the uids asked for."""
        house = make_filled(kind, 6)
        async with AsyncExitStack() as stack:
            client, other = [await stack.enter_async_context(house.session()) for _ in range(2)]
            await client.log_in()
            await client.ask(b"ENABLE QRESYNC")
            lines = await client.ask(b"SELECT INBOX")
            validity = number_in(rb"\[UIDVALIDITY (\d+)\]", lines)
            known = number_in(rb"\[HIGHESTMODSEQ (\d+)\]", lines)
            await client.ask(b"UNSELECT")
            await other.log_in(select=b"INBOX")
            await other.ask(b"STORE 1,3:4 +FLAGS.SILENT (\\Deleted)")
            await other.ask(b"EXPUNGE")
            await other.ask(b"UID STORE 2,6 +FLAGS.SILENT (\\Seen)")

            async def missed(arguments: bytes) -> tuple[list[bytes], list[bytes]]:
                lines = await client.ask(b"SELECT INBOX (QRESYNC (%d %d%b))" % (validity, known, arguments))
                assert b"OK [READ-WRITE] Mailbox is open" == lines[-1]
                await client.ask(b"UNSELECT")
                uids = [match[1] for line in lines if (match := re.match(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(\\Seen", line))]
                return [line for line in lines if b"VANISHED" in line], uids

            assert ([b"* VANISHED (EARLIER) 1,3:4"], [b"2", b"6"]) == await missed(b"")
            assert ([b"* VANISHED (EARLIER) 3"], [b"2"]) == await missed(b" 2:3")
            assert ([], [b"6"]) == await missed(b" 5:6")
            assert ([b"* VANISHED (EARLIER) 3:4"], [b"2", b"6"]) == await missed(b" (1,2 2,3)")
            assert ([], [b"2"]) == await missed(b" 1:5 (1,2 2,5)")


def _take_out_by_hand(mail: Path, text: bytes) -> None:
    """Delete the message that has this text, as another program does."""
    if (mail / "ana.mbox").exists():
        path = mail / "ana.mbox"
        messages = re.split(rb"(?m)^(?=From )", path.read_bytes())
        path.write_bytes(b"".join(one for one in messages if text not in one))
    else:
        for path in (*(mail / "cur").iterdir(), *(mail / "new").iterdir()):
            if text in path.read_bytes():
                path.unlink()


@pytest.mark.parametrize("loses_index", [False, True])
async def test_coming_back_after_a_restart(stored_house: Make, tmp_path: Path, *, loses_index: bool) -> None:
    """What was expunged before, what another program deleted meanwhile and what changed is told, also when the index is lost."""
    before = stored_house()
    async with before.session() as client:
        await client.log_in()
        for number in range(1, 6):
            text = b"Subject: %d\r\n\r\nthe text %d\r\n" % (number, number)
            await client.ask(b"APPEND INBOX {%d+}\r\n%b" % (len(text), text))
        await client.ask(b"ENABLE QRESYNC")
        lines = await client.ask(b"SELECT INBOX")
        validity, known = number_in(rb"\[UIDVALIDITY (\d+)\]", lines), number_in(rb"\[HIGHESTMODSEQ (\d+)\]", lines)
        await client.ask(b"UID STORE 3 +FLAGS.SILENT (\\Seen)")
        await client.ask(b"UID STORE 2 +FLAGS.SILENT (\\Deleted)")
        assert b"* VANISHED 2" in await client.ask(b"EXPUNGE")
    before.service._shared.stores.close()
    if loses_index:
        for path in (tmp_path / "index").iterdir():
            path.unlink()
    _take_out_by_hand(tmp_path / "mail" / "ana", b"the text 4")
    async with stored_house().session() as client:
        await client.log_in()
        await client.ask(b"ENABLE QRESYNC")
        lines = await client.ask(b"SELECT INBOX (QRESYNC (%d %d))" % (validity, known))
    assert b"* 3 EXISTS" in lines
    assert b"* VANISHED (EARLIER) 2,4" in lines
    told = {int(match[1]): match[2] for line in lines if (match := re.match(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\)", line))}
    assert b"\\Seen" in told[3]
    assert ({1, 3, 5} if loses_index else {3}) == set(told)


class TestBatches:
    """UIDBATCHES: ranges that part the mailbox."""

    async def test_ranges(self, make_house: Make, plain: bytes) -> None:
        """Batches are full from the newest on; they leave no uid between them and the last ends with 1."""
        house = make_house([plain] * 1_203)
        for uid in (1, 2, 700):
            del house.inbox.records[uid]
        async with house.session() as client:
            await client.log_in(select=b"INBOX")
            assert b'* UIDBATCHES (TAG "t3") 1203:703,702:201,200:1' == (await client.ask(b"UIDBATCHES 501"))[0]
            assert b'* UIDBATCHES (TAG "t4") 702:201' == (await client.ask(b"UIDBATCHES 501 2:2"))[0]
            assert b'* UIDBATCHES (TAG "t5") 200:1' == (await client.ask(b"UIDBATCHES 501 3:9"))[0]
            assert b'* UIDBATCHES (TAG "t6")' == (await client.ask(b"UIDBATCHES 501 4:9"))[0]
            assert b'* UIDBATCHES (TAG "t7") 1203:1' == (await client.ask(b"UIDBATCHES 2000"))[0]
            assert b'* UIDBATCHES (TAG "t8") 1203:1' == (await client.ask(b"UIDBATCHES 1200"))[0]
            expected = b"BAD Range of batches such as 1:4 expected in column 20, where the command ends"
            assert [expected] == await client.ask(b"UIDBATCHES 500 1")


async def test_a_range_of_what_changed(make_filled: Make, kind: str) -> None:
    """The range is taken of all messages of the set, and what did not change falls out of it (RFC 9394 section 3.4)."""
    house = make_filled(kind, 5)
    async with house.session() as client:
        await client.log_in()
        before = await highest(client)
        await client.ask(b"STORE 1,4 +FLAGS.SILENT (\\Flagged)")
        lines = await client.ask(b"UID FETCH 1:* (UID) (PARTIAL -1:-3 CHANGEDSINCE %d)" % before)
        assert [b"4"] == [line.split()[1] for line in lines[:-1]]


async def test_a_range_under_a_limit(make_filled: Make, kind: str) -> None:
    """A limit counts the messages of the range, not of the set, and refuses it whole (RFC 9738 section 3.1)."""
    house = make_filled(kind, 5, message_limit=2)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* 1 FETCH (UID 1)", b"* 2 FETCH (UID 2)", b"OK Fetch completed"] == await client.ask(b"UID FETCH 1:* UID (PARTIAL 1:2)")
        lines = await client.ask(b"UID FETCH 1:* UID (PARTIAL 1:3)")
        assert [b"NO [MESSAGELIMIT 2] Too many messages to fetch at once"] == lines
