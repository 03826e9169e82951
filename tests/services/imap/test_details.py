"""FETCH of EMAILID, THREADID, PREVIEW and SAVEDATE over whole sessions."""

import re
from collections.abc import Callable
from typing import Any

from appliance.model.ids import MailboxName

House = Any
Make = Callable[..., House]


async def test_identifiers_are_those_of_the_copies(make_house: Make, plain: bytes) -> None:
    """RFC 8474 section 5.1: COPY keeps the EMAILID; THREADID follows from it."""
    house = make_house()
    house.store.create_mailbox(MailboxName("Archive"))
    house.inbox.put(plain)
    house.inbox.put(plain.replace(b"Hello", b"Other"))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        first, second, _ = await client.ask(b"FETCH 1:2 (EMAILID THREADID)")
        assert re.fullmatch(rb"\* 1 FETCH \(EMAILID \(M[0-9a-f]{32}\) THREADID \(T[0-9a-f]{32}\)\)", first)
        assert first[10:] != second[10:]
        await client.ask(b"COPY 1 Archive")
        await client.ask(b"SELECT Archive")
        assert [first, b"OK Fetch completed"] == await client.ask(b"FETCH 1 (EMAILID THREADID)")


async def test_previews_are_made_when_asked_for(make_house: Make, plain: bytes) -> None:
    """RFC 8970 section 3.1: LAZY shows what is there; PREVIEW makes it; neither sets Seen."""
    house = make_house()
    house.inbox.put(plain)
    house.inbox.put(b"Content-Type: text/plain; charset=utf-8\r\n\r\nOl\xc3\xa1")
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* 1 FETCH (PREVIEW NIL)", b"OK Fetch completed"] == await client.ask(b"FETCH 1 PREVIEW (LAZY)")
        assert [b'* 1 FETCH (PREVIEW "Hi there")', b"OK Fetch completed"] == await client.ask(b"FETCH 1 (PREVIEW)")
        assert [b'* 1 FETCH (UID 1 PREVIEW "Hi there")', b"OK Fetch completed"] == await client.ask(b"FETCH 1 (UID PREVIEW (LAZY))")
        assert [b"* 2 FETCH (PREVIEW {4}\r\nOl\xc3\xa1)", b"OK Fetch completed"] == await client.ask(b"FETCH 2 PREVIEW")
        assert not house.inbox.records[1].flags


async def test_an_empty_preview_is_no_missing_one(make_house: Make) -> None:
    """RFC 8970 section 3.2: a message without text has the empty string."""
    house = make_house()
    house.inbox.put(b"Content-Type: image/png\r\n\r\nxx")
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b'* 1 FETCH (PREVIEW "")', b"OK Fetch completed"] == await client.ask(b"FETCH 1 PREVIEW")


async def test_details_come_with_bodies(make_house: Make, plain: bytes) -> None:
    """In the order asked for, whatever else is asked; SAVEDATE is a date-time (RFC 8514 section 4.2)."""
    house = make_house()
    house.inbox.put(plain, date_s=1_000_000_000)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1 (PREVIEW BODY.PEEK[TEXT] SAVEDATE)")
        assert [
            b'* 1 FETCH (PREVIEW "Hi there" BODY[TEXT] {10}\r\nHi there\r\n SAVEDATE " 9-Sep-2001 01:46:40 +0000")',
            b"OK Fetch completed",
        ] == lines


async def test_details_of_a_message_that_is_gone(make_house: Make, plain: bytes) -> None:
    """What is known is told, and the command says that something is missing."""
    house = make_house()
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        del house.inbox.records[1]
        assert b"NO [EXPUNGEISSUED]" in (await client.ask(b"FETCH 1 (EMAILID PREVIEW)"))[-1]
