"""Counters, gauges and histograms, and their text for Prometheus.

Owns the names: all start with ``carteiro_``, carry their unit, and end in
``_total`` where they only grow. ``MailCounters`` is a MailLog listener: what is
logged is counted, nothing is counted twice. Labels come from closed sets or are
capped at 200 series per metric, then counted under ``other``.
Does not: lock; everything happens in the event loop's thread.

Sources: Prometheus text exposition format 0.0.4 and its naming practices.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Counter", "Gauge", "Histogram", "MailCounters", "Registry"]

_MOST_SERIES = 200
_DELAYS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 43_200, 172_800)


class _Metric(Protocol):
    name: str

    def render(self) -> Iterable[str]: ...


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _head(name: str, doc: str, kind: str) -> str:
    return f"# HELP {name} {doc.replace(chr(92), chr(92) * 2).replace(chr(10), ' ')}\n# TYPE {name} {kind}\n"


class Counter:
    """Only grows. ``labels`` name the parts; ``add`` takes their values in that order."""

    kind = "counter"

    def __init__(self, name: str, doc: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self._doc = doc
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *labels: str, amount: float = 1) -> None:
        values = self._values
        if labels not in values and len(values) >= _MOST_SERIES:
            labels = ("other",) * len(self._labels)
        values[labels] = values.get(labels, 0.0) + amount

    def value(self, *labels: str) -> float:
        return self._values.get(labels, 0.0)

    def render(self) -> Iterable[str]:
        yield _head(self.name, self._doc, self.kind)
        for labels in sorted(self._values):
            yield f"{self.name}{_labelled(self._labels, labels)} {_number(self._values[labels])}\n"


class Gauge(Counter):
    """Goes up and down; or is asked for when rendered: ``read`` returns label values to value."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        doc: str,
        labels: Sequence[str] = (),
        read: Callable[[], Mapping[tuple[str, ...], float]] | None = None,
    ) -> None:
        super().__init__(name, doc, labels)
        self._read = read

    def set(self, *labels: str, value: float) -> None:
        self._values[labels] = value

    def render(self) -> Iterable[str]:
        if self._read is not None:
            self._values = dict(self._read())
        return super().render()


class Histogram:
    """How values spread over upper bounds; the last bucket has none."""

    def __init__(self, name: str, doc: str, bounds: Sequence[float]) -> None:
        self.name = name
        self._doc = doc
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def render(self) -> Iterable[str]:
        yield _head(self.name, self._doc, "histogram")
        total = 0
        for bound, count in zip([*map(_number, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}\n'
        yield f"{self.name}_sum {_number(self._sum)}\n{self.name}_count {total}\n"


class Registry:
    """All metrics of the process, each name once."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}

    def _keep(self, metric: _Metric) -> None:
        assert metric.name not in self._metrics, metric.name
        self._metrics[metric.name] = metric

    def counter(self, name: str, doc: str, labels: Sequence[str] = ()) -> Counter:
        metric = Counter(name, doc, labels)
        self._keep(metric)
        return metric

    def gauge(
        self,
        name: str,
        doc: str,
        labels: Sequence[str] = (),
        read: Callable[[], Mapping[tuple[str, ...], float]] | None = None,
    ) -> Gauge:
        metric = Gauge(name, doc, labels, read)
        self._keep(metric)
        return metric

    def histogram(self, name: str, doc: str, bounds: Sequence[float]) -> Histogram:
        metric = Histogram(name, doc, bounds)
        self._keep(metric)
        return metric

    def render(self) -> str:
        """Return everything as ``text/plain; version=0.0.4``."""
        return "".join([line for name in sorted(self._metrics) for line in self._metrics[name].render()])


class MailCounters:
    """Counts what the mail log tells; pass it to ``MailLog(listeners=[...])``."""

    def __init__(self, registry: Registry) -> None:
        self._sessions = registry.counter("carteiro_sessions_total", "Connections that ended", ("service",))
        self._received = registry.counter("carteiro_session_received_bytes_total", "Bytes from clients", ("service",))
        self._sent = registry.counter("carteiro_session_sent_bytes_total", "Bytes to clients", ("service",))
        self._logins = registry.counter("carteiro_logins_total", "Login attempts", ("service", "status"))
        self._refused = registry.counter("carteiro_messages_refused_total", "Senders, recipients and messages refused", ("stage",))
        self._checks = registry.counter("carteiro_checks_refused_total", "Refusals by the check that refused", ("check",))
        self._queued = registry.counter("carteiro_messages_queued_total", "Messages acknowledged and queued")
        self._queued_bytes = registry.counter("carteiro_messages_queued_bytes_total", "Bytes of messages queued")
        self._attempts = registry.counter("carteiro_recipients_total", "Delivery attempts per recipient by outcome", ("status",))
        self._delays = registry.histogram("carteiro_delivery_delay_seconds", "From arrival to delivery or bounce", _DELAYS_S)
        self._events = registry.counter("carteiro_log_events_total", "Warnings and errors in the log", ("level", "event"))
        self._count: dict[str, Callable[[dict[str, Any]], None]] = {
            "session_finished": self._session_finished,
            "auth_finished": lambda fields: self._logins.add(fields["service"], fields["status"]),
            "message_refused": self._message_refused,
            "message_queued": self._message_queued,
            "recipient_attempted": self._recipient_attempted,
        }

    def __call__(self, event: str, level: int, fields: dict[str, Any]) -> None:
        """Count one event. Meets the MailLog listener's form."""
        count = self._count.get(event)
        if count is not None:
            count(fields)
        if level >= logging.WARNING:
            self._events.add("error" if level >= logging.ERROR else "warning", event)

    def _session_finished(self, fields: dict[str, Any]) -> None:
        service = fields["service"]
        self._sessions.add(service)
        self._received.add(service, amount=fields["bytes_in"])
        self._sent.add(service, amount=fields["bytes_out"])

    def _message_refused(self, fields: dict[str, Any]) -> None:
        self._refused.add(fields["stage"])
        if "check" in fields:
            self._checks.add(fields["check"])

    def _message_queued(self, fields: dict[str, Any]) -> None:
        self._queued.add()
        self._queued_bytes.add(amount=fields["size"])

    def _recipient_attempted(self, fields: dict[str, Any]) -> None:
        status = fields["status"]
        self._attempts.add(status)
        if status != "deferred":
            self._delays.observe(fields["delay"])
