"""``carteiro queue`` without a server, and with one."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import trio

from appliance.app.cli import main
from appliance.model.content import Content, MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.ports import QueueItem, QueueItemRecipient
from appliance.net.offload import InlineOffload, ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.services.control.commands import queue_handlers
from appliance.services.control.server import ControlServer
from appliance.storage.spool import Spool
from appliance.storage.spool_ids import QueueIds
from appliance.storage.spool_schema import Addition, Batch, MessageState, RecipientUpdate

DATA = b"From: ana@here\r\nSubject: Ol\xc3\xa1 \x1b[2J\r\n\r\nbody\r\n"


class Filled:
    """A data directory with three entries in its queue and no server."""

    def __init__(self, data: Path) -> None:
        self.data = data
        ids = QueueIds(time.time, 1)
        self.ids: list[QueueId] = []
        spool = Spool(data / "queue")
        spool.open()
        for sender, *to in (("ana@here", "x@one.example", "y@two.example"), ("", "ana@here"), ("bia@here", "x@one.example")):
            queue_id = ids.next()
            envelope = Envelope(sender, tuple(map(EnvelopeRecipient, to)))
            spool.commit(Batch(additions=[Addition(queue_id, envelope, len(DATA), 1_700_000_000.0, DATA)]))
            self.ids.append(queue_id)
        spool.commit(Batch(updates=[RecipientUpdate(self.ids[0], 0, 2, 1_700_009_000.0, "4.2.0", "busy \x1b[31m")]))
        spool.close()

    def run(self, *arguments: str) -> int:
        """Run the command on this directory."""
        return main(["queue", *arguments, "--data", str(self.data)])

    def rows(self) -> dict[QueueId, MessageState]:
        """Return what the spool holds."""
        spool = Spool(self.data / "queue")
        spool.open()
        try:
            return {message.queue_id: message.state for message in spool.messages(10)}
        finally:
            spool.close()


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path)


def test_list_is_a_table(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """The table names entries, senders, recipients and reasons, and no terminal code of a stranger passes."""
    assert 0 == filled.run("list")
    out = capsys.readouterr().out
    assert all(queue_id in out for queue_id in filled.ids)
    assert "x@one.example" in out
    assert "(deferred, 2 tries, next " in out
    assert "3 entries, " in out
    assert "\x1b" not in out


def test_list_as_json(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object per line, filtered and limited as asked."""
    assert 0 == filled.run("list", "--json", "--to", "x@one.example")
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [filled.ids[0], filled.ids[2]] == [item["id"] for item in items]
    assert 0 == filled.run("list", "--json", "--limit", "1")
    assert 1 == len(capsys.readouterr().out.splitlines())


def test_show(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """``show`` prints envelope, recipients and header section; ``--content`` the message as it is."""
    assert 0 == filled.run("show", filled.ids[0].lower())
    out = capsys.readouterr().out
    assert "sender    <ana@here>" in out
    assert "Subject: Olá ?[2J" in out
    assert "body" not in out


def test_show_content(filled: Filled, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The bytes come out unchanged."""
    assert 0 == filled.run("show", filled.ids[1], "--content")
    assert DATA == capfdbinary.readouterr().out


def test_hold_release_delete(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """Changes are made in the spool itself while no server runs, and only to what was named."""
    assert 0 == filled.run("hold", filled.ids[0], filled.ids[1])
    assert [MessageState.HOLD, MessageState.HOLD, MessageState.NORMAL] == list(filled.rows().values())
    assert 0 == filled.run("release", "--from", "<>")
    assert [MessageState.HOLD, MessageState.NORMAL, MessageState.NORMAL] == list(filled.rows().values())
    assert 0 == filled.run("delete", "--domain", "one.example", "--json")
    assert [filled.ids[1]] == list(filled.rows())
    assert '{"changed": 2}' == capsys.readouterr().out.splitlines()[-1]
    assert 0 == filled.run("retry", "--all")
    assert 0 == filled.run("delete", "--all")
    assert {} == filled.rows()
    assert 0 == filled.run("list")
    assert "The queue is empty." == capsys.readouterr().out.splitlines()[-1]


def test_says_what_is_wrong(filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No selection, an unknown id, no queue and a queue in use each have their sentence and exit code."""
    assert 64 == filled.run("delete")
    assert 65 == filled.run("delete", "0000000000000")
    assert 65 == filled.run("show", "nonsense")
    assert 69 == main(["queue", "list", "--data", str(tmp_path / "nowhere")])
    spool = Spool(filled.data / "queue")
    spool.open()
    assert 75 == filled.run("list")
    spool.close()
    err = capsys.readouterr().err
    assert "say which entries" in err
    assert "nonsense is not in the queue" in err
    assert "there is no queue in" in err
    assert "in use" in err


class OneEntry:
    """What a running server would say about its queue."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, list[QueueId]]] = []
        recipient = QueueItemRecipient("x@one.example", "active", 0, 0.0, "")
        self.entry = QueueItem(QueueId("A" * 13), "active", "ana@here", 9, 1.0, (recipient,))

    async def items(self, limit: int) -> Sequence[QueueItem]:
        await trio.lowlevel.checkpoint()
        return [self.entry][:limit]

    def counts(self) -> dict[str, int]:
        return {"active": 1}

    async def open_content(self, queue_id: QueueId) -> tuple[QueueItem, Content] | None:
        await trio.lowlevel.checkpoint()
        return (self.entry, MemoryContent(DATA)) if queue_id == self.entry.queue_id else None

    async def change(self, action: str, queue_ids: Iterable[QueueId]) -> int:
        await trio.lowlevel.checkpoint()
        self.changes.append((action, list(queue_ids)))
        return len(self.changes[-1][1])


async def test_asks_the_running_server(tmp_path: Path, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]) -> None:
    """While a server runs the same commands go through its socket; many ids go in several requests."""
    admin = OneEntry()
    await nursery.start(ControlServer(tmp_path / "control.sock", queue_handlers(admin, InlineOffload()), MailLog()).run)

    async def run(*arguments: str) -> int:
        return await ThreadOffload(1).run(main, ["queue", *arguments, "--data", str(tmp_path)])

    assert 0 == await run("list")
    assert 0 == await run("show", "A" * 13)
    assert 65 == await run("show", "B" * 13)
    assert 0 == await run("hold", *[f"{number:013}" for number in range(2_500)])
    assert 0 == await run("delete", "--from", "ana@here")
    assert [("hold", 1_000), ("hold", 1_000), ("hold", 500), ("delete", 1)] == [(action, len(ids)) for action, ids in admin.changes]
    out = capsys.readouterr().out
    assert "AAAAAAAAAAAAA active" in out
    assert "Subject: Olá" in out
