"""The control socket: who may talk, what it answers, what it survives."""

import json
import logging
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.model.clock import ManualClock
from appliance.model.content import Content, MemoryContent
from appliance.model.errors import OutOfSpaceError
from appliance.model.ids import QueueId
from appliance.model.ports import QueueItem, QueueItemRecipient
from appliance.net.offload import InlineOffload, ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.services.control.client import ControlClient, NotRunningError, RequestRefusedError
from appliance.services.control.commands import Reloaded, queue_handlers, server_handlers
from appliance.services.control.protocol import MAX_REQUEST_BYTES, ProtocolError, decode_line, encode_line, parse_request
from appliance.services.control.selection import Selection
from appliance.services.control.server import ControlServer, SendItem


def item(queue_id: str, sender: str, *to: str) -> QueueItem:
    """An entry that waits."""
    recipients = tuple(QueueItemRecipient(address, "deferred", 2, 99.0, "busy") for address in to)
    return QueueItem(QueueId(queue_id), "deferred", sender, 10, 1.0, recipients)


class FakeAdmin:
    """Three entries; changes are recorded."""

    def __init__(self) -> None:
        self.entries = [
            item("A", "ana@here", "x@one.example", "y@two.example"),
            item("B", "", "ana@here"),
            item("C", "Bia@here", "x@one.example"),
        ]
        self.changes: list[tuple[str, list[str]]] = []
        self.is_full = False

    async def items(self, limit: int) -> Sequence[QueueItem]:
        await trio.lowlevel.checkpoint()
        return self.entries[:limit]

    def counts(self) -> dict[str, int]:
        return {"deferred": len(self.entries)}

    async def open_content(self, queue_id: QueueId) -> tuple[QueueItem, Content] | None:
        await trio.lowlevel.checkpoint()
        found = [one for one in self.entries if one.queue_id == queue_id]
        return (found[0], MemoryContent(b"Subject: x\r\n\r\n" + b"body\r\n" * 20_000)) if found else None

    async def change(self, action: str, queue_ids: Iterable[QueueId]) -> int:
        await trio.lowlevel.checkpoint()
        if self.is_full:
            raise OutOfSpaceError("disk full")
        self.changes.append((action, list(queue_ids)))
        return len(self.changes[-1][1])


class Server:
    """A running control server and a client call in a thread."""

    def __init__(self, path: Path, admin: FakeAdmin) -> None:
        self.path = path
        self.admin = admin
        self.problems: list[str] = []
        self.exceptions: list[str] = []

        async def reload() -> Reloaded:
            await trio.lowlevel.checkpoint()
            return Reloaded(tuple(self.problems), ("imap.listen",))

        async def crash(_arguments: Mapping[str, Any], _send: SendItem) -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            raise RuntimeError("boom")

        logger = logging.getLogger("carteiro.test.control")
        logger.propagate = False
        log = MailLog(logger, [lambda event, _level, _fields: self.exceptions.append(event)])
        handlers = {
            **queue_handlers(admin, InlineOffload()),
            **server_handlers(admin, ManualClock(), version="1.2.3", reload=reload),
            "crash": crash,
        }
        control = ControlServer(path, handlers, log)
        self.bind, self.run = control.bind, control.run

    async def ask(self, command: str, **arguments: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return items and result of one request, asked as the commands do."""

        def call() -> tuple[list[Any], dict[str, Any]]:
            with ControlClient(self.path) as client:
                return list(client.items(command, **arguments)), client.result

        return await ThreadOffload(1).run(call)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "control.sock", FakeAdmin())


async def test_lists_and_selects(server: Server, nursery: trio.Nursery) -> None:
    """``queue.list`` gives entries by id, sender, recipient and domain, letter case aside."""
    await nursery.start(server.run)
    items, result = await server.ask("queue.list")
    assert ["A", "B", "C"] == [one["id"] for one in items]
    assert {"counts": {"deferred": 3}} == result
    for arguments, expected in (
        ({"from": "<>"}, ["B"]),
        ({"from": "bia@HERE"}, ["C"]),
        ({"to": "x@one.example"}, ["A", "C"]),
        ({"domain": "TWO.example"}, ["A"]),
        ({"domain": "one.example", "from": "ana@here"}, ["A"]),
        ({"ids": ["b", "C"]}, ["B", "C"]),
        ({"limit": 2}, ["A", "B"]),
    ):
        items, _ = await server.ask("queue.list", **arguments)
        assert expected == [one["id"] for one in items]


async def test_is_reached_before_it_runs(server: Server, nursery: trio.Nursery) -> None:
    """A start makes the socket before it delivers anything; who asks meanwhile waits for the answer."""
    server.bind()
    with ControlClient(server.path) as client:
        await nursery.start(server.run)
        assert "1.2.3" == (await ThreadOffload(1).run(client.call, "status"))["version"]


async def test_shows_header_or_all(server: Server, nursery: trio.Nursery) -> None:
    """``queue.show`` sends the header section, or with ``content`` the whole message in pieces."""
    await nursery.start(server.run)
    items, _ = await server.ask("queue.show", id="A")
    assert ["busy", "busy"] == [one["reason"] for one in items[0]["recipients"]]
    assert 2 == len(items)
    items, _ = await server.ask("queue.show", id="A", content=True)
    assert 3 < len(items)
    with pytest.raises(RequestRefusedError, match="not in the queue"):
        await server.ask("queue.show", id="Z")
    with pytest.raises(RequestRefusedError, match="id is missing"):
        await server.ask("queue.show")


async def test_changes_what_is_selected(server: Server, nursery: trio.Nursery) -> None:
    """``queue.change`` applies to ids, to what a filter finds, or to all; never to all by accident."""
    await nursery.start(server.run)
    assert {"changed": 1} == (await server.ask("queue.change", action="hold", ids=["a"]))[1]
    assert {"changed": 2} == (await server.ask("queue.change", action="delete", to="x@one.example"))[1]
    assert {"changed": 3} == (await server.ask("queue.change", action="retry", all=True))[1]
    assert [("hold", ["A"]), ("delete", ["A", "C"]), ("retry", ["A", "B", "C"])] == server.admin.changes
    for wrong in ({"action": "hold"}, {"action": "explode", "all": True}, {"action": "hold", "ids": "A"}, {"action": "hold", "from": 3}):
        with pytest.raises(RequestRefusedError):
            await server.ask("queue.change", **wrong)
    server.admin.is_full = True
    with pytest.raises(RequestRefusedError, match="Insufficient storage, try again later: disk full"):
        await server.ask("queue.change", action="hold", ids=["A"])


async def test_status_and_reload(server: Server, nursery: trio.Nursery) -> None:
    """``status`` counts, ``reload`` tells what is wrong with the new settings, or what of them waits for a restart."""
    await nursery.start(server.run)
    assert {"version": "1.2.3", "uptime_s": 0.0, "queue": {"deferred": 3}} == (await server.ask("status"))[1]
    assert {"waiting": ["imap.listen"]} == (await server.ask("reload"))[1]
    server.problems.append("line 3: no such key")
    with pytest.raises(RequestRefusedError, match="line 3: no such key"):
        await server.ask("reload")


async def test_only_the_owner_may_connect(server: Server, nursery: trio.Nursery) -> None:
    """The socket has mode 0600; one left by a crash is replaced, and at the end it is removed."""
    server.path.touch()
    server.path.unlink()
    stale = trio.socket.socket(trio.socket.AF_UNIX)
    await stale.bind(str(server.path))
    stale.close()
    await nursery.start(server.run)
    mode = server.path.lstat().st_mode
    assert (True, 0o600) == (stat.S_ISSOCK(mode), stat.S_IMODE(mode))
    assert (await server.ask("status"))[1]
    nursery.cancel_scope.cancel()
    await trio.lowlevel.checkpoint()


async def test_survives_nonsense_and_bugs(server: Server, nursery: trio.Nursery) -> None:
    """Lines that are no requests, lines without end, and a handler's bug are answered; the server lives on."""
    await nursery.start(server.run)
    for sent in (
        b"hello\n",
        b"[]\n",
        b"{}\n",
        b'{"command": 3}\n',
        b'{"command": "format-disk"}\n',
        b'{"command": "crash"}\n',
        b"[" * 60_000 + b"\n",
    ):
        stream = await trio.open_unix_socket(os.fspath(server.path))
        async with stream:
            await stream.send_all(sent)
            answer = json.loads(await stream.receive_some())
            assert answer["ok"] is False
    stream = await trio.open_unix_socket(os.fspath(server.path))
    async with stream:
        await stream.send_all(b"x" * (MAX_REQUEST_BYTES + 1))
        assert b"longer than" in await stream.receive_some()
        assert b"" == await stream.receive_some()
    assert ["control_command_crashed"] == server.exceptions
    assert (await server.ask("status"))[1]


async def test_a_client_that_leaves_is_no_event(server: Server, nursery: trio.Nursery) -> None:
    """Hanging up in the middle of a long answer ends that connection alone."""
    await nursery.start(server.run)
    stream = await trio.open_unix_socket(os.fspath(server.path))
    await stream.send_all(encode_line({"command": "queue.show", "id": "A", "content": True}) * 50)
    await stream.aclose()
    assert (await server.ask("status"))[1]
    assert [] == server.exceptions


def test_no_server_is_said(tmp_path: Path) -> None:
    """No socket, or one nobody listens on, is NotRunningError."""
    with pytest.raises(NotRunningError):
        ControlClient(tmp_path / "control.sock")


def test_requests_are_lines() -> None:
    """Encoding keeps to one ASCII line; decoding refuses what is no object."""
    assert b'{"a":"\\u00e9\\n"}\n' == encode_line({"a": "é\n"})
    assert {"a": 1} == decode_line(b'{"a":1}\n')
    assert ("x", {"y": 2}) == (parse_request(b'{"command":"x","y":2}').command, parse_request(b'{"command":"x","y":2}').arguments)
    for line in (b"", b"3", b"\xff", b"{"):
        with pytest.raises(ProtocolError):
            decode_line(line)


def test_a_selection_without_criteria_is_empty() -> None:
    """Nothing said selects nothing to change, and everything to list."""
    selection = Selection.from_arguments({})
    assert (True, True) == (selection.is_empty, selection.matches(item("A", "x@y", "z@w")))
