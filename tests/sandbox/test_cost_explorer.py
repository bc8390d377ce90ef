import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT
from ml_janitor_sandbox.control import Control
from plain_requests import refusal

type Clients = Callable[..., Any]

SPAN = {"Start": "2026-10-06", "End": "2026-10-11"}
BEFORE = {"Start": "2026-09-01", "End": "2026-10-01"}
HOUR = dt.timedelta(hours=1)
NOT_UTC = dt.timezone(dt.timedelta(hours=5, minutes=30))
TAGS = [{"Key": "project", "Value": "churn"}, {"Key": "note", "Value": "not activated"}]
CREDIT = {
    "service": "Amazon SageMaker",
    "usage_type": "USE1-Host:ml.m5.large",
    "record_type": "Credit",
    "start": "2026-10-07T00:00:00Z",
    "end": "2026-10-08T00:00:00Z",
    "usd": -7.5,
}
COPIED = {
    "service": "Amazon Simple Storage Service",
    "usage_type": "USE1-EUC1-AWS-Out-Bytes",
    "unit": "GB",
    "region": "us-east-1",
    "start": "2026-10-06T12:00:00Z",
    "end": "2026-10-09T18:00:00Z",
    "usd": 81.5,
    "quantity": 4075,
    "tags": {"project": "search"},
}


def asked(ce: Any, **more: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"TimePeriod": SPAN, "Granularity": "DAILY", "Metrics": ["UnblendedCost"]}
    answer: dict[str, Any] = ce.get_cost_and_usage(**usual | more)
    return answer


def grouped(*keys: str) -> list[dict[str, str]]:
    return [{"Type": "TAG" if key.islower() else "DIMENSION", "Key": key} for key in keys]


def cells(ce: Any, *keys: str, **more: Any) -> dict[tuple[str, ...], Decimal]:
    """By day and group, over all pages."""
    found: dict[tuple[str, ...], Decimal] = {}
    token: dict[str, str] = {}
    while True:
        page = asked(ce, GroupBy=grouped(*keys), **token, **more)
        for result in page["ResultsByTime"]:
            assert result["Total"] == {}
            for group in result["Groups"]:
                cell = (result["TimePeriod"]["Start"], *group["Keys"])
                assert cell not in found
                found[cell] = Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
        if "NextPageToken" not in page:
            return found
        token = {"NextPageToken": page["NextPageToken"]}


def recounted(control: Control, *names: str) -> dict[tuple[str, ...], Decimal]:
    """The same hour by hour, from what the sandbox declares of each charge."""
    seen = (control.clock() - 3 * HOUR).replace(minute=0, second=0, microsecond=0)
    found: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for one in control.charges():
        hour = dt.datetime(2026, 10, 6, tzinfo=dt.UTC)
        start = dt.datetime.fromisoformat(one["start"])
        end = min(seen, dt.datetime.fromisoformat(one["end"])) if "end" in one else seen
        while hour < dt.datetime(2026, 10, 11, tzinfo=dt.UTC):
            share = (min(end, hour + HOUR) - max(start, hour)) / HOUR
            if share > 0:
                values = [f"{n}${one['tags'].get(n, '')}" if n.islower() else one[n.lower()] for n in names]
                usd = Decimal(one["hourly"]) * Decimal(one["price"]) * Decimal(share)
                found[f"{hour:%Y-%m-%d}", *values] += usd
            hour += HOUR
    return found


@pytest.fixture
def account(aws: Clients, control: Control, later: Any, endpoint: Any, training: Any) -> Any:
    """Some days in which an endpoint, a notebook and a job come and go."""
    sagemaker = aws("sagemaker")
    control.set_bill(tags=["project", "owner"])
    arn = endpoint("scoring")
    sagemaker.add_tags(ResourceArn=arn, Tags=TAGS)
    sagemaker.create_notebook_instance(
        NotebookInstanceName="eda", InstanceType="ml.g5.xlarge", RoleArn="arn:aws:iam::123456789012:role/r"
    )
    training("train-1", Tags=TAGS, EnableManagedSpotTraining=True)
    later(hours=10, minutes=20)
    sagemaker.stop_notebook_instance(NotebookInstanceName="eda")
    sagemaker.stop_training_job(TrainingJobName="train-1")
    later(days=2)
    sagemaker.delete_endpoint(EndpointName="scoring")
    control.charge([CREDIT, COPIED])
    later(days=2, hours=3)
    return aws("ce")


KEYS = [("SERVICE", "USAGE_TYPE"), ("USAGE_TYPE", "project"), ("RECORD_TYPE",), ("project", "owner")]


def test_every_grouping_is_what_a_recount_of_the_charges_says(account: Any, control: Control) -> None:
    control.set_bill(page=4)
    for keys in KEYS:
        told, counted = cells(account, *keys), recounted(control, *keys)
        assert told.keys() == counted.keys()
        assert all(abs(told[cell] - counted[cell]) < Decimal("1e-8") for cell in told)
    ungrouped = asked(account)["ResultsByTime"]
    total = sum(float(one["Total"]["UnblendedCost"]["Amount"]) for one in ungrouped)
    assert total == pytest.approx(sum(map(float, cells(account, "SERVICE").values())), abs=1e-6)
    assert [one["Groups"] for one in ungrouped] == [[]] * 5


def test_resources_are_charged_list_price_for_as_long_as_they_run(account: Any, control: Control) -> None:
    use = asked(account, Granularity="MONTHLY", Metrics=["UsageQuantity", "UnblendedCost"],
                GroupBy=grouped("USAGE_TYPE"), Filter=only("SERVICE", "Amazon SageMaker"))  # fmt: skip
    (month,) = use["ResultsByTime"]
    found = {one["Keys"][0]: one["Metrics"] for one in month["Groups"]}
    hours = {name: round(float(one["UsageQuantity"]["Amount"]), 3) for name, one in found.items()}
    assert hours["USE1-Host:ml.m5.large"] == round(58 + 20 / 60, 3), "in the 30 s that it is Deleting, too"
    assert hours["USE1-Notebk:ml.g5.xlarge"] == round(10 + (20 - 4 + 1.5) / 60, 3), "not while Pending"
    assert hours["USE1-TrSpt:ml.p3.8xlarge"] == round(4 * (10 + 22 / 60), 3)
    assert float(found["USE1-TrSpt:ml.p3.8xlarge"]["UnblendedCost"]["Amount"]) == pytest.approx(
        4 * (10 + 22 / 60) * 14.688 * 0.3
    )
    assert found["USE1-Notebk:VolumeUsage.gp2"]["UsageQuantity"]["Unit"] == "GB-Mo"
    control.set_bill(currency="CNY")
    yuan = asked(account, Granularity="MONTHLY", Metrics=["UnblendedCost"])["ResultsByTime"][0]
    assert yuan["Total"]["UnblendedCost"]["Unit"] == "CNY"
    assert float(found["USE1-Host:ml.m5.large"]["UnblendedCost"]["Amount"]) == pytest.approx(
        0.115 * (58 + 20 / 60) - 7.5
    )


def test_an_endpoint_in_failed_rollback_is_charged(control: Control, later: Any, endpoint: Any) -> None:
    endpoint("mixed")
    control.patch("sagemaker", ["endpoints", "mixed"], endpoint_status="UpdateRollbackFailed")
    later(hours=5)
    assert ["end" in one for one in control.charges() if "Host" in one["usage_type"]] == [False]


def only(key: str, *values: str) -> dict[str, Any]:
    return {"Dimensions": {"Key": key, "Values": list(values)}}


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    (only("SERVICE", "Amazon SageMaker"), {"churn", ""}),
    (only("SERVICE", "Amazon S3"), set()),
    ({"Tags": {"Key": "project", "Values": ["search"]}}, {"search"}),
    ({"Tags": {"Key": "Project", "Values": ["search"]}}, set()),
    ({"Tags": {"Key": "note", "MatchOptions": ["ABSENT"]}}, {"churn", "search", ""}),
    ({"Tags": {"Key": "project", "MatchOptions": ["ABSENT"]}}, {""}),
    ({"Not": {"Tags": {"Key": "project", "MatchOptions": ["ABSENT"]}}}, {"churn", "search"}),
    ({"And": [only("SERVICE", "Amazon SageMaker"), only("RECORD_TYPE", "Credit")]}, {""}),
    ({"Or": [only("REGION", "mars"), only("USAGE_TYPE", "USE1-EUC1-AWS-Out-Bytes")]}, {"search"}),
    ({"CostCategories": {"Key": "Team", "Values": ["a"]}}, set()),
    ({"CostCategories": {"Key": "Team", "MatchOptions": ["ABSENT"]}}, {"churn", "search", ""}),
]


def test_filters_and_names_that_nothing_has(account: Any) -> None:
    for given, projects in FILTERS:
        found = {cell[1].removeprefix("project$") for cell in cells(account, "project", Filter=given)}
        assert found == projects, given
    nothing = asked(account, Filter=only("SERVICE", "Amazon S3"))["ResultsByTime"]
    assert {one["Total"]["UnblendedCost"]["Amount"] for one in nothing} == {"0"}, "and no error"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"TimePeriod": {"Start": "2026-10-06", "End": "2026-10-06"}}, "Start date (and hour) should be before"),
    ({"TimePeriod": {"Start": "2026-10-06", "End": "2026-11-02"}}, "end date past the beginning"),
    ({"TimePeriod": {"Start": "2025-08-09", "End": "2026-10-01"}}, "beyond 14 months"),
    ({"TimePeriod": {"Start": "2026-10-06T00:00:00Z", "End": "2026-10-07"}}, "Invalid date"),
    ({"Metrics": ["Unblended"]}, "Unable to parse metric"),
    ({"Metrics": []}, "At least one metric"),
    ({"GroupBy": grouped("SERVICE", "REGION", "project")}, "at most 2"),
    ({"GroupBy": grouped("CHARGE_TYPE")}, "CHARGE_TYPE is not valid"),
    ({"Filter": only("CHARGE_TYPE", "Usage")}, "CHARGE_TYPE is not valid"),
    ({"Filter": only("SERVICE", "a") | {"Tags": {"Key": "b", "Values": ["c"]}}}, "exactly one root"),
    ({"Filter": {"And": [only("SERVICE", "a")]}}, "at least two"),
    ({"Filter": {"Tags": {"Key": "a", "Values": ["A"], "MatchOptions": ["CONTAINS"]}}}, "CONTAINS"),
]  # fmt: skip


def test_requests_that_make_no_sense_are_refused_and_cost_nothing(account: Any, control: Control) -> None:
    for given, message in REFUSED:
        with pytest.raises(ClientError) as refused:
            asked(account, **given)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert message in str(refused.value)
    hours = {"Start": "2026-10-06T00:00:00Z", "End": "2026-10-06T02:00:00Z"}
    assert "AccessDeniedException" in refusal(asked, account, Granularity="HOURLY", TimePeriod=hours)
    asked(account)
    (paid,) = [one for one in control.charges() if one["service"] == "AWS Cost Explorer"]
    assert (paid["usage_type"], paid["price"], paid["hourly"]) == ("USE1-APIRequest", "0.01", "1")


def test_recent_figures_are_read_differently_later(account: Any, control: Control, later: Any) -> None:
    late = COPIED | {"start": "2026-10-06T00:00:00Z", "end": "2026-10-07T00:00:00Z"}
    control.charge([late | {"posted": "2026-10-11T00:00:00Z"}])
    first = cells(account, "SERVICE")
    later(days=1)
    second = cells(account, "SERVICE")
    storage = ("2026-10-06", "Amazon Simple Storage Service")
    assert second[storage] - first[storage] == Decimal("81.5"), "posted late"
    recent = ("2026-10-10", "Amazon SageMaker")
    assert second[recent] > first[recent], "the last three hours were missing"
    assert {one["Estimated"] for one in asked(account)["ResultsByTime"]} == {True}
    assert {one["Estimated"] for one in asked(account, TimePeriod=BEFORE)["ResultsByTime"]} == {False}


def test_tags_show_once_they_are_active_and_not_before(account: Any, control: Control, later: Any) -> None:
    tags = account.list_cost_allocation_tags(Status="Inactive")["CostAllocationTags"]
    assert [(one["TagKey"], one["Status"]) for one in tags] == [("note", "Inactive")]
    state = [{"TagKey": "note", "Status": "Active"}, {"TagKey": "nobody", "Status": "Active"}]
    errors = account.update_cost_allocation_tags_status(CostAllocationTagsStatus=state)["Errors"]
    assert [one["TagKey"] for one in errors] == ["nobody"]
    control.charge(
        [COPIED | {"start": "2026-10-06T00:00:00Z", "end": "2026-10-20T00:00:00Z", "tags": {"note": "n"}}]
    )
    later(days=6)  # activated on 11 October at 16:20
    found = cells(account, "note", TimePeriod={"Start": "2026-10-06", "End": "2026-10-20"})
    days = {cell[0] for cell in found if cell[1] == "note$n"}
    assert days == {"2026-10-11", "2026-10-12", "2026-10-13", "2026-10-14", "2026-10-15", "2026-10-16"}
    assert account.get_tags(TimePeriod=SPAN)["Tags"] == ["project"]
    assert account.get_tags(TimePeriod=SPAN, TagKey="project")["Tags"] == ["", "churn", "search"]


def test_names_are_those_that_were_charged(account: Any) -> None:
    told = account.get_dimension_values(TimePeriod=SPAN, Dimension="SERVICE")
    assert [one["Value"] for one in told["DimensionValues"]] == ["Amazon SageMaker", COPIED["service"]]
    assert told["ReturnSize"] == told["TotalSize"] == 2


def test_a_forecast_needs_a_month_of_history(account: Any, control: Control) -> None:
    ahead = {"Start": "2026-10-11", "End": "2026-11-01"}
    span: dict[str, Any] = {"TimePeriod": ahead, "Metric": "UNBLENDED_COST", "Granularity": "MONTHLY"}
    assert "DataUnavailableException" in refusal(account.get_cost_forecast, **span)
    steady = {"start": "2026-09-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "usd": 910}
    control.charge([COPIED | steady])
    told = account.get_cost_forecast(**span)
    (month,) = told["ForecastResultsByTime"]
    low, mean = float(month["PredictionIntervalLowerBound"]), float(month["MeanValue"])
    high = float(month["PredictionIntervalUpperBound"])
    assert low < mean < high
    assert mean > 21 * 10
    control.charge([COPIED | steady | {"usd": 91, "amortized_usd": 910}])
    unblended, amortized = (
        float(account.get_cost_forecast(**span | {"Metric": f"{name}_COST"})["Total"]["Amount"])
        for name in ("UNBLENDED", "AMORTIZED")
    )
    assert amortized > unblended + 21 * 8
    control.set_bill(since="2026-09-20T00:00:00Z")
    assert "DataUnavailableException" in refusal(account.get_cost_forecast, **span)


def test_an_account_that_has_no_cost_explorer_or_pays_for_others(aws: Clients, control: Control) -> None:
    ce, other = aws("ce"), "210987654321"
    control.charge([CREDIT | {"usd": 3, "record_type": "Usage"}], account=other)
    control.set_clock(dt.datetime(2026, 10, 12, tzinfo=NOT_UTC))
    assert cells(ce, "LINKED_ACCOUNT") == {}
    control.set_bill(members=[other])
    assert cells(ce, "LINKED_ACCOUNT") == {("2026-10-07", other): 3}
    control.set_bill(enabled=False)
    assert "not enabled for cost explorer" in refusal(asked, ce)


def test_a_management_account_sees_its_members_and_a_member_itself(aws: Clients, control: Control) -> None:
    organizations, ce = aws("organizations"), aws("ce")
    organizations.create_organization(FeatureSet="ALL")
    made = organizations.create_account(AccountName="research", Email="r@example.com")
    member = made["CreateAccountStatus"]["AccountId"]
    line = CREDIT | {"usd": 3, "record_type": "Usage"}
    control.charge([line | {"tags": {"project": "churn"}}], account=member)
    control.charge([line], account=ACCOUNT)
    control.set_clock(dt.datetime(2026, 10, 12, tzinfo=dt.UTC))

    assert cells(ce, "LINKED_ACCOUNT") == {("2026-10-07", ACCOUNT): 3, ("2026-10-07", member): 3}
    answer = asked(ce, GroupBy=grouped("LINKED_ACCOUNT"))["DimensionValueAttributes"]
    assert {one["Value"]: one["Attributes"]["description"] for one in answer}[member] == "research"
    of_member = only("LINKED_ACCOUNT", member)
    assert cells(ce, "SERVICE", Filter=of_member) == {("2026-10-07", CREDIT["service"]): 3}
    assert "at most 2" in refusal(asked, ce, GroupBy=grouped("LINKED_ACCOUNT", "SERVICE", "project"))

    control.set_bill(tags=["project"])
    given = aws("sts").assume_role(
        RoleArn=f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole", RoleSessionName="member"
    )["Credentials"]
    inside = boto3.client(
        "ce",
        region_name="us-east-1",
        endpoint_url=control.url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert cells(inside, "LINKED_ACCOUNT") == {("2026-10-07", member): 3}
    assert cells(inside, "LINKED_ACCOUNT", Filter=only("LINKED_ACCOUNT", ACCOUNT)) == {}
    assert cells(inside, "project") == {("2026-10-07", "project$churn"): 3}, "its payer activated it"
    with pytest.raises(ClientError, match="Failed to list Cost Allocation Tags: Linked account doesn't have"):
        inside.list_cost_allocation_tags()
    update = [{"TagKey": "project", "Status": "Active"}]
    with pytest.raises(ClientError, match="Failed to update Cost Allocation Tag: Linked account"):
        inside.update_cost_allocation_tags_status(CostAllocationTagsStatus=update)


def test_hours_for_accounts_that_asked_for_them(account: Any, control: Control) -> None:
    control.set_bill(hourly=True)
    span = {"Start": "2026-10-09T22:00:00Z", "End": "2026-10-10T02:00:00Z"}
    found = asked(account, Granularity="HOURLY", TimePeriod=span)["ResultsByTime"]
    hours = [one["TimePeriod"]["Start"] for one in found]
    assert hours == [f"2026-10-{hour}:00:00Z" for hour in ("09T22", "09T23", "10T00", "10T01")]


def test_plans_cover_by_the_hour_what_is_visible(aws: Clients, control: Control) -> None:
    """Of charges that begin and end between hours, that go on, and that are posted late or not yet."""
    host = {"service": "Amazon SageMaker", "usage_type": "USE1-Host:ml.c5.large", "price": 2}
    night = {"start": "2026-10-08T00:00:00Z", "end": "2026-10-08T02:00:00Z", "hourly": 5}
    control.charge(
        [
            host | {"start": "2026-10-06T00:30:00Z", "end": "2026-10-07T05:15:00Z", "hourly": 1},
            host | {"start": "2026-10-08T00:00:00Z", "hourly": 3},
            host | night | {"posted": "2026-10-10T00:00:00Z"},
            host | night | {"posted": "2026-11-10T00:00:00Z"},
            host | night | {"usage_type": "USE1-Studio:JupyterServer-system"},
        ]
    )
    control.set_clock(dt.datetime(2026, 10, 11, 0, 30, tzinfo=dt.UTC))

    def covered() -> tuple[float, float]:
        (one,) = aws("ce").get_savings_plans_coverage(TimePeriod=SPAN)["SavingsPlansCoverages"]
        return (float(one["Coverage"]["SpendCoveredBySavingsPlans"]), float(one["Coverage"]["OnDemandCost"]))

    shown = 2 * (28.75 + 69 * 3 + 2 * 5)
    assert covered() == (0, shown)
    plan = {"state": "active", "savingsPlanType": "SageMaker", "commitment": "1.6"}
    control.set_bill(plans=[plan])
    assert covered() == (2 * (28.75 + 69), shown - 2 * (28.75 + 69))
