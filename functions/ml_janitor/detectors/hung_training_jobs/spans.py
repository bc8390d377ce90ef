"""Between which values a metric lay over some time, and for how long it was missing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from ml_janitor.aws.metrics import GET_METRIC_DATA, Series
from ml_janitor.core.model import Absent, Signal, Unreadable, Value

PERIOD = 300
"""Seconds. The metrics come every minute; the lowest and the highest of five are asked for."""

LONGEST_HOLE = timedelta(hours=1)
"""How long a metric may be missing in between before its host counts as not measured."""


@dataclass(frozen=True, slots=True)
class Span:
    """The lowest and the highest value of a metric over some time, and its longest *hole*."""

    lowest: float
    highest: float
    hole: timedelta = timedelta()

    @property
    def whole(self) -> bool:
        """Whether there are values for all of the time."""
        return self.hole <= LONGEST_HOLE

    def still(self, tolerance: float) -> bool:
        """Whether it varies by no more than *tolerance*."""
        return self.highest - self.lowest <= tolerance

    def rests(self, full: float, tolerance: float, rest: float = math.inf) -> bool:
        """Whether it stays near zero (below *rest*)."""
        return self.highest <= min(tolerance * full, rest)

    def fills(self, full: float, tolerance: float) -> bool:
        """Whether it stays near *full*."""
        return self.lowest >= (1 - tolerance) * full and self.highest <= (1 + tolerance) * full


def span(lows: Signal[Series], highs: Signal[Series], start: datetime, end: datetime) -> Signal[Span]:
    """The span between *lows* and *highs* from *start* to *end*; a value that is no number is unreadable."""
    match lows, highs:
        case (Unreadable() as failed, _) | (_, Unreadable() as failed):
            return failed
        case Value(low), Value(high):
            pass
        case _:
            return Absent(GET_METRIC_DATA)
    within = [(at, value) for at, value in (*low.points, *high.points) if start <= at <= end]
    if not within:
        return Absent(GET_METRIC_DATA)
    values = [value for _, value in within]
    if not all(map(math.isfinite, values)):
        return Unreadable("GetMetricData: a value is no number", GET_METRIC_DATA)
    period = timedelta(seconds=PERIOD)
    times = sorted({at for at, _ in within})
    holes = (later - before for before, later in pairwise([start, *times, end]))
    return Value(Span(min(values), max(values), max(holes) - period), GET_METRIC_DATA)
