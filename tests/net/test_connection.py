"""Connections: counters, deadlines, shutdown, TLS, and every way to lose a peer."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from appliance.net.connection import Address, Connection, ConnectionLostError, End, TlsFailedError, connect_tcp

Pair = Callable[[], tuple[socket.socket, socket.socket]]


def memory_pair() -> tuple[Connection, Connection]:
    left, right = trio.testing.memory_stream_pair()
    return Connection(left), Connection(right)


async def test_bytes_are_passed_and_counted() -> None:
    """Both directions are counted where the protocol sees them."""
    client, server = memory_pair()
    await client.send_all(b"hello")
    assert await server.receive_some() == b"hello"
    assert (5, 5) == (client.bytes_out, server.bytes_in)
    await client.aclose()
    assert await server.receive_some() == b""
    await server.aclose()


async def test_what_is_pushed_back_comes_again() -> None:
    """Before what arrives later, and counted once."""
    client, server = memory_pair()
    await client.send_all(b"hello")
    server.push_back(await server.receive_some())
    await client.send_all(b" world")
    assert [b"hello", b" world"] == [await server.receive_some(), await server.receive_some()]
    assert 11 == server.bytes_in
    await client.aclose()
    await server.aclose()


async def test_peer_and_local_of_a_tcp_socket(tcp_pair: Pair) -> None:
    """A connection knows both ends of its socket, and is named after neither."""
    client_sock, server_sock = tcp_pair()
    client, server = Connection.from_socket(client_sock), Connection.from_socket(server_sock)
    assert client.local == server.peer
    assert server.peer.host == "127.0.0.1"
    assert server_sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert client.session_id != server.session_id
    await client.aclose()
    await server.aclose()


@pytest.mark.parametrize(
    ("address", "text"), [(Address("192.0.2.1", 25), "192.0.2.1:25"), (Address("::1", 25), "[::1]:25"), (Address("unix", 0), "unix")]
)
def test_address_text(address: Address, text: str) -> None:
    """IPv6 addresses stand in brackets before a port."""
    assert text == str(address)


async def test_unix_sockets_have_no_address() -> None:
    """A unix socket's peer is called unix."""
    left, right = socket.socketpair()
    one, two = Connection.from_socket(left), Connection.from_socket(right)
    assert one.peer == Address("unix", 0)
    await one.aclose()
    await two.aclose()


async def test_large_sends_wait_for_a_slow_reader(tcp_pair: Pair) -> None:
    """A send larger than the kernel's buffers arrives whole."""
    client_sock, server_sock = tcp_pair()
    client, server = Connection.from_socket(client_sock), Connection.from_socket(server_sock)
    payload = bytes(range(256)) * 40_000
    received = bytearray()

    async def read() -> None:
        while len(received) < len(payload):
            await trio.lowlevel.checkpoint()
            received.extend(await server.receive_some())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await client.send_all(payload)
    assert payload == received
    await client.aclose()
    await server.aclose()


async def test_deadline_ends_the_conversation(autojump_clock: trio.testing.MockClock) -> None:
    """Moving the deadline keeps a session alive; letting it pass ends ``run`` with TIMEOUT, and last words still go out."""
    client, server = memory_pair()

    async def body() -> None:
        for _ in range(3):
            server.set_deadline(trio.current_time() + 10)
            await trio.sleep(9)
        await server.receive_some()

    started = trio.current_time()
    assert End.TIMEOUT is await server.run(body)
    assert trio.current_time() - started == pytest.approx(28)
    await server.send_last(b"bye")
    assert b"bye" == await client.receive_some()
    await client.aclose()
    await server.aclose()


async def test_drain_ends_only_idle_sessions(autojump_clock: trio.testing.MockClock) -> None:
    """A session in the middle of something finishes it and ends at its next idle moment."""
    client, server = memory_pair()
    finished = []

    async def body() -> None:
        assert b"work" == await server.receive_some(idle=True)
        await trio.sleep(5)
        finished.append(trio.current_time())
        await server.receive_some(idle=True)

    async def stop() -> None:
        await client.send_all(b"work")
        await trio.sleep(1)
        server.drain()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        assert End.SHUTDOWN is await server.run(body)
    assert 1 == len(finished)
    assert server.draining


async def test_drain_wakes_an_idle_session(autojump_clock: trio.testing.MockClock) -> None:
    """A session that waits for a command ends at once."""
    _client, server = memory_pair()

    async def body() -> None:
        server.set_deadline(trio.current_time() + 300)
        await server.receive_some(idle=True)

    async def stop() -> None:
        await trio.testing.wait_all_tasks_blocked()
        server.drain()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        assert End.SHUTDOWN is await server.run(body)
    assert trio.current_time() < 1


async def test_a_reset_is_a_lost_connection(tcp_pair: Pair) -> None:
    """What the kernel raises for a dead peer becomes ConnectionLostError, and ``run`` says LOST."""
    client_sock, server_sock = tcp_pair()
    server = Connection.from_socket(server_sock)
    client_sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client_sock.close()

    async def body() -> None:
        while True:
            await server.receive_some()

    assert End.LOST is await server.run(body)
    with pytest.raises(ConnectionLostError):
        await server.send_all(b"x")
    await server.aclose()


async def test_lost_inside_a_nursery_is_lost_too() -> None:
    """A service whose session has tasks of its own sees the same end."""
    _client, server = memory_pair()

    async def lose() -> None:
        raise ConnectionLostError("gone")

    async def body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lose)
            nursery.start_soon(lose)

    assert End.LOST is await server.run(body)


async def test_a_bug_inside_a_nursery_passes() -> None:
    """Other exceptions leave ``run`` as they are."""
    _client, server = memory_pair()

    async def fail() -> None:
        raise ValueError("bug")

    async def body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    with pytest.RaisesGroup(ValueError):
        await server.run(body)


async def test_nothing_is_sent_after_a_cut_send(tcp_pair: Pair) -> None:
    """When a deadline cuts a send in two, later words would land in the middle of it: they are not sent."""
    client_sock, server_sock = tcp_pair()
    server = Connection.from_socket(server_sock)

    async def body() -> None:
        server.set_deadline(trio.current_time() + 0.05)
        await server.send_all(b"x" * 50_000_000)

    assert End.TIMEOUT is await server.run(body)
    with pytest.raises(ConnectionLostError):
        await server.send_all(b"y")
    await server.send_last(b"y")
    await server.aclose()
    client_sock.close()


async def test_last_words_survive_unread_input(tcp_pair: Pair) -> None:
    """Closing with unread input would reset the connection; the linger lets the peer read the reason first."""
    client_sock, server_sock = tcp_pair()
    client, server = Connection.from_socket(client_sock), Connection.from_socket(server_sock)
    await client.send_all(b"x" * 10_000)
    async with trio.open_nursery() as nursery:
        await server.send_last(b"554 go away\r\n")
        nursery.start_soon(server.aclose)
        await client.send_all(b"x" * 10_000)
        assert b"554 go away\r\n" == await client.receive_some()
        assert b"" == await client.receive_some()
        await client.aclose()


async def test_last_words_inside_tls(tcp_pair: Pair, certificates: Any) -> None:
    """The same inside TLS: close_notify follows the words, and unread input does not reset the connection."""
    client, server = map(Connection.from_socket, tcp_pair())
    await shake_hands(client, server, certificates)
    await client.send_all(b"x" * 10_000)
    async with trio.open_nursery() as nursery:
        await server.send_last(b"554 go away\r\n")
        nursery.start_soon(server.aclose)
        await client.send_all(b"x" * 10_000)
        assert b"554 go away\r\n" == await client.receive_some()
        assert b"" == await client.receive_some()
        await client.aclose()


async def test_a_peer_that_does_not_leave_is_left(tcp_pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    """The linger has an end in time and in bytes."""
    client_sock, server_sock = tcp_pair()
    server = Connection.from_socket(server_sock)
    await server.send_last(b"bye")
    started = trio.current_time()
    await server.aclose()
    assert 1 == pytest.approx(trio.current_time() - started)
    client_sock.close()


async def test_early_talk_is_seen_and_stays(tcp_pair: Pair) -> None:
    """What came before the greeting is noticed without being taken away; silence and an end of input are not talk."""
    client_sock, server_sock = tcp_pair()
    server = Connection.from_socket(server_sock)
    assert not await server.wait_input(0)
    assert not await server.wait_input(0.01)
    client_sock.send(b"EHLO")
    assert await server.wait_input(5)
    assert await server.wait_input(0)
    assert b"EHLO" == await server.receive_some()
    client_sock.close()
    assert not await server.wait_input(5)
    await server.aclose()


async def test_early_talk_over_other_streams(autojump_clock: trio.testing.MockClock) -> None:
    """A stream that cannot be peeked at is read, and what was read is received again."""
    client, server = memory_pair()
    assert not await server.wait_input(1)
    await client.send_all(b"EHLO")
    assert await server.wait_input(1)
    assert b"EHLO" == await server.receive_some()


async def shake_hands(client: Connection, server: Connection, certificates: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.start_tls, certificates.server)
        await client.start_tls(certificates.client, server_hostname="mail.example")


@pytest.mark.parametrize("over_tcp", [False, True])
async def test_starttls(tcp_pair: Pair, certificates: Any, over_tcp: bool) -> None:
    """After the handshake both sides know version and cipher, and the close is clean."""
    client, server = map(Connection.from_socket, tcp_pair()) if over_tcp else memory_pair()
    await client.send_all(b"STARTTLS\r\n")
    assert b"STARTTLS\r\n" == await server.receive_some()
    await shake_hands(client, server, certificates)
    assert "TLSv1.3" == server.tls_info[0]
    assert client.tls_info == server.tls_info
    assert client.is_tls
    assert client.tls_peer_certificate()
    await client.send_all(b"EHLO")
    assert b"EHLO" == await server.receive_some()
    assert not await server.wait_input(0)
    await client.aclose()
    assert b"" == await server.receive_some()
    await server.aclose()


async def test_an_end_without_close_notify_is_an_end(certificates: Any) -> None:
    """Clients that just close the socket look like any other that left."""
    left, right = trio.testing.memory_stream_pair()
    client, server = Connection(left), Connection(right)
    await shake_hands(client, server, certificates)
    await left.aclose()
    assert b"" == await server.receive_some()
    await server.aclose()


async def test_plain_text_instead_of_a_handshake(certificates: Any) -> None:
    """Bytes that are no TLS, such as a pipelined command, break the handshake and are never taken for commands."""
    client, server = memory_pair()
    await client.send_all(b"MAIL FROM:<a@b.example>\r\n")
    with pytest.raises(TlsFailedError):
        await server.start_tls(certificates.server)
    with pytest.raises(ConnectionLostError):
        await server.send_all(b"in the clear")
    await server.aclose()


async def test_an_untrusted_certificate_is_named(certificates: Any) -> None:
    """The reason of a failed verification is in the words of the error."""
    client, server = memory_pair()

    async def serve() -> None:
        with pytest.raises(TlsFailedError):
            await server.start_tls(certificates.server)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(TlsFailedError, match="certificate: Hostname mismatch"):
            await client.start_tls(certificates.client, server_hostname="other.example")
        await client.aclose()


async def test_closing_tls_never_hangs(certificates: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A peer that reads nothing cannot hold the close."""
    left, right = trio.testing.lockstep_stream_pair()
    client, server = Connection(left), Connection(right)
    await shake_hands(client, server, certificates)
    with trio.fail_after(10):
        await server.aclose()


async def test_connect_tcp() -> None:
    """Connecting gives a connection, or the kernel's reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connection = await connect_tcp("127.0.0.1", port, bind_address="127.0.0.1")
        assert Address("127.0.0.1", port) == connection.peer
        await connection.aclose()
        await connection.aclose()
    with pytest.raises(ConnectionLostError, match="refused"):
        await connect_tcp("127.0.0.1", port)


async def test_cancelled_connect_leaves_nothing_open() -> None:
    """A cancelled attempt closes its socket (an open one would be a ResourceWarning)."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await connect_tcp("127.0.0.1", 9)
    assert scope.cancelled_caught
