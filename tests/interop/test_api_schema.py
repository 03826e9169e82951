"""The catcher's own interface does what its description says: schemathesis makes requests from it, right ones and wrong ones."""

import importlib.util
import os
import smtplib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.interop

PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_our_interface_is_as_described(shared_dev: Any) -> None:
    """Every operation but the stream of events: nothing fails, no answer is unlike its description, what breaks it is refused and what keeps it is taken."""
    if importlib.util.find_spec("schemathesis") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("schemathesis is not installed")
    with smtplib.SMTP("127.0.0.1", shared_dev.ports["smtp"]) as client:
        client.sendmail("a@b.test", ["c@d.test"], "Subject: one\r\n\r\nYour code is 1234")
    home = f"http://127.0.0.1:{shared_dev.ports['http']}/api/carteiro/v1/openapi.json"
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(PROGRAMS / "schemathesis.toml")),
            *("run", home, "--seed", "1", "--max-examples", "5", "--exclude-path", "/events"),  # which never ends
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(PROGRAMS)},
        capture_output=True, text=True, check=False, cwd=shared_dev.directory,
    )  # fmt: skip
    assert 0 == found.returncode, found.stdout + found.stderr
