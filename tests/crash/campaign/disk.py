"""A disk that fills up while mail flows, and is cleaned up again. Needs root, for a small file system of its own."""

import imaplib
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .ledger import Ledger
from .load import Connection, Load, RefusedError, send_message
from .mailboxes import file_tokens, imap_session, read_inbox
from .message import make_message
from .server import USERS, Server, wait_until
from .sink import Sink

__all__ = ["KINDS", "run_disk"]

KINDS = ("tmpfs", "ext4", "reserve", "mail")
"""tmpfs, ext4: everything on one full disk; reserve: the disk is never quite full, as ``min_free_bytes`` says; mail: only mail/ is full."""
_SIZE_MIB = 48
_RESERVE_MIB = 8
_READERS = ("eva", "fred")
_MOST_LINES = 12
"""Of one event at warning or above, all clients and retries of the scenario together."""


def run_disk(directory: Path, kind: str, *, seed: int = 1, full_s: float = 4.0) -> list[str]:
    """Fill the disk, look at what everybody is told, make room, compare; return the faults."""
    sink = Sink(seed, moods=0.0)
    server = Server(directory, sink.port, min_free_bytes=_RESERVE_MIB << 20 if kind == "reserve" else 0)
    with _small_disk(directory, server.data / "mail" if kind == "mail" else server.data, "ext4" if kind == "ext4" else "tmpfs") as mounted:
        try:
            return _Scenario(server, sink, mounted, kind, seed, full_s).run()
        finally:
            server.stop()
            sink.close()


@contextmanager
def _small_disk(directory: Path, mounted: Path, kind: str) -> Iterator[Path]:
    mounted.mkdir(parents=True)
    if kind == "ext4":
        image = directory / "image"
        with image.open("wb") as file:
            file.truncate(_SIZE_MIB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
    else:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "none", str(mounted)], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=False)


class _Scenario:
    def __init__(self, server: Server, sink: Sink, mounted: Path, kind: str, seed: int, full_s: float) -> None:
        self.server = server
        self.sink = sink
        self.ballast = mounted / "ballast"
        self.kind = kind
        self.seed = seed
        self.full_s = full_s
        self.ledger = Ledger()
        self.kills: list[float] = []
        self.faults: list[str] = []

    def run(self) -> list[str]:
        server = self.server
        server.start()
        load = Load(self.ledger, lambda: server.ports["smtp"], clients=6, seed=self.seed, pause_s=0.15, name="disk")
        load.start()
        try:
            for user in _READERS:
                with imap_session(server, user) as client:
                    client.append("INBOX", "", "", make_message(f"before-{user}", 3_000))
            time.sleep(1)
            self._fill()
            self._while_full()
        finally:
            self.ballast.unlink(missing_ok=True)
        self._recover()
        load.stop()
        wait_until(lambda: server.queued() == [], lambda: f"an empty queue\n{server.log_end}")
        self._judge()
        return self.faults

    def _fill(self) -> None:
        """Take all the room, or all but half of the reserve."""
        left = _RESERVE_MIB << 19 if self.kind == "reserve" else 0
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while (room := os.statvfs(self.ballast)).f_bavail * room.f_frsize > left + size:
                        file.write(bytes(size))
            if not left:
                with suppress(OSError):
                    while True:
                        file.write(bytes(1 << 12))

    def _while_full(self) -> None:
        """Look and ask while nothing fits; keep it full, as removed mail makes room."""
        end = time.monotonic() + self.full_s
        asked = False
        while time.monotonic() < end or not asked:
            self._fill()
            time.sleep(0.2)
            if time.monotonic() > end - self.full_s / 2 and not asked:
                asked = True
                self._ask_imap()
                self._ask_health()
        if self.kind in ("tmpfs", "ext4"):
            self._restart()

    def _ask_imap(self) -> None:
        if self.kind == "reserve":
            return  # room that is kept for the queue is not kept from people
        for user in _READERS:
            with imap_session(self.server, user) as client:
                self._fill()
                try:
                    kind, (text, *_) = client.append("INBOX", "", "", make_message(f"imap-{user}", 300_000))
                except imaplib.IMAP4.error as error:
                    self.faults.append(f"APPEND of {user} ended with {error}")
                    continue
                print(f"  {self.kind}: APPEND of {user}: {kind} {text!r}")
                if kind != "NO" or not re.match(rb"\[(UNAVAILABLE|OVERQUOTA|LIMIT)\]", text or b""):
                    self.faults.append(f"APPEND of {user} on a full disk: {kind} {text!r}")
                if client.select("INBOX")[0] != "OK" or client.fetch("1", "(BODY.PEEK[])")[0] != "OK":
                    self.faults.append(f"reading fails for {user} on a full disk")

    def _ask_health(self) -> None:
        if self.kind == "mail":
            return
        end = time.monotonic() + 10  # figures are two seconds old, and what is delivered meanwhile makes room
        status, text = 200, ""
        while status == 200 and time.monotonic() < end:
            self._fill()
            status, text = self.server.get("/healthz")
        print(f"  {self.kind}: /healthz: {status} {text.strip()!r}")
        if status != 503 or "disk" not in text.lower():
            self.faults.append(f"/healthz on a full disk: {status} {text!r}")

    def _restart(self) -> None:
        """SIGKILL on the full disk: the server starts there, or says why not and starts when there is room."""
        self._fill()
        self.server.kill()
        self.sink.read_out()
        self.kills.append(time.monotonic())
        self._fill()
        self.server.start(wait=False)
        assert self.server.process is not None
        try:
            self.server.process.wait(3)
        except subprocess.TimeoutExpired:
            print(f"  {self.kind}: starts on the full disk")
            return
        print(f"  {self.kind}: does not start on the full disk: {self.server.log.splitlines()[-1][:300]}")
        self.ballast.unlink()
        self.server.start()

    def _recover(self) -> None:
        began = time.monotonic()

        def taken() -> bool:
            try:
                with Connection(self.server.ports["smtp"]) as connection:
                    send_message(connection, ["eva@office.test"], make_message("recovered", 1_000))
            except (OSError, RefusedError):
                return False
            return True

        wait_until(taken, lambda: f"mail taken after room was made\n{self.server.log_end}")
        print(f"  {self.kind}: mail is taken again {time.monotonic() - began:.1f} s after room was made")
        wait_until(lambda: self.server.get("/healthz")[0] == 200, lambda: f"health: {self.server.get('/healthz')}", 10)
        time.sleep(1)

    def _judge(self) -> None:
        server = self.server
        mailboxes = {user: read_inbox(server, user) for user in USERS}
        for user, messages in mailboxes.items():
            if Counter(token for token, _ in messages) != file_tokens(server, user):
                self.faults.append(f"the files of {user} hold something else than IMAP tells")
        sent = self.ledger.promises.keys()
        own = {user: [one for one in messages if one[0] in sent] for user, messages in mailboxes.items()}
        verdict = self.ledger.judge(own, self.sink.taken, self.kills)
        self.faults += verdict.faults
        if verdict.remote_duplicates and self.kind not in ("tmpfs", "ext4"):
            self.faults.append(f"{verdict.remote_duplicates} relayed duplicates, and nothing was killed")
        refusals = Counter(re.sub(r"queued as \S+", "", promise.refusal) for promise in self.ledger.promises.values() if promise.refusal)
        print(
            f"  {self.kind}: {verdict.acknowledged} acknowledged, {verdict.refused} refused, {verdict.unknown} unknown: {dict(refusals)};"
            f" duplicates {verdict.local_duplicates} local, {verdict.remote_duplicates} relayed"
        )
        if self.kind != "mail" and not any(text.startswith("452 4.3.1") for text in refusals):
            self.faults.append("nobody was told 452 4.3.1")
        self.faults += [f"refused with {text}" for text in refusals if not text.startswith(("452 4.3.1", "421 4.3.2"))]
        if self.kind == "mail" and "status=deferred" not in server.log:
            self.faults.append("no delivery was deferred")
        lines = Counter(
            match[2]
            for match in re.finditer(r"level=(warning|error|critical) event=(\S+)", server.log)
            if match[2] != "recipient_attempted"
        )
        print(f"  {self.kind}: lines at warning or above: {dict(lines)}; tracebacks: {server.log.count('Traceback')}")
        # A line per refused message is the session's account of it; what is wrong with the disk must be said once.
        del lines["intake_failed"]
        self.faults += [f"{count} lines of {event}" for event, count in lines.items() if count > _MOST_LINES]
        if "Traceback" in server.log:
            self.faults.append(f"a traceback: {server.log[server.log.index('Traceback') :][:2_000]}")
