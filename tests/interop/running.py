"""Other programs run to their good end."""

import os
import subprocess
from pathlib import Path

__all__ = ["run"]


def run(*command: str, text: str | None = None, cwd: Path | None = None, patience_s: float = 60.0, **environment: str) -> str:
    """Return what a program printed."""
    found = subprocess.run(
        command, capture_output=True, text=True, input=text, timeout=patience_s, cwd=cwd, env=os.environ | environment, check=False
    )
    assert found.returncode == 0, f"{command}\n{found.stdout[-4000:]}\n{found.stderr[-4000:]}"
    return found.stdout
