"""Reads the number of requests to endpoints, by variant, from CloudWatch: metric names differ by kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.aws import metrics
from ml_janitor.aws.answers import Listing, error_text
from ml_janitor.aws.endpoints import InferenceComponent, list_inference_components
from ml_janitor.aws.metrics import Metric, MetricSeries
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.aws.sagemaker_kinds import COMPONENT, ENDPOINT
from ml_janitor.bill.joining import VariantRequests
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.idle_endpoints.traffic import (
    DAY_SECONDS,
    ENDPOINT_NAMESPACE,
    component_invocations,
    processed_requests,
    variant_invocations,
)
from ml_janitor.engine.detector import Grant, allow

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.aws.runs import UsedResource

HOURLY_PERIOD = 3600
CACHE_HIT_METRIC = "ModelCacheHit"
"""
The metric that only multi-model endpoints publish, by variant (developer guide, "CloudWatch Metrics for
Multi-Model Endpoint Deployments").
"""

REQUEST_READS: tuple[Grant, ...] = (
    allow(metrics.LIST_METRICS),
    allow(metrics.GET_METRIC_DATA),
    allow(COMPONENT.lists),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequests:
    """The requests to endpoints by their ARNs; *error* is the reason why some are missing."""

    by_arn: Mapping[str, tuple[VariantRequests, ...]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    """The *series* that count the requests to the variant of *run* of the endpoint *arn*."""

    arn: str
    run: ResourceRun
    series: tuple[Metric, ...]
    loaded: Metric


def read_requests(aws: Aws, ran: Iterable[UsedResource], since: datetime, now: datetime) -> EndpointRequests:
    """Read the requests to each endpoint of *ran* from *since* to *now*; a failure becomes the error."""
    endpoints = [resource for resource in ran if resource.target.kind == ENDPOINT.type]
    try:
        return _called(aws, endpoints, since, now) if endpoints else EndpointRequests()
    except Exception as error:  # also a fault of ours: the bill does not need the requests
        return EndpointRequests(error=error_text(error))


def _called(aws: Aws, ran: Sequence[UsedResource], since: datetime, now: datetime) -> EndpointRequests:
    shared = any(not run.model for resource in ran for run in resource.runs)
    components = list_inference_components(aws) if shared else Listing(())
    meters = [meter for endpoint in ran for meter in _meters(endpoint, components.items)]
    data = metrics.read_metrics(aws, [series for meter in meters for series in meter.series], since, now)
    loading = metrics.list_series(aws, ENDPOINT_NAMESPACE, CACHE_HIT_METRIC)
    known = loading.value if isinstance(loading, Value) else ()
    by_arn: dict[str, tuple[VariantRequests, ...]] = {}
    for meter in meters:
        unlisted = not meter.run.model and components.error is not None
        variant_requests = VariantRequests(
            variant=meter.run.variant,
            points=None if unlisted else _points([data[series] for series in meter.series]),
            period=meter.series[0].period if meter.series else DAY_SECONDS,
            shadow=meter.run.shadow,
            many_models=meter.loaded in known,
        )
        by_arn[meter.arn] = (*by_arn.get(meter.arn, ()), variant_requests)
    unread = [signal.error for signal in (*data.values(), loading) if isinstance(signal, Unreadable)]
    errors = [error for error in (components.error, *unread[:1]) if error]
    return EndpointRequests(by_arn=by_arn, error="; ".join(errors) or None)


def _meters(endpoint: UsedResource, components: Iterable[InferenceComponent]) -> Iterator[_Meter]:
    """Yield a meter for each variant; by the hour where a variant had several models, to tell them apart."""
    name = endpoint.target.name
    for variant, run in {run.variant: run for run in endpoint.runs}.items():
        models = {past_run.model for past_run in endpoint.runs if past_run.variant == variant}
        if "AsyncInf:" in run.usage_type:
            series = [processed_requests(name, variant)]
        elif run.model:
            series = [variant_invocations(name, variant)]
        else:
            on = [
                component
                for component in components
                if (component.endpoint, component.variant) == (name, variant)
            ]
            series = [component_invocations(component.name) for component in on]
        yield _Meter(
            arn=endpoint.target.arn,
            run=run,
            series=tuple(
                replace(metric, period=HOURLY_PERIOD if len(models) > 1 else DAY_SECONDS) for metric in series
            ),
            loaded=Metric.of(ENDPOINT_NAMESPACE, CACHE_HIT_METRIC, EndpointName=name, VariantName=variant),
        )


def _points(signals: Iterable[Signal[MetricSeries]]) -> tuple[tuple[datetime, float], ...] | None:
    """Return all datapoints; without datapoints there were no requests. None if any were unreadable."""
    points: list[tuple[datetime, float]] = []
    for signal in signals:
        if isinstance(signal, Value):
            points += signal.value.points
        elif not isinstance(signal, Absent):
            return None
    return tuple(points)
