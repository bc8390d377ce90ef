"""
Read Cost Explorer and Savings Plans: charges by day, and the use and rates of commitments.

Each answered page of Cost Explorer costs a cent. The service has one endpoint, in us-east-1. botocore has no
paginators for most operations, so the janitor follows and counts pages itself: beyond its limit a reader asks
no more. botocore retries throttled calls (LimitExceededException); refused calls cost nothing
(https://github.com/aws/aws-sdk-java/issues/2065).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import wraps
from sys import intern
from typing import Any, Literal

from ml_janitor.aws.calls import failure_text
from ml_janitor.aws.client import Aws
from ml_janitor.aws.pace import is_reused
from ml_janitor.aws.prices import component_of_usage
from ml_janitor.aws.runs import UsedResource
from ml_janitor.core.commitment import RatedUsage, ResourceUsage, UsageSpan, UsageTotal, family_name
from ml_janitor.core.durations import DAY, HOUR
from ml_janitor.core.model import Absent, Signal, Unreadable, Value

COST_EXPLORER_REGION = "us-east-1"


def unread_bill_reason(partition: str) -> str | None:
    """Return why Cost Explorer is not asked in *partition*, or None."""
    if partition == "aws":
        return None
    return f"Cost Explorer is not asked in partition {partition}, where it is elsewhere or not in US dollars"


LINKED_ACCOUNT = "LINKED_ACCOUNT"
"""
The charged account. An organization's management account sees all charges, a member only its own
(API reference, GetCostAndUsage).
"""

GET_COST_AND_USAGE = "ce:GetCostAndUsage"
GET_COST_FORECAST = "ce:GetCostForecast"
GET_DIMENSION_VALUES = "ce:GetDimensionValues"
GET_COVERAGE = "ce:GetSavingsPlansCoverage"
GET_UTILIZATION = "ce:GetSavingsPlansUtilization"
GET_TAGS = "ce:GetTags"
LIST_COST_ALLOCATION_TAGS = "ce:ListCostAllocationTags"

type CostFilter = Mapping[str, Any]
"""A part of a filter."""

UNBLENDED, AMORTIZED, QUANTITY = "UnblendedCost", "AmortizedCost", "UsageQuantity"


class RefusalCause(StrEnum):
    """Reasons why Cost Explorer did not answer."""

    DENIED = "denied"
    NOT_ENABLED = "not enabled"
    MEMBER_ACCOUNT = "member account"
    NO_DATA = "no data"
    THROTTLED = "throttled"
    OVER_LIMIT = "over the limit of requests"
    FAILED = "failed"


class RefusedError(Exception):
    """Cost Explorer did not answer, because of *cause*; the message is AWS's own, in one line."""

    def __init__(self, cause: RefusalCause, message: str = "") -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """The charges of one group on one day: *keys* are the values of the groupings, in their order."""

    day: date
    keys: tuple[str, ...]
    unblended: Decimal
    amortized: Decimal
    quantity: Decimal
    unit: str
    estimated: bool
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPrediction:
    """The predicted cost of a period, and its bounds in 80 % of cases."""

    usd: Decimal
    low: Decimal
    high: Decimal


def group_by_dimension(name: str) -> Mapping[str, str]:
    """Return a grouping by a dimension, such as "SERVICE"."""
    return {"Type": "DIMENSION", "Key": name}


def group_by_tag(key: str) -> Mapping[str, str]:
    """Return a grouping by a cost allocation tag; each group reads "key$value", and "key$" is untagged."""
    return {"Type": "TAG", "Key": key}


def accounts_filter(accounts: Collection[str], *, but: bool = False) -> CostFilter:
    """Return a filter on *accounts*, or on all *but* these among the accounts that the caller may see."""
    named = {"Dimensions": {"Key": LINKED_ACCOUNT, "Values": sorted(accounts)}}
    return {"Not": named} if but else named


class CostExplorer:
    """
    A Cost Explorer *client* for *max_requests* pages at most; *requests* counts the answered pages.

    *account_names* are its names of the accounts in an answer.
    """

    def __init__(self, client: Any, *, max_requests: int) -> None:
        self._client = client
        self._max_requests = max_requests
        self.requests = 0
        self.account_names: dict[str, str] = {}

    @property
    def left(self) -> int:
        """Return the number of pages that it may still ask for."""
        return max(self._max_requests - self.requests, 0)

    def daily(
        self,
        first: date,
        until: date,
        *groups: Mapping[str, str],
        without: Sequence[str] = (),
        services: Sequence[str] = (),
        where: Sequence[CostFilter] = (),
        granularity: Literal["DAILY", "MONTHLY"] = "DAILY",
        whole: bool = False,
    ) -> list[CostRow]:
        """
        Return the charges of each day from *first* until *until* (exclusive), by *groups*.

        *without* are record types that are left out, *services* the only services that count, and *where*
        are further filters. A listing is whole or not at all: if the first page shows that the others do not
        fit, no other is asked for. A *whole* listing is finished beyond the limit. Raises RefusedError.
        """
        asked: dict[str, Any] = {
            "TimePeriod": {"Start": f"{first}", "End": f"{until}"},
            "Granularity": granularity,
            "Metrics": [UNBLENDED, AMORTIZED, QUANTITY],
            "GroupBy": list(groups),
            **_filtered(without, services, where),
        }
        periods = (until - first).days if granularity == "DAILY" else len({*_months(first, until)})
        pages = self.pages(self._client.get_cost_and_usage, asked, periods=periods, whole=whole)
        if group_by_dimension(LINKED_ACCOUNT) in groups:
            for account in (value for page in pages for value in page.get("DimensionValueAttributes", ())):
                self.account_names[account["Value"]] = account.get("Attributes", {}).get("description", "")
        return [row for page in pages for period in page["ResultsByTime"] for row in _rows(period)]

    def monthly(
        self, first: date, until: date, *groups: Mapping[str, str], without: Sequence[str] = ()
    ) -> list[CostRow]:
        """Return charges by calendar month (a part of a month if asked): fewer pages. Raises RefusedError."""
        return self.daily(first, until, *groups, without=without, granularity="MONTHLY")

    def services(self, first: date, until: date) -> frozenset[str]:
        """Return the names of all charged services. Raises RefusedError."""
        asked = {"TimePeriod": {"Start": f"{first}", "End": f"{until}"}, "Dimension": "SERVICE"}
        pages = self.pages(self._client.get_dimension_values, asked)
        return frozenset(value["Value"] for page in pages for value in page["DimensionValues"])

    def tag_keys(self, first: date, until: date) -> frozenset[str]:
        """Return the keys of all active tags on charged resources. Raises RefusedError."""
        pages = self.pages(self._client.get_tags, {"TimePeriod": {"Start": f"{first}", "End": f"{until}"}})
        return frozenset(key for page in pages for key in page["Tags"])

    def tags_active(self, keys: Sequence[str]) -> Mapping[str, bool]:
        """
        Return whether each of *keys* is active for cost allocation; keys that no resource ever had are
        missing.

        Only a management account may ask. Raises RefusedError.
        """
        asked = {"TagKeys": list(keys)}
        pages = self.pages(self._client.list_cost_allocation_tags, asked, following="NextToken")
        return {
            tag["TagKey"]: tag["Status"] == "Active" for page in pages for tag in page["CostAllocationTags"]
        }

    def forecast(
        self,
        first: date,
        until: date,
        *,
        without: Sequence[str] = (),
        services: Sequence[str] = (),
        where: Sequence[CostFilter] = (),
        amortized: bool = False,
    ) -> CostPrediction:
        """Return the predicted cost of the days from *first* until *until*. Raises RefusedError."""
        answer = self.ask(
            self._client.get_cost_forecast,
            {
                "TimePeriod": {"Start": f"{first}", "End": f"{until}"},
                "Metric": "AMORTIZED_COST" if amortized else "UNBLENDED_COST",
                "Granularity": "MONTHLY",
                "PredictionIntervalLevel": 80,
                **_filtered(without, services, where),
            },
        )
        by_month = answer["ForecastResultsByTime"]
        return CostPrediction(
            usd=Decimal(answer["Total"]["Amount"]),
            low=sum((Decimal(month["PredictionIntervalLowerBound"]) for month in by_month), Decimal(0)),
            high=sum((Decimal(month["PredictionIntervalUpperBound"]) for month in by_month), Decimal(0)),
        )

    def pages(
        self,
        call: Callable[..., Any],
        asked: Mapping[str, Any],
        *,
        following: str = "NextPageToken",
        periods: int = 0,
        whole: bool = False,
    ) -> list[Mapping[str, Any]]:
        """
        Return every page that *call* answers, for so many *periods*; *whole* pages are beyond the limit too.

        Raises RefusedError.
        """
        page = self.ask(call, asked, whole=whole)
        pages = [page]
        if page.get(following) and periods and not whole:
            covered = max(len(page["ResultsByTime"]), 1)
            if self.requests + -(-periods // covered) - 1 > self._max_requests:
                raise RefusedError(RefusalCause.OVER_LIMIT)
        while page.get(following):
            page = self.ask(call, {**asked, following: page[following]}, whole=whole)
            pages.append(page)
        return pages

    def ask(
        self, call: Callable[..., Any], asked: Mapping[str, Any], *, whole: bool = False
    ) -> Mapping[str, Any]:
        """Return the answer of *call*, which counts as a request if it was sent. Raises RefusedError."""
        if self.requests >= self._max_requests and not whole:
            raise RefusedError(RefusalCause.OVER_LIMIT)
        try:
            answer: Mapping[str, Any] = call(**asked)
        except Exception as error:  # anything that is not a failed AWS call is raised again below
            if (problem := failure_text(error)) is None:
                raise
            raise RefusedError(_cause(error), problem) from error
        self.requests += not is_reused(answer)
        return answer


def _months(first: date, until: date) -> Iterator[tuple[int, int]]:
    """Yield year and month of each day."""
    return ((day.year, day.month) for day in (first + number * DAY for number in range((until - first).days)))


def _filtered(
    without: Sequence[str], services: Sequence[str], where: Sequence[CostFilter] = ()
) -> dict[str, Any]:
    """Return the filter of a request, which has exactly one root."""
    parts: list[dict[str, Any]] = []
    if without:
        parts.append({"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": list(without)}}})
    if services:
        parts.append({"Dimensions": {"Key": "SERVICE", "Values": list(services)}})
    parts += map(dict, where)
    if not parts:
        return {}
    return {"Filter": parts[0] if len(parts) == 1 else {"And": parts}}


def _rows(period: Mapping[str, Any]) -> Iterator[CostRow]:
    day, estimated = date.fromisoformat(period["TimePeriod"]["Start"]), bool(period["Estimated"])
    for group in period["Groups"]:
        metrics = group["Metrics"]
        yield CostRow(
            day=day,
            keys=tuple(group["Keys"]),
            unblended=Decimal(metrics[UNBLENDED]["Amount"]),
            amortized=Decimal(metrics[AMORTIZED]["Amount"]),
            quantity=Decimal(metrics[QUANTITY]["Amount"]),
            unit=metrics[QUANTITY]["Unit"],
            estimated=estimated,
            currency=metrics[UNBLENDED]["Unit"],
        )


def _cause(error: Exception) -> RefusalCause:
    """Return why AWS refused a call: a denied request and missing data can have the same code."""
    refusal: Mapping[str, Any] = getattr(error, "response", {}).get("Error", {})
    code, message = refusal.get("Code", ""), refusal.get("Message", "").lower()
    if "linked account" in message:
        return RefusalCause.MEMBER_ACCOUNT
    match code:
        case "AccessDeniedException":
            return RefusalCause.NOT_ENABLED if "not enabled" in message else RefusalCause.DENIED
        case "DataUnavailableException":
            return RefusalCause.NO_DATA
        case "LimitExceededException":
            return RefusalCause.THROTTLED
    return RefusalCause.FAILED


# --- Savings Plans --------------------------------------------------------------------------------
#
# The readings are owned plans, their use, the rates of a new plan, and usage by the hour.

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
            except KeyError as missing:
                return Unreadable(f"the answer has no {missing.args[0]}", source)

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
