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

__all__ = ["CertificateStatus", "ListenerStatus", "Problem", "Status", "StatusSource", "problems"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at one moment. Times in seconds since the epoch, UTC; sizes in bytes.

    ``oldest_due_at_s``: since when the longest-waiting recipient that is due has
    been due; None when nothing is overdue. ``disk_min_free``: below it mail is
    refused for now. ``accounts`` and ``messages``: None where counting would cost.
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
    data_directory: str = ""
    disk_free: int = 0
    disk_total: int = 0
    disk_min_free: int = 0
    events: Sequence[RecentEvent] = ()
    accounts: int | None = None
    messages: int | None = None


class StatusSource(Protocol):
    async def status(self) -> Status:
        """Return the state of the server. Cheap: browsers and monitors ask often."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``key`` names the text; ``unhealthy``: the server cannot do its work, monitors must know."""

    key: str
    unhealthy: bool
    values: Mapping[str, float] = field(default_factory=dict)


def problems(status: Status) -> list[Problem]:
    """Return what needs a person, worst first; empty when all is well."""
    found: list[Problem] = []
    if status.disk_total and status.disk_free <= status.disk_min_free:
        found.append(Problem("disk_full", unhealthy=True, values={"free": status.disk_free}))
    if status.oldest_due_at_s is not None and status.now_s - status.oldest_due_at_s > _STUCK_AFTER_S:
        found.append(Problem("queue_stuck", unhealthy=True, values={"since": status.oldest_due_at_s}))
    certificate = status.certificate
    if certificate is not None and certificate.expires_at_s <= status.now_s:
        found.append(Problem("certificate_expired", unhealthy=False, values={"since": certificate.expires_at_s}))
    elif certificate is not None and certificate.expires_at_s - status.now_s < _CERTIFICATE_WARNING_S:
        found.append(Problem("certificate_expires", unhealthy=False, values={"at": certificate.expires_at_s}))
    if status.disk_total and status.disk_min_free < status.disk_free < status.disk_total * _DISK_LOW_SHARE:
        found.append(Problem("disk_low", unhealthy=False, values={"free": status.disk_free}))
    if corrupt := status.queue.get("corrupt", 0):
        found.append(Problem("queue_corrupt", unhealthy=False, values={"count": corrupt}))
    day_ago_s = status.now_s - 86_400
    if errors := sum(event.count for event in status.events if event.is_error and event.last_at_s > day_ago_s):
        found.append(Problem("errors", unhealthy=False, values={"count": errors}))
    return found
