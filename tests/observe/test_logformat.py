"""Log lines: one record, one line, whatever a peer sent."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.observe import logformat
from appliance.observe.logformat import JsonFormatter, LineHandler, LogfmtFormatter, configure, is_journal
from appliance.observe.maillog import MailLog


def record(event: str = "thing_happened", level: int = logging.INFO, /, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("carteiro", level, "", 0, event, (), None)
    made.created = 1_700_000_000.125
    made.__dict__["fields"] = fields
    return made


def test_logfmt_outside_the_journal_has_time_and_level() -> None:
    """A terminal and a file get a time in UTC."""
    line = LogfmtFormatter(journal=False).format(record(queue_id="3Xy", delay=0.5, ok=True))
    assert "time=2023-11-14T22:13:20.125Z level=info event=thing_happened queue_id=3Xy delay=0.5 ok=true" == line


@pytest.mark.parametrize(
    ("level", "prefix"), [(logging.DEBUG, "<7>"), (logging.INFO, "<6>"), (logging.WARNING, "<4>"), (logging.ERROR, "<3>")]
)
def test_journal_gets_a_priority_and_no_time(level: int, prefix: str) -> None:
    """The journal keeps the time itself and reads the level from the prefix (sd-daemon(3))."""
    assert f"{prefix}event=x a=1" == LogfmtFormatter(journal=True).format(record("x", level, a=1))


def test_values_are_quoted_and_escaped() -> None:
    """Blanks, quotes, equal signs, line ends, terminal and direction controls cannot break a line."""
    fields = {
        "a": "two words",
        "b": 'say "x"',
        "c": "k=v",
        "d": "x\r\nevent=forged",
        "e": "\x1b[2J",
        "f": "a\u202eb\u2028c",
        "g": "back\\slash",
    }
    line = LogfmtFormatter(journal=True).format(record("x", logging.INFO, **fields))
    expected = r'<6>event=x a="two words" b="say \"x\"" c="k=v" d="x\r\nevent=forged" e="\x1b[2J" f="a\u202eb\u2028c" g="back\\slash"'
    assert expected == line


def test_empty_fields_are_left_out_but_a_null_reverse_path_is_not() -> None:
    """``from=<>`` says that it is a bounce."""
    line = LogfmtFormatter(journal=True).format(
        record("x", logging.INFO, **{"from": "", "to": "ana@example.com", "tls": "", "size": None, "n": 0})
    )
    assert "<6>event=x from=<> to=<ana@example.com> n=0" == line


def test_undecodable_text_is_written_as_escapes() -> None:
    """Lone surrogates, as surrogateescape makes them, do not stop the log."""
    assert r'<6>event=x a="\udcff"' == LogfmtFormatter(journal=True).format(record("x", a="\udcff"))


def test_a_traceback_follows_in_indented_lines() -> None:
    """No line of a traceback can be taken for a record, even if the exception's text holds line ends."""
    made = record("bug", logging.ERROR)
    error = ValueError("a\nevent=forged \x1b[2J")
    made.exc_info = (ValueError, error, None)
    first, *rest = LogfmtFormatter(journal=True).format(made).split("\n")
    assert "<3>event=bug" == first
    assert rest
    assert all(line.startswith("<3>\t") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_json_is_one_ascii_object() -> None:
    """Every field stands under its name, everything else is escaped."""
    line = JsonFormatter(journal=False).format(record("x", logging.INFO, a="olá\n\u2028", b=None, c="", d=1.5, **{"from": ""}))
    assert line.isascii()
    assert "\n" not in line
    expected = {"time": "2023-11-14T22:13:20.125Z", "level": "info", "event": "x", "a": "olá\n\u2028", "d": 1.5, "from": ""}
    assert expected == json.loads(line)
    assert JsonFormatter(journal=True).format(record("x")).startswith('<6>{"level":"info"')


def test_records_of_libraries_are_told_too() -> None:
    """A record without fields keeps its logger and message."""
    made = logging.LogRecord("trio.x", logging.WARNING, "", 0, "odd %s", ("thing",), None)
    assert '<4>event=log logger=trio.x message="odd thing"' == LogfmtFormatter(journal=True).format(made)


def test_journal_is_recognised_by_device_and_inode(tmp_path: Path) -> None:
    """JOURNAL_STREAM must name this very descriptor: a child may have been redirected."""
    with (tmp_path / "x").open("w") as file:
        status = os.fstat(file.fileno())
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": "nonsense"})
        assert not is_journal(file.fileno(), {})


@pytest.fixture
def untouched_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let ``configure`` change the process's logging and put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("untouched_logging")
def test_configured_log_writes_lines_and_can_change_its_mind(tmp_path: Path) -> None:
    """Format and level take effect at once and each record is written once."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        configure("info", "logfmt", fd=file.fileno())
        MailLog().recipient_attempted(
            queue_id=QueueId("3Xy"),
            sender="",
            recipient="bob@example.com",
            original=None,
            outcome=Outcome(Action.BOUNCED, "5.1.1", "no such user", diagnostic="550 5.1.1 who?"),
            delay_s=1.5,
        )
        configure("error", "json", fd=file.fileno())
        MailLog().warning("not_written")
        MailLog().error("written", reason="x")
    first, second = path.read_text().splitlines()
    assert first.endswith(
        "level=warning event=recipient_attempted queue_id=3Xy from=<> to=<bob@example.com> delay=1.5 enhanced=5.1.1"
        ' status=bounced reason="no such user" diagnostic="550 5.1.1 who?"'
    )
    assert "written" == json.loads(second)["event"]


def test_a_closed_descriptor_costs_lines_only() -> None:
    """Writing the log never raises."""
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    handler = LineHandler(write)
    handler.setFormatter(logformat.LogfmtFormatter(journal=True))
    handler.handle(record())
    assert 1 == handler.dropped


class Unspeakable:
    """A value that has no text."""

    def __str__(self) -> str:
        raise ValueError


def test_collected_lines_are_one_write_in_order(tmp_path: Path) -> None:
    """Lines of the collecting thread wait for the flush; an error does not."""
    target = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    handler = LineHandler(target)
    handler.setFormatter(LogfmtFormatter(journal=True))
    try:
        asked: list[str] = []
        handler.collect(lambda: asked.append("flush"))
        handler.write_event(logging.INFO, "one", {"a": 1})
        handler.write_event(logging.INFO, "unknown", {"a": object(), "b": Unspeakable()})
        assert ["flush"] == asked
        assert b"" == (tmp_path / "log").read_bytes()
        handler.flush()
        assert 1 == handler.dropped
        handler.write_event(logging.INFO, "two", {})
        handler.write_event(logging.ERROR, "three", {})
        assert ["flush", "flush"] == asked
        assert b"<6>event=one a=1\n<6>event=two\n<3>event=three\n" == (tmp_path / "log").read_bytes()
        handler.write_event(logging.INFO, "four", {})
        thread = threading.Thread(target=handler.write_event, args=(logging.INFO, "five", {}))
        thread.start()
        thread.join()
        assert (tmp_path / "log").read_bytes().endswith(b"<6>event=four\n<6>event=five\n")
        handler.write_event(logging.INFO, "six", {})
        handler.write_through()
        handler.write_event(logging.INFO, "seven", {})
        assert (tmp_path / "log").read_bytes().endswith(b"<6>event=six\n<6>event=seven\n")
    finally:
        os.close(target)
