"""The harness runs, at a scale that measures nothing."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_suite_runs_against_carteiro(tmp_path: Path) -> None:
    """Each kind of work gives records with a rate; nothing is left behind."""
    command = [sys.executable, "-m", "tests.bench", "--targets", "carteiro", "--scale", "0.001", "--repeats", "1", "--json"]
    done = subprocess.run([*command, "--work", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert 0 == done.returncode, done.stderr + done.stdout
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"smtp", "relay", "pop3", "imap"} == {record["test"].split()[0] for record in records}
    assert all(record["value"] > 0 for record in records)
