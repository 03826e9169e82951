"""Real programs around a real carteiro: processes on 127.0.0.1 high ports, each in its own directory.

``CARTEIRO_EXECUTABLE`` names a built executable to be tested in place of the sources.
"""

import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import playwright.sync_api as playwright

ROOT = Path(__file__).resolve().parents[2]


def answers(port: int) -> bool:
    """Tell whether somebody accepts on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_next_port = itertools.count(os.getppid() * 37)


def free_ports(count: int) -> list[int]:
    """Return ports nobody uses right now, none of them twice, outside of the range from which connections get theirs.

    Test processes that run side by side take turns: between here and its start no server's port goes to another.
    """
    found: list[int] = []
    while len(found) < count:
        port = 10_000 + next(_next_port) % (20_000 // _WORKERS) * _WORKERS + _WORKER
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            found.append(port)
    return found


def carteiro_command() -> list[str]:
    """Return how carteiro is started."""
    built = os.environ.get("CARTEIRO_EXECUTABLE")
    return [built] if built else [sys.executable, "-m", "appliance"]


@dataclass
class Carteiro:
    """One server process; ``ports`` by protocol name."""

    directory: Path
    arguments: Sequence[str]
    ports: Mapping[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start and return when every port answers."""
        with (self.directory / "log").open("ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(
                [*carteiro_command(), *self.arguments],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        for port in self.ports.values():
            wait_until(partial(self._is_up, port), lambda: f"port of carteiro\n{self.log[-3000:]}")
        # Ports are open before anybody answers on them.
        wait_until(lambda: self._is_ready(before), lambda: f"carteiro to be ready\n{self.log[-3000:]}")

    def _is_ready(self, before: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"carteiro ended:\n{self.log[-3000:]}"
        printed = (self.directory / "log").read_bytes()[before:]
        return b"event=server_started" in printed or b"Ctrl-C stops it" in printed

    def _is_up(self, port: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"carteiro ended:\n{self.log[-3000:]}"
        return answers(port)

    def wait_for_mail(self, user: str, count: int) -> None:
        """Return when a Maildir has so many messages."""
        maildir = self.data / "mail" / user

        def here() -> int:
            return sum(len(list(folder.iterdir())) for folder in (maildir / "new", maildir / "cur") if folder.is_dir())

        wait_until(lambda: here() >= count, lambda: f"{count} messages for {user}, {here()} are there")

    def wait_for_log(self, text: str) -> None:
        """Return when the text was printed."""
        wait_until(lambda: text in self.log, lambda: f"{text!r} in the log:\n{self.log[-3000:]}")

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self.process = None

    def command(self, *arguments: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another carteiro command."""
        found = subprocess.run(
            [*carteiro_command(), *arguments], capture_output=True, text=True, input=text, check=False, timeout=PATIENCE_S, cwd=self.directory,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert not check or found.returncode == 0, found.stderr + found.stdout
        return found


@pytest.fixture
def wait() -> Callable[..., None]:
    """The patient look, for tests that take it as they take everything else."""
    return wait_until


PORTS = ("smtp", "pop3", "imap", "http")
MakeDev = Callable[..., Carteiro]


@contextmanager
def _devs(directory: Path) -> Iterator[MakeDev]:
    """Give a maker of running mail catchers; its arguments are more options."""
    made: list[Carteiro] = []

    def make(*more: str) -> Carteiro:
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
        own = directory / f"dev{len(made) or ''}"
        own.mkdir()
        server = Carteiro(own, ["dev", "--data", str(own / "data"), *options, *more], ports)
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def make_dev(tmp_path: Path) -> Iterator[MakeDev]:
    """Return a maker of ``carteiro dev`` with more options."""
    with _devs(tmp_path) as make:
        yield make


@pytest.fixture
def dev(make_dev: MakeDev) -> Carteiro:
    """``carteiro dev`` with its data in the test's directory."""
    return make_dev()


@pytest.fixture(scope="module")
def shared_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carteiro]:
    """One ``carteiro dev`` for all tests of a file; each begins with deleting what is there."""
    with _devs(tmp_path_factory.mktemp("dev")) as make:
        yield make()


@pytest.fixture(scope="module")
def chromium() -> "Iterator[playwright.Browser]":
    """The distribution's browser, without a window. It is missing like any program: skipped, and a failure where CI=true."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    missing = "" if path else "chromium is not installed"
    try:
        from playwright.sync_api import sync_playwright  # no wheel of it for 32-bit machines
    except ImportError as error:
        missing = str(error)
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    options = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=options, chromium_sandbox=False)
        yield browser
        browser.close()


OFFICE_PORTS = ("smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps", "http")
OFFICE = """
domain = "office.example"
hostname = "mail.office.example"
domains = ["branch.example"]
data = "{data}"
trusted_networks = []

[[users]]
name = "ana"
password = "{{PLAIN}}ana-secret"

[[users]]
name = "bob"
password = "{{PLAIN}}bob-secret"
format = "mbox"

[[users]]
name = "carla"
password = "{{PLAIN}}carla-secret"

[[users]]
name = "davi"
password = "{{PLAIN}}davi-secret"
format = "mbox"

[[users]]
name = "eva"
password = "{{PLAIN}}eva-secret"

[aliases]
sales = ["ana", "bob"]
"far@office.example" = ["friend@remote.example"]

[catch_all]
"branch.example" = "carla"
{more}
[smtp]
listen = ["127.0.0.1:{smtp}"]
[submission]
listen = ["127.0.0.1:{submission}"]
listen_tls = ["127.0.0.1:{submissions}"]
[lmtp]
listen = ["127.0.0.1:{lmtp}"]
[pop3]
listen = ["127.0.0.1:{pop3}"]
listen_tls = ["127.0.0.1:{pop3s}"]
[imap]
listen = ["127.0.0.1:{imap}"]
listen_tls = ["127.0.0.1:{imaps}"]
[web]
listen = ["127.0.0.1:{http}"]
[queue]
first_retry_s = 1
second_retry_s = 1
max_retry_s = 2
"""

MakeOffice = Callable[..., Carteiro]


@pytest.fixture
def make_office(tmp_path: Path) -> Iterator[MakeOffice]:
    """Return a maker of running offices; ``more`` is TOML in front of the listeners, ``settings`` replaces the whole file."""
    made: list[Carteiro] = []

    def make(
        name: str = "office", *, more: str = "", settings: str = OFFICE, ports: Mapping[str, int] | None = None, start: bool = True
    ) -> Carteiro:
        directory = tmp_path / name
        directory.mkdir()
        chosen = ports or dict(zip(OFFICE_PORTS, free_ports(len(OFFICE_PORTS)), strict=True))
        (directory / "office.toml").write_text(settings.format(data=directory / "data", more=more, **chosen))
        server = Carteiro(directory, ["serve", "-c", str(directory / "office.toml")], chosen)
        made.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in made:
        server.stop()


@dataclass
class Postfix:
    """A private Postfix that takes mail for remote.example into one Maildir per address."""

    directory: Path
    port: int
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None
    messages: list[str] = field(default_factory=list)

    def configure(self) -> None:
        """Write its files."""
        base = self.directory
        for name in ("etc", "spool", "data", "mail"):
            (base / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(base / "data", "postfix", "postfix")
        shutil.chown(base / "mail", "postfix", "postfix")
        uid = (base / "data").stat().st_uid
        (base / "etc" / "main.cf").write_text(
            textwrap.dedent(f"""\
            compatibility_level = 3.6
            queue_directory = {base}/spool
            data_directory = {base}/data
            maillog_file = {base}/mail/log
            maillog_file_prefixes = {base}
            myhostname = mx.remote.example
            mydestination =
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            mynetworks = 127.0.0.0/8
            disable_dns_lookups = yes
            smtpd_peername_lookup = no
            alias_maps =
            alias_database =
            local_recipient_maps =
            virtual_mailbox_domains = remote.example
            virtual_mailbox_base = {base}/mail
            virtual_mailbox_maps = inline:{{ {{friend@remote.example=friend/}} {{other@remote.example=other/}} }}
            virtual_uid_maps = static:{uid}
            virtual_gid_maps = static:{uid}
            virtual_minimum_uid = 1
            smtpd_recipient_restrictions = permit_mynetworks, reject
            """)
            + self.extra
        )
        services = [
            f"127.0.0.1:{self.port} inet n - n - - smtpd", "pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "proxymap unix - - n - - proxymap",
            "smtp unix - - n - - smtp", "error unix - - n - - error", "retry unix - - n - - error", "virtual unix - n n - - virtual",
            "anvil unix - - n - 1 anvil", "postlog unix-dgram n - n - 1 postlogd",
        ]  # fmt: skip
        (base / "etc" / "master.cf").write_text("\n".join(services) + "\n")

    def start(self) -> None:
        """Start and return when the port answers."""
        with (self.directory / "out").open("ab") as out:
            self.process = subprocess.Popen(["postfix", "-c", str(self.directory / "etc"), "start-fg"], stdout=out, stderr=out)
        wait_until(lambda: answers(self.port), f"postfix on port {self.port}: {(self.directory / 'out').read_text()}")

    def stop(self) -> None:
        """Stop it and all its processes."""
        if self.process is not None:
            subprocess.run(["postfix", "-c", str(self.directory / "etc"), "stop"], capture_output=True, check=False)
            self.process.wait(PATIENCE_S)
            self.process = None

    @property
    def log(self) -> str:
        return (self.directory / "mail" / "log").read_text(errors="replace")

    def delivered(self, user: str) -> list[str]:
        """Return the messages in a mailbox."""
        return [path.read_text(errors="replace") for path in sorted((self.directory / "mail" / user / "new").glob("*"))]


@pytest.fixture
def make_postfix(need_program: Callable[[str], str]) -> Iterator[Callable[..., Postfix]]:
    """Return a maker of configured, not yet started Postfix servers."""
    if os.environ.get("CI") != "true" and os.geteuid() != 0:
        pytest.skip("postfix needs root")
    need_program("postfix")
    made: list[Postfix] = []
    stack = ExitStack()

    def make(extra: str = "") -> Postfix:
        # Its own user must reach the directory; pytest's are private.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carteiro-postfix-")))
        directory.chmod(0o755)
        server = Postfix(directory, free_ports(1)[0], extra)
        server.configure()
        made.append(server)
        return server

    with stack:
        yield make
        for server in made:
            server.stop()


@pytest.fixture
def name_server(tmp_path: Path, need_program: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Return a starter of a real Knot DNS with one zone file text for ``example.``; it answers with ``ADDRESS:PORT``."""
    program = need_program("knotd")
    running: list[subprocess.Popen[bytes]] = []

    def start(zone: str) -> str:
        directory = tmp_path / "knot"
        directory.mkdir()
        port = free_ports(1)[0]
        (directory / "example.zone").write_text(zone)
        (directory / "knot.conf").write_text(
            textwrap.dedent(f"""\
            server:
                listen: 127.0.0.1@{port}
                rundir: {directory}
            database:
                storage: {directory}
            template:
              - id: default
                storage: {directory}
                zonefile-sync: -1
                journal-content: none
            zone:
              - domain: example.
                file: example.zone
            """)
        )
        with (directory / "log").open("wb") as log:
            running.append(subprocess.Popen([program, "-c", str(directory / "knot.conf")], stdout=log, stderr=log))
        wait_until(lambda: answers(port), f"knot: {(directory / 'log').read_text()}")
        return f"127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait(PATIENCE_S)


@dataclass
class Terminal:
    """A program in a terminal of its own (tmux), and after :meth:`close` another in another."""

    name: str
    runs: int = 0

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program; the terminal stays when it ends."""
        self.runs += 1  # a new socket: on that of before, the server that was told to end may still take the call, and end with it
        words = shlex.join(["env", *(f"{name}={value}" for name, value in environment.items()), *command])
        started = self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", f"{words}; echo ended; sleep 60")
        assert 0 == started.returncode, started.stderr

    def type(self, *keys: str) -> None:
        """Press keys (tmux key names)."""
        self._tmux("send-keys", *keys)

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p").stdout

    def wait_for(self, text: str) -> None:
        """Return when the text stands on the screen; a program that says how far it is may take its time."""
        shown = self.screen
        while text not in shown:
            before = shown
            wait_until(
                lambda before=before: text in self.screen or self.screen != before,  # type: ignore[misc]
                lambda: f"{text!r} on the screen:\n{self.screen.strip()}",
            )
            shown = self.screen

    def close(self) -> None:
        """End the program and its terminal."""
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["tmux", "-L", f"{self.name}-{self.runs}", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def terminal(tmp_path: Path, need_program: Callable[[str], str]) -> Iterator[Terminal]:
    """A terminal of 120 by 40."""
    need_program("tmux")
    found = Terminal(f"carteiro-{os.getpid()}-{tmp_path.name}")
    yield found
    found.close()
