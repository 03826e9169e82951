"""Gathers what the status page tells, from the parts that know it.

Blocks:   disk, in a thread; figures are at most two seconds old, as monitors and open pages ask often.
"""

import shutil
from collections.abc import Sequence

import trio

from appliance import __version__
from appliance.app.wiring import Parts
from appliance.net.tls import TlsSetupError, read_certificate_info
from appliance.services.web.status import CertificateStatus, ListenerStatus, Status

__all__ = ["PartsStatus"]

FRESH_S = 2.0
FULL_BYTES = 1_048_576
"""A disk with less than this is full, whatever the settings say: file systems refuse some bytes before they count none."""


class PartsStatus:
    """Implements ``services.web.status.StatusSource``."""

    def __init__(self, parts: Parts, listeners: Sequence[ListenerStatus]) -> None:
        self._parts = parts
        self._listeners = tuple(listeners)
        self._certificate: tuple[str, CertificateStatus | None] = ("", None)
        self._known: Status | None = None
        self._known_at_s = float("-inf")
        self._gathering = trio.Lock()

    async def status(self) -> Status:
        """Return the state of the server."""
        async with self._gathering:
            now_s = trio.current_time()
            if self._known is None or now_s - self._known_at_s >= FRESH_S:
                self._known, self._known_at_s = await self._gather(), now_s
            return self._known

    async def _gather(self) -> Status:
        parts = self._parts
        now_s = parts.clock.now_s()
        oldest = await parts.admin.items(1)
        free, total, due_at_s = await parts.offload.run(self._read_disk)
        return Status(
            now_s=now_s,
            started_at_s=parts.started_at_s,
            version=__version__,
            hostname=parts.config.effective_hostname,
            queue=parts.admin.counts(),
            oldest_entry_at_s=oldest[0].arrived_at_s if oldest else None,
            oldest_due_at_s=due_at_s if due_at_s is not None and due_at_s < now_s else None,
            buckets=parts.observed.history.buckets(),
            listeners=self._listeners,
            certificate=await self._certificate_status(),
            data_directory=str(parts.data),
            disk_free=free,
            disk_total=total,
            disk_min_free=max(parts.config.queue.min_free_bytes, FULL_BYTES),
            events=parts.observed.recent.latest(),
            accounts=None if parts.dev else len(parts.config.users),
        )

    def _read_disk(self) -> tuple[int, int, float | None]:
        usage = shutil.disk_usage(self._parts.data)
        return usage.free, usage.total, self._parts.spool.next_due(0.0)

    async def _certificate_status(self) -> CertificateStatus | None:
        """Return what the certificate in use says; it is parsed once, as that loads the whole of cryptography."""
        tls = self._parts.tls
        mark = tls.channel_binding().hex()
        if self._certificate[0] != mark:
            try:
                info = await self._parts.offload.run(read_certificate_info, tls.certificate_file)
            except TlsSetupError:
                return None
            own = not self._parts.config.tls.certificate_file
            self._certificate = (mark, CertificateStatus(info.subject, info.issuer, info.not_after_s, own))
        return self._certificate[1]
