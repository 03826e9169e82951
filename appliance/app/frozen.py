"""What the one-file executable needs done about the directory that it unpacked itself into.

That directory is private to who started the program, and it lies where old files
are cleaned away. Modules are imported out of it as long as the program runs. The
program is a child of the loader that unpacked it; people know the loader's process alone.

Does not: help where the temporary directory is mounted noexec. There the loader
itself fails, before any of this runs; ``carteiro help install`` says what to do.
Sources: systemd-tmpfiles(8) (a directory with a BSD lock is left alone), PyInstaller's run-time information, prctl(2).
"""

import fcntl
import os
import pwd
import signal
import stat
import sys

__all__ = ["end_with_loader", "hold_unpacked_files", "share_unpacked_files"]

_PR_SET_PDEATHSIG = 1
_held: list[int] = []


def _unpacked() -> str:
    """Return the directory, ``""`` when nothing was unpacked: sources, or the one-folder form."""
    directory = str(getattr(sys, "_MEIPASS", ""))
    if not directory or os.path.dirname(directory) == os.path.dirname(os.path.realpath(sys.executable)):  # noqa: PTH120 - pathlib costs 10 ms
        return ""
    return directory


def hold_unpacked_files() -> None:
    """Lock the directory for as long as we live, so that nobody cleans it away."""
    directory = _unpacked()
    if directory:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _held.append(descriptor)


def end_with_loader() -> None:
    """Have us killed when the loader is: SIGKILL is the one signal that it cannot pass on, and we would keep the ports.

    Becoming another user undoes it; then it must be called again.
    """
    if _unpacked():
        _end_with_parent()


def _end_with_parent() -> None:
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died just before
        os.kill(os.getpid(), signal.SIGKILL)


def share_unpacked_files(user: str) -> None:
    """Let the group of the user whom we are about to become read it; root stays the owner, so that only root changes it.

    An unknown user is told by who becomes it. Raises OSError.
    """
    directory = _unpacked()
    if not directory:
        return
    try:
        gid = pwd.getpwnam(user).pw_gid
    except KeyError:
        return
    for folder, _, names in os.walk(directory):
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chown(path, -1, gid)
                # A group reads what the owner reads.
                os.chmod(path, mode & 0o707 | (mode >> 3) & 0o050)  # noqa: PTH101 - a string of os.walk
