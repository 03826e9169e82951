"""The bars of the last 24 hours: one per clock hour, outcomes stacked, as numbers for an SVG.

Owns geometry alone. Colours are the style sheet's, words are the template's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from appliance.observe.recent import Bucket

__all__ = ["HEIGHT", "OUTCOMES", "WIDTH", "Chart", "Hour", "Segment", "make_chart"]

OUTCOMES = ("delivered", "deferred", "bounced", "refused")
WIDTH, HEIGHT = 720, 140
_BAR_S = 3_600
_GAP = 6
_SHORTEST = 3.0
"""A single message beside a thousand is still seen."""


@dataclass(frozen=True, slots=True)
class Segment:
    outcome: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Hour:
    start_s: int
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Chart:
    """``top``: what the height of the chart stands for."""

    hours: Sequence[Hour]
    totals: dict[str, int]
    segments: Sequence[Segment]
    top: int

    @property
    def total(self) -> int:
        return sum(self.totals.values())

    @property
    def busiest(self) -> Hour:
        return max(self.hours, key=lambda hour: hour.total)


def make_chart(buckets: Sequence[Bucket]) -> Chart:
    """Stack the buckets, oldest first, into one bar per clock hour; the first and the last may be parts. No buckets: no bars."""
    hours = []
    for number, quarters in groupby(buckets, lambda bucket: bucket.start_s // _BAR_S):
        counts = dict.fromkeys(OUTCOMES, 0)
        for bucket in quarters:
            for outcome in OUTCOMES:
                counts[outcome] += getattr(bucket, outcome)
        hours.append(Hour(number * _BAR_S, counts))
    totals = {outcome: sum(hour.counts[outcome] for hour in hours) for outcome in OUTCOMES}
    top = _round_up(max((hour.total for hour in hours), default=0))
    segments = [segment for place, hour in enumerate(hours) for segment in _bar(hour, place, len(hours), top)]
    return Chart(hours, totals, segments, top)


def _bar(hour: Hour, place: int, bars: int, top: int) -> list[Segment]:
    width = WIDTH / bars - _GAP
    x = round(place * WIDTH / bars + _GAP / 2, 1)
    segments = []
    y = float(HEIGHT)
    for outcome, count in hour.counts.items():
        if count:
            height = max(_SHORTEST, count / top * HEIGHT)
            y = max(0.0, y - height)
            segments.append(Segment(outcome, x, round(y, 1), round(width, 1), round(height, 1)))
    return segments


def _round_up(most: int) -> int:
    """Return a round figure that is not below ``most``: 1, 2, 5 times a power of ten."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= most:
                return step * power
        power *= 10
