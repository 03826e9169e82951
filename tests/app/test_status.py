"""``carteiro status`` without a server, and with one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.app.cli import main
from appliance.model.clock import ManualClock
from appliance.model.content import Content
from appliance.model.ids import QueueId
from appliance.model.ports import QueueItem
from appliance.observe.maillog import MailLog
from appliance.services.control.commands import Reloaded, server_handlers
from appliance.services.control.server import ControlServer

FILLING = {"account": "ana", "messages": 10, "indexed": 4, "kept_bytes": 3_145_728, "state": "filling", "looked_ago_s": 12.3}


class FakeAdmin:
    """See ``model.ports.QueueAdmin``."""

    def counts(self) -> dict[str, int]:
        return {"active": 0, "deferred": 2}

    async def items(self, limit: int = 100) -> Sequence[QueueItem]:
        raise NotImplementedError

    async def content(self, queue_id: QueueId) -> Content:
        raise NotImplementedError

    async def change(self, action: str, queue_ids: Sequence[QueueId]) -> int:
        raise NotImplementedError


async def ask(data: Path, index: Sequence[Mapping[str, Any]] | None, *arguments: str) -> int:
    """Run the command against a control socket."""

    async def reload() -> Reloaded:
        raise NotImplementedError

    handlers = server_handlers(FakeAdmin(), ManualClock(), version="1.2", reload=reload, text_index=lambda: index)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(data / "control.sock", handlers, MailLog()).run)
        code = await trio.to_thread.run_sync(main, ["status", "--data", str(data), *arguments])
        nursery.cancel_scope.cancel()
    return code


async def test_the_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Version, uptime, the queue, and the index of each account."""
    assert 0 == await ask(tmp_path, [FILLING])
    assert [
        "carteiro 1.2, running for 0 s",
        "queue: 2 deferred",
        "text index of ana, 12 s ago: 4 of 10 messages (40 %), 3.0 MiB, being filled",
    ] == capsys.readouterr().out.splitlines()


async def test_without_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said where it is switched on."""
    assert 0 == await ask(tmp_path, None)
    assert "text index: off ([imap] full_text)" == capsys.readouterr().out.splitlines()[-1]


async def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the server tells it."""
    assert 0 == await ask(tmp_path, [FILLING], "--json")
    assert [FILLING] == json.loads(capsys.readouterr().out)["text_index"]


def test_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EX_UNAVAILABLE, and why."""
    assert 69 == main(["status", "--data", str(tmp_path)])
    assert "carteiro status: no server runs here\n" == capsys.readouterr().err
