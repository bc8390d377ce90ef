"""One endpoint with everything that was read for it, and its evidence for a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from ml_janitor.aws.endpoints import (
    EndpointConfig,
    EndpointDescription,
    EndpointSummary,
    InferenceComponent,
    count_instances,
)
from ml_janitor.aws.metrics import LIST_METRICS, MetricSeries
from ml_janitor.aws.prices import FROM_PRICE_LIST, GET_PRODUCTS
from ml_janitor.aws.sagemaker_kinds import ENDPOINT
from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Candidate
from ml_janitor.core.signals import Absent, Evidence, NotRead, Signal, Unreadable, Value, as_evidence
from ml_janitor.detectors.idle_endpoints.attached import SCALING_ACTIVITIES
from ml_janitor.detectors.idle_endpoints.traffic import COUNTED_METRICS, RequestMeter

METERS_SHOWN = 6
"""Most meters in a report: evidence stays readable however many variants or components an endpoint has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfDeletion:
    """
    An act on an endpoint that broke off.

    *removed* are the inference components that the act has deleted, as they were before. *deployed* is the
    time of the last deployment before the act, with the configuration *config*.
    """

    removed: tuple[InferenceComponent, ...]
    deployed: datetime
    config: str

    def without(self, names: Iterable[str]) -> HalfDeletion:
        """Return the same without the components *names*, which were not deleted or exist again."""
        there = set(names)
        return replace(
            self, removed=tuple(component for component in self.removed if component.name not in there)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCandidate(Candidate):
    """
    An endpoint with everything that was read for it.

    *meters* are decisive only once *description* and *config* have been read. *strays* are read
    where an inference component may have been deleted: nobody can tell which endpoint had their
    requests. *scaled* is true if scaling was its last modification; it is read where the
    modification would count as a deployment otherwise. *history* holds daily requests from before
    the window, and only serves to say since when it has been idle. *half_done* is set if an act on
    it broke off; its removed components count as still on it. With *alone*, a request for this one
    endpoint, evidence shows every signal; the endpoint compares equal all the same.
    """

    summary: EndpointSummary
    meters: tuple[RequestMeter, ...] = ()
    components: Signal[tuple[InferenceComponent, ...]] = field(default_factory=NotRead)
    schedules: Signal[tuple[str, ...]] = field(default_factory=NotRead)
    hints_error: str | None = None
    half_done: HalfDeletion | None = None
    description: Signal[EndpointDescription] = field(default_factory=NotRead)
    config: Signal[EndpointConfig] = field(default_factory=NotRead)
    strays: tuple[RequestMeter, ...] = ()
    scaled: Signal[bool] = field(default_factory=NotRead)
    history: tuple[Signal[MetricSeries], ...] = ()
    cost: Cost | None = None
    alone: bool = field(default=False, compare=False)

    @property
    def changed(self) -> datetime:
        """The last deployment of the endpoint, or of an inference component on it."""
        return max([self.deployed, *(component.changed for component in self.on_it)])

    @property
    def deployed(self) -> datetime:
        """
        The last deployment of the endpoint itself, as far as that is known.

        Where scaling hides the time of a deployment, a new configuration or newly resolved images show it:
        "To update an endpoint, you must create a new EndpointConfig" (API reference, UpdateEndpoint).
        """
        if self._as_it_was is not None:
            return self._as_it_was.deployed
        match self.scaled, self.description, self.config:
            case Value(True), Value(description), Value(config):
                resolved = [
                    variant.resolved for variant in description.variants if variant.resolved is not None
                ]
                return max([self.summary.created, config.created, *resolved])
            case _:
                return self.modified

    @property
    def modified(self) -> datetime:
        """The time of its last deployment or scaling."""
        return max(self._newest.changed, self.summary.changed)

    @property
    def _as_it_was(self) -> HalfDeletion | None:
        """
        The act that broke off, if nobody has deployed since.

        Deleting its components may move an endpoint's modification time; a
        deployment changes its configuration.
        """
        match self.half_done, self.description:
            case HalfDeletion() as half, Value(found) if found.config_name == half.config:
                return half
            case _:
                return None

    @property
    def status(self) -> str:
        return self._newest.status

    @property
    def _newest(self) -> EndpointSummary:
        return self.description.value.summary if isinstance(self.description, Value) else self.summary

    @property
    def decisive(self) -> tuple[RequestMeter, ...]:
        return tuple(meter for meter in self.meters if meter.decisive)

    @property
    def bare(self) -> tuple[str, ...]:
        """The variants for inference components that have none."""
        match self.description, self.config:
            case Value(description), Value(config):
                used = {component.variant for component in self.on_it}
                names = (variant.name for variant in description.variants if variant.runs)
                return tuple(name for name in names if name in config.hosts - used)
            case _:
                return ()

    @property
    def on_it(self) -> tuple[InferenceComponent, ...]:
        """The inference components on it, as far as they could be listed."""
        return self.components.value if isinstance(self.components, Value) else ()

    @property
    def monitors(self) -> tuple[str, ...]:
        """The running monitoring schedules over it, as far as they could be listed."""
        return self.schedules.value if isinstance(self.schedules, Value) else ()

    @property
    def unreadable(self) -> str | None:
        """The required signal that could not be read, and why; or None."""
        if isinstance(self.components, Unreadable):
            return f"its inference components could not be listed ({self.components.error})"
        if isinstance(self.schedules, Unreadable):
            return f"its monitoring schedules could not be listed ({self.schedules.error})"
        for signal, what in ((self.description, "it"), (self.config, "its configuration")):
            if isinstance(signal, Unreadable):
                return f"{what} could not be described ({signal.error})"
        if isinstance(self.scaled, Unreadable):
            return f"whether its last modification was scaling could not be read ({self.scaled.error})"
        for meter in (*self.meters, *self.strays):
            if meter.unreadable is not None:
                return f"the requests to {meter.where} could not be read ({meter.unreadable})"
        return None


def endpoint_evidence(endpoint: EndpointCandidate, now: datetime) -> Iterator[Evidence]:
    """Yield the evidence: everything for an endpoint on its own, else as much as a report has room for."""
    described = endpoint.description.source if isinstance(endpoint.description, Value) else ENDPOINT.lists
    yield Evidence("status", endpoint.status, source=described)
    yield Evidence(
        "last deployed", f"{format_age(now - endpoint.changed)} ago", source=described, at=endpoint.changed
    )
    if endpoint.scaled == Value(True, SCALING_ACTIVITIES):
        yield Evidence(
            "last scaled",
            f"{format_age(now - endpoint.modified)} ago",
            source=SCALING_ACTIVITIES,
            at=endpoint.modified,
        )
    if endpoint.alone:
        names = ", ".join(component.name for component in endpoint.on_it)
        yield as_evidence("inference components on it", endpoint.components, names or "none")
        running = ", ".join(endpoint.monitors) or "none"
        yield as_evidence("monitoring schedules that run over it", endpoint.schedules, running)
    yield from _traffic(endpoint)
    if endpoint.alone:
        yield from _before(endpoint)
    if endpoint.hints_error is not None:
        yield Evidence(
            "series that a description does not name", error=endpoint.hints_error, source=LIST_METRICS
        )
    yield from _running(endpoint)
    if endpoint.cost is not None:
        hourly = endpoint.cost.hourly_usd
        price = "unknown" if hourly is None else f"{hourly.normalize():f} USD an hour"
        asked = GET_PRODUCTS if FROM_PRICE_LIST in endpoint.cost.source else ""
        yield Evidence("price", f"{price} ({endpoint.cost.source})", source=asked)


def _traffic(endpoint: EndpointCandidate) -> Iterator[Evidence]:
    """Yield the meters for requests, the most telling first; a report shows at most `METERS_SHOWN`."""
    meters = sorted(
        (meter for meter in endpoint.meters if meter.decisive or not isinstance(meter.requests, Absent)),
        key=lambda meter: (meter.used is None, meter.unreadable is None, isinstance(meter.requests, Value)),
    )
    most = len(meters) if endpoint.alone else METERS_SHOWN
    for meter in meters[:most]:
        yield meter_evidence(meter)
    if len(meters) > most:
        yield Evidence("further places for requests", len(meters) - most)


def _before(endpoint: EndpointCandidate) -> Iterator[Evidence]:
    """
    Yield signals that matter to few endpoints: requests to deleted
    components, and from before the window.
    """
    for meter in endpoint.strays:
        yield replace(meter_evidence(meter), signal=f"requests to {meter.where}, now deleted")
    for meter, days in zip(endpoint.decisive, endpoint.history, strict=False):
        count = round(days.value.total) if isinstance(days, Value) else None
        yield as_evidence(f"earlier requests to {meter.where}", days, count)


def _running(endpoint: EndpointCandidate) -> Iterator[Evidence]:
    match endpoint.description, endpoint.config:
        case Value(description), Value(config):
            counts = count_instances(description.variants, config)
            running = [f"{count} x {kind or 'an unknown type'}" for kind, count in sorted(counts.items())]
            running += [
                f"{v.concurrency} x concurrency of {v.name}" for v in description.variants if v.concurrency
            ]
            yield Evidence("running", ", ".join(running), source=endpoint.description.source)
        case _ if endpoint.alone:
            if not isinstance(endpoint.description, Value):
                yield as_evidence("description", endpoint.description)
            yield as_evidence("configuration", endpoint.config, "read")


def meter_evidence(meter: RequestMeter) -> Evidence:
    """Return one meter as evidence."""
    name = f"requests to {meter.where}" if meter.metric.name in COUNTED_METRICS else f"use of {meter.where}"
    match meter.requests, meter.control:
        case (Absent(source), Value()):
            return Evidence(name, "no datapoint, while other metrics arrive", source=source)
        case (Absent(source), Absent()):
            return Evidence(name, "no datapoint, nor any other metric", source=source)
        case (Absent(), Unreadable() as control):
            return as_evidence(name, control)
        case (Value(series, source), _):
            most = max(series.values) if meter.count is None else meter.count
            return Evidence(name, most, source=source, at=meter.used)
        case _:
            return as_evidence(name, meter.requests)
