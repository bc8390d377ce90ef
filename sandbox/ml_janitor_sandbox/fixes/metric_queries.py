"""CloudWatch's GetMetricData: exact metrics, aligned periods, and pages, none of which moto has right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ml_janitor_sandbox import clock, state
from ml_janitor_sandbox.metrics import (
    Identity,
    Metrics,
    buckets,
    check_period,
    in_unit,
    invalid,
    moment,
    percent,
    statistic,
    times,
    window,
)
from ml_janitor_sandbox.paging import read, write
from ml_janitor_sandbox.patches import Call, serves

MOST_QUERIES = 500
MOST_DATAPOINTS = 100_800
SIMPLE = {"Average", "Maximum", "Minimum", "SampleCount", "Sum"}
INVALID_TOKEN = "InvalidNextToken"


@serves("cloudwatch", "GetMetricData")
def get_metric_data(call: Call) -> dict[str, Any]:
    """Exact metrics only; every expression is refused, since an empty answer reads as idleness."""
    params = call.params
    queries = params["MetricDataQueries"]
    _check_queries(queries)
    start, end = times(params)
    newest_first = params.get("ScanBy") != "TimestampAscending"
    metrics = state.of(Metrics, call)
    results = []
    for query in queries:
        if query.get("ReturnData") is not False:
            found = list(_values(metrics, query["MetricStat"], start, end))
            label = query.get("Label") or query["MetricStat"]["Metric"]["MetricName"]
            results.append((query["Id"], label, found[::-1] if newest_first else found))
    return _page(results, int(params.get("MaxDatapoints") or MOST_DATAPOINTS), params)


def _check_queries(queries: list[dict[str, Any]]) -> None:
    if len(queries) > MOST_QUERIES:
        raise invalid("The collection MetricDataQueries must not have a size greater than 500.")
    ids = [query["Id"] for query in queries]
    if len(set(ids)) != len(ids):
        raise invalid("The values for parameter id in MetricDataQueries are not unique.")
    for query in queries:
        if not re.fullmatch(r"[a-z][a-zA-Z0-9_]{0,254}", query["Id"]):
            raise invalid(
                f"The value {query['Id']} for parameter Id is not matching the expected pattern "
                "^[a-z][a-zA-Z0-9_]*$."
            )
        if "MetricStat" not in query:
            expression = query.get("Expression", "")
            raise invalid(f"The sandbox does not evaluate expressions: {expression!r}.")
        check_period(int(query["MetricStat"]["Period"]))


def _values(
    metrics: Metrics, stat: dict[str, Any], start: float, end: float
) -> Iterator[tuple[float, float]]:
    metric, period, wanted = stat["Metric"], int(stat["Period"]), stat["Stat"]
    if wanted not in SIMPLE:
        percent(wanted)
    looked_at = window(start, end, period, clock.now().timestamp())
    if looked_at is None:
        return
    identity = Identity.of(metric["Namespace"], metric["MetricName"], metric.get("Dimensions"))
    unit = stat.get("Unit")
    points = metrics.points(identity, *looked_at)
    for begins, inside in buckets(in_unit(points, unit), period).items():
        value = statistic(inside, wanted)
        if value is not None:
            yield begins, value


def _page(
    results: list[tuple[str, str, list[tuple[float, float]]]], size: int, params: dict[str, Any]
) -> dict[str, Any]:
    """Cut the answers after so many datapoints; the token says how many have been given."""
    given = read(params.get("NextToken"), invalid=INVALID_TOKEN)
    to_skip, left = given, size
    answers, more = [], False
    for name, label, found in results:
        skipped = min(to_skip, len(found))
        to_skip -= skipped
        part = found[skipped : skipped + left]
        left -= len(part)
        complete = skipped + len(part) == len(found)
        more |= not complete
        answers.append(
            {
                "Id": name,
                "Label": label,
                "Timestamps": [moment(at) for at, _ in part],
                "Values": [value for _, value in part],
                "StatusCode": "Complete" if complete else "PartialData",
            }
        )
    answer: dict[str, Any] = {"MetricDataResults": answers, "Messages": []}
    if more:
        answer["NextToken"] = write(given + size - left)
    return answer
