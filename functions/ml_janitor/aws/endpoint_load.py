"""Reads each endpoint's variants and their peaks of two weeks: the basis of advice on sizes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import batched

from ml_janitor.aws import metrics, tags
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import (
    SERVING_STATUSES,
    EndpointConfig,
    EndpointSummary,
    EndpointVariant,
    describe_endpoint,
    describe_endpoint_config,
    list_endpoints,
    list_inference_components,
)
from ml_janitor.aws.instances import Machine, machine_of
from ml_janitor.aws.metrics import Metric, MetricSeries
from ml_janitor.aws.sagemaker_kinds import COMPONENT, ENDPOINT
from ml_janitor.core.durations import HOUR, format_age
from ml_janitor.core.model import Kept, Rule, Target
from ml_janitor.core.signals import Absent, Evidence, NotRead, Signal, Unreadable, Value, map_signal
from ml_janitor.core.sizing import PeakLoad

SAGEMAKER_NAMESPACE, INSTANCE_NAMESPACE = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
DESCRIBE_SCALABLE_TARGETS = "application-autoscaling:DescribeScalableTargets"
LOAD_WINDOW = timedelta(days=14)
"""CloudWatch keeps minutes for fifteen days: an hour's Maximum is that of its minutes, also afterwards."""
LOAD_HOURS = LOAD_WINDOW // HOUR

METRICS_BATCH = 100
"""Endpoints whose metrics are read together: those of all would not fit into a function's memory."""

CONCURRENT_REQUESTS: tuple[str, metrics.MetricStat] = ("ConcurrentRequestsPerModel", "Maximum")
"""Requests in flight."""

type MetricTotal = tuple[float, int]
type WantedMetrics = Sequence[tuple[str, metrics.MetricStat]]
"""Metrics of the requests to a variant, by name and statistic."""

PROPORTIONAL_FAMILIES = re.compile(r"ml\.(?:[mcr][5-9][a-z]*(?:-flex)?|g4dn|g5|g6|g6e|p3)\.")
"""
Families in which memory grows with vCPUs, and each GPU has as much memory as any other.

https://aws.amazon.com/ec2/instance-types/. Burstable families are missing: their CPU capacity depends
on credits.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedVariant:
    """
    A running variant of an endpoint: its *type*, and its *peaks* by the hour, oldest first.

    *fixed* is the reason why only this type may serve it. *sleeps* tells that it can run without any
    instance, as asynchronous variants and hosts of only inference components (*hosts*) can. *model* is
    the name of its model. *totals* are sums over the window and their number of hours, by metric;
    "requests" are its requests. No metric is read of a *fixed* variant.
    """

    variant: EndpointVariant
    type: str
    machine: Machine
    fixed: str | None
    sleeps: bool
    hosts: bool
    model: str | None
    peaks: Signal[tuple[PeakLoad, ...]]
    totals: Mapping[str, Signal[MetricTotal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEndpoint:
    """An endpoint that serves, with its *variants* (if they could be read) and the load of two weeks."""

    target: Target
    summary: EndpointSummary
    variants: Signal[tuple[LoadedVariant, ...]]
    asynchronous: bool = False
    captures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """An endpoint at the *end* of the window; without *variants*, its *config* says nothing."""

    target: Target
    summary: EndpointSummary
    end: datetime
    config: EndpointConfig
    variants: tuple[EndpointVariant, ...] = ()
    asynchronous: bool = False
    error: str | None = None
    components: tuple[str, ...] = ()
    scaling: tuple[tuple[str, int, int], ...] = ()


def read_endpoint_loads(
    aws: Aws, now: datetime, *more: tuple[str, metrics.MetricStat], only: str | None = None
) -> Iterator[LoadedEndpoint]:
    """
    Yield every endpoint, or *only* one; serving endpoints without a change in two weeks have the load
    of each variant.

    *more* are further metrics of the requests to a variant. Raises ReadError at the end if the listing broke
    off.
    """
    listed = list_endpoints(aws)
    book = tags.read_tag_book(aws, f"sagemaker:{ENDPOINT.type}")
    components = list_inference_components(aws)
    scaling = aws.listing(
        DESCRIBE_SCALABLE_TARGETS,
        "ScalableTargets",
        lambda target: (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]),
        ServiceNamespace="sagemaker",
    )
    end = metrics.period_start(now, 3600)
    chosen = [endpoint for endpoint in listed.items if only in {None, endpoint.name}]
    found = aws.map(lambda endpoint: _described(aws, endpoint, book, end), chosen)
    by_endpoint = defaultdict[str, list[str]](list)
    for component in components.items:
        by_endpoint[component.endpoint].append(component.name)
    known = [
        replace(endpoint, components=tuple(by_endpoint[endpoint.summary.name]), scaling=scaling.items)
        for endpoint in found
    ]
    for group in batched(known, METRICS_BATCH):
        asked_metrics = (
            _metrics(endpoint, variant, more) for endpoint in group for variant in endpoint.variants
        )
        wanted = [metric for asked in asked_metrics for series in asked.values() for metric in series]
        data = metrics.read_metrics(aws, wanted, end - LOAD_WINDOW, end)
        for endpoint in group:
            error = endpoint.error
            if endpoint.config.hosts and components.error is not None:
                error = f"{COMPONENT.lists}: {components.error}"
            if error is None and endpoint.variants:
                error = scaling.error
            served = tuple(_served(endpoint, variant, data, more) for variant in endpoint.variants)
            yield LoadedEndpoint(
                target=endpoint.target,
                summary=endpoint.summary,
                variants=Value(served) if error is None else Unreadable(error),
                asynchronous=endpoint.asynchronous,
                captures=endpoint.config.captures,
            )
    listed.check()


def judgeable_variants(
    summary: EndpointSummary, variants: Signal[tuple[LoadedVariant, ...]], rule: Rule, now: datetime
) -> tuple[LoadedVariant, ...] | Kept:
    """Return the variants of a serving endpoint with the load of the whole window, or why it is kept."""
    age = now - summary.changed
    rule.saw(Evidence("status", summary.status, source=ENDPOINT.lists))
    if summary.status not in SERVING_STATUSES:
        return rule.kept(f"its status is {summary.status}")
    if age < LOAD_WINDOW + HOUR:
        return rule.kept(
            f"deployed or scaled {format_age(age)} ago; judged from {format_age(LOAD_WINDOW)} on"
        )
    if not isinstance(variants, Value):
        why = getattr(variants, "error", "not read")
        return rule.unknown(f"what runs behind it could not be read ({why})")
    return variants.value


def _described(aws: Aws, summary: EndpointSummary, book: tags.TagBook, end: datetime) -> _Described:
    arn = summary.arn
    target = target_in(aws, arn, summary.name, ENDPOINT.type, summary.created, tags=book.of(arn))
    nothing = _Described(
        target=target, summary=summary, end=end, config=EndpointConfig(created=end, types={})
    )
    if summary.status not in SERVING_STATUSES or summary.changed > end - LOAD_WINDOW:
        return nothing
    found = describe_endpoint(aws, summary.name)
    if not isinstance(found, Value):
        return replace(nothing, error=getattr(found, "error", "it is gone"))
    config = describe_endpoint_config(aws, found.value.config_name)
    if not isinstance(config, Value):
        return replace(nothing, error=getattr(config, "error", "its configuration is gone"))
    both = config.value.asynchronous or found.value.asynchronous
    return replace(nothing, config=config.value, variants=found.value.variants, asynchronous=both)


def _metrics(
    endpoint: _Described, variant: EndpointVariant, more: WantedMetrics
) -> Mapping[str, tuple[Metric, ...]]:
    """Return the metrics of a variant by name; "requests" may be several."""
    if _fixed(endpoint, variant) is not None:
        return {}
    where = frozenset({("EndpointName", endpoint.summary.name), ("VariantName", variant.name)})
    gpus = machine_of(endpoint.config.types.get(variant.name, "")).gpus
    names = ["CPUUtilization", "MemoryUtilization"]
    names += ["GPUUtilization", "GPUMemoryUtilization"] if gpus else []
    asked = {name: (Metric(INSTANCE_NAMESPACE, name, where, "Maximum"),) for name in names}
    asked |= {
        name: (Metric(SAGEMAKER_NAMESPACE, name, where, stat),) for name, stat in (CONCURRENT_REQUESTS, *more)
    }
    requests: tuple[Metric, ...] = (Metric(SAGEMAKER_NAMESPACE, "Invocations", where),)
    if variant.name in endpoint.config.hosts:
        named = partial(Metric.of, SAGEMAKER_NAMESPACE, "Invocations")
        requests = tuple(named(InferenceComponentName=name) for name in endpoint.components)
    elif endpoint.asynchronous:
        backlog = partial(Metric.of, SAGEMAKER_NAMESPACE, "ApproximateBacklogSize", stat="Maximum")
        requests = (backlog(EndpointName=endpoint.summary.name),)
    return asked | {"requests": requests}


def _served(
    endpoint: _Described,
    variant: EndpointVariant,
    data: Mapping[Metric, Signal[MetricSeries]],
    more: WantedMetrics,
) -> LoadedVariant:
    kind = endpoint.config.types.get(variant.name, "")
    host = machine_of(kind) if kind else Machine(0, None)
    asked = _metrics(endpoint, variant, more)
    raw = {name: _together([data[metric] for metric in series]) for name, series in asked.items()}
    hosts = variant.name in endpoint.config.hosts
    return LoadedVariant(
        variant=variant,
        type=kind,
        machine=host,
        fixed=_fixed(endpoint, variant),
        sleeps=hosts or endpoint.asynchronous,
        hosts=hosts,
        model=endpoint.config.models.get(variant.name),
        peaks=_peaks(raw, host, endpoint.end),
        totals={
            name: map_signal(series, lambda found: (found.total, len(found.points)))
            for name, series in raw.items()
        },
    )


def _together(series: Sequence[Signal[MetricSeries]]) -> Signal[MetricSeries]:
    """Add up several series hour by hour; an hour that a series lacks is left out."""
    read = [signal.value for signal in series if isinstance(signal, Value)]
    if len(read) < len(series):
        return next(signal for signal in series if not isinstance(signal, Value))
    by_time: dict[datetime, list[float]] = {}
    for series_read in read:
        for at, value in series_read.points:
            by_time.setdefault(at, []).append(value)
    points = tuple((at, sum(all_)) for at, all_ in sorted(by_time.items()) if len(all_) == len(series))
    return Value(MetricSeries(points), metrics.GET_METRIC_DATA) if points else Absent(metrics.GET_METRIC_DATA)


def _fixed(endpoint: _Described, variant: EndpointVariant) -> str | None:
    """Return why the size of *variant* is not judged, or None."""
    kind = endpoint.config.types.get(variant.name, "")
    resource = f"endpoint/{endpoint.summary.name}/variant/{variant.name}"
    reasons = {
        "it is serverless": variant.serverless,
        "nothing runs of it now": not variant.instances,
        "it runs on capacity that was paid for in advance": variant.reserved,
        "it mixes instance types": bool(variant.pools),
        "it is a shadow of the variant that it is compared with": variant.shadow,
        "its instances follow its inference components": variant.name in endpoint.config.scaled,
        "what its accelerators do is not published": machine_of(kind).gpus is None,
        f"sizes of {kind.rpartition('.')[0] or 'its type'} cannot be "
        f"compared": not PROPORTIONAL_FAMILIES.match(kind),
    }
    reasons |= {
        f"it scales itself between {low} and {high} instances": low != high
        for name, low, high in endpoint.scaling
        if name == resource
    }
    return next((why for why, true in reasons.items() if true), None)


def _peaks(
    raw: Mapping[str, Signal[MetricSeries]], host: Machine, end: datetime
) -> Signal[tuple[PeakLoad, ...]]:
    """
    Return the peaks of every hour of the window; unreadable if an hour of a utilization metric is missing.

    CPUUtilization is 0 to 100 for each vCPU, GPUUtilization and GPUMemoryUtilization 0 to 100 for each GPU,
    MemoryUtilization 0 to 100 in all (developer guide, "Metrics for monitoring Amazon SageMaker AI").
    """
    if not raw:
        return NotRead()
    hours = [end - LOAD_WINDOW + HOUR * number for number in range(LOAD_HOURS)]
    read: dict[str, dict[datetime, float]] = {}
    for name, signal in raw.items():
        match signal:
            case Value(series):
                read[name] = dict(series.points)
            case Unreadable():
                return signal
            case _:
                read[name] = {}
        there = sum(hour in read[name] for hour in hours)
        if name.endswith("Utilization") and there < LOAD_HOURS:
            return Unreadable(
                f"{name} has datapoints in {there} of {LOAD_HOURS} hours", metrics.GET_METRIC_DATA
            )
    loads = tuple(
        PeakLoad(
            cpu=read["CPUUtilization"][hour] / 100,
            memory=read["MemoryUtilization"][hour] / 100 * host.vcpus,
            gpu=read["GPUUtilization"][hour] / 100 if host.gpus else 0,
            gpu_memory=read["GPUMemoryUtilization"][hour] / 100 if host.gpus else 0,
            requests=read["ConcurrentRequestsPerModel"].get(hour, 0),
            idle=read["requests"].get(hour) == 0,
        )
        for hour in hours
    )
    return Value(loads, metrics.GET_METRIC_DATA)
