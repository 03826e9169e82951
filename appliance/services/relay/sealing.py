"""Our seal on what an alias of ours sends on: what we found when the message came, for those who meet us instead of its author.

Owns which key seals - of the domain that the alias belongs to, else of the server's own - and that
we vouch only for what we have judged: our own Authentication-Results stands in front of it.

Fails: never; without a usable key mail goes on as it is.
Does not: seal a chain that we have not checked.
Sources: RFC 8617 sections 5.1 and 7.2 (forwarders), RFC 8601 section 2.2.
"""

from typing import Final

from appliance.message.authres import authserv_id, merged_results, parse_results
from appliance.message.header import HeaderSection
from appliance.model.content import Content, PrefixedContent
from appliance.model.ports import Clock, Offload, RelayJob
from appliance.observe.maillog import MailLog
from appliance.policy.arc import ArcResult, ArcVerdict
from appliance.policy.arc_seal import ArcSealer, seal_message
from appliance.services.relay.signers import KeysUnusableError, Signers, hash_message

__all__ = ["Sealing"]

_RESULTS: Final = frozenset(result.value for result in ArcResult)


class Sealing:
    """Seals in the name of the first of these that has an RSA key: the alias's domain, ``domain``."""

    def __init__(self, signers: Signers, *, hostname: str, domain: str, offload: Offload, clock: Clock, mail_log: MailLog) -> None:
        self._signers = signers
        self._hostname = hostname
        self._domain = domain
        self._offload = offload
        self._clock = clock
        self._log = mail_log

    async def sealed(self, job: RelayJob) -> Content:
        """Return a message with our seal in front, or as it is. Blocks: disk, processor, in a thread."""
        now_s = self._clock.monotonic_s()  # a thread could not ask trio's clock
        if self._signers.is_known_empty(now_s):
            return job.content
        original = next((one.original for one in job.recipients if one.original), "")
        try:
            fields = await self._offload.run(self._seal, job.content, original.rpartition("@")[2].lower(), now_s)
        except KeysUnusableError as error:
            self._log.error("arc_unsealed", queue_id=job.queue_id, reason=str(error), fix="carteiro dkim list; mend or remove the keys")
            return job.content
        return PrefixedContent(fields, job.content) if fields else job.content

    def _seal(self, content: Content, alias_domain: str, now_s: float) -> bytes:
        sealer = self._sealer(alias_domain) if self._signers.look(now_s) else None
        if sealer is None:
            return b""
        hashed = hash_message(content, lambda section: self._own_findings(section) is not None)
        if hashed is None:
            return b""
        section, digest = hashed
        verdict = self._own_findings(section)
        assert verdict is not None
        results = f"{self._hostname}; {merged_results(section, self._hostname)}"
        return seal_message(sealer, section.fields, verdict, results=results, body_hash=digest, now_s=self._clock.now_s())

    def _own_findings(self, section: HeaderSection) -> ArcVerdict | None:
        """Return what we found of the chain when the message came; None when it was not judged.

        Only what stands above our own Received field is surely ours: everything below came with the message.
        """
        for field in section.fields:
            name = field.name.lower()
            if name == b"received":
                return None
            if name == b"authentication-results" and authserv_id(field.value) == self._hostname.lower():
                found = next((one.result for one in parse_results(field.value)[1] if one.method == "arc"), "")
                return ArcVerdict(ArcResult(found)) if found in _RESULTS else None
        return None

    def _sealer(self, alias_domain: str) -> ArcSealer | None:
        # Ed25519 seals are understood by few (RFC 8617 section 4.1.1 knows rsa-sha256 alone).
        keys = [*self._signers.of(alias_domain), *self._signers.of(self._domain)]
        return next((ArcSealer(key.domain, key.selector, key.sign) for key in keys if key.algorithm == "rsa-sha256"), None)
