"""Accepting, refusing, failing, draining: over real sockets on the loopback."""

import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from appliance.net.connection import Connection, ConnectionLostError, connect_tcp
from appliance.net.endpoints import bind_endpoints
from appliance.net.limits import ConnectionLimits
from appliance.net.listeners import Draining, Role, serve, serve_connection


async def echo(connection: Connection) -> None:
    async def body() -> None:
        while data := await connection.receive_some(idle=True):
            await connection.send_all(data)

    await connection.run(body)


def make_role(handler: Any = echo, **changes: Any) -> Role:
    settings: dict[str, Any] = {
        "limits": ConnectionLimits(max_total=10, max_per_address=3),
        "busy": b"421 busy\r\n",
        "crashed": b"421 crashed\r\n",
    }
    return Role("test", handler, **(settings | changes))


@asynccontextmanager
async def serving(role: Role, recorded: Any, draining: Draining) -> AsyncIterator[int]:
    """Serve on a free port until the block ends."""
    sockets = bind_endpoints(["127.0.0.1:0"])
    port: int = sockets[0].getsockname()[1]

    async def start(task_status: trio.TaskStatus[None]) -> None:
        await serve(sockets, role, draining=draining, mail_log=recorded.log, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(start)
        yield port
        draining.begin(0)


async def read_all(connection: Connection) -> bytes:
    received = b""
    while data := await connection.receive_some():
        received += data
    return received


async def test_sessions_run_side_by_side(recorded: Any) -> None:
    """Each connection has its session."""
    async with serving(make_role(), recorded, Draining()) as port:
        one, two = await connect_tcp("127.0.0.1", port), await connect_tcp("127.0.0.1", port)
        await one.send_all(b"1")
        await two.send_all(b"2")
        assert (b"1", b"2") == (await one.receive_some(), await two.receive_some())
        await one.aclose()
        await two.aclose()


@pytest.mark.parametrize("wanted", [True, False])
async def test_conversations_are_logged_where_asked_for(recorded: Any, wanted: bool) -> None:
    """Line by line, both sides, without passwords; of other clients nothing."""

    async def answer(connection: Connection) -> None:
        await connection.receive_some()
        await connection.send_all(b"a OK\r\nb OK in\r\n")

    role = make_role(answer, transcribes=lambda host: wanted and host == "127.0.0.1")
    async with serving(role, recorded, Draining()) as port:
        one = await connect_tcp("127.0.0.1", port)
        await one.send_all(b"a NOOP\r\nb LOGIN ana secret\r\n")
        await one.receive_some()
        await one.aclose()
    lines = [(fields["side"], fields["text"]) for event, fields in recorded.events if event == "transcribed"]
    expected = [("C", "a NOOP"), ("C", "b LOGIN <redacted>"), ("S", "a OK"), ("S", "b OK in")]
    assert (expected if wanted else []) == lines


async def test_limits_refuse_with_the_services_words(recorded: Any) -> None:
    """One connection too many is told why and closed; when one ends there is room again."""
    role = make_role(limits=ConnectionLimits(max_total=1))
    async with serving(role, recorded, Draining()) as port:
        first = await connect_tcp("127.0.0.1", port)
        await first.send_all(b"x")
        await first.receive_some()
        second = await connect_tcp("127.0.0.1", port)
        assert b"421 busy\r\n" == await read_all(second)
        await second.aclose()
        await first.aclose()
        while role.limits.total:
            await trio.testing.wait_all_tasks_blocked()
        third = await connect_tcp("127.0.0.1", port)
        await third.send_all(b"x")
        assert b"x" == await third.receive_some()
        await third.aclose()
    assert ["connection_refused"] == recorded.names()


async def test_a_bug_ends_one_session_only(recorded: Any) -> None:
    """An exception is logged once, its peer hears so, and the others live on."""

    async def handler(connection: Connection) -> None:
        if await connection.receive_some() == b"bug":
            raise ValueError("bug")
        await connection.send_all(b"fine")

    async with serving(make_role(handler), recorded, Draining()) as port:
        one, two = await connect_tcp("127.0.0.1", port), await connect_tcp("127.0.0.1", port)
        await one.send_all(b"bug")
        assert b"421 crashed\r\n" == await read_all(one)
        await two.send_all(b"good")
        assert b"fine" == await read_all(two)
        await one.aclose()
        await two.aclose()
    assert ["session_failed"] == recorded.names()


async def test_a_bug_in_a_sessions_own_task(recorded: Any) -> None:
    """Exceptions that come out of a nursery are caught the same way, also together with a cancellation."""

    async def fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("bug on the way out")

    async def handler(connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()

    left, _right = trio.testing.memory_stream_pair()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, Connection(left), make_role(handler), Draining(), recorded.log)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert ["session_failed"] == recorded.names()


async def test_idle_sessions_end_and_busy_ones_finish(recorded: Any) -> None:
    """The drain of a server: idle sessions at once, busy ones when they are done, new connections never."""
    may_finish = trio.Event()

    async def handler(connection: Connection) -> None:
        async def body() -> None:
            while await connection.receive_some(idle=True) == b"work":
                await may_finish.wait()
                await connection.send_all(b"done")

        await connection.run(body)
        await connection.send_last(b"bye")

    draining = Draining()
    async with serving(make_role(handler), recorded, draining) as port:
        idle, busy = await connect_tcp("127.0.0.1", port), await connect_tcp("127.0.0.1", port)
        await busy.send_all(b"work")
        await trio.sleep(0.05)
        assert 2 == draining.connections
        draining.begin(30)
        assert b"bye" == await read_all(idle)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConnectionLostError, match="refused"):
            await connect_tcp("127.0.0.1", port)
        may_finish.set()
        assert b"donebye" == await read_all(busy)
        await idle.aclose()
        await busy.aclose()
    assert 0 == draining.connections


async def test_the_grace_ends(recorded: Any) -> None:
    """A session that does not finish in time is cut."""

    async def handler(_connection: Connection) -> None:
        await trio.sleep_forever()

    draining = Draining()
    async with serving(make_role(handler), recorded, draining) as port:
        client = await connect_tcp("127.0.0.1", port)
        await trio.sleep(0.05)
        draining.begin(0.05)
        assert b"" == await read_all(client)
        await client.aclose()


async def test_implicit_tls(recorded: Any, certificates: Any) -> None:
    """With a context the session starts inside TLS; a client that speaks plain text is a lost connection, no crash."""
    role = make_role(tls_context=lambda: certificates.server)
    async with serving(role, recorded, Draining()) as port:
        client = await connect_tcp("127.0.0.1", port)
        await client.start_tls(certificates.client, server_hostname="mail.example")
        await client.send_all(b"x")
        assert b"x" == await client.receive_some()
        await client.aclose()
        plain = await connect_tcp("127.0.0.1", port)
        await plain.send_all(b"EHLO plain.example\r\n")
        await read_all(plain)
        await plain.aclose()
    assert ["connection_lost"] == recorded.names()


async def test_a_handshake_has_a_limit(recorded: Any, certificates: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A client that connects and says nothing does not stay."""
    left, _right = trio.testing.memory_stream_pair()
    role = make_role(tls_context=lambda: certificates.server)
    await serve_connection(Connection(left), role, Draining(), recorded.log)
    assert [("connection_lost", "TLS handshake timed out")] == [(name, fields["reason"]) for name, fields in recorded.events]


class ExhaustedSocket:
    """A listening socket whose accept fails as if no descriptors were left, some times."""

    def __init__(self, sock: socket.socket, failures: list[int]) -> None:
        self._sock = sock
        self._failures = failures

    def accept(self) -> Any:
        if self._failures:
            raise OSError(self._failures.pop(), "no more")
        return self._sock.accept()

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


@pytest.mark.parametrize(("number", "warnings"), [(errno.EMFILE, ["accept_failed"]), (errno.ECONNABORTED, [])])
async def test_accepting_survives(recorded: Any, number: int, warnings: list[str]) -> None:
    """Running out of descriptors is waited out and told once; a client gone early is nothing at all."""
    (sock,) = bind_endpoints(["127.0.0.1:0"])
    fake: Any = ExhaustedSocket(sock, [number, number])
    draining = Draining()
    async with trio.open_nursery() as nursery:
        starting: Callable[..., Any] = serve
        nursery.start_soon(lambda: starting([fake], make_role(), draining=draining, mail_log=recorded.log))
        client = await connect_tcp("127.0.0.1", sock.getsockname()[1])
        await client.send_all(b"x")
        assert b"x" == await client.receive_some()
        await client.aclose()
        draining.begin(0)
    assert warnings == recorded.names()


async def test_a_load_balancer_names_the_client(recorded: Any) -> None:
    """Limits and the session see the client's address; not one byte of what it says is lost, and the balancer itself has no limit."""
    seen: list[str] = []

    async def handler(connection: Connection) -> None:
        seen.append(f"{connection.peer} {connection.local} {connection.bytes_in}")
        await echo(connection)

    role = make_role(handler, limits=ConnectionLimits(max_per_address=1), is_balancer=lambda host: host == "127.0.0.1")
    async with serving(role, recorded, Draining()) as port:
        opened = []
        for client in ("192.0.2.9", "192.0.2.8", "192.0.2.9"):
            one = await connect_tcp("127.0.0.1", port)
            opened.append(one)
            await one.send_all(f"PROXY TCP4 {client} 192.0.2.1 4000 25\r\nhello".encode())
            assert (b"421 busy\r\n" if len(opened) == 3 else b"hello") == await one.receive_some()
        for one in opened:
            await one.aclose()
    assert ["192.0.2.9:4000 192.0.2.1:25 0", "192.0.2.8:4000 192.0.2.1:25 0"] == seen
    assert {} == role.limits._per_client


async def test_implicit_tls_behind_a_load_balancer(recorded: Any, certificates: Any) -> None:
    """The handshake begins right behind the header; a balancer that only looks whether we are there is its own client."""
    seen: list[str] = []

    async def handler(connection: Connection) -> None:
        seen.append(connection.peer.host)
        await echo(connection)

    role = make_role(handler, tls_context=lambda: certificates.server, is_balancer=lambda _host: True)
    async with serving(role, recorded, Draining()) as port:
        one = await connect_tcp("127.0.0.1", port)
        await one.send_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
        await one.start_tls(certificates.client, server_hostname="mail.example")
        await one.send_all(b"x")
        assert b"x" == await one.receive_some()
        await one.aclose()
    assert ["127.0.0.1"] == seen


async def test_no_header_no_session(recorded: Any) -> None:
    """Who should begin with a header and does not is cut, and the log says what to do; others need none."""
    role = make_role(is_balancer=lambda _host: True)
    async with serving(role, recorded, Draining()) as port:
        one = await connect_tcp("127.0.0.1", port)
        await one.send_all(b"EHLO client.example\r\n")
        with contextlib.suppress(ConnectionLostError):
            assert b"" == await read_all(one)
        await one.aclose()
    assert [("proxy_header_missing", "send-proxy-v2, or `proxies`")] == [(name, fields["fix"]) for name, fields in recorded.events]


async def test_a_header_that_does_not_come(recorded: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A connection without a word is not kept: nobody's limit counts it yet."""
    left, right = trio.testing.memory_stream_pair()
    role = make_role(is_balancer=lambda _host: True)
    await serve_connection(Connection(right), role, Draining(), recorded.log)
    assert ["proxy_header_missing"] == recorded.names()
    await left.aclose()


async def test_a_proxy_tells_later(recorded: Any) -> None:
    """The connection counts for who is named; one that has too many leaves everything as it was."""
    limits = ConnectionLimits(max_per_address=1)
    limits.admit("192.0.2.9")
    moved: list[bool] = []

    async def handler(connection: Connection) -> None:
        assert connection.readmit is not None
        moved.extend(connection.readmit(host) for host in ("192.0.2.9", "192.0.2.8"))

    left, right = trio.testing.memory_stream_pair()
    await serve_connection(Connection(right), make_role(handler, limits=limits), Draining(), recorded.log)
    await left.aclose()
    assert [False, True] == moved
    assert {"192.0.2.9": 1} == limits._per_client
