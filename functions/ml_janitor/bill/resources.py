"""
Read the resources behind a bill: when each ran, its instances and requests, and the facts about it.

The facts are owners, findings, the janitor's actions and what they saved.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.acting import savings
from ml_janitor.aws import activity, runs
from ml_janitor.aws.activity import GET_METRIC_DATA, Metric, MetricSeries
from ml_janitor.aws.calls import Listing, error_text
from ml_janitor.aws.endpoints import INSTANCE_NAMESPACE, InferenceComponent, list_inference_components
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.aws.sagemaker_kinds import COMPONENT, ENDPOINT
from ml_janitor.bill.model import (
    UNTAGGED_VALUE,
    ZERO,
    Bill,
    BillGap,
    BillReading,
    Culprit,
    DaySpan,
    GapCause,
    ResourceFacts,
)
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import DAY
from ml_janitor.core.model import Absent, Finding, Kept, Signal, Target, Unreadable, Value
from ml_janitor.core.results import Result
from ml_janitor.detectors.idle_endpoints.reading import (
    DAY_SECONDS,
    ENDPOINT_NAMESPACE,
    SCALING_ACTIVITIES,
    component_invocations,
    processed_requests,
    variant_invocations,
)
from ml_janitor.engine.detector import Grant, allow
from ml_janitor.ledger.actions import Stage

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.aws.runs import UsedResource
    from ml_janitor.config.sections import BillSection
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import RunPolicy
    from ml_janitor.ledger.actions import Action
    from ml_janitor.ledger.findings import Entry


def units_in_span(run: ResourceRun, span: DaySpan) -> Decimal:
    """Return the units of *run* in *span*."""
    begins, ends = (datetime.combine(day, time(), UTC) for day in (span.first, span.until))
    return run.units(begins, ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRequests:
    """
    The requests of an endpoint's *variant*, in *points* of *period* seconds each; None is unread.

    A *shadow* variant receives copies of requests. *many_models* tells whether it loads models by itself.
    """

    variant: str
    points: tuple[tuple[datetime, float], ...] | None
    period: int
    shadow: bool = False
    many_models: bool = False

    def within(self, span: DaySpan) -> int | None:
        """Return the requests in *span*."""
        if self.points is None:
            return None
        return round(sum(count for at, count in self.points if at.date() in span))


@dataclass(frozen=True, slots=True, kw_only=True)
class BillResource:
    """
    A resource that was or is billed: *culprit* is its description for a report, *tag* the value of the tag.

    *family* is the common part of similar resources' names. *requests* are those of an endpoint.
    """

    culprit: Culprit
    runs: tuple[ResourceRun, ...]
    tag: str | None = None
    family: str = ""
    requests: tuple[VariantRequests, ...] = ()

    @property
    def found(self) -> bool:
        return bool(self.culprit.finding)


# --- instances of endpoints over time -------------------------------------------------------------
#
# Each instance publishes its CPU's use, so that the number of datapoints counts the instances, also those of
# deleted endpoints. Where CloudWatch has none, scaling activities and CloudTrail tell when the count changed.

COUNTING_METRIC = "CPUUtilization"
COUNTED_CLOSELY = Decimal("0.1")
"""The share by which the datapoints of a whole day may differ from a count that did not change."""

SCALING_CALL = "UpdateEndpointWeightsAndCapacities"
MOST_SCALING_PAGES, MOST_SCALED_VARIANTS = 20, 50
"""The most pages of CloudTrail, and the most variants whose scaling activities are asked for."""

DESIRED_COUNT = re.compile(r"desired instance count to (\d+)")
"""The new count in the description of a scaling activity, as Application Auto Scaling words it."""

COUNT_PLACES = Decimal("0.01")

type CountChange = tuple[datetime, Decimal]
"""The time from which a variant had so many instances."""


def count_endpoint_instances(
    aws: Aws, used: Sequence[UsedResource], usage_types: Collection[str], since: datetime, now: datetime
) -> Listing[UsedResource]:
    """
    Return *used*, with the instances that endpoints of *usage_types* had each day *since* then, if known.

    Where they are unknown, an endpoint is taken to have had as many as now all of its life.
    """
    try:
        counted, error = _counted(aws, used, usage_types, since, now)
    except Exception as failure:  # also a fault of ours: the bill is reported all the same
        counted, error = {}, error_text(failure)
    found = []
    for resource in used:
        every = counted.get(resource.target.arn, resource.runs)
        if own := tuple(run for run in every if run.hourly):
            found.append(replace(resource, runs=own))
    return Listing(tuple(found), error)


def _counted(
    aws: Aws, used: Sequence[UsedResource], usage_types: Collection[str], since: datetime, now: datetime
) -> tuple[Mapping[str, tuple[ResourceRun, ...]], str | None]:
    """Return the runs of endpoints by ARN, in pieces by their counts, and why some are missing."""
    variants = dict(_variants_on_lines(used, usage_types))
    if not variants:
        return {}, None
    metrics = {key: _instances_metric(*key) for key in variants}
    data = activity.read_metrics(aws, metrics.values(), since, now)
    pieces: dict[tuple[str, str], Sequence[ResourceRun]] = {}
    for key, (endpoint, own) in variants.items():
        if isinstance(signal := data[metrics[key]], Value):
            measured = _join_days(_measured(own, signal.value, since, now))
            if _agrees(measured, endpoint, now):
                pieces[key] = measured
    changes, error = _count_changes(aws, [key for key in variants if key not in pieces], since, now)
    by_arn: dict[str, tuple[ResourceRun, ...]] = defaultdict(tuple)
    for key, (endpoint, own) in variants.items():
        told = pieces.get(key) or [piece for run in own for piece in _stepwise(run, changes.get(key, ()))]
        by_arn[endpoint.target.arn] += tuple(told)
    errors = [signal.error for signal in data.values() if isinstance(signal, Unreadable)][:1]
    return by_arn, "; ".join([*errors, *filter(None, [error])]) or None


def _variants_on_lines(
    used: Iterable[UsedResource], usage_types: Collection[str]
) -> Iterator[tuple[tuple[str, str], tuple[UsedResource, Sequence[ResourceRun]]]]:
    """Yield the variants of endpoints on *usage_types* by both names, each with its endpoint and runs."""
    for endpoint in used:
        if endpoint.target.kind == ENDPOINT.type and any(
            run.usage_type in usage_types for run in endpoint.runs
        ):
            for variant in dict.fromkeys(run.variant for run in endpoint.runs):
                own = [run for run in endpoint.runs if run.variant == variant]
                yield (endpoint.target.name, variant), (endpoint, own)


def _instances_metric(name: str, variant: str) -> Metric:
    """Return the metric that counts instances by the day."""
    return Metric.of(
        INSTANCE_NAMESPACE,
        COUNTING_METRIC,
        stat="SampleCount",
        period=DAY_SECONDS,
        EndpointName=name,
        VariantName=variant,
    )


def _measured(
    runs: Sequence[ResourceRun], series: MetricSeries, since: datetime, now: datetime
) -> Iterator[ResourceRun]:
    """
    Yield *runs* in pieces of a day, by the datapoints of their instances.

    A day of several runs is divided by how long each was, and how many instances it began with.
    """
    first, today = (datetime.combine(at.date(), time(), UTC) for at in (since, now))
    counts = {at.date(): Decimal(round(count)) for at, count in series.points}
    pieces = [piece for run in runs for piece in _pieces_by_day(run, first, today)]
    expected: dict[date, Decimal] = defaultdict(Decimal)
    for piece in pieces:
        expected[piece.start.date()] += piece.units(first, today) * piece.datapoints
    for run in runs:
        if run.start < first:
            yield replace(run, end=min(first, run.end or first))
    for piece in pieces:
        day = piece.start.date()
        share = counts.get(day, ZERO) / expected[day]
        yield replace(piece, hourly=(piece.hourly * share).quantize(COUNT_PLACES))
    yield from (replace(run, start=max(run.start, today)) for run in runs if run.end is None)


def _join_days(pieces: Iterable[ResourceRun]) -> Sequence[ResourceRun]:
    """Return *pieces*, with those that only go on as one."""
    found: list[ResourceRun] = []
    for piece in sorted(pieces, key=lambda piece: piece.start):
        last = found[-1] if found else piece
        if last.end == piece.start and replace(last, end=piece.end) == replace(piece, start=last.start):
            found[-1] = replace(last, end=piece.end)
        else:
            found.append(piece)
    return found


def _pieces_by_day(run: ResourceRun, first: datetime, until: datetime) -> Iterator[ResourceRun]:
    """Yield the days of *run* from *first* until *until*, each with as many instances as it began with."""
    begins, ends = max(run.start, first), min(run.end or until, until)
    for day in DaySpan(begins.date(), (ends.date() - begins.date()).days + 1):
        midnight = datetime.combine(day, time(), UTC)
        start, end = max(begins, midnight), min(ends, midnight + DAY)
        if start < end:
            yield replace(run, start=start, end=end, hourly=max(run.initial, Decimal(1)))


def _agrees(pieces: Sequence[ResourceRun], endpoint: UsedResource, now: datetime) -> bool:
    """Return whether the count of yesterday is that of now, if the endpoint was not changed since."""
    today = datetime.combine(now.date(), time(), UTC)
    if endpoint.changed is None or endpoint.changed > today - DAY:
        return True
    running = [run for run in pieces if run.end is None]
    told = sum((run.units(today - DAY, today) for run in pieces), ZERO)
    expected = 24 * sum((run.hourly for run in running), ZERO)
    return abs(told - expected) <= COUNTED_CLOSELY * expected


def _count_changes(
    aws: Aws, variants: Sequence[tuple[str, str]], since: datetime, now: datetime
) -> tuple[Mapping[tuple[str, str], list[CountChange]], str | None]:
    """Return when the count of each of *variants* changed: from scaling activities, else from CloudTrail."""
    if not variants:
        return {}, None
    some = variants[:MOST_SCALED_VARIANTS]
    activities = aws.map(lambda key: _scaling_activities(aws, *key), some)
    found = {key: list(listing.items) for key, listing in zip(some, activities, strict=True) if listing.items}
    errors = [listing.error for listing in activities if listing.error][:1]
    unknown = {key for key in variants if key not in found}
    if unknown:
        since = max(since, now - activity.EVENT_RETENTION)
        events = activity.look_up_events(aws, SCALING_CALL, since, now, most_pages=MOST_SCALING_PAGES)
        errors += [events.error] if events.error else []
        for event in events.items:
            name = str(runs.request_member(event.request, ENDPOINT.named))
            for asked in runs.request_member(event.request, "DesiredWeightsAndCapacities") or ():
                key = name, str(runs.request_member(asked, "VariantName"))
                count = runs.request_member(asked, "DesiredInstanceCount")
                if event.succeeded and key in unknown and count is not None:
                    found.setdefault(key, []).append((event.at, Decimal(count)))
    return {key: sorted(changes) for key, changes in found.items()}, "; ".join(errors) or None


def _scaling_activities(aws: Aws, name: str, variant: str) -> Listing[CountChange]:
    """List when Application Auto Scaling changed the count of a variant in the last six weeks."""

    def change(entry: Mapping[str, Any]) -> CountChange | None:
        found = DESIRED_COUNT.search(entry["Description"])
        return (
            (entry["StartTime"], Decimal(found[1])) if found and entry["StatusCode"] == "Successful" else None
        )

    resource = f"{ENDPOINT.type}/{name}/variant/{variant}"
    listing = aws.listing(
        SCALING_ACTIVITIES, "ScalingActivities", change, ServiceNamespace="sagemaker", ResourceId=resource
    )
    return Listing(tuple(item for item in listing.items if item is not None), listing.error)


def _stepwise(run: ResourceRun, changes: Iterable[CountChange]) -> Iterator[ResourceRun]:
    """Yield *run* in pieces, each with the count that it had after one of *changes*."""
    steps = [(at, count) for at, count in changes if run.start < at and (run.end is None or at < run.end)]
    if not steps:
        yield run
        return
    counts = [(run.start, run.initial), *steps]
    for (start, count), end in zip(counts, [*(at for at, _ in steps), run.end], strict=True):
        yield replace(run, start=start, end=end, hourly=count)


# --- requests to endpoints ------------------------------------------------------------------------
#
# CloudWatch counts them by variant; the names of the metrics differ by kind of endpoint.

HOURLY_PERIOD = 3600
CACHE_HIT_METRIC = "ModelCacheHit"
"""
The metric that only multi-model endpoints publish, by variant (developer guide, "CloudWatch Metrics for
Multi-Model Endpoint Deployments").
"""

REQUEST_READS: tuple[Grant, ...] = (
    allow(activity.LIST_METRICS),
    allow(activity.GET_METRIC_DATA),
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
    data = activity.read_metrics(aws, [series for meter in meters for series in meter.series], since, now)
    loading = activity.list_series(aws, ENDPOINT_NAMESPACE, CACHE_HIT_METRIC)
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


# --- facts about billed resources -----------------------------------------------------------------

BILLED_KINDS = frozenset(
    {"training-job", "processing-job", "transform-job", "endpoint", "notebook-instance", "app"}
)
"""Kinds of resources whose runs are known."""

RESOURCE_READS: tuple[Grant, ...] = (
    *(allow(*call) for call in runs.RUN_READS),
    *REQUEST_READS,
    allow(SCALING_ACTIVITIES),
)
"""The permissions to read them in each region."""


class BilledResources:
    """Reads what ran and how often endpoints were called, to explain what moved the bill."""

    name, reads, cleanup = "bill", RESOURCE_READS, None

    @classmethod
    def summary(cls) -> str:
        """Return one line, for the description of its role."""
        return (cls.__doc__ or "").strip()


def bill_readers(section: BillSection) -> list[BilledResources]:
    """Return the readers for which an organization's accounts grant a role, if its bill is read."""
    return [BilledResources()] if section.enabled else []


def hourly_detectors[D: (Detector[Any], type[Detector[Any]])](detectors: Iterable[D]) -> list[D]:
    """Return the *detectors* that judge resources billed by the hour, and would end them."""
    return [
        detector
        for detector in detectors
        if detector.cleanup is not None
        and not detector.cleanup.effect.stays
        and not BILLED_KINDS.isdisjoint(detector.kinds)
    ]


def facts_from_sweep(results: Iterable[Result]) -> Mapping[str, ResourceFacts]:
    """Return a sweep's facts about each resource, by its ARN in lower case."""
    found: dict[str, ResourceFacts] = {}
    for result in results:
        arn, verdict = result.target.arn.lower(), result.verdict
        if isinstance(verdict, Finding):
            found[arn] = ResourceFacts(
                detector=result.detector, finding=result.target.key, since=verdict.since, owner=result.owner
            )
        elif arn not in found:
            found[arn] = ResourceFacts(detector=result.detector, used=_in_use(verdict), owner=result.owner)
    return found


def facts_from_actions(
    actions: Iterable[Action], registry: Iterable[type[Detector[Any]]]
) -> Mapping[str, ResourceFacts]:
    """Return the resources that detectors of *registry* ended and nobody restored, by ARN in lower case."""
    ending = {detector.name for detector in hourly_detectors(registry)}
    return {
        action.target.arn.lower(): ResourceFacts(
            detector=action.detector, finding=action.id, since=action.warned, acted=True, ended=action.ended
        )
        for action in actions
        if action.detector in ending and action.stage is Stage.ACTED and action.over is None
    }


def facts_from_ledger(entries: Iterable[Entry]) -> Mapping[str, ResourceFacts]:
    """Return the ledger's facts about open findings, by ARN in lower case."""
    return {
        entry.key.rpartition("@")[0].lower(): ResourceFacts(
            detector=entry.detector,
            finding=entry.id,
            since=entry.since or entry.first_seen,
            owner=entry.owner,
        )
        for entry in entries
        if entry.closed is None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSavings:
    """The savings of actions, by UTC day, and in the calendar month, in all and by account."""

    by_day: Mapping[date, Decimal] = field(default_factory=dict)
    this_month: Decimal = ZERO
    by_account: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(
        cls, actions: Sequence[Action], bill: Bill, *, now: datetime, time_zone: str, accounts: bool = False
    ) -> ActionSavings:
        """
        Compute the savings of *actions* in the days of *bill* and the month of *now*;
        optionally by account.
        """
        by_account: dict[str, list[Action]] = {}
        for action in actions if accounts else ():
            by_account.setdefault(action.target.account, []).append(action)

        def saved(chosen: Iterable[Action]) -> Decimal:
            return savings.sum_savings(chosen, now=now, time_zone=time_zone).usd

        return cls(
            by_day=savings.savings_by_day(actions, bill.first, now),
            this_month=saved(actions),
            by_account={account: saved(own) for account, own in sorted(by_account.items())},
        )


def _in_use(verdict: Kept) -> bool:
    """Return whether a metric of a kept resource counted something."""
    return not verdict.unknown and any(
        seen.source == GET_METRIC_DATA and isinstance(seen.value, int | float) and seen.value > 0
        for seen in verdict.evidence
    )


@dataclass(frozen=True, slots=True)
class KnownResources:
    """The resources of an account, and the gaps in reading them."""

    resources: tuple[BillResource, ...] = ()
    gaps: tuple[BillGap, ...] = ()


def read_known_resources(
    regions: Sequence[Aws],
    *,
    since: datetime,
    now: datetime,
    tag: str,
    policy: RunPolicy,
    verdicts: Mapping[str, ResourceFacts],
    charged: Collection[str] | None = None,
    moved: Collection[str] = (),
) -> KnownResources:
    """
    Return the resources that ran in *regions* at any time from *since* to *now*, with the facts about them.

    *tag* is the key that divides the bill, *verdicts* are the judged resources, by ARN in lower case.
    Resources of usage types that were not *charged* are not read; of those that *moved*, it is read how many
    instances endpoints had.
    """
    resources: list[BillResource] = []
    gaps: list[BillGap] = []
    for aws in regions:
        listed = runs.list_used_resources(aws, since, now, charged)
        counted = count_endpoint_instances(aws, listed.items, moved, since, now)
        called = read_requests(aws, counted.items, since, now)
        resources += (
            replace(
                _resource(resource, tag, policy, verdicts),
                requests=called.by_arn.get(resource.target.arn, ()),
            )
            for resource in counted.items
        )
        gaps += (
            BillGap(reading=reading, cause=GapCause.FAILED, subject=aws.region, detail=error)
            for reading, error in (
                (BillReading.RESOURCES, listed.error),
                (BillReading.RESOURCES, counted.error),
                (BillReading.REQUESTS, called.error),
            )
            if error is not None
        )
    return KnownResources(tuple(resources), tuple(gaps))


def _resource(
    resource: UsedResource, tag: str, policy: RunPolicy, verdicts: Mapping[str, ResourceFacts]
) -> BillResource:
    target = resource.target
    facts = verdicts.get(target.arn.lower(), ResourceFacts())
    waste_since = facts.since if facts.finding else None
    known = replace(
        facts,
        owner=facts.owner or policy.owner(target),
        since=waste_since or _begun(resource),
        ended=facts.ended or resource.ended,
        detector=facts.detector if facts.finding else "",
    )
    return BillResource(
        culprit=Culprit(arn=target.arn, name=target.name, kind=target.kind, **asdict(known)),
        runs=resource.runs,
        tag=_value(target, tag),
        family=family_name(target.name),
    )


def _begun(resource: UsedResource) -> datetime | None:
    """Return when it was made; for a job, when it first ran."""
    return resource.runs[0].start if resource.target.kind.endswith("-job") else resource.target.created


def _value(target: Target, tag: str) -> str | None:
    """Return the value of *tag* as in the bill: the key is matched with its capitals, as AWS bills it."""
    if not isinstance(target.tags, Value):
        return UNTAGGED_VALUE
    return target.tags.value.get(tag, UNTAGGED_VALUE)
