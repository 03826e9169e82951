"""A short round over every target, always the same inputs; ``python -m tests.fuzz`` goes on for as long as you like."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SLOW = {"maildir", "mbox"}
"""Each input of these makes a directory, a database and files."""


def fuzz(*arguments: str) -> str:
    """Run it as people do, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--seed", "1", "--minimise", "0.2", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def names() -> list[str]:
    """The names of all targets."""
    return fuzz("--list").split()


@pytest.mark.timeout(900)  # one process over all targets, beside whatever else the machine does
def test_no_parser_fails(names: list[str], tmp_path: Path) -> None:
    """Nothing escapes, what is written is read back, cuts do not matter; and no cost per byte grows."""
    wanted = set(names) - SLOW
    quick = [word for name in sorted(wanted) for word in ("--target", name)]
    told = fuzz("--inputs", "300", "--growth-bytes", "4096", "--shapes", "3", "--keep", str(tmp_path), *quick)
    assert wanted == set(re.findall(r"^(\w+) +300 inputs", told, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(SLOW))
def test_no_mail_directory_fails(name: str, tmp_path: Path) -> None:
    """The same over real files, a few inputs only."""
    fuzz("--inputs", "25", "--shapes", "0", "--keep", str(tmp_path), "--target", name)
