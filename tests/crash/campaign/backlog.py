"""SIGKILL with a long queue for a destination that is down: how the server comes back."""

import threading
import time
from pathlib import Path

from .load import Connection, send_message
from .message import make_message
from .server import Server, wait_until

__all__ = ["run_backlog"]

_CLIENTS = 8


def run_backlog(directory: Path, *, messages: int = 5_000, max_longer_s: float = 5.0, max_growth_kib: int = 40_960) -> list[str]:
    """Queue so many messages, kill, start; once while all are due again and again, once while they wait. Return the faults."""
    faults: list[str] = []
    for name, retry_s in (("due each second", 1), ("due in an hour", 3_600)):
        server = Server(directory / name.replace(" ", "-"), retry_s=retry_s)
        try:
            faults += [f"{name}: {fault}" for fault in _run(server, name, messages, max_longer_s, max_growth_kib)]
        finally:
            server.stop()
    return faults


def _run(server: Server, name: str, messages: int, max_longer_s: float, max_growth_kib: int) -> list[str]:
    faults = []
    empty_s = server.start()
    time.sleep(1)
    idle_kib = server.memory_kib()
    began = time.monotonic()
    threads = [threading.Thread(target=_fill, args=(server, number, messages)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken_s = time.monotonic() - began
    time.sleep(1)
    full_kib = server.memory_kib()
    server.kill()
    start_s = server.start()
    began = time.monotonic()
    listed = server.queued()
    first_list_s = time.monotonic() - began
    time.sleep(3)
    peak_kib, after_kib = server.memory_kib("VmHWM"), server.memory_kib()
    began = time.monotonic()
    with Connection(server.ports["smtp"]) as connection:
        send_message(connection, ["ana@office.test"], make_message("while-busy", 2_000))
    taken_in_s = time.monotonic() - began
    wait_until(lambda: any((server.data / "mail" / "ana").glob("new/*")), lambda: f"a local delivery\n{server.log_end}")
    delivered_s = time.monotonic() - began
    print(
        f"  {name}: {messages} taken in {taken_s:.1f} s; start {start_s:.2f} s (empty {empty_s:.2f} s), queue list {first_list_s:.2f} s;"
        f" memory {idle_kib} idle, {full_kib} before the kill, {after_kib} after the start, {peak_kib} at most (KiB);"
        f" a new message taken in {taken_in_s * 1000:.0f} ms, delivered in {delivered_s * 1000:.0f} ms",
        flush=True,
    )
    if len(listed) != messages:
        faults.append(f"{len(listed)} of {messages} messages listed after the kill")
    if start_s > max_longer_s + empty_s:
        faults.append(f"the start took {start_s:.2f} s, {empty_s:.2f} s with nothing queued")
    if peak_kib - idle_kib > max_growth_kib:
        faults.append(f"{peak_kib - idle_kib} KiB more at most than when idle")
    if delivered_s > 5:
        faults.append(f"a local message took {delivered_s:.1f} s")
    return faults


def _fill(server: Server, number: int, messages: int) -> None:
    with Connection(server.ports["smtp"]) as connection:
        for count in range(number, messages, _CLIENTS):
            token = f"backlog-{count}"
            send_message(connection, [f"r{count}@dead.test"], make_message(token, 2_000))
