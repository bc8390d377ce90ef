"""Endpoints whose peaks would fit fewer or smaller instances, or that need none for hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from ml_janitor.aws import endpoints, tags
from ml_janitor.aws.activity import GET_METRIC_DATA
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import LOAD_WINDOW, EndpointVariant, LoadedEndpoint
from ml_janitor.aws.prices import GET_PRODUCTS, machine_of
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    OLDEST_FIRST,
    RECOMMENDATION,
    SEARCH,
    describe_resource,
    list_kind,
)
from ml_janitor.core import capacity
from ml_janitor.core.capacity import Fleet, InstanceSize, PeakLoad
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Change,
    Confidence,
    Cost,
    Evidence,
    Kept,
    Rule,
    Value,
    Verdict,
)
from ml_janitor.core.ownership import production_environment
from ml_janitor.core.text import count_noun, format_usd, quote_shell
from ml_janitor.engine.detector import LEAST_SAVING_USD, Constant, Detector, allow

_HOURS_PER_WEEK = 168
_LEAST_QUIET_HOURS = 40
"""Quiet hours a week from which it is worthwhile to delete an endpoint at night and create it again."""


@dataclass(frozen=True, slots=True)
class FleetProposal:
    """
    The *fleet* to run instead of a variant, its average saving per hour,
    and the *change* that it takes.
    """

    served: EndpointVariant
    fleet: Fleet
    hourly_usd: Decimal
    change: str


@dataclass(frozen=True)
class OversizedEndpoints(Detector[LoadedEndpoint]):
    """
    Finds endpoints whose peaks would fit fewer or smaller instances.

    Peaks decide, by the minute and over two weeks: an average hides the load for which an endpoint was sized.
    """

    name = "oversized-endpoints"
    kinds = (ENDPOINT.type,)
    asks_for = Change.RESIZE
    reads = (
        allow(SEARCH),
        *(allow(kind.lists) for kind in (ENDPOINT, COMPONENT, RECOMMENDATION)),
        *(allow(kind.describes, on=kind.every) for kind in (ENDPOINT, ENDPOINT_CONFIG, RECOMMENDATION)),
        allow(tags.LIST_TAGS, on=ENDPOINT.every),
        *(
            allow(action)
            for action in (
                tags.GET_RESOURCES,
                endpoints.DESCRIBE_SCALABLE_TARGETS,
                GET_METRIC_DATA,
                GET_PRODUCTS,
            )
        ),
    )

    headroom: Constant[float] = 0.3  # room above every peak
    min_instances: Constant[int] = 2  # in two zones (SageMaker developer guide, best practices)
    min_saving: Constant[float] = LEAST_SAVING_USD

    def find(self, aws: Aws, now: datetime) -> Iterator[LoadedEndpoint]:
        """Yield the load of every endpoint, with Inference Recommender's results for its models."""
        jobs = list_kind(aws, RECOMMENDATION, dict, StatusEquals="COMPLETED", **OLDEST_FIRST)
        newest = {job["ModelName"]: job["JobName"] for job in jobs.items if "ModelName" in job}
        loads = endpoints.read_endpoint_loads(aws, now)
        for endpoint in loads.items:
            models = [served.model for served in endpoint.variants]
            yield replace(
                endpoint,
                prices={
                    served.type: aws.prices.family(aws.region, "Hosting", served.type)
                    for served in endpoint.variants
                    if served.fixed is None
                },
                recommended=tuple(_recommended(aws, newest, models)),
            )
        loads.check()
        jobs.check()

    def decide(self, candidate: LoadedEndpoint, now: datetime) -> Verdict:
        """Replay each variant's peaks on cheaper fleets, and keep nothing above the head-room."""
        rule = Rule()
        described = endpoints.judgeable_description(candidate, rule, now)
        if isinstance(described, Kept):
            return described
        for result in candidate.recommended:
            rule.saw(Evidence("Inference Recommender", result, source=RECOMMENDATION.describes))
        proposals = list[FleetProposal]()
        for served in described.variants:
            match self.propose(candidate, served, rule):
                case Kept() as unknown:
                    return unknown
                case FleetProposal() as proposal:
                    proposals.append(proposal)
        monthly = sum((proposal.hourly_usd for proposal in proposals), Decimal(0)) * HOURS_PER_MONTH
        if not proposals:
            return rule.kept(
                f"its size fits its peaks of {format_age(LOAD_WINDOW)}: no smaller one saves "
                f"{format_usd(Decimal(self.min_saving))} a month"
            )
        listed = {price.source for family in candidate.prices.values() for price in family.values()}
        once = [proposal.fleet.size.hourly_usd * max(proposal.fleet.counts) for proposal in proposals]
        return rule.found(
            f"with {self.headroom:.0%} to spare at every peak of {format_age(LOAD_WINDOW)}, "
            + "; ".join(self.words(proposal) for proposal in proposals),
            Confidence.LIKELY,
            action="; ".join(proposal.change for proposal in proposals),
            cost=Cost.saving(monthly, ", ".join(sorted(listed)), once_usd=sum(once, Decimal(0))),
            to_prove="a load test of the model on the proposed instances, as Inference Recommender makes it",
        )

    def propose(
        self, candidate: LoadedEndpoint, served: EndpointVariant, rule: Rule
    ) -> FleetProposal | Kept | None:
        """Return the fleet to run instead of a variant; None if there is none, Kept if that is unknown."""
        name, running = served.name, served.instances
        if served.fixed is not None:
            rule.passed(f"{name}: {served.fixed}")
            return None
        if not isinstance(served.peaks, Value):
            return rule.unknown(
                f"the peaks of {name} are unknown ({getattr(served.peaks, 'error', 'not read')})"
            )
        loads = tuple(served.peaks.value)
        rule.saw(*_shown(served, loads))
        if all(load.idle for load in loads):
            rule.passed(f"{name}: no request came, which idle-endpoints judges")
            return None
        sizes = [
            InstanceSize(kind, machine_of(kind).vcpus, machine_of(kind).gpus or 0, price.hourly_usd)
            for kind, price in candidate.prices.get(served.type, {}).items()
            if price.hourly_usd is not None
        ]
        if (current := next((size for size in sizes if size.type == served.type), None)) is None:
            return rule.unknown(f"the price of {served.type} is unknown")
        now = Fleet(current, (running,) * len(loads))
        best = capacity.cheapest_fleet([now, *self.fleets(served, loads, sizes, current)]) or now
        saved = now.hourly_usd - best.hourly_usd
        change = self.change(candidate, served, best)
        quiet = (
            0
            if served.sleeps or production_environment(candidate.target)
            else capacity.count_quiet_hours(loads)
        )
        if quiet >= _LEAST_QUIET_HOURS and now.hourly_usd * quiet / _HOURS_PER_WEEK > saved:
            best, saved = now, now.hourly_usd * quiet / _HOURS_PER_WEEK
            change = (
                f"run it only when requests come: delete it for the {count_noun(quiet, 'hour')} a "
                "week in which no request"
                " comes, and make it again from its configuration, both by EventBridge Scheduler"
            )
        if saved * HOURS_PER_MONTH >= Decimal(self.min_saving):
            return FleetProposal(served, best, saved, change)
        rule.passed(f"{name}: nothing that carries its peaks costs less")
        return None

    def fleets(
        self,
        served: EndpointVariant,
        loads: Sequence[PeakLoad],
        sizes: Sequence[InstanceSize],
        current: InstanceSize,
    ) -> Iterator[Fleet | None]:
        """Yield fleets that could carry it for less: without scaling first, which is the smaller change."""
        running = served.instances
        if served.hosts:
            yield capacity.switched_fleet(loads, running, current)
            return
        least = min(running, self.min_instances)
        cheaper = [
            size
            for size in sizes
            if size.hourly_usd <= current.hourly_usd and bool(size.gpus) == bool(current.gpus)
        ]
        for plan in (capacity.steady_fleet, capacity.scaled_fleet):
            for size in (current, *cheaper):
                yield plan(loads, running, size, self.headroom, least)
        if served.sleeps:
            for size in (current, *cheaper):
                yield capacity.scaled_fleet(loads, running, size, self.headroom, 0)

    def words(self, proposal: FleetProposal) -> str:
        """Return one proposal in a sentence."""
        counts, running = proposal.fleet.counts, proposal.served
        instead = f"{running.instances} {proposal.served.type}"
        same = proposal.served.type == proposal.fleet.size.type
        if same and {*counts} == {running.instances}:
            return f"{running.name} needs its {instead} only for a part of the week"
        return f"{running.name} needs {_range(counts)} {proposal.fleet.size.type} instead of {instead}"

    def change(self, candidate: LoadedEndpoint, served: EndpointVariant, fleet: Fleet) -> str:
        """Return the requests that bring *fleet* about."""
        name, low, high = candidate.target.name, min(fleet.counts), max(fleet.counts)
        steps = []
        if served.hosts:
            return (
                f"let variant {served.name} scale down to no instance: a new endpoint configuration with"
                " ManagedInstanceScaling={Status=ENABLED,MinInstanceCount=0,"
                f"MaxInstanceCount={high}}}, and MinCapacity=0 for the copies of its inference components"
            )
        if fleet.size.type != served.type or fleet.steady:
            steps.append(
                f"a new endpoint configuration with InstanceType={fleet.size.type} and"
                f" InitialInstanceCount={high}, then aws sagemaker update-endpoint"
                f" --endpoint-name {quote_shell(name)} --endpoint-config-name NEW"
            )
        if not fleet.steady:
            steps.append(
                "aws application-autoscaling register-scalable-target --service-namespace sagemaker"
                f" --resource-id {quote_shell(f'endpoint/{name}/variant/{served.name}')} --scalable-dimension"
                f" sagemaker:variant:DesiredInstanceCount --min-capacity {low} --max-capacity {high}, and a"
                " target-tracking policy or scheduled actions for it"
            )
        return (
            f"run variant {served.name} on {_range(fleet.counts)} {fleet.size.type}: {', then '.join(steps)}"
        )


def _recommended(aws: Aws, newest: Mapping[str, str], models: Iterable[str | None]) -> Iterator[str]:
    """
    Yield the results of the *newest* finished load test of each of *models*,
    as words, or why one cannot be read.

    Inference Recommender's results are AWS's only opinion on the size of an endpoint.
    """
    for model in dict.fromkeys(models):
        if model is not None and model in newest:
            job = describe_resource(aws, RECOMMENDATION, newest[model])
            known = _cheapest(job.value) if isinstance(job, Value) else None
            yield f"{model}: {known or getattr(job, 'error', 'the job is gone')}"


def _cheapest(job: Mapping[str, Any]) -> str:
    """Return the cheapest recommendation of a finished job."""
    found = [
        (item["Metrics"]["CostPerHour"], item["EndpointConfiguration"], item["Metrics"])
        for item in job.get("InferenceRecommendations", ())
        if "CostPerHour" in item.get("Metrics", {}) and "InstanceType" in item["EndpointConfiguration"]
    ]
    if not found:
        return "no instance was recommended"
    hourly, configuration, measured = min(found, key=lambda item: float(item[0]))
    count = configuration.get("InitialInstanceCount", 1)
    return (
        f"{count} {configuration['InstanceType']}, {format_usd(Decimal(str(hourly)))} an hour, up to"
        f" {count_noun(measured.get('MaxInvocations', 0), 'request')} a minute"
    )


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if len({*counts}) == 1 else f"{min(counts)} to {max(counts)}"


def _shown(served: EndpointVariant, loads: Sequence[PeakLoad]) -> Iterator[Evidence]:
    """Yield the highest of all peaks of a variant."""
    name, host = served.name, served.machine
    yield Evidence(
        f"CPU peak of {name}",
        f"{max(load.cpu for load in loads) / host.vcpus:.0%} of {host.vcpus} vCPUs",
        source=GET_METRIC_DATA,
    )
    yield Evidence(
        f"memory peak of {name}",
        f"{max(load.memory for load in loads) / host.vcpus:.0%}",
        source=GET_METRIC_DATA,
    )
    if host.gpus:
        yield Evidence(
            f"GPU peak of {name}",
            f"{max(load.gpu for load in loads) / host.gpus:.0%} of {host.gpus} GPUs, memory"
            f" {max(load.gpu_memory for load in loads) / host.gpus:.0%}",
            source=GET_METRIC_DATA,
        )
    if (most := max(load.requests for load in loads)) > 0:
        yield Evidence(f"requests in flight at once on {name}", most, source=GET_METRIC_DATA)
