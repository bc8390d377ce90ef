"""Reads Savings Plans: owned ones, their use, the rates of a new plan, and usage by the hour."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from sys import intern
from typing import Any

from ml_janitor.aws.client import Aws
from ml_janitor.aws.cost_explorer import (
    COST_EXPLORER_REGION,
    GET_COST_AND_USAGE,
    GET_COVERAGE,
    GET_UTILIZATION,
    QUANTITY,
    UNBLENDED,
    CostExplorer,
    RefusalCause,
    RefusedError,
    group_by_dimension,
)
from ml_janitor.aws.prices import component_of_usage
from ml_janitor.aws.runs import UsedResource
from ml_janitor.core.commitment import RatedUsage, ResourceUsage, UsageSpan, UsageTotal
from ml_janitor.core.durations import HOUR
from ml_janitor.core.job_families import family_name
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

DESCRIBE_PLANS = "savingsplans:DescribeSavingsPlans"
DESCRIBE_RATES = "savingsplans:DescribeSavingsPlansOfferingRates"

PLAN_SERVICES: Mapping[str, str] = {
    "SageMaker": "Amazon SageMaker",
    "Compute": "Amazon Elastic Compute Cloud - Compute",
}
"""The service that each type of plan covers, as Cost Explorer names it; only judged services."""

STANDING_STATES = ("active", "payment-pending", "queued")
"""The states of a plan that is paid for, or will be."""

PROPOSED_PAYMENT, PLAN_SECONDS = "No Upfront", 365 * 24 * 3600
"""The proposed plan binds the least money for the shortest time; other plans save more."""

SPOT_USAGE = re.compile(r"TrSpt|Spot", re.IGNORECASE)
"""Usage types of spot, which no plan covers (Savings Plans user guide, "What is a Savings Plan")."""

HOURS_KEPT = timedelta(days=14)
"""The age up to which Cost Explorer keeps hours."""


@dataclass(frozen=True, slots=True)
class PlanRate:
    """Dollars an hour of usage under a plan, and the id of the *offering* with this rate."""

    hourly_usd: float
    offering: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsPlanLine:
    """The hourly on-demand cost of one usage type and operation, and its total quantity."""

    usage_type: str
    operation: str
    usd: tuple[float, ...]
    quantity: float


type UsageKey = tuple[str, str]
"""A usage type and an operation."""

type PlanRates = Mapping[str, Mapping[UsageKey, PlanRate]]
"""Rates by type of plan."""


def _read[**P, T](source: str) -> Callable[[Callable[P, T]], Callable[P, Signal[T]]]:
    """Decorate a method so that its result is a signal, as is a refusal by Cost Explorer or Savings Plans."""

    def around(call: Callable[P, T]) -> Callable[P, Signal[T]]:
        @wraps(call)
        def read(*given: P.args, **named: P.kwargs) -> Signal[T]:
            try:
                return Value(call(*given, **named), source)
            except RefusedError as refused:
                if refused.cause is RefusalCause.NO_DATA:
                    return Absent(source)
                return Unreadable(str(refused) or refused.cause.value, source)
            except KeyError as cut_off:
                return Unreadable(f"the answer lacks {cut_off.args[0]}: it was cut off", source)

        return read

    return around


class SavingsPlans:
    """A reader of *max_requests* requests at most; `requests` counts answers. Cost Explorer's cost a cent."""

    def __init__(self, aws: Aws, max_requests: int) -> None:
        self._region = aws.region
        self._costs = aws.client("ce", COST_EXPLORER_REGION)
        self._plans = aws.client("savingsplans", COST_EXPLORER_REGION)
        self._explorer = CostExplorer(self._costs, max_requests=max_requests)

    @property
    def requests(self) -> int:
        """Return the number of answers so far, including free ones."""
        return self._explorer.requests

    @_read(DESCRIBE_PLANS)
    def owned(self) -> Mapping[str, float]:
        """Return the dollars an hour that the account itself committed to, by type of plan."""
        found: dict[str, float] = defaultdict(float)
        asked = {"states": [*STANDING_STATES], "maxResults": 1000}
        pages = self._explorer.pages(self._plans.describe_savings_plans, asked, following="nextToken")
        for plan in (plan for page in pages for plan in page["savingsPlans"]):
            found[plan["savingsPlanType"]] += float(plan["commitment"])
        return dict(found)

    @_read(GET_COVERAGE)
    def coverage(self, since: datetime, until: datetime) -> Mapping[str, float]:
        """Return the covered share of the region's coverable usage, by service, over all plans' owners."""
        asked = {
            "TimePeriod": _days(since, until),
            "GroupBy": [group_by_dimension("SERVICE")],
            "Filter": {"Dimensions": {"Key": "REGION", "Values": [self._region]}},
        }
        pages = self._explorer.pages(self._costs.get_savings_plans_coverage, asked, following="NextToken")
        found = [coverage for page in pages for coverage in page["SavingsPlansCoverages"]]
        return {
            coverage["Attributes"]["SERVICE"]: float(coverage["Coverage"]["CoveragePercentage"]) / 100
            for coverage in found
        }

    @_read(GET_UTILIZATION)
    def utilization(self, since: datetime, until: datetime) -> float:
        """Return the used share of the owned commitment, over all types of plans."""
        asked = {"TimePeriod": _days(since, until)}
        answer = self._explorer.ask(self._costs.get_savings_plans_utilization, asked)
        return float(answer["Total"]["Utilization"]["UtilizationPercentage"]) / 100

    @_read(GET_COST_AND_USAGE)
    def hourly(self, since: datetime, hours: int) -> tuple[SavingsPlanLine, ...]:
        """Return the on-demand cost in each of *hours* after *since*: without covered usage and spot."""
        span = {
            "Start": f"{since:%Y-%m-%dT%H:00:00Z}",
            "End": f"{since + hours * HOUR:%Y-%m-%dT%H:00:00Z}",
        }
        if self._region not in self._charged_in(span):
            return ()
        asked = _hourly(
            span, group_by_dimension("USAGE_TYPE"), group_by_dimension("OPERATION"), REGION=[self._region]
        )
        usd: dict[UsageKey, list[float]] = defaultdict(lambda: [0.0] * hours)
        quantity: dict[UsageKey, float] = defaultdict(float)
        for page in self._explorer.pages(self._costs.get_cost_and_usage, asked):
            for period in page["ResultsByTime"]:
                at = (datetime.fromisoformat(period["TimePeriod"]["Start"]) - since) // HOUR
                for group in period["Groups"]:
                    usage_type, operation = group["Keys"]
                    usd[usage_type, operation][at] += float(group["Metrics"][UNBLENDED]["Amount"])
                    quantity[usage_type, operation] += float(group["Metrics"][QUANTITY]["Amount"])
        return tuple(
            SavingsPlanLine(usage_type=key[0], operation=key[1], usd=tuple(amounts), quantity=quantity[key])
            for key, amounts in usd.items()
            if not SPOT_USAGE.search(key[0])
        )

    def _charged_in(self, span: Mapping[str, str]) -> frozenset[str]:
        """
        Return the regions with such usage: one request for all regions of a run, so that empty ones cost
        nothing.

        The request is by the hour, like the next ones: Cost Explorer refuses it free of charge if it
        keeps no hours.
        """
        pages = self._explorer.pages(
            self._costs.get_cost_and_usage, _hourly(span, group_by_dimension("REGION"))
        )
        periods = (period for page in pages for period in page["ResultsByTime"])
        return frozenset(group["Keys"][0] for period in periods for group in period["Groups"])

    @_read(DESCRIBE_RATES)
    def rates(self, usage_types: Iterable[str]) -> PlanRates:
        """
        Return the rates of *usage_types* under a plan without upfront payment, for
        a year, by plan type.
        """
        found: dict[str, dict[UsageKey, PlanRate]] = {plan: {} for plan in PLAN_SERVICES}
        wanted = sorted({usage_type for usage_type in usage_types if not SPOT_USAGE.search(usage_type)})
        asked = {
            "savingsPlanTypes": [*PLAN_SERVICES],
            "savingsPlanPaymentOptions": [PROPOSED_PAYMENT],
            "usageTypes": wanted,
            "maxResults": 1000,
        }
        call = self._plans.describe_savings_plans_offering_rates
        pages = self._explorer.pages(call, asked, following="nextToken") if wanted else ()
        for result in (result for page in pages for result in page["searchResults"]):
            offering = result["savingsPlanOffering"]
            if (offering["durationSeconds"], result["unit"]) == (PLAN_SECONDS, "Hrs"):
                rate = PlanRate(float(result["rate"]), offering["offeringId"])
                found[offering["planType"]][result["usageType"], result.get("operation", "")] = rate
        return found


def covered_usage(
    aws: Aws,
    used: Iterable[UsedResource],
    lines: Iterable[SavingsPlanLine],
    of: Mapping[UsageKey, PlanRate],
    until: datetime,
) -> Iterator[ResourceUsage]:
    """Yield the usage in *used* with a rate below its price, from the bill or the price list. Never spot."""
    billed = {line.usage_type: sum(line.usd) / line.quantity for line in lines if line.quantity}
    for resource in used:
        spans = defaultdict[str, list[UsageSpan]](list)
        for run in resource.runs:
            price = billed.get(run.usage_type) or _listed(aws, run.usage_type)
            covered = None if run.reserved or SPOT_USAGE.search(run.usage_type) else _rate(of, run.usage_type)
            if price and covered is not None and covered.hourly_usd < price:
                hourly = RatedUsage(price * float(run.hourly), 1 - covered.hourly_usd / price)
                spans[run.usage_type].append(UsageSpan(run.start, run.end or until, hourly))
        names = [intern(resource.target.arn.lower())]
        if resource.target.kind.endswith("-job"):
            name = resource.target.name
            whole = f"{resource.target.arn.removesuffix(name)}{family_name(name)}-*"
            names.append(intern(whole.lower()))  # the same for thousands of jobs
        for usage_type, found in spans.items():
            yield ResourceUsage(names=tuple(names), kind=usage_type, spans=tuple(found))


def covered_totals(lines: Iterable[SavingsPlanLine], of: Mapping[UsageKey, PlanRate]) -> Iterator[UsageTotal]:
    """Yield the totals of *lines* with a rate below their price."""
    for line in lines:
        covered, paid = _rate(of, line.usage_type, line.operation), sum(line.usd)
        if covered is not None and (rated := covered.hourly_usd * line.quantity) < paid:
            yield UsageTotal(kind=line.usage_type, hourly=line.usd, discount=1 - rated / paid)


def _listed(aws: Aws, usage_type: str) -> float | None:
    """Return the list price of a usage type."""
    found = component_of_usage(usage_type)
    price = None if found is None else aws.prices.hourly(aws.region, *found).hourly_usd
    return None if price is None else float(price)


def _rate(of: Mapping[UsageKey, PlanRate], usage_type: str, operation: str = "") -> PlanRate | None:
    """
    Return the rate of a usage type: of that *operation*, if it has a rate; None if it is not covered.

    A resource's observed usage has no operation: then the usage type must have a single rate.
    """
    if operation:
        return of.get((usage_type, operation)) or of.get((usage_type, ""))
    found = [rate for (name, _), rate in of.items() if name == usage_type]
    return found[0] if len({rate.hourly_usd for rate in found}) == 1 else None


def _hourly(
    span: Mapping[str, str], *groups: Mapping[str, str], **dimensions: Sequence[str]
) -> dict[str, Any]:
    """Return the request for hourly usage that plans can cover."""
    wanted = {**dimensions, "RECORD_TYPE": ["Usage"], "SERVICE": [*PLAN_SERVICES.values()]}
    return {
        "TimePeriod": span,
        "Granularity": "HOURLY",
        "Metrics": [UNBLENDED, QUANTITY],
        "GroupBy": [*groups],
        "Filter": {
            "And": [{"Dimensions": {"Key": key, "Values": [*values]}} for key, values in wanted.items()]
        },
    }


def _days(since: datetime, until: datetime) -> dict[str, str]:
    return {"Start": f"{since:%Y-%m-%d}", "End": f"{until:%Y-%m-%d}"}
