"""MESSAGELIMIT and SAVELIMIT: one command works on so many messages, the newest first."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.config.schema import ImapConfig

House = Any
Make = Callable[..., House]


@pytest.fixture
def house(make_house: Make, plain: bytes) -> House:
    """Ten messages, three for each command."""
    return make_house([plain] * 10, settings=ImapConfig(message_limit=3))


async def test_fetch_and_store(house: House) -> None:
    """The newest are done, FETCH from the highest down, and the answer names the last; what fits is as ever."""
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert b" MESSAGELIMIT=3" in (await client.ask(b"CAPABILITY"))[0]
        lines = await client.ask(b"FETCH 2:8 UID")
        assert [b"* 8 FETCH (UID 8)", b"* 7 FETCH (UID 7)", b"* 6 FETCH (UID 6)"] == lines[:3]
        assert b"OK [MESSAGELIMIT 3 6] Only the newest 3 of 7 messages were worked on" == lines[3]
        lines = await client.ask(b"FETCH 1:5 RFC822.SIZE")
        assert [b"5", b"4", b"3"] == [line.split()[1] for line in lines[:3]]
        assert [b"* 1 FETCH (UID 1)", b"* 2 FETCH (UID 2)", b"OK Fetch completed"] == await client.ask(b"FETCH 1:2 UID")
        lines = await client.ask(b"UID STORE 1:10 +FLAGS.SILENT (\\Deleted)")
        assert [b"OK [MESSAGELIMIT 3 8] Only the newest 3 of 10 messages were worked on"] == lines
        assert [b"* SEARCH 8 9 10", b"OK Search completed"] == await client.ask(b"SEARCH 8:10 DELETED")
        lines = await client.ask(b"UID STORE 1:10 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)")
        assert b"* NO [MESSAGELIMIT 3 8] Only the newest 3 of 10 messages were worked on" in lines
        assert lines[-1].startswith(b"OK [MODIFIED 8:10]")


async def test_copy_move_and_expunge(house: House) -> None:
    """COPY of too many does nothing, MOVE and UID EXPUNGE do the newest, EXPUNGE does all (RFC 9738 section 3.1)."""
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"NO [MESSAGELIMIT 3 8] Too many messages to copy at once"] == await client.ask(b"COPY 1:* Sent")
        assert 0 == len(house.store.mailboxes["Sent"].records)
        lines = await client.ask(b"MOVE 1:* Sent")
        assert [b"* OK [COPYUID 1000 8:10 1:3] Moved", b"* 10 EXPUNGE", b"* 9 EXPUNGE", b"* 8 EXPUNGE"] == lines[:4]
        assert b"OK [MESSAGELIMIT 3 8] Only the newest 3 of 10 messages were worked on" == lines[-1]
        for messages in (b"1:3", b"4:6", b"7"):
            await client.ask(b"STORE " + messages + b" +FLAGS.SILENT (\\Deleted)")
        lines = await client.ask(b"UID EXPUNGE 1:*")
        assert b"OK [MESSAGELIMIT 3 5] Only the newest 3 of 7 messages were worked on" == lines[-1]
        assert b"OK Expunge completed" == (await client.ask(b"EXPUNGE"))[-1]
        assert {} == house.inbox.records


async def test_copies_alone(make_house: Make, plain: bytes) -> None:
    """SAVELIMIT bounds COPY and nothing else."""
    house = make_house([plain] * 5, settings=ImapConfig(save_limit=3))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert b" SAVELIMIT=3" in (await client.ask(b"CAPABILITY"))[0]
        assert [b"NO [MESSAGELIMIT 3 3] Too many messages to copy at once"] == await client.ask(b"COPY 1:* Sent")
        assert b"OK Fetch completed" == (await client.ask(b"FETCH 1:* UID"))[-1]


async def test_search(house: House) -> None:
    """So many of the messages that the command names are looked at, from the newest; the code says how far that went (RFC 9738 section 3.1)."""
    code = b"OK [MESSAGELIMIT 3 %d] Only the newest 3 of %d messages were worked on"
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* SEARCH 10 9 8", code % (8, 10)] == await client.ask(b"SEARCH UNSEEN")
        assert [b"* SEARCH 7 6 5", code % (5, 6)] == await client.ask(b"UID SEARCH UNSEEN UID 2:7")
        assert [b"* SEARCH", code % (5, 6)] == await client.ask(b"UID SEARCH SEEN 2:7")
        assert [b"* SEARCH 2 3 4", b"OK Search completed"] == await client.ask(b"SEARCH 2:4 UNSEEN")
        lines = await client.ask(b"SEARCH RETURN (SAVE COUNT) ALL")
        assert [b"COUNT 3" in lines[0], code % (8, 10)] == [True, lines[1]]
        assert [b"* SEARCH 8 9 10", b"OK Search completed"] == await client.ask(b"SEARCH $")
        lines = await client.ask(b"SEARCH RETURN (UPDATE ALL) UNSEEN")
        assert [True, True, True] == [b"ALL 8:10" in lines[0], b"NO [NOUPDATE " in lines[1], lines[2] == code % (8, 10)]
        assert b"OK Sort completed" == (await client.ask(b"SORT (ARRIVAL) US-ASCII ALL"))[-1]
