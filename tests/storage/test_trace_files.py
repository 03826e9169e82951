"""The journal's files: appended, packed, bounded, searched."""

from pathlib import Path

import pytest

from appliance.model.errors import UnavailableError
from appliance.storage.trace_files import TraceFiles, search

DAY_S = 86_400


def line(at_s: float, queue_id: str, kind: str = "A", rest: str = "x") -> bytes:
    return f"{at_s:.3f}\t{queue_id}\t{kind}\t{rest}\n".encode()


def found(directory: Path, word: str, limit: int = 10) -> list[str]:
    wanted = word.lower().encode()
    return [each.split("\t", 1)[1] for each in search(directory, lambda one: wanted in one.lower(), [wanted], limit)]


def test_lines_are_found_with_the_rest_of_their_message(tmp_path: Path) -> None:
    """In any letter case, across segments packed and open, in order of time."""
    files = TraceFiles(tmp_path / "trace", keep_days=30, max_bytes=10**6, segment_bytes=100)
    for number in range(20):
        files.append(line(number, f"Q{number % 5}", rest=f"{'Ana@X' if number == 3 else 'other'} {'y' * 20}"), number)
    names = sorted(path.suffix for path in (tmp_path / "trace").iterdir())
    assert [".gz", ".log"] == sorted(set(names))
    assert ["Q3"] * 4 == [each[:2] for each in found(tmp_path / "trace", "ana@x")]
    assert 0o600 == next((tmp_path / "trace").iterdir()).stat().st_mode & 0o777


def test_the_newest_messages_count(tmp_path: Path) -> None:
    """A limit leaves the old ones out."""
    files = TraceFiles(tmp_path, keep_days=30, max_bytes=10**6)
    for number in range(30):
        files.append(line(number, f"Q{number:02}", rest="same"), number)
    assert ["Q27", "Q28", "Q29"] == [each[:3] for each in found(tmp_path, "same", 3)]


def test_refusals_stand_alone(tmp_path: Path) -> None:
    """They have no queue id in common."""
    files = TraceFiles(tmp_path, keep_days=30, max_bytes=10**6)
    files.append(line(1, "-", "X", "eve") + line(2, "-", "X", "bob") + line(3, "-", "X", "eve"), 3)
    assert ["-\tX\teve"] * 2 == found(tmp_path, "eve")


def test_old_and_too_much_goes(tmp_path: Path) -> None:
    """By age and by size, the oldest first; what is being written stays."""
    files = TraceFiles(tmp_path, keep_days=3, max_bytes=10**6, segment_bytes=50)
    for day in range(10):
        files.append(line(day, "Q", rest="z" * 60), day * DAY_S)
    assert 10 > len(list(tmp_path.iterdir())) >= 3
    small = TraceFiles(tmp_path, keep_days=30, max_bytes=200, segment_bytes=50)
    small.append(line(11, "Q"), 11 * DAY_S)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 300


def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The open segment is filled up; two starts in one second do not collide."""
    for number in range(3):
        TraceFiles(tmp_path, keep_days=30, max_bytes=10**6).append(line(number, "Q1"), 5)
    assert ["5.log"] == [path.name for path in tmp_path.iterdir()]
    assert 3 == len(found(tmp_path, "q1"))


def test_damage_costs_only_itself(tmp_path: Path) -> None:
    """A packed segment that is cut, or none at all, hides no other; a stray file does not matter."""
    (tmp_path / "1.log.gz").write_bytes(b"no gzip")
    (tmp_path / "notes.log").write_text("mine")
    TraceFiles(tmp_path, keep_days=30, max_bytes=10**6).append(line(2 * DAY_S, "Q1"), 2 * DAY_S)
    assert 1 == len(found(tmp_path, "q1"))
    assert [] == found(tmp_path / "missing", "q1")


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """It is told in our own words."""
    (tmp_path / "trace").write_text("a file")
    with pytest.raises(UnavailableError):
        TraceFiles(tmp_path / "trace", keep_days=30, max_bytes=10**6).append(b"x", 0)


def test_nothing_to_look_for_ends(tmp_path: Path) -> None:
    """A hint without letters finds every line, once."""
    TraceFiles(tmp_path, keep_days=30, max_bytes=10**6).append(line(1, "Q1") + line(2, "Q2"), 2)
    assert 2 == len(search(tmp_path, lambda _one: True, [b"\ta\t"], 10))
