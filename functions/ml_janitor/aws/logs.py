"""Reads CloudWatch Logs: groups, a group's streams, and the time of the last event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from ml_janitor.aws.answers import Listing, ReadError, as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

DESCRIBE_LOG_GROUPS = "logs:DescribeLogGroups"
DESCRIBE_LOG_STREAMS = "logs:DescribeLogStreams"
GET_LOG_EVENTS = "logs:GetLogEvents"

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
def active_streams(aws: Aws, group: str, since: datetime) -> dict[str, datetime]:
    """
    Return the streams of *group* with an event at or after *since*, and the time of their newest event.

    Newest first, so reading stops at the first older page. The index lags behind by an hour or
    more: a stream that is missing here may still be active, which `last_log_event` shows.
    """
    active: dict[str, datetime] = {}
    newest_first = {"orderBy": "LastEventTime", "descending": True}
    for page in aws.pages(DESCRIBE_LOG_STREAMS, LOGS_PAGE, logGroupName=group, **newest_first):
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

    An empty page is no end: "partially full or empty pages don't necessarily mean that pagination is
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


def last_log_event(aws: Aws, group: str, stream: str) -> Signal[datetime]:
    """
    Return when the newest event of *stream* was written; `Absent` if the stream or its events do not exist.

    The time is exact, unlike the times that DescribeLogStreams lists.
    """

    def read() -> datetime | None:
        for turned, page in enumerate(log_event_pages(aws, group, stream, limit=1), start=1):
            if page:
                return max(page)
            if turned == MOST_EMPTY_PAGES:
                raise ReadError(
                    f"GetLogEvents: {stream}: no event on {MOST_EMPTY_PAGES} pages, and more to read"
                )
        return None

    match read_signal(read, source=GET_LOG_EVENTS, absent=NO_SUCH_LOG):
        case Value(at) if at is not None:
            return Value(at, GET_LOG_EVENTS, at)
        case (Absent() | Unreadable()) as other:
            return other
        case _:
            return Absent(GET_LOG_EVENTS)
