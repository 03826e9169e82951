"""Local deliveries that are done but not yet on stable storage, and the task that makes them so.

Owns the ledger of unsettled slots: their rows stay in the spool until
``LocalDelivery.settle`` has returned, so that a crash of the machine delivers them
again. The task settles what gathered at the latest after the interval, or
sooner when enough bytes or recipients did, never on the way of an acknowledgement.

Fails: when settling is refused, what was delivered since is handed back to be
delivered again; local delivery knows a queue id it has already.

Sources: design "queue", measurements of syncfs beside a background writer.
"""

from collections.abc import Callable, Sequence

import trio

from appliance.model.errors import ApplianceError
from appliance.model.outcome import Outcome
from appliance.model.ports import LocalDelivery
from appliance.observe.maillog import MailLog
from appliance.services.queue.entry import Slot

__all__ = ["Settler", "Unsettled"]

Unsettled = tuple[Slot, Outcome]


class Settler:
    """The ledger and its task."""

    def __init__(
        self,
        local: LocalDelivery,
        log: MailLog,
        *,
        interval_s: float,
        max_bytes: int,
        max_count: int,
        settled: Callable[[Sequence[Unsettled]], None],
        failed: Callable[[Sequence[Unsettled], ApplianceError], None],
    ) -> None:
        self._local = local
        self._log = log
        self._interval_s = interval_s
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._settled = settled
        self._failed = failed
        self._unsettled: list[Unsettled] = []
        self._bytes = 0
        self._first = trio.Event()
        self._enough = trio.Event()
        self._settling = trio.Lock()

    def add(self, delivered: Sequence[Unsettled]) -> None:
        """Take over recipients that ``LocalDelivery.deliver`` has just delivered. In memory."""
        self._unsettled.extend(delivered)
        self._bytes += sum(slot.entry.size for slot, _outcome in delivered)
        self._first.set()
        if self._bytes >= self._max_bytes or len(self._unsettled) >= self._max_count:
            self._enough.set()

    @property
    def count(self) -> int:
        return len(self._unsettled)

    async def settle(self) -> None:
        """Return when everything added before the call is on stable storage; nothing is raised for a refusal of the disk."""
        async with self._settling:
            taken, self._unsettled = self._unsettled, []
            self._bytes = 0
            self._begin_again()
            if not taken:
                return
            try:
                await self._local.settle()
            except ApplianceError as error:
                self._log.error("queue_settle_failed", reason=error.detail, fix="look at the disk that holds the mail")
                self._failed(taken, error)
            except BaseException:
                # Cut off by the end of the process: the rows are still there, the next start delivers again.
                self._unsettled = taken + self._unsettled
                raise
            else:
                self._settled(taken)

    def _begin_again(self) -> None:
        # An event that is not set may be waited for: whoever settles in between must not take it away from ``run``.
        if self._first.is_set():
            self._first = trio.Event()
        if self._enough.is_set():
            self._enough = trio.Event()

    async def run(self) -> None:
        """Settle until cancelled, and once more then if that is quick."""
        try:
            while True:
                await self._first.wait()
                with trio.move_on_after(self._interval_s):
                    await self._enough.wait()
                await self.settle()
        finally:
            with trio.move_on_after(5, shield=True):
                await self.settle()
