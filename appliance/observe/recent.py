"""What happened lately, in memory: warnings and errors in words, deliveries of the last day.

Owns two bounded memories fed by the mail log. ``RecentEvents`` keeps the last
troubles, the same trouble once with a count, so that a thousand failing logins
do not push out the one full disk; errors have places of their own.
``DeliveryHistory`` counts outcomes per quarter of an hour for 24 hours.
Does not: survive a restart; the journal does.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from appliance.model.ports import Clock

__all__ = ["BUCKETS", "BUCKET_S", "Bucket", "DeliveryHistory", "RecentEvent", "RecentEvents"]

BUCKET_S = 900
BUCKETS = 96
_LONGEST_TEXT = 300
_SUBJECT_FIELDS = ("service", "user", "to", "relay", "path", "destination")


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """One kind of trouble. ``subject``: whom or what it was about the last time; ``fix``: what a person should do."""

    event: str
    is_error: bool
    reason: str
    fix: str
    subject: str
    count: int
    first_at_s: float
    last_at_s: float

    @property
    def text(self) -> str:
        """Return it as a sentence."""
        words = self.event.replace("_", " ").capitalize()
        if self.subject:
            words += f" ({self.subject})"
        return f"{words}: {self.reason}" if self.reason else words


class RecentEvents:
    """The last troubles, latest first; a MailLog listener."""

    def __init__(self, clock: Clock, most: int = 25) -> None:
        self._clock = clock
        self._most = most
        self._kept: tuple[OrderedDict[tuple[str, str], RecentEvent], ...] = (OrderedDict(), OrderedDict())

    def __call__(self, event: str, level: int, fields: dict[str, Any]) -> None:
        """Keep a warning or an error. Meets the MailLog listener's form."""
        if level < logging.WARNING:
            return
        is_error = level >= logging.ERROR
        kept = self._kept[is_error]
        now_s = self._clock.now_s()
        reason = str(fields.get("reason") or "")[:_LONGEST_TEXT]
        subject = ", ".join([str(fields[name]) for name in _SUBJECT_FIELDS if fields.get(name)])[:_LONGEST_TEXT]
        known = kept.pop((event, reason), None)
        if known is not None:
            kept[event, reason] = replace(known, subject=subject, count=known.count + 1, last_at_s=now_s)
            return
        fix = str(fields.get("fix") or "")[:_LONGEST_TEXT]
        kept[event, reason] = RecentEvent(event, is_error, reason, fix, subject, 1, now_s, now_s)
        if len(kept) > self._most:
            kept.popitem(last=False)

    def latest(self) -> Sequence[RecentEvent]:
        """Return what is kept, errors and warnings together, latest first."""
        both = [event for kept in self._kept for event in kept.values()]
        return sorted(both, key=lambda event: event.last_at_s, reverse=True)


@dataclass(slots=True)
class Bucket:
    """Outcomes in the quarter of an hour that starts at ``start_s``."""

    start_s: int
    delivered: int = 0
    deferred: int = 0
    bounced: int = 0
    refused: int = 0


_OUTCOMES = {"delivered": "delivered", "sent": "delivered", "deferred": "deferred", "bounced": "bounced"}


class DeliveryHistory:
    """Outcomes of the last 24 hours; a MailLog listener."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: list[Bucket] = [Bucket(-1)] * BUCKETS

    def __call__(self, event: str, level: int, fields: dict[str, Any]) -> None:
        """Count one outcome. Meets the MailLog listener's form."""
        if event == "recipient_attempted":
            outcome = _OUTCOMES.get(fields["status"])
        elif event == "message_refused":
            outcome = "refused"
        else:
            return
        if outcome is not None:
            bucket = self._bucket()
            setattr(bucket, outcome, getattr(bucket, outcome) + 1)

    def _bucket(self) -> Bucket:
        start_s = int(self._clock.now_s()) // BUCKET_S * BUCKET_S
        place = start_s // BUCKET_S % BUCKETS
        if self._ring[place].start_s != start_s:
            self._ring[place] = Bucket(start_s)
        return self._ring[place]

    def buckets(self) -> Sequence[Bucket]:
        """Return 96 buckets, oldest first, the running one last; empty ones too."""
        last_s = int(self._clock.now_s()) // BUCKET_S * BUCKET_S
        found = []
        for start_s in range(last_s - (BUCKETS - 1) * BUCKET_S, last_s + 1, BUCKET_S):
            bucket = self._ring[start_s // BUCKET_S % BUCKETS]
            found.append(bucket if bucket.start_s == start_s else Bucket(start_s))
        return found
