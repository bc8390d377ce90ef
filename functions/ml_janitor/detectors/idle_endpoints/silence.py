"""The proof by silence: the metrics were there throughout, and no earlier pause was as long."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from ml_janitor.core.durations import format_age
from ml_janitor.core.signals import Absent, Unreadable, Value
from ml_janitor.detectors.idle_endpoints.signals import EndpointCandidate
from ml_janitor.detectors.idle_endpoints.traffic import BACKLOG_METRIC, DAY_SECONDS, RequestMeter

_MEASURED_SHARE = 0.9
"""
Share of hours with a datapoint that proves silence.

An in-service variant or inference component publishes a zero for each hour without a request (measured for
cloud-custodian/cloud-custodian#11078). Datapoints come late, and an update may interrupt them; where more are
missing, requests may be missing too.
"""

_ONE_DAY = timedelta(seconds=DAY_SECONDS)


def is_queue_empty(endpoint: EndpointCandidate, start: datetime, end: datetime) -> bool:
    """
    Return whether the queue of an asynchronous endpoint was measured as empty between *start* and *end*.

    Every request waits in the queue, and stays counted while it is processed (developer guide, "Monitor
    asynchronous endpoint": ApproximateBacklogSize). A variant that never processed a request publishes no
    InvocationsProcessed at all.
    """
    queues = [meter for meter in endpoint.meters if meter.metric.name == BACKLOG_METRIC]
    measured = [meter for meter in queues if isinstance(meter.requests, Value) and meter.used is None]
    return bool(queues) and measured == queues and unmeasured_doubt(queues, start, end) is None


def why_silence_unproven(endpoint: EndpointCandidate, *, queue_empty: bool) -> str | None:
    """
    Return why silence proves nothing here, or None if it does. An empty
    queue proves that metrics arrive.
    """
    if not isinstance(endpoint.schedules, Value):
        return "whether a monitoring schedule runs over it was not read"
    described = isinstance(endpoint.description, Value) and isinstance(endpoint.config, Value)
    if not described or not endpoint.decisive:
        return "nothing says where its requests could be seen"
    for meter in endpoint.decisive:
        if not isinstance(meter.requests, Value | Absent):
            return f"the requests to {meter.where} were not read"
        if isinstance(meter.requests, Value) or queue_empty:
            continue
        if not isinstance(meter.control, Value):
            return f"no metric of {meter.where} arrives, so its silence proves nothing"
    return deleted_component_doubt(endpoint) if endpoint.bare else None


def deleted_component_doubt(endpoint: EndpointCandidate) -> str | None:
    """Return which deleted inference component may have had requests on this endpoint, in words; or None."""
    if endpoint.hints_error is not None:
        return f"which inference components it had could not be read ({endpoint.hints_error})"
    for meter in endpoint.strays:
        if meter.used is not None:
            return f"it lost its inference components, and {meter.where}, now deleted, had requests"
    return None


def unmeasured_doubt(meters: Iterable[RequestMeter], start: datetime, end: datetime) -> str | None:
    """Return which meter has too few hours with a datapoint, in words; None if none has."""
    hours = max(1, int((end - start) / timedelta(hours=1)))
    for meter in meters:
        if isinstance(meter.requests, Value):
            read = sum(at > start - timedelta(hours=1) for at, _ in meter.requests.value.points)
            if read < _MEASURED_SHARE * hours:
                return f"{meter.where} has a datapoint for only {read:,} of {hours:,} hours"
    return None


def redeployment_doubt(endpoint: EndpointCandidate) -> str | None:
    """Return why scaling may hide a deployment, in words: no image says when it was last resolved."""
    match endpoint.scaled, endpoint.description:
        case Value(True), Value(description):
            hidden = [variant.name for variant in description.variants if variant.resolved is None]
        case _:
            hidden = []
    if not hidden:
        return None
    return f"it was scaled since, and nothing says whether {hidden[0]} was deployed again before that"


def monitoring_doubt(endpoint: EndpointCandidate) -> str | None:
    """Return that somebody has it monitored, in words: they may expect requests."""
    if not endpoint.monitors:
        return None
    single = len(endpoint.monitors) == 1
    return (
        f"the monitoring schedule{'' if single else 's'} {', '.join(endpoint.monitors)} "
        f"run{'s' * single} over it"
    )


def standby_doubt(endpoint: EndpointCandidate) -> str | None:
    """
    Return why nobody may call it until another region fails, in words.

    An inference router there sends requests here once its own endpoints are overloaded
    (developer guide, "Route requests across AWS Regions"); the cap on those requests
    is the only trace of the router on this side.
    """
    if isinstance(endpoint.description, Value) and endpoint.description.value.routed:
        return (
            "inference routers in other regions may send it requests, so it may stand by for their endpoints"
        )
    return None


def pause_doubt(endpoint: EndpointCandidate, now: datetime) -> str | None:
    """
    Return why the present silence may be one of many, in words: an earlier pause was as long.

    An endpoint that was used every 30 days will be used again, whatever its last week was like. The time from
    the first datapoint to the first use is a pause too: nobody knows how long it had been.
    """
    if any(isinstance(days, Unreadable) for days in endpoint.history):
        return "its earlier requests could not be read"
    days = [day for days in endpoint.history if isinstance(days, Value) for day in days.value.points]
    used = sorted({day for day, count in days if count > 0})
    if not used:
        return None
    first = min(day for day, _ in days)
    longest = max(later - before for before, later in pairwise([first, *used]))
    if longest < now - (used[-1] + _ONE_DAY):
        return None
    return f"it is used every so often: it had paused for {format_age(longest)} before, and was used again"
