"""The queue alone with 50,000 messages for 500 destinations, 100 of them dead: how long the healthy ones take.

Run as ``python -m tests.bench.queue_bench``: once without the dead ones, once with them, each in a
process of its own over a spool on disk that was filled before. Servers are simulated: a
healthy one takes 20 ms, a dead one 30 s. Prints one JSON object. It measures; it judges nothing.
"""

import gc
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from appliance.config.schema import MailConfig, QueueConfig, RelayConfig
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import LocalJob, RelayJob
from appliance.model.routing import NextHop
from appliance.net.clock import SystemClock
from appliance.net.offload import OwnThread, ThreadOffload
from appliance.observe.maillog import MailLog
from appliance.policy.directory import ConfigDirectory
from appliance.policy.retry import next_attempt_s
from appliance.services.queue.admin import QueueControl
from appliance.services.queue.committer import Committer
from appliance.services.queue.manager import QueueManager
from appliance.services.queue.notices import DsnBuilder
from appliance.storage.spool import Spool
from appliance.storage.spool_ids import QueueIds
from appliance.storage.spool_schema import Addition, Batch

MESSAGES = 50_000
DESTINATIONS = 500
DEAD = 100
HEALTHY_S = 0.02
DEAD_S = 30.0
CONTENT = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"


class Settings:
    """What the directory needs."""

    domain = "ours.example"
    mail_domains = local_domains = ("ours.example",)
    effective_origin = "ours.example"
    relay_domains: tuple[str, ...] = ()
    relay_recipients: tuple[str, ...] = ()
    postmaster = ""
    users = ()
    aliases: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - read only
    catch_all: dict[str, str] = {}  # noqa: RUF012 - read only
    mail = MailConfig()


class Relay:
    """Counts what healthy servers took."""

    def __init__(self) -> None:
        self.taken = 0
        self.first_at_s = 0.0
        self.changed = trio.Event()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        self.first_at_s = self.first_at_s or time.monotonic()
        if job.next_hop.host.startswith("dead"):
            await trio.sleep(DEAD_S)
            return [Outcome(Action.DEFERRED, "4.4.1", "no answer")] * len(job.recipients)
        await trio.sleep(HEALTHY_S)
        self.taken += len(job.recipients)
        self.changed.set()
        return [Outcome(Action.RELAYED, "2.0.0", "ok", "250 2.0.0 ok", "mx", "mx[192.0.2.1]:25")] * len(job.recipients)


class Router:
    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        return NextHop(address.rpartition("@")[2])


class NoLocal:
    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        raise AssertionError("nothing is local")

    async def settle(self) -> None:
        return


def _fill(directory: Path, *, with_dead: bool) -> int:
    """Put the messages of healthy destinations, and of dead ones between them, into a spool; return how many are healthy."""
    spool = Spool(directory)
    spool.open()
    ids = QueueIds(time.time, 1, 0)
    numbers = random.Random(1).sample(range(MESSAGES), MESSAGES)
    wanted = [number % DESTINATIONS for number in numbers if with_dead or number % DESTINATIONS >= DEAD]
    for start in range(0, len(wanted), 1_000):
        additions = []
        for number in wanted[start : start + 1_000]:
            host = f"{'dead' if number < DEAD else 'good'}{number}.example"
            envelope = Envelope("ana@ours.example", (EnvelopeRecipient(f"bob@{host}"),))
            additions.append(Addition(ids.next(), envelope, len(CONTENT), time.time(), CONTENT))
        spool.commit(Batch(additions=additions))
    spool.close()
    return sum(number >= DEAD for number in wanted)


async def _run(directory: Path, healthy: int) -> dict[str, float]:
    logger = logging.getLogger("bench")
    logger.setLevel(logging.ERROR)
    log, clock, config = MailLog(logger), SystemClock(), QueueConfig()
    began_s = time.monotonic()
    spool = Spool(directory)
    spool.open()
    committer = Committer(spool, commit_offload=OwnThread("commit"), content_offload=ThreadOffload(4), clock=clock, config=config, log=log)
    relay, offload = Relay(), ThreadOffload(8)
    manager = QueueManager(
        spool=spool,
        committer=committer,
        local=NoLocal(),
        relay=relay,
        router=Router(),
        directory=ConfigDirectory(Settings()),
        offload=offload,
        clock=clock,
        log=log,
        queue=config,
        mail=MailConfig(),
        relay_config=RelayConfig(),
        next_attempt_s=next_attempt_s,
        jitter=random.random,
        build_notice=DsnBuilder(hostname="mx.ours.example", language="en", random_token=lambda: "token"),
    )
    admin = QueueControl(manager, committer, spool, offload, clock, log)
    async with trio.open_nursery() as nursery:
        await nursery.start(committer.run)
        await nursery.start(manager.run)
        started_s = time.monotonic() - began_s
        gc.freeze()  # as the server does
        gc.set_threshold(10_000, 10, 20)
        listing_s = time.monotonic()
        assert len(await admin.items(100)) > 0
        listing_s = time.monotonic() - listing_s
        while relay.taken < healthy:
            await relay.changed.wait()
            relay.changed = trio.Event()
        healthy_s = time.monotonic() - began_s
        nursery.cancel_scope.cancel()
    rss_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"start_s": started_s, "first_attempt_s": relay.first_at_s - began_s, "list_s": listing_s, "healthy_s": healthy_s}
    return {name: round(value, 3) for name, value in figures.items()} | {
        "rss_mib": round(rss_kib / 1_024, 1),
        "cpu_s": round(time.process_time(), 1),
    }


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(trio.run(_run, Path(sys.argv[1]), int(sys.argv[2]))))
        return
    found = {}
    for name, with_dead in (("healthy", False), ("with_dead", True)):
        with tempfile.TemporaryDirectory() as directory:
            healthy = _fill(Path(directory), with_dead=with_dead)
            command = [sys.executable, "-m", "tests.bench.queue_bench", directory, str(healthy)]
            found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found["ratio"] = {"healthy": round(found["with_dead"]["healthy_s"] / found["healthy"]["healthy_s"], 2)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
