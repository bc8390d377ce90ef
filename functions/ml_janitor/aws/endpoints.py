"""Read SageMaker endpoints: the list of all, the configuration of each, and the load of each variant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.aws import activity, tags
from ml_janitor.aws.activity import Metric, MetricSeries
from ml_janitor.aws.calls import Listing, as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import (
    WantedDescription,
    configuration_key,
    describe_endpoints,
    describe_unchanged,
    settled_key,
)
from ml_janitor.aws.prices import Machine, Price, machine_of
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MONITORING_SCHEDULE,
    list_kind,
)
from ml_janitor.aws.tags import target_in
from ml_janitor.core.capacity import PackedLoads, PeakLoad
from ml_janitor.core.durations import HOUR, format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Evidence,
    Kept,
    NotRead,
    Rule,
    Signal,
    Tags,
    Unreadable,
    Value,
    map_signal,
)
from ml_janitor.core.text import count_noun

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import ProductionVariantSummaryTypeDef


class MetricTotal(NamedTuple):
    """The sum of a metric's datapoints over a window, their number, and the highest."""

    total: float
    points: int
    highest: float = 0.0


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

    @property
    def key(self) -> str:
        """Return the key of its description."""
        return settled_key(self.arn, self.status, self.created, self.modified)


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
    A variant as it runs now, with the parts of its configuration and the load that were read for it.

    *pools* are instance types and counts where the variant mixes types. *concurrency* is a serverless
    variant's provisioned concurrency. A *reserved* variant runs on capacity that was paid for in advance
    (developer guide, "Using training plans for SageMaker inference endpoints"), or that EC2 bills in any
    case. *resolved* is when a deployment last resolved the image of its containers.

    The configuration has its *type* and the name of its *model*. A variant that *hosts* has no model of its
    own: it runs inference components, and has no `Invocations` of its own. SageMaker scales the instances of
    a *managed* variant with its components. A variant that *sleeps* can run without any instance.

    *fixed* is the reason why only this type may serve it: then no metric is read. *peaks* are by the hour,
    oldest first. *totals* are by metric; "requests" are its requests. A further statistic of a metric stands
    behind its name: "ModelLatency p99".
    """

    name: str
    shadow: bool = False
    instances: int = 0
    pools: tuple[tuple[str, int], ...] = ()
    serverless: bool = False
    concurrency: int = 0
    reserved: bool = False
    resolved: datetime | None = None
    type: str = ""
    model: str | None = None
    hosts: bool = False
    managed: bool = False
    sleeps: bool = False
    fixed: str | None = None
    peaks: Signal[Iterable[PeakLoad]] = field(default_factory=NotRead)
    totals: Mapping[str, Signal[MetricTotal]] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Return whether capacity of it runs: none does at zero instances, nor in serverless on demand."""
        return self.instances > 0 or self.concurrency > 0

    @property
    def costs(self) -> bool:
        """Return whether it is billed by the hour, and would not be billed after its end."""
        return self.runs and not self.reserved

    @property
    def machine(self) -> Machine:
        """Return the vCPUs and GPUs of one instance of its type."""
        return machine_of(self.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDescription:
    """
    An endpoint as it runs now.

    Its configuration adds parts of the variants, whether it *captures* request data, and *configured*, its
    creation time (configurations cannot be changed). Only with its configuration is it known whether it is
    *asynchronous*, and whether it accepts requests from other regions (*routed*): Search does not say so.
    """

    summary: EndpointSummary
    config_name: str
    variants: tuple[EndpointVariant, ...]
    asynchronous: bool = False
    routed: bool = False
    configured: datetime | None = None
    captures: bool = False

    @property
    def costs(self) -> bool:
        """Return whether any variant is billed by the hour."""
        return any(variant.costs for variant in self.variants)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEndpoint(Candidate):
    """
    An endpoint with the load of two weeks, if it serves and was not changed in that time.

    An adviser adds what it compares: the *prices* of the family of each variant's type, the present *price*
    per instance, those of *serverless* inference by GB of memory, Inference Recommender's results for its
    models (*recommended*), its *model*'s description, and the longest *cold_start* of a serverless endpoint
    that this account measured, in seconds.
    """

    summary: EndpointSummary
    description: Signal[EndpointDescription] = field(default_factory=NotRead)
    prices: Mapping[str, Mapping[str, Price]] = field(default_factory=dict)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))
    serverless: tuple[Price, ...] = ()
    recommended: tuple[str, ...] = ()
    model: Signal[dict[str, Any]] = field(default_factory=NotRead)
    cold_start: float | None = None

    @property
    def variants(self) -> tuple[EndpointVariant, ...]:
        """Return its variants, as far as they were read."""
        return self.description.value.variants if isinstance(self.description, Value) else ()


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
def ask_endpoint(aws: Aws, name: str) -> dict[str, Any]:
    """Return DescribeEndpoint's answer; `Absent` if there is no endpoint *name*."""
    answer: Any = aws.sagemaker.describe_endpoint(EndpointName=name)
    return dict(answer)


@as_signal(ENDPOINT_CONFIG.describes)
def ask_endpoint_config(aws: Aws, name: str) -> dict[str, Any]:
    """
    Return DescribeEndpointConfig's answer.

    A deleted configuration is unreadable, since its endpoint runs on.
    """
    answer: Any = aws.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    return dict(answer)


def describe_endpoint(aws: Aws, name: str) -> Signal[EndpointDescription]:
    """Describe the endpoint *name* as it is now; `Absent` if there is no such endpoint."""
    return _parsed(ask_endpoint(aws, name), _description)


def describe_endpoint_config(aws: Aws, endpoint: EndpointDescription) -> Signal[EndpointDescription]:
    """Return *endpoint* with what only its configuration says."""
    return _parsed(ask_endpoint_config(aws, endpoint.config_name), partial(_configured, endpoint))


def describe_listed_endpoints(
    aws: Aws, listed: Sequence[EndpointSummary], *, total: int
) -> list[Signal[EndpointDescription]]:
    """Return the descriptions of *listed* endpoints, of *total*, as they were listed: see `descriptions`."""
    wanted = [WantedDescription(summary.name, summary.key) for summary in listed]
    found = describe_endpoints(aws, wanted, ask_endpoint, total=total)
    return [_parsed(answer, _description) for answer in found]


def add_configurations(
    aws: Aws, described: Sequence[EndpointDescription]
) -> list[Signal[EndpointDescription]]:
    """Return *described* endpoints with what only their configurations say, each read once."""
    wanted = [
        WantedDescription(found.config_name, configuration_key(found.summary.key, found.config_name))
        for found in described
    ]
    answers = describe_unchanged(aws, ENDPOINT_CONFIG, wanted, ask_endpoint_config)
    return [
        _parsed(answer, partial(_configured, found)) for found, answer in zip(described, answers, strict=True)
    ]


def _parsed[T](answer: Signal[dict[str, Any]], parse: Callable[[dict[str, Any]], T]) -> Signal[T]:
    """Return what *parse* reads from *answer*; an answer without a required member is unreadable."""
    if not isinstance(answer, Value):
        return answer
    return read_signal(lambda: parse(answer.value), source=answer.source)


def _description(answer: Mapping[str, Any]) -> EndpointDescription:
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


def _configured(endpoint: EndpointDescription, answer: Mapping[str, Any]) -> EndpointDescription:
    asynchronous = endpoint.asynchronous or "AsyncInferenceConfig" in answer
    with_role = "ExecutionRoleArn" in answer
    by_name: dict[str, Mapping[str, Any]] = {
        found["VariantName"]: found
        for found in (*answer["ProductionVariants"], *answer.get("ShadowProductionVariants", ()))
    }

    def variant(running: EndpointVariant) -> EndpointVariant:
        found = by_name.get(running.name, {})
        hosts = bool(found) and with_role and "ModelName" not in found
        return replace(
            running,
            type=found.get("InstanceType", ""),
            model=found.get("ModelName"),
            hosts=hosts,
            managed=found.get("ManagedInstanceScaling", {}).get("Status") == "ENABLED",
            sleeps=hosts or asynchronous,
        )

    return replace(
        endpoint,
        variants=tuple(map(variant, endpoint.variants)),
        asynchronous=asynchronous,
        routed=endpoint.routed or "CrossRegionTrafficConfig" in answer,
        configured=answer["CreationTime"],
        captures=answer.get("DataCaptureConfig", {}).get("EnableCapture", False),
    )


def _summary(found: Mapping[str, Any]) -> EndpointSummary:
    """Return an endpoint from an entry of its listing, or from its description."""
    return EndpointSummary(
        arn=found["EndpointArn"],
        name=found["EndpointName"],
        status=found["EndpointStatus"],
        created=found["CreationTime"],
        modified=found["LastModifiedTime"],
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


def count_instances(variants: Iterable[EndpointVariant]) -> dict[str, int]:
    """Count the running instances by type, over all variants and pools; an unknown type is ""."""
    counts: dict[str, int] = {}
    for variant in variants:
        for instance_type, count in variant.pools or ((variant.type, variant.instances),):
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

_CONCURRENT_OF_COPY = "ConcurrentRequestsPerCopy"
"""The same of an inference component; its endpoint publishes none (measured by cloud-custodian)."""

LOADED_MODELS = "LoadedModelCount"
"""The models in an instance's memory, published by multi-model endpoints alone (developer guide)."""

type WantedMetrics = Sequence[tuple[str, activity.MetricStat]]
"""Metrics of the requests to a variant, by name and statistic."""

PROPORTIONAL_FAMILIES = re.compile(r"ml\.(?:[mcr][5-9][a-z]*(?:-flex)?|g4dn|g5|g6|g6e|p3)\.")
"""
Families in which memory grows with vCPUs, and each GPU has as much memory as any other.

https://aws.amazon.com/ec2/instance-types/. Burstable families are missing: their CPU capacity depends
on credits.
"""


def read_endpoint_loads(aws: Aws, now: datetime, *, only: str | None = None) -> Listing[LoadedEndpoint]:
    """
    List every endpoint, or *only* one; serving endpoints without a change in two weeks have the load
    of each variant.

    A run with shared answers reads all of them once.
    """
    read = partial(_read_loads, aws, activity.period_start(now, 3600), only)
    return aws.once(("endpoint loads", now), read) if only is None else read()


def add_request_totals(
    aws: Aws, loaded: Sequence[LoadedEndpoint], metrics: WantedMetrics, now: datetime
) -> list[LoadedEndpoint]:
    """Return *loaded* with the totals of further *metrics* of the requests to each variant."""
    end = activity.period_start(now, 3600)
    asked = {
        (endpoint.summary.name, variant.name, metric, stat): Metric.of(
            SAGEMAKER_NAMESPACE,
            metric,
            stat=stat,
            EndpointName=endpoint.summary.name,
            VariantName=variant.name,
        )
        for endpoint in loaded
        for variant in endpoint.variants
        for metric, stat in metrics
    }
    data = activity.read_metrics(aws, asked.values(), end - LOAD_WINDOW, end)

    def added(endpoint: str, variant: EndpointVariant) -> EndpointVariant:
        totals = dict(variant.totals)
        for metric, stat in metrics:
            name = f"{metric} {stat}" if metric in totals else metric
            totals[name] = map_signal(data[asked[endpoint, variant.name, metric, stat]], _total)
        return replace(variant, totals=totals)

    return [
        _with_variants(endpoint, [added(endpoint.summary.name, variant) for variant in endpoint.variants])
        for endpoint in loaded
    ]


def _read_loads(aws: Aws, end: datetime, only: str | None) -> Listing[LoadedEndpoint]:
    listed = list_endpoints(aws)
    book = tags.read_tag_book(aws, f"sagemaker:{ENDPOINT.type}")
    components = list_inference_components(aws)
    scaling = aws.listing(
        DESCRIBE_SCALABLE_TARGETS,
        "ScalableTargets",
        lambda target: (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]),
        ServiceNamespace="sagemaker",
    )
    chosen = [endpoint for endpoint in listed.items if only in {None, endpoint.name}]
    found = _described(aws, chosen, book, end, total=len(listed.items))
    on_it = defaultdict[str, list[str]](list)
    for component in components.items:
        on_it[component.endpoint].append(component.name)
    loaded = list[LoadedEndpoint]()
    for group in batched(found, METRICS_BATCH):
        known = [_sized(endpoint, components, scaling) for endpoint in group]
        asked = {
            (endpoint.summary.name, variant.name): _metrics(endpoint, variant, on_it[endpoint.summary.name])
            for endpoint in known
            for variant in endpoint.variants
        }
        wanted = [metric for named in asked.values() for series in named.values() for metric in series]
        data = activity.read_metrics(aws, wanted, end - LOAD_WINDOW, end)
        loaded += [
            _with_variants(
                endpoint,
                [
                    _loaded(variant, asked[endpoint.summary.name, variant.name], data, end)
                    for variant in endpoint.variants
                ],
            )
            for endpoint in known
        ]
    return Listing(tuple(loaded), listed.error, listed.unread)


def judgeable_description(endpoint: LoadedEndpoint, rule: Rule, now: datetime) -> EndpointDescription | Kept:
    """Return a serving endpoint with the load of the whole window, or why it is kept."""
    summary, age = endpoint.summary, now - endpoint.summary.changed
    rule.saw(Evidence("status", summary.status, source=ENDPOINT.lists))
    if summary.status not in SERVING_STATUSES:
        return rule.kept(f"its status is {summary.status}")
    if age < LOAD_WINDOW + HOUR:
        return rule.kept(
            f"deployed or scaled {format_age(age)} ago; judged from {format_age(LOAD_WINDOW)} on"
        )
    if not isinstance(endpoint.description, Value):
        why = getattr(endpoint.description, "error", "not read")
        return rule.unknown(f"what runs behind it could not be read ({why})")
    return endpoint.description.value


def _described(
    aws: Aws, chosen: Sequence[EndpointSummary], book: tags.TagBook, end: datetime, *, total: int
) -> list[LoadedEndpoint]:
    """Return the *chosen* endpoints; those that serve, unchanged in two weeks, with their descriptions."""
    judged = [
        summary
        for summary in chosen
        if summary.status in SERVING_STATUSES and summary.changed <= end - LOAD_WINDOW
    ]
    described = dict(zip(judged, describe_listed_endpoints(aws, judged, total=total), strict=True))
    running = [found.value for found in described.values() if isinstance(found, Value)]
    whole = dict(zip((found.summary for found in running), add_configurations(aws, running), strict=True))

    def description(summary: EndpointSummary) -> Signal[EndpointDescription]:
        match described.get(summary, NotRead()):
            case Value(found):
                read = whole[found.summary]
                missing = "its configuration is gone"
            case NotRead() as unread:
                return unread
            case other:
                read, missing = other, "it is gone"
        return read if isinstance(read, Value) else Unreadable(getattr(read, "error", missing))

    return [
        LoadedEndpoint(
            target=target_in(
                aws, summary.arn, summary.name, ENDPOINT.type, summary.created, tags=book.of(summary.arn)
            ),
            summary=summary,
            description=description(summary),
        )
        for summary in chosen
    ]


def _sized(
    endpoint: LoadedEndpoint,
    components: Listing[InferenceComponent],
    scaling: Listing[tuple[str, int, int]],
) -> LoadedEndpoint:
    """Return *endpoint* with the reason why the size of a variant is fixed, or as unreadable without them."""
    error = scaling.error if endpoint.variants else None
    if components.error is not None and any(variant.hosts for variant in endpoint.variants):
        error = f"{COMPONENT.lists}: {components.error}"
    if error is not None:
        return replace(endpoint, description=Unreadable(error))
    name = endpoint.summary.name
    return _with_variants(
        endpoint,
        [replace(variant, fixed=_fixed(name, variant, scaling.items)) for variant in endpoint.variants],
    )


def _with_variants(endpoint: LoadedEndpoint, variants: Iterable[EndpointVariant]) -> LoadedEndpoint:
    described = map_signal(endpoint.description, lambda found: replace(found, variants=tuple(variants)))
    return replace(endpoint, description=described)


def _metrics(
    endpoint: LoadedEndpoint, variant: EndpointVariant, components: Sequence[str]
) -> Mapping[str, tuple[Metric, ...]]:
    """Return the metrics of a variant by name; "requests" may be several."""
    if variant.fixed is not None:
        return {}
    name = endpoint.summary.name
    where = frozenset({("EndpointName", name), ("VariantName", variant.name)})
    names = ["CPUUtilization", "MemoryUtilization"]
    names += ["GPUUtilization", "GPUMemoryUtilization"] if variant.machine.gpus else []
    asked: dict[str, tuple[Metric, ...]] = {
        name: (Metric(INSTANCE_NAMESPACE, name, where, "Maximum"),) for name in names
    }
    metric, stat = CONCURRENT_REQUESTS
    asked[metric] = (Metric(SAGEMAKER_NAMESPACE, metric, where, stat),)
    asked[LOADED_MODELS] = (Metric(INSTANCE_NAMESPACE, LOADED_MODELS, where, "Maximum"),)
    requests: tuple[Metric, ...] = (Metric(SAGEMAKER_NAMESPACE, "Invocations", where),)
    if variant.hosts:
        named = partial(Metric.of, SAGEMAKER_NAMESPACE, "Invocations")
        requests = tuple(named(InferenceComponentName=component) for component in components)
        named = partial(Metric.of, SAGEMAKER_NAMESPACE, _CONCURRENT_OF_COPY, stat="Maximum")
        asked[CONCURRENT_REQUESTS[0]] = tuple(named(InferenceComponentName=name) for name in components)
    elif variant.sleeps:  # as the variants of an asynchronous endpoint do
        backlog = partial(Metric.of, SAGEMAKER_NAMESPACE, "ApproximateBacklogSize", stat="Maximum")
        requests = (backlog(EndpointName=name),)
    return asked | {"requests": requests}


def _loaded(
    variant: EndpointVariant,
    asked: Mapping[str, tuple[Metric, ...]],
    data: Mapping[Metric, Signal[MetricSeries]],
    end: datetime,
) -> EndpointVariant:
    raw = {name: _together([data[metric] for metric in series]) for name, series in asked.items()}
    totals = {name: map_signal(series, _total) for name, series in raw.items()}
    return replace(variant, peaks=_peaks(raw, variant.machine, end), totals=totals)


def _total(found: MetricSeries) -> MetricTotal:
    return MetricTotal(found.total, len(found.points), max(found.values))


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


def _fixed(endpoint: str, variant: EndpointVariant, scaling: Iterable[tuple[str, int, int]]) -> str | None:
    """Return why the size of *variant* is not judged, or None."""
    kind = variant.type
    resource = f"endpoint/{endpoint}/variant/{variant.name}"
    reasons = {
        "it is serverless": variant.serverless,
        "nothing runs of it now": not variant.instances,
        "it runs on capacity that was paid for in advance": variant.reserved,
        "it mixes instance types": bool(variant.pools),
        "it is a shadow of the variant that it is compared with": variant.shadow,
        "its instances follow its inference components": variant.managed,
        "what its accelerators do is not published": machine_of(kind).gpus is None,
        f"sizes of {kind.rpartition('.')[0] or 'its type'} cannot be "
        f"compared": not PROPORTIONAL_FAMILIES.match(kind),
    }
    reasons |= {
        f"it scales itself between {low} and {count_noun(high, 'instance')}": low != high
        for name, low, high in scaling
        if name == resource
    }
    return next((why for why, true in reasons.items() if true), None)


def _peaks(
    raw: Mapping[str, Signal[MetricSeries]], host: Machine, end: datetime
) -> Signal[Iterable[PeakLoad]]:
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
            several=bool(read[LOADED_MODELS]),
        )
        for hour in hours
    )
    return Value(PackedLoads.of(loads), activity.GET_METRIC_DATA)
