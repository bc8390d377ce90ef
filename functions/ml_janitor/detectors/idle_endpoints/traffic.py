"""The traces of requests in CloudWatch, by kind of endpoint, and their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ml_janitor.aws import metrics
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import EndpointConfig, EndpointDescription, EndpointVariant, InferenceComponent
from ml_janitor.aws.metrics import Metric, MetricSeries
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value

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


def list_request_series(aws: Aws, name: str) -> Signal[tuple[Metric, ...]]:
    """Return the series of one metric of SageMaker that had data in the past two weeks."""
    return metrics.list_series(aws, ENDPOINT_NAMESPACE, name)


def request_meters(
    description: EndpointDescription, config: EndpointConfig, components: Sequence[InferenceComponent]
) -> Iterator[RequestMeter]:
    """
    Yield every meter that has to be judged before the described endpoint can be called idle.

    That includes production and shadow variants: a shadow variant is called with every copied request, and
    costs as much. A variant for inference components is called through them; without any, its own name is
    read, which at least shows whether its metrics arrive.
    """
    name = description.summary.name
    with_components = {component.variant for component in components}
    asynchronous = description.asynchronous or config.asynchronous
    for variant in description.variants:
        if asynchronous:
            yield _of(variant, processed_requests(name, variant.name), instance_heartbeat(name, variant.name))
        elif variant.serverless:
            yield _of(variant, variant_invocations(name, variant.name), used_concurrency(name, variant.name))
        elif variant.name not in config.hosts & with_components:
            yield _of(
                variant, variant_invocations(name, variant.name), instance_heartbeat(name, variant.name)
            )
    for component in components:
        yield RequestMeter(
            where=f"inference component {component.name}",
            metric=component_invocations(component.name),
            proof=instance_heartbeat(name, component.variant),
        )
    if asynchronous:
        yield RequestMeter(where="the queue", metric=queue_backlog(name), decisive=False)
    for variant in description.variants:
        if variant.concurrency:
            where = f"the provisioned concurrency of variant {variant.name}"
            yield RequestMeter(where=where, metric=used_concurrency(name, variant.name), decisive=False)


def _of(variant: EndpointVariant, metric: Metric, proof: Metric) -> RequestMeter:
    return RequestMeter(
        where=f"{'shadow ' if variant.shadow else ''}variant {variant.name}", metric=metric, proof=proof
    )
