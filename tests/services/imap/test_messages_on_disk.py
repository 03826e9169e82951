"""Sessions over real mailboxes, Maildir and mbox: what is told of messages, how they come in, move and bear flags."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.model.changes import NameChange
from appliance.model.clock import ManualClock
from appliance.model.errors import OutOfSpaceError
from appliance.model.ids import AccountName, MailboxName
from appliance.model.mailbox import QuotaLimits
from appliance.storage.fileops import FileOps
from appliance.storage.stores import FileMailStores

House = Any
MakeDisk = Callable[..., House]

BINARY = b"Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\2\xff"
MULTIPART = (
    b"Message-ID: <1@x>\r\nSubject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw6lncmV0\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nFrom within\r\n--b--\r\n"
)


class _NoFeed:
    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        """Sessions look at the disk themselves."""

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...


@pytest.fixture(params=["maildir", "mbox"])
def make_disk(make_house: Callable[..., House], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeDisk]:
    """Return a maker of a house whose mail lies on the disk; the same mail each time."""
    opened: list[FileMailStores] = []

    def make(now_s: float = 1_700_000_000.0, ops: FileOps | None = None, quota_bytes: int = 0) -> House:
        clock = ManualClock(wall_s=now_s)
        quotas = {AccountName("ana"): QuotaLimits(quota_bytes)}
        stores = FileMailStores(tmp_path, _NoFeed(), formats=request.param, clock=clock, ops=ops, quotas=quotas)  # type: ignore[arg-type]
        opened.append(stores)
        house = make_house(stores=stores)
        house.mail_format = request.param
        return house

    yield make
    for stores in opened:
        stores.close()


async def append(client: Any, data: bytes, before: bytes = b"", mark: bytes = b"") -> bytes:
    lines = await client.ask(b"APPEND INBOX %b%b{%d+}\r\n%b" % (before, mark, len(data), data))
    return bytes(lines[-1])


async def test_what_is_told_of_a_message_survives(make_disk: MakeDisk, tmp_path: Path) -> None:
    """Identifiers, preview and save date are the same after the index is lost, and in a copy but for its save date."""
    house = make_disk()
    asked = b"FETCH 1 (EMAILID THREADID PREVIEW SAVEDATE INTERNALDATE RFC822.SIZE BINARY.PEEK[1] BODY.PEEK[2.TEXT])"
    async with house.session() as client:
        await client.log_in()
        await append(client, MULTIPART, b'"17-Jul-1996 02:44:25 -0700" ')
        await client.ask(b"SELECT INBOX")
        first, done = await client.ask(asked)
        assert b"OK Fetch completed" == done
        assert re.fullmatch(
            rb"\* 1 FETCH \(EMAILID \(M\w{32}\) THREADID \(T\w{32}\) PREVIEW \{6\}\r\n\xc3\xa9gret SAVEDATE \"14-Nov-2023 22:13:20 \+0000\""
            rb" INTERNALDATE \"17-Jul-1996 09:44:25 \+0000\" RFC822.SIZE %d"
            rb" BINARY\[1\] ~\{6\}\r\n\xc3\xa9gret BODY\[2.TEXT\] \{11\}\r\nFrom within\)" % len(MULTIPART),
            first,
        )
    house = make_disk(1_700_001_000.0)
    for path in (tmp_path / "index").iterdir():
        path.unlink()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [first, done] == await client.ask(asked)
        assert (await client.ask(b"CREATE Archive"))[-1].startswith(b"OK")
        assert re.fullmatch(rb"OK \[COPYUID \d+ 1 1\] Copy completed", (await client.ask(b"COPY 1 Archive"))[-1])
        await client.ask(b"SELECT Archive")
        assert [first.replace(b"22:13:20", b"22:30:00"), done] == await client.ask(asked)


async def test_move_tells_where_messages_went(make_disk: MakeDisk) -> None:
    """RFC 6851 section 4.3: COPYUID in an untagged OK before the EXPUNGE."""
    house = make_disk()
    async with house.session() as client:
        await client.log_in()
        for number in range(3):
            await append(client, b"Subject: %d\r\n\r\nx\r\n" % number)
        await client.ask(b"CREATE Archive")
        await client.ask(b"SELECT INBOX")
        moved, *rest = await client.ask(b"MOVE 1,3 Archive")
        assert re.fullmatch(rb"\* OK \[COPYUID \d+ 1,3 1:2\] Moved", moved)
        assert [b"* 3 EXPUNGE", b"* 1 EXPUNGE", b"OK Move completed"] == [line for line in rest if b"RECENT" not in line]


async def test_binary_messages_are_kept_as_lines(make_disk: MakeDisk) -> None:
    """What came as literal8 comes back through BINARY; BODY shows base64."""
    house = make_disk()
    async with house.session() as client:
        await client.log_in()
        assert (await append(client, BINARY, mark=b"~")).startswith(b"OK [APPENDUID ")
        await client.ask(b"SELECT INBOX")
        assert (
            b"* 1 FETCH (BINARY[1] ~{4}\r\n\0\1\2\xff BINARY.SIZE[1] 4)"
            == (await client.ask(b"FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])"))[0]
        )
        assert (await client.ask(b"FETCH 1 BODY.PEEK[1]"))[0].startswith(b"* 1 FETCH (BODY[1] {10}\r\nAAEC/w==\r\n")


async def test_messages_are_made_of_others(make_disk: MakeDisk) -> None:
    """CATENATE, and REPLACE of the message that it was made of."""
    house = make_disk()
    async with house.session() as client:
        await client.log_in()
        await append(client, MULTIPART)
        await client.ask(b"SELECT INBOX")
        lines = await client.ask(
            b"REPLACE 1 INBOX (\\Draft $Forwarded) CATENATE (URL ;UID=1/;SECTION=HEADER URL ;UID=1/;SECTION=1.MIME TEXT {5+}\r\nend\r\n)"
        )
        assert re.fullmatch(rb"\* OK \[APPENDUID \d+ 2\] Replacement message ready", lines[0])
        assert b"* 1 EXPUNGE" in lines
        assert b"OK Replace completed" == lines[-1]
        header = MULTIPART[: MULTIPART.index(b"--b")]
        part = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        whole = header + part + b"end\r\n"
        assert (
            b"* 1 FETCH (FLAGS (\\Draft \\Recent $Forwarded) BODY[] {%d}\r\n%b)" % (len(whole), whole)
            == (await client.ask(b"FETCH 1 (FLAGS BODY.PEEK[])"))[0]
        )


async def test_keywords_until_there_is_no_room(make_disk: MakeDisk) -> None:
    r"""PERMANENTFLAGS loses its ``\*`` with the last one; the next is refused, the others stay."""
    house = make_disk()
    async with house.session() as client:
        await client.log_in()
        await append(client, b"Subject: x\r\n\r\nx\r\n", b"($Forwarded $MDNSent $Junk $NotJunk $Phishing) ")
        lines = await client.ask(b"SELECT INBOX")
        assert any(b"PERMANENTFLAGS" in line and rb"\*" in line for line in lines)
        room = {"maildir": 26, "mbox": 50}[house.mail_format] - 5
        names = b" ".join(b"k%d" % number for number in range(room))
        lines = await client.ask(b"STORE 1 +FLAGS (%b)" % names)
        assert lines[-1] == b"OK Store completed"
        permanent = [line for line in lines if b"PERMANENTFLAGS" in line]
        assert permanent
        assert rb"\*" not in permanent[-1]
        assert [b"NO [LIMIT] A limit of this server was reached"] == await client.ask(b"STORE 1 +FLAGS (one-more)")
        (flags, _) = await client.ask(b"FETCH 1 FLAGS")
        assert set(names.split()) | {b"$Forwarded", b"$Phishing"} <= set(flags[flags.index(b"(FLAGS (") + 8 : -2].split())
        assert [b"BAD Flag \\Odd cannot be set"] == await client.ask(b"STORE 1 +FLAGS (\\Odd)")
        assert [b"BAD Flag \\Recent cannot be set"] == await client.ask(b"STORE 1 FLAGS \\Recent")


class _FullDisk(FileOps):
    """No room for the last of several messages."""

    def __init__(self) -> None:
        self.left = 10_000_000

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def write(self, fd: int, data: bytes | memoryview) -> None:
        self._spend(len(data))
        super().write(fd, data)

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._spend(len(data))
        super().write_at(fd, data, offset)


async def test_a_full_disk_takes_all_or_none(make_disk: MakeDisk) -> None:
    """RFC 3502: several messages, a catenated one and a replacement; what was there stays, and room makes all well."""
    ops = _FullDisk()
    house = make_disk(ops=ops)
    async with house.session() as client:
        await client.log_in()
        await append(client, MULTIPART)
        await client.ask(b"SELECT INBOX")
        large = b"Subject: large\r\n\r\n" + b"x" * 4_000 + b"\r\n"
        ops.left = 6_000
        literal = b"{%d+}\r\n%b" % (len(large), large)
        lines = await client.ask(b"APPEND INBOX " + literal + b" " + literal)
        assert lines[-1].startswith(b"NO [UNAVAILABLE] " + OutOfSpaceError.client_text.encode()), lines
        ops.left = 3_000
        lines = await client.ask(b"REPLACE 1 INBOX CATENATE (URL ;UID=1 TEXT " + literal + b")")
        assert lines[-1].startswith(b"NO [UNAVAILABLE] "), lines
        assert b"* STATUS INBOX (MESSAGES 1)" in await client.ask(b"STATUS INBOX (MESSAGES)")
        ops.left = 10_000_000
        lines = await client.ask(b"REPLACE 1 INBOX CATENATE (URL ;UID=1 TEXT " + literal + b")")
        assert lines[-1] == b"OK Replace completed"
        assert b"* STATUS INBOX (MESSAGES 1)" in await client.ask(b"STATUS INBOX (MESSAGES)")


async def test_a_replacement_needs_room_for_what_it_adds_only(make_disk: MakeDisk) -> None:
    """RFC 8508 section 3.4: the quota is looked at as if the old message were gone."""
    house = make_disk(quota_bytes=10_000)
    message = b"Subject: x\r\n\r\n" + b"x" * 6_000 + b"\r\n"
    literal = b"{%d+}\r\n%b" % (len(message), message)
    async with house.session() as client:
        await client.log_in()
        await append(client, message)
        await client.ask(b"SELECT INBOX")
        assert (await client.ask(b"APPEND INBOX " + literal))[-1].startswith(b"NO [OVERQUOTA] ")
        assert (await client.ask(b"REPLACE 1 INBOX " + literal))[-1] == b"OK Replace completed"
        larger = message + b"y" * 6_000
        assert (await client.ask(b"REPLACE 1 INBOX {%d+}\r\n%b" % (len(larger), larger)))[-1].startswith(b"NO [OVERQUOTA] ")
        assert b"* STATUS INBOX (MESSAGES 1)" in await client.ask(b"STATUS INBOX (MESSAGES)")
