"""Savings Plans: what is owned, how it is used, at which rates another would cover what; and hours of use."""

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
    GET_COST_AND_USAGE,
    GET_COVERAGE,
    GET_UTILIZATION,
    QUANTITY,
    REGION,
    UNBLENDED,
    CostExplorer,
    RefusalCause,
    RefusedError,
    by_dimension,
)
from ml_janitor.aws.prices import rented
from ml_janitor.aws.runs import Used
from ml_janitor.core.commitment import HOUR, Span, Total, Usage, Use
from ml_janitor.core.job_families import family
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

DESCRIBE_PLANS = "savingsplans:DescribeSavingsPlans"
DESCRIBE_RATES = "savingsplans:DescribeSavingsPlansOfferingRates"

SERVICES: Mapping[str, str] = {
    "SageMaker": "Amazon SageMaker",
    "Compute": "Amazon Elastic Compute Cloud - Compute",
}
"""What each type of plan covers of what is judged here, as Cost Explorer calls it."""

STANDING = ("active", "payment-pending", "queued")
"""The states of a plan that is paid for, or will be."""

PAYMENT, YEAR = "No Upfront", 365 * 24 * 3600
"""What is proposed binds the least money for the shortest time; other plans save more."""

SPOT = re.compile(r"TrSpt|Spot", re.IGNORECASE)
"""Usage types of spot, which no plan covers (Savings Plans user guide, "What is a Savings Plan")."""

HOURS_KEPT = timedelta(days=14)
"""How far back Cost Explorer has hours."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars an hour of use under a plan, and the id of the *offering* that has it."""

    hourly_usd: float
    offering: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one usage type and operation cost on demand in each hour, and how much of it was used together."""

    usage_type: str
    operation: str
    usd: tuple[float, ...]
    quantity: float


type Key = tuple[str, str]
"""A usage type and an operation."""

type Rates = Mapping[str, Mapping[Key, Rate]]
"""By type of plan."""


def _read[**P, T](source: str) -> Callable[[Callable[P, T]], Callable[P, Signal[T]]]:
    """Have what a method returns be a signal, and so why Cost Explorer or Savings Plans refuse it."""

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
    """Asks *max_requests* times at most; `requests` counts the answers. Cost Explorer's are a cent each."""

    def __init__(self, aws: Aws, max_requests: int) -> None:
        self._region = aws.region
        self._costs = aws.client("ce", REGION)
        self._plans = aws.client("savingsplans", REGION)
        self._explorer = CostExplorer(self._costs, max_requests=max_requests)

    @property
    def requests(self) -> int:
        """How many were answered so far, those that cost nothing among them."""
        return self._explorer.requests

    @_read(DESCRIBE_PLANS)
    def owned(self) -> Mapping[str, float]:
        """Dollars an hour that the account itself committed to, by type of plan."""
        found: dict[str, float] = defaultdict(float)
        asked = {"states": [*STANDING], "maxResults": 1000}
        pages = self._explorer.pages(self._plans.describe_savings_plans, asked, following="nextToken")
        for plan in (plan for page in pages for plan in page["savingsPlans"]):
            found[plan["savingsPlanType"]] += float(plan["commitment"])
        return dict(found)

    @_read(GET_COVERAGE)
    def coverage(self, since: datetime, until: datetime) -> Mapping[str, float]:
        """Which share of what plans can cover in the region anybody's plans did cover, by service."""
        asked = {
            "TimePeriod": _days(since, until),
            "GroupBy": [by_dimension("SERVICE")],
            "Filter": {"Dimensions": {"Key": "REGION", "Values": [self._region]}},
        }
        pages = self._explorer.pages(self._costs.get_savings_plans_coverage, asked, following="NextToken")
        found = [one for page in pages for one in page["SavingsPlansCoverages"]]
        return {
            one["Attributes"]["SERVICE"]: float(one["Coverage"]["CoveragePercentage"]) / 100 for one in found
        }

    @_read(GET_UTILIZATION)
    def utilization(self, since: datetime, until: datetime) -> float:
        """Which share of what is owned was used, over all types of plans."""
        asked = {"TimePeriod": _days(since, until)}
        answer = self._explorer.ask(self._costs.get_savings_plans_utilization, asked)
        return float(answer["Total"]["Utilization"]["UtilizationPercentage"]) / 100

    @_read(GET_COST_AND_USAGE)
    def hourly(self, since: datetime, hours: int) -> tuple[Line, ...]:
        """What was paid on demand in each of *hours* after *since*: what no plan covers, and no spot."""
        span = {
            "Start": f"{since:%Y-%m-%dT%H:00:00Z}",
            "End": f"{since + hours * HOUR:%Y-%m-%dT%H:00:00Z}",
        }
        if self._region not in self._charged_in(span):
            return ()
        asked = _hourly(span, by_dimension("USAGE_TYPE"), by_dimension("OPERATION"), REGION=[self._region])
        usd: dict[Key, list[float]] = defaultdict(lambda: [0.0] * hours)
        quantity: dict[Key, float] = defaultdict(float)
        for page in self._explorer.pages(self._costs.get_cost_and_usage, asked):
            for period in page["ResultsByTime"]:
                at = (datetime.fromisoformat(period["TimePeriod"]["Start"]) - since) // HOUR
                for group in period["Groups"]:
                    usage_type, operation = group["Keys"]
                    usd[usage_type, operation][at] += float(group["Metrics"][UNBLENDED]["Amount"])
                    quantity[usage_type, operation] += float(group["Metrics"][QUANTITY]["Amount"])
        return tuple(
            Line(usage_type=key[0], operation=key[1], usd=tuple(amounts), quantity=quantity[key])
            for key, amounts in usd.items()
            if not SPOT.search(key[0])
        )

    def _charged_in(self, span: Mapping[str, str]) -> frozenset[str]:
        """
        The regions with such use: one question for all regions of a run, so that empty ones cost nothing.

        It is asked by the hour, as what follows is: refused, and so free, where Cost Explorer has no hours.
        """
        pages = self._explorer.pages(self._costs.get_cost_and_usage, _hourly(span, by_dimension("REGION")))
        periods = (period for page in pages for period in page["ResultsByTime"])
        return frozenset(group["Keys"][0] for period in periods for group in period["Groups"])

    @_read(DESCRIBE_RATES)
    def rates(self, usage_types: Iterable[str]) -> Rates:
        """What a plan without money in advance, for a year, covers of *usage_types*, and at which rates."""
        found: dict[str, dict[Key, Rate]] = {plan: {} for plan in SERVICES}
        wanted = sorted({one for one in usage_types if not SPOT.search(one)})
        asked = {
            "savingsPlanTypes": [*SERVICES],
            "savingsPlanPaymentOptions": [PAYMENT],
            "usageTypes": wanted,
            "maxResults": 1000,
        }
        call = self._plans.describe_savings_plans_offering_rates
        pages = self._explorer.pages(call, asked, following="nextToken") if wanted else ()
        for one in (one for page in pages for one in page["searchResults"]):
            offering = one["savingsPlanOffering"]
            if (offering["durationSeconds"], one["unit"]) == (YEAR, "Hrs"):
                rate = Rate(float(one["rate"]), offering["offeringId"])
                found[offering["planType"]][one["usageType"], one.get("operation", "")] = rate
        return found


def uses(
    aws: Aws, used: Iterable[Used], lines: Iterable[Line], of: Mapping[Key, Rate], until: datetime
) -> Iterator[Use]:
    """What of *used* has a rate below its price, which is the bill's own or the list's. Never spot."""
    billed = {line.usage_type: sum(line.usd) / line.quantity for line in lines if line.quantity}
    for one in used:
        spans = defaultdict[str, list[Span]](list)
        for run in one.runs:
            price = billed.get(run.usage_type) or _listed(aws, run.usage_type)
            covered = None if run.reserved or SPOT.search(run.usage_type) else _rate(of, run.usage_type)
            if price and covered is not None and covered.hourly_usd < price:
                hourly = Usage(price * float(run.hourly), 1 - covered.hourly_usd / price)
                spans[run.usage_type].append(Span(run.start, run.end or until, hourly))
        names = [intern(one.target.arn.lower())]
        if one.target.kind.endswith("-job"):
            whole = f"{one.target.arn.removesuffix(one.target.name)}{family(one.target.name)}-*"
            names.append(intern(whole.lower()))  # the same for thousands of jobs
        for usage_type, found in spans.items():
            yield Use(names=tuple(names), kind=usage_type, spans=tuple(found))


def totals(lines: Iterable[Line], of: Mapping[Key, Rate]) -> Iterator[Total]:
    """What of *lines* has a rate below what was paid."""
    for line in lines:
        covered, paid = _rate(of, line.usage_type, line.operation), sum(line.usd)
        if covered is not None and (rated := covered.hourly_usd * line.quantity) < paid:
            yield Total(kind=line.usage_type, hourly=line.usd, discount=1 - rated / paid)


def _listed(aws: Aws, usage_type: str) -> float | None:
    """What the price list says of a usage type."""
    found = rented(usage_type)
    price = None if found is None else aws.prices.hourly(aws.region, *found).hourly_usd
    return None if price is None else float(price)


def _rate(of: Mapping[Key, Rate], usage_type: str, operation: str = "") -> Rate | None:
    """
    The rate of a usage type: of just that *operation*, where there is one; None if it is not covered.

    What a resource was seen to use has no operation: then the usage type must have one rate.
    """
    if operation:
        return of.get((usage_type, operation)) or of.get((usage_type, ""))
    found = [one for (name, _), one in of.items() if name == usage_type]
    return found[0] if len({one.hourly_usd for one in found}) == 1 else None


def _hourly(
    span: Mapping[str, str], *groups: Mapping[str, str], **dimensions: Sequence[str]
) -> dict[str, Any]:
    """The request for what was used by the hour of what plans can cover."""
    wanted = {**dimensions, "RECORD_TYPE": ["Usage"], "SERVICE": [*SERVICES.values()]}
    return {
        "TimePeriod": span,
        "Granularity": "HOURLY",
        "Metrics": [UNBLENDED, QUANTITY],
        "GroupBy": [*groups],
        "Filter": {"And": [{"Dimensions": {"Key": key, "Values": [*one]}} for key, one in wanted.items()]},
    }


def _days(since: datetime, until: datetime) -> dict[str, str]:
    return {"Start": f"{since:%Y-%m-%d}", "End": f"{until:%Y-%m-%d}"}
