"""CloudWatch Logs: pages of a stream, sizes as AWS tells them, and timestamps that may lag."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from moto.core.resource_tagging import TaggedResource
from moto.logs.models import LogEvent, LogGroup, LogsBackend, LogStream
from moto.logs.responses import LogsResponse

from moto_corrections import clock
from moto_corrections.patches import AwsError, Call, backend, replaces, serves

_filter = LogsResponse.filter_log_events
_describe = LogStream.to_describe_dict
_describe_group = LogGroup.to_describe_dict
_tagged = LogsBackend.iter_tagged_resources

_FOR_EVER = 10**15
"""Milliseconds: longer than any log."""


@replaces("moto.logs.responses:LogsResponse.filter_log_events", was="bcfea899647e")
def filter_log_events(self: Any) -> Any:
    """Filter as moto does; refuse a prefix, which moto ignores: it would answer with other jobs' events."""
    if self._get_param("logStreamNamePrefix"):
        raise AwsError("InvalidParameterException", "These corrections know no prefixes in FilterLogEvents.")
    return _filter(self)


@serves("logs", "GetLogEvents")
def get_log_events(call: Call) -> dict[str, Any]:
    """
    List events from startTime to before endTime; AWS may cut pages by time, so that some are empty.

    A page ends after *page_hours* of a stream that was seeded so. The end is a token that comes back
    unchanged ("partially full or empty pages don't necessarily mean that pagination is finished").
    """
    params = call.params
    stream = _stream(
        call, params.get("logGroupName") or params["logGroupIdentifier"], params["logStreamName"]
    )
    start, end = params.get("startTime", 0), params.get("endTime", _FOR_EVER)
    within = (event for event in stream.events if start <= event.timestamp < end)
    events = sorted(within, key=lambda event: event.timestamp)
    limit, hours = params.get("limit", 10_000), getattr(stream, "sandbox_page", _FOR_EVER)
    forward, index, at = _position(params, events)
    if forward:
        page = [event for event in events[index : index + limit] if event.timestamp < at + hours]
        first, last = index, index + len(page)
        at += hours if len(page) < limit and last < len(events) else 0
    else:
        page = [event for event in events[max(0, index - limit) : index] if event.timestamp >= at - hours]
        first, last = index - len(page), index
        at -= hours if len(page) < limit and first else 0
    return {
        "events": [event.to_response_dict() for event in page],
        "nextBackwardToken": f"b/{first}/{at}",
        "nextForwardToken": f"f/{last}/{at}",
    }


def _stream(call: Call, group: str, name: str) -> LogStream:
    groups = backend("logs", call.account, call.region).groups
    found = groups.get(group.rpartition(":")[2])
    if found is None:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    if name not in found.streams:
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
    stream: LogStream = found.streams[name]
    return stream


def _position(params: dict[str, Any], events: list[LogEvent]) -> tuple[bool, int, int]:
    """Return the direction of a page (True is forward), and the event and the time at which it begins."""
    token = params.get("nextToken")
    if not token and params.get("startFromHead"):
        return True, 0, params.get("startTime", events[0].timestamp if events else 0)
    if not token:
        return False, len(events), min(params.get("endTime", _FOR_EVER), clock.millis())
    try:
        direction, index, at = token.split("/")
        return {"f": True, "b": False}[direction], int(index), int(at)
    except (KeyError, ValueError):
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.") from None


@replaces("moto.logs.models:LogStream.to_describe_dict", was="ad5913d3d0e4")
def describe_stream(self: Any) -> dict[str, Any]:
    """Describe zero stored bytes, as on AWS since 2019, and a last event as old as the stream's lag.

    `lastEventTimestamp` is "typically updated in less than an hour, but in rare situations might
    take longer" (documentation of LogStream).
    """
    answer: dict[str, Any] = _describe(self) | {"storedBytes": 0}
    lag: int | None = getattr(self, "sandbox_lag", None)
    if lag is not None:
        seen = [event.timestamp for event in self.events if event.timestamp <= clock.millis() - lag]
        if seen:
            answer["lastEventTimestamp"] = max(seen)
        else:
            answer.pop("lastEventTimestamp", None)
    return answer


@replaces("moto.logs.models:LogGroup.to_describe_dict", was="6947d6e1f692")
def describe_group(self: Any) -> dict[str, Any]:
    """Describe the class, and the bytes said to be stored: compressed, and events have none here."""
    stored: int | None = getattr(self, "sandbox_stored", None)
    answer: dict[str, Any] = _describe_group(self) | {"logGroupClass": "STANDARD"}
    return answer if stored is None else answer | {"storedBytes": stored}


@replaces("moto.logs.models:LogsBackend.iter_tagged_resources", was="5b53dc6953c1")
def tagged(self: Any) -> Iterator[TaggedResource]:
    """List them by the type in their ARN, as the tagging API spells it; moto says loggroup."""
    for resource in _tagged(self):
        yield replace(resource, resource_type="logs:log-group")


def store(account: str, region: str, group: str, stored: int) -> None:
    """Say that a group holds so many bytes; makes the group."""
    logs = backend("logs", account, region)
    if group not in logs.groups:
        logs.create_log_group(group, {})
    logs.groups[group].sandbox_stored = stored


def seed(
    account: str,
    region: str,
    group: str,
    stream: str,
    events: Sequence[tuple[str, str]] = (),
    *,
    lag_hours: float | None = None,
    page_hours: float | None = None,
) -> None:
    """Write events of any age, each ingested when it happened; makes group and stream."""
    logs = backend("logs", account, region)
    if group not in logs.groups:
        logs.create_log_group(group, {})
    streams = logs.groups[group].streams
    if stream not in streams:
        logs.create_log_stream(group, stream)
    target = streams[stream]
    for at, message in events:
        when = clock.to_millis(clock.parse(at))
        target.events.append(LogEvent(when, {"timestamp": when, "message": message}))
    if events:
        times = [clock.parse(at).replace(tzinfo=None) for at, _ in events]
        known = target.last_ingestion_time
        target.last_ingestion_time = max([*times, known] if known else times)
        target.creation_time = min([*times, target.creation_time])
    if lag_hours is not None:
        target.sandbox_lag = dt.timedelta(hours=lag_hours) // dt.timedelta(milliseconds=1)
    if page_hours is not None:
        target.sandbox_page = dt.timedelta(hours=page_hours) // dt.timedelta(milliseconds=1)
