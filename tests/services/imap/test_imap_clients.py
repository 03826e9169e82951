"""A real client library over real sockets."""

import imaplib
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trustme

from appliance.net.connection import Address, Connection

House = Any
Make = Callable[..., House]


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def serve(house: House, *, task_status: "trio.TaskStatus[int]" = trio.TASK_STATUS_IGNORED) -> None:
    """Accept connections on a free port for ever."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listener.socket.getsockname()[1])

    async def handle(stream: trio.SocketStream) -> None:
        connection = Connection(stream, peer=Address(*stream.socket.getpeername()))
        await house.service.handle(connection)
        await connection.aclose()

    await trio.serve_listeners(handle, [listener])


def check(answer: Any) -> Any:
    kind, data = answer
    assert "OK" == kind, answer
    return data


def use(port: int, tls: ssl.SSLContext, plain: bytes) -> None:
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
        check(client.starttls(tls))
        check(client.login("ana", "secret"))
        check(client.create("Work"))
        assert [b"0"] == check(client.select("INBOX"))
        for _ in range(3):
            check(client.append("INBOX", r"(\Flagged)", imaplib.Time2Internaldate(1_000_000_000), plain))
        check(client.noop())
        fetched = check(client.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))
        assert [plain] * 3 == [part[1] for part in fetched if isinstance(part, tuple)]
        assert [b"1 2 3"] == check(client.search(None, "FLAGGED", "SUBJECT", "hello"))
        check(client.store("1", "+FLAGS", r"(\Deleted)"))
        assert [b"1"] == check(client.expunge())
        check(client.uid("COPY", "2", "Work"))
        check(client.uid("MOVE", "3", "Work"))
        assert [b"Work (MESSAGES 2 UNSEEN 2)"] == check(client.status("Work", "(MESSAGES UNSEEN)"))
        assert 3 == len(check(client.list()))
        check(client.close())
        check(client.rename("Work", "Play"))
        check(client.delete("Play"))


async def test_imaplib(make_house: Make, contexts: tuple[ssl.SSLContext, ssl.SSLContext], plain: bytes) -> None:
    """STARTTLS, login, and a day's work."""
    house = make_house(tls=contexts[0])
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, house)
        await trio.to_thread.run_sync(use, port, contexts[1], plain)
        nursery.cancel_scope.cancel()
    assert "quit" == house.logged[-1][1]["reason"]
    assert house.logged[-1][1]["tls"].startswith("TLSv1.")
