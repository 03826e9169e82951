"""A replaced file is the old one or the new one, whatever step fails."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.storage.atomic import SystemOps, replace_file


class Faulty:
    """System calls that are written down, one of which fails; ``write`` takes three bytes at a time."""

    def __init__(self, fail: str = "", occurrence: int = 1) -> None:
        self._system = SystemOps()
        self._fail = fail
        self._left = occurrence
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls.append(name)
            if name == self._fail:
                self._left -= 1
                if self._left == 0:
                    raise OSError(5, "fault")
            if name == "write":
                args = (args[0], args[1][:3])
            return getattr(self._system, name)(*args)

        return call


def test_the_steps_come_in_the_order_that_survives_a_crash(tmp_path: Path) -> None:
    """Content is flushed before the rename, the directory after it."""
    ops = Faulty()
    replace_file(tmp_path / "f", b"new words", ops=ops)
    assert ops.calls == ["create", "write", "write", "write", "set_mode", "flush", "close", "rename", "open_directory", "flush", "close"]
    assert (tmp_path / "f").read_bytes() == b"new words"


@pytest.mark.parametrize("step", ["create", "write", "set_mode", "flush", "close", "rename"])
def test_until_the_rename_a_fault_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    """And nothing beside it."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="fault"):
        replace_file(path, b"new words", ops=Faulty(step))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize(("step", "occurrence"), [("open_directory", 1), ("flush", 2)])
def test_after_the_rename_a_fault_is_told_and_the_new_file_stands(tmp_path: Path, step: str, occurrence: int) -> None:
    """Whether it survives a power cut is unknown, so the caller hears of it."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="fault"):
        replace_file(path, b"new", ops=Faulty(step, occurrence))
    assert path.read_bytes() == b"new"


def test_permissions_are_kept_asked_for_or_private(tmp_path: Path) -> None:
    """An old file's mode, the one that is asked for, or 0600."""
    old, new, asked = tmp_path / "old", tmp_path / "new", tmp_path / "asked"
    old.write_bytes(b"x")
    old.chmod(0o640)
    replace_file(old, b"y")
    replace_file(new, b"y")
    replace_file(asked, b"y", 0o644)
    assert [path.stat().st_mode & 0o7777 for path in (old, new, asked)] == [0o640, 0o600, 0o644]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it points to is replaced."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    """An edit by root does not take the file from the server's user."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    os.chown(path, 4_321, 4_322)
    replace_file(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (4_321, 4_322)
