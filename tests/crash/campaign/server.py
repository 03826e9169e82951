"""A carteiro process: its settings, its start, its end, its memory."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "USERS", "Server", "free_ports", "wait_until"]

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 60.0
PROBE_S = 5.0
"""Under load an answer may take seconds on a busy machine; one that is asked again each second never comes."""
USERS = ("ana", "bob", "carla", "davi", "eva", "fred")
"""Every second one has mbox files."""
_PORTS = ("smtp", "lmtp", "pop3", "imap", "http")

SETTINGS = """
domain = "office.test"
hostname = "mail.office.test"
data = "{data}"
{users}
[[routes]]
domain = "relay.test"
host = "[127.0.0.1]"
port = {sink}
tls = "none"
[[routes]]
domain = "dead.test"
host = "[127.0.0.1]"
port = {dead}
tls = "none"
[smtp]
listen = ["127.0.0.1:{smtp}"]
max_commands_without_mail = 0
[submission]
listen = []
listen_tls = []
[lmtp]
listen = ["127.0.0.1:{lmtp}"]
[pop3]
listen = ["127.0.0.1:{pop3}"]
listen_tls = []
[imap]
listen = ["127.0.0.1:{imap}"]
listen_tls = []
[web]
listen = ["127.0.0.1:{http}"]
[queue]
first_retry_s = {retry_s}
second_retry_s = {retry_s}
max_retry_s = {retry_s}
delay_notice_s = 0
min_free_bytes = {min_free_bytes}
[limits]
max_connections_per_address = 0
shutdown_grace_s = 1
"""


def wait_until(condition: Callable[[], object], what: Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Look again and again. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"in vain: {what()}")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Return ports nobody uses right now, outside of the range from which connections get theirs."""
    found: list[int] = []
    start = 10_000 + os.getpid() * 37 % 20_000
    with ExitStack() as stack:
        for port in range(start, start + 2_000):
            sock = stack.enter_context(socket.socket())
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                break
    return found


@dataclass
class Server:
    """One carteiro; ``sink`` is the port of the next hop for relay.test, nobody listens for dead.test."""

    directory: Path
    sink: int = 1
    min_free_bytes: int = 0
    retry_s: int = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        *ports, dead = free_ports(len(_PORTS) + 1)
        self.ports = dict(zip(_PORTS, ports, strict=True))
        users = "".join(
            f'[[users]]\nname = "{name}"\npassword = "{{PLAIN}}{name}-secret"\nformat = "{("maildir", "mbox")[number % 2]}"\n'
            for number, name in enumerate(USERS)
        )
        self.settings.write_text(
            SETTINGS.format(
                data=self.data, users=users, sink=self.sink, dead=dead, min_free_bytes=self.min_free_bytes, retry_s=self.retry_s,
                **self.ports,
            )
        )  # fmt: skip

    @property
    def settings(self) -> Path:
        return self.directory / "office.toml"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def log_end(self) -> str:
        return self.log[-3_000:]

    def start(self, *, wait: bool = True) -> float:
        """Start; return the seconds until every port answered."""
        began = time.monotonic()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*_command(), "serve", "-c", str(self.settings)], stdout=log, stderr=log, cwd=self.directory, env=_environment()
            )
        if wait:
            self.wait_up()
        return time.monotonic() - began

    def wait_up(self) -> None:
        """Return when every port answers."""
        for port in self.ports.values():
            wait_until(partial(self._is_up, port), lambda: f"all of {self.ports}\n{self.log_end}")

    def _is_up(self, port: int) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"carteiro ended with {self.process.returncode}:\n{self.log_end}")
        try:
            with socket.create_connection(("127.0.0.1", port), PROBE_S) as probe:
                # The ports are open before anybody serves them.
                if port == self.ports["http"]:
                    probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return bool(probe.recv(1))
        except OSError:
            return False

    def kill(self) -> None:
        """End it as nobody can prevent. Raises RuntimeError when it had ended by itself: that is a finding."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"carteiro ended by itself with {self.process.returncode}:\n{self.log_end}")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self.process = None

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def queued(self) -> list[Any]:
        """Return what ``carteiro queue list --json`` tells."""
        found = subprocess.run(
            [*_command(), "queue", "list", "--json", "-c", str(self.settings)], capture_output=True, text=True, check=False,
            timeout=PATIENCE_S, env=_environment(),
        )  # fmt: skip
        if found.returncode:
            raise RuntimeError(f"queue list: {found.stdout}{found.stderr}")
        return [json.loads(line) for line in found.stdout.splitlines()]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}{path}", timeout=PATIENCE_S) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def entries(self) -> int:
        """Return how many messages the queue holds, from /metrics."""
        found = re.search(r"^carteiro_queue_messages(?:\{[^}]*\})? (\d+)", self.get("/metrics")[1], re.MULTILINE)
        assert found, self.get("/metrics")[1]
        return int(found.group(1))

    def memory_kib(self, field_name: str = "VmRSS") -> int:
        """Return a figure of /proc/PID/status."""
        assert self.process is not None
        found = re.search(rf"{field_name}:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found.group(1))

    def forget_peak(self) -> None:
        """Let VmHWM begin anew."""
        assert self.process is not None
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def _command() -> list[str]:
    built = os.environ.get("CARTEIRO_EXECUTABLE")
    return [built] if built else [sys.executable, "-m", "appliance"]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.environ.get("CARTEIRO_SOURCES", str(ROOT))}
