"""Straight to the destination first, by the smart host when that does not work: a relay in front of the relay.

Owns when the next rung is taken: after so many tries in vain, or at once when a
server refuses the address that we come from; and for how long such a domain is remembered.

Fails: never; every recipient gets the outcome of the last way that was tried for him.
Sources: RFC 5321 section 3.6 (relaying), Postfix fallback_relay.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from appliance.model.outcome import Outcome
from appliance.model.ports import Clock, RelayDelivery, RelayJob
from appliance.observe.maillog import MailLog
from appliance.policy.refusal import refuses_our_address

__all__ = ["Ladder", "RunningRelay"]

REMEMBERED_S: Final = 86_400.0
MAX_REMEMBERED: Final = 10_000


class RunningRelay(RelayDelivery, Protocol):
    """A relay with a background task."""

    async def run(self) -> None: ...


class Ladder:
    """Implements ``model.ports.RelayDelivery``; a job whose next hop has no ``fallback`` passes through."""

    def __init__(self, relay: RunningRelay, clock: Clock, mail_log: MailLog) -> None:
        self._relay = relay
        self._clock = clock
        self._log = mail_log
        self._refused_until: OrderedDict[str, float] = OrderedDict()

    async def run(self) -> None:
        await self._relay.run()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """See ``RelayDelivery.deliver``."""
        direct, smart = replace(job.next_hop, fallback=None), job.next_hop.fallback
        if smart is None:
            return await self._relay.deliver(job)
        if job.attempts >= job.next_hop.fallback_after or self._is_refused(direct.host):
            return await self._relay.deliver(replace(job, next_hop=smart))
        outcomes = list(await self._relay.deliver(replace(job, next_hop=direct)))
        refused = [index for index, outcome in enumerate(outcomes) if refuses_our_address(outcome)]
        if refused:
            self._remember(direct.host, outcomes[refused[0]], smart.host)
            left = tuple(job.recipients[index] for index in refused)
            again = await self._relay.deliver(replace(job, next_hop=smart, recipients=left))
            for index, outcome in zip(refused, again, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _is_refused(self, host: str) -> bool:
        until_s = self._refused_until.get(host)
        if until_s is not None and until_s <= self._clock.monotonic_s():
            del self._refused_until[host]
            return False
        return until_s is not None

    def _remember(self, host: str, outcome: Outcome, smart: str) -> None:
        self._refused_until[host] = self._clock.monotonic_s() + REMEMBERED_S
        if len(self._refused_until) > MAX_REMEMBERED:
            self._refused_until.popitem(last=False)
        self._log.warning("relay_refuses_us", destination=host, reason=outcome.reason, consequence=f"its mail goes by {smart} for a day")
