"""Changes of a directory by ourselves are told from those by others, by counting."""

import gc
import os
from pathlib import Path

import pytest

from appliance.storage.fileops import FileOps
from appliance.storage.gate import DirectoryGate
from appliance.storage.inotify import OVERFLOW, InotifyQueue, is_local
from appliance.storage.watch import MAX_UNREAD, DirectoryWatches


class CountingOps(FileOps):
    """Counts the listings."""

    def __init__(self) -> None:
        self.listings = 0

    def list_directory(self, path: bytes) -> list[bytes]:
        self.listings += 1
        return super().list_directory(path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "cur"
    path.mkdir()
    if not is_local(os.fsencode(path)):
        pytest.skip("the temporary directory is not on a file system of this machine alone")
    return path


def make_gate(ops: FileOps, directory: Path, watches: DirectoryWatches) -> DirectoryGate:
    return DirectoryGate(ops, os.fsencode(directory), lambda: 0.0, lambda: 0.0, watches)


def test_own_changes_cost_no_listing(directory: Path) -> None:
    """However many changes we make, the directory is listed once; one change by somebody else is one listing more."""
    ops = CountingOps()
    gate = make_gate(ops, directory, DirectoryWatches())
    assert gate.must_list()
    gate.list()
    for number in range(10):
        (directory / f"{number}").touch()
        gate.expect()
        (directory / f"{number}").rename(directory / f"{number}:2,S")
        gate.expect()
        gate.expect()
        assert not gate.must_list()
    (directory / "foreign").touch()
    assert gate.must_list()
    assert 11 == len(gate.list())
    assert not gate.must_list()
    assert 2 == ops.listings


def test_own_and_foreign_change_in_one_moment(directory: Path) -> None:
    """A change by somebody else right beside ours is not taken for one of ours."""
    gate = make_gate(FileOps(), directory, DirectoryWatches())
    gate.list()
    (directory / "foreign").touch()
    (directory / "own").touch()
    gate.expect()
    assert gate.must_list()


def test_a_change_that_did_not_happen(directory: Path) -> None:
    """When fewer events came than we expected, something is wrong and the directory is listed."""
    gate = make_gate(FileOps(), directory, DirectoryWatches())
    gate.list()
    gate.expect()
    assert gate.must_list()
    gate.list()
    assert not gate.must_list()


def test_directory_made_anew(directory: Path) -> None:
    """A directory that was moved away and made anew is watched under its new inode."""
    gate = make_gate(FileOps(), directory, DirectoryWatches())
    gate.list()
    directory.rename(directory.with_name("aside"))
    directory.mkdir()
    assert gate.must_list()
    assert [] == gate.list()
    assert not gate.must_list()
    (directory / "one").touch()
    assert gate.must_list()


def test_lost_events(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel lost count, every watched directory is listed, and then watched again."""
    gate = make_gate(FileOps(), directory, DirectoryWatches())
    gate.list()
    with monkeypatch.context() as patch:
        patch.setattr(InotifyQueue, "count", lambda self: {(-1, OVERFLOW): 1})
        assert gate.must_list()
    gate.list()
    assert not gate.must_list()


def test_two_watchers_of_one_directory(directory: Path) -> None:
    """What one of two does is news for the other, and the end of one is not the end of the other's watch."""
    watches = DirectoryWatches()
    one, other = make_gate(FileOps(), directory, watches), make_gate(FileOps(), directory, watches)
    one.list()
    other.list()
    (directory / "one").touch()
    one.expect()
    assert (False, True) == (one.must_list(), other.must_list())
    del one
    gc.collect()
    other.list()
    (directory / "two").touch()
    assert other.must_list()


def test_many_own_changes_are_read_in_between(directory: Path) -> None:
    """The kernel's queue does not overflow from a bulk change of ours."""
    gate = make_gate(FileOps(), directory, DirectoryWatches())
    gate.list()
    path = directory / "a"
    path.touch()
    gate.expect()
    for _ in range(5 * MAX_UNREAD):
        path.rename(path := path.with_name("b" if path.name == "a" else "a"))
        gate.expect()
        gate.expect()
    assert not gate.must_list()


def test_closed(directory: Path) -> None:
    """After the watches are closed nothing is taken for unchanged."""
    watches = DirectoryWatches()
    gate = make_gate(FileOps(), directory, watches)
    gate.list()
    watches.close()
    assert gate.must_list()


def test_forgotten(directory: Path) -> None:
    """Watches that nobody closed give their descriptor back."""
    watches = DirectoryWatches()
    make_gate(FileOps(), directory, watches).list()
    queue = watches._queue
    assert queue is not None
    descriptor = queue.descriptor
    assert "anon_inode:inotify" == str(Path(f"/proc/self/fd/{descriptor}").readlink())
    del queue, watches
    gc.collect()
    assert not os.path.lexists(f"/proc/self/fd/{descriptor}")
