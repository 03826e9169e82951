"""``carteiro trace`` over the journal's files, and the keeper of the journal."""

import json
import logging
from pathlib import Path

import pytest

from appliance.app.cli import main
from appliance.app.tracing import Tracing, find_stories
from appliance.config.schema import TraceConfig
from appliance.model.ids import QueueId, SessionId
from appliance.net.clock import SystemClock
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.observe.trace import TraceGatherer
from appliance.storage.trace_files import TraceFiles

LINES = (
    "1700000000.000\tQ1\tA\tbob@far.example\t[192.0.2.1]\t\t1\t99\t<1@far.example>\tInvoice for May\n"
    "1700000001.000\tQ1\tS\tana@x.example\t\tmx.x.example[192.0.2.9]:25\tTLSv1.3\t2.0.0\t250 2.0.0 OK\ttaken\n"
    "1700000002.000\tQ2\tA\teve@far.example\t[192.0.2.1]\t\t1\t99\t<2@far.example>\tOther\n"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    TraceFiles(tmp_path / "trace", keep_days=30, max_bytes=10**6).append(LINES.encode(), 1_700_000_002)
    return tmp_path


@pytest.mark.parametrize("query", ["ana@x.example", "<1@far.example>", "q1", "may invoice", "BOB@far.example"])
def test_every_way_to_ask(data: Path, query: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address of either side, a Message-ID, a queue id, words of the subject."""
    assert 0 == main(["trace", "--data", str(data), *query.split()])
    first, second, *steps = capsys.readouterr().out.splitlines()
    assert first.startswith("Delivered to mx.x.example for ana@x.example at ")
    assert first.endswith("; they said 250 2.0.0 OK")
    assert "Invoice for May" in second
    assert 2 == len(steps)


def test_in_portuguese_and_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is part of the object."""
    assert 0 == main(["trace", "--data", str(data), "--json", "--language", "pt", "q1"])
    found = json.loads(capsys.readouterr().out)
    assert ("Q1", ["A", "S"]) == (found["queue_id"], [event["kind"] for event in found["events"]])
    assert found["answer"].startswith("Entregue a mx.x.example")


def test_nothing_known(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence, and an exit code that scripts can see."""
    assert 1 == main(["trace", "--data", str(data), "nobody@x.example"])
    assert capsys.readouterr().out.startswith("Nothing is known of nobody@x.example")


async def test_the_keeper_writes_before_it_looks(tmp_path: Path) -> None:
    """What was told a moment ago is found."""
    gatherer = TraceGatherer(SystemClock().now_s)
    logger = logging.Logger("test")  # noqa: LOG001 - outside the tree
    logger.addHandler(logging.NullHandler())
    log = MailLog(logger, [gatherer])
    tracing = Tracing(tmp_path / "trace", TraceConfig(), gatherer, InlineOffload(), InlineOffload(), SystemClock(), log)
    log.message_queued(
        queue_id=QueueId("Q9"), session_id=SessionId("s"), client="c", account="", sender="a@b.example", recipients=1, size=1, message_id="<m@x>", subject="Açúcar"
    )  # fmt: skip
    assert ["Q9"] == [story.queue_id for story in await tracing.find("açúcar", 5)]
    assert [] == find_stories(tmp_path / "trace", "  ", 5)


async def test_a_disk_that_refuses_is_told_once(tmp_path: Path) -> None:
    """Mail goes on."""
    (tmp_path / "trace").write_text("in the way")
    gatherer = TraceGatherer(SystemClock().now_s)
    told: list[str] = []
    logger = logging.Logger("test")  # noqa: LOG001 - as above
    logger.addHandler(logging.NullHandler())
    log = MailLog(logger, [gatherer, lambda event, _level, _fields: told.append(event)])
    tracing = Tracing(tmp_path / "trace", TraceConfig(), gatherer, InlineOffload(), InlineOffload(), SystemClock(), log)
    for _ in range(2):
        log.message_refused(session_id=SessionId("s"), client="c", stage="RCPT", sender="a", recipient="b", reply="550")
        await tracing.write()
    assert 1 == told.count("trace_not_written")
