"""Reads endpoints in waves: cheap reads for all, dear reads only where they decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any

from ml_janitor.aws import endpoints, metrics, tags
from ml_janitor.aws.answers import Listing, read_signal
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import EndpointSummary, InferenceComponent, count_instances
from ml_janitor.aws.prices import total_price
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    MONITORING_EXECUTION,
    MONITORING_SCHEDULE,
    PROCESSING_JOB,
    describe_resource,
    list_kind,
)
from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Target
from ml_janitor.core.signals import NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.idle_endpoints import attached
from ml_janitor.detectors.idle_endpoints.signals import EndpointCandidate, HalfDeletion
from ml_janitor.detectors.idle_endpoints.traffic import (
    DAY_SECONDS,
    INVOCATIONS_METRIC,
    PROCESSED_METRIC,
    RequestMeter,
    SeriesHints,
    list_request_series,
    request_meters,
)

_EXECUTION_UNDER_WAY = frozenset({"Pending", "InProgress", "Stopping"})
"""The statuses of a monitoring execution that has not ended."""

REQUEST_HISTORY = timedelta(days=90)
"""
Time before the window in which the last request of an idle endpoint is
searched: a day a point, one call for all.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAccount:
    """
    The readings that all endpoints share.

    *strays* are the meters of deleted inference components; *error* says that the listing of components broke
    off. *schedules* are the names of running monitoring schedules by endpoint, and *schedules_error* says
    that their listing broke off.
    """

    hints: SeriesHints
    components: Mapping[str, Sequence[InferenceComponent]]
    schedules: Mapping[str, Sequence[str]]
    strays: tuple[RequestMeter, ...] = ()
    error: str | None = None
    schedules_error: str | None = None

    @classmethod
    def read(cls, aws: Aws, *others: Callable[[Aws], Any]) -> tuple[EndpointAccount, list[Any]]:
        """Read it through the pool, and *others* along with it."""
        reads: list[Callable[[Aws], Any]] = [
            lambda aws: list_request_series(aws, INVOCATIONS_METRIC),
            lambda aws: list_request_series(aws, PROCESSED_METRIC),
            endpoints.list_inference_components,
            endpoints.list_monitoring_schedules,
            *others,
        ]
        invoked, done, found, watching, *rest = aws.map(lambda read: read(aws), reads)
        components, schedules = defaultdict(list), defaultdict(list)
        for component in found.items:
            components[component.endpoint].append(component)
        for endpoint, schedule in watching.items:
            schedules[endpoint].append(schedule)
        hints = SeriesHints.of(invoked, done)
        account = cls(
            hints=hints,
            components=components,
            schedules=schedules,
            strays=tuple(hints.orphaned(found.items)),
            error=found.error,
            schedules_error=watching.error,
        )
        return account, rest

    def endpoint(
        self,
        aws: Aws,
        summary: EndpointSummary,
        own_tags: Signal[Tags],
        half_done: HalfDeletion | None = None,
    ) -> EndpointCandidate:
        """Return a candidate, as far as it is known without requests for it alone."""
        on_it = tuple(self.components.get(summary.name, ()))
        if half_done is not None:
            half_done = half_done.without(component.name for component in on_it if not component.deleting)
            removed = {component.name for component in half_done.removed}
            on_it = (*(component for component in on_it if component.name not in removed), *half_done.removed)
        watched = Listing(tuple(self.schedules.get(summary.name, ())), self.schedules_error)
        watched = replace(watched, error=None) if watched.items else watched
        return EndpointCandidate(
            target=target_in(aws, summary.arn, summary.name, ENDPOINT.type, summary.created, tags=own_tags),
            summary=summary,
            meters=tuple(self.hints.meters(summary.name, on_it)),
            components=Listing(on_it, self.error).signal(COMPONENT.lists),
            schedules=watched.signal(MONITORING_SCHEDULE.lists),
            hints_error=self.hints.error,
            half_done=half_done,
        )


def survey_endpoints(
    aws: Aws,
    candidates: Sequence[EndpointCandidate],
    account: EndpointAccount,
    *,
    window: tuple[datetime, datetime],
    young: Callable[[datetime], bool],
    decided: Callable[[EndpointCandidate], bool],
    exactly: bool,
) -> list[EndpointCandidate]:
    """
    Read on wherever the question is still open; the order of *candidates* is kept.

    *decided* returns whether an endpoint is kept whatever else is read, *young* whether a
    deployment at that time keeps it. With *exactly*, the tags of inference components are read one
    by one as they are now, else in bulk. After the first metrics, an endpoint with an unreadable
    signal gets no more requests either: it is unknown, and stays so.
    """

    def readable(endpoint: EndpointCandidate) -> bool:
        return not decided(endpoint) and endpoint.unreadable is None

    known = _on(candidates, lambda endpoint: not decided(endpoint), lambda todo: _measured(aws, todo, window))
    known = _on(
        known,
        readable,
        lambda todo: aws.map(lambda endpoint: _described(aws, endpoint, account, young), todo),
    )
    known = _on(known, readable, lambda todo: _measured(aws, todo, window))
    known = _on(known, readable, lambda todo: _accompanied(aws, todo, exactly=exactly))
    return _on(known, readable, lambda todo: _valued(aws, todo, window))


def _on(
    known: Sequence[EndpointCandidate],
    still_open: Callable[[EndpointCandidate], bool],
    read: Callable[[list[EndpointCandidate]], list[EndpointCandidate]],
) -> list[EndpointCandidate]:
    """Return *known* in its order, with *read* applied to the endpoints that are still open."""
    todo = [endpoint for endpoint in known if still_open(endpoint)]
    done = {endpoint.target.arn: endpoint for endpoint in read(todo)}
    return [done.get(endpoint.target.arn, endpoint) for endpoint in known]


def _measured(
    aws: Aws, todo: list[EndpointCandidate], window: tuple[datetime, datetime]
) -> list[EndpointCandidate]:
    """Return *todo* with CloudWatch's data for every meter that has none yet, and its proof."""
    wanted = [
        metric
        for endpoint in todo
        for meter in (*endpoint.meters, *endpoint.strays)
        for metric in meter.lacks
    ]
    data = metrics.read_metrics(aws, wanted, *window)
    return [
        replace(
            endpoint,
            meters=tuple(meter.filled(data) for meter in endpoint.meters),
            strays=tuple(meter.filled(data) for meter in endpoint.strays),
        )
        for endpoint in todo
    ]


def _described(
    aws: Aws, endpoint: EndpointCandidate, account: EndpointAccount, young: Callable[[datetime], bool]
) -> EndpointCandidate:
    """
    Return *endpoint* with its variants, and with every meter that has to be judged: two calls.

    An endpoint that may have been scaled lately takes one call more for each variant.
    """
    description = endpoints.describe_endpoint(aws, endpoint.summary.name)
    if not isinstance(description, Value) or not (description.value.costs or endpoint.half_done):
        return replace(endpoint, description=description)
    config = endpoints.describe_endpoint_config(aws, description.value.config_name)
    if not isinstance(config, Value):
        return replace(endpoint, description=description, config=config)
    asked = {meter.metric: meter for meter in endpoint.meters}
    decisive = {
        meter.metric: meter.knowing(asked.get(meter.metric))
        for meter in request_meters(description.value, config.value, endpoint.on_it)
    }
    placed = replace(
        endpoint,
        description=description,
        config=config,
        meters=(*decisive.values(), *(meter for meter in endpoint.meters if meter.metric not in decisive)),
    )
    if young(placed.deployed):
        variants = [variant.name for variant in description.value.variants]
        asking = partial(attached.was_scaling_at, aws, endpoint.summary.name, variants, placed.modified)
        placed = replace(placed, scaled=read_signal(asking, source=attached.SCALING_ACTIVITIES))
    return replace(placed, strays=account.strays) if placed.bare else placed


def _accompanied(aws: Aws, todo: list[EndpointCandidate], *, exactly: bool) -> list[EndpointCandidate]:
    """
    Return *todo* with the inference components on them, which an act deletes
    too: each may have another owner.
    """
    asked = [on_it.arn for endpoint in todo for on_it in endpoint.on_it if isinstance(on_it.tags, NotRead)]
    if exactly:
        known = dict(zip(asked, aws.map(lambda arn: tags.read_sagemaker_tags(aws, arn), asked), strict=True))
    else:
        book = tags.read_tags_of(aws, asked)
        known = {arn: book.of(arn) for arn in asked}

    def along(component: InferenceComponent) -> Target:
        own_tags = known.get(component.arn, component.tags)
        return target_in(aws, component.arn, component.name, COMPONENT.type, component.created, tags=own_tags)

    return [replace(endpoint, takes_along=tuple(map(along, endpoint.on_it))) for endpoint in todo]


def _valued(
    aws: Aws, todo: list[EndpointCandidate], window: tuple[datetime, datetime]
) -> list[EndpointCandidate]:
    """Return *todo* with their costs, and their daily requests from before the window."""
    days = {
        meter.metric: replace(meter.metric, period=DAY_SECONDS)
        for endpoint in todo
        for meter in endpoint.decisive
    }
    before = window[0]
    data = metrics.read_metrics(aws, days.values(), before - REQUEST_HISTORY, before)
    return [
        replace(
            endpoint,
            history=tuple(data[days[meter.metric]] for meter in endpoint.decisive),
            cost=_cost(aws, endpoint, window),
        )
        for endpoint in todo
    ]


def _cost(aws: Aws, endpoint: EndpointCandidate, window: tuple[datetime, datetime]) -> Cost | None:
    """
    Return the cost of leaving it running, its monitoring included, its reserved capacity excluded.

    Provisioned concurrency has no price per instance: unknown.
    """
    if not isinstance(endpoint.description, Value) or not isinstance(endpoint.config, Value):
        return None
    description, config = endpoint.description.value, endpoint.config.value
    monitoring = _monitoring(aws, endpoint.summary.name, endpoint.monitors, *window)
    if any(variant.concurrency for variant in description.variants):
        return Cost.standing(None, "provisioned concurrency is not in the instance price list")
    if not isinstance(monitoring, Value):
        return Cost.standing(
            None, f"what monitoring it costs could not be read ({getattr(monitoring, 'error', monitoring)})"
        )
    counts = count_instances([variant for variant in description.variants if not variant.reserved], config)
    hourly, region, busy = aws.prices.hourly, aws.region, monitoring.value
    priced = [
        *((count, hourly(region, "Hosting", kind)) for kind, count in counts.items()),
        *((count, hourly(region, "Processing", kind)) for kind, count in busy.items()),
    ]
    price = total_price(priced)
    sources = [
        *([price.source] if priced else []),
        *(["without reserved capacity"] if any(variant.reserved for variant in description.variants) else []),
        *(["with its monitoring"] if monitoring.value else []),
    ]
    return Cost.standing(price.hourly_usd, ", ".join(sources))


def _monitoring(
    aws: Aws, endpoint: str, schedules: Collection[str], start: datetime, end: datetime
) -> Signal[Mapping[str, float]]:
    """
    Return how many instances of each type the monitoring *schedules* over *endpoint* keep busy, on average.

    Each execution between *start* and *end* that started a processing job counts as long
    as the last ended execution of its schedule.
    """
    if not schedules:
        return Value({})
    executed = list_kind(
        aws,
        MONITORING_EXECUTION,
        lambda found: (found["MonitoringScheduleName"], found),
        EndpointName=endpoint,
        CreationTimeAfter=start,
    )
    if executed.error is not None:
        return Unreadable(executed.error, MONITORING_EXECUTION.lists)
    busy: dict[str, float] = {}
    for schedule in schedules:
        jobs = [
            execution
            for name, execution in executed.items
            if name == schedule and "ProcessingJobArn" in execution
        ]
        ended = [
            execution
            for execution in jobs
            if execution.get("MonitoringExecutionStatus") not in _EXECUTION_UNDER_WAY
        ]
        if not jobs:
            continue
        if not ended:
            return Unreadable(f"no execution of {schedule} has ended yet", MONITORING_EXECUTION.lists)
        last = max(ended, key=itemgetter("CreationTime"))
        name = last["ProcessingJobArn"].rpartition("/")[2]
        match describe_resource(aws, PROCESSING_JOB, name):
            case Value(job) if "ProcessingStartTime" in job and "ProcessingEndTime" in job:
                cluster = job["ProcessingResources"]["ClusterConfig"]
                share = (job["ProcessingEndTime"] - job["ProcessingStartTime"]) * len(jobs) / (end - start)
                kind = cluster["InstanceType"]
                busy[kind] = busy.get(kind, 0) + cluster["InstanceCount"] * share
            case Unreadable() as unreadable:
                return unreadable
    return Value(busy, PROCESSING_JOB.describes)
