"""Reads CloudWatch metrics in bulk: the list of series, and their data, 500 to a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import batched
from typing import TYPE_CHECKING, Any, Literal

from ml_janitor.aws.answers import ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

type MetricStat = Literal["Sum", "Average", "Minimum", "Maximum", "SampleCount"]

QUERIES_PER_CALL = 500
"""GetMetricData's limit."""

LIST_METRICS = "cloudwatch:ListMetrics"
GET_METRIC_DATA = "cloudwatch:GetMetricData"

COMPLETE_DATA, PARTIAL_DATA = "Complete", "PartialData"
GOOD_STATUSES = frozenset({COMPLETE_DATA, PARTIAL_DATA})
"""Status codes of a result before its last page; any other (InternalError, Forbidden) is a failure."""


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One statistic of one metric.

    *dimensions* must be the exact published set: a query with fewer matches nothing. *period* is in
    seconds; 3600 is kept for 455 days, 60 for 15 days only (shorter than asked for reads as no data).
    """

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    stat: MetricStat = "Sum"
    period: int = 3600

    @classmethod
    def of(
        cls, namespace: str, name: str, *, stat: MetricStat = "Sum", period: int = 3600, **dimensions: str
    ) -> Metric:
        """Return a metric with its dimensions as keywords."""
        return cls(namespace, name, frozenset(dimensions.items()), stat, period)


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """Datapoints, oldest first."""

    points: tuple[tuple[datetime, float], ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Return the datapoints without their times."""
        return tuple(value for _, value in self.points)

    @property
    def total(self) -> float:
        """Return the sum of all datapoints: a window may fall into several buckets."""
        return sum(self.values)

    @property
    def last_above_zero(self) -> datetime | None:
        """Return the start of the newest period with a value above zero."""
        return next((at for at, value in reversed(self.points) if value > 0), None)


def list_series(aws: Aws, namespace: str, name: str | None = None) -> Signal[tuple[Metric, ...]]:
    """
    List the series that had data in the past two weeks, by namespace and name only.

    The list never proves silence: a new series is listed after a quarter of an hour.
    A listing that broke off is unreadable.
    """

    def metric(found: Mapping[str, Any]) -> Metric:  # the member may be missing without dimensions
        dimensions = frozenset((pair["Name"], pair["Value"]) for pair in found.get("Dimensions", ()))
        return Metric(namespace, found["MetricName"], dimensions)

    query = {"Namespace": namespace} | ({} if name is None else {"MetricName": name})
    listing = aws.listing(LIST_METRICS, "Metrics", metric, **query)
    return replace(listing, items=tuple(dict.fromkeys(listing.items))).signal(LIST_METRICS)


def read_metrics(
    aws: Aws, metrics: Iterable[Metric], start: datetime, end: datetime
) -> Mapping[Metric, Signal[MetricSeries]]:
    """
    Return the datapoints of every metric between *start* and *end*.

    *start* is rounded down to a whole period: CloudWatch stamps a period with its beginning, and
    only returns periods from *start* on, so the rest of that first period would be lost.
    `Absent` is a series that was read and has no datapoint, as is one with a wrong name.
    A metric whose answer is missing or incomplete is `Unreadable`.
    """
    by_start: dict[datetime, list[Metric]] = {}
    for metric in dict.fromkeys(metrics):
        by_start.setdefault(period_start(start, metric.period), []).append(metric)
    calls = [
        (first, batch) for first, wanted in by_start.items() for batch in batched(wanted, QUERIES_PER_CALL)
    ]
    answers = aws.map(lambda call: _read_batch(aws, call[1], call[0], end), calls)
    return {metric: signal for answer in answers for metric, signal in answer.items()}


def period_start(time: datetime, period: int) -> datetime:
    """Return the start of the *period* (seconds, counted from 1970) that *time* falls into."""
    seconds = int(time.timestamp())
    return datetime.fromtimestamp(seconds - seconds % period, UTC)


def _read_batch(
    aws: Aws, batch: Sequence[Metric], start: datetime, end: datetime
) -> dict[Metric, Signal[MetricSeries]]:
    """Make one GetMetricData call and read all its pages, which may split a series."""
    points: dict[str, list[tuple[datetime, float]]] = {}
    status: dict[str, str] = {}

    def pages() -> None:
        queries = [_query(f"m{n}", metric) for n, metric in enumerate(batch)]
        order = "TimestampAscending"
        asked = {"MetricDataQueries": queries, "StartTime": start, "EndTime": end, "ScanBy": order}
        for page in aws.pages(GET_METRIC_DATA, **asked):
            for result in page["MetricDataResults"]:
                name, times, values = result["Id"], result["Timestamps"], result["Values"]
                if len(times) != len(values):
                    raise ReadError(f"GetMetricData: {len(values)} values for {len(times)} times")
                points.setdefault(name, []).extend(zip(times, values, strict=True))
                if status.get(name, PARTIAL_DATA) in GOOD_STATUSES:  # a failure on one page stays
                    status[name] = result["StatusCode"]

    answer = read_signal(pages, source=GET_METRIC_DATA)
    if isinstance(answer, Unreadable):
        return dict.fromkeys(batch, answer)
    signals: dict[Metric, Signal[MetricSeries]] = {}
    for n, metric in enumerate(batch):
        code = status.get(f"m{n}", "no answer")
        if code != COMPLETE_DATA:
            signals[metric] = Unreadable(f"GetMetricData: {metric.name}: {code}", GET_METRIC_DATA)
        elif found := points[f"m{n}"]:
            signals[metric] = Value(MetricSeries(tuple(sorted(found))), GET_METRIC_DATA)
        else:
            signals[metric] = Absent(GET_METRIC_DATA)
    return signals


def _query(name: str, metric: Metric) -> MetricDataQueryTypeDef:
    """Return *metric* as a query; AWS ignores the order of dimensions, but recorded calls stay equal."""
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": metric.namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in sorted(metric.dimensions)],
            },
            "Period": metric.period,
            "Stat": metric.stat,
        },
    }
