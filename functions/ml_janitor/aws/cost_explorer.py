"""
AWS Cost Explorer: what was charged, by day and by up to two groupings. Each page that it answers is a cent.

There is one endpoint, in us-east-1. botocore has no paginators for most of its operations, so pages are
followed by hand, and counted: beyond its limit a reader asks no more. What it throttles
(LimitExceededException) botocore tries again; refused calls cost nothing
(https://github.com/aws/aws-sdk-java/issues/2065).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from ml_janitor.aws.answers import failure
from ml_janitor.aws.shared_answers import reused

REGION = "us-east-1"

LINKED_ACCOUNT = "LINKED_ACCOUNT"
"""
The account that was charged. The management account of an organization sees all of it, a member only itself
(API reference, GetCostAndUsage).
"""

GET_COST_AND_USAGE = "ce:GetCostAndUsage"
GET_COST_FORECAST = "ce:GetCostForecast"
GET_DIMENSION_VALUES = "ce:GetDimensionValues"
GET_COVERAGE = "ce:GetSavingsPlansCoverage"
GET_UTILIZATION = "ce:GetSavingsPlansUtilization"
GET_TAGS = "ce:GetTags"
LIST_COST_ALLOCATION_TAGS = "ce:ListCostAllocationTags"

type Where = Mapping[str, Any]
"""A part of a filter."""

UNBLENDED, AMORTIZED, QUANTITY = "UnblendedCost", "AmortizedCost", "UsageQuantity"


class RefusalCause(StrEnum):
    """Why Cost Explorer did not answer."""

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
class Row:
    """What one group was charged on one day: *keys* are the values of the groupings, in their order."""

    day: date
    keys: tuple[str, ...]
    unblended: Decimal
    amortized: Decimal
    quantity: Decimal
    unit: str
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a span will cost, and from where to where in 80 % of cases."""

    usd: Decimal
    low: Decimal
    high: Decimal


def by_dimension(name: str) -> Mapping[str, str]:
    """Grouping by a dimension, such as "SERVICE"."""
    return {"Type": "DIMENSION", "Key": name}


def by_tag(key: str) -> Mapping[str, str]:
    """Grouping by a cost allocation tag; each group reads "key$value", and "key$" is what is untagged."""
    return {"Type": "TAG", "Key": key}


def of_accounts(accounts: Collection[str], *, but: bool = False) -> Where:
    """What *accounts* were charged, or all *but* these: those that Cost Explorer shows whoever asks."""
    named = {"Dimensions": {"Key": LINKED_ACCOUNT, "Values": sorted(accounts)}}
    return {"Not": named} if but else named


class CostExplorer:
    """
    Cost Explorer through *client*, for *max_requests* pages at most; *requests* counts those answered.

    *account_names* are what it calls the accounts that an answer was by.
    """

    def __init__(self, client: Any, *, max_requests: int) -> None:
        self._client = client
        self._max_requests = max_requests
        self.requests = 0
        self.account_names: dict[str, str] = {}

    def daily(
        self,
        first: date,
        until: date,
        *groups: Mapping[str, str],
        without: Sequence[str] = (),
        services: Sequence[str] = (),
        where: Sequence[Where] = (),
        granularity: Literal["DAILY", "MONTHLY"] = "DAILY",
    ) -> list[Row]:
        """
        What each day from *first* until *until* (exclusive) was charged, by *groups*.

        *without* are record types that are left out, *services* those that alone count, and *where* says more
        of what counts. A listing is whole or not at all. Raises RefusedError.
        """
        asked: dict[str, Any] = {
            "TimePeriod": {"Start": f"{first}", "End": f"{until}"},
            "Granularity": granularity,
            "Metrics": [UNBLENDED, AMORTIZED, QUANTITY],
            "GroupBy": list(groups),
            **_filtered(without, services, where),
        }
        pages = self.pages(self._client.get_cost_and_usage, asked)
        if by_dimension(LINKED_ACCOUNT) in groups:
            for one in (value for page in pages for value in page.get("DimensionValueAttributes", ())):
                self.account_names[one["Value"]] = one.get("Attributes", {}).get("description", "")
        return [row for page in pages for period in page["ResultsByTime"] for row in _rows(period)]

    def monthly(
        self, first: date, until: date, *groups: Mapping[str, str], without: Sequence[str] = ()
    ) -> list[Row]:
        """The same by calendar month, or what of one is asked for: fewer pages. Raises RefusedError."""
        return self.daily(first, until, *groups, without=without, granularity="MONTHLY")

    def services(self, first: date, until: date) -> frozenset[str]:
        """The names of all services that were charged. Raises RefusedError."""
        asked = {"TimePeriod": {"Start": f"{first}", "End": f"{until}"}, "Dimension": "SERVICE"}
        pages = self.pages(self._client.get_dimension_values, asked)
        return frozenset(value["Value"] for page in pages for value in page["DimensionValues"])

    def tag_keys(self, first: date, until: date) -> frozenset[str]:
        """The keys of all active tags that something charged has. Raises RefusedError."""
        pages = self.pages(self._client.get_tags, {"TimePeriod": {"Start": f"{first}", "End": f"{until}"}})
        return frozenset(key for page in pages for key in page["Tags"])

    def tags_active(self, keys: Sequence[str]) -> Mapping[str, bool]:
        """
        Which of *keys* are activated for cost allocation; one that nothing ever had is in none.

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
        where: Sequence[Where] = (),
    ) -> Prediction:
        """What the days from *first* until *until* will cost. Raises RefusedError."""
        answer = self.ask(
            self._client.get_cost_forecast,
            {
                "TimePeriod": {"Start": f"{first}", "End": f"{until}"},
                "Metric": "UNBLENDED_COST",
                "Granularity": "MONTHLY",
                "PredictionIntervalLevel": 80,
                **_filtered(without, services, where),
            },
        )
        by_month = answer["ForecastResultsByTime"]
        return Prediction(
            usd=Decimal(answer["Total"]["Amount"]),
            low=sum((Decimal(one["PredictionIntervalLowerBound"]) for one in by_month), Decimal(0)),
            high=sum((Decimal(one["PredictionIntervalUpperBound"]) for one in by_month), Decimal(0)),
        )

    def pages(
        self, call: Callable[..., Any], asked: Mapping[str, Any], *, following: str = "NextPageToken"
    ) -> list[Mapping[str, Any]]:
        """Every page that *call* answers. Raises RefusedError."""
        page = self.ask(call, asked)
        pages = [page]
        while page.get(following):
            page = self.ask(call, {**asked, following: page[following]})
            pages.append(page)
        return pages

    def ask(self, call: Callable[..., Any], asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """What *call* answers, which counts as a request if it was sent. Raises RefusedError."""
        if self.requests >= self._max_requests:
            raise RefusedError(RefusalCause.OVER_LIMIT)
        try:
            answer: Mapping[str, Any] = call(**asked)
        except Exception as error:  # anything that is not a failed AWS call is raised again below
            if (problem := failure(error)) is None:
                raise
            raise RefusedError(_cause(error), problem) from error
        self.requests += not reused(answer)
        return answer


def _filtered(without: Sequence[str], services: Sequence[str], where: Sequence[Where] = ()) -> dict[str, Any]:
    """The filter of a request, which has exactly one root."""
    parts: list[dict[str, Any]] = []
    if without:
        parts.append({"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": list(without)}}})
    if services:
        parts.append({"Dimensions": {"Key": "SERVICE", "Values": list(services)}})
    parts += map(dict, where)
    if not parts:
        return {}
    return {"Filter": parts[0] if len(parts) == 1 else {"And": parts}}


def _rows(period: Mapping[str, Any]) -> Iterator[Row]:
    day, estimated = date.fromisoformat(period["TimePeriod"]["Start"]), bool(period["Estimated"])
    for group in period["Groups"]:
        metrics = group["Metrics"]
        yield Row(
            day=day,
            keys=tuple(group["Keys"]),
            unblended=Decimal(metrics[UNBLENDED]["Amount"]),
            amortized=Decimal(metrics[AMORTIZED]["Amount"]),
            quantity=Decimal(metrics[QUANTITY]["Amount"]),
            unit=metrics[QUANTITY]["Unit"],
            estimated=estimated,
        )


def _cause(error: Exception) -> RefusalCause:
    """Why AWS refused a call: what may not be asked and what is not there can have the same code."""
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
