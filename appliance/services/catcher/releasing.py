"""Caught mail that leaves: by release, or by a rule beside being caught; and the reports that come back for it.

Owns the way through the real queue, with its retries and bounces. Without a server
to release to, nothing leaves this machine. What the queue would deliver here - a
report of a failure - is caught like everything else.

Fails: ReleaseError, with words for who asked. Durable: at return of ``send`` and ``keep``.
Sources: RFC 3464, RFC 5321 section 4.5.5 (null reverse-path).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.message.reading import read_message
from appliance.model.caught import CaughtEnvelope
from appliance.model.content import MemoryContent
from appliance.model.envelope import Body, Client, Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Intake, LocalJob
from appliance.model.routing import NextHop
from appliance.policy.caught_release import ReleaseRules
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.ids import new_id
from appliance.storage.caught import NewCaught

__all__ = ["CaughtReports", "Forwarder", "Release", "ReleaseError", "ReleaseRouter"]


class ReleaseError(Exception):
    """Why a message is not let go."""


@dataclass(slots=True)
class Release:
    """Where released mail goes: ``server`` is its name for people, ``queue`` the way there."""

    queue: Intake
    server: str
    rules: ReleaseRules = field(default_factory=ReleaseRules)
    hostname: str = "localhost"

    async def send(self, data: bytes, reverse_path: str, recipients: Sequence[str]) -> None:
        """Give a message to the queue; durable at return. Raises ReleaseError."""
        refusal = self.rules.refusal(recipients)
        if refusal:
            raise ReleaseError(refusal)
        author = next(iter(read_message(data).people(b"from")), None) if not reverse_path else None
        sender = self.rules.sender(reverse_path, author.address if author is not None else "")
        if not sender:
            raise ReleaseError("No From address found in message")
        changed = self.rules.rewritten(data, f"<{secrets.token_hex(16)}@{self.hostname}>")
        targets = tuple([EnvelopeRecipient(one) for one in recipients])
        body = Body.SEVEN_BIT if changed.isascii() else Body.EIGHT_BIT_MIME
        is_international = not all(address.isascii() for address in (sender, *recipients))
        envelope = Envelope(sender, targets, body, smtputf8=is_international, client=Client(protocol="HTTP"))
        writer, failure = None, None
        try:
            writer = await self.queue.begin()
            await writer.write(changed)
            await self.queue.accept(envelope, writer)
        except ApplianceError as error:
            failure = error
        if failure is not None:
            if writer is not None:
                await writer.discard()
            raise ReleaseError(failure.client_text) from failure

    def shown(self) -> dict[str, object]:
        """Return Mailpit's MessageRelay."""
        rules = self.rules
        return {
            "Enabled": True,
            "SMTPServer": self.server,
            "ReturnPath": rules.return_path,
            "AllowedRecipients": rules.allow,
            "BlockedRecipients": rules.block,
            "OverrideFrom": rules.override_from,
            "PreserveMessageIDs": rules.keep_message_id,
            "RecipientAllowlist": rules.allow,
        }


class ReleaseRouter:
    """A ``Router``: everything that was let go takes one way; reports, which have no sender, stay here."""

    def __init__(self, hop: NextHop) -> None:
        self._hop = hop

    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        return self._hop if reverse_path else None


class CaughtReports:
    """A ``LocalDelivery``: what the queue delivers here is caught. ``settle`` has nothing to do: it is durable at once."""

    def __init__(self, catcher: Catcher) -> None:
        self._catcher = catcher

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        return [await self._keep(job) for job in jobs]

    async def _keep(self, job: LocalJob) -> Outcome:
        envelope = CaughtEnvelope(reverse_path=job.envelope.reverse_path, recipients=(job.recipient.address,), protocol="DSN")
        now_ms = int(self._catcher.clock.now_s() * 1_000)
        try:
            await self._catcher.keep(NewCaught(id=new_id(), inbox="", created_ms=now_ms, envelope=envelope, content=job.content))
        except ApplianceError as error:
            return Outcome(Action.DEFERRED, "4.3.0", error.client_text, relay="catcher")
        return Outcome(Action.DELIVERED, "2.0.0", "caught", relay="catcher")

    async def settle(self) -> None:
        """Return at once."""


class Forwarder:
    """Lets go what a rule names, beside the copy that is caught."""

    def __init__(self, catcher: Catcher, release: Release) -> None:
        self._catcher = catcher
        self._release = release

    async def caught(self, new: NewCaught) -> None:
        """Send a caught message on to the recipients that get theirs for real. A failure is logged: the copy is here."""
        recipients = self._release.rules.forwarded(new.envelope.recipients)
        if not recipients:
            return
        content = new.content
        data = content.data if isinstance(content, MemoryContent) else await self._catcher.offload.run(_all_of, new)
        try:
            await self._release.send(data, new.envelope.reverse_path, recipients)
        except ReleaseError as error:
            self._catcher.mail_log.warning("forward_failed", id=new.id, recipients=len(recipients), reason=str(error))
        else:
            self._catcher.mail_log.notice("message_forwarded", id=new.id, recipients=len(recipients), relay=self._release.server)


def _all_of(new: NewCaught) -> bytes:
    with new.content.open() as stream:
        return stream.read()
