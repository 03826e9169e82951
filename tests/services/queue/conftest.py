"""A whole queue over a real spool in a temporary directory: fake deliveries, a clock that trio's autojump moves, no threads."""

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.config.schema import MailConfig, QueueConfig, RelayConfig
from appliance.model.envelope import Envelope, EnvelopeRecipient, Notify
from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName, QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import LocalJob, RelayJob
from appliance.model.routing import Deliverable, LocalTarget, NextHop, NotLocal, Refused, RemoteTarget, Resolution
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.policy.retry import next_attempt_s
from appliance.services.queue.admin import QueueControl
from appliance.services.queue.committer import Committer
from appliance.services.queue.manager import QueueManager
from appliance.services.queue.notices import DsnBuilder
from appliance.storage.spool import Spool
from appliance.storage.spool_content import FileOps

DELIVERED = Outcome(Action.DELIVERED, "2.0.0", "delivered", relay="local")
RELAYED = Outcome(Action.RELAYED, "2.0.0", "250 ok", "250 ok", "mx.example", "mx.example[192.0.2.1]:25")


class TrioClock:
    """Wall and monotonic time both follow trio's clock, which autojump moves."""

    def now_s(self) -> float:
        return 1_700_000_000.0 + trio.current_time()

    def monotonic_s(self) -> float:
        return trio.current_time()


@dataclass
class FakeLocal:
    """Delivers to a list; ``answer`` decides per job, ``gate`` holds batches back."""

    delivered: list[LocalJob] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    settled: int = 0
    answer: Callable[[LocalJob], Outcome] = lambda _job: DELIVERED
    gate: trio.Event | None = None
    settle_error: ApplianceError | None = None

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        self.batches.append(len(jobs))
        outcomes = [self.answer(job) for job in jobs]
        for job in jobs:
            with job.content.open() as stream:
                self.contents[job.queue_id] = stream.read()
        self.delivered.extend(jobs)
        return outcomes

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.settle_error is not None:
            error, self.settle_error = self.settle_error, None
            raise error
        self.settled += 1


@dataclass
class FakeRelay:
    """Records jobs; ``answer`` decides per job, each taking ``seconds``; a server is reached ``reach_s`` after the start."""

    jobs: list[RelayJob] = field(default_factory=list)
    answer: Callable[[RelayJob], Sequence[Outcome]] = lambda job: [RELAYED] * len(job.recipients)
    seconds: float = 0.0
    reach_s: float = math.inf
    running: int = 0
    most_running: int = 0

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        self.jobs.append(job)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await trio.sleep(min(self.reach_s, self.seconds))
            if self.reach_s < self.seconds:
                job.reached()
                await trio.sleep(self.seconds - self.reach_s)
        finally:
            self.running -= 1
        return self.answer(job)


class FakeRouter:
    """``*.here`` is local, everything else goes to its domain's MX."""

    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        domain = address.rpartition("@")[2]
        return None if domain.endswith("here") else NextHop(domain)


class FakeDirectory:
    """``@here`` is ours: ``list@here`` is two people, ``nobody@here`` is refused."""

    def resolve(self, address: str) -> Resolution:
        local_part, _, domain = address.rpartition("@")
        if domain != "here":
            return NotLocal()
        if local_part == "nobody":
            return Refused(550, "5.1.1", "no such user")
        if local_part == "list":
            return Deliverable((LocalTarget(AccountName("ana")), RemoteTarget("bob@elsewhere.example")))
        return Deliverable((LocalTarget(AccountName("ana" if local_part == "postmaster" else local_part)),))

    def mailbox_of(self, address: str) -> LocalTarget | None:
        local_part, _, domain = address.rpartition("@")
        return LocalTarget(AccountName(local_part)) if domain == "here" and local_part not in {"list", "nobody", "postmaster"} else None

    def may_send_as(self, account: AccountName, address: str) -> bool:
        return True

    def qualify(self, address: str) -> str:
        return address if "@" in address else f"{address}@here"

    def primary_address(self, account: AccountName) -> str:
        return f"{account}@here"


@dataclass
class World:
    """The queue under test and everything around it."""

    directory: Path
    config: QueueConfig
    relay_config: RelayConfig
    local: FakeLocal = field(default_factory=FakeLocal)
    relay: FakeRelay = field(default_factory=FakeRelay)
    clock: TrioClock = field(default_factory=TrioClock)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    file_ops: FileOps = field(default_factory=FileOps)
    mail_config: MailConfig = field(default_factory=MailConfig)

    def listen(self, event: str, _level: int, fields: dict[str, Any]) -> None:
        self.events.append((event, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]

    @contextlib.asynccontextmanager
    async def running(self, *, kill: bool = False) -> AsyncIterator["World"]:
        """Run the queue over the spool on disk; ``kill``: without the last settling and committing of a clean stop."""
        logger = logging.getLogger("carteiro.test")
        logger.propagate = False
        log = MailLog(logger, [self.listen])
        offload = InlineOffload()
        self.spool = Spool(self.directory, file_ops=self.file_ops)
        self.spool.open()
        try:
            self.committer = Committer(
                self.spool, commit_offload=offload, content_offload=offload, clock=self.clock, config=self.config, log=log
            )
            self.manager = QueueManager(
                spool=self.spool,
                committer=self.committer,
                local=self.local,
                relay=self.relay,
                router=FakeRouter(),
                directory=FakeDirectory(),
                offload=offload,
                clock=self.clock,
                log=log,
                queue=self.config,
                mail=self.mail_config,
                relay_config=self.relay_config,
                next_attempt_s=next_attempt_s,
                jitter=lambda: 0.5,
                build_notice=DsnBuilder(hostname="mx.here", language="en", random_token=lambda: "token"),
            )
            self.admin = QueueControl(self.manager, self.committer, self.spool, offload, self.clock, log)
            async with trio.open_nursery() as nursery:
                await nursery.start(self.committer.run)
                await nursery.start(self.manager.run)
                yield self
                if kill:
                    self.spool.commit = _dead  # type: ignore[method-assign,assignment]
                nursery.cancel_scope.cancel()
        finally:
            self.spool.close()

    async def send(self, *to: str, sender: str = "ana@here", data: bytes = b"Subject: x\r\n\r\nbody\r\n", **fields: Any) -> QueueId:
        """Put a message in; ``notify`` is for all its recipients."""
        notify: Notify | None = fields.pop("notify", None)
        return await self.send_to(*[EnvelopeRecipient(address, notify) for address in to], sender=sender, data=data, **fields)

    async def send_to(
        self, *recipients: EnvelopeRecipient, sender: str = "ana@here", data: bytes = b"Subject: x\r\n\r\nbody\r\n", **fields: Any
    ) -> QueueId:
        """Put a message in for these recipients."""
        writer = await self.committer.begin()
        await writer.write(data)
        return await self.committer.accept(Envelope(sender, recipients, **fields), writer)


def _dead(_batch: object) -> None:
    raise ApplianceError("the process is gone")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "queue", QueueConfig(min_free_bytes=0, inline_bytes=65_536), RelayConfig())
