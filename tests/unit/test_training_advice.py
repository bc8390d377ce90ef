"""The decide tables of spot-training and generous-runtime-limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.job_history import JobFamily, PastJob
from ml_janitor.aws.prices import Price
from ml_janitor.core.model import Confidence, Finding, Kept, Target, Value, Verdict
from ml_janitor.detectors.generous_runtime_limits import GenerousRuntimeLimits
from ml_janitor.detectors.spot_training import SpotTraining

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PRICE = Price(Decimal("1.408"), "Price List API")


def job(ran: timedelta = 4 * HOUR, **more: Any) -> PastJob:
    target = Target(
        arn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/churn-1",
        name="churn-1",
        kind="training-job",
        account=ACCOUNT,
        region=REGION,
        created=NOW - 24 * HOUR,
        tags=Value(more.pop("tags", {})),
    )
    fields: dict[str, Any] = {
        "instance": "ml.g5.xlarge",
        "instances": 1,
        "ran": ran,
        "billed": ran,
        "limit": 24 * HOUR,
        "spot": False,
        "checkpoints": True,
        "no_spot": None,
    }
    return PastJob(target=target, **(fields | more))


def runs(number: int = 30, newest: PastJob | None = None, **more: Any) -> JobFamily:
    first = newest or job()
    target = replace(first.target, arn=first.target.arn[:-1] + "*", name="churn-*", created=None)
    fields: dict[str, Any] = {"target": target, "jobs": (first, *[job()] * (number - 1)), "price": PRICE}
    return JobFamily(**(fields | more))


def word(verdict: Verdict) -> str:
    return "found" if isinstance(verdict, Finding) else "unknown" if verdict.unknown else "kept"


@pytest.mark.parametrize(
    ("family", "verdict", "reason"),
    [
        (runs(), "found", "30 jobs of 4.0 hours ran on demand"),
        (runs(unread="Search: denied"), "unknown", "Search: denied"),
        (runs(price=Price(None, "no price list")), "unknown", "the price of ml.g5.xlarge is unknown"),
        (runs(2), "kept", "2 completed on demand in 60 days; judged from 3 on"),
        (runs(3), "kept", "spot would save"),
        (runs(newest=job(spot=True)), "kept", "its newest job ran on spot"),
        (runs(newest=job(no_spot="a warm pool is kept")), "kept", "a warm pool is kept"),
        (runs(newest=job(tags={"environment": "prod"})), "kept", "buy it on demand"),
        (runs(100, newest=job(tags={"environment": "prod"})), "kept", "buy it reserved"),
        (runs(newest=job(tags={"environment": "prod", "janitor:interruption": "low"})), "found", "30 jobs"),
        (runs(newest=job(tags={"janitor:interruption": "High"})), "kept", "an interruption costs too much"),
        (runs(discount=0.0), "kept", "spot would save $0.00 a month"),
        (runs(discount=1.0), "found", "at 0% of the price"),
    ],
)
def test_spot_training(family: JobFamily, verdict: str, reason: str) -> None:
    decided = SpotTraining().decide(family, NOW)

    assert (word(decided), reason in decided.reason) == (verdict, True), decided.reason


def test_spot_saves_what_it_costs_less_rework_included() -> None:
    """30 runs of 4 hours in 60 days at 1.408 dollars: 60.8 hours a month, of which 60 % is saved at best."""
    decided = SpotTraining(interruptions_per_hour=0.0).decide(runs(), NOW)
    interrupted = SpotTraining().decide(runs(), NOW)

    assert isinstance(decided, Finding)
    assert decided.cost is not None
    assert decided.cost.monthly_usd == pytest.approx(Decimal("51.392"), rel=Decimal("0.001"))
    assert decided.confidence is Confidence.LIKELY
    assert isinstance(interrupted, Finding)
    assert interrupted.cost is not None
    assert Decimal(45) < (interrupted.cost.monthly_usd or 0) < Decimal(51)


def test_a_long_job_without_checkpoints_is_told_to_save_some_first() -> None:
    long = job(48 * HOUR, checkpoints=False)
    decided = SpotTraining().decide(runs(newest=long, jobs=(long,) * 5), NOW)

    assert isinstance(decided, Finding)
    assert decided.action.startswith("first save a checkpoint every 27 minutes below CheckpointConfig.S3Uri")
    assert "EnableManagedSpotTraining=true, StoppingCondition.MaxWaitTimeInSeconds=172800" in decided.action


def test_the_longest_wait_is_28_days() -> None:
    decided = SpotTraining().decide(runs(newest=job(limit=timedelta(days=20))), NOW)

    assert isinstance(decided, Finding)
    assert "MaxWaitTimeInSeconds=2419200" in decided.action


def test_what_was_measured_here_counts_before_what_is_assumed() -> None:
    measured, assumed = (SpotTraining().decide(runs(discount=one), NOW) for one in (0.3, None))

    assert isinstance(measured, Finding)
    assert isinstance(assumed, Finding)
    assert (measured.to_prove, "at 70% of the price" in measured.reason) == ("", True)
    assert ("BillableTimeInSeconds" in assumed.to_prove, "at 40%" in assumed.reason) == (True, True)


@pytest.mark.parametrize(
    ("family", "verdict", "reason"),
    [
        (runs(), "found", "the longest of 30 runs took 4 hours, and the newest may run for 24 hours"),
        (runs(unread="Search: denied"), "unknown", "Search: denied"),
        (runs(2), "kept", "judged from 3 on"),
        (runs(newest=job(limit=14 * HOUR)), "found", "up to 6 hours longer"),
        (runs(newest=job(limit=14 * HOUR - SECOND)), "kept", "at most 6 hours above"),
        (runs(newest=job(20 * HOUR)), "kept", "2 times the longest of 30 runs, 20 hours"),
        (runs(price=Price(None, "no price list")), "found", "at an unknown price"),
    ],
)
def test_generous_runtime_limits(family: JobFamily, verdict: str, reason: str) -> None:
    decided = GenerousRuntimeLimits().decide(family, NOW)

    assert (word(decided), reason in decided.reason) == (verdict, True), decided.reason


def test_what_a_hang_would_cost_is_no_saving() -> None:
    """16 hours of 1.408 dollars on two machines."""
    decided = GenerousRuntimeLimits().decide(runs(newest=job(instances=2)), NOW)

    assert isinstance(decided, Finding)
    assert decided.cost is None
    assert "which would cost $45.06" in decided.reason
    assert "MaxRuntimeInSeconds to 28800 (8 hours)" in decided.action


def test_a_run_of_seconds_keeps_an_hour() -> None:
    decided = GenerousRuntimeLimits().decide(runs(newest=job(SECOND), jobs=(job(SECOND),) * 3), NOW)

    assert isinstance(decided, Finding)
    assert "to 3600" in decided.action


def test_kept_says_why() -> None:
    assert isinstance(SpotTraining().decide(runs(1), NOW), Kept)
