"""CloudWatch metrics in bulk: which series exist, and their data, 500 to a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Literal

from janitor.aws import attempt, everything
from janitor.model import Absent, Signal, Unreadable, Value

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

    from janitor.aws import Aws

type Stat = Literal["Sum", "Average", "Minimum", "Maximum", "SampleCount"]

QUERIES_PER_CALL = 500
"""GetMetricData's limit."""

LIST_METRICS = "cloudwatch:ListMetrics"
GET_METRIC_DATA = "cloudwatch:GetMetricData"


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
    stat: Stat = "Sum"
    period: int = 3600

    @classmethod
    def of(
        cls, namespace: str, name: str, *, stat: Stat = "Sum", period: int = 3600, **dimensions: str
    ) -> Metric:
        """A metric with its dimensions as keywords."""
        return cls(namespace, name, frozenset(dimensions.items()), stat, period)


@dataclass(frozen=True, slots=True)
class Series:
    """Datapoints, oldest first."""

    points: tuple[tuple[datetime, float], ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The datapoints without their times."""
        return tuple(value for _, value in self.points)

    @property
    def total(self) -> float:
        """Their sum: a window may fall into several buckets, so never just the first one."""
        return sum(self.values)

    @property
    def last_above_zero(self) -> datetime | None:
        """The start of the newest period with a value above zero."""
        return max((at for at, value in self.points if value > 0), default=None)


def published(aws: Aws, namespace: str, name: str | None = None) -> Signal[tuple[Metric, ...]]:
    """
    The series that had data in the past two weeks, found by name only.

    A hint for what to ask, never proof that something is silent: new series take a quarter of an
    hour to be listed.
    """
    query = {"Namespace": namespace, **({"MetricName": name} if name else {})}
    pages = aws.cloudwatch.get_paginator("list_metrics").paginate(**query)  # type: ignore[arg-type]
    listing = everything(pages, lambda page: page["Metrics"], source=LIST_METRICS)
    if listing.error is not None:
        return Unreadable(listing.error, LIST_METRICS)
    return Value(
        tuple(
            Metric(
                namespace,
                m["MetricName"],
                frozenset((d["Name"], d["Value"]) for d in m.get("Dimensions", [])),
            )
            for m in listing.items
        ),
        LIST_METRICS,
    )


def read(
    aws: Aws, metrics: Iterable[Metric], start: datetime, end: datetime
) -> Mapping[Metric, Signal[Series]]:
    """
    The datapoints of every metric between *start* and *end*.

    `Absent` is a series that was read and has no datapoint, which is also what a wrong name looks
    like. A metric whose answer did not arrive, or not completely, is `Unreadable`.
    """
    wanted = list(dict.fromkeys(metrics))
    answers = aws.map(
        lambda batch: _read_batch(aws, batch, start, end),
        list(batched(wanted, QUERIES_PER_CALL, strict=False)),
    )
    return {metric: signal for answer in answers for metric, signal in answer.items()}


def _read_batch(
    aws: Aws, batch: Sequence[Metric], start: datetime, end: datetime
) -> dict[Metric, Signal[Series]]:
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": f"m{n}",
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": [
                        {"Name": name, "Value": value} for name, value in sorted(metric.dimensions)
                    ],
                },
                "Period": metric.period,
                "Stat": metric.stat,
            },
        }
        for n, metric in enumerate(batch)
    ]
    points: dict[str, list[tuple[datetime, float]]] = {}
    status: dict[str, str] = {}

    def pages() -> None:
        paginator = aws.cloudwatch.get_paginator("get_metric_data")
        for page in paginator.paginate(
            MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"
        ):
            for result in page["MetricDataResults"]:
                points.setdefault(result["Id"], []).extend(
                    zip(result["Timestamps"], result["Values"], strict=True)
                )
                status[result["Id"]] = result["StatusCode"]

    answer = attempt(pages, source=GET_METRIC_DATA)
    if isinstance(answer, Unreadable):
        return dict.fromkeys(batch, answer)
    signals: dict[Metric, Signal[Series]] = {}
    for n, metric in enumerate(batch):
        if status.get(f"m{n}") != "Complete":
            said = status.get(f"m{n}", "no answer")
            signals[metric] = Unreadable(f"GetMetricData: {metric.name}: {said}", GET_METRIC_DATA)
        elif found := points[f"m{n}"]:
            signals[metric] = Value(Series(tuple(sorted(found))), GET_METRIC_DATA)
        else:
            signals[metric] = Absent(GET_METRIC_DATA)
    return signals
