"""Read recorded activity: CloudWatch's metrics and logs, and CloudTrail's events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched, islice
from typing import TYPE_CHECKING, Any, Literal

from ml_janitor.aws.calls import Listing, ReadError, as_signal, collect_pages, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from ml_janitor.core.text import count_noun

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import EventTypeDef
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

# --- metrics --------------------------------------------------------------------------------------

type MetricStat = Literal["Sum", "Average", "Minimum", "Maximum", "SampleCount", "p99"]

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
        return sum(value for _, value in self.points)

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
        return Metric(namespace, found.get("MetricName", name) or found["MetricName"], dimensions)

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
                if (name := result.get("Id")) is None:  # it may be of any metric without another result
                    continue
                times, values = result.get("Timestamps", ()), result.get("Values", ())
                if len(times) == len(values):
                    points.setdefault(name, []).extend(zip(times, values, strict=True))
                if status.get(name, PARTIAL_DATA) in GOOD_STATUSES:  # a failure on one page stays
                    status[name] = _result_status(result)

    answer = read_signal(pages, source=GET_METRIC_DATA)
    if isinstance(answer, Unreadable):
        return dict.fromkeys(batch, answer)
    return {
        metric: _series(metric, status.get(f"m{n}", "no answer"), points.get(f"m{n}", ()))
        for n, metric in enumerate(batch)
    }


def _series(metric: Metric, code: str, found: Iterable[tuple[datetime, float]]) -> Signal[MetricSeries]:
    """Return the datapoints *found* for *metric*, if the status *code* says that its result is whole."""
    if code != COMPLETE_DATA:
        return Unreadable(f"GetMetricData: {metric.name}: {code}", GET_METRIC_DATA)
    points = tuple(sorted(found))
    return Value(MetricSeries(points), GET_METRIC_DATA) if points else Absent(GET_METRIC_DATA)


def _result_status(result: Mapping[str, Any]) -> str:
    """Return the status code of a *result*, or why it counts as failed."""
    lacking = [member for member in ("Timestamps", "Values", "StatusCode") if member not in result]
    if lacking:
        return f"its result has no {lacking[0]}"
    times, values = len(result["Timestamps"]), len(result["Values"])
    if times != values:
        return f"{count_noun(values, 'value')} for {count_noun(times, 'time')}"
    return str(result["StatusCode"])


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


# --- logs -----------------------------------------------------------------------------------------
#
# CloudWatch Logs gives groups, a group's streams, and the time of the last event.

DESCRIBE_LOG_GROUPS = "logs:DescribeLogGroups"
DESCRIBE_LOG_STREAMS = "logs:DescribeLogStreams"
GET_LOG_EVENTS = "logs:GetLogEvents"

LOGS_NOT_READ = "read_logs = false"
"""The setting with which no log is read: only the times that DescribeLogStreams lists count then."""


@dataclass(frozen=True, slots=True)
class LogNotRead(Absent):
    """A signal of a log that the settings say not to read: no text of AWS can stand for that."""

    source: str = LOGS_NOT_READ


NO_SUCH_LOG = ("ResourceNotFoundException",)

LOGS_PAGE = 50
"""The largest page of groups, and of streams."""

EVENTS_PER_PAGE = 10_000
"""GetLogEvents' limit; a page holds no more than 1 MB either."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)
"""The latest time that calendars support, in any time zone."""

MOST_EMPTY_PAGES = 50
"""Empty pages in a row after which a stream counts as unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """
    A log group in a listing. *stored* are its bytes, compressed; *kept* is its retention in days,
    None for ever. A *delivered* group sends its events elsewhere and stores nothing.
    """

    name: str
    arn: str
    created: datetime
    stored: int
    kept: int | None
    delivered: bool


def list_log_groups(aws: Aws, prefix: str = "") -> Listing[LogGroup]:
    """List every log group of the account and region whose name begins with *prefix*."""

    def listed(entry: Mapping[str, Any]) -> LogGroup:
        return LogGroup(
            name=entry["logGroupName"],
            arn=entry["arn"].removesuffix(":*"),
            created=log_time(entry["creationTime"]),
            stored=entry["storedBytes"],
            kept=entry.get("retentionInDays"),
            delivered=entry.get("logGroupClass") == "DELIVERY",
        )

    wanted = {"logGroupNamePrefix": prefix} if prefix else {}
    return aws.listing(DESCRIBE_LOG_GROUPS, "logGroups", listed, LOGS_PAGE, **wanted)


def find_log_group(aws: Aws, name: str) -> LogGroup | None:
    """Return the log group *name* as it is now, or None. Raises ReadError."""
    listing = list_log_groups(aws, name)
    found = next((entry for entry in listing.items if entry.name == name), None)
    if found is None:
        listing.check()
    return found


def log_time(milliseconds: int) -> datetime:
    """Convert CloudWatch Logs' milliseconds since 1970; a time beyond all calendars is the far future."""
    try:
        return min(EPOCH + timedelta(milliseconds=milliseconds), FAR_FUTURE)
    except OverflowError:
        return FAR_FUTURE


@as_signal(DESCRIBE_LOG_STREAMS, NO_SUCH_LOG)
def active_streams(aws: Aws, group: str, since: datetime, pages: int | None = None) -> dict[str, datetime]:
    """
    Return the streams of *group* with an event at or after *since*, and the time of their newest event.

    Newest first, so reading stops at the first older page, and after so many *pages*. The index lags behind
    by an hour or more: a stream that is missing here may still be active, which `last_log_event` shows.
    """
    active: dict[str, datetime] = {}
    newest_first = {"orderBy": "LastEventTime", "descending": True}
    read = aws.pages(DESCRIBE_LOG_STREAMS, LOGS_PAGE, logGroupName=group, **newest_first)
    for page in islice(read, pages):
        for stream in page["logStreams"]:
            at = log_time(stream.get("lastEventTimestamp", 0))
            if at < since:
                return active
            active[stream["logStreamName"]] = at
    return active


def log_event_pages(
    aws: Aws, group: str, stream: str, *, since: datetime | None = None, limit: int = EVENTS_PER_PAGE
) -> Iterator[tuple[datetime, ...]]:
    """
    Yield the times of the events of *stream* in pages: the newest page first, or all *since* then in order.

    An empty page is not the end: "partially full or empty pages don't necessarily mean that pagination is
    finished", only a token that comes back unchanged does (API reference of GetLogEvents). Pages are
    cut by time too, so those of a stream that fell silent long ago begin with empty ones
    (https://github.com/boto/boto3/issues/3718).
    """
    get = partial(
        aws.logs.get_log_events,
        logGroupName=group,
        logStreamName=stream,
        limit=limit,
        startFromHead=since is not None,
    )
    if since is not None:
        get = partial(get, startTime=(since - EPOCH) // timedelta(milliseconds=1))
    following: Literal["nextBackwardToken", "nextForwardToken"]
    following = "nextBackwardToken" if since is None else "nextForwardToken"
    answer, token = get(), None
    while True:
        yield tuple(log_time(event["timestamp"]) for event in answer["events"])
        if answer[following] == token:
            return
        token = answer[following]
        answer = get(nextToken=token)


def last_log_event(aws: Aws, group: str, stream: str, *, read: bool = True) -> Signal[datetime]:
    """
    Return when the newest event of *stream* was written; `Absent` if the stream or its events do not exist,
    or if the settings say not to *read* it.

    The time is exact, unlike the times that DescribeLogStreams lists.
    """

    def newest() -> datetime | None:
        for turned, page in enumerate(log_event_pages(aws, group, stream, limit=1), start=1):
            if page:
                return max(page)
            if turned == MOST_EMPTY_PAGES:
                raise ReadError(
                    f"GetLogEvents: {stream}: no event on {MOST_EMPTY_PAGES} pages, and more to read"
                )
        return None

    if not read:
        return LogNotRead()
    match read_signal(newest, source=GET_LOG_EVENTS, absent=NO_SUCH_LOG):
        case Value(at) if at is not None:
            return Value(at, GET_LOG_EVENTS, at)
        case (Absent() | Unreadable()) as other:
            return other
        case _:
            return Absent(GET_LOG_EVENTS)


# --- CloudTrail -----------------------------------------------------------------------------------
#
# The event history holds the calls of the last 90 days, and is read by the name of the call.

LOOKUP_EVENTS = "cloudtrail:LookupEvents"

EVENT_RETENTION = timedelta(days=90)
"""The age up to which CloudTrail keeps its event history."""

EVENTS_PAGE = 50
"""LookupEvents' largest page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEvent:
    """
    One recorded call.

    *source* is the service, because several have calls of the same name ("sagemaker.amazonaws.com").
    *identity* and *request* are CloudTrail's `userIdentity` and `requestParameters`. *resources* are the
    names that CloudTrail lists, for SageMaker often none. *agent* is the calling program.
    """

    name: str
    at: datetime
    user: str | None
    succeeded: bool
    resources: frozenset[str]
    identity: Mapping[str, Any]
    request: Mapping[str, Any]
    source: str = ""
    agent: str = ""


def look_up_events(
    aws: Aws, name: str, since: datetime, until: datetime, *, most_pages: int | None = None
) -> Listing[TrailEvent]:
    """
    List every call *name* between *since* and *until*, newest first.

    One reading serves all resources, so a sweep reads once. Events arrive with minutes of delay: their
    absence in the last quarter of an hour means nothing. Beyond *most_pages*, the listing breaks off.
    """
    called = [{"AttributeKey": "EventName", "AttributeValue": name}]
    pages = aws.pages(LOOKUP_EVENTS, EVENTS_PAGE, LookupAttributes=called, StartTime=since, EndTime=until)

    def first_pages() -> Iterator[Any]:
        for number, page in enumerate(pages, start=1):
            yield page
            if number == most_pages and page.get("NextToken"):
                raise ReadError(
                    f"there are more than {number * EVENTS_PAGE:,} events; the older ones were not read"
                )

    return collect_pages(first_pages(), lambda page: page["Events"], _event, source=LOOKUP_EVENTS)


def newest_event(events: Listing[TrailEvent], counts: Callable[[TrailEvent], bool]) -> Signal[TrailEvent]:
    """Return the newest of *events* that succeeded and *counts*; a partial reading never proves absence."""
    found = [event for event in events.items if event.succeeded and counts(event)]
    if found:
        latest = max(found, key=lambda event: event.at)
        return Value(latest, LOOKUP_EVENTS, latest.at)
    return Absent(LOOKUP_EVENTS) if events.error is None else Unreadable(events.error, LOOKUP_EVENTS)


def _event(entry: EventTypeDef) -> TrailEvent:
    """Return an event. Its record repeats the entry's name and time ("CloudTrail record contents")."""
    try:
        detail = json.loads(entry["CloudTrailEvent"])
    except ValueError as error:
        raise ReadError(f"event {entry.get('EventId')} is not JSON: {error}") from error
    at = entry["EventTime"] if "EventTime" in entry else datetime.fromisoformat(detail["eventTime"])
    return TrailEvent(
        name=entry["EventName"] if "EventName" in entry else detail["eventName"],
        at=at.astimezone(UTC),
        user=entry.get("Username"),
        succeeded="errorCode" not in detail,
        resources=frozenset(
            resource["ResourceName"] for resource in entry.get("Resources", ()) if "ResourceName" in resource
        ),
        identity=detail.get("userIdentity") or {},
        request=detail.get("requestParameters") or {},
        source=entry.get("EventSource", ""),
        agent=str(detail.get("userAgent") or ""),
    )
