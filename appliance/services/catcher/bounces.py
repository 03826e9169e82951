"""Messages that come back: what was sent to ``bounce@`` anything returns as a real report to its sender.

Owns when a report is made; what stands in it is ``message.dsn``'s. A report is
caught as any other message, with the null reverse-path, so it never bounces itself.

Sources: RFC 3464, RFC 5321 section 4.5.5 (null reverse-path), RFC 3461 section 4.1 (NOTIFY).
"""

import secrets

from appliance.message.dsn import DsnKind, DsnRequest, build_dsn
from appliance.message.header import split_message
from appliance.model.caught import CaughtEnvelope
from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.outcome import Action, Outcome
from appliance.policy.caught_faults import wants_bounce
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.ids import new_id
from appliance.storage.caught import NewCaught

__all__ = ["Bouncer"]

_HEADER_BYTES = 65_536
_OUTCOME = Outcome(
    Action.BOUNCED, "5.1.1", "the address asks for its mail to come back", "550 5.1.1 No such address (asked for by the address)"
)


class Bouncer:
    """Catches the reports. ``hostname``: who reports."""

    def __init__(self, catcher: Catcher, hostname: str) -> None:
        self._catcher = catcher
        self._hostname = hostname

    async def caught(self, new: NewCaught) -> None:
        """Send a message back where its recipients ask for it. Durable at return."""
        failed = [address for address in new.envelope.recipients if wants_bounce(address)]
        if not failed or not new.envelope.reverse_path:
            return
        report = await self._catcher.offload.run(self._report, new, failed)
        envelope = CaughtEnvelope(recipients=(new.envelope.reverse_path,), client=new.envelope.client, protocol="DSN")
        await self._catcher.keep(
            NewCaught(
                id=new_id(),
                inbox=new.inbox,
                created_ms=int(self._catcher.clock.now_s() * 1_000),
                envelope=envelope,
                content=MemoryContent(report),
            )
        )

    def _report(self, new: NewCaught, failed: list[str]) -> bytes:
        with new.content.open() as stream:
            header, _ = split_message(stream.read(_HEADER_BYTES))
        recipients = tuple([EnvelopeRecipient(address) for address in failed])
        token = secrets.token_hex(12)
        return build_dsn(
            DsnRequest(
                kind=DsnKind.FAILURE,
                envelope=Envelope(new.envelope.reverse_path, recipients),
                outcomes=[(recipient, _OUTCOME) for recipient in recipients],
                original_header=header,
                hostname=self._hostname,
                now_s=self._catcher.clock.now_s(),
                arrived_at_s=new.created_ms / 1_000,
                boundary=f"=_{token}",
                message_id=f"<{token}@{self._hostname}>",
                queue_id=new.id,
            )
        )
