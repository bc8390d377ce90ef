"""Reads endpoints in waves: what is cheap for all of them, what is dear only where it decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from janitor import endpoints, metrics
from janitor.aws import Listing
from janitor.endpoint_traffic import DAY, INVOCATIONS, PROCESSED, Hints, Place, listed, places
from janitor.endpoints import LIST_COMPONENTS, Config, Description, InferenceComponent, Summary
from janitor.metrics import Metric, Series
from janitor.model import Absent, Candidate, Cost, NotRead, Signal, Tags, Target, Unreadable, Value

if TYPE_CHECKING:
    from janitor.aws import Aws

HISTORY = timedelta(days=90)
"""How far back the last request of an idle endpoint is searched for: a day a point, one call for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Candidate):
    """
    An endpoint with everything that was read for it.

    *places* are decisive only once *description* and *config* have been read. *strays* are read for an
    endpoint that is there for inference components and has none. *history* holds daily requests from
    before the window, and only serves to say since when it has been idle.
    """

    summary: Summary
    places: tuple[Place, ...] = ()
    components: Signal[tuple[InferenceComponent, ...]] = field(default_factory=NotRead)
    hints_error: str | None = None
    description: Signal[Description] = field(default_factory=NotRead)
    config: Signal[Config] = field(default_factory=NotRead)
    strays: tuple[Place, ...] = ()
    history: tuple[Signal[Series], ...] = ()
    cost: Cost | None = None

    @property
    def changed(self) -> datetime:
        """When it, or an inference component on it, was last deployed."""
        on_it = self.components.value if isinstance(self.components, Value) else ()
        return max([self.summary.changed, *(component.changed for component in on_it)])

    @property
    def decisive(self) -> tuple[Place, ...]:
        """The places that have to be judged."""
        return tuple(place for place in self.places if place.decisive)

    @property
    def unreadable(self) -> str | None:
        """Which required signal could not be read, and why."""
        if isinstance(self.components, Unreadable):
            return f"its inference components could not be listed ({self.components.error})"
        for signal, what in ((self.description, "it"), (self.config, "its configuration")):
            if isinstance(signal, Unreadable):
                return f"{what} could not be described ({signal.error})"
        for place in (*self.places, *self.strays):
            if place.unreadable is not None:
                return f"the requests to {place.where} could not be read ({place.unreadable})"
        return None

    def read(self, data: Mapping[Metric, Signal[Series]]) -> Endpoint:
        """The same endpoint with the metrics that have been read."""
        return replace(
            self,
            places=tuple(place.filled(data) for place in self.places),
            strays=tuple(place.filled(data) for place in self.strays),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is read once, for all endpoints together. *error* says that components are missing."""

    hints: Hints
    components: Mapping[str, Sequence[InferenceComponent]]
    error: str | None = None

    @classmethod
    def read(cls, aws: Aws, *others: Callable[[Aws], Any]) -> tuple[Account, list[Any]]:
        """Read it through the pool, and *others* along with it."""
        reads: list[Callable[[Aws], Any]] = [
            lambda aws: listed(aws, INVOCATIONS),
            lambda aws: listed(aws, PROCESSED),
            endpoints.inference_components,
            *others,
        ]
        invoked, done, found, *rest = aws.map(lambda read: read(aws), reads)
        components: dict[str, list[InferenceComponent]] = {}
        for component in found.items:
            components.setdefault(component.endpoint, []).append(component)
        return cls(hints=Hints.of(invoked, done), components=components, error=found.error), rest

    def endpoint(self, aws: Aws, summary: Summary, tags: Signal[Tags]) -> Endpoint:
        """A candidate, as far as it is known without asking for it alone."""
        on_it = tuple(self.components.get(summary.name, ()))
        return Endpoint(
            target=Target(
                arn=summary.arn,
                name=summary.name,
                kind="endpoint",
                account=aws.account,
                region=aws.region,
                created=summary.created,
                tags=tags,
            ),
            summary=summary,
            places=tuple(self.hints.places(summary.name, on_it)),
            components=Unreadable(self.error, LIST_COMPONENTS) if self.error else Value(on_it, LIST_COMPONENTS),
            hints_error=self.hints.error,
        )


def survey(
    aws: Aws,
    listed: Sequence[Endpoint],
    account: Account,
    *,
    window: tuple[datetime, datetime],
    settled: Callable[[Endpoint], bool],
) -> list[Endpoint]:
    """
    Read on wherever the question is still open, in the order of *listed*.

    *settled* says that an endpoint is kept whatever else is read. Nothing is asked of an endpoint
    that has an unreadable signal either: it is unknown, and stays so.
    """

    def still_open(endpoint: Endpoint) -> bool:
        return endpoint.unreadable is None and not settled(endpoint)

    def fill(endpoints: Iterable[Endpoint], known: Mapping[Metric, Signal[Series]]) -> list[Endpoint]:
        """Ask for what the places of open *endpoints* lack, in as few calls as possible."""
        known = dict(known)
        lacking = [metric for one in endpoints if still_open(one) for metric in one.lacking(known)]
        known |= metrics.read(aws, lacking, *window)
        return [endpoint.read(known) for endpoint in endpoints]

    hinted = fill(listed, {})
    described = _each(aws, describe, hinted, still_open)
    found = [account.placed(endpoint) for endpoint in described]
    ...
