"""Reports of other servers as they are delivered: a local delivery in front of the local delivery.

Owns which mail is looked at - what was delivered to an address of the settings - and what of it is kept: attachments
that unpack to a DMARC or TLS report within the limits. They are kept packed and are read by who asks for them, in a
process of its own; here a stranger's attachment costs no more than its unpacking, in a thread. Senders are told apart by
the network they came from; names are anybody's.

Fails: never; what is not kept is told, and the mail is delivered all the same.
Blocks: disk, processor, after the delivery; in a thread.
Does not: believe a report, or look at mail larger than 16 MiB.

Sources: RFC 9990 section 3.5.1, RFC 8460 section 5.3.
"""

from collections.abc import Sequence
from typing import Final

from appliance.message.reports import ReportError, attached, unpacked
from appliance.model.content import Content
from appliance.model.errors import ApplianceError
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Clock, LocalDelivery, LocalJob, Offload
from appliance.observe.maillog import MailLog
from appliance.policy.ratelimit import network_of
from appliance.storage.received_reports import ReceivedReports

__all__ = ["ReportReceiving", "is_report"]

MAX_MESSAGE: Final = 16 * 1_048_576
MAX_UNPACKED: Final = 8 * 1_048_576
_LOOK: Final = 65_536
_MARKS: Final = (b"feedback", b'"policies"', b"report_metadata", b'"organization-name"')


class ReportReceiving:
    """Implements ``model.ports.LocalDelivery``. ``addresses``: in lower case."""

    def __init__(
        self, local: LocalDelivery, addresses: frozenset[str], kept: ReceivedReports, *, offload: Offload, clock: Clock, mail_log: MailLog
    ) -> None:
        """``offload`` must run one call at a time."""
        self._local = local
        self._addresses = addresses
        self._kept = kept
        self._offload = offload
        self._clock = clock
        self._log = mail_log

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        """See ``LocalDelivery.deliver``."""
        outcomes = await self._local.deliver(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            recipient = job.recipient
            is_wanted = recipient.address.lower() in self._addresses or (recipient.original or "").lower() in self._addresses
            if is_wanted and outcome.action is Action.DELIVERED:
                await self._take(job)
        return outcomes

    async def settle(self) -> None:
        """See ``LocalDelivery.settle``."""
        await self._local.settle()

    async def _take(self, job: LocalJob) -> None:
        try:
            kept = await self._offload.run(self._keep, job.content, self._clock.now_s(), network_of(job.envelope.client.address))
        except (ReportError, ApplianceError) as error:
            reason = error.detail or error.client_text if isinstance(error, ApplianceError) else str(error)
            self._log.warning("report_not_kept", queue_id=job.queue_id, sender=job.envelope.reverse_path, reason=reason)
            return
        if kept:
            self._log.notice("report_kept", queue_id=job.queue_id, sender=job.envelope.reverse_path, reports=kept)

    def _keep(self, content: Content, now_s: float, sender: str) -> int:
        """Keep the reports in a message; return how many were new. Raises ReportError, ApplianceError."""
        if content.size > MAX_MESSAGE:
            raise ReportError("the message is larger than any with reports")
        with content.open() as stream:
            found = [data for data in attached(stream) if is_report(data)]
        return self._kept.add(found, now_s, sender) if found else 0


def is_report(data: bytes) -> bool:
    """Tell whether it looks like one; an attachment of another kind is none of our business. Raises ReportError for a bomb."""
    beginning = unpacked(data, MAX_UNPACKED)[:_LOOK]
    return any(mark in beginning for mark in _MARKS)
