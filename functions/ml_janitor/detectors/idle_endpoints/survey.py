"""Reads endpoints in waves: what is cheap for all of them, what is dear only where it decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any

from ml_janitor.aws import endpoints, metrics, tags
from ml_janitor.aws.answers import Listing, attempt
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import InferenceComponent, Summary, rented
from ml_janitor.aws.prices import together
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    MONITORING_EXECUTION,
    MONITORING_SCHEDULE,
    PROCESSING_JOB,
    describe,
    listing,
)
from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Target
from ml_janitor.core.signals import NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.idle_endpoints import attached
from ml_janitor.detectors.idle_endpoints.signals import Endpoint, HalfDone
from ml_janitor.detectors.idle_endpoints.traffic import (
    DAY,
    INVOCATIONS,
    PROCESSED,
    Hints,
    RequestMeter,
    listed,
    meters,
)

UNDER_WAY = frozenset({"Pending", "InProgress", "Stopping"})
"""The statuses of a monitoring execution that has not ended."""

HISTORY = timedelta(days=90)
"""How far back the last request of an idle endpoint is searched for: a day a point, one call for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    What is read once, for all endpoints together.

    *strays* are the meters of inference components that are gone; *error* says that the listing of
    components broke off. *schedules* are the names of running monitoring schedules by endpoint, with
    what broke their listing off.
    """

    hints: Hints
    components: Mapping[str, Sequence[InferenceComponent]]
    schedules: Mapping[str, Sequence[str]]
    strays: tuple[RequestMeter, ...] = ()
    error: str | None = None
    schedules_error: str | None = None

    @classmethod
    def read(cls, aws: Aws, *others: Callable[[Aws], Any]) -> tuple[Account, list[Any]]:
        """Read it through the pool, and *others* along with it."""
        reads: list[Callable[[Aws], Any]] = [
            lambda aws: listed(aws, INVOCATIONS),
            lambda aws: listed(aws, PROCESSED),
            endpoints.inference_components,
            endpoints.monitoring_schedules,
            *others,
        ]
        invoked, done, found, watching, *rest = aws.map(lambda read: read(aws), reads)
        components, schedules = defaultdict(list), defaultdict(list)
        for component in found.items:
            components[component.endpoint].append(component)
        for endpoint, schedule in watching.items:
            schedules[endpoint].append(schedule)
        hints = Hints.of(invoked, done)
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
        self, aws: Aws, summary: Summary, own_tags: Signal[Tags], half_done: HalfDone | None = None
    ) -> Endpoint:
        """A candidate, as far as it is known without asking for it alone."""
        on_it = tuple(self.components.get(summary.name, ()))
        if half_done is not None:
            half_done = half_done.without(one.name for one in on_it if not one.deleting)
            removed = {one.name for one in half_done.removed}
            on_it = (*(one for one in on_it if one.name not in removed), *half_done.removed)
        watched = Listing(tuple(self.schedules.get(summary.name, ())), self.schedules_error)
        watched = replace(watched, error=None) if watched.items else watched
        return Endpoint(
            target=target_in(aws, summary.arn, summary.name, ENDPOINT.type, summary.created, tags=own_tags),
            summary=summary,
            meters=tuple(self.hints.meters(summary.name, on_it)),
            components=Listing(on_it, self.error).signal(COMPONENT.lists),
            schedules=watched.signal(MONITORING_SCHEDULE.lists),
            hints_error=self.hints.error,
            half_done=half_done,
        )


def survey(
    aws: Aws,
    candidates: Sequence[Endpoint],
    account: Account,
    *,
    window: tuple[datetime, datetime],
    young: Callable[[datetime], bool],
    decided: Callable[[Endpoint], bool],
    exactly: bool,
) -> list[Endpoint]:
    """
    Read on wherever the question is still open; the order of *candidates* is kept.

    *decided* says that an endpoint is kept whatever else is read, *young* that a deployment at that time
    keeps it. With *exactly*, the tags of inference components are read one by one as they are now, else in
    bulk. After the first metrics, nothing more is asked of an endpoint with an unreadable signal either: it
    is unknown, and stays so.
    """

    def readable(endpoint: Endpoint) -> bool:
        return not decided(endpoint) and endpoint.unreadable is None

    known = _on(candidates, lambda one: not decided(one), lambda todo: _measured(aws, todo, window))
    known = _on(known, readable, lambda todo: aws.map(lambda one: _described(aws, one, account, young), todo))
    known = _on(known, readable, lambda todo: _measured(aws, todo, window))
    known = _on(known, readable, lambda todo: _accompanied(aws, todo, exactly=exactly))
    return _on(known, readable, lambda todo: _valued(aws, todo, window))


def _on(
    known: Sequence[Endpoint],
    still_open: Callable[[Endpoint], bool],
    read: Callable[[list[Endpoint]], list[Endpoint]],
) -> list[Endpoint]:
    """*known* in its order, with *read* done to those that are still open."""
    todo = [endpoint for endpoint in known if still_open(endpoint)]
    done = {endpoint.target.arn: endpoint for endpoint in read(todo)}
    return [done.get(endpoint.target.arn, endpoint) for endpoint in known]


def _measured(aws: Aws, todo: list[Endpoint], window: tuple[datetime, datetime]) -> list[Endpoint]:
    """With what CloudWatch says about every meter that has not been asked for yet, and its proof."""
    wanted = [metric for one in todo for meter in (*one.meters, *one.strays) for metric in meter.lacks]
    data = metrics.read(aws, wanted, *window)
    return [
        replace(
            one,
            meters=tuple(meter.filled(data) for meter in one.meters),
            strays=tuple(meter.filled(data) for meter in one.strays),
        )
        for one in todo
    ]


def _described(aws: Aws, one: Endpoint, account: Account, young: Callable[[datetime], bool]) -> Endpoint:
    """
    With its variants, and with every meter that has to be judged: two calls.

    Of one that may have been scaled lately, besides, one call for each variant.
    """
    description = endpoints.describe(aws, one.summary.name)
    if not isinstance(description, Value) or not (description.value.costs or one.half_done):
        return replace(one, description=description)
    config = endpoints.describe_config(aws, description.value.config_name)
    if not isinstance(config, Value):
        return replace(one, description=description, config=config)
    asked = {meter.metric: meter for meter in one.meters}
    decisive = {
        meter.metric: meter.knowing(asked.get(meter.metric))
        for meter in meters(description.value, config.value, one.on_it)
    }
    placed = replace(
        one,
        description=description,
        config=config,
        meters=(*decisive.values(), *(meter for meter in one.meters if meter.metric not in decisive)),
    )
    if young(placed.deployed):
        variants = [variant.name for variant in description.value.variants]
        asking = partial(attached.explains, aws, one.summary.name, variants, placed.modified)
        placed = replace(placed, scaled=attempt(asking, source=attached.ACTIVITIES))
    return replace(placed, strays=account.strays) if placed.bare else placed


def _accompanied(aws: Aws, todo: list[Endpoint], *, exactly: bool) -> list[Endpoint]:
    """With the inference components on them, which would go with them: each may belong to somebody else."""
    asked = [on_it.arn for one in todo for on_it in one.on_it if isinstance(on_it.tags, NotRead)]
    if exactly:
        known = dict(zip(asked, aws.map(lambda arn: tags.of_one(aws, arn), asked), strict=True))
    else:
        book = tags.of_many(aws, asked)
        known = {arn: book.of(arn) for arn in asked}

    def along(one: InferenceComponent) -> Target:
        own_tags = known.get(one.arn, one.tags)
        return target_in(aws, one.arn, one.name, COMPONENT.type, one.created, tags=own_tags)

    return [replace(one, takes_along=tuple(map(along, one.on_it))) for one in todo]


def _valued(aws: Aws, todo: list[Endpoint], window: tuple[datetime, datetime]) -> list[Endpoint]:
    """With what it costs, and its daily requests from before the window."""
    days = {meter.metric: replace(meter.metric, period=DAY) for one in todo for meter in one.decisive}
    before = window[0]
    data = metrics.read(aws, days.values(), before - HISTORY, before)
    return [
        replace(
            one,
            history=tuple(data[days[meter.metric]] for meter in one.decisive),
            cost=_cost(aws, one, window),
        )
        for one in todo
    ]


def _cost(aws: Aws, one: Endpoint, window: tuple[datetime, datetime]) -> Cost | None:
    """
    What leaving it running costs, its monitoring included; reserved capacity costs the same without it.

    Provisioned concurrency has no price per instance: unknown.
    """
    if not isinstance(one.description, Value) or not isinstance(one.config, Value):
        return None
    description, config = one.description.value, one.config.value
    monitoring = _monitoring(aws, one.summary.name, one.monitors, *window)
    if any(variant.concurrency for variant in description.variants):
        return Cost.standing(None, "provisioned concurrency is not in the instance price list")
    if not isinstance(monitoring, Value):
        return Cost.standing(
            None, f"what monitoring it costs could not be read ({getattr(monitoring, 'error', monitoring)})"
        )
    counts = rented([one for one in description.variants if not one.reserved], config)
    hourly, region, busy = aws.prices.hourly, aws.region, monitoring.value
    priced = [
        *((count, hourly(region, "Hosting", kind)) for kind, count in counts.items()),
        *((count, hourly(region, "Processing", kind)) for kind, count in busy.items()),
    ]
    price = together(priced)
    sources = [
        *([price.source] if priced else []),
        *(["without reserved capacity"] if any(one.reserved for one in description.variants) else []),
        *(["with its monitoring"] if monitoring.value else []),
    ]
    return Cost.standing(price.hourly_usd, ", ".join(sources))


def _monitoring(
    aws: Aws, endpoint: str, schedules: Collection[str], start: datetime, end: datetime
) -> Signal[Mapping[str, float]]:
    """
    How many instances of which type the monitoring *schedules* over *endpoint* keep busy, on average.

    Each execution between *start* and *end* that started a processing job counts as long as the last of
    its schedule that has ended.
    """
    if not schedules:
        return Value({})
    executed = listing(
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
        jobs = [one for name, one in executed.items if name == schedule and "ProcessingJobArn" in one]
        ended = [one for one in jobs if one.get("MonitoringExecutionStatus") not in UNDER_WAY]
        if not jobs:
            continue
        if not ended:
            return Unreadable(f"no execution of {schedule} has ended yet", MONITORING_EXECUTION.lists)
        last = max(ended, key=itemgetter("CreationTime"))
        name = last["ProcessingJobArn"].rpartition("/")[2]
        match describe(aws, PROCESSING_JOB, name):
            case Value(job) if "ProcessingStartTime" in job and "ProcessingEndTime" in job:
                cluster = job["ProcessingResources"]["ClusterConfig"]
                share = (job["ProcessingEndTime"] - job["ProcessingStartTime"]) * len(jobs) / (end - start)
                kind = cluster["InstanceType"]
                busy[kind] = busy.get(kind, 0) + cluster["InstanceCount"] * share
            case Unreadable() as unreadable:
                return unreadable
    return Value(busy, PROCESSING_JOB.describes)
