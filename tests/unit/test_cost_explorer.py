"""What is asked of Cost Explorer and Savings Plans, what an answer means, and why there may be none."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from fakes import Answers, refusal, target_at
from ml_janitor.aws.cost_explorer import (
    HOURS_KEPT,
    CostExplorer,
    CostPrediction,
    CostRow,
    PlanRate,
    RefusalCause,
    RefusedError,
    SavingsPlanLine,
    SavingsPlans,
    accounts_filter,
    covered_totals,
    covered_usage,
    group_by_dimension,
    group_by_tag,
    unread_bill_reason,
)
from ml_janitor.aws.pace import REUSED_MARK
from ml_janitor.aws.runs import ResourceRun, UsedResource
from ml_janitor.core.commitment import RatedUsage, ResourceUsage, UsageSpan, UsageTotal
from ml_janitor.core.durations import HOUR
from ml_janitor.core.model import Absent, Unreadable, Value
from tables import cases

FIRST, UNTIL = date(2026, 9, 1), date(2026, 10, 6)
PERIOD = {"TimePeriod": {"Start": "2026-09-01", "End": "2026-10-06"}}
AT = datetime(2026, 10, 5, 7, 30, tzinfo=UTC)


def asking(*pages: Mapping[str, Any] | Exception, most: int = 9) -> tuple[CostExplorer, Answers]:
    client = Answers(*pages)
    return CostExplorer(client, max_requests=most), client


# --- refusals and pages -----------------------------------------------------------------------


@cases(
    "error, cause, said",
    (refusal("AccessDeniedException", "no"), RefusalCause.DENIED, "AccessDeniedException: no"),
    (
        refusal("AccessDeniedException", "User Not Enabled for cost explorer access"),
        RefusalCause.NOT_ENABLED,
        "Not Enabled",
    ),
    (
        refusal("AccessDeniedException", "Linked account doesn't have access"),
        RefusalCause.MEMBER_ACCOUNT,
        "Linked account",
    ),
    (refusal("DataUnavailableException"), RefusalCause.NO_DATA, "DataUnavailableException"),
    (refusal("LimitExceededException", "Rate"), RefusalCause.THROTTLED, "Rate"),
    (refusal("ValidationException", "bad"), RefusalCause.FAILED, "bad"),
    (ConnectTimeoutError(endpoint_url="https://ce"), RefusalCause.FAILED, "https://ce"),
    (KeyError("Groups"), RefusalCause.FAILED, "has no Groups"),
)
def test_a_refusal_says_why_and_costs_nothing(error: Exception, cause: RefusalCause, said: str) -> None:
    explorer, _ = asking(error)

    with pytest.raises(RefusedError, match=said) as found:
        explorer.services(FIRST, UNTIL)

    assert (found.value.cause, explorer.requests) == (cause, 0)


def test_a_fault_of_ours_is_none_of_aws() -> None:
    explorer, _ = asking(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        explorer.services(FIRST, UNTIL)


def test_each_page_that_was_sent_for_counts_and_none_is_beyond_the_limit() -> None:
    page = {"DimensionValues": [], "NextPageToken": "more"}
    again = page | {"ResponseMetadata": {REUSED_MARK: True}}
    explorer, client = asking(page, again, page, page, most=3)

    with pytest.raises(RefusedError) as found:
        explorer.services(FIRST, UNTIL)

    assert (found.value.cause, explorer.requests, len(client.asked)) == (RefusalCause.OVER_LIMIT, 3, 4)
    assert (asking(most=4)[0].left, explorer.left) == (4, 0)
    assert ["NextPageToken" in asked for _, asked in client.asked] == [False, True, True, True]


def test_a_listing_that_does_not_fit_ends_with_its_first_page() -> None:
    first = {"ResultsByTime": [period("2026-09-01")], "NextPageToken": "n"}
    last: dict[str, Any] = {"ResultsByTime": []}

    for granularity, pages in (("DAILY", 35), ("MONTHLY", 2)):
        asked: dict[str, Any] = {"granularity": granularity}
        assert asking(first, last, most=pages)[0].daily(FIRST, UNTIL, **asked) == []
        explorer, _ = asking(first, last, most=pages - 1)
        with pytest.raises(RefusedError):
            explorer.daily(FIRST, UNTIL, **asked)
        assert explorer.requests == 1


@cases("partition, asked", ("aws", True), ("aws-cn", False), ("aws-us-gov", False))
def test_a_bill_is_read_only_in_the_partition_of_us_dollars(partition: str, *, asked: bool) -> None:
    reason = unread_bill_reason(partition)

    assert reason is None if asked else f"not asked in partition {partition}," in str(reason)


# --- what is asked, and what an answer means --------------------------------------------------


def metrics(unblended: str, amortized: str, quantity: str, unit: str = "Hrs") -> dict[str, Any]:
    amounts = {"UnblendedCost": unblended, "AmortizedCost": amortized, "UsageQuantity": quantity}
    return {
        name: {"Amount": amount, "Unit": unit if name == "UsageQuantity" else "USD"}
        for name, amount in amounts.items()
    }


def period(start: str, *groups: tuple[list[str], dict[str, Any]], estimated: bool = False) -> dict[str, Any]:
    return {
        "TimePeriod": {"Start": start, "End": "unread"},
        "Estimated": estimated,
        "Groups": [{"Keys": keys, "Metrics": amounts} for keys, amounts in groups],
    }


def test_a_bill_is_asked_for_in_one_filter_and_read_as_it_is_written() -> None:
    page = {
        "ResultsByTime": [
            period("2026-09-01", (["S3", "project$llm"], metrics("1.50", "2", "3", "GB-Mo"))),
            period("2026-09-02", (["EC2", "project$"], metrics("-4", "0", "1")), estimated=True),
        ]
    }
    explorer, client = asking(page, page, page, {"ResultsByTime": []})
    groups = group_by_dimension("SERVICE"), group_by_tag("project")

    rows = explorer.daily(
        FIRST, UNTIL, *groups, without=["Tax"], services=["S3"], where=[accounts_filter(["1"])]
    )
    explorer.daily(FIRST, UNTIL, *groups, services=["S3"])
    explorer.monthly(FIRST, UNTIL, *groups, without=["Tax"])
    explorer.daily(FIRST, UNTIL)

    assert rows == [
        CostRow(
            day=FIRST,
            keys=("S3", "project$llm"),
            unblended=Decimal("1.5"),
            amortized=Decimal(2),
            quantity=Decimal(3),
            unit="GB-Mo",
            estimated=False,
        ),
        CostRow(
            day=date(2026, 9, 2),
            keys=("EC2", "project$"),
            unblended=Decimal(-4),
            amortized=Decimal(0),
            quantity=Decimal(1),
            unit="Hrs",
            estimated=True,
        ),
    ]
    without = {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Tax"]}}}
    service = {"Dimensions": {"Key": "SERVICE", "Values": ["S3"]}}
    account = {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": ["1"]}}
    usual = {
        **PERIOD,
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost", "AmortizedCost", "UsageQuantity"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "TAG", "Key": "project"}],
    }
    assert [asked for _, asked in client.asked] == [
        usual | {"Filter": {"And": [without, service, account]}},
        usual | {"Filter": service},
        usual | {"Granularity": "MONTHLY", "Filter": without},
        usual | {"GroupBy": []},
    ]
    assert {name for name, _ in client.asked} == {"get_cost_and_usage"}


def test_accounts_have_the_names_that_an_answer_by_them_gives() -> None:
    named = {"Value": "1", "Attributes": {"description": "research"}}
    page = {"ResultsByTime": [], "DimensionValueAttributes": [named, {"Value": "2"}]}
    explorer, _ = asking(page, {"ResultsByTime": []}, page)

    explorer.daily(FIRST, UNTIL, group_by_dimension("SERVICE"))
    explorer.daily(FIRST, UNTIL, group_by_dimension("LINKED_ACCOUNT"))
    assert explorer.account_names == {}
    explorer.daily(FIRST, UNTIL, group_by_dimension("USAGE_TYPE"), group_by_dimension("LINKED_ACCOUNT"))
    assert explorer.account_names == {"1": "research", "2": ""}


def test_a_forecast_is_the_sum_of_its_months_in_80_percent_of_cases() -> None:
    months = [
        {"PredictionIntervalLowerBound": low, "PredictionIntervalUpperBound": high}
        for low, high in (("90", "120.5"), ("40", "70"))
    ]
    explorer, client = asking({"Total": {"Amount": "150.25"}, "ForecastResultsByTime": months})

    found = explorer.forecast(FIRST, UNTIL, without=["Tax"], where=[accounts_filter(["1"])])

    assert found == CostPrediction(usd=Decimal("150.25"), low=Decimal(130), high=Decimal("190.5"))
    ((name, asked),) = client.asked
    assert (name, len(asked.pop("Filter")["And"])) == ("get_cost_forecast", 2)
    assert asked == {
        **PERIOD,
        "Metric": "UNBLENDED_COST",
        "Granularity": "MONTHLY",
        "PredictionIntervalLevel": 80,
    }


# --- Savings Plans ----------------------------------------------------------------------------


def plans(*pages: Mapping[str, Any] | Exception, most: int = 9) -> tuple[SavingsPlans, Answers]:
    client = Answers(*pages)
    aws: Any = SimpleNamespace(region="eu-west-1", client=lambda *_: client)
    return SavingsPlans(aws, most), client


def test_what_is_owned_is_all_that_is_paid_for_or_will_be() -> None:
    one, two, three = (
        {"savingsPlanType": kind, "commitment": usd}
        for kind, usd in (("SageMaker", "1.5"), ("SageMaker", "2"), ("Compute", "0.25"))
    )
    owned, client = plans({"savingsPlans": [one, two], "nextToken": "n"}, {"savingsPlans": [three]})

    assert owned.owned() == Value({"SageMaker": 3.5, "Compute": 0.25}, "savingsplans:DescribeSavingsPlans")
    first, second = (asked for _, asked in client.asked)
    assert first == {"states": ["active", "payment-pending", "queued"], "maxResults": 1000}
    assert (second, owned.requests) == (first | {"nextToken": "n"}, 2)


def test_coverage_and_utilization_are_shares_of_one() -> None:
    covered = [
        {"Attributes": {"SERVICE": name}, "Coverage": {"CoveragePercentage": share}}
        for name, share in (("Amazon SageMaker", "25"), ("EC2", "99.5"))
    ]
    used = {"Total": {"Utilization": {"UtilizationPercentage": "94"}}}
    owned, client = plans(
        {"SavingsPlansCoverages": covered[:1], "NextToken": "n"}, {"SavingsPlansCoverages": covered[1:]}, used
    )
    since = datetime(2026, 9, 1, tzinfo=UTC)

    assert owned.coverage(since, AT) == Value(
        {"Amazon SageMaker": 0.25, "EC2": 0.995}, "ce:GetSavingsPlansCoverage"
    )
    assert owned.utilization(since, AT) == Value(0.94, "ce:GetSavingsPlansUtilization")
    span = {"TimePeriod": {"Start": "2026-09-01", "End": "2026-10-05"}}
    assert client.asked[0][1] == {
        **span,
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
        "Filter": {"Dimensions": {"Key": "REGION", "Values": ["eu-west-1"]}},
    }
    assert client.asked[2][1] == span


@cases(
    "answer, found",
    (refusal("DataUnavailableException"), Absent("ce:GetSavingsPlansUtilization")),
    (refusal("AccessDeniedException", "no"), "AccessDeniedException: no"),
    ({"Total": {}}, "the answer has no Utilization"),
)
def test_why_a_plan_is_not_known(answer: Any, found: Any) -> None:
    signal = plans(answer)[0].utilization(AT, AT)

    if isinstance(found, str):
        assert isinstance(signal, Unreadable)
        assert found in signal.error
        assert signal.source == "ce:GetSavingsPlansUtilization"
    else:
        assert signal == found


def test_what_may_not_be_asked_any_more_says_so() -> None:
    signal = plans(most=0)[0].utilization(AT, AT)

    assert signal == Unreadable("over the limit of requests", "ce:GetSavingsPlansUtilization")


def hour(at: int, *groups: tuple[str, str, str, str]) -> dict[str, Any]:
    found = [
        {
            "Keys": [usage, operation],
            "Metrics": {"UnblendedCost": {"Amount": usd}, "UsageQuantity": {"Amount": quantity}},
        }
        for usage, operation, usd, quantity in groups
    ]
    return {"TimePeriod": {"Start": f"2026-10-05T{at:02}:00:00Z"}, "Groups": found}


REGIONS = {"ResultsByTime": [{"Groups": [{"Keys": ["us-east-1"]}, {"Keys": ["eu-west-1"]}]}]}


def test_hours_are_those_of_use_on_demand_in_the_region() -> None:
    assert HOURS_KEPT.days == 14  # user guide, "Enabling hourly data"
    since = datetime(2026, 10, 5, 4, tzinfo=UTC)
    first = [hour(4, ("EU-Host:a", "Run", "2", "4"), ("EU-TrSpt:a", "Run", "9", "9")), hour(5)]
    second = [hour(5, ("EU-Host:a", "Run", "1", "3")), hour(6, ("EU-Host:a", "", "0.5", "1"))]
    owned, client = plans(REGIONS, {"ResultsByTime": first, "NextPageToken": "n"}, {"ResultsByTime": second})

    assert owned.hourly(since, 3) == Value(
        (
            SavingsPlanLine(usage_type="EU-Host:a", operation="Run", usd=(2.0, 1.0, 0.0), quantity=7.0),
            SavingsPlanLine(usage_type="EU-Host:a", operation="", usd=(0.0, 0.0, 0.5), quantity=1.0),
        ),
        "ce:GetCostAndUsage",
    )
    everywhere, here, _ = (asked for _, asked in client.asked)
    services = ["Amazon SageMaker", "Amazon Elastic Compute Cloud - Compute"]
    kinds = [
        {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Usage"]}},
        {"Dimensions": {"Key": "SERVICE", "Values": services}},
    ]
    assert everywhere == {
        "TimePeriod": {"Start": "2026-10-05T04:00:00Z", "End": "2026-10-05T07:00:00Z"},
        "Granularity": "HOURLY",
        "Metrics": ["UnblendedCost", "UsageQuantity"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "REGION"}],
        "Filter": {"And": kinds},
    }
    region = {"Dimensions": {"Key": "REGION", "Values": ["eu-west-1"]}}
    groups = [{"Type": "DIMENSION", "Key": key} for key in ("USAGE_TYPE", "OPERATION")]
    assert here == everywhere | {"GroupBy": groups, "Filter": {"And": [region, *kinds]}}


def test_a_region_without_such_use_is_not_asked_about() -> None:
    owned, client = plans({"ResultsByTime": [{"Groups": [{"Keys": ["us-east-1"]}]}, {"Groups": []}]})

    assert owned.hourly(AT, 3) == Value((), "ce:GetCostAndUsage")
    assert len(client.asked) == 1


def offer(usage: str, rate: str, **more: Any) -> dict[str, Any]:
    offering = {"durationSeconds": 365 * 24 * 3600, "offeringId": "o", "planType": "SageMaker"}
    own = {name: value for name, value in more.items() if name in offering}
    found = {"usageType": usage, "rate": rate, "unit": "Hrs", "savingsPlanOffering": offering | own}
    return found | {name: value for name, value in more.items() if name not in offering}


def test_rates_are_those_of_an_hour_for_a_year_of_what_is_no_spot() -> None:
    offers = [
        offer("EU-Host:a", "0.5", operation="Run"),
        offer("EU-Host:b", "0.6"),
        offer("EU-Host:c", "0.1", durationSeconds=3 * 365 * 24 * 3600),
        offer("EU-Host:d", "0.1", unit="Quantity"),
        offer("BoxUsage:e", "0.7", planType="Compute", offeringId="p"),
    ]
    owned, client = plans({"searchResults": offers[:2], "nextToken": "n"}, {"searchResults": offers[2:]})

    assert owned.rates(["EU-Host:b", "EU-TrSpt:a", "EU-Host:a", "EU-Host:a", "EU-SpotTrain:a"]) == Value(
        {
            "SageMaker": {("EU-Host:a", "Run"): PlanRate(0.5, "o"), ("EU-Host:b", ""): PlanRate(0.6, "o")},
            "Compute": {("BoxUsage:e", ""): PlanRate(0.7, "p")},
        },
        "savingsplans:DescribeSavingsPlansOfferingRates",
    )
    assert client.asked[0][1] == {
        "savingsPlanTypes": ["SageMaker", "Compute"],
        "savingsPlanPaymentOptions": ["No Upfront"],
        "usageTypes": ["EU-Host:a", "EU-Host:b"],
        "maxResults": 1000,
    }
    assert plans()[0].rates(["EU-TrSpt:a"]) == Value(
        {"SageMaker": {}, "Compute": {}}, "savingsplans:DescribeSavingsPlansOfferingRates"
    )


RATES = {
    ("Host:a", "Run"): PlanRate(0.5, "o"),
    ("Host:b", "Run"): PlanRate(0.5, "o"),
    ("Host:b", "Other"): PlanRate(0.6, "o"),
    ("Host:c", ""): PlanRate(0.5, "o"),
}


def line(usage: str, operation: str, *usd: float, quantity: float) -> SavingsPlanLine:
    return SavingsPlanLine(usage_type=usage, operation=operation, usd=usd, quantity=quantity)


@cases(
    "billed, total",
    (line("Host:a", "Run", 3.0, 1.0, quantity=4.0), (3.0, 1.0, 0.5)),
    (line("Host:a", "Run", 2.0, quantity=4.0), None),  # no cheaper than what was paid
    (line("Host:b", "Other", 10.0, quantity=5.0), (10.0, 0.7)),
    (line("Host:c", "Any", 10.0, quantity=5.0), (10.0, 0.75)),
    (line("Host:a", "Any", 10.0, quantity=5.0), None),
    (line("Host:z", "Run", 10.0, quantity=5.0), None),
)
def test_each_operation_has_a_discount(billed: SavingsPlanLine, total: tuple[float, ...] | None) -> None:
    expected = (
        [] if total is None else [UsageTotal(kind=billed.usage_type, hourly=total[:-1], discount=total[-1])]
    )

    assert list(covered_totals([billed], RATES)) == expected


class Priced:
    """A price list with one price, of an ml.m5.large for hosting."""

    region = "us-east-1"

    @property
    def prices(self) -> Any:
        price = {("us-east-1", "Hosting", "ml.m5.large"): Decimal(4)}
        return SimpleNamespace(hourly=lambda *what: SimpleNamespace(hourly_usd=price.get(what)))


def used(kind: str, name: str, *runs: ResourceRun) -> UsedResource:
    return UsedResource(target=target_at(f"{kind}/{name}", AT - 9 * HOUR), runs=runs)


def test_what_resources_used_has_the_bill_s_price_else_the_list_s() -> None:
    aws: Any = Priced()
    start = AT - 5 * HOUR
    listed, unknown = "USE1-Host:ml.m5.large", "USE1-Host:ml.unknown"
    rates = RATES | {(name, "Run"): PlanRate(1.0, "o") for name in (listed, unknown, "TrSpt:a")}
    lines = [
        line("Host:a", "Run", 3.0, 1.0, quantity=4.0),
        line("Host:b", "Run", 3.0, quantity=1.0),
        line("Host:c", "Run", 2.0, quantity=4.0),
        line("TrSpt:a", "Run", 9.0, quantity=1.0),
        line(listed, "Run", 0.0, quantity=0.0),
    ]
    endpoint = used(
        "endpoint",
        "Search",
        ResourceRun(usage_type="Host:a", start=start, hourly=Decimal(3)),
        ResourceRun(usage_type="Host:a", start=start, end=start + HOUR),
        ResourceRun(usage_type="Host:b", start=start),  # two rates: nobody knows which
        ResourceRun(usage_type="Host:c", start=start),  # 0.5 on demand as under a plan
        ResourceRun(usage_type="Host:a", start=start, reserved=True),
        ResourceRun(usage_type="TrSpt:a", start=start),
        ResourceRun(usage_type=unknown, start=start),
        ResourceRun(usage_type=listed, start=start),
    )
    job = used("training-job", "nightly-20261005", ResourceRun(usage_type="Host:a", start=start))

    found = list(covered_usage(aws, [endpoint, job], lines, rates, AT))

    arn, family = (
        endpoint.target.arn.lower(),
        "arn:aws:sagemaker:us-east-1:123456789012:training-job/nightly-*",
    )
    own = (UsageSpan(start, AT, RatedUsage(3.0, 0.5)), UsageSpan(start, start + HOUR, RatedUsage(1.0, 0.5)))
    assert found == [
        ResourceUsage(names=(arn,), kind="Host:a", spans=own),
        ResourceUsage(names=(arn,), kind=listed, spans=(UsageSpan(start, AT, RatedUsage(4.0, 0.75)),)),
        ResourceUsage(
            names=(job.target.arn.lower(), family),
            kind="Host:a",
            spans=(UsageSpan(start, AT, RatedUsage(1.0, 0.5)),),
        ),
    ]
