"""Families of completed training jobs: what of a record counts, and in which order."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import target_at
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.training_jobs import JobFamily, read_job_families
from ml_janitor.core.model import Value
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import sweep_region
from scripted import DENIED, Script, Torn
from tables import cases

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SINCE = NOW - 60 * DAY
G5 = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2}


class ListPrices:
    def hourly(self, region: str, component: str, instance: str) -> Price:
        assert (region, component) == (REGION, "Training")
        return Price(Decimal(1), instance)


def record(name: str = "churn-2026-10-05", age: timedelta = DAY, **more: Any) -> dict[str, Any]:
    whole = {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
        "TrainingJobStatus": "Completed",
        "CreationTime": NOW - age,
        "ResourceConfig": G5,
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "TrainingTimeInSeconds": 7200,
        "BillableTimeInSeconds": 7200,
    } | more
    return {key: value for key, value in whole.items() if value is not None}


def account(*records: dict[str, Any], broken: bool = False) -> Aws:
    pages: list[Any] = [Torn({"Results": [{"TrainingJob": one}]}) for one in records]
    prices: Any = ListPrices()
    return Script({"sagemaker:Search": [*pages, *([DENIED] if broken else [])]}).aws(prices=prices)


def read(*records: dict[str, Any]) -> list[JobFamily]:
    return list(read_job_families(account(*records), SINCE, NOW))


def test_a_job_as_its_record_has_it() -> None:
    tags = [{"Key": "team", "Value": "fraud"}]
    spot: dict[str, Any] = {"EnableManagedSpotTraining": True, "BillableTimeInSeconds": 1800}

    (family,) = read(record(Tags=tags, CheckpointConfig={"S3Uri": "s3://a/"}, **spot))

    job = family.newest
    assert (job.ran, job.billed, job.limit, job.hours) == (2 * HOUR, HOUR / 2, DAY, 2)
    assert (job.instance, job.instances, job.spot, job.checkpoints) == ("ml.g5.xlarge", 2, True, True)
    assert (job.no_spot, job.keeps, job.retained, job.reused) == (None, timedelta(), None, False)
    assert (family.price, family.discount, family.unread) == (Price(Decimal(1), "ml.g5.xlarge"), 0.75, None)
    assert family.target.tags == job.target.tags == Value({"team": "fraud"})
    assert (family.target.name, family.target.created) == ("churn-*", None)
    assert family.target.arn == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/churn-*"
    (plain,) = read(record(CheckpointConfig={"LocalPath": "/opt"}))
    assert (plain.newest.spot, plain.newest.checkpoints, plain.discount) == (False, False, None)


GROUPS = [
    {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "InstanceGroupName": "a"},
    {"InstanceType": "ml.m5.xlarge", "InstanceCount": 3, "InstanceGroupName": "b"},
]


@cases(
    "resources, instances, no_spot",
    (G5 | {"KeepAlivePeriodInSeconds": 600}, 2, "a warm pool is kept for it, which spot has none of"),
    (G5 | {"TrainingPlanArn": "arn"}, 2, "it runs on capacity that is reserved by a training plan"),
    ({"InstanceGroups": GROUPS}, 5, "it runs on several types of instances"),
    ({"InstanceGroups": [GROUPS[0], GROUPS[0]]}, 4, None),
)
def test_why_spot_does_not_take_a_job(resources: Any, instances: int, no_spot: str | None) -> None:
    (family,) = read(record(ResourceConfig=resources))

    assert (family.newest.instances, family.newest.no_spot) == (instances, no_spot)
    assert family.newest.keeps == timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0))


@cases(
    "status, seconds, retained, reused",
    ("Reused", 90, 90, True),
    ("Terminated", 90, 90, False),
    ("Terminated", None, None, False),
    ("Terminated", 0, 0, False),
    ("Available", 90, None, False),
    ("InUse", 90, None, False),
)
def test_a_warm_pool_counts_when_it_has_ended(
    *, status: str, seconds: int | None, retained: int | None, reused: bool
) -> None:
    billed = {} if seconds is None else {"ResourceRetainedBillableTimeInSeconds": seconds}
    (family,) = read(record(WarmPoolStatus={"Status": status} | billed))

    found = family.newest.retained
    assert (None if found is None else found.total_seconds(), family.newest.reused) == (retained, reused)


def test_families_hold_completed_jobs_newest_first() -> None:
    found = read(
        record("churn-2026-10-01", 5 * DAY),
        record("rank-2026-10-02", 4 * DAY),
        record("churn-2026-10-04", 2 * DAY),
        record("churn-2026-10-03", 3 * DAY),
        record("churn-2026-10-05", DAY, TrainingJobStatus="Failed"),
        record("churn-2026-07-01", 90 * DAY),
    )

    assert {one.target.name: [job.target.name[-2:] for job in one.jobs] for one in found} == {
        "churn-*": ["04", "03", "01"],
        "rank-*": ["02"],
    }


def test_the_discount_of_spot_is_that_of_all_jobs_that_ran_on_it() -> None:
    spot: dict[str, Any] = {"EnableManagedSpotTraining": True}
    found = read(
        record("a-2026-10-01", BillableTimeInSeconds=3600, **spot),
        record("b-2026-10-01", TrainingTimeInSeconds=21600, BillableTimeInSeconds=0, **spot),
        record("c-2026-10-01", TrainingTimeInSeconds=0, BillableTimeInSeconds=0, **spot),
        record("d-2026-10-01"),
    )

    assert {one.discount for one in found} == {1 - 1 / 8}


@pytest.mark.parametrize("missing", ["TrainingJobStatus", "CreationTime"])
def test_a_record_that_cannot_be_read_costs_that_record(missing: str) -> None:
    """Its family is unknown, because it may be the longest run; the others are judged."""
    cut: dict[str, Any] = {missing: None}
    aws = account(record("churn-2026-10-04", **cut), record(), record("rank-2026-10-05"))

    sweep = sweep_region(SpotTraining(), aws, now=NOW, policy=RunPolicy())

    reasons = {result.target.name: result.verdict.reason for result in sweep.results}
    assert sweep.error is None
    assert reasons["churn-2026-10-04"] == f"its entry in the listing could not be read (it has no {missing})"
    assert (len(reasons), reasons["rank-*"]) == (3, "1 completed on demand in 60 days; judged from 3 on")


@cases(
    "changed, lacks",
    ({"ResourceConfig": None}, "ResourceConfig"),  # a serverless job, whose record names no instances
    ({"ResourceConfig": {"InstancePreferences": [G5]}}, "InstanceType"),
    ({"StoppingCondition": None}, "StoppingCondition"),
    ({"TrainingTimeInSeconds": None}, "TrainingTimeInSeconds"),
)
def test_a_job_that_cannot_be_judged_costs_its_family_alone(changed: dict[str, Any], lacks: str) -> None:
    found = read(
        record("churn-2026-10-04", **changed), record(), record("rank-2026-10-05"), record("x", **changed)
    )

    assert {family.target.name: (len(family.jobs), family.unread) for family in found} == {
        "churn-*": (1, f"churn-2026-10-04: its record has no {lacks}"),
        "rank-*": (1, None),
    }


def test_of_preferred_instances_the_selected_ones_ran() -> None:
    plan = {"TrainingPlanArns": ["arn:plan"]}
    chosen = {
        "InstancePreferences": [G5 | plan],
        "SelectedInstanceType": "ml.g5.xlarge",
        "SelectedInstanceCount": 3,
    }

    (family,) = read(record(ResourceConfig=chosen))

    assert (family.newest.instance, family.newest.instances) == ("ml.g5.xlarge", 3)
    assert family.newest.no_spot == "it runs on capacity that is reserved by a training plan"


def test_families_that_were_read_come_before_the_error() -> None:
    found = read_job_families(account(record(), broken=True), SINCE, NOW)

    assert "broke off after 1" in (next(found).unread or "")
    with pytest.raises(ReadError, match="broke off after 1"):
        next(found)


@pytest.mark.parametrize(
    ("path", "found"),
    [("churn-*", "churn-*"), ("CHURN-2026-10-04", "churn-*"), ("rank-2026-10-04", "rank-*"), ("other", None)],
)
def test_a_family_is_found_by_itself_or_by_one_of_its_jobs(path: str, found: str | None) -> None:
    aws = account(record("churn-2026-10-04"), record("churn-2026-10-03"), record("rank-2026-10-04"))

    family = SpotTraining().look(aws, target_at(f"training-job/{path}"), NOW)

    assert (family.target.name if family else None) == found
    assert SpotTraining().window == 60 * DAY
