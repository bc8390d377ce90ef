"""The reading of endpoints: their metrics, everything else that may show use, and the evidence of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, Final

from ml_janitor.aws import activity, endpoints, tags
from ml_janitor.aws.activity import LIST_METRICS, Metric, MetricSeries
from ml_janitor.aws.calls import Listing, ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import (
    EndpointDescription,
    EndpointSummary,
    EndpointVariant,
    InferenceComponent,
    count_instances,
)
from ml_janitor.aws.prices import FROM_PRICE_LIST, GET_PRODUCTS, total_price
from ml_janitor.aws.rented_instances import read_rented_instances
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    MONITORING_EXECUTION,
    MONITORING_SCHEDULE,
    PROCESSING_JOB,
    describe_resource,
    list_kind,
)
from ml_janitor.aws.tags import target_in
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Cost,
    Evidence,
    NotRead,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    as_evidence,
)

# --- metrics of requests --------------------------------------------------------------------------

ENDPOINT_NAMESPACE = "AWS/SageMaker"
_INSTANCE_METRICS = "/aws/sagemaker/Endpoints"

INVOCATIONS_METRIC = "Invocations"
PROCESSED_METRIC = "InvocationsProcessed"
BACKLOG_METRIC = "ApproximateBacklogSize"
_CONCURRENCY_METRIC = "ServerlessProvisionedConcurrencyUtilization"
COUNTED_METRICS = frozenset({INVOCATIONS_METRIC, PROCESSED_METRIC})
"""Metrics whose sum is a number of requests; the others only show that there were some."""

_BY_VARIANT = frozenset({"EndpointName", "VariantName"})
_BY_COMPONENT = frozenset({"InferenceComponentName"})
_DIMENSION_WORDS = {"ContainerName": "container", "ContainerId": "container", "InstanceId": "instance"}
"""
Further dimensions of a series: a container that is called directly, and with enhanced metrics each container
and each instance (developer guide, "Amazon SageMaker AI enhanced metrics for inference endpoints").
"""

DAY_SECONDS = 86400

SCALING_SERVICE: Final = "application-autoscaling"
SCALING_ACTIVITIES = f"{SCALING_SERVICE}:DescribeScalingActivities"


def variant_invocations(endpoint: str, variant: str) -> Metric:
    """
    Return the metric of requests to a variant with a model of its own. By
    endpoint alone the series does not exist.
    """
    return Metric.of(ENDPOINT_NAMESPACE, INVOCATIONS_METRIC, EndpointName=endpoint, VariantName=variant)


def component_invocations(component: str) -> Metric:
    """
    Return the metric of requests to an inference component: published by its
    name only, without the endpoint's.
    """
    return Metric.of(ENDPOINT_NAMESPACE, INVOCATIONS_METRIC, InferenceComponentName=component)


def processed_requests(endpoint: str, variant: str) -> Metric:
    """
    Return the metric of requests that an asynchronous variant has
    processed. It publishes no `Invocations`.
    """
    return Metric.of(ENDPOINT_NAMESPACE, PROCESSED_METRIC, EndpointName=endpoint, VariantName=variant)


def queue_backlog(endpoint: str) -> Metric:
    """Return the metric of requests in the queue of an asynchronous endpoint, those in work included."""
    return Metric.of(ENDPOINT_NAMESPACE, BACKLOG_METRIC, stat="Maximum", EndpointName=endpoint)


def used_concurrency(endpoint: str, variant: str) -> Metric:
    """Return the metric of a serverless variant's used share of its provisioned concurrency."""
    return Metric.of(
        ENDPOINT_NAMESPACE, _CONCURRENCY_METRIC, stat="Maximum", EndpointName=endpoint, VariantName=variant
    )


def instance_heartbeat(endpoint: str, variant: str) -> Metric:
    """
    Return a metric that every running instance publishes: the proof that
    metrics of a variant arrive at all.
    """
    return Metric.of(
        _INSTANCE_METRICS, "CPUUtilization", stat="SampleCount", EndpointName=endpoint, VariantName=variant
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMeter:
    """
    One series that shows requests.

    A *decisive* meter has to be judged: zeros prove that it is idle, and where
    *requests* are absent, *control* has to show that metrics of the same variant arrive.
    Any other meter can only show use, and may be absent.
    """

    where: str
    metric: Metric
    requests: Signal[MetricSeries] = field(default_factory=NotRead)
    control: Signal[MetricSeries] = field(default_factory=NotRead)
    decisive: bool = True
    proof: Metric | None = None

    @property
    def used(self) -> datetime | None:
        """The beginning of the newest hour with a request."""
        return self.requests.value.last_above_zero if isinstance(self.requests, Value) else None

    @property
    def count(self) -> int | None:
        """The number of requests; None if the metric shows only that there were some."""
        if isinstance(self.requests, Value) and self.metric.name in COUNTED_METRICS:
            return round(self.requests.value.total)
        return None

    @property
    def unreadable(self) -> str | None:
        """The error that keeps this meter from being judged."""
        for signal in (self.requests, self.control):
            if isinstance(signal, Unreadable):
                return signal.error
        return None

    @property
    def lacks(self) -> Iterator[Metric]:
        """The metrics to request before this meter can be judged; readable data need no proof."""
        if isinstance(self.requests, NotRead):
            yield self.metric
        if self.proof is not None and isinstance(self.requests, NotRead | Absent):
            yield self.proof

    def filled(self, data: Mapping[Metric, Signal[MetricSeries]]) -> RequestMeter:
        """Return the same meter with its data."""
        requests = data.get(self.metric, self.requests)
        control = data.get(self.proof, self.control) if self.proof is not None else self.control
        return replace(self, requests=requests, control=control)

    def knowing(self, asked: RequestMeter | None) -> RequestMeter:
        """Return the same meter with the data of an earlier request."""
        return self if asked is None else replace(self, requests=asked.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHints:
    """
    The series that ListMetrics knows, by endpoint and by inference component.

    They settle most endpoints before any description is read, and show use that a description no longer
    covers: replaced variants, containers that are called directly. *error* says that some are missing.
    """

    by_endpoint: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    by_component: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def of(cls, *listed: Signal[tuple[Metric, ...]]) -> SeriesHints:
        """Build the hints from the *listed* metrics."""
        by_endpoint: dict[str, list[Metric]] = {}
        by_component: dict[str, list[Metric]] = {}
        for metric in (metric for signal in listed if isinstance(signal, Value) for metric in signal.value):
            dimensions = dict(metric.dimensions)
            if dimensions.keys() >= _BY_COMPONENT:
                by_component.setdefault(dimensions["InferenceComponentName"], []).append(metric)
            elif dimensions.keys() >= _BY_VARIANT:
                by_endpoint.setdefault(dimensions["EndpointName"], []).append(metric)
        errors = [signal.error for signal in listed if isinstance(signal, Unreadable)]
        return cls(by_endpoint=by_endpoint, by_component=by_component, error=errors[0] if errors else None)

    def meters(self, endpoint: str, components: Iterable[InferenceComponent]) -> Iterator[RequestMeter]:
        """Yield the known places of requests to *endpoint*. None is decisive: much may be missing."""
        for metric in self.by_endpoint.get(endpoint, ()):
            yield _hint(f"variant {dict(metric.dimensions)['VariantName']}", metric)
        for component in components:
            for metric in self.by_component.get(component.name, ()):
                yield _hint(f"inference component {component.name}", metric)

    def orphaned(self, components: Iterable[InferenceComponent]) -> list[RequestMeter]:
        """Return the series of deleted inference components: nobody can tell where they ran."""
        known = {component.name for component in components}
        return [
            _hint(f"inference component {name}", metric)
            for name, own in self.by_component.items()
            if name not in known
            for metric in own
        ]


def _hint(where: str, metric: Metric) -> RequestMeter:
    """Return a meter that shows use only, with the part of *where* that it covers."""
    parts = [
        f"{_DIMENSION_WORDS[name]} {value}"
        for name, value in sorted(metric.dimensions)
        if name in _DIMENSION_WORDS
    ]
    return RequestMeter(where=", ".join([where, *parts]), metric=metric, decisive=False)


def request_meters(
    description: EndpointDescription, components: Sequence[InferenceComponent]
) -> Iterator[RequestMeter]:
    """
    Yield every meter that has to be judged before the described endpoint can be called idle.

    That includes production and shadow variants: a shadow variant is called with every copied request, and
    costs as much. A variant for inference components is called through them; without any, its own name is
    read, which at least shows whether its metrics arrive.
    """
    name = description.summary.name
    with_components = {component.variant for component in components}
    for variant in description.variants:
        if description.asynchronous:
            yield _of(variant, processed_requests(name, variant.name), instance_heartbeat(name, variant.name))
        elif variant.serverless:
            yield _of(variant, variant_invocations(name, variant.name), used_concurrency(name, variant.name))
        elif not (variant.hosts and variant.name in with_components):
            yield _of(
                variant, variant_invocations(name, variant.name), instance_heartbeat(name, variant.name)
            )
    for component in components:
        yield RequestMeter(
            where=f"inference component {component.name}",
            metric=component_invocations(component.name),
            proof=instance_heartbeat(name, component.variant),
        )
    if description.asynchronous:
        yield RequestMeter(where="the queue", metric=queue_backlog(name), decisive=False)
    for variant in description.variants:
        if variant.concurrency:
            where = f"the provisioned concurrency of variant {variant.name}"
            yield RequestMeter(where=where, metric=used_concurrency(name, variant.name), decisive=False)


def _of(variant: EndpointVariant, metric: Metric, proof: Metric) -> RequestMeter:
    return RequestMeter(
        where=f"{'shadow ' if variant.shadow else ''}variant {variant.name}", metric=metric, proof=proof
    )


# --- one endpoint ---------------------------------------------------------------------------------

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

    *meters* are decisive only once *config* has been read: it is *description* with what the
    configuration adds. *strays* are read
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
    config: Signal[EndpointDescription] = field(default_factory=NotRead)
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
        match self.scaled, self.config:
            case Value(True), Value(found):
                times = [found.configured, *(variant.resolved for variant in found.variants)]
                return max([self.summary.created, *(at for at in times if at is not None)])
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
        if not isinstance(self.config, Value):
            return ()
        used = {component.variant for component in self.on_it}
        hosting = (variant.name for variant in self.config.value.variants if variant.runs and variant.hosts)
        return tuple(name for name in hosting if name not in used)

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
    match endpoint.config:
        case Value(found):
            counts = count_instances(found.variants)
            running = [f"{count} x {kind or 'an unknown type'}" for kind, count in sorted(counts.items())]
            running += [f"{v.concurrency} x concurrency of {v.name}" for v in found.variants if v.concurrency]
            yield Evidence("running", ", ".join(running), source=ENDPOINT.describes)
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


# --- the survey -----------------------------------------------------------------------------------
# The survey reads in waves: cheap signals for all endpoints, expensive ones only where they decide.

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
            partial(activity.list_series, namespace=ENDPOINT_NAMESPACE, name=INVOCATIONS_METRIC),
            partial(activity.list_series, namespace=ENDPOINT_NAMESPACE, name=PROCESSED_METRIC),
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
    settled: datetime,
    kept: Callable[[EndpointCandidate], str | None],
    exactly: bool,
) -> list[EndpointCandidate]:
    """
    Read on wherever the question is still open; the order of *candidates* is kept.

    *kept* returns why an endpoint is kept whatever else is read: a deployment after *settled* is such a
    reason. With *exactly*, the tags of inference components are read one by one as they are now, else in
    bulk. After the first metrics, an endpoint with an unreadable signal gets no more requests either: it is
    unknown, and stays so.
    """
    measure = partial(_measured, aws, window=window)
    waves: Sequence[Callable[[list[EndpointCandidate]], list[EndpointCandidate]]] = (
        measure,
        partial(
            _described, aws, account=account, settled=settled, total=None if exactly else len(candidates)
        ),
        measure,
        partial(_accompanied, aws, exactly=exactly),
        partial(_valued, aws, window=window),
    )
    known = {endpoint.target.arn: endpoint for endpoint in candidates}
    todo = list(candidates)
    for number, read in enumerate(waves):
        todo = [
            endpoint
            for endpoint in todo
            if kept(endpoint) is None and (number == 0 or endpoint.unreadable is None)
        ]
        todo = read(todo)
        known |= {endpoint.target.arn: endpoint for endpoint in todo}
    found = [known[endpoint.target.arn] for endpoint in candidates]
    return found if exactly else _tagged(aws, found, kept)


def _tagged(
    aws: Aws, found: Sequence[EndpointCandidate], kept: Callable[[EndpointCandidate], str | None]
) -> list[EndpointCandidate]:
    """
    Return *found* with the tags of those that are not kept anyway.

    Where these are most, or the run shares its answers, all tags take fewer calls.
    """
    open_ = {endpoint.target.arn for endpoint in found if kept(endpoint) is None}
    if aws.shares or 2 * len(open_) > len(found):
        book = tags.read_tag_book(aws, f"sagemaker:{ENDPOINT.type}")
        open_ = {endpoint.target.arn for endpoint in found}
    else:
        book = tags.read_tags_of(aws, sorted(open_))

    def tagged(endpoint: EndpointCandidate) -> EndpointCandidate:
        if (arn := endpoint.target.arn) not in open_:
            return endpoint
        return replace(endpoint, target=replace(endpoint.target, tags=book.of(arn)))

    return [tagged(endpoint) for endpoint in found]


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
    data = activity.read_metrics(aws, wanted, *window)
    return [
        replace(
            endpoint,
            meters=tuple(meter.filled(data) for meter in endpoint.meters),
            strays=tuple(meter.filled(data) for meter in endpoint.strays),
        )
        for endpoint in todo
    ]


def _described(
    aws: Aws, todo: list[EndpointCandidate], account: EndpointAccount, settled: datetime, *, total: int | None
) -> list[EndpointCandidate]:
    """
    Return *todo* with their variants, and with every meter that has to be judged.

    An endpoint that may have been scaled lately takes one call more for each variant. Endpoints are described
    as they were listed, if all of them were (*total*), and as they are now if not.
    """
    summaries = [endpoint.summary for endpoint in todo]
    found = (
        aws.map(lambda summary: endpoints.describe_endpoint(aws, summary.name), summaries)
        if total is None
        else endpoints.describe_listed_endpoints(aws, summaries, total=total)
    )
    known = [
        replace(endpoint, description=description) for endpoint, description in zip(todo, found, strict=True)
    ]
    running = [
        endpoint.description.value
        for endpoint in known
        if isinstance(endpoint.description, Value)
        and (endpoint.description.value.costs or endpoint.half_done)
    ]
    whole = (
        aws.map(partial(endpoints.describe_endpoint_config, aws), running)
        if total is None
        else endpoints.add_configurations(aws, running)
    )
    configs = dict(zip((description.summary.arn for description in running), whole, strict=True))

    def placed(endpoint: EndpointCandidate) -> EndpointCandidate:
        return _placed(aws, endpoint, configs.get(endpoint.summary.arn, NotRead()), account, settled)

    return aws.map(placed, known)


def _placed(
    aws: Aws,
    endpoint: EndpointCandidate,
    config: Signal[EndpointDescription],
    account: EndpointAccount,
    settled: datetime,
) -> EndpointCandidate:
    """Return a described *endpoint* with its *config* and its meters."""
    if not isinstance(config, Value):
        return replace(endpoint, config=config)
    asked = {meter.metric: meter for meter in endpoint.meters}
    decisive = {
        meter.metric: meter.knowing(asked.get(meter.metric))
        for meter in request_meters(config.value, endpoint.on_it)
    }
    placed = replace(
        endpoint,
        config=config,
        meters=(*decisive.values(), *(meter for meter in endpoint.meters if meter.metric not in decisive)),
    )
    if placed.deployed > settled:
        variants = [variant.name for variant in config.value.variants]
        asking = partial(was_scaling_at, aws, endpoint.summary.name, variants, placed.modified)
        placed = replace(placed, scaled=read_signal(asking, source=SCALING_ACTIVITIES))
    return replace(placed, strays=account.strays) if placed.bare else placed


def was_scaling_at(aws: Aws, endpoint: str, variants: Iterable[str], at: datetime) -> bool:
    """
    Return whether Application Auto Scaling was changing one of *variants* at time *at*, and succeeded.

    An activity lasts from before its request to SageMaker until SageMaker has fulfilled the request.
    """
    resources = (f"endpoint/{endpoint}/variant/{variant}" for variant in variants)
    return any(
        activity["StartTime"] <= at <= activity["EndTime"]
        for resource in resources
        for page in aws.pages(SCALING_ACTIVITIES, ServiceNamespace="sagemaker", ResourceId=resource)
        for activity in page["ScalingActivities"]
        if activity["StatusCode"] == "Successful"
    )


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
    data = activity.read_metrics(aws, days.values(), before - REQUEST_HISTORY, before)
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
    if not isinstance(endpoint.config, Value):
        return None
    variants = endpoint.config.value.variants
    monitoring = _monitoring(aws, endpoint.summary.name, endpoint.monitors, *window)
    if any(variant.concurrency for variant in variants):
        return Cost.standing(None, "provisioned concurrency is not in the instance price list")
    if not isinstance(monitoring, Value):
        return Cost.standing(
            None, f"what monitoring it costs could not be read ({getattr(monitoring, 'error', monitoring)})"
        )
    counts = count_instances([variant for variant in variants if not variant.reserved])
    hourly, region, busy = aws.prices.hourly, aws.region, monitoring.value
    priced = [
        *((count, hourly(region, "Hosting", kind)) for kind, count in counts.items()),
        *((count, hourly(region, "Processing", kind)) for kind, count in busy.items()),
    ]
    price = total_price(priced)
    sources = [
        *([price.source] if priced else []),
        *(["without reserved capacity"] if any(variant.reserved for variant in variants) else []),
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
                share = (job["ProcessingEndTime"] - job["ProcessingStartTime"]) * len(jobs) / (end - start)
                try:
                    rented = read_rented_instances(PROCESSING_JOB, job)
                except ReadError as problem:
                    return Unreadable(f"{name}: {problem}", PROCESSING_JOB.describes)
                for part in rented:
                    busy[part.type] = busy.get(part.type, 0) + part.count * share
            case Unreadable() as unreadable:
                return unreadable
    return Value(busy, PROCESSING_JOB.describes)
