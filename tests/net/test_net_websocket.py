"""WebSocket on a connection that HTTP gave away."""

from collections.abc import AsyncGenerator
from typing import Any

import trio
import trio.testing

from appliance.net.connection import Address, Connection
from appliance.net.http import HttpServer
from appliance.net.http_messages import Request, Response
from appliance.net.websocket import websocket_response
from appliance.observe.maillog import MailLog

HEAD = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: %b\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def told() -> AsyncGenerator[str, None]:
    yield "one"
    await trio.sleep(40)
    yield "two"


async def _handler(request: Request) -> Response:
    return websocket_response(request, told)


async def _talk(nursery: trio.Nursery, data: bytes) -> Connection:
    left, right = trio.testing.memory_stream_pair()
    server = HttpServer(_handler, mail_log=MailLog())
    connection = Connection(right, peer=Address("127.0.0.1", 1), local=Address("127.0.0.1", 2))
    nursery.start_soon(server.handle, connection)
    client = Connection(left)
    await client.send_all(data)
    return client


async def _read_until(client: Connection, *marks: bytes) -> bytes:
    data = b""
    while not all(mark in data for mark in marks) and (more := await client.receive_some()):
        data += more
    return data


async def test_messages_pings_and_the_close(nursery: trio.Nursery, autojump_clock: Any) -> None:
    """What is told arrives; a ping keeps it alive; the end is said."""
    client = await _talk(nursery, HEAD % b"13" + b"\x89\x80abcd")
    head = await _read_until(client, b"\x81\x03one", b"\x8a\x00")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    end = await _read_until(client, b"\x88\x02\x03\xe8")
    assert b"\x89\x00" in end
    assert b"\x81\x03two" in end
    nursery.cancel_scope.cancel()


async def test_other_requests_are_told_what_is_wrong(nursery: trio.Nursery) -> None:
    """No handshake, or another version."""
    for request, status in ((b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"), (HEAD % b"8", b"426")):
        client = await _talk(nursery, request)
        assert (await _read_until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status)
    nursery.cancel_scope.cancel()
