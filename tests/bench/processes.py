"""What processes cost, and work in forked processes.

Owns the accounting: CPU of all processes of a target (a cgroup v2 leaf where we may make
one, else the process tree below us), CPU of our own generators, and what the rest
of the machine did meanwhile.
"""

import contextlib
import ctypes
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Group", "Measured", "end", "fork", "forked", "free_ports", "measure", "wait_for"]

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36
KTHREADD = 2
_serials = itertools.count(1)
_helpers: set[int] = set()
"""Our own children that are no target: generators and sinks."""


def _stat(pid: int) -> tuple[int, float] | None:
    """Return parent and CPU seconds of a process, its waited-for children included; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), sum(map(int, fields[11:15])) / TICKS


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _busy() -> float:
    """Return the CPU seconds that the machine has spent on processes; kernel threads, idling and interrupts left out."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    total = (fields[0] + fields[1] + fields[2] + fields[7]) / TICKS
    for pid in _pids():
        found = _stat(pid)
        if found and KTHREADD in {found[0], pid}:
            total -= found[1]
    return total


def _own() -> float:
    times = os.times()
    running = sum(found[1] for pid in _helpers if (found := _stat(pid)))
    return times.user + times.system + times.children_user + times.children_system + running


class Group:
    """All processes of one target, however they become daemons."""

    def __init__(self, name: str) -> None:
        self._roots: list[subprocess.Popen[bytes]] = []
        self._leaf = self._make_leaf(name)
        if self._leaf is None:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    @staticmethod
    def _make_leaf(name: str) -> Path | None:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        bases = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
        if not bases or os.geteuid() != 0:
            return None
        leaf = Path(bases[0]) / f"carteiro-bench-{os.getpid()}-{name}-{next(_serials)}"
        try:
            leaf.mkdir()
            (leaf / "cpu.stat").read_text()
        except OSError:
            return None
        return leaf

    @property
    def accounting(self) -> str:
        return "cgroup" if self._leaf else "process tree"

    def start(self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        """Start one of the target's processes."""
        if self._leaf is not None:
            command = ["sh", "-c", f'echo $$ > {self._leaf}/cgroup.procs && exec "$@"', "sh", *command]
        with log.open("ab") as out:
            self._roots.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment)
            )

    def pids(self) -> list[int]:
        if self._leaf is not None:
            return [int(word) for word in (self._leaf / "cgroup.procs").read_text().split()]
        children: dict[int, list[int]] = {}
        for pid in _pids():
            if found := _stat(pid):
                children.setdefault(found[0], []).append(pid)
        todo = [pid for pid in children.get(os.getpid(), []) if pid not in _helpers]
        all_pids = []
        while todo:
            all_pids.append(pid := todo.pop())
            todo += children.get(pid, [])
        return all_pids

    def cpu_s(self) -> float:
        """Return the CPU seconds of all of them so far."""
        if self._leaf is not None:
            words = (self._leaf / "cpu.stat").read_text().split()
            return int(words[words.index("usage_usec") + 1]) / 1e6
        return sum(found[1] for pid in self.pids() if (found := _stat(pid)))

    def pss_kib(self) -> int:
        """Return the memory of all of them, shared pages counted once."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
                total += int(words[words.index("Pss:") + 1])
        return total

    def close(self) -> None:
        """End all of them: SIGTERM first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                wait_for(self._is_empty, "the end of its processes", 10)
                break
        if self._leaf is not None:
            # The kernel is busy with it for a moment after the last process.
            with contextlib.suppress(TimeoutError):
                wait_for(self._remove_leaf, "the end of its cgroup", 5)

    def _remove_leaf(self) -> bool:
        assert self._leaf is not None
        try:
            self._leaf.rmdir()
        except OSError:
            return False
        return True

    def _is_empty(self) -> bool:
        for root in self._roots:
            root.poll()
        with contextlib.suppress(ChildProcessError):
            # Orphans that the kernel gave to us.
            while self._leaf is None and not _helpers and os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return not self.pids()


@dataclass(slots=True)
class Measured:
    """Seconds of wall clock and of the target's CPU; ``noise``: CPUs that others used meanwhile."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    noise: float = 0.0


@contextlib.contextmanager
def measure(group: Group) -> Iterator[Measured]:
    """Account for the block."""
    found = Measured()
    busy, own, cpu, start_s = _busy(), _own(), group.cpu_s(), time.monotonic()
    yield found
    found.wall_s = time.monotonic() - start_s
    found.cpu_s = group.cpu_s() - cpu
    found.noise = max(0.0, _busy() - busy - found.cpu_s - (_own() - own)) / max(found.wall_s, 0.01)


def fork(body: Callable[[], Any]) -> int:
    """Run ``body`` in a child of its own; return its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    _helpers.add(pid)
    return pid


def forked(bodies: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all at once, each in a process of its own; return what each returned (by way of JSON)."""
    running = []
    for body in bodies:
        reading, writing = os.pipe()

        def child(body: Callable[[], Any] = body, writing: int = writing) -> None:
            with os.fdopen(writing, "w") as file:
                json.dump(body(), file)

        running.append((fork(child), reading))
        os.close(writing)
    results = []
    for pid, reading in running:
        with os.fdopen(reading) as file:
            text = file.read()
        os.waitpid(pid, 0)
        _helpers.discard(pid)
        if not text:
            raise RuntimeError("a generator has failed, see above")
        results.append(json.loads(text))
    return results


def end(pid: int) -> None:
    """End a forked process."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _helpers.discard(pid)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody uses right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def wait_for(condition: Callable[[], object], what: str, patience_s: float = 120.0) -> None:
    """Look again every 5 ms. Raises TimeoutError."""
    until_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"in vain: {what}")
        time.sleep(0.005)
