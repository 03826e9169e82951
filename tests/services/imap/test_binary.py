"""FETCH BINARY over whole sessions: transfer encodings undone, sizes, partials, NUL, and what cannot be undone."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

House = Any
Make = Callable[..., House]

NULS = bytes(range(256))
MESSAGE = (
    b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nOl=C3=A1=\r\n!\r\n"
    b"--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(NULS).replace(b"\n", b"\r\n") +
    b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
    b"--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: x-secret\r\n\r\n????\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n--b--\r\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (b"BINARY.PEEK[1]", b"BINARY[1] ~{5}\r\nOl\xc3\xa1!"),
        (b"BINARY.SIZE[1]", b"BINARY.SIZE[1] 5"),
        (b"BINARY.PEEK[2]", b"BINARY[2] ~{256}\r\n" + NULS),
        (b"BINARY.SIZE[2]", b"BINARY.SIZE[2] 256"),
        (b"BINARY.PEEK[2]<0.3>", b"BINARY[2]<0> ~{3}\r\n\x00\x01\x02"),
        (b"BINARY.PEEK[2]<250.99>", b"BINARY[2]<250> ~{6}\r\n" + NULS[250:]),
        (b"BINARY.PEEK[2]<9999.5>", b"BINARY[2]<9999> ~{0}\r\n"),
        (b"BINARY.PEEK[3]", b"BINARY[3] ~{5}\r\nplain"),
        (b"BINARY.PEEK[3]<1.2>", b"BINARY[3]<1> ~{2}\r\nla"),
        (b"BINARY.SIZE[3]", b"BINARY.SIZE[3] 5"),
        (b"BINARY.PEEK[5]", b"BINARY[5] ~{19}\r\nSubject: in\r\n\r\nbody"),
        (b"BINARY.PEEK[5.1]", b"BINARY[5.1] ~{4}\r\nbody"),
        (b"BINARY.PEEK[9]", b"BINARY[9] NIL"),
        (b"BINARY.SIZE[9]", b"BINARY.SIZE[9] 0"),
        (b"BINARY.SIZE[]", b"BINARY.SIZE[] %d" % len(MESSAGE)),
        (b"BINARY.PEEK[]<0.7>", b"BINARY[]<0> ~{7}\r\nSubject"),
    ],
)
async def test_sections_are_decoded(make_house: Make, item: bytes, answer: bytes) -> None:
    """RFC 3516 section 4.2: what BODY shows encoded, BINARY shows as it is."""
    house = make_house()
    house.inbox.put(MESSAGE)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [b"* 1 FETCH (" + answer + b")", b"OK Fetch completed"] == await client.ask(b"FETCH 1 " + item)
        assert not house.inbox.records[1].flags


async def test_an_unknown_encoding_is_told(make_house: Make) -> None:
    """RFC 3516 section 4.3: NO [UNKNOWN-CTE]; other messages are answered."""
    house = make_house()
    house.inbox.put(MESSAGE)
    house.inbox.put(MESSAGE.replace(b"x-secret", b"8bit"))
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1:2 (BINARY.SIZE[4])")
        assert [
            b"* 2 FETCH (BINARY.SIZE[4] 4)",
            b"NO [UNKNOWN-CTE] This part has an encoding that cannot be undone",
        ] == lines


async def test_binary_sets_seen(make_house: Make) -> None:
    """As BODY does; BINARY.PEEK and BINARY.SIZE do not."""
    house = make_house()
    house.inbox.put(MESSAGE)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1 (BINARY[3] BINARY.SIZE[3])")
        assert [b"* 1 FETCH (BINARY[3] ~{5}\r\nplain BINARY.SIZE[3] 5 FLAGS (\\Seen \\Recent))", b"OK Fetch completed"] == lines


async def test_large_parts_wait_in_a_file(make_house: Make) -> None:
    """More than 256 KiB decoded goes out from a temporary file, whole and in part."""
    house = make_house()
    data = NULS * 3_000
    lines = base64.encodebytes(data).replace(b"\n", b"\r\n")
    house.inbox.put(b"Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines)
    house.inbox.put(b"Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + data)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        for number in (1, 2):
            whole = await client.ask(b"FETCH %d BINARY.PEEK[1]" % number)
            assert b"* %d FETCH (BINARY[1] ~{768000}\r\n" % number + data + b")" == whole[0]
            part = await client.ask(b"FETCH %d BINARY.PEEK[1]<100.700000>" % number)
            assert b"* %d FETCH (BINARY[1]<100> ~{700000}\r\n" % number + data[100:700100] + b")" == part[0]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (b"BINARY[1.MIME]", b"BAD BINARY takes the number of a part and nothing else, as in BINARY[1.2]"),
        (b"BINARY.SIZE[HEADER]", b"BAD BINARY.SIZE takes the number of a part and nothing else, as in BINARY.SIZE[1.2]"),
        (b"BINARY", b"BAD No such FETCH item: BINARY"),
        (b"BODY[0]", b"BAD There is no part 0; HEADER names the header, parts count from 1"),
        (b"BINARY[0.1]", b"BAD There is no part 0; HEADER names the header, parts count from 1"),
        (b"PREVIEW (EAGER)", b"BAD LAZY, the only modifier of PREVIEW, expected in column 22, not EAGER))"),
    ],
)
async def test_nonsense_is_refused_with_its_reason(make_house: Make, item: bytes, text: bytes) -> None:
    """A BAD that says what is wrong."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert [text] == await client.ask(b"FETCH 1 (" + item + b")")


async def test_a_literal_holds_no_nul(make_house: Make) -> None:
    """RFC 3501 section 9 (CHAR8): BODY shows 0x80 for a NUL that came by SMTP, small or large; BINARY shows the NUL."""
    house = make_house()
    house.inbox.put(b"Subject: x\r\n\r\na\0b")
    house.inbox.put(b"Subject: x\r\n\r\n" + b"\0" * 300_000)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        lines = await client.ask(b"FETCH 1 (BODY.PEEK[TEXT] BINARY.PEEK[1] BINARY.PEEK[])")
        assert b"* 1 FETCH (BODY[TEXT] {3}\r\na\x80b BINARY[1] ~{3}\r\na\0b BINARY[] ~{17}\r\nSubject: x\r\n\r\na\0b)" == lines[0]
        lines = await client.ask(b"FETCH 2 (BODY.PEEK[TEXT])")
        assert b"* 2 FETCH (BODY[TEXT] {300000}\r\n" + b"\x80" * 300_000 + b")" == lines[0]
        lines = await client.ask(b"FETCH 2 (BINARY.PEEK[] BINARY.PEEK[1])")
        assert 600_000 == lines[0].count(b"\0")
        assert 0 == lines[0].count(b"\x80")
