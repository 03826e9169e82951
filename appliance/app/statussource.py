"""Gathers what the status page tells, from the parts that know it.

Blocks:   disk, in a thread; figures are at most two seconds old, as monitors and open pages ask often.
"""

import shutil
import socket
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import trio

from appliance import __version__
from appliance.app.listening import Listener, addresses_of
from appliance.app.wiring import Parts
from appliance.net.tls import TlsSetupError, read_certificate_info
from appliance.services.web.status import CertificateStatus, DiskStatus, IndexStatus, ListenerStatus, Status

__all__ = ["PartsStatus", "listener_statuses"]

FRESH_S = 2.0
FULL_BYTES = 1_048_576
"""A disk with less than this is full, whatever the settings say: file systems refuse some bytes before they count none."""

_ROLE_NAMES: Final = {"mx": "SMTP", "submission": "Submission", "lmtp": "LMTP", "imap": "IMAP", "pop3": "POP3", "http": "Web"}


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
        disks, due_at_s = await parts.offload.run(self._read_disks)
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
            disks=disks,
            events=parts.observed.recent.latest(),
            text_index=self._index_status(),
            accounts=None if parts.dev else len(parts.current.users),
        )

    def _index_status(self) -> IndexStatus | None:
        if self._parts.indexer is None:
            return None
        progress = self._parts.indexer.progress()
        return IndexStatus(
            sum(one.messages for one in progress),
            sum(one.indexed for one in progress),
            sum(one.kept_bytes for one in progress),
            any(one.state == "full" for one in progress),
            max((one.looked_ago_s for one in progress), default=0.0),
        )

    def _read_disks(self) -> tuple[list[DiskStatus], float | None]:
        """Return every file system below the data directory once, by the first directory that lies on it, and since when mail is due."""
        data, least = self._parts.data, self._parts.config.queue.min_free_bytes
        found: dict[int, DiskStatus] = {}
        for directory in (data / "queue", data / "mail", data / "index"):
            device = directory.stat().st_dev
            if device not in found:
                holds_queue = not found
                usage = shutil.disk_usage(directory)
                min_free = max(least, FULL_BYTES) if holds_queue else FULL_BYTES
                # Where all is on one disk, that of the data directory is what people know.
                shown = data if data.stat().st_dev == device else directory
                found[device] = DiskStatus(str(shown), usage.free, usage.total, min_free, holds_queue)
        return list(found.values()), self._parts.spool.next_due(0.0)

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


def listener_statuses(sockets: Mapping[Listener, Sequence[socket.socket]]) -> list[ListenerStatus]:
    """Return what the page tells of each listener."""
    found: list[ListenerStatus] = []
    for listener, bound in sockets.items():
        plain: Literal["none", "starttls"] = "none" if listener.role == "http" else "starttls"
        found.append(ListenerStatus(_ROLE_NAMES[listener.role], addresses_of(listener, bound), "implicit" if listener.tls else plain))
    return found
