"""The decide table of spot-training."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.training_jobs import JobFamily
from ml_janitor.core.model import Confidence, Finding
from ml_janitor.detectors.spot_training import SpotTraining
from narrowing import not_none, of_type
from past_jobs import HOUR, job, runs, word
from tables import cases
from verdicts import expect_verdict, shown


@cases(
    "family, verdict, reason",
    (runs(), "found", "30 jobs of 4 hours ran on demand"),
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
    (runs(jobs=(*[job(2 * HOUR)] * 9, job(19.9 * HOUR))), "found", "10 jobs"),
    (
        runs(jobs=(*[job(2 * HOUR)] * 9, job(20 * HOUR))),
        "kept",
        "longest run took 20 hours, and the median is 2 hours:",
    ),
    (runs(jobs=(job(6.6 * HOUR, checkpoints=False),) * 30), "found", "30 jobs of 6.6 hours"),
    (runs(jobs=(job(HOUR, fixed="kmeans", checkpoints=False),) * 90), "found", "90 jobs of 1 hour"),
    (runs(jobs=(job(1.01 * HOUR, fixed="kmeans", checkpoints=False),) * 90), "kept", "kmeans cannot save"),
    (runs(jobs=(job(9 * HOUR, fixed="mine", checkpoints=True),) * 30), "found", "30 jobs of 9 hours"),
)
def test_spot_training(family: JobFamily, verdict: str, reason: str) -> None:
    expect_verdict(SpotTraining().decide(family, NOW), verdict, reason)


def test_what_is_assumed_of_spot() -> None:
    assumed = SpotTraining()
    assert (assumed.restart, assumed.checkpoint) == (timedelta(minutes=5), timedelta(minutes=1))
    assert (assumed.discount, assumed.interruptions_per_hour) == (0.6, 0.15)


def test_spot_saves_what_it_costs_less_rework_included() -> None:
    """30 runs of 4 hours in 60 days at 1.408 dollars: 60.8 hours a month, of which 60 % is saved at best."""
    decided = of_type(Finding, SpotTraining(interruptions_per_hour=0.0).decide(runs(), NOW))
    interrupted = of_type(Finding, SpotTraining().decide(runs(), NOW))

    assert not_none(decided.cost).monthly_usd == pytest.approx(Decimal("51.392"), rel=Decimal("0.001"))
    assert decided.confidence is Confidence.LIKELY
    assert Decimal(45) < (not_none(interrupted.cost).monthly_usd or 0) < Decimal(51)


def test_a_long_job_without_checkpoints_is_told_to_save_some_first() -> None:
    long = job(48 * HOUR, checkpoints=False)
    decided = of_type(Finding, SpotTraining().decide(runs(newest=long, jobs=(long,) * 5), NOW))

    assert decided.action.startswith("first save a checkpoint every 27 minutes below CheckpointConfig.S3Uri")
    assert "EnableManagedSpotTraining=true, StoppingCondition.MaxWaitTimeInSeconds=172800" in decided.action


@cases(
    "limit, seconds",
    (timedelta(days=14), 28 * 86_400),
    (timedelta(days=20), 28 * 86_400),
    (timedelta(days=30), 30 * 86_400),  # restarts included; a wait is never shorter than the runtime
)
def test_the_longest_wait_is_28_days(limit: timedelta, seconds: int) -> None:
    decided = of_type(Finding, SpotTraining().decide(runs(newest=job(limit=limit)), NOW))

    assert f"MaxWaitTimeInSeconds={seconds}" in decided.action


def test_an_algorithm_without_checkpoints_is_given_an_hour_for_all() -> None:
    short = job(HOUR / 2, fixed="linear-learner", checkpoints=False)
    decided = SpotTraining(min_saving=0.01).decide(runs(newest=short, jobs=(short,) * 90), NOW)

    assert isinstance(decided, Finding)
    assert decided.action.endswith(
        "set EnableManagedSpotTraining=true, StoppingCondition.MaxRuntimeInSeconds=3600,"
        " StoppingCondition.MaxWaitTimeInSeconds=3600"
    )


def test_beyond_the_time_between_interruptions_spot_is_never_advised_without_checkpoints() -> None:
    """An instance is interrupted every 6.7 hours: with four of them, the job is every 1.7 hours."""
    dear = SpotTraining(checkpoint=timedelta(hours=20))
    verdicts = {
        (hours, count): dear.decide(
            runs(jobs=(job(hours * HOUR, instances=count, checkpoints=False),) * 60), NOW
        )
        for hours, count in ((1.6, 4), (1.7, 4), (6.6, 1), (6.7, 1))
    }

    assert {at: "spot would need checkpoints" in verdict.reason for at, verdict in verdicts.items()} == {
        (1.6, 4): False,
        (1.7, 4): True,
        (6.6, 1): False,
        (6.7, 1): True,
    }
    saves = of_type(Finding, SpotTraining().decide(runs(jobs=(job(9 * HOUR, checkpoints=False),) * 30), NOW))
    assert saves.action.startswith("first save a checkpoint")


def test_what_was_measured_here_counts_before_what_is_assumed() -> None:
    measured, assumed = (SpotTraining().decide(runs(discount=one), NOW) for one in (0.3, None))

    assert isinstance(measured, Finding)
    assert isinstance(assumed, Finding)
    assert (measured.to_prove, "at 70% of the price" in measured.reason) == ("", True)
    assert ("BillableTimeInSeconds" in assumed.to_prove, "at 40%" in assumed.reason) == (True, True)


def test_two_instances_save_less_than_twice_as_much_because_either_may_be_interrupted() -> None:
    """The newest job had one, and did not run."""
    jobs = ((job(timedelta()), *[job(instances=n)] * 30) for n in (1, 2))
    one, two = (SpotTraining().decide(runs(jobs=each), NOW) for each in jobs)

    assert isinstance(one, Finding)
    assert isinstance(two, Finding)
    assert one.cost
    assert two.cost
    saved, twice = one.cost.monthly_usd or Decimal(0), two.cost.monthly_usd or Decimal(0)
    assert Decimal("1.85") * saved < twice < Decimal("1.98") * saved


def test_a_job_is_explained_as_one_of_its_family(aws: Aws) -> None:
    churn = runs(3)
    arn = f"{churn.target.arn.replace('churn', 'other')}~01234567"
    job = replace(churn.newest, target=replace(churn.newest.target, arn=f"{arn}-1"))
    other = replace(churn, target=replace(churn.target, arn=arn), jobs=(job,))

    class Both(SpotTraining):
        def find(self, aws: Aws, now: datetime) -> Iterator[JobFamily]:
            del aws, now
            yield from (other, churn)

    short = replace(other.target, arn=arn.removesuffix("~01234567"))
    for target, family in ((churn.jobs[-1].target, churn), (other.target, other), (short, other)):
        found = not_none(Both().look(aws, target, NOW))
        assert found.target.arn == family.target.arn
    assert (
        Both().look(aws, replace(churn.target, arn="arn:aws:sagemaker:::training-job/stopped"), NOW) is None
    )


def test_what_was_seen_of_a_family_and_passed_on_the_way() -> None:
    """A job on spot, or one that did not train, is none of those that ran on demand."""
    family = runs(jobs=(job(instances=2), job(8 * HOUR), job(0 * HOUR), job(spot=True), job()))
    decided = SpotTraining(min_saving=0.01).decide(family, NOW)

    assert shown(decided) == {
        "jobs on demand that completed": 3,
        "mean run": "5.3 h on 2 ml.g5.xlarge",
        "checkpoints in S3": "yes",
        "cost of an interruption": "low",
        "hours between interruptions": "3.3",
        "spot discount": "60%, assumed",
    }
    assert decided.steps[0] == "its jobs may be interrupted"
    plain = SpotTraining(min_saving=0.01).decide(runs(newest=job(checkpoints=False)), NOW)
    assert (shown(plain)["checkpoints in S3"], shown(plain)["cost of an interruption"]) == ("no", "medium")


def test_without_checkpoints_a_short_job_is_told_of_no_first_step_and_others_how_often() -> None:
    short = job(HOUR / 4, checkpoints=False)
    plain = SpotTraining(min_saving=0.01).decide(runs(newest=short, jobs=(short,) * 90), NOW)
    kept = of_type(Finding, SpotTraining().decide(runs(), NOW))

    told = of_type(Finding, plain).action
    assert told.startswith("buy ")
    assert told.endswith("EnableManagedSpotTraining=true, StoppingCondition.MaxWaitTimeInSeconds=172800")
    assert kept.action.endswith("MaxWaitTimeInSeconds=172800; a checkpoint every 27 minutes costs least")


def test_as_much_as_is_worth_a_change_is_enough() -> None:
    """144 hours in 60 days are 73 a month, and cost nothing on spot."""
    family = runs(3, jobs=(job(48 * HOUR),) * 3, discount=1.0, price=Price(Decimal(1), "x"))

    assert word(SpotTraining(min_saving=73.0, interruptions_per_hour=0.0).decide(family, NOW)) == "found"
    assert word(SpotTraining(min_saving=73.01, interruptions_per_hour=0.0).decide(family, NOW)) == "kept"
