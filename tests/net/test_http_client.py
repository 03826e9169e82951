"""The requests: what they take, and what they refuse."""

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from appliance.net.connection import Connection, ConnectionLostError
from appliance.net.http_client import Page, RequestError, fetch, post, target_of

OK = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
async def served(nursery: trio.Nursery, certificates: Any) -> AsyncIterator[Callable[..., Any]]:
    """Start a server of ``mail.example`` that answers with the bytes given, and fetch from it."""

    async def run(answer: bytes, *, host: str = "mail.example", hangs: bool = False, timeout_s: float = 5, **more: Any) -> Page:
        asked: list[bytes] = []

        async def handle(stream: trio.SocketStream) -> None:
            connection = Connection(stream)
            try:
                await connection.start_tls(certificates.server)
                asked.append(await connection.receive_some())
                await connection.send_all(answer)
                if hangs:
                    await trio.sleep_forever()
            except ConnectionLostError:
                return
            finally:
                await connection.aclose()

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        settings = {"addresses": ["127.0.0.1"], "context": certificates.client, "max_bytes": 100} | more
        page = await fetch(host, "/x", timeout_s=timeout_s, port=port, **settings)
        assert asked[0].lower().startswith(b"get /x http/1.1\r\nhost: mail.example\r\n")
        return page

    yield run
    nursery.cancel_scope.cancel()


async def test_a_page(served: Any) -> None:
    """Body and media type."""
    assert Page(b"hello", "text/plain") == await served(OK)


async def test_the_first_address_may_be_dead(served: Any) -> None:
    """The next one is tried."""
    assert Page(b"hello", "text/plain") == await served(OK, addresses=["127.0.0.254", "127.0.0.1"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n", "answers 301"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n", "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "does not speak HTTP"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "does not speak HTTP"),
        (b"", "does not speak HTTP"),
    ],
)
async def test_what_is_no_page(served: Any, answer: bytes, words: str) -> None:
    """Redirects are not followed, sizes are held, half answers are none."""
    with pytest.raises(RequestError, match=words):
        await served(answer)


async def test_a_server_that_never_ends(served: Any) -> None:
    """The time is for all of it together."""
    with pytest.raises(RequestError, match="too long"):
        await served(OK[:-1], hangs=True, timeout_s=0.2)


async def test_a_certificate_that_nobody_vouches_for(served: Any) -> None:
    """It is told apart from other failures: the report about it has a name of its own."""
    with pytest.raises(RequestError) as caught:
        await served(OK, context=ssl.create_default_context())
    assert caught.value.is_certificate


async def test_nobody_there(certificates: Any) -> None:
    """No address, or nobody who listens."""
    for addresses, words in (((), "no address"), (("127.0.0.1",), "cannot connect")):
        with pytest.raises(RequestError, match=words):
            await fetch("mail.example", "/", addresses=addresses, context=certificates.client, max_bytes=9, timeout_s=5, port=1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 99999\r\n\r\n", 500),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
    ],
)
async def test_what_is_told(nursery: trio.Nursery, answer: bytes, expected: int | str) -> None:
    """The status alone is read, whatever else the server says."""
    told = bytearray()

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            while not told.endswith(b"report"):
                told.extend(await stream.receive_some())
            await stream.send_all(answer)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, handle, listeners)
    target = target_of(f"http://mail.example:{port}/in?x=1")
    try:
        if isinstance(expected, int):
            assert expected == await post(target, b"report", addresses=["127.0.0.1"], headers=[("Content-Type", "a/b")])
        else:
            with pytest.raises(RequestError, match=expected):
                await post(target, b"report", addresses=["127.0.0.1"])
    finally:
        nursery.cancel_scope.cancel()
    head = bytes(told).lower()
    assert head.startswith(b"post /in?x=1 http/1.1\r\nhost: mail.example:%d\r\n" % port)
    assert b"\r\ncontent-length: 6\r\n" in head
