"""
Reads AWS Cost Explorer: charges by day and by up to two groupings. Each answered page costs a cent.

The service has one endpoint, in us-east-1. botocore has no paginators for most operations, so the janitor
follows and counts pages itself: beyond its limit a reader asks no more. botocore retries throttled calls
(LimitExceededException); refused calls cost nothing (https://github.com/aws/aws-sdk-java/issues/2065).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from ml_janitor.aws.answers import failure_text
from ml_janitor.aws.shared_answers import is_reused

COST_EXPLORER_REGION = "us-east-1"

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

    def daily(
        self,
        first: date,
        until: date,
        *groups: Mapping[str, str],
        without: Sequence[str] = (),
        services: Sequence[str] = (),
        where: Sequence[CostFilter] = (),
        granularity: Literal["DAILY", "MONTHLY"] = "DAILY",
    ) -> list[CostRow]:
        """
        Return the charges of each day from *first* until *until* (exclusive), by *groups*.

        *without* are record types that are left out, *services* the only services that count, and *where*
        are further filters. A listing is whole or not at all. Raises RefusedError.
        """
        asked: dict[str, Any] = {
            "TimePeriod": {"Start": f"{first}", "End": f"{until}"},
            "Granularity": granularity,
            "Metrics": [UNBLENDED, AMORTIZED, QUANTITY],
            "GroupBy": list(groups),
            **_filtered(without, services, where),
        }
        pages = self.pages(self._client.get_cost_and_usage, asked)
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
    ) -> CostPrediction:
        """Return the predicted cost of the days from *first* until *until*. Raises RefusedError."""
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
        return CostPrediction(
            usd=Decimal(answer["Total"]["Amount"]),
            low=sum((Decimal(month["PredictionIntervalLowerBound"]) for month in by_month), Decimal(0)),
            high=sum((Decimal(month["PredictionIntervalUpperBound"]) for month in by_month), Decimal(0)),
        )

    def pages(
        self, call: Callable[..., Any], asked: Mapping[str, Any], *, following: str = "NextPageToken"
    ) -> list[Mapping[str, Any]]:
        """Return every page that *call* answers. Raises RefusedError."""
        page = self.ask(call, asked)
        pages = [page]
        while page.get(following):
            page = self.ask(call, {**asked, following: page[following]})
            pages.append(page)
        return pages

    def ask(self, call: Callable[..., Any], asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer of *call*, which counts as a request if it was sent. Raises RefusedError."""
        if self.requests >= self._max_requests:
            raise RefusedError(RefusalCause.OVER_LIMIT)
        try:
            answer: Mapping[str, Any] = call(**asked)
        except Exception as error:  # anything that is not a failed AWS call is raised again below
            if (problem := failure_text(error)) is None:
                raise
            raise RefusedError(_cause(error), problem) from error
        self.requests += not is_reused(answer)
        return answer


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
