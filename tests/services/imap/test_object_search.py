"""SEARCH by EMAILID, THREADID and the day of saving, over whole sessions."""

from collections.abc import Callable
from typing import Any

import pytest

House = Any
Make = Callable[..., House]

DAY_S = 86_400


async def test_identifiers_are_found(make_house: Make, plain: bytes) -> None:
    """RFC 8474 section 6: exactly that one; what no message has finds nothing."""
    house = make_house()
    house.inbox.put(b"Message-ID: <1@x>\r\n" + plain)
    house.inbox.put(b"Message-ID: <2@x>\r\nReferences: <1@x>\r\n" + plain)
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        (line, _) = await client.ask(b"FETCH 2 (EMAILID THREADID)")
        email_id, thread_id = (word.strip(b"()") for word in line.split()[4::2])
        assert b"* SEARCH 2" == (await client.ask(b"SEARCH EMAILID " + email_id))[0]
        assert b"* SEARCH 1 2" == (await client.ask(b"SEARCH THREADID " + thread_id))[0]
        assert b"* SEARCH 3" == (await client.ask(b"SEARCH NOT THREADID " + thread_id))[0]
        assert b"* SEARCH" == (await client.ask(b"SEARCH EMAILID " + thread_id))[0]
        assert b"* SEARCH 1 2" == (await client.ask(b"SEARCH OR EMAILID %b THREADID %b" % (email_id, thread_id)))[0]


async def test_days_of_saving_are_found(make_house: Make, plain: bytes) -> None:
    """RFC 8514 section 4.3: by day, in UTC, whatever the internal date is called."""
    house = make_house()
    for number in range(3):
        house.inbox.put(plain, date_s=1_000_000_000 + number * DAY_S)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert b"* SEARCH 1" == (await client.ask(b"SEARCH SAVEDBEFORE 10-Sep-2001"))[0]
        assert b"* SEARCH 2" == (await client.ask(b"SEARCH SAVEDON 10-Sep-2001"))[0]
        assert b"* SEARCH 2 3" == (await client.ask(b"SEARCH SAVEDSINCE 10-Sep-2001"))[0]
        assert b"* SEARCH 1 2 3" == (await client.ask(b"SEARCH SAVEDATESUPPORTED"))[0]
        assert b"* SEARCH" == (await client.ask(b"SEARCH NOT SAVEDATESUPPORTED"))[0]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"EMAILID", b"BAD Space expected in column "),
        (b"EMAILID a.b", b"BAD Object identifiers are made of letters, digits, _ and -"),
        (b"SAVEDON x", b"BAD Date such as 1-Feb-1994 expected in column "),
    ],
)
async def test_broken_keys_are_told(make_house: Make, key: bytes, text: bytes) -> None:
    """With what was expected."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert (await client.ask(b"SEARCH " + key))[-1].startswith(text)
