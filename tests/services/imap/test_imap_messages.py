"""FETCH, SEARCH, STORE, COPY, MOVE, EXPUNGE and APPEND over whole sessions."""

import datetime
import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio

from appliance.config.schema import ImapConfig
from appliance.model.errors import CorruptError
from appliance.model.ids import MailboxName, Uid
from appliance.model.mailbox import StoreResult
from appliance.services.imap.incoming import CrlfFilter

House = Any
Make = Callable[..., House]

MULTIPART = (
    b"From: =?utf-8?q?Jos=C3=A9?= <jose@example.org>\r\nSubject: parts\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw6lncmV0\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n"
)


def day(year: int, month: int, number: int) -> float:
    return datetime.datetime(year, month, number, 23, 30, tzinfo=datetime.UTC).timestamp()


async def test_fetch_of_summaries(make_house: Make, plain: bytes) -> None:
    """Everything that needs no body."""
    house = make_house()
    house.inbox.put(plain, flags=1, date_s=1_000_000_000)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [
            b'* 1 FETCH (FLAGS (\\Seen \\Recent) INTERNALDATE " 9-Sep-2001 01:46:40 +0000" RFC822.SIZE 116 ENVELOPE '
            b'("Mon, 7 Feb 1994 21:52:25 -0800" "Hello" (("Ana" NIL "ana" "example.org")) (("Ana" NIL "ana" "example.org")) '
            b'(("Ana" NIL "ana" "example.org")) ((NIL NIL "bob" "example.org")) NIL NIL NIL NIL))',
            b"OK Fetch completed",
        ] == await client.ask(b"FETCH 1 ALL")
        lines = await client.ask(b"UID FETCH 1 (BODY BODYSTRUCTURE)")
        assert lines[0].startswith(b'* 1 FETCH (UID 1 BODY ("text" "plain" ')
        assert [] == house.inbox.opened


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (b"BODY.PEEK[]<0.5>", b"BODY[]<0> {5}\r\nFrom:"),
        (b"BODY.PEEK[]<9999.5>", b"BODY[]<9999> {0}\r\n"),
        (b"BODY.PEEK[TEXT]<0.3>", b"BODY[TEXT]<0> {3}\r\n--b"),
        (b"BODY.PEEK[HEADER.FIELDS (SUBJECT X-No)]", b"BODY[HEADER.FIELDS (SUBJECT X-No)] {18}\r\nSubject: parts\r\n\r\n"),
        (
            b"BODY.PEEK[HEADER.FIELDS.NOT (From Content-Type)]",
            b"BODY[HEADER.FIELDS.NOT (From Content-Type)] {18}\r\nSubject: parts\r\n\r\n",
        ),
        (b"BODY.PEEK[HEADER.FIELDS (Subject)]<2.3>", b"BODY[HEADER.FIELDS (Subject)]<2> {3}\r\nbje"),
        (b"BODY.PEEK[1]", b"BODY[1] {8}\r\nw6lncmV0"),
        (b"BODY.PEEK[2.HEADER]", b"BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n"),
        (b"BODY.PEEK[2.TEXT]", b"BODY[2.TEXT] {4}\r\nbody"),
        (b"BODY.PEEK[2.MIME]", b"BODY[2.MIME] {32}\r\nContent-Type: message/rfc822\r\n\r\n"),
        (b"BODY.PEEK[3]", b"BODY[3] NIL"),
        (b"BODY.PEEK[1.TEXT]", b"BODY[1.TEXT] NIL"),
    ],
)
async def test_sections(make_house: Make, item: bytes, answer: bytes) -> None:
    """Each kind of section, with and without partial; peeking sets no flag."""
    house = make_house([MULTIPART])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* 1 FETCH (" + answer + b")", b"OK Fetch completed"] == await client.ask(b"FETCH 1 " + item)
    assert 0 == house.inbox.records[1].flags


@pytest.mark.parametrize(
    ("item", "seen"), [(b"BODY[]", True), (b"RFC822", True), (b"RFC822.TEXT", True), (b"RFC822.HEADER", False), (b"BODY[1]", True)]
)
async def test_reading_sets_seen(make_house: Make, plain: bytes, item: bytes, seen: bool) -> None:
    r"""``\Seen`` is set once, and told in the same response."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1 " + item)
        assert seen == lines[0].endswith(b" FLAGS (\\Seen \\Recent))")
        assert seen == bool(house.inbox.records[1].flags)
        again = await client.ask(b"FETCH 1 (FLAGS " + item + b")")
        assert 1 == again[0].count(b"FLAGS (")
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_reading_only_sets_nothing(make_house: Make, plain: bytes) -> None:
    """EXAMINE leaves all as it is and refuses what would change it."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"EXAMINE INBOX")
        await client.ask(b"FETCH 1 BODY[]")
        for command in (b"STORE 1 FLAGS (\\Seen)", b"EXPUNGE", b"MOVE 1 Sent"):
            assert [b"NO [NOPERM] Mailbox is open for reading only"] == await client.ask(command)
        assert [b"OK Mailbox is closed"] == await client.ask(b"CLOSE")
    assert 0 == house.inbox.records[1].flags


async def test_large_messages_stream(make_house: Make) -> None:
    """A body above the limit for memory arrives whole, in any section, and its structure is scanned once."""
    big = b"X" * 76 + b"\r\n"
    body = big * 12_000
    message = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n' + body + b"\r\n--b--\r\n"
    house = make_house([message, b"Subject: small\r\n\r\n"])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1:2 (UID BODY.PEEK[])")
        assert b"* 1 FETCH (UID 1 BODY[] {%d}\r\n" % len(message) + message + b")" == lines[0]
        assert lines[1].startswith(b"* 2 FETCH (UID 2 ")
        lines = await client.ask(b"FETCH 1 BODY.PEEK[1]")
        assert b"* 1 FETCH (BODY[1] {%d}\r\n" % len(body) + body + b")" == lines[0]
        lines = await client.ask(b"FETCH 1 BODY.PEEK[1]<300000.300000>")
        assert body[300_000:600_000] in lines[0]


async def test_many_messages_come_in_batches(make_house: Make, plain: bytes) -> None:
    """More than one hop brings, more than one send holds."""
    house = make_house([plain] * 300)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1:* (UID BODY.PEEK[])")
        assert [b"* %d FETCH (UID %d BODY[] {116}\r\n" % (n, n) + plain + b")" for n in range(1, 301)] == lines[:-1]
        lines = await client.ask(b"FETCH 300,2:4 (UID FLAGS)")
        assert [b"* %d FETCH (UID %d FLAGS (\\Recent))" % (n, n) for n in (2, 3, 4, 300)] == lines[:-1]
        assert 301 == len(await client.ask(b"UID FETCH 1:* UID"))


async def test_damaged_store(make_house: Make, plain: bytes) -> None:
    """NO with its code, a line in the log, and the session lives."""
    house = make_house([plain])
    house.inbox.broken = CorruptError("index/ana.db is not a database")
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"NO [CORRUPTION] Stored data is damaged"] == await client.ask(b"FETCH 1 ENVELOPE")
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_numbers_out_of_range(make_house: Make, plain: bytes) -> None:
    """BAD for a message that is not there; 1:* in an empty mailbox is tolerated, uids that are not there are nothing."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"BAD There is no message 7; the mailbox has 1"] == await client.ask(b"FETCH 7 FLAGS")
        assert [b"OK Fetch completed"] == await client.ask(b"UID FETCH 7:9 FLAGS")
        assert 2 == len(await client.ask(b"UID FETCH 7:* FLAGS"))
        await client.ask(b"SELECT Sent")
        assert [b"OK Fetch completed"] == await client.ask(b"FETCH 1:* FLAGS")
        assert [b"OK Fetch completed"] == await client.ask(b"UID FETCH 1:* FLAGS")
        assert [b"* SEARCH", b"OK Search completed"] == await client.ask(b"SEARCH 5 UID 9")


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (b"ALL", b" 1 2 3 4"),
        (b"SEEN", b" 2 4"),
        (b"UNSEEN FLAGGED", b" 3"),
        (b"SEEN UNSEEN", b""),
        (b"NOT SEEN NOT FLAGGED", b" 1"),
        (b"OR SEEN FLAGGED", b" 2 3 4"),
        (b"NOT (OR SEEN FLAGGED)", b" 1"),
        (b"KEYWORD $work", b" 4"),
        (b"UNKEYWORD $Work", b" 1 2 3"),
        (b"KEYWORD nobody", b""),
        (b"UNKEYWORD nobody", b" 1 2 3 4"),
        (b"NEW", b" 1 3"),
        (b"OLD", b""),
        (b"2:3", b" 2 3"),
        (b"3:* UNSEEN", b" 3"),
        (b"NOT 2:3", b" 1 4"),
        (b"UID 2,4", b" 2 4"),
        (b"SINCE 2-Jan-2026", b" 2 3 4"),
        (b"BEFORE 2-Jan-2026", b" 1"),
        (b"ON 3-Jan-2026", b" 3"),
        (b"SENTON 7-Feb-1994", b" 1 2"),
        (b"SENTSINCE 1-Jan-2000", b" 4"),
        (b"LARGER 116", b" 3 4"),
        (b"SMALLER 100", b""),
        (b"YOUNGER 1", b" 1 2 3 4"),
        (b"OLDER 1", b""),
        (b"FROM ANA", b" 1 2"),
        (b'FROM "jos\xc3\xa9"', b" 3"),
        (b"SUBJECT hello", b" 1 2"),
        (b"TO bob CC bob", b""),
        (b'HEADER Content-Type ""', b" 3"),
        (b'HEADER X-Mark "GR\xc3\x9c"', b" 4"),
        (b"BODY there", b" 1 2"),
        (b'BODY "\xc3\x89gret"', b" 3"),
        (b"TEXT jose", b" 3"),
        (b"NOT TEXT there UNSEEN", b" 3"),
        (b"OR BODY nothing LARGER 200", b" 3"),
        (b"CHARSET UTF-8 OR SUBJECT parts SENTSINCE 1-Jan-2000", b" 3 4"),
    ],
)
async def test_search(make_house: Make, plain: bytes, keys: bytes, found: bytes) -> None:
    """Every key of RFC 3501 section 6.4.4, alone and together."""
    house = make_house()
    house.inbox.put(plain, date_s=day(2026, 1, 1))
    house.inbox.put(plain, flags=1, date_s=day(2026, 1, 2))
    house.inbox.put(MULTIPART, flags=4, date_s=day(2026, 1, 3))
    marked = "X-Mark: =?utf-8?b?Z3LDvHNzZQ==?=\r\nDate: Tue, 6 Jan 2026 23:00:00 -0900\r\n\r\n" + "x" * 100
    house.inbox.put(marked.encode(), flags=1, keywords=("$Work",), date_s=day(2026, 1, 4))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* SEARCH" + found, b"OK Search completed"] == await client.ask(b"SEARCH " + keys)
        assert [b"* SEARCH" + found, b"OK Search completed"] == await client.ask(b"UID SEARCH " + keys)


async def test_esearch(make_house: Make, plain: bytes) -> None:
    """RETURN gives ESEARCH with the tag; an unknown charset is named."""
    house = make_house([plain] * 5)
    house.inbox.expunge([2])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b'* ESEARCH (TAG "t3") UID MIN 1 MAX 5 ALL 1,3:5 COUNT 4', b"OK Search completed"] == await client.ask(
            b"UID SEARCH RETURN (MIN MAX ALL COUNT) ALL"
        )
        assert (await client.ask(b"SEARCH CHARSET KLINGON ALL"))[0].startswith(b"NO [BADCHARSET (US-ASCII UTF-8 ")


async def test_store_actions(make_house: Make, plain: bytes) -> None:
    """Add, remove, replace, silently and not."""
    house = make_house([plain, plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"OK Store completed"] == await client.ask(b"STORE 1:2 +FLAGS.SILENT (\\Seen)")
        assert [b"* 2 FETCH (UID 2 FLAGS (\\Answered \\Seen \\Recent))", b"OK Store completed"] == await client.ask(
            b"UID STORE 2 +FLAGS \\Answered"
        )
        assert [b"* 2 FETCH (UID 2 FLAGS (\\Answered \\Recent))", b"OK Store completed"] == await client.ask(b"STORE 2 -FLAGS (\\Seen)")
        assert [b"* 1 FETCH (UID 1 FLAGS (\\Recent))", b"OK Store completed"] == await client.ask(b"STORE 1 FLAGS ()")
        assert [b"OK Store completed"] == await client.ask(b"UID STORE 99 +FLAGS (\\Seen)")
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_silent_store_tells_what_others_did(make_house: Make, plain: bytes) -> None:
    """Silence covers our own change only (RFC 3501 section 6.4.6)."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        house.inbox.records[1].flags = 4
        assert [b"* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))", b"OK Store completed"] == await client.ask(
            b"STORE 1 +FLAGS.SILENT (\\Seen)"
        )


async def test_silent_store_undone_by_another(make_house: Make, plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever undoes it before we look is told: the flags stand as before, and the client believes something else."""
    house = make_house([plain, plain])
    store_flags = house.inbox.store_flags

    def store_and_undo(uids: Sequence[Uid], *arguments: Any, **options: Any) -> StoreResult:
        result: StoreResult = store_flags(uids, *arguments, **options)
        house.inbox.records[1].flags = 0
        return result

    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        monkeypatch.setattr(house.inbox, "store_flags", store_and_undo)
        assert [b"* 1 FETCH (UID 1 FLAGS (\\Recent))", b"OK Store completed"] == await client.ask(b"STORE 1:2 +FLAGS.SILENT (\\Seen)")
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")


async def test_the_log_tells_who_expunged(make_house: Make, plain: bytes) -> None:
    """With the queue ids of what came by the queue, so that a trace ends there."""
    house = make_house([plain] * 3)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.ask(b"STORE 2:3 +FLAGS.SILENT (\\Deleted)")
        await client.ask(b"EXPUNGE")
        await client.ask(b"EXPUNGE")
    (told,) = [fields for event, fields in house.logged if event == "messages_expunged"]
    assert ("ana", "imap", "INBOX", 2, "Q2 Q3") == tuple(told[name] for name in ("user", "service", "mailbox", "messages", "queue_ids"))


async def test_copy_move_expunge_close(make_house: Make, plain: bytes) -> None:
    """COPYUID, TRYCREATE, UID EXPUNGE, and CLOSE which says nothing."""
    house = make_house([plain] * 5)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"OK [COPYUID 1000 1,3 1:2] Copy completed"] == await client.ask(b"COPY 1,3 Sent")
        assert [b"NO [TRYCREATE] No such mailbox"] == await client.ask(b"COPY 1 nothing")
        assert [b"NO [TRYCREATE] No such mailbox"] == await client.ask(b"UID MOVE 1 nothing")
        assert [b"OK No such messages, nothing done"] == await client.ask(b"UID COPY 99 Sent")
        assert [b"* OK [COPYUID 1000 2:3 3:4] Moved", b"* 3 EXPUNGE", b"* 2 EXPUNGE", b"* 3 RECENT", b"OK Move completed"] == (
            await client.ask(b"MOVE 2:3 Sent")
        )
        await client.ask(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        assert [b"* 2 EXPUNGE", b"* 2 RECENT", b"OK Expunge completed"] == await client.ask(b"UID EXPUNGE 2:4")
        assert [b"OK Mailbox is closed, nothing was expunged"] == await client.ask(b"UNSELECT")
        assert b"* 2 EXISTS" in await client.ask(b"SELECT INBOX")
        assert [b"OK Mailbox is closed"] == await client.ask(b"CLOSE")
        assert (await client.ask(b"EXPUNGE"))[0].startswith(b"BAD ")
    assert {} == house.inbox.records


async def test_append(make_house: Make, plain: bytes) -> None:
    """Flags and date are kept, the uid is told, the selected mailbox shows it."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        await client.send(b'a APPEND INBOX (\\Seen kw) " 9-Sep-2001 01:46:40 +0000" {116}\r\n')
        assert b"+ OK" == await client.line()
        await client.send(plain + b"\r\n")
        lines = await client.until(b"a")
        assert [b"* 1 EXISTS", b"* 1 RECENT", b"a OK [APPENDUID 1000 1] Append completed"] == [lines[0], lines[1], lines[-1]]
        record = house.inbox.records[1]
        assert (plain, 1 | 1 << 8, 1_000_000_000) == (record.data, record.flags, record.date_s)
        await client.send(b"b APPEND Sent {1+}\r\nx (\\Draft) {3+}\r\na\nb\r\n")
        assert [b"b OK [APPENDUID 1000 1:2] Append completed"] == await client.until(b"b")
        assert [b"x", b"a\r\nb"] == [record.data for record in house.store.mailboxes[MailboxName("Sent")].records.values()]


async def test_append_of_a_large_message(make_house: Make) -> None:
    """It goes through a file and arrives as it was; lone line feeds are mended across chunks."""
    house = make_house()
    data = b"Subject: x\r\n\r\n" + b"lone\nline\r\n" * 100_000
    async with house.session() as client:
        await client.log_in()
        await client.send(b"a APPEND INBOX {%d+}\r\n" % len(data))
        for low in range(0, len(data), 50_001):
            await client.send(data[low : low + 50_001])
        await client.send(b"\r\n")
        assert [b"a OK [APPENDUID 1000 1] Append completed"] == await client.until(b"a")
    assert b"Subject: x\r\n\r\n" + b"lone\r\nline\r\n" * 100_000 == house.inbox.records[1].data


async def test_append_refused(make_house: Make) -> None:
    """Too large, empty, into nothing, on a full disk, broken off: the session goes on."""

    def full() -> None:
        raise OSError(28, "No space left on device")

    house = make_house(settings=ImapConfig(max_append_bytes=200_000), spool=full)
    async with house.session() as client:
        await client.log_in()
        assert [b"NO [TOOBIG] Message is larger than 200000 bytes"] == await client.ask(b"APPEND INBOX {200001}")
        assert [b"NO An empty message cannot be appended"] == await client.ask(b"APPEND INBOX {0}")
        await client.send(b"a APPEND nothing {1+}\r\nx\r\n")
        assert [b"a NO [TRYCREATE] No such mailbox"] == await client.until(b"a")
        await client.send(b"b APPEND INBOX {100000+}\r\n" + b"x" * 100_000 + b"\r\n")
        assert [b"b NO [UNAVAILABLE] Insufficient storage, try again later"] == await client.until(b"b")
        await client.send(b"c APPEND INBOX {1+}\r\nx junk\r\n")
        assert (await client.line()).startswith(b"c BAD ")
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
    assert {} == house.inbox.records


@pytest.mark.parametrize("chunks", [[b"a\r", b"\nb\n"], [b"a\r\nb", b"\n"], [b"\n", b"\r"], [b"\r", b"\r\n", b"\n"]])
def test_line_ends_are_mended_in_any_chunks(chunks: list[bytes]) -> None:
    """The same as in one piece."""
    whole = CrlfFilter()
    expected = whole.feed(b"".join(chunks)) + whole.finish()
    pieces = CrlfFilter()
    assert expected == b"".join(map(pieces.feed, chunks)) + pieces.finish()
    assert b"\n" not in expected.replace(b"\r\n", b"")


async def test_others_are_served_during_a_long_fetch(make_house: Make, plain: bytes) -> None:
    """A client that reads slowly holds nobody up."""
    house = make_house([plain] * 3_000)
    async with house.session() as slow, house.session() as quick:
        await slow.log_in(select=b"INBOX")
        await quick.log_in()
        await slow.send(b"a FETCH 1:* (BODY.PEEK[])\r\n")
        with trio.fail_after(5):
            assert [b"OK Nothing done"] == await quick.ask(b"NOOP")
        assert 3_001 == len(await slow.until(b"a"))


async def test_a_message_that_shrinks_ends_the_session(make_house: Make) -> None:
    """Its literal cannot be completed, and nothing may be said inside it: no BYE, just the end."""
    house = make_house([b"\r\n" + b"x" * 600_000])
    data = house.inbox.records[1].data
    async with house.session() as client:
        await client.log_in(select=b"INBOX")

        class Shrunk(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return b"" if self.tell() > 300_000 else super().read(size)

        house.inbox.open_message = lambda uid: Shrunk(data)
        await client.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        received = b""
        while chunk := bytes(await client.stream.receive_some()):
            received += chunk
    assert received.endswith(b"x")
    assert "imap_session_failed" in [event for event, _ in house.logged]


async def test_asking_for_everything_at_once(make_house: Make) -> None:
    """Many large sections of one message are streamed, not piled up; endless header choices are refused."""
    message = b"X: " + b"h" * 50_000 + b"\r\n\r\n" + b"x" * 200_000
    house = make_house([message])
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        items = b" ".join(b"BODY.PEEK[]<%d.250000>" % number for number in range(40))
        lines = await client.ask(b"FETCH 1 (" + items + b")")
        assert 40 == lines[0].count(b"BODY[]<")
        assert lines[0].endswith(b"x)")
        items = b" ".join(b"BODY.PEEK[HEADER.FIELDS.NOT (A%d)]" % number for number in range(100))
        assert [b"NO [LIMIT] A limit of this server was reached"] == await client.ask(b"FETCH 1 (" + items + b")")
