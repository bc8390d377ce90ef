"""A store of CloudWatch metrics, indexed by exactly what identifies a metric, and its arithmetic."""

from __future__ import annotations

import datetime as dt
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto_corrections import clock
from moto_corrections.patches import AwsError

MINUTE, HOUR, DAY = 60, 3600, 86400
SHORT_PERIODS = (1, 5, 10, 20, 30)
# How far back each grain reaches: (age of the start, the period must be a multiple of this).
# Documentation of MetricStat.Period: otherwise "no data points in that time range is returned".
GRAINS = ((63 * DAY, HOUR), (15 * DAY, 5 * MINUTE), (3 * HOUR, MINUTE))
RETENTION = 455 * DAY

type Dimensions = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a metric: the order of dimensions is not part of it."""

    namespace: str
    name: str
    dimensions: Dimensions

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Iterable[Mapping[str, str]] | None) -> Identity:
        """Read the dimensions as AWS's requests spell them."""
        pairs = frozenset((dimension["Name"], dimension["Value"]) for dimension in dimensions or ())
        return cls(namespace, name, pairs)


@dataclass(frozen=True, slots=True)
class Point:
    """One published value, or many, or a statistic set."""

    at: float
    count: float
    total: float
    low: float
    high: float
    values: tuple[float, ...] | None = None
    unit: str | None = None

    @classmethod
    def single(cls, at: float, value: float, unit: str | None = None) -> Point:
        return cls(at, 1.0, value, value, value, (value,), unit)


@dataclass(slots=True)
class Series:
    """The points of one metric, oldest first."""

    points: list[Point] = field(default_factory=list)
    _sorted: bool = True

    def __deepcopy__(self, _: object) -> Series:
        """Share the points with the copy: they do not change and are a hundred thousand in the demo."""
        return Series(list(self.points), self._sorted)

    def add(self, points: Iterable[Point]) -> None:
        self.points.extend(points)
        self._sorted = False

    def between(self, start: float, end: float) -> list[Point]:
        """Return the points in [start, end)."""
        self._sort()
        first = bisect_left(self.points, start, key=lambda point: point.at)
        last = bisect_left(self.points, end, lo=first, key=lambda point: point.at)
        return self.points[first:last]

    def _sort(self) -> None:
        if not self._sorted:
            self.points.sort(key=lambda point: point.at)
            self._sorted = True


class Metrics:
    """All metrics of one account in one region."""

    def __init__(self) -> None:
        self.series: dict[Identity, Series] = {}

    def publish(self, identity: Identity, points: Iterable[Point]) -> None:
        """Add points to a metric, which exists from its first one."""
        self.series.setdefault(identity, Series()).add(points)

    def points(self, identity: Identity, start: float, end: float) -> list[Point]:
        """Return the points published in [start, end); none for a metric that does not exist."""
        found = self.series.get(identity)
        return [] if found is None else found.between(start, end)

    def alive(self, start: float, end: float) -> Iterator[Identity]:
        """List the metrics with data in [start, end), in a stable order."""
        for identity in sorted(
            self.series, key=lambda identity: (identity.namespace, identity.name, sorted(identity.dimensions))
        ):
            if self.series[identity].between(start, end):
                yield identity


def window(start: float, end: float, period: int, now: float) -> tuple[float, float] | None:
    """Return the time really looked at, or None if the period is too fine for so old a start.

    The start is rounded down to a whole minute, to five minutes when older than 15 days, to the
    hour when older than 63 (documentation of GetMetricData's StartTime).
    """
    age = now - start
    for reach, grain in GRAINS:
        if age > reach:
            if period % grain:
                return None
            rounded = math.floor(start / grain) * grain
            return max(rounded, now - RETENTION), end
    grain = period if period in SHORT_PERIODS else MINUTE
    return math.floor(start / grain) * grain, end


def buckets(points: Iterable[Point], period: int) -> dict[int, list[Point]]:
    """Return points by the start of the period they fall in, oldest first.

    Periods are counted from 1970, so a window that does not start on a boundary touches one period
    more than it is long, as on AWS: whoever reads only the first value reads part of the sum.
    """
    found: dict[int, list[Point]] = {}
    for point in points:
        found.setdefault(math.floor(point.at / period) * period, []).append(point)
    return found


def statistic(points: list[Point], name: str) -> float | None:
    """Return one statistic over the points of one period; None where there is nothing to tell."""
    if name == "SampleCount":
        return math.fsum(point.count for point in points)
    if name == "Sum":
        return math.fsum(point.total for point in points)
    if name == "Average":
        count = math.fsum(point.count for point in points)
        return math.fsum(point.total for point in points) / count if count else None
    if name == "Minimum":
        return min(point.low for point in points)
    if name == "Maximum":
        return max(point.high for point in points)
    return _percentile(points, percent(name))


def percent(name: str) -> float:
    """Return the number in `p99.9`; an error for any statistic that is not supported here."""
    match = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?|100)", name)
    if match is None:
        raise invalid(f"The value {name} for parameter Stat is not supported.")
    return float(match[1])


def _percentile(points: list[Point], wanted: float) -> float | None:
    """Return the nearest rank, over raw values: a statistic set of several has none to offer."""
    counted: dict[float, int] = {}
    for point in points:
        if point.values is None and point.low != point.high:
            return None
        for value in point.values or (point.low,):
            counted[value] = counted.get(value, 0) + (int(point.count) if point.values is None else 1)
    rank = max(1, math.ceil(sum(counted.values()) * wanted / 100))
    for value in sorted(counted):
        rank -= counted[value]
        if rank <= 0:
            return value
    return None


def moment(at: float) -> dt.datetime:
    """Return seconds since 1970 as a time."""
    return dt.datetime.fromtimestamp(at, dt.UTC)


def seconds(value: Any) -> float:
    """Return a time, with or without a zone, as seconds since 1970."""
    return clock.aware(value).timestamp() if isinstance(value, dt.datetime) else float(value)


def check_period(period: int) -> None:
    """Refuse what CloudWatch would."""
    if period not in SHORT_PERIODS and (period < 1 or period % 60):
        raise invalid("Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def times(params: dict[str, Any]) -> tuple[float, float]:
    """Return the start and the end that a request asks for."""
    start, end = seconds(params["StartTime"]), seconds(params["EndTime"])
    if start >= end:
        raise invalid("The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def in_unit(points: list[Point], unit: str | None) -> list[Point]:
    """Return only the points published in this unit, if one is asked for (documentation of Unit)."""
    return [point for point in points if point.unit == unit] if unit else points


def invalid(message: str) -> AwsError:
    """Return CloudWatch's answer to an invalid query."""
    return AwsError("ValidationError", message)
