"""Read SageMaker endpoints: the list of all, the configuration of each, and the load of each variant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any

from ml_janitor.aws import activity, tags
from ml_janitor.aws.activity import Metric, MetricSeries
from ml_janitor.aws.calls import Listing, as_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Machine, machine_of
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MONITORING_SCHEDULE,
    list_kind,
)
from ml_janitor.aws.tags import target_in
from ml_janitor.core.capacity import PeakLoad
from ml_janitor.core.durations import HOUR, format_age
from ml_janitor.core.model import (
    Absent,
    Evidence,
    Kept,
    NotRead,
    Rule,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    map_signal,
)

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeEndpointConfigOutputTypeDef,
        DescribeEndpointOutputTypeDef,
        ProductionVariantSummaryTypeDef,
    )

ENDPOINT_IN_SERVICE = "InService"
SERVING_STATUSES = frozenset({ENDPOINT_IN_SERVICE, "UpdateRollbackFailed"})
"""
Statuses of an endpoint that answers requests and is billed. After a failed rollback it is "in service
with a mix of the old and new endpoint configurations" (API reference, DescribeEndpoint: EndpointStatus).
"""
STATUSES_WITHOUT_VARIANTS = frozenset({"Creating", "Failed"})
"""Statuses in which recorded answers of DescribeEndpoint have no ProductionVariants: nothing runs then."""
MONITORING_STATUSES = frozenset({"Scheduled", "Pending"})
"""The statuses in which a monitoring schedule runs, or is about to run."""
ENDPOINT_GONE = ("ValidationException",)
"""The error code of DescribeEndpoint for a well-formed name that does not exist (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSummary:
    """An endpoint in a listing."""

    arn: str
    name: str
    status: str
    created: datetime
    modified: datetime

    @property
    def changed(self) -> datetime:
        """Return when it was last deployed or scaled: either moves the modification time only."""
        return max(self.created, self.modified)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceComponent:
    """
    A model that shares the instances of an endpoint's variant with other models.

    *tags* are set for a deleted component; for others they are read if their endpoint may be a finding.
    """

    name: str
    arn: str
    endpoint: str
    variant: str
    created: datetime
    changed: datetime
    deleting: bool = False
    tags: Signal[Tags] = field(default_factory=NotRead)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointVariant:
    """
    A variant as it runs now.

    *pools* are instance types and counts where the variant mixes types; else only the configuration has
    its type. *concurrency* is a serverless variant's provisioned concurrency. A *reserved* variant runs
    on capacity that was paid for in advance (developer guide, "Using training plans for SageMaker
    inference endpoints"), or that EC2 bills in any case. *resolved* is when a deployment last resolved
    the image of its containers.
    """

    name: str
    shadow: bool = False
    instances: int = 0
    pools: tuple[tuple[str, int], ...] = ()
    serverless: bool = False
    concurrency: int = 0
    reserved: bool = False
    resolved: datetime | None = None

    @property
    def runs(self) -> bool:
        """Return whether capacity of it runs: none does at zero instances, nor in serverless on demand."""
        return self.instances > 0 or self.concurrency > 0

    @property
    def costs(self) -> bool:
        """Return whether it is billed by the hour, and would not be billed after its end."""
        return self.runs and not self.reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """
    The parts of an endpoint's configuration that DescribeEndpoint leaves out.

    *created* is its creation time: configurations cannot be changed. *types* are instance types by
    variant. *hosts* are the variants without a model of their own: they run inference components, and
    their own `Invocations` do not exist. *models* are the names of the other variants' models, *scaled*
    the variants whose instances SageMaker itself scales with their components. *captures* tells whether
    it captures request data.
    """

    created: datetime
    types: Mapping[str, str]
    hosts: frozenset[str] = frozenset()
    asynchronous: bool = False
    models: Mapping[str, str] = field(default_factory=dict)
    scaled: frozenset[str] = frozenset()
    captures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDescription:
    """An endpoint as it runs now; *routed* tells whether it accepts requests from other regions."""

    summary: EndpointSummary
    config_name: str
    variants: tuple[EndpointVariant, ...]
    asynchronous: bool = False
    routed: bool = False

    @property
    def costs(self) -> bool:
        """Return whether any variant is billed by the hour."""
        return any(variant.costs for variant in self.variants)


def list_endpoints(aws: Aws) -> Listing[EndpointSummary]:
    """List every endpoint in any status, 100 a page."""
    return list_kind(aws, ENDPOINT, _summary)


def list_inference_components(aws: Aws) -> Listing[InferenceComponent]:
    """List all inference components of the account, 100 a page: cheaper than a call per endpoint."""
    return list_kind(
        aws,
        COMPONENT,
        lambda found: InferenceComponent(
            name=found["InferenceComponentName"],
            arn=found["InferenceComponentArn"],
            endpoint=found["EndpointName"],
            variant=found["VariantName"],
            created=found["CreationTime"],
            changed=max(found["CreationTime"], found["LastModifiedTime"]),
            deleting=found.get("InferenceComponentStatus") == "Deleting",
        ),
    )


def list_monitoring_schedules(aws: Aws) -> Listing[tuple[str, str]]:
    """
    List every monitoring schedule as its endpoint and its name.

    The endpoint is "" where the schedule monitors none now: it is over batch transforms, or it is
    Stopped or Failed, which are final states.
    """
    return list_kind(
        aws,
        MONITORING_SCHEDULE,
        lambda found: (
            found.get("EndpointName", "") if found["MonitoringScheduleStatus"] in MONITORING_STATUSES else "",
            found["MonitoringScheduleName"],
        ),
    )


@as_signal(ENDPOINT.describes, absent=ENDPOINT_GONE)
def describe_endpoint(aws: Aws, name: str) -> EndpointDescription:
    """Describe the endpoint *name*; `Absent` if there is no such endpoint."""
    return _description(aws.sagemaker.describe_endpoint(EndpointName=name))


@as_signal(ENDPOINT_CONFIG.describes)
def describe_endpoint_config(aws: Aws, name: str) -> EndpointConfig:
    """Describe the endpoint configuration *name*; a deleted one is unreadable, since its endpoint runs on."""
    return _config(aws.sagemaker.describe_endpoint_config(EndpointConfigName=name))


def _summary(found: Mapping[str, Any]) -> EndpointSummary:
    """Return an endpoint from an entry of its listing, or from its description."""
    return EndpointSummary(
        arn=found["EndpointArn"],
        name=found["EndpointName"],
        status=found["EndpointStatus"],
        created=found["CreationTime"],
        modified=found["LastModifiedTime"],
    )


def _description(answer: DescribeEndpointOutputTypeDef) -> EndpointDescription:
    nothing_runs = answer["EndpointStatus"] in STATUSES_WITHOUT_VARIANTS
    production = answer.get("ProductionVariants", ()) if nothing_runs else answer["ProductionVariants"]
    return EndpointDescription(
        summary=_summary(answer),
        config_name=answer["EndpointConfigName"],
        variants=(
            *(_variant(found) for found in production),
            *(_variant(found, shadow=True) for found in answer.get("ShadowProductionVariants", ())),
        ),
        asynchronous="AsyncInferenceConfig" in answer,
        routed="CrossRegionTrafficConfig" in answer,
    )


def _variant(found: ProductionVariantSummaryTypeDef, *, shadow: bool = False) -> EndpointVariant:
    name = found["VariantName"]
    images = [
        image["ResolutionTime"] for image in found.get("DeployedImages", ()) if "ResolutionTime" in image
    ]
    resolved = max(images, default=None)
    if serverless := found.get("CurrentServerlessConfig"):
        concurrency = serverless.get("ProvisionedConcurrency", 0)
        return EndpointVariant(
            name=name, shadow=shadow, serverless=True, concurrency=concurrency, resolved=resolved
        )
    pools = tuple(
        (pool["InstanceType"], pool["CurrentInstanceCount"]) for pool in found.get("InstancePools", ())
    )
    return EndpointVariant(
        name=name,
        shadow=shadow,
        instances=found["CurrentInstanceCount"],
        pools=pools,
        reserved="MlReservationArn" in found.get("CapacityReservationConfig", {}),
        resolved=resolved,
    )


def _config(answer: DescribeEndpointConfigOutputTypeDef) -> EndpointConfig:
    variants = [*answer["ProductionVariants"], *answer.get("ShadowProductionVariants", ())]
    role = "ExecutionRoleArn" in answer
    return EndpointConfig(
        created=answer["CreationTime"],
        types={found["VariantName"]: found["InstanceType"] for found in variants if "InstanceType" in found},
        hosts=frozenset(found["VariantName"] for found in variants if role and "ModelName" not in found),
        asynchronous="AsyncInferenceConfig" in answer,
        models={found["VariantName"]: found["ModelName"] for found in variants if "ModelName" in found},
        scaled=frozenset(
            found["VariantName"]
            for found in variants
            if found.get("ManagedInstanceScaling", {}).get("Status") == "ENABLED"
        ),
        captures=answer.get("DataCaptureConfig", {}).get("EnableCapture", False),
    )


def count_instances(variants: Iterable[EndpointVariant], config: EndpointConfig) -> dict[str, int]:
    """Count the running instances by type, over all variants and pools; an unknown type is ""."""
    counts: dict[str, int] = {}
    for variant in variants:
        one_type = ((config.types.get(variant.name, ""), variant.instances),)
        for instance_type, count in variant.pools or one_type:
            if count:
                counts[instance_type] = counts.get(instance_type, 0) + count
    return counts


# --- load -----------------------------------------------------------------------------------------
#
# Advice on sizes needs each variant's hourly peaks of two weeks.

SAGEMAKER_NAMESPACE, INSTANCE_NAMESPACE = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
DESCRIBE_SCALABLE_TARGETS = "application-autoscaling:DescribeScalableTargets"
LOAD_WINDOW = timedelta(days=14)
"""CloudWatch keeps minutes for fifteen days: an hour's Maximum is that of its minutes, also afterwards."""
LOAD_HOURS = LOAD_WINDOW // HOUR

METRICS_BATCH = 100
"""Endpoints whose metrics are read together: those of all would not fit into a function's memory."""

CONCURRENT_REQUESTS: tuple[str, activity.MetricStat] = ("ConcurrentRequestsPerModel", "Maximum")
"""Requests in flight."""

type MetricTotal = tuple[float, int]
type WantedMetrics = Sequence[tuple[str, activity.MetricStat]]
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
    aws: Aws, now: datetime, *more: tuple[str, activity.MetricStat], only: str | None = None
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
    end = activity.period_start(now, 3600)
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
        data = activity.read_metrics(aws, wanted, end - LOAD_WINDOW, end)
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
    return (
        Value(MetricSeries(points), activity.GET_METRIC_DATA) if points else Absent(activity.GET_METRIC_DATA)
    )


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
                f"{name} has datapoints in {there} of {LOAD_HOURS} hours", activity.GET_METRIC_DATA
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
    return Value(loads, activity.GET_METRIC_DATA)
