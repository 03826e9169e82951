"""The service behind real listeners: refusals, crashes and the drain, over TCP."""

import socket
from typing import Any

import trio
import trio.testing

from appliance.config.schema import SmtpConfig
from appliance.net.connection import Connection, connect_tcp
from appliance.net.endpoints import bind_endpoints
from appliance.net.limits import ConnectionLimits
from appliance.net.listeners import Draining, Role, serve
from appliance.services.smtp.roles import mx_role
from appliance.services.smtp.service import BUSY, CRASHED


async def read_reply(connection: Connection) -> bytes:
    received = b""
    while not received.endswith(b"\r\n"):
        data = await connection.receive_some()
        if not data:
            return received or b"<closed>"
        received += data
    return received


async def test_over_tcp(make_house: Any) -> None:
    """A message over a real socket; a second connection too many; a crash; the drain."""
    house = make_house()
    service = house.service()
    role = Role(service.name, service.handle, ConnectionLimits(max_total=1), busy=BUSY, crashed=CRASHED)
    sockets: list[socket.socket] = bind_endpoints(["127.0.0.1:0"])
    port = sockets[0].getsockname()[1]
    draining = Draining()

    async def connect() -> Connection:
        connection = await connect_tcp("127.0.0.1", port)
        assert (await read_reply(connection)).startswith(b"220 ")
        return connection

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve(sockets, role, draining=draining, mail_log=service.mail_log))
        client = await connect()
        other = await connect_tcp("127.0.0.1", port)
        assert (await read_reply(other)).startswith(b"421 4.7.0")
        await other.aclose()

        for line in (b"EHLO client.example", b"MAIL FROM:<a@far.example>", b"RCPT TO:<ana@example.com>", b"DATA"):
            await client.send_all(line + b"\r\n")
            assert (await read_reply(client))[:1] in b"23"
        await client.send_all(b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 100_000 + b".\r\n")
        assert b"250 2.0.0 Ok: queued as Q1\r\n" == await read_reply(client)
        house.intake.bug = ValueError("bug")
        await client.send_all(b"MAIL FROM:<a@far.example>\r\nRCPT TO:<ana@example.com>\r\nBDAT 2 LAST\r\n\r\n")
        # The replies to MAIL and RCPT were not sent when the session died; the client must hear that it did.
        assert (await read_reply(client)).endswith(b"421 4.3.0 Internal error, try again later\r\n")
        assert b"<closed>" == await read_reply(client)
        await client.aclose()
        while role.limits.total:
            await trio.testing.wait_all_tasks_blocked()

        idle = await connect()
        draining.begin(10)
        assert (await read_reply(idle)).startswith(b"421 4.3.2")
        await idle.aclose()
    ((_, content),) = house.intake.accepted
    assert content.endswith(b"\r\nSubject: x\r\n\r\n" + b"0123456789\r\n" * 100_000)
    assert ["failed", "shutdown"] == [line["reason"] for line in house.logged("session_finished")]
    assert 1 == len(house.logged("session_failed"))


async def test_reload(make_house: Any) -> None:
    """New limits are for new sessions; the old ones end as they began."""
    house = make_house()
    service = house.service()
    house.service = lambda: service
    async with house.talk() as old:
        assert "SIZE 52428800" in await old.start()
        smtp = SmtpConfig(max_message_bytes=1_000)
        service.reload(mx_role(smtp), smtp)
        async with house.talk() as new:
            assert "SIZE 1000\n" in await new.start()
        assert (await old.mail("ana@example.com", content=b"x" * 900 + b"\r\n" + b"y" * 900 + b"\r\n")).startswith("250 ")
