"""What an account has sent today: counted, kept over restarts, and lost without harm."""

from pathlib import Path

import pytest

from appliance.model.errors import UnavailableError
from appliance.storage import sentcounts
from appliance.storage.sentcounts import SentCounts, SentToday

DAY_S = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sent.db"


def test_a_day_is_counted(path: Path) -> None:
    """Messages and new recipients, by account, after a restart too; the next day begins at nothing, who is known stays known."""
    counts = SentCounts(path)
    assert SentToday(1, 2) == counts.with_message("ana", ["x@far.example", "y@far.example"], DAY_S)
    counts.note("ana", ["x@far.example", "y@far.example"], DAY_S)
    counts.note("ana", ["X@far.example", "z@far.example"], DAY_S + 5)
    counts.close()
    assert SentToday(3, 3) == counts.with_message("ana", ["z@far.example"], DAY_S + 10)
    assert SentToday(1, 1) == counts.with_message("bob", ["z@far.example"], DAY_S + 10)
    assert SentToday(1, 1) == counts.with_message("ana", ["z@far.example", "new@far.example"], 2 * DAY_S)
    counts.note("ana", ["z@far.example"], 2 * DAY_S)
    assert SentToday(2, 0) == counts.with_message("ana", ["z@far.example"], 2 * DAY_S)
    counts.close()


def test_it_is_told_once_a_day(path: Path) -> None:
    """Each account for itself; that a day was told does not reset what was counted."""
    counts = SentCounts(path)
    counts.note("ana", [], DAY_S)
    assert [True, False, True, True] == [
        counts.tell_once("ana", DAY_S),
        counts.tell_once("ana", DAY_S + 1),
        counts.tell_once("bob", DAY_S),
        counts.tell_once("ana", 2 * DAY_S),
    ]
    counts.close()


def test_old_recipients_are_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a year, and the oldest of too many."""
    monkeypatch.setattr(sentcounts, "_SWEEP_EVERY", 1)
    counts = SentCounts(path)
    counts.note("ana", ["old@far.example"], DAY_S)
    counts.note("ana", ["x@far.example"], 400 * DAY_S)
    assert SentToday(2, 2) == counts.with_message("ana", ["old@far.example"], 400 * DAY_S)
    monkeypatch.setattr(sentcounts, "MAX_ROWS", 1)
    counts.note("ana", ["y@far.example"], 401 * DAY_S)
    assert SentToday(2, 2) == counts.with_message("ana", ["x@far.example", "y@far.example"], 401 * DAY_S)
    counts.close()


def test_a_file_that_cannot_be_used(path: Path, tmp_path: Path) -> None:
    """Garbage is replaced; a place that cannot be written is told."""
    path.write_bytes(b"no database at all" * 100)
    counts = SentCounts(path)
    assert SentToday(1, 0) == counts.with_message("ana", [], DAY_S)
    counts.close()
    with pytest.raises(UnavailableError):
        SentCounts(tmp_path / "missing" / "sent.db").note("ana", [], DAY_S)
