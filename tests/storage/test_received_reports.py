"""Reports that came: each once, bounded, forgotten in time."""

from pathlib import Path

import pytest

from appliance.storage import received_reports
from appliance.storage.received_reports import ReceivedReports

NOW_S = 20_000 * 86_400.0


@pytest.fixture
def kept(tmp_path: Path) -> ReceivedReports:
    return ReceivedReports(tmp_path / "received.db")


def test_the_same_report_is_kept_once(kept: ReceivedReports) -> None:
    """Whatever the number of its copies, and over a restart."""
    assert 2 == kept.add([b"one", b"two", b"one"], NOW_S)
    kept.close()
    assert 1 == kept.add([b"two", b"three"], NOW_S)
    assert [b"one", b"two", b"three"] == list(kept.all())


@pytest.mark.parametrize(("limit", "value"), [("MAX_REPORTS", 2), ("MAX_BYTES", 6)])
def test_the_oldest_go(kept: ReceivedReports, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    """Where there are too many, or too much."""
    monkeypatch.setattr(received_reports, limit, value)
    kept.add([b"one", b"two", b"six"], NOW_S)
    assert [b"two", b"six"] == list(kept.all())


def test_a_flood_takes_nobodys_place(kept: ReceivedReports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends most loses his own oldest ones."""
    monkeypatch.setattr(received_reports, "MAX_REPORTS", 5)
    kept.add([b"true 1", b"true 2"], NOW_S, "192.0.2.0/24")
    for number in range(20):
        kept.add([b"false %d" % number], NOW_S, "198.51.100.0/24")
    assert [b"true 1", b"true 2", b"false 17", b"false 18", b"false 19"] == list(kept.all())


def test_they_are_forgotten(kept: ReceivedReports) -> None:
    """After 400 days."""
    kept.add([b"one"], NOW_S)
    kept.add([b"two"], NOW_S + 401 * 86_400)
    assert [b"two"] == list(kept.all())
