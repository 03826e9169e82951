"""The HTTP server over memory streams: what a browser, and what an attacker, gets."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from appliance.net.connection import Address, Connection
from appliance.net.http import HttpLimits, HttpServer
from appliance.net.http_messages import (
    Request,
    Response,
    StaticFile,
    error_response,
    event_stream,
    http_date,
    parse_target,
    redirect,
    server_event,
    text_response,
)
from appliance.net.http_router import Router
from appliance.observe.maillog import MailLog

HOST = b"Host: mail.example\r\n"


class Browser:
    """The other end of the stream."""

    def __init__(self, stream: trio.abc.Stream, connection: Connection) -> None:
        self.stream = stream
        self.connection = connection

    async def ask(self, request: bytes) -> bytes:
        """Send and return what arrives until the server has nothing more to say for now."""
        await self.stream.send_all(request)
        return await self.read()

    async def read(self) -> bytes:
        """Return what arrives until nothing comes for a (virtual) second."""
        data = b""
        with trio.move_on_after(1):
            while piece := await self.stream.receive_some():
                data += bytes(piece)
        return data


@asynccontextmanager
async def serving(
    handler: Callable[[Request], Awaitable[Response]],
    *,
    limits: HttpLimits | None = None,
    hosts: frozenset[str] | None = None,
    heard: list[str] | None = None,
) -> AsyncIterator[Browser]:
    """Run a server on one end of a memory stream."""
    client, server = trio.testing.memory_stream_pair()
    connection = Connection(server, peer=Address("127.0.0.1", 4711))
    log = MailLog(logging.getLogger("unheard"), [] if heard is None else [lambda event, _level, _fields: heard.append(event)])
    http = HttpServer(handler, mail_log=log, limits=limits, is_our_host=hosts.__contains__ if hosts is not None else None)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await http.handle(connection)
            await connection.aclose()

        nursery.start_soon(run)
        yield Browser(client, connection)
        await client.aclose()


async def echo(request: Request) -> Response:
    return text_response(f"{request.method} {request.path} {dict(request.query)} {len(request.body)}")


async def test_get_with_query_and_keep_alive(autojump_clock: trio.testing.MockClock) -> None:
    """A whole response with length, date and security headers; the next request follows on the same connection."""
    async with serving(echo) as browser:
        reply = await browser.ask(b"GET /a%20b?x=1&y= HTTP/1.1\r\n" + HOST + b"\r\n")
        head, _, body = reply.partition(b"\r\n\r\n")
        assert b"GET /a b {'x': '1', 'y': ''} 0" == body
        assert head.startswith(b"HTTP/1.1 200 ")
        for expected in (
            b"content-length: 30",
            b"x-content-type-options: nosniff",
            b"content-security-policy: default-src 'none'",
            b"date: ",
        ):
            assert expected in head.lower()
        assert b"POST /p {} 3" in await browser.ask(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")


async def test_pipelined_requests_are_answered_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """Requests that arrive together get their responses one after the other."""
    async with serving(echo) as browser:
        reply = await browser.ask((b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n") + (b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n"))
        assert 0 < reply.index(b"GET /1") < reply.index(b"GET /2")


async def test_head_has_the_headers_of_get_and_no_body(autojump_clock: trio.testing.MockClock) -> None:
    """RFC 9110 section 9.3.2."""
    router = Router()
    router.add("/x", echo)
    async with serving(router) as browser:
        reply = await browser.ask(b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n")
        assert reply.endswith(b"\r\n\r\n")
        assert b"content-length: 12" in reply.lower()


async def test_router_knows_paths_prefixes_and_methods(autojump_clock: trio.testing.MockClock) -> None:
    """Exact before prefix, the longest prefix first, 404 and 405 with Allow."""

    async def named(name: str) -> Response:
        return text_response(name)

    router = Router()
    router.add("/", lambda _: named("root"))
    router.add("/m/*", lambda _: named("m"))
    router.add("/m/raw/*", lambda _: named("raw"))
    router.add("/m/x", lambda _: named("x"), methods=("GET", "POST"))
    found = {path: (await router(Request("GET", path))).body for path in ("/", "/m/1", "/m/raw/1/2", "/m/x", "/n", "/m")}
    assert b"root" == found["/"]
    assert (b"m", b"raw", b"x") == (found["/m/1"], found["/m/raw/1/2"], found["/m/x"])
    assert 404 == (await router(Request("GET", "/n"))).status
    assert 404 == (await router(Request("GET", "/m"))).status
    refused = await router(Request("DELETE", "/m/x"))
    assert (405, "GET, HEAD, POST") == (refused.status, refused.headers["allow"])


async def test_oversized_header_and_body_are_refused(autojump_clock: trio.testing.MockClock) -> None:
    """Both limits answer in words and end the connection."""
    async with serving(echo, limits=HttpLimits(max_body_bytes=10)) as browser:
        assert b"431" in (await browser.ask(b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000))[:20]
    async with serving(echo, limits=HttpLimits(max_body_bytes=10)) as browser:
        assert b" 413 " in await browser.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\n")
    async with serving(echo, limits=HttpLimits(max_body_bytes=10)) as browser:
        chunked = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + b"a" * 20 + b"\r\n0\r\n\r\n"
        assert b" 413 " in await browser.ask(chunked)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET nonsense HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n",
    ],
)
async def test_garbage_is_answered_and_cut(request_bytes: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """What is no request gets 400 and the end of the connection."""
    async with serving(echo) as browser:
        reply = await browser.ask(request_bytes + b"\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in reply.lower()


async def test_foreign_host_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """DNS rebinding: a page elsewhere that points its name at us is not answered."""
    hosts = frozenset({"localhost", "[::1]"})
    async with serving(echo, hosts=hosts) as browser:
        assert b" 421 " in await browser.ask(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    for good in (b"localhost:8025", b"LOCALHOST", b"[::1]:8025"):
        async with serving(echo, hosts=hosts) as browser:
            assert b" 200 " in await browser.ask(b"GET / HTTP/1.1\r\nHost: " + good + b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_bytes", [b"HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"HEAD x HTTP/1.0\r\n\r\n", b"HEAD /%ff HTTP/1.0\r\n\r\n"]
)
async def test_a_refused_head_has_no_body(request_bytes: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """It is answered as any other HEAD, and ends the connection without ending the session by an exception."""
    async with serving(echo, hosts=frozenset({"mail.example", ""})) as browser:
        head, _, body = (await browser.ask(request_bytes)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 4")
        assert b"" == body


async def test_failing_handler_is_500_without_details(autojump_clock: trio.testing.MockClock) -> None:
    """The traceback goes to the log, not to the browser."""

    async def fails(request: Request) -> Response:
        raise ZeroDivisionError(request.path)

    heard: list[str] = []
    async with serving(fails, heard=heard) as browser:
        reply = await browser.ask(b"GET /secret HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b" 500 " in reply
    assert b"secret" not in reply
    assert ["request_failed"] == heard


async def test_slow_request_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    """A request must be finished within its time-out, however many bytes trickle in."""
    async with serving(echo) as browser:
        await browser.stream.send_all(b"GET / HTTP/1.1\r\n")
        cut_after = trio.current_time()
        with trio.fail_after(100):
            while True:
                try:
                    await browser.stream.send_all(b"X: y\r\n")
                except trio.BrokenResourceError:
                    break
                await trio.sleep(5)
        assert 25 <= trio.current_time() - cut_after <= 40


async def test_expect_continue(autojump_clock: trio.testing.MockClock) -> None:
    """The body is asked for only when it would be taken (RFC 9110 section 10.1.1)."""
    async with serving(echo) as browser:
        first = await browser.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 100 ")
        assert b"POST / {} 2" in await browser.ask(b"ok")


async def test_event_stream_ends_with_the_browser(autojump_clock: trio.testing.MockClock) -> None:
    """Pieces arrive as they are made; the generator is closed when the browser goes."""
    closed = trio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            for number in range(1_000):
                yield server_event(f"{number}\nx", "tick", str(number))
                await trio.sleep(10)
        finally:
            closed.set()

    async def handler(request: Request) -> Response:
        return event_stream(events())

    async with serving(handler) as browser:
        reply = await browser.ask(b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"text/event-stream" in reply
        assert b"event: tick\nid: 0\ndata: 0\ndata: x\n\n" in reply
        await trio.sleep(10)
        assert b"data: 1\n" in await browser.read()
        await browser.stream.aclose()
        with trio.fail_after(5):
            await closed.wait()


async def test_event_stream_ends_when_the_server_drains(autojump_clock: trio.testing.MockClock) -> None:
    """A shutdown does not wait for browsers that listen."""

    async def events() -> AsyncGenerator[bytes, None]:
        while True:
            yield server_event("x")
            await trio.sleep(10)

    async def handler(request: Request) -> Response:
        return event_stream(events())

    async with serving(handler) as browser:
        await browser.ask(b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n")
        browser.connection.drain()
        assert b"" == await browser.read()


async def test_broken_stream_is_not_ended_as_if_it_were_whole(autojump_clock: trio.testing.MockClock) -> None:
    """A chunked body that fails lacks its last chunk."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"half"
        raise ZeroDivisionError

    async def handler(request: Request) -> Response:
        return Response(200, pieces())

    async with serving(handler) as browser:
        reply = await browser.ask(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"half" in reply
    assert not reply.endswith(b"0\r\n\r\n")


async def test_finite_stream_keeps_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    """After its last chunk the next request is answered."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"all"

    async def handler(request: Request) -> Response:
        return Response(200, pieces())

    async with serving(handler) as browser:
        for _ in range(2):
            assert (await browser.ask(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).endswith(b"3\r\nall\r\n0\r\n\r\n")


def test_static_file_is_sent_once() -> None:
    """A matching ETag is answered 304 without a body."""
    file = StaticFile.of(b"body {}", "text/css")
    first = file.respond(Request("GET", "/x"))
    assert (200, b"body {}") == (first.status, first.body)
    again = file.respond(Request("GET", "/x", headers=[("if-none-match", f'"other", W/{first.headers["etag"]}')]))
    assert (304, b"") == (again.status, again.body)
    assert "content-length" not in dict(again.header_list())


def test_small_helpers() -> None:
    """Dates, targets, forms, redirects, error pages."""
    assert "Tue, 14 Nov 2023 22:13:20 GMT" == http_date(1_700_000_000)
    assert ("/a", {"b": "c d"}) == parse_target("http://mail.example/a?b=c+d")
    assert ("/", {}) == parse_target("https://mail.example")
    form = Request("POST", "/", headers=[("content-type", "application/x-www-form-urlencoded; charset=utf-8")], body=b"a=1&a=2&b=%C3%A9")
    assert {"a": "2", "b": "é"} == form.form()
    assert {} == Request("POST", "/", body=b"a=1").form()
    assert {} == Request("POST", "/", headers=form.headers, body=b"a=1&" * 1_001).form()
    assert "/x" == dict(redirect("/x").header_list())["location"]
    page = error_response(404, "<script>").body
    assert isinstance(page, bytes)
    assert b"<script>" not in page
