"""The memory of greylisting: what is kept, what is forgotten, what becomes of a damaged file."""

from pathlib import Path

import pytest

from appliance.model.errors import UnavailableError
from appliance.storage import knownsenders
from appliance.storage.expendable import ExpendableFile
from appliance.storage.knownsenders import KnownSenders


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "senders.db"


def test_a_triple_waits_once(path: Path) -> None:
    """Whoever comes too late starts again."""
    senders = KnownSenders(path, remember_days=35)
    assert [300.0, 200.0, 0.0] == [senders.waits_s("n", "a@b", "c@d", 300, now_s) for now_s in (1_000, 1_100, 1_400)]
    assert 300.0 == senders.waits_s("n", "a@b", "c@d", 300, 1_000 + 3 * 86_400)
    assert 300.0 == senders.waits_s("n", "a@b", "other@d", 300, 1_400)
    senders.close()


def test_good_senders_are_known_for_a_while(path: Path) -> None:
    """After a restart, too; by network and domain, in any case."""
    senders = KnownSenders(path, remember_days=1)
    senders.learn("n", "Example.com", 0)
    senders.close()
    assert [True, False, False] == [
        senders.is_known("n", "example.com", 86_399),
        senders.is_known("n", "example.com", 86_400),
        senders.is_known("m", "example.com", 1),
    ]
    senders.close()


def test_the_file_stays_small(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest rows go, and those that are too old."""
    monkeypatch.setattr(knownsenders, "MAX_ROWS", 5)
    monkeypatch.setattr(knownsenders, "_SWEEP_EVERY", 1)
    senders = KnownSenders(path, remember_days=1)
    for number in range(10):
        senders.learn("n", str(number), number)
    assert [False] * 5 + [True] * 5 == [senders.is_known("n", str(number), 10) for number in range(10)]
    senders.learn("n", "late", 90_000)
    assert not senders.is_known("n", "9", 10)
    senders.close()


def test_a_damaged_file_is_replaced(path: Path) -> None:
    """All of it can be had again."""
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    senders = KnownSenders(path, remember_days=1)
    assert not senders.is_known("n", "d", 0)
    senders.close()


def test_a_file_of_another_version_is_made_anew(path: Path) -> None:
    """The tables of the other are gone."""
    other = ExpendableFile(path, "CREATE TABLE good(x);", 99)
    with other.opened():
        pass
    other.close()
    senders = KnownSenders(path, remember_days=1)
    senders.learn("n", "d", 0)
    assert senders.is_known("n", "d", 1)
    senders.close()


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Callers decide what that means."""
    with pytest.raises(UnavailableError):
        KnownSenders(tmp_path / "no" / "senders.db", remember_days=1).learn("n", "d", 0)
