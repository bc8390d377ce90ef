"""Reads endpoints in waves: what is cheap for all of them, what is dear only where it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws import metrics, tags
from ml_janitor.aws.answers import attempt
from ml_janitor.aws.sagemaker_kinds import COMPONENT, ENDPOINT, MONITORING_SCHEDULE
from ml_janitor.core.model import Cost, NotRead, Signal, Tags, Target, Unreadable, Value
from ml_janitor.detectors.idle_endpoints import costs, scaling
from ml_janitor.detectors.idle_endpoints import endpoint as endpoints
from ml_janitor.detectors.idle_endpoints.endpoint import (
    Description,
    InferenceComponent,
    Summary,
)
from ml_janitor.detectors.idle_endpoints.signals import Endpoint, HalfDone
from ml_janitor.detectors.idle_endpoints.traffic import (
    DAY,
    INVOCATIONS,
    PROCESSED,
    Hints,
    Place,
    listed,
    places,
)

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

HISTORY = timedelta(days=90)
"""How far back the last request of an idle endpoint is searched for: a day a point, one call for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    What is read once, for all endpoints together.

    *strays* are the places of inference components that are gone; *error* says that the listing of
    components broke off. *schedules* are the names of running monitoring schedules by endpoint, with
    what broke their listing off.
    """

    hints: Hints
    components: Mapping[str, Sequence[InferenceComponent]]
    schedules: Mapping[str, Sequence[str]]
    strays: tuple[Place, ...] = ()
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
        components: dict[str, list[InferenceComponent]] = {}
        for component in found.items:
            components.setdefault(component.endpoint, []).append(component)
        schedules: dict[str, list[str]] = {}
        for endpoint, schedule in watching.items:
            schedules.setdefault(endpoint, []).append(schedule)
        hints = Hints.of(invoked, done)
        account = cls(
            hints=hints,
            components=components,
            schedules=schedules,
            strays=tuple(hints.of_nobody(found.items)),
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
        components: Signal[tuple[InferenceComponent, ...]] = Value(on_it, COMPONENT.lists)
        if self.error is not None:
            components = Unreadable(self.error, COMPONENT.lists)
        watched = tuple(self.schedules.get(summary.name, ()))
        schedules: Signal[tuple[str, ...]] = Value(watched, MONITORING_SCHEDULE.lists)
        if self.schedules_error is not None and not watched:
            schedules = Unreadable(self.schedules_error, MONITORING_SCHEDULE.lists)
        return Endpoint(
            target=Target(
                arn=summary.arn,
                name=summary.name,
                kind=ENDPOINT.type,
                account=aws.account,
                region=aws.region,
                created=summary.created,
                tags=own_tags,
            ),
            summary=summary,
            places=tuple(self.hints.places(summary.name, on_it)),
            components=components,
            schedules=schedules,
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
    settled: Callable[[Endpoint], bool],
    exactly: bool,
) -> list[Endpoint]:
    """
    Read on wherever the question is still open; the order of *candidates* is kept.

    *settled* says that an endpoint is kept whatever else is read, *young* that a deployment at that time
    keeps it. With *exactly*, the tags of inference
    components are read one by one as they are now, else in bulk. After the first metrics, nothing
    more is asked of an endpoint with an unreadable signal either: it is unknown, and stays so.
    """

    def readable(endpoint: Endpoint) -> bool:
        return not settled(endpoint) and endpoint.unreadable is None

    known = _on(candidates, lambda one: not settled(one), lambda todo: _measured(aws, todo, window))
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
    """With what CloudWatch says about every place that has not been asked for yet, and its proof."""
    wanted = [metric for one in todo for place in (*one.places, *one.strays) for metric in place.lacks]
    data = metrics.read(aws, wanted, *window)
    return [
        replace(
            one,
            places=tuple(place.filled(data) for place in one.places),
            strays=tuple(place.filled(data) for place in one.strays),
        )
        for one in todo
    ]


def _described(aws: Aws, one: Endpoint, account: Account, young: Callable[[datetime], bool]) -> Endpoint:
    """
    With its variants, and with every place that has to be judged: two calls.

    Of one that may have been scaled lately, besides, one call for each variant.
    """
    description = endpoints.describe(aws, one.summary.name)
    if not isinstance(description, Value) or not (description.value.costs or one.half_done):
        return replace(one, description=description)
    config = endpoints.describe_config(aws, description.value.config_name)
    if not isinstance(config, Value):
        return replace(one, description=description, config=config)
    asked = {place.metric: place for place in one.places}
    decisive = {
        place.metric: place.knowing(asked.get(place.metric))
        for place in places(description.value, config.value, one.on_it)
    }
    placed = replace(
        one,
        description=description,
        config=config,
        places=(*decisive.values(), *(place for place in one.places if place.metric not in decisive)),
    )
    if young(placed.deployed):
        placed = replace(placed, scaled=_scaled(aws, placed, description.value))
    return replace(placed, strays=account.strays) if placed.bare else placed


def _scaled(aws: Aws, one: Endpoint, description: Description) -> Signal[bool]:
    names = [variant.name for variant in description.variants]
    return attempt(
        lambda: scaling.explains(aws, one.summary.name, names, one.modified), source=scaling.ACTIVITIES
    )


def _accompanied(aws: Aws, todo: list[Endpoint], *, exactly: bool) -> list[Endpoint]:
    """With the inference components on them, which would go with them: each may belong to somebody else."""
    asked = [on_it.arn for one in todo for on_it in one.on_it if isinstance(on_it.tags, NotRead)]
    if exactly:
        known = dict(zip(asked, aws.map(lambda arn: tags.of_one(aws, arn), asked), strict=True))
    else:
        book = tags.of_many(aws, asked)
        known = {arn: book.of(arn) for arn in asked}

    def along(one: Endpoint, component: InferenceComponent) -> Target:
        return replace(
            one.target,
            arn=component.arn,
            name=component.name,
            kind=COMPONENT.type,
            created=component.created,
            tags=known.get(component.arn, component.tags),
        )

    return [replace(one, takes_along=tuple(along(one, component) for component in one.on_it)) for one in todo]


def _valued(aws: Aws, todo: list[Endpoint], window: tuple[datetime, datetime]) -> list[Endpoint]:
    """With what it costs, and its daily requests from before the window."""
    days = {place.metric: replace(place.metric, period=DAY) for one in todo for place in one.decisive}
    before = window[0]
    data = metrics.read(aws, days.values(), before - HISTORY, before)
    return [
        replace(
            one,
            history=tuple(data[days[place.metric]] for place in one.decisive),
            cost=_cost(aws, one, window),
        )
        for one in todo
    ]


def _cost(aws: Aws, one: Endpoint, window: tuple[datetime, datetime]) -> Cost | None:
    match one.description, one.config:
        case Value(description), Value(config):
            monitors = costs.monitors(aws, one.summary.name, one.monitors, *window)
            return costs.cost(aws, description.variants, config, monitors)
        case _:
            return None
