"""What the one-file form does about its loader."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, close_fds=False)
child.stdout.readline()
print(flush=True)
child.wait()
"""
CHILD = """
import time
from appliance.app.frozen import _end_with_parent
_end_with_parent()
print(flush=True)
time.sleep(60)
"""


def test_a_killed_loader_takes_us_along() -> None:
    """SIGKILL of the process that people know frees the ports, as that of the one-folder form does."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as alive:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, CHILD],
            stdout=subprocess.PIPE,
            pass_fds=[writing],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        os.close(writing)
        with parent:
            assert parent.stdout is not None
            parent.stdout.readline()
            parent.send_signal(signal.SIGKILL)
        # The pipe ends when nobody holds its other end any more.
        assert ([alive], [], []) == select.select([alive], [], [], 20)
        assert b"" == alive.read()
