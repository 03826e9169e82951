"""The figures behind the status page, where they come from the machine."""

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.app.statussource import FULL_BYTES, PartsStatus

SHARED_MEMORY = Path("/dev/shm")


def parts_on(data: Path) -> Any:
    """Return what the disks are read from; 5 GB must stay free for the queue."""
    return SimpleNamespace(
        data=data,
        config=SimpleNamespace(queue=SimpleNamespace(min_free_bytes=5_000_000_000)),
        spool=SimpleNamespace(next_due=lambda _now_s: 7.0),
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("queue", "mail", "index"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_one_disk(data: Path) -> None:
    """All on one disk is one disk, known by the data directory."""
    disks, due_at_s = PartsStatus(parts_on(data), ())._read_disks()
    assert ([(str(data), 5_000_000_000, True)], 7.0) == ([(disk.directory, disk.min_free, disk.holds_queue) for disk in disks], due_at_s)
    assert disks[0].total == shutil.disk_usage(data).total


def test_a_disk_of_its_own_for_mail(data: Path) -> None:
    """Mailboxes on another disk are watched too; it is full when it takes nothing any more."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == data.stat().st_dev:
        pytest.skip("no second file system")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as other:
        (data / "mail").rmdir()
        (data / "mail").symlink_to(other)
        disks, _ = PartsStatus(parts_on(data), ())._read_disks()
    assert [(str(data), True), (str(data / "mail"), False)] == [(disk.directory, disk.holds_queue) for disk in disks]
    assert FULL_BYTES == disks[1].min_free
