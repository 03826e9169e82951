"""The state of the server as gauges, taken anew for every scrape.

Sources: Prometheus naming practices (base units, ``_info`` with the value 1).
"""

from appliance.observe.counters import Registry
from appliance.services.web.status import Status, problems

__all__ = ["StatusGauges"]


class StatusGauges:
    """Registers the gauges once; ``take`` sets them before the registry is rendered."""

    def __init__(self, registry: Registry) -> None:
        self._info = registry.gauge("carteiro_info", "Version of the running server", ("version",))
        self._start = registry.gauge("carteiro_start_time_seconds", "When the server started, Unix time")
        self._healthy = registry.gauge("carteiro_healthy", "1 when the health check passes")
        self._queue = registry.gauge("carteiro_queue_messages", "Messages in the queue by state", ("state",))
        self._oldest = registry.gauge("carteiro_queue_oldest_seconds", "Age of the oldest message in the queue")
        self._overdue = registry.gauge("carteiro_queue_overdue_seconds", "How long the most overdue recipient has waited past its time")
        self._disk_free = registry.gauge("carteiro_disk_free_bytes", "Free space on each disk that holds data", ("directory",))
        self._disk_total = registry.gauge("carteiro_disk_size_bytes", "Size of each disk that holds data", ("directory",))
        self._certificate = registry.gauge("carteiro_certificate_expiry_seconds", "When the certificate expires, Unix time; 0 without one")

    def take(self, status: Status) -> None:
        """Set every gauge from one state."""
        self._info.set(status.version, value=1)
        self._start.set(value=status.started_at_s)
        self._healthy.set(value=not any(problem.unhealthy for problem in problems(status)))
        for state, count in status.queue.items():
            self._queue.set(state, value=count)
        self._oldest.set(value=_age(status.oldest_entry_at_s, status.now_s))
        self._overdue.set(value=_age(status.oldest_due_at_s, status.now_s))
        for disk in status.disks:
            self._disk_free.set(disk.directory, value=disk.free)
            self._disk_total.set(disk.directory, value=disk.total)
        self._certificate.set(value=status.certificate.expires_at_s if status.certificate else 0)


def _age(since_s: float | None, now_s: float) -> float:
    return 0 if since_s is None else max(0.0, now_s - since_s)
