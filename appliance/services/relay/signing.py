"""DKIM signatures on what leaves: a relay in front of the relay.

Owns which messages are signed - those of our own people, programs and reports, by the
domain of their author where we have its keys - and that each is signed once,
whatever the number of its destinations and tries. RSA, Ed25519 and the hash of the body are one hop to a thread.

Fails: a message that cannot be signed waits for a retry, when keys are there and cannot be
used: unsigned it would be refused elsewhere for good. Raises ApplianceError when it cannot be read.
Does not: sign what strangers sent through us: a From of ours on such mail is not ours to vouch for.

Sources: RFC 6376 sections 5.1 and 5.5, RFC 8463 section 3 (both at once), OpenDKIM's InternalHosts.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import trio

from appliance.model.content import Content, PrefixedContent
from appliance.model.envelope import Envelope
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.ports import Clock, Offload, RelayJob
from appliance.observe.maillog import MailLog
from appliance.policy.dkim_sign import author_domain, sign_message
from appliance.services.relay.ladder import RunningRelay
from appliance.services.relay.signers import KeysUnusableError, Signers, hash_message

__all__ = ["Signing"]

MAX_KEPT: Final = 1_000
INTERNAL: Final = "internal"


class Signing:
    """Implements ``model.ports.RelayDelivery``."""

    def __init__(
        self,
        relay: RunningRelay,
        signers: Signers,
        *,
        offload: Offload,
        clock: Clock,
        mail_log: MailLog,
        is_trusted: Callable[[str], bool],
        rotation: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``is_trusted``: tells whether a client's address needs no login; ``rotation``: what changes the keys on schedule."""
        self._rotation = rotation
        self._relay = relay
        self._signers = signers
        self._offload = offload
        self._clock = clock
        self._log = mail_log
        self._is_trusted = is_trusted
        self._signatures: OrderedDict[QueueId, bytes] = OrderedDict()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            if self._rotation is not None:
                nursery.start_soon(self._rotation)
            await self._relay.run()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """See ``RelayDelivery.deliver``."""
        if not self._is_ours(job.envelope):
            return await self._relay.deliver(job)
        signature = self._signatures.get(job.queue_id)
        if signature is None:
            now_s = self._clock.monotonic_s()  # a thread could not ask trio's clock
            if self._signers.is_known_empty(now_s):
                return await self._relay.deliver(job)
            try:
                signature = await self._offload.run(self._sign, job.content, now_s)
            except KeysUnusableError as error:
                self._log.error(
                    "dkim_unusable", queue_id=job.queue_id, reason=str(error), fix="carteiro dkim list; mend or remove the keys"
                )
                return [Outcome(Action.DEFERRED, "4.7.0", f"cannot be signed: {error}")] * len(job.recipients)
            self._signatures[job.queue_id] = signature
            if len(self._signatures) > MAX_KEPT:
                self._signatures.popitem(last=False)
        return await self._relay.deliver(replace(job, content=PrefixedContent(signature, job.content)) if signature else job)

    def _is_ours(self, envelope: Envelope) -> bool:
        client = envelope.client
        return client.account is not None or client.protocol == INTERNAL or self._is_trusted(client.address)

    def _sign(self, content: Content, now_s: float) -> bytes:
        """Return the fields to put in front, nothing when the author's domain has no keys. Blocks: disk, processor; in a thread."""
        if not self._signers.look(now_s):
            return b""
        hashed = hash_message(content, lambda section: bool(self._signers.of(author_domain(section.fields))))
        if hashed is None:
            return b""
        section, digest = hashed
        return sign_message(self._signers.of(author_domain(section.fields)), section.fields, digest, self._clock.now_s())
