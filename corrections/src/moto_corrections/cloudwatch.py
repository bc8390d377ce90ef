"""CloudWatch metrics in a store of their own: publishing, listing, and reading.

moto compares neither namespaces nor dimensions properly, so an idle endpoint can look busy and a
busy one idle; its GetMetricData neither aligns periods nor cuts pages. Alarms and dashboards stay
moto's, and so do not see these metrics. moto's automatic AWS/S3 metrics are left out: whoever wants
them publishes them.
"""

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

from moto_corrections import clock, state
from moto_corrections.metrics import (
    DAY,
    HOUR,
    Identity,
    Metrics,
    Point,
    buckets,
    check_period,
    in_unit,
    invalid,
    moment,
    percent,
    seconds,
    statistic,
    times,
    window,
)
from moto_corrections.paging import cut, read, write
from moto_corrections.patches import AwsError, Call, serves

MOST_STATISTICS = 1_440
LISTED_PER_PAGE = 500


@serves("cloudwatch", "PutMetricData")
def put_metric_data(call: Call) -> None:
    """Accept any time and the AWS/ namespaces, for seeding: AWS takes two weeks and refuses AWS/."""
    metrics = state.of(Metrics, call)
    for datum in call.params.get("MetricData") or []:
        identity = Identity.of(call.params["Namespace"], datum["MetricName"], datum.get("Dimensions"))
        metrics.publish(identity, [_point(datum)])


def _point(datum: dict[str, Any]) -> Point:
    at = seconds(datum["Timestamp"]) if datum.get("Timestamp") else clock.now().timestamp()
    unit = datum.get("Unit")
    if found := datum.get("StatisticValues"):
        count, total = float(found["SampleCount"]), float(found["Sum"])
        low, high = float(found["Minimum"]), float(found["Maximum"])
        return Point(at, count, total, low, high, None, unit)
    if values := datum.get("Values"):
        counts = datum.get("Counts") or [1] * len(values)
        every = [float(v) for v, n in zip(values, counts, strict=True) for _ in range(int(n))]
        low, high = min(every), max(every)
        return Point(at, float(len(every)), math.fsum(every), low, high, tuple(every), unit)
    return Point.single(at, float(datum["Value"]), unit)


@serves("cloudwatch", "GetMetricStatistics")
def get_metric_statistics(call: Call) -> dict[str, Any]:
    """Match exactly the dimensions asked for; moto also adds up every metric that has more."""
    params = call.params
    start, end = times(params)
    period = int(params["Period"])
    check_period(period)
    names = params.get("Statistics") or []
    extended = params.get("ExtendedStatistics") or []
    if not names and not extended:
        raise AwsError("InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics")
    count = math.ceil((end - start) / period)
    if count > MOST_STATISTICS:
        raise AwsError(
            "InvalidParameterCombination",
            f"You have requested up to {count:,} datapoints, which exceeds the limit of 1,440. You "
            "may reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    identity = Identity.of(params["Namespace"], params["MetricName"], params.get("Dimensions"))
    looked_at = window(start, end, period, clock.now().timestamp())
    points = state.of(Metrics, call).points(identity, *looked_at) if looked_at else []
    datapoints = []
    for begins, inside in buckets(in_unit(points, params.get("Unit")), period).items():
        found: dict[str, Any] = {"Timestamp": moment(begins), "Unit": inside[0].unit or "None"}
        found |= {name: statistic(inside, name) for name in names}
        if extended:
            found["ExtendedStatistics"] = {name: statistic(inside, name) for name in extended}
        datapoints.append(found)
    return {"Label": params["MetricName"], "Datapoints": datapoints}


@serves("cloudwatch", "ListMetrics")
def list_metrics(call: Call) -> dict[str, Any]:
    """List each metric once, and only those with data in the two weeks before now."""
    params = call.params
    now = clock.now().timestamp()
    back = 3 * HOUR if params.get("RecentlyActive") == "PT3H" else 14 * DAY
    wanted = [
        identity
        for identity in state.of(Metrics, call).alive(now - back, now + 2 * HOUR)
        if _listed(identity, params)
    ]
    page, more = cut(call, wanted, LISTED_PER_PAGE, invalid="InvalidNextToken")
    return {"Metrics": [_spelled(identity) for identity in page]} | more


def _spelled(identity: Identity) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in sorted(identity.dimensions)]
    return {"Namespace": identity.namespace, "MetricName": identity.name, "Dimensions": dimensions}


def _listed(identity: Identity, params: dict[str, Any]) -> bool:
    """Tell whether a filter lists a metric; it may name some dimensions, with or without their values."""
    if params.get("Namespace") not in (None, identity.namespace):
        return False
    if params.get("MetricName") not in (None, identity.name):
        return False
    has = dict(identity.dimensions)
    return all(
        dimension["Name"] in has and dimension.get("Value") in (None, has[dimension["Name"]])
        for dimension in params.get("Dimensions") or ()
    )


def seed(account: str, region: str, namespace: str, series: list[dict[str, Any]]) -> None:
    """Publish whole series at once: a thousand endpoints' week in one request.

    Each is {"metric", "dimensions": {name: value}, "start", "step" (seconds), "values"}; null
    leaves a gap. *samples* is the number of datapoints of each value, for SampleCount; a list says how many
    datapoints each value stands for.
    """
    metrics = state.at(Metrics, account, region)
    for metric in series:
        pairs = frozenset((str(k), str(v)) for k, v in (metric.get("dimensions") or {}).items())
        start, step = clock.parse(metric["start"]).timestamp(), float(metric.get("step", HOUR))
        unit, given = metric.get("unit"), metric.get("samples", 1)
        counts = given if isinstance(given, list) else itertools.repeat(given)
        points = [
            Point(at, count, count * value, value, value, (value,) if count == 1 else None, unit)
            for at, known, number in zip(itertools.count(start, step), metric["values"], counts, strict=False)
            if known is not None and (value := float(known)) is not None and (count := float(number))
        ]
        metrics.publish(Identity(namespace, metric["metric"], pairs), points)


# --- GetMetricData -------------------------------------------------------------------------------

MOST_QUERIES = 500
MOST_DATAPOINTS = 100_800
SIMPLE = {"Average", "Maximum", "Minimum", "SampleCount", "Sum"}
INVALID_TOKEN = "InvalidNextToken"


@serves("cloudwatch", "GetMetricData")
def get_metric_data(call: Call) -> dict[str, Any]:
    """Read exact metrics only; refuse every expression, since an empty answer reads as idleness."""
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
            raise invalid(f"Expressions are not evaluated: {expression!r}.")
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
    given = read(params.get("NextToken"), 0, invalid=INVALID_TOKEN)
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
