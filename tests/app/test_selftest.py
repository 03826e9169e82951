"""``carteiro selftest`` finds everything working, and says what is not."""

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import selftest, selftest_clients


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The command sets the log up for its own process; leave it as it was."""
    logger = logging.getLogger("carteiro")
    kept = logger.level, list(logger.handlers), logger.propagate
    yield
    logger.setLevel(kept[0])
    logger.handlers[:] = kept[1]
    logger.propagate = kept[2]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary directories are made; near the root, for a unix socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="carteiro-") as directory:
        monkeypatch.setattr("tempfile.tempdir", directory)
        yield Path(directory)


def test_everything_works(temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step is one line with its time; nothing is left behind."""
    assert 0 == selftest.run(argparse.Namespace(verbose=False))
    lines = capsys.readouterr().out.splitlines()
    assert 9 == sum(line.startswith("ok ") for line in lines)
    assert lines[-1].startswith("everything works")
    assert [] == list(temporary.iterdir())


def test_a_failure_is_told_and_ends_it(temporary: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen stands in the line of the step that failed; the servers stop all the same."""

    async def wrong(*_: object) -> bytes:
        return b"Subject: another message"

    monkeypatch.setattr(selftest_clients, "fetch_by_pop3", wrong)
    assert 1 == selftest.run(argparse.Namespace(verbose=False))
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED  POP3 has it, delivered here: ValueError: the message came out changed (24 octets)" in lines
    assert 1 == sum(line.startswith("FAILED") for line in lines)
    assert [] == list(temporary.iterdir())
