"""What the status page knows, as one value, and what of it needs attention.

Owns the port ``StatusSource`` that the composition root fills, and the rules
that turn figures into problems with words. ``problems`` is pure: the page, the
health check and tests judge by the same function.

Sources: RFC 5321 section 4.5.4.1 (a queue that is not worked on is worse than one that is long).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from appliance.observe.recent import Bucket, RecentEvent

__all__ = ["CertificateStatus", "DiskStatus", "IndexStatus", "ListenerStatus", "Problem", "Status", "StatusSource", "problems"]

_STUCK_AFTER_S = 900
_CERTIFICATE_WARNING_S = 14 * 86_400
_DISK_LOW_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """``tls``: never, when the client asks for it (STARTTLS, STLS), or from the first byte."""

    protocol: str
    address: str
    tls: Literal["none", "starttls", "implicit"]


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    subject: str
    issuer: str
    expires_at_s: float
    own_authority: bool = False


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """One file system that holds data. ``directory``: where it begins, as people know it; sizes in bytes.

    ``min_free``: with no more than this it cannot do its work; ``holds_queue``: then mail is refused, else it waits in the queue.
    """

    directory: str
    free: int
    total: int
    min_free: int
    holds_queue: bool = True

    @property
    def is_full(self) -> bool:
        return bool(self.total) and self.free <= self.min_free

    @property
    def is_low(self) -> bool:
        return not self.is_full and self.free < self.total * _DISK_LOW_SHARE


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How far the text index of all accounts was ``looked_ago_s`` ago. ``is_full``: some account's has reached its bound."""

    messages: int
    indexed: int
    kept_bytes: int
    is_full: bool
    looked_ago_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at one moment. Times in seconds since the epoch, UTC; sizes in bytes.

    ``oldest_due_at_s``: since when the longest-waiting recipient that is due has
    been due; None when nothing is overdue. ``disks``: that of the queue first.
    ``accounts`` and ``messages``: None where counting would cost.
    """

    now_s: float
    started_at_s: float
    version: str
    hostname: str
    queue: Mapping[str, int] = field(default_factory=dict)
    oldest_entry_at_s: float | None = None
    oldest_due_at_s: float | None = None
    buckets: Sequence[Bucket] = ()
    listeners: Sequence[ListenerStatus] = ()
    certificate: CertificateStatus | None = None
    disks: Sequence[DiskStatus] = ()
    events: Sequence[RecentEvent] = ()
    accounts: int | None = None
    messages: int | None = None
    text_index: IndexStatus | None = None


class StatusSource(Protocol):
    async def status(self) -> Status:
        """Return the state of the server. Cheap: browsers and monitors ask often."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``key`` names the text; ``unhealthy``: the server cannot do its work, monitors must know. ``directory``: where, of a disk."""

    key: str
    unhealthy: bool
    values: Mapping[str, float] = field(default_factory=dict)
    directory: str = ""


def problems(status: Status) -> list[Problem]:
    """Return what needs a person, worst first; empty when all is well."""
    found: list[Problem] = []
    for disk in status.disks:
        if disk.is_full:
            key = "disk_full" if disk.holds_queue else "mail_disk_full"
            found.append(Problem(key, unhealthy=True, values={"free": disk.free}, directory=disk.directory))
    if status.oldest_due_at_s is not None and status.now_s - status.oldest_due_at_s > _STUCK_AFTER_S:
        found.append(Problem("queue_stuck", unhealthy=True, values={"since": status.oldest_due_at_s}))
    certificate = status.certificate
    if certificate is not None and certificate.expires_at_s <= status.now_s:
        found.append(Problem("certificate_expired", unhealthy=False, values={"since": certificate.expires_at_s}))
    elif certificate is not None and certificate.expires_at_s - status.now_s < _CERTIFICATE_WARNING_S:
        found.append(Problem("certificate_expires", unhealthy=False, values={"at": certificate.expires_at_s}))
    found += [
        Problem("disk_low", unhealthy=False, values={"free": disk.free}, directory=disk.directory) for disk in status.disks if disk.is_low
    ]
    if corrupt := status.queue.get("corrupt", 0):
        found.append(Problem("queue_corrupt", unhealthy=False, values={"count": corrupt}))
    day_ago_s = status.now_s - 86_400
    if errors := sum(event.count for event in status.events if event.is_error and event.last_at_s > day_ago_s):
        found.append(Problem("errors", unhealthy=False, values={"count": errors}))
    return found
