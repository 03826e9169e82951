"""Mail that an alias of ours sends on to elsewhere: a relay in front of the relay.

Owns which mail is forwarded rather than sent - a stranger's, for a recipient that an alias
led to - and that it travels under a reverse-path of ours, so that SPF holds
and what comes back finds its way to the author.

Fails: never. Does not: touch null reverse-paths, our own people's, or mail for relay domains.
Sources: RFC 7208 section 11.2 and appendix D (forwarders), RFC 5321 section 3.9 (aliases keep the reverse-path: SPF has overtaken that).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from appliance.model.content import Content
from appliance.model.envelope import Envelope
from appliance.model.outcome import Outcome
from appliance.model.ports import RelayJob
from appliance.policy.srs import SenderRewriting
from appliance.services.relay.ladder import RunningRelay

__all__ = ["Forwarding"]

Seal = Callable[[RelayJob], Awaitable[Content]]


class Forwarding:
    """Implements ``model.ports.RelayDelivery``."""

    def __init__(self, relay: RunningRelay, srs: SenderRewriting, is_local_domain: Callable[[str], bool], seal: Seal | None = None) -> None:
        """``seal``: puts our ARC set in front."""
        self._seal = seal
        self._relay = relay
        self._srs = srs
        self._is_local_domain = is_local_domain

    async def run(self) -> None:
        await self._relay.run()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """See ``RelayDelivery.deliver``."""
        forwarded = [index for index, one in enumerate(job.recipients) if one.original is not None]
        if not forwarded or not self._is_strange(job.envelope):
            return await self._relay.deliver(job)
        rewritten = replace(job.envelope, reverse_path=self._srs.forward(job.envelope.reverse_path))
        sealed = job.content if self._seal is None else await self._seal(job)
        if len(forwarded) == len(job.recipients):
            return await self._relay.deliver(replace(job, envelope=rewritten, content=sealed))
        outcomes: dict[int, Outcome] = {}
        others = [index for index in range(len(job.recipients)) if index not in set(forwarded)]
        for indexes, envelope, content in ((forwarded, rewritten, sealed), (others, job.envelope, job.content)):
            part = replace(job, envelope=envelope, content=content, recipients=tuple(job.recipients[index] for index in indexes))
            outcomes |= zip(indexes, await self._relay.deliver(part), strict=True)
        return [outcomes[index] for index in range(len(job.recipients))]

    def _is_strange(self, envelope: Envelope) -> bool:
        """Tell whether the reverse-path is somebody else's: at the next server SPF would fail for it."""
        domain = envelope.reverse_path.rpartition("@")[2]
        return bool(domain) and not self._is_local_domain(domain)
