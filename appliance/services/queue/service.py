"""The queue as one thing to start: committer, manager and the door for people.

Owns the order of start and stop. The spool is opened first and closed last; at
the end the manager settles what it delivered and only then the committer makes
its last commit, so that a clean stop leaves nothing to be delivered again.

Fails: InUseError when another process holds the spool, CorruptError when its
database is damaged; a bug ends the process.
"""

import random
from collections.abc import Callable

import trio

from appliance.config.schema import MailConfig, QueueConfig, RelayConfig
from appliance.model.ports import Clock, Directory, Intake, LocalDelivery, Offload, QueueAdmin, RelayDelivery, Router
from appliance.observe.maillog import MailLog
from appliance.services.queue.admin import QueueControl
from appliance.services.queue.bounce import NoticeBuilder
from appliance.services.queue.committer import Committer
from appliance.services.queue.manager import QueueManager
from appliance.services.queue.schedule import NextAttempt
from appliance.storage.spool import Spool

__all__ = ["QueueService"]


class QueueService:
    """Builds and runs the queue over an open spool. ``intake`` and ``admin`` are its ports."""

    def __init__(
        self,
        spool: Spool,
        *,
        local: LocalDelivery,
        relay: RelayDelivery,
        router: Router,
        directory: Directory,
        commit_offload: Offload,
        disk_offload: Offload,
        clock: Clock,
        log: MailLog,
        queue: QueueConfig,
        mail: MailConfig,
        relay_config: RelayConfig,
        next_attempt_s: NextAttempt,
        build_notice: NoticeBuilder,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``spool`` is open. ``commit_offload`` runs one call at a time and nothing else; ``disk_offload`` content files and reads."""
        self._committer = Committer(spool, commit_offload=commit_offload, content_offload=disk_offload, clock=clock, config=queue, log=log)
        self._manager = QueueManager(
            spool=spool,
            committer=self._committer,
            local=local,
            relay=relay,
            router=router,
            directory=directory,
            offload=disk_offload,
            clock=clock,
            log=log,
            queue=queue,
            mail=mail,
            relay_config=relay_config,
            next_attempt_s=next_attempt_s,
            jitter=jitter,
            build_notice=build_notice,
        )
        self.intake: Intake = self._committer
        self.admin: QueueAdmin = QueueControl(self._manager, self._committer, spool, disk_offload, clock)

    async def settle(self) -> None:
        """Return when all local deliveries before the call are on stable storage and their rows are gone: no crash repeats them."""
        await self._manager.settle()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; started when the spool is in order."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._committer.run)
            try:
                await self._manager.run(task_status=task_status)
            finally:
                self._committer.stop()
