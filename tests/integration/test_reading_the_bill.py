"""A bill read from the sandbox's Cost Explorer: its sums, its pages, and what it says is missing."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest

from bills import full_report
from conftest import ACCOUNT, DAY, NOW, REGION, seed_demo
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import open_regions
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer, group_by_dimension, group_by_tag
from ml_janitor.aws.runs import list_used_resources
from ml_janitor.bill.model import UNTAGGED_VALUE, Bill, BillReading, CostMetric, GapCause
from ml_janitor.bill.reading import BILL_DAYS, BillAccounts, BillRequest
from ml_janitor.bill.reading import read_bill as read
from ml_janitor.bill.report import BillArchive
from ml_janitor.bill.resources import (
    RESOURCE_READS,
    count_endpoint_instances,
    read_requests,
)
from ml_janitor.core.model import Unreadable, Value
from ml_janitor_sandbox.control import Control
from tables import cases

TAGS = {"project": "project", "owner": "owner", "environment": "environment", "team": "team"}
TODAY = datetime(2026, 10, 6, tzinfo=UTC)

type Read = Callable[..., Bill]


@pytest.fixture
def explorer(box: Control, session: boto3.Session) -> Iterator[Callable[..., CostExplorer]]:
    box.set_bill(tags=list(TAGS), since=f"{TODAY - 90 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    yield lambda most=8: CostExplorer(make_client(session, "ce", COST_EXPLORER_REGION, 1), max_requests=most)


@pytest.fixture
def read_bill(explorer: Callable[..., CostExplorer]) -> Read:
    def reading(most: int = 8, kept: Bill | None = None, now: datetime = NOW, **wanted: Any) -> Bill:
        asked = BillRequest(**{"tags": TAGS, **wanted})
        return read(explorer(most), asked, account=ACCOUNT, now=now, kept=kept)

    return reading


def charge(box: Control, usage_type: str, usd: str, *, days: int = BILL_DAYS, **more: Any) -> None:
    """So many dollars over the last *days*."""
    box.charge(
        [
            {
                "service": "Amazon SageMaker",
                "usage_type": usage_type,
                "start": f"{TODAY - days * DAY:%Y-%m-%dT%H:%M:%SZ}",
                "end": f"{TODAY:%Y-%m-%dT%H:%M:%SZ}",
                "usd": usd,
                "quantity": days,
            }
            | more
        ]
    )


def gaps(bill: Bill) -> set[tuple[BillReading, GapCause, str]]:
    return {(one.reading, one.cause, one.subject) for one in bill.gaps}


def test_every_reading_has_the_same_dollars(box: Control, read_bill: Read) -> None:
    charge(box, "USE1-Host:ml.g5.xlarge", "650", tags={"project": "llm", "owner": "omar", "team": "nlp"})
    charge(box, "EU-Train:ml.p4d.24xlarge", "1300")
    charge(box, "USE1-Host:ml.g5.xlarge", "-65", record_type="Credit")

    bill = read_bill()

    assert bill.requests == 8
    assert round(bill.total(bill.whole), 6) == 1950
    for rows in bill.by_tag.values():
        assert round(sum(one.usd for one in rows), 6) == 1950
    by_project = {(one.tag, one.usage_type) for one in bill.by_tag["project"]}
    assert by_project == {("llm", "USE1-Host:ml.g5.xlarge"), (UNTAGGED_VALUE, "EU-Train:ml.p4d.24xlarge")}
    assert {one.service for one in bill.by_tag["team"]} == {"Amazon SageMaker"}
    assert {round(usd, 6) for usd in bill.outside(bill.whole).values()} == {Decimal(-65)}
    assert (bill.metric, {one.unit for one in bill.charges}) == (CostMetric.UNBLENDED, {"Hrs"})
    assert bill.forecast
    assert bill.forecast.low <= bill.forecast.usd <= bill.forecast.high
    assert bill.estimated
    assert gaps(bill) == {(BillReading.TAG, GapCause.TAG_NOT_ACTIVE, "environment")}


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_every_page_is_read_whole(box: Control, explorer: Callable[..., CostExplorer], size: int) -> None:
    for number in range(4):
        charge(box, f"USE1-Host:ml.g5.{number}xlarge", f"{number + 1}0", days=3, tags={TAGS["team"]: "nlp"})
        charge(box, "S3", "9", days=3, service=f"Service {number}", tags={f"tag-{number}": "x"})
    box.set_bill(tags=[*TAGS, *(f"tag-{number}" for number in range(4))])
    first, until = (TODAY - 3 * DAY).date(), TODAY.date()

    def listed(asking: CostExplorer) -> tuple[object, ...]:
        return (
            asking.daily(first, until, group_by_dimension("USAGE_TYPE"), group_by_tag("team")),
            asking.monthly(first, until, group_by_dimension("SERVICE")),
            asking.services(first, until),
            asking.tag_keys(first, until),
            asking.tags_active([*TAGS, "tag-0", "nothing"]),
        )

    whole = listed(explorer(100))
    box.set_bill(page=size)

    assert listed(explorer(100)) == whole
    daily, monthly, services, keys, active = whole
    assert Counter(row.day.day for row in daily) == {3: 5, 4: 5, 5: 5}  # type: ignore[attr-defined]
    assert len(monthly) == len(services) == 5  # type: ignore[arg-type]
    assert keys == {"team", "tag-0", "tag-1", "tag-2", "tag-3"}
    assert active == dict.fromkeys([*TAGS, "tag-0"], True)


# --- what is kept of the night before ---------------------------------------------------------


def test_days_that_nobody_read_for_a_month_and_more_are_read(box: Control, read_bill: Read) -> None:
    charge(box, "USE1-Host:ml.g5.xlarge", "900", days=90, tags={"project": "llm"})
    alone = {"services": ["Amazon SageMaker"]}  # reading costs something, too
    with box.at(NOW - 40 * DAY):
        kept = read_bill(now=NOW - 40 * DAY, **alone)

    bill = read_bill(kept=kept, **alone)

    for rows in (bill.charges, bill.by_tag["project"]):
        assert {one.day for one in rows} == set(bill.whole)
        assert len(rows) == BILL_DAYS
    assert round(bill.total(bill.whole), 6) == 650


def test_days_that_were_estimated_settle_once_they_are_read_again(box: Control, read_bill: Read) -> None:
    charge(box, "USE1-Host:ml.g5.xlarge", "900", days=90)
    with box.at(NOW - 4 * DAY):
        kept = read_bill(now=NOW - 4 * DAY)
    unsettled = kept.first + 30 * DAY

    bill = read_bill(kept=replace(kept, estimated=kept.estimated | {unsettled, bill_day(30)}))

    assert min(kept.estimated).month == 9
    assert bill.estimated == {unsettled, *(bill_day(number) for number in range(1, 6))}


def bill_day(days: int) -> Any:
    """So many days ago."""
    return (TODAY - days * DAY).date()


def test_charged_days_and_spread_days_are_never_in_one_bill(box: Control, read_bill: Read) -> None:
    charge(box, "USE1-Host:ml.g5.xlarge", "650", amortized_usd="975", tags={"project": "llm"})
    kept = read_bill()
    charge(box, "SageMakerSP", "7", amortized_usd="0", days=1, record_type="SavingsPlanRecurringFee")

    bill = read_bill(kept=kept)

    assert (kept.metric, bill.metric) == (CostMetric.UNBLENDED, CostMetric.AMORTIZED)
    for rows in (bill.charges, bill.by_tag["project"]):
        assert {round(one.usd, 6) for one in rows} - {0} == {Decimal(15)}
    assert round(kept.total(kept.whole), 6) == 650
    assert read_bill(kept=kept, metric=CostMetric.UNBLENDED).total(kept.whole) == 657
    assert round(read_bill(metric=CostMetric.AMORTIZED).total(kept.whole), 6) == 975


# --- the bucket -------------------------------------------------------------------------------

WANTED = BillRequest(
    tags=TAGS,
    services=("S3",),
    accounts=BillAccounts(names={ACCOUNT: ""}, everything=True, without=("1" * 12,)),
)


@pytest.fixture
def archive(session: boto3.Session) -> BillArchive:
    session.client("s3").create_bucket(Bucket="reports")
    return BillArchive(session.client("s3"), "reports")


@cases(
    "changed, continued",
    ({}, True),
    ({"days": 120, "check_tags": True, "first": ("team",)}, True),
    ({"tags": TAGS | {"owner": "Owner"}}, False),
    ({"services": ()}, False),
    ({"accounts": None}, False),
    ids=str,
)
def test_a_kept_bill_is_continued(archive: BillArchive, changed: dict[str, Any], *, continued: bool) -> None:
    report = full_report()

    key = archive.keep(report, WANTED)

    assert archive.where(key) == "s3://reports/bill/2026-10-06T03-00-00Z.json"
    assert archive.bill(key, replace(WANTED, **changed)) == (report.bill if continued else None)


def test_a_kept_bill_that_is_gone_or_broken_is_none(archive: BillArchive, session: boto3.Session) -> None:
    report = full_report()
    picture = archive.keep_picture(report, b"png")
    session.client("s3").put_object(Bucket="reports", Key="bill/broken.json", Body=b'{"report": {')

    assert archive.bill("bill/broken.json", WANTED) is None
    assert archive.bill("bill/gone.json", WANTED) is None
    assert archive.picture(picture) == Value(b"png", "s3:GetObject")
    assert isinstance(archive.picture("bill/gone.png"), Unreadable)
    kept = session.client("s3").head_object(Bucket="reports", Key=picture)
    assert (picture, kept["ContentType"]) == ("bill/2026-10-06T03-00-00Z.png", "image/png")


def test_what_ran_is_read_by_the_calls_that_are_declared(box: Control, session: boto3.Session) -> None:
    seed_demo(box)
    since = NOW - 60 * DAY
    box.clear_calls()
    with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
        ran = list_used_resources(accounts[0], since, NOW).items
        moved = {run.usage_type for resource in ran for run in resource.runs}
        count_endpoint_instances(accounts[0], ran, moved, since, NOW)
        read_requests(accounts[0], ran, since, NOW)

    assert set(box.calls()) == {grant.action for grant in RESOURCE_READS}
