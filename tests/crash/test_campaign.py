"""Short forms of the campaigns: a whole server loses its life, its disk or its peace, and keeps its word.

The long forms are run by hand: ``python -m tests.crash.campaign --help``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def run_campaign(directory: Path, *arguments: str) -> None:
    """Run one scenario in a process of its own; its words are shown when it finds a fault."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.crash.campaign", *arguments, "--directory", str(directory)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == found.returncode, found.stdout + found.stderr


def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """Eight kills under load, some while starting: all that was acknowledged is there once and whole, over IMAP and in the files."""
    run_campaign(tmp_path, "kills", "--kills", "8", "--seed", "5")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "reserve", "mail"])
def test_a_full_disk_loses_nothing(tmp_path: Path, kind: str) -> None:
    """Senders hear 452 4.3.1, mail programs NO, monitors 503; deliveries wait; all goes on by itself when there is room."""
    run_campaign(tmp_path, "disk", "--disk", kind, "--seconds", "2")


def test_large_messages_take_no_memory(tmp_path: Path) -> None:
    """16 MiB in by DATA, BDAT and APPEND, out by relay, IMAP and POP3, in both formats: never 8 MiB more than before."""
    run_campaign(tmp_path, "memory", "--size", str(16 << 20))


def test_a_long_queue_is_there_after_a_kill(tmp_path: Path) -> None:
    """Five hundred messages for a destination that is down: the server comes back quickly and small, and lists them all."""
    run_campaign(tmp_path, "backlog", "--messages", "500")
