"""CloudWatch Logs: prefixes that are heeded, sizes as AWS tells them, and timestamps that may lag."""

from __future__ import annotations

import datetime as dt
from typing import Any

from moto.logs.models import LogEvent, LogStream

from ml_janitor_sandbox import clock
from ml_janitor_sandbox.patches import AwsError, Call, backend, replaces, serves

_describe = LogStream.to_describe_dict


@serves("logs", "FilterLogEvents")
def filter_log_events(call: Call) -> dict[str, Any]:
    """Only the streams asked for: moto ignores the prefix and answers with other jobs' events."""
    params = call.params
    logs = backend("logs", call.account, call.region)
    group, prefix = params.get("logGroupName"), params.get("logStreamNamePrefix")
    names = params.get("logStreamNames") or []
    if prefix and names:
        raise AwsError(
            "InvalidParameterException", "logStreamNames and logStreamNamePrefix cannot be given together."
        )
    if prefix and group in logs.groups:
        names = [name for name in logs.groups[group].streams if name.startswith(prefix)]
        if not names:
            return {"events": [], "searchedLogStreams": []}
    events, token, searched = logs.filter_log_events(
        group,
        names,
        _millis(params.get("startTime")),
        _millis(params.get("endTime")),
        params.get("limit"),
        params.get("nextToken"),
        params.get("filterPattern"),
        params.get("interleaved", False),
    )
    answer = {"events": events, "nextToken": token, "searchedLogStreams": searched}
    return {key: value for key, value in answer.items() if value is not None}


def _millis(value: Any) -> int | None:
    return None if value is None else int(value)


@replaces("moto.logs.models:LogStream.to_describe_dict", was="ad5913d3d0e4")
def describe_stream(self: Any) -> dict[str, Any]:
    """Zero stored bytes, as on AWS since 2019, and a last event as old as the stream's lag.

    `lastEventTimestamp` is "typically updated in less than an hour, but in rare situations might
    take longer" (documentation of LogStream).
    """
    answer: dict[str, Any] = _describe(self) | {"storedBytes": 0}
    lag: int | None = getattr(self, "sandbox_lag", None)
    if lag is not None:
        seen = [one.timestamp for one in self.events if one.timestamp <= clock.millis() - lag]
        if seen:
            answer["lastEventTimestamp"] = max(seen)
        else:
            answer.pop("lastEventTimestamp", None)
    return answer


def seed(
    account: str,
    region: str,
    group: str,
    stream: str,
    events: list[tuple[str, str]],
    *,
    lag_hours: float | None = None,
) -> int:
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
    return len(events)
