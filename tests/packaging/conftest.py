"""A Debian machine of its own, booted under systemd-nspawn, to install the package in.

Its root is made once by debootstrap (a minute or two) and kept under build/, or where CARTEIRO_ROOTS says; each
machine is a copy. Without root, the tools, a network to fetch Debian from, or a built package the tests are skipped.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("CARTEIRO_ROOTS", ROOT / "build"))
PATIENCE_S = 60.0


@dataclass
class Machine:
    """A running Debian; ``root`` is its file system."""

    root: Path
    process: subprocess.Popen[bytes]
    leader: int = 0

    def wait_until_up(self) -> bool:
        """Return True when its systemd has finished booting."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                self.leader = int(children[0])
                if self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip() in {"running", "degraded"}:
                    return True
            time.sleep(0.2)
        return False

    def run(self, *command: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root."""
        found = subprocess.run(
            [
                *("nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "env", "-i"),
                *("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", *command),
            ],
            capture_output=True, text=True, input=text, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert not check or found.returncode == 0, f"{command}\n{found.stdout}{found.stderr}"
        return found

    def out(self, command: str) -> str:
        """Return what a shell line prints, errors too."""
        return self.run("sh", "-c", f"exec 2>&1; {command}", check=False).stdout

    def stop(self) -> None:
        """Shut it down."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S / 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def need_tools() -> None:
    """Skip where no machine can be made; in CI a missing tool is a failure, for packaging/test installs them."""
    if os.geteuid() != 0:
        pytest.skip("a machine of its own needs root")
    missing = [name for name in ("debootstrap", "systemd-nspawn", "nsenter", "dpkg") if shutil.which(name) is None]
    if missing:
        words = f"{', '.join(missing)} is not installed"
        pytest.fail(words) if os.environ.get("CI") == "true" else pytest.skip(words)


def suite() -> str:
    """Return the name of this machine's Debian, for the package needs its C library; else of the oldest supported one."""
    facts = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return facts.get("VERSION_CODENAME", "bookworm").strip('"') if facts.get("ID") == "debian" else "bookworm"


def mirror() -> list[str]:
    """Return the mirror that this machine itself uses."""
    found = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=False).stdout
    return [line for line in found.splitlines() if "security" not in line][:1]


def make_base() -> Path:
    """Return the root that machines are copies of."""
    CACHE.mkdir(parents=True, exist_ok=True)
    base = CACHE / f"root-test-{suite()}"
    with (CACHE / "root-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / "complete").exists():
            shutil.rmtree(base, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", "--include=systemd-sysv,ca-certificates", suite(), str(base), *mirror()]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"no Debian to be had: {made.stdout[-300:]}")
            (base / "complete").touch()
    return base


@pytest.fixture
def package() -> Path:
    """The package that packaging/build made."""
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False).stdout.strip()
    found = sorted((ROOT / "dist").glob(f"carteiro_*_{architecture}.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        pytest.skip("no package: packaging/build makes one")
    return found[-1]


@pytest.fixture
def machine(package: Path, tmp_path: Path) -> Iterator[Machine]:
    """A booted machine without a network, the package lying at /root/carteiro.deb."""
    need_tools()
    root = tmp_path / "machine"
    subprocess.run(["cp", "-a", "--reflink=auto", str(make_base()), str(root)], check=True)
    shutil.copy(package, root / "root" / "carteiro.deb")
    log = tmp_path / "nspawn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *("systemd-nspawn", "-q", "-D", str(root), "--boot", "--private-network", "--register=no", "--keep-unit"),
                *(f"--machine=carteiro-{os.getpid()}", "--link-journal=no", "--console=pipe"),
            ],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    made = Machine(root, process)
    try:
        if not made.wait_until_up():
            pytest.skip(f"systemd-nspawn boots nothing here: {log.read_text(errors='replace')[-300:]}")
        yield made
    finally:
        made.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def wait() -> Callable[[Callable[[], object]], None]:
    """Look again and again: what a service does is announced by nothing."""

    def until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.1)

    return until
