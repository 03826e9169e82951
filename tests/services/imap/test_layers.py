"""COMPRESS over whole sessions; STARTTLS is in the dialogues."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trustme

from appliance.net.deflate import DeflateStream

House = Any
Make = Callable[..., House]


async def test_compress(make_house: Make, plain: bytes) -> None:
    """Both directions, everything from the next octet on; a second one is refused."""
    house = make_house([plain] * 500)
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        assert b"COMPRESS=DEFLATE" in (await client.ask(b"CAPABILITY"))[0].split()
        assert [b"BAD DEFLATE is the only algorithm here"] == await client.ask(b"COMPRESS ZSTD")
        assert [b"OK DEFLATE is active"] == await client.ask(b"COMPRESS deflate")
        client.stream = DeflateStream(client.stream)
        assert [b"NO [COMPRESSIONACTIVE] DEFLATE is active already"] == await client.ask(b"COMPRESS DEFLATE")
        assert 501 == len(await client.ask(b"FETCH 1:* (UID FLAGS)"))
        assert plain in (await client.ask(b"FETCH 1 BODY[]"))[0]
        await client.send(b"x APPEND INBOX {5+}\r\nhello\r\n")
        assert (await client.until(b"x"))[-1].startswith(b"x OK [APPENDUID")
        assert [b"* BYE Logging out", b"OK Logout completed"] == await client.ask(b"LOGOUT")


async def test_compress_waits_for_its_answer(make_house: Make) -> None:
    """What is pipelined behind it cannot be compressed yet: refused, and read as what it is."""
    async with make_house().session() as client:
        await client.log_in()
        await client.send(b"a COMPRESS DEFLATE\r\nb NOOP\r\n")
        assert b"a BAD Nothing may be sent behind COMPRESS before its answer" == await client.line()
        assert b"b OK Nothing done" == await client.line()


async def test_news_come_before_compression(make_house: Make, plain: bytes) -> None:
    """In the clear, like all that stands before the tagged answer."""
    house = make_house()
    async with house.session() as client:
        await client.log_in(select=b"INBOX")
        house.inbox.put(plain)
        assert [b"* 1 EXISTS", b"* 1 RECENT", b"OK DEFLATE is active"] == await client.ask(b"COMPRESS DEFLATE")


async def test_broken_compression_ends_the_session(make_house: Make) -> None:
    """As a lost connection."""
    house = make_house()
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"COMPRESS DEFLATE")
        await client.send(b"b NOOP in the clear\r\n")
        assert b"" == await client.line()
    assert "lost" == house.logged[-1][1]["reason"]


async def test_compression_inside_tls(make_house: Make) -> None:
    """Compressed first, then encrypted; the session's end closes TLS properly."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mail.example").configure_cert(server)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with make_house(tls=server).session() as client:
        await client.line()
        await client.ask(b"STARTTLS")
        tls = client.stream = trio.SSLStream(client.stream, context, server_hostname="mail.example", https_compatible=False)
        await tls.do_handshake()
        greeting = await client.ask(b"CAPABILITY")
        assert b"AUTH=SCRAM-SHA-256-PLUS" in greeting[0]
        await client.ask(b"LOGIN ana secret")
        await client.ask(b"COMPRESS DEFLATE")
        client.stream = DeflateStream(tls)
        assert [b"OK Nothing done"] == await client.ask(b"NOOP")
        await client.ask(b"LOGOUT")
        assert b"" == await client.line()


@pytest.mark.parametrize("ends", [True, False])
async def test_unauthenticate_ends_compression(make_house: Make, ends: bool) -> None:
    """Its answer is the last that is compressed; the client may mark the end of its own data or not (RFC 8437 section 4.1)."""
    import zlib

    async with make_house().session() as client:
        await client.log_in()
        await client.ask(b"COMPRESS DEFLATE")
        transport = client.stream
        client.stream = DeflateStream(transport)
        deflate = zlib.compressobj(-1, zlib.DEFLATED, -15)
        data = deflate.compress(b"u UNAUTHENTICATE\r\n") + deflate.flush(zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH)
        await transport.send_all(data + (b"v LOGIN bob secret\r\n" if ends else b""))
        assert b"u OK Logged out, you may log in again" == await client.line()
        client.stream = transport
        if not ends:
            await client.send(b"v LOGIN bob secret\r\n")
        assert (await client.line()).startswith(b"v OK [CAPABILITY")
