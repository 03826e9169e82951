"""What reports are made of: counted, bounded, forgotten in time."""

from pathlib import Path

import pytest

from appliance.model.errors import UnavailableError
from appliance.storage import report_results
from appliance.storage.report_results import ReportResults, ResultKey, SentReport

NOW_S = 20_000 * 86_400.0


@pytest.fixture
def results(tmp_path: Path) -> ReportResults:
    return ReportResults(tmp_path / "reports.db")


def test_equal_findings_are_counted(results: ReportResults) -> None:
    """Over several writes and a restart; the most frequent stand first."""
    one, two = ResultKey(20_000, "a.example", "v=DMARC1", "one"), ResultKey(20_000, "a.example", "v=DMARC1", "two")
    assert 0 == results.add({one: 1, two: 5, ResultKey(19_999, "b.example", "r", "x"): 1}, NOW_S)
    results.close()
    assert 0 == results.add({one: 2}, NOW_S)
    assert [("v=DMARC1", "two", 5), ("v=DMARC1", "one", 3)] == results.rows(20_000, "a.example", 10)
    assert [("v=DMARC1", "two", 5)] == results.rows(20_000, "a.example", 1)
    assert (["a.example"], ["b.example"]) == (results.domains(20_000), results.domains(19_999))


def test_there_is_a_limit(results: ReportResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no room is counted as lost; what is there already goes on."""
    monkeypatch.setattr(report_results, "MAX_ROWS", 2)
    keys = [ResultKey(20_000, "a.example", "r", str(number)) for number in range(4)]
    assert 6 == results.add(dict.fromkeys(keys, 3), NOW_S)
    assert 0 == results.add({keys[0]: 1}, NOW_S)
    assert [4, 3] == [row[2] for row in results.rows(20_000, "a.example", 10)]


def test_old_rows_go(results: ReportResults) -> None:
    """After ten days."""
    results.add({ResultKey(20_000, "a.example", "r", "x"): 1}, NOW_S)
    results.add({}, NOW_S + 11 * 86_400)
    assert [] == results.domains(20_000)


def test_what_was_sent(results: ReportResults) -> None:
    """Each report once, whatever came of it."""
    sent = SentReport("dmarc", 20_000, "a.example", NOW_S, "d@a.example", 7)
    assert not results.is_done("dmarc", 20_000, "a.example")
    results.note_sent(sent)
    assert results.is_done("dmarc", 20_000, "a.example")
    assert not results.is_done("tls", 20_000, "a.example")
    assert [sent] == results.sent()


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    """The file system's refusal has its own error."""
    with pytest.raises(UnavailableError):
        ReportResults(tmp_path / "missing" / "reports.db").sent()
