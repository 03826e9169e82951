"""The keys that mail is signed with, changed on schedule: when the following pair's records are seen in the DNS, and not before.

Owns the daily look. A pair that was retired is kept, and its records have to stay, until no mail that it signed can be on
its way; then its files go, and the log says that the records may. What is missing in the DNS is told each day.

Fails: never; what cannot be looked up or read is tried again the next day, with a line in the log.
Does not: publish anything.
Sources: RFC 6376 section 3.6.1 (records), M3AAWG DKIM Key Rotation best practices (section 4).
"""

import time
from typing import Final, Protocol

import trio

from appliance.model.errors import ApplianceError
from appliance.model.ports import Clock, Offload
from appliance.net.resolver import ResolveError
from appliance.observe.maillog import MailLog
from appliance.policy.dkim_sign import is_published
from appliance.storage.dkim_keys import DkimKeys, KeyPair

__all__ = ["KeyRotation", "TextLookup"]

KEPT_DAYS: Final = 14
"""Longer than mail waits in any queue, ours included."""
_DAY_S: Final = 86_400


class TextLookup(Protocol):
    """The part of the resolver that is needed here."""

    async def texts(self, name: str) -> tuple[bytes, ...]: ...


class KeyRotation:
    """The task. ``days``: how long a pair signs."""

    def __init__(self, keys: DkimKeys, resolver: TextLookup, *, days: int, offload: Offload, clock: Clock, mail_log: MailLog) -> None:
        self._keys = keys
        self._resolver = resolver
        self._days = days
        self._offload = offload
        self._clock = clock
        self._log = mail_log

    async def run(self) -> None:
        """Look once a day until cancelled."""
        while True:
            await self.look()
            await trio.sleep(_DAY_S)

    async def look(self) -> None:
        """Change the keys whose time has come. Blocks: disk, network."""
        for domain in await self._offload.run(self._keys.domains):
            try:
                await self._look_at(domain)
            except ApplianceError as error:
                self._log.error("dkim_unusable", domain=domain, reason=error.detail or error.client_text, fix="carteiro dkim list")

    async def _look_at(self, domain: str) -> None:
        now_s = self._clock.now_s()
        keys = await self._offload.run(self._keys.load, domain)
        if now_s - keys.current.since_s >= self._days * _DAY_S:
            missing = await self._unpublished(domain, keys.following)
            if missing:
                fix = f"publish the records of {' and '.join(missing)} that carteiro dkim list {domain} shows"
                self._log.warning("dkim_not_published", domain=domain, selectors=" ".join(missing), fix=fix)
            else:
                prefix = time.strftime("c%Y%m", time.gmtime(now_s))
                changed = await self._offload.run(self._keys.rotate, domain, prefix, now_s)
                self._log.notice(
                    "dkim_rotated",
                    domain=domain,
                    selectors=f"{changed.current.rsa} {changed.current.ed25519}",
                    keep=f"the records of {keys.current.rsa} and {keys.current.ed25519} for {KEPT_DAYS} days",
                    fix=f"publish the records of {changed.following.rsa} and {changed.following.ed25519}: carteiro dkim list {domain}",
                )
        for pair in await self._offload.run(self._keys.forget, domain, now_s - KEPT_DAYS * _DAY_S):
            self._log.notice("dkim_forgotten", domain=domain, selectors=f"{pair.rsa} {pair.ed25519}", fix="their records may go, too")

    async def _unpublished(self, domain: str, pair: KeyPair) -> list[str]:
        """Return the selectors of a pair whose records are not, or not rightly, in the DNS."""
        keys = await self._offload.run(self._keys.private_keys, domain, pair)
        return [key.selector for key in keys if not await self._is_published(f"{key.selector}._domainkey.{domain}", key.public)]

    async def _is_published(self, name: str, public: bytes) -> bool:
        try:
            texts = await self._resolver.texts(name)
        except ResolveError as error:
            self._log.warning("dkim_not_looked_up", name=name, reason=error.reason)
            return False
        return is_published(texts, public)
