"""One attempt: hands jobs to local delivery or relay and brings an answer back for every recipient, whatever happens.

Owns the one place where a bug in a sender is caught: it is logged with its
traceback and becomes a ``Crashed``, so that one message cannot stop the queue. A
local batch that fails as a whole is tried again job by job; local delivery
knows what it has already.

Fails: never, but for cancellation.

Sources: Postfix deliver_request.c (defer when the agent dies), qmail INTERNALS.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.model.errors import ApplianceError, CorruptError, NotFoundError, OutOfSpaceError
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import LocalDelivery, LocalJob, RelayDelivery, RelayJob
from appliance.model.routing import NextHop
from appliance.observe.maillog import MailLog
from appliance.services.queue.entry import Slot

__all__ = ["Attempts", "Crashed", "Result"]


@dataclass(frozen=True, slots=True)
class Crashed:
    """The attempt ended in a bug, or could not read the message. ``is_damage``: the message itself is at fault for sure."""

    reason: str
    is_damage: bool = False


Result = Outcome | Crashed


class Attempts:
    """Runs attempts; knows the senders and nothing of the queue."""

    def __init__(self, local: LocalDelivery, relay: RelayDelivery, log: MailLog) -> None:
        self._local = local
        self._relay = relay
        self._log = log

    async def local(self, slots: Sequence[Slot]) -> Sequence[Result]:
        """Deliver a batch; one result per slot, in order."""
        jobs = [_local_job(slot) for slot in slots]
        try:
            outcomes = await self._local.deliver(jobs)
            assert len(outcomes) == len(jobs), "one outcome per job"
        except Exception as error:  # noqa: BLE001 - a bug in delivery must cost one message, not the queue
            if len(jobs) == 1:
                return [self._failed(slots[0], error, "local")]
        else:
            return outcomes
        return [(await self.local([slot]))[0] for slot in slots]

    async def relay(self, next_hop: NextHop, slots: Sequence[Slot], reached: Callable[[], object]) -> Sequence[Result]:
        """Hand one message's recipients to their next hop; one result per slot, in order. ``reached``: see ``RelayJob``."""
        entry = slots[0].entry
        recipients = tuple(slot.recipient for slot in slots)
        attempts = max(slot.attempts for slot in slots)
        job = RelayJob(entry.queue_id, entry.envelope, recipients, entry.content, next_hop, attempts, reached)
        try:
            outcomes = await self._relay.deliver(job)
            assert len(outcomes) == len(slots), "one outcome per recipient"
        except Exception as error:  # noqa: BLE001 - as above
            return [self._failed(slots[0], error, next_hop.host)] * len(slots)
        return outcomes

    def _failed(self, slot: Slot, error: Exception, relay: str) -> Result:
        if isinstance(error, CorruptError | NotFoundError):
            return Crashed(f"{error.client_text}: {error.detail}", is_damage=True)
        if isinstance(error, ApplianceError):
            status = "4.3.1" if isinstance(error, OutOfSpaceError) else "4.3.0"
            return Outcome(Action.DEFERRED, status, error.client_text, relay=relay)
        self._log.exception("delivery_crashed", error, queue_id=slot.entry.queue_id, to=slot.recipient.address, relay=relay)
        return Crashed(f"delivery crashed: {error!r}")


def _local_job(slot: Slot) -> LocalJob:
    entry = slot.entry
    return LocalJob(entry.queue_id, entry.envelope, slot.recipient, entry.content, entry.arrived_at_s)
