"""A process killed with SIGKILL while it takes the locks of an mbox file keeps nobody else out."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.storage.fileops import FileOps
from appliance.storage.locks import MboxLock

TAKER = """
import os, sys
from appliance.storage.fileops import FileOps
from appliance.storage.locks import MboxLock

class Watched(FileOps):
    def step(self):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)
    def create(self, path):
        self.step()
        return super().create(path)
    def write(self, fd, data):
        self.step()
        super().write(fd, data)
    def open_update(self, path, *, create=False):
        self.step()
        return super().open_update(path, create=create)

left = int(sys.argv[2])
MboxLock(Watched(), os.fsencode(sys.argv[1]), 0.0).acquire()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_kill_leaves_no_lock_that_must_be_waited_for(tmp_path: Path, step: int) -> None:
    """Whatever the step, the next process has the mailbox at once."""
    mbox = tmp_path / "ana.mbox"
    mbox.write_bytes(b"")
    killed = subprocess.run([sys.executable, "-c", TAKER, str(mbox), str(step)], check=False)
    assert -signal.SIGKILL == killed.returncode
    lock = MboxLock(FileOps(), os.fsencode(mbox), 0.0)
    lock.release(lock.acquire())
    assert [mbox] == list(tmp_path.iterdir())


class FullDisk(FileOps):
    """A file system that keeps names and no more bytes; ``nameless``: it knows files without a name."""

    def __init__(self, *, nameless: bool) -> None:
        self._nameless = nameless

    def create_whole(self, path: bytes, data: bytes) -> None:
        (super().create_whole if self._nameless else self._create_in_steps)(path, data)

    def write(self, fd: int, data: "bytes | memoryview") -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("nameless", [True, False])
def test_a_full_disk_can_be_locked(tmp_path: Path, nameless: bool) -> None:
    """Mail can be read and deleted on a full disk: the lock is taken without a number, and taken away."""
    mbox = tmp_path / "ana.mbox"
    lock = MboxLock(FullDisk(nameless=nameless), os.fsencode(mbox), 0.0)
    fd = lock.acquire()
    assert b"" == (tmp_path / "ana.mbox.lock").read_bytes()
    lock.release(fd)
    assert [mbox] == list(tmp_path.iterdir())
