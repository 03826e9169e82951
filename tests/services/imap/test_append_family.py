"""APPEND of literal8 and UTF8, CATENATE of large pieces, REPLACE that fails, all or none."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.config.schema import ImapConfig
from appliance.model.errors import OutOfSpaceError, UnavailableError
from appliance.model.ids import MailboxName

House = Any
Make = Callable[..., House]
SENT = MailboxName("Sent")

NULS = bytes(range(256)) * 4
BINARY = b"MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + NULS


async def append(client: Any, data: bytes, mark: bytes = b"", before: bytes = b"", after: bytes = b"") -> list[bytes]:
    lines: list[bytes] = await client.ask(b"APPEND Sent %b%b{%d+}\r\n%b%b" % (before, mark, len(data), data, after))
    return lines


async def test_a_binary_part_comes_back_as_it_was(make_house: Make) -> None:
    """RFC 3516 section 4.4: stored in base64, which loses nothing and which every reader of the mailbox understands."""
    house = make_house()
    async with house.session() as client:
        await client.log_in()
        assert [b"OK [APPENDUID 1000 1] Append completed"] == await append(client, BINARY, b"~")
        stored = house.store.mailboxes[SENT].records[1].data
        assert b"\0" not in stored
        assert b"Content-Transfer-Encoding: base64\r\n" in stored
        await client.ask(b"SELECT Sent")
        lines = await client.ask(b"FETCH 1 BINARY.PEEK[1]")
        assert b"* 1 FETCH (BINARY[1] ~{1024}\r\n" + NULS + b")" == lines[0]


@pytest.mark.parametrize("data", [b"Subject: \0\r\n\r\nx", b"Content-Type: text/plain\r\n\r\na\0b"])
async def test_nul_elsewhere_cannot_be_stored(make_house: Make, data: bytes) -> None:
    """RFC 3516 section 4.4: NO [UNKNOWN-CTE], nothing is stored and nothing lost."""
    house = make_house()
    async with house.session() as client:
        await client.log_in()
        assert [b"NO [UNKNOWN-CTE] This part has an encoding that cannot be undone"] == await append(client, data, b"~")
        assert not house.store.mailboxes[SENT].records


async def test_a_utf8_message(make_house: Make) -> None:
    """RFC 6855 section 4: taken as it is."""
    house = make_house()
    data = "Subject: Olá\r\n\r\nx\r\n".encode()
    async with house.session() as client:
        await client.log_in()
        assert [b"OK [APPENDUID 1000 1] Append completed"] == await append(client, data, b"~", b"(\\Seen) UTF8 (", b")")
        assert data == house.store.mailboxes[SENT].records[1].data


async def test_large_pieces_are_catenated(make_house: Make) -> None:
    """What is here already is copied piece by piece, and does not become seen."""
    house = make_house()
    body = b"0123456789abcde\r\n" * 40_000
    house.inbox.put(b"Subject: large\r\n\r\n" + body)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(
            b"APPEND Sent CATENATE (TEXT {14+}\r\nSubject: x\r\n\r\n URL /INBOX/;UID=1/;SECTION=TEXT URL ;UID=1/;SECTION=TEXT)"
        )
        assert [b"OK [APPENDUID 1000 1] Append completed"] == lines
        assert b"Subject: x\r\n\r\n" + body + body == house.store.mailboxes[SENT].records[1].data
        assert not house.inbox.records[1].flags


async def test_a_catenated_message_may_be_too_large(make_house: Make, plain: bytes) -> None:
    """TOOBIG also when it is URLs that make it so; nothing is stored."""
    house = make_house(settings=ImapConfig(max_append_bytes=200))
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"APPEND Sent CATENATE (URL ;UID=1 URL ;UID=1)")
        assert [b"NO [TOOBIG] Message is larger than 200 bytes"] == lines
        lines = await client.ask(b"APPEND Sent CATENATE (TEXT {150+}\r\n" + b"x" * 150 + b" TEXT {51+}\r\n" + b"x" * 51 + b")")
        assert [b"NO [TOOBIG] Message is larger than 200 bytes"] == lines
        assert not house.store.mailboxes[SENT].records


async def test_several_messages_go_in_together_or_not_at_all(make_house: Make, plain: bytes) -> None:
    """RFC 3502: a bad URL in the second takes the first with it."""
    house = make_house()
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in()
        lines = await client.ask(b"APPEND Sent {1+}\r\na CATENATE (URL /INBOX/;UID=1) (\\Seen) CATENATE (TEXT {1+}\r\nb)")
        assert [b"OK [APPENDUID 1000 1:3] Append completed"] == lines
        lines = await client.ask(b"APPEND Sent {1+}\r\na CATENATE (URL /INBOX/;UID=9) {1+}\r\nc")
        assert [b"NO [BADURL /INBOX/;UID=9] The URL's message is not there"] == lines
        assert 3 == len(house.store.mailboxes[SENT].records)


async def test_an_empty_message_is_none(make_house: Make, plain: bytes) -> None:
    """Also when its pieces are empty."""
    house = make_house()
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in()
        lines = await client.ask(b"APPEND Sent CATENATE (TEXT {0+}\r\n URL /INBOX/;UID=1/;PARTIAL=99999.1)")
        assert [b"NO An empty message cannot be appended"] == lines


async def test_a_store_that_fails_is_told(make_house: Make, plain: bytes) -> None:
    """A mailbox that cannot be read while catenating, and a disk without room."""
    house = make_house()
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in()
        house.store.broken = UnavailableError()
        lines = await client.ask(b"APPEND Sent CATENATE (URL /INBOX/;UID=1)")
        assert [b"NO [UNAVAILABLE] Temporarily unavailable, try again later"] == lines
        house.store.broken = OutOfSpaceError()
        lines = await client.ask(b"APPEND Sent {1+}\r\nx")
        assert lines[-1].startswith(b"NO [UNAVAILABLE] Insufficient storage")


async def test_a_replacement_that_cannot_remove_leaves_all_as_it_was(
    make_house: Make, plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8508 section 3.4: no state between."""
    house = make_house()
    house.inbox.put(plain)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        real = house.inbox.expunge
        calls = []

        def fail_once(uids: Any) -> Any:
            calls.append(list(uids))
            if len(calls) == 1:
                raise UnavailableError
            return real(uids)

        monkeypatch.setattr(house.inbox, "expunge", fail_once)
        lines = await client.ask(b"REPLACE 1 INBOX {5+}\r\nother")
        assert b"NO [UNAVAILABLE] Temporarily unavailable, try again later" == lines[-1]
        assert [[1], [2]] == calls
        assert [1] == list(house.inbox.records)


async def test_dates_out_of_range(make_house: Make) -> None:
    """A day that the calendar does not have is refused, one before 1902 is the earliest that can be kept."""
    house = make_house()
    async with house.session() as client:
        await client.log_in()
        assert [b'BAD No such date-time: "30-Feb-2026 00:00:00 +0000"'] == await append(
            client, b"x", before=b'"30-Feb-2026 00:00:00 +0000" '
        )
        assert [b"OK [APPENDUID 1000 1] Append completed"] == await append(client, b"x", before=b'" 1-Jan-0001 00:00:00 +0000" ')
        assert [b"OK [APPENDUID 1000 2] Append completed"] == await append(client, b"x", before=b'"31-Dec-9999 23:59:59 -0000" ')
        assert [b"OK [APPENDUID 1000 3] Append completed"] == await append(
            client, b"x", before=b"($Forwarded $MDNSent $Junk $NotJunk $Phishing) "
        )
        records = house.store.mailboxes[SENT].records
        assert [-0x80000000, 253402300799] == [records[uid].date_s for uid in (1, 2)]
        assert 5 == records[3].flags.bit_count()
