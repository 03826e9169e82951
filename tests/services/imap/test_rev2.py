r"""IMAP4rev2 beside IMAP4rev1: what changes with ENABLE."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.protocols.imap.extensions import Extension
from appliance.services.imap import enabling
from appliance.services.imap.capabilities import ENABLABLE

House = Any
Make = Callable[..., House]


@pytest.fixture(autouse=True)
def _enablable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enabling, "ENABLABLE", ENABLABLE | {Extension.IMAP4REV2})


async def test_select(make_house: Make, plain: bytes) -> None:
    """CLOSED for the mailbox before, LIST for the new one; neither RECENT nor UNSEEN."""
    async with make_house([plain]).session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* ENABLED IMAP4rev2", b"OK Enable completed"] == await client.ask(b"ENABLE IMAP4rev2")
        lines = await client.ask(b"SELECT Sent")
        assert b"* OK [CLOSED] Previous mailbox is closed" == lines[0]
        assert b'* LIST () "/" Sent' in lines
        lines = await client.ask(b"SELECT INBOX")
        assert b"* 1 EXISTS" in lines
        assert [] == [line for line in lines if b"RECENT" in line or b"UNSEEN" in line]


async def test_nothing_is_recent(make_house: Make, plain: bytes) -> None:
    """Not after ENABLE with a mailbox selected, and not for new mail."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert b"* 1 FETCH (FLAGS (\\Recent))" in await client.ask(b"FETCH 1 FLAGS")
        await client.ask(b"ENABLE IMAP4rev2")
        assert b"* 1 FETCH (FLAGS ())" in await client.ask(b"FETCH 1 FLAGS")
        house.inbox.put(plain)
        assert [b"* 2 EXISTS", b"OK Nothing done"] == await client.ask(b"NOOP")
        assert b"* 2 FETCH (FLAGS ())" in await client.ask(b"FETCH 2 FLAGS")
    async with house.session() as client:
        await client.log_in()
        assert b"* 0 RECENT" in await client.ask(b"SELECT INBOX")


async def test_names_are_utf8(make_house: Make) -> None:
    """In both directions; modified UTF-7 is a name like any other then."""
    async with make_house().session() as client:
        await client.log_in()
        await client.ask(b"CREATE &AOk-")
        assert [b'* LIST (\\HasNoChildren) "/" &AOk-'] == (await client.ask(b'LIST "" &AOk-'))[:1]
        await client.ask(b"ENABLE IMAP4rev2")
        assert ['* LIST (\\HasNoChildren) "/" "é"'.encode()] == (await client.ask('LIST "" "é"'.encode()))[:1]
        assert ['* STATUS "é" (MESSAGES 0)'.encode()] == (await client.ask('STATUS "é" (MESSAGES)'.encode()))[:1]
        assert '* LIST () "/" "é"'.encode() in await client.ask('SELECT "é"'.encode())
        assert [b"BAD Quoted string is not UTF-8"] == await client.ask(b'SELECT "\xe9"')


async def test_news_have_their_uid(make_house: Make, plain: bytes) -> None:
    """Whoever changed the flags."""
    house = make_house([plain])
    async with house.session() as one, house.session() as two:
        await one.log_in(select=b"INBOX")
        await two.log_in(select=b"INBOX")
        await two.ask(b"ENABLE IMAP4rev2")
        await one.ask(b"STORE 1 +FLAGS (\\Seen)")
        assert [b"* 1 FETCH (UID 1 FLAGS (\\Seen))", b"OK Nothing done"] == await two.ask(b"NOOP")


async def test_copy_makes_no_mailbox(make_house: Make, plain: bytes) -> None:
    """TRYCREATE instead; COPYUID with MOVE as with UID MOVE."""
    async with make_house([plain, plain]).session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"ENABLE IMAP4rev2")
        assert [b"NO [TRYCREATE] No such mailbox"] == await client.ask(b"COPY 1 nowhere")
        assert [b"NO [TRYCREATE] No such mailbox"] == await client.ask(b"MOVE 1 nowhere")
        assert [b"* OK [COPYUID 1000 1 1] Moved", b"* 1 EXPUNGE", b"OK Move completed"] == await client.ask(b"MOVE 1 Sent")
        assert [b"* OK [COPYUID 1000 2 2] Moved", b"* 1 EXPUNGE", b"OK Move completed"] == await client.ask(b"UID MOVE 2 Sent")
