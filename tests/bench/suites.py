"""What is measured. Each suite yields one record per measurement, ``repeats`` of each kind.

Delivered means counted in the mailbox on disk; CPU is that of all processes of the
target until then. Every kind starts with a warm-up that is not counted.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .clients import ImapClient, PopClient
from .load import Load, Sink, run_load
from .processes import Measured, measure, wait_for
from .targets import DOMAIN, PASSWORD, RELAY_DOMAIN, Target

__all__ = ["SUITES", "Options", "Record", "ingest", "through"]

WARM_UP = 20
MIB = 1_048_576


@dataclass(frozen=True)
class Options:
    scale: float = 1.0
    repeats: int = 3
    pipelining: bool = True

    def count(self, usual: int, least: int = 10) -> int:
        return max(least, int(usual * self.scale))


@dataclass
class Record:
    """One measurement. ``value`` in ``unit``; a unit that ends in ``/s`` is better when it is more, any other when it is less."""

    target: str
    test: str
    value: float
    unit: str
    cpu_ms: float
    """Of the target, per message (or of the whole command)."""
    noise: float
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def ingest(target: Target, options: Options, test: str, load: Load) -> Iterator[Record]:
    """Measure until all is in mailboxes."""
    for _ in range(options.repeats):
        target.wipe()
        run_load(replace(load, connections=min(load.connections, WARM_UP), messages=WARM_UP, size=1_024))
        wait_for(lambda: target.delivered() >= WARM_UP, f"{target.name}: the warm-up's messages")
        with measure(target.group) as found:
            start_s = time.monotonic()
            result = run_load(load)
            wait_for(lambda: target.delivered() >= WARM_UP + load.messages, f"{target.name}: messages in mailboxes")
            delivered_s = time.monotonic() - start_s
        details = asdict(result) | {"accepted_per_s": load.messages / result.wall_s, "pss_kib": target.group.pss_kib()}
        yield Record(target.name, test, load.messages / delivered_s, "msg/s", found.cpu_s * 1e3 / load.messages, found.noise, details)


def smtp(target: Target, options: Options) -> Iterator[Record]:
    """SMTP in, mailbox out."""

    def load(connections: int, messages: int, size: int = 4_096, **more: Any) -> Load:
        return Load(
            target.ports["smtp"], connections, messages, size, f"u%d@{DOMAIN}", pipelining=options.pipelining, **more
        )  # fmt: skip

    for connections, messages in ((1, 1_000), (10, 2_000), (50, 2_000)):
        yield from ingest(target, options, f"smtp 4 KiB, {connections} conn", load(connections, options.count(messages)))
    yield from ingest(target, options, "smtp 4 KiB, 10 conn, 1 msg each", load(10, options.count(1_000), per_connection=1))
    yield from ingest(target, options, "smtp 64 KiB, 10 conn", load(10, options.count(500), 65_536))
    yield from ingest(target, options, "smtp 5 MiB, 4 conn", load(4, options.count(24, 4), 5 * MIB))


def relay(target: Target, options: Options) -> Iterator[Record]:
    """SMTP in, SMTP out to a sink; counted there."""
    for connections, usual in ((1, 1_000), (10, 2_000), (50, 2_000)):
        load = Load(
            target.ports["smtp"], connections, options.count(usual), 4_096, f"x%d@{RELAY_DOMAIN}", pipelining=options.pipelining
        )  # fmt: skip
        yield from through(target, options, f"relay 4 KiB, {connections} conn", load)


def through(target: Target, options: Options, test: str, load: Load, *, signed: bool = False) -> Iterator[Record]:
    """Measure until all is at a sink. Raises RuntimeError when it should be ``signed`` and is not."""
    sink = Sink(target.ports["sink"])
    try:
        for _ in range(options.repeats):
            before, signatures = sink.count, sink.signatures
            run_load(replace(load, connections=1, messages=10, size=1_024))
            sink.wait(before + 10)
            with measure(target.group) as found:
                start_s = time.monotonic()
                result = run_load(load)
                sink.wait(before + 10 + load.messages)
                through_s = sink.last_s - start_s
            if signed and sink.signatures - signatures < load.messages * 0.9:
                raise RuntimeError(f"{target.name}: {sink.signatures - signatures} signatures on {load.messages} messages")
            details = asdict(result) | {"accepted_per_s": load.messages / result.wall_s}
            yield Record(target.name, test, load.messages / through_s, "msg/s", found.cpu_s * 1e3 / load.messages, found.noise, details)
    finally:
        sink.close()


# Mailboxes

_WORDS = ("amber", "basalt", "cedar", "dune", "ember", "fjord", "grove", "harbour", "island", "juniper", "kelp", "lagoon")


def _messages(count: int) -> list[bytes]:
    """Return the same messages every time: 60 % plain, 30 % alternative, 10 % with an attachment; 1 to 12 KiB, LF line ends."""
    chance = random.Random(1)
    found = []
    for number in range(count):
        subject = " ".join(chance.choices(_WORDS, k=4)) + (" heliotrope" if number % 1_000 == 7 else "")
        text = "\n".join(" ".join(chance.choices(_WORDS, k=10)) for _ in range(chance.randint(10, 60))) + "\n"
        header = (
            f"Return-Path: <a@far.test>\nReceived: from far.test by {DOMAIN}; Tue, 14 Nov 2023 22:13:20 +0000\nFrom: Ana <ana@far.test>\n"
            f"To: big@{DOMAIN}\nSubject: {subject}\nMessage-ID: <{number}@far.test>\nDate: Tue, 14 Nov 2023 22:13:20 +0000\nMIME-Version: 1.0\n"
        )
        kind = chance.random()
        if kind < 0.6:
            body = f"Content-Type: text/plain; charset=utf-8\n\n{text}"
        else:
            second = "text/html" if kind < 0.9 else "application/octet-stream; name=x.bin"
            body = (
                f"Content-Type: multipart/mixed; boundary=frontier\n\n--frontier\nContent-Type: text/plain\n\n{text}"
                f"--frontier\nContent-Type: {second}\n\n{text * 2}--frontier--\n"
            )
        found.append((header + body).encode())
    return found


def _timed(target: Target, test: str, work: Callable[[], int]) -> Record:
    """Run ``work``, which returns how many messages it was about (0: time it as a whole)."""
    with measure(target.group) as found:
        count = work()
    return _record(target, test, count, found)


def _record(target: Target, test: str, count: int, found: Measured) -> Record:
    if count:
        return Record(target.name, test, count / found.wall_s, "msg/s", found.cpu_s * 1e3 / count, found.noise)
    return Record(target.name, test, found.wall_s * 1e3, "ms", found.cpu_s * 1e3, found.noise)


def pop3(target: Target, options: Options) -> Iterator[Record]:
    """A large maildrop, first and again."""
    count = options.count(10_000)
    target.populate("big", _messages(count))
    for turn in range(options.repeats + 1):
        client = PopClient(target.ports["pop3"])
        client.command("USER big")
        when = "again" if turn else "first"

        def log_in(client: PopClient = client) -> int:
            client.command(f"PASS {PASSWORD}")
            status = client.command("STAT")
            assert status.split()[1] == b"%d" % count, status
            return 0

        def retrieve(client: PopClient = client) -> int:
            for number in range(1, 1 + min(count, 2_000)):
                client.multi(f"RETR {number}")
            return min(count, 2_000)

        def list_ids(client: PopClient = client) -> int:
            client.multi("UIDL")
            return 0

        yield _timed(target, f"pop3 {count}: PASS, STAT {when}", log_in)
        if turn:
            yield _timed(target, f"pop3 {count}: UIDL", list_ids)
            yield _timed(target, f"pop3 {count}: RETR", retrieve)
        client.command("QUIT")
        client.close()


def imap(target: Target, options: Options) -> Iterator[Record]:
    """A large mailbox: opened, listed, read, searched, marked, added to."""
    count = options.count(10_000)
    target.populate("big", _messages(count))
    some = min(count, 1_000)
    message = _messages(1)[0].replace(b"\n", b"\r\n")
    client = ImapClient(target.ports["imap"])
    client.command(f"LOGIN big {PASSWORD}")

    def step(line: str, about: int = 0) -> Callable[[], int]:
        def work() -> int:
            client.command(line)
            return about

        return work

    def fetch_flags() -> int:
        assert client.command("FETCH 1:* (UID FLAGS)").count(b"FETCH (") >= count
        return 0

    def append() -> int:
        for _ in range(options.count(200)):
            client.command("APPEND INBOX", message)
        return options.count(200)

    def store() -> int:
        for number in range(1, 1 + min(some, 200)):
            client.command(rf"STORE {number} +FLAGS.SILENT (\Flagged)")
        return min(some, 200)

    first = [
        ("SELECT first", step("SELECT INBOX")),
        ("ENVELOPE first", step(f"FETCH 1:{some} (UID ENVELOPE BODYSTRUCTURE)", some)),
    ]
    always = [
        ("SELECT", step("SELECT INBOX")),
        ("FETCH 1:* (UID FLAGS)", fetch_flags),
        ("ENVELOPE", step(f"FETCH 1:{some} (UID ENVELOPE BODYSTRUCTURE)", some)),
        ("BODY.PEEK[]", step(f"FETCH 1:{some} (UID BODY.PEEK[])", some)),
        ("SEARCH SUBJECT", step("UID SEARCH HEADER SUBJECT heliotrope")),
        ("SEARCH TEXT", step("UID SEARCH TEXT quokkasaurus")),
        ("STORE one by one", store),
        ("STORE all", step(r"STORE 1:* +FLAGS.SILENT (\Answered)")),
        ("APPEND", append),
    ]
    for name, work in first + always * options.repeats:
        yield _timed(target, f"imap {count}: {name}", work)
    client.command("LOGOUT")
    client.close()


SUITES: dict[str, Callable[[Target, Options], Iterator[Record]]] = {"smtp": smtp, "relay": relay, "pop3": pop3, "imap": imap}
