"""generous-runtime-limits, generous-warm-pools and spot-training: what they read of jobs, on the sandbox."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, HOUR, MINUTE, NOW
from loaded_endpoints import told
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Result
from ml_janitor.detectors.generous_runtime_limits import GenerousRuntimeLimits
from ml_janitor.detectors.generous_warm_pools import GenerousWarmPools
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor.engine.detector import FamilyAdviser
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import heed_owners
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import pipeline_request, rented, training_request
from studio_seed import spelled
from verdicts import by_name, shown, sweep_once, word

G5 = Decimal("1.412")
"""Dollars an hour of an ml.g5.xlarge."""
LIMITS, POOLS, SPOT = GenerousRuntimeLimits(), GenerousWarmPools(), SpotTraining()

type Train = Callable[..., None]


def seconds(span: timedelta) -> int:
    return int(span.total_seconds())


@pytest.fixture
def train(box: Control, session: boto3.Session) -> Train:
    """Makes a training job that was created so long *ago* and completed; one job is on a page of Search."""
    sagemaker: Any = session.client("sagemaker")
    box.set_pages(1)

    def make(
        name: str,
        ago: timedelta,
        *,
        ran: timedelta = 4 * HOUR,
        billed: timedelta | None = None,
        limit: timedelta = 24 * HOUR,
        instances: int = 1,
        keeps: timedelta | None = None,
        pool: tuple[str, timedelta] | None = None,
        tags: dict[str, str] | None = None,
        status: str = "Completed",
        **request: Any,
    ) -> None:
        spot = {"MaxWaitTimeInSeconds": seconds(limit)} if "EnableManagedSpotTraining" in request else {}
        with box.at(NOW - ago):
            on = rented(
                "ml.g5.xlarge", instances, **({"KeepAlivePeriodInSeconds": seconds(keeps)} if keeps else {})
            )
            stops = {"MaxRuntimeInSeconds": seconds(limit), **spot}
            sagemaker.create_training_job(
                **training_request(name, on, StoppingCondition=stops, Tags=spelled(tags or {}), **request)
            )
        ended: dict[str, Any] = {
            "TrainingJobStatus": status,
            "TrainingStartTime": NOW - ago,
            "TrainingEndTime": NOW - ago + ran,
            "TrainingTimeInSeconds": seconds(ran),
            "BillableTimeInSeconds": seconds(ran if billed is None else billed),
        }
        if pool is not None:
            ended["WarmPoolStatus"] = {
                "Status": pool[0],
                "ResourceRetainedBillableTimeInSeconds": seconds(pool[1]),
            }
        box.patch("sagemaker", ["training_jobs", name], **ended)

    return make


def swept(aws: Aws, adviser: FamilyAdviser) -> dict[str, Result]:
    """By the name of the family."""
    return by_name(sweep_once(adviser, aws))


def monthly(result: Result) -> Decimal | None:
    return not_none(of_type(Finding, result.verdict).cost).monthly_usd


def test_the_longest_run_and_the_limit_of_the_newest_job_decide(train: Train, aws: Aws, box: Control) -> None:
    """Three jobs are enough, on three pages; what did not complete, or is too old, is none of them."""
    for number, ran in enumerate((1, 3, 2)):
        train(f"churn-{number}", (9 - number) * DAY, ran=ran * HOUR, limit=(20 + number) * HOUR, instances=4)
        train(f"rare-{number}", (30 * number + 1) * DAY, limit=24 * HOUR)
        train(f"broken-{number}", DAY, limit=24 * HOUR, status="Failed" if number else "Completed")
    train("churn-hung", 10 * DAY, ran=20 * HOUR, status="Stopped")
    box.clear_calls()

    found = swept(aws, LIMITS)

    expected = {
        "churn-*": ("found", "the longest of 3 runs took 3 hours, and the newest may run for 22 hours"),
        "rare-*": ("kept", "2 completed in 60 days; judged from 3 on"),
        "broken-*": ("kept", "1 completed in 60 days"),
    }
    assert told(found, expected) == expected
    churn = found["churn-*"]
    assert isinstance(churn.verdict, Finding)
    assert churn.verdict.action == (
        "limit the run time to 6 hours: set StoppingCondition.MaxRuntimeInSeconds to 21600 where the job is"
        " created"
    )
    assert not_none(churn.verdict.cost).exposure_usd == 16 * 4 * G5
    assert churn.target.arn.startswith(f"arn:aws:sagemaker:{aws.region}:{ACCOUNT}:training-job/churn-*~")
    assert {name for name in box.calls() if name.startswith("sagemaker:")} == {"sagemaker:Search"}


def test_the_seconds_for_which_ended_pools_were_billed_decide(train: Train, aws: Aws) -> None:
    """A pool that waits now has not ended; one that was used again says how long is long enough."""
    for number, status in enumerate(("Terminated", "Reused", "Terminated", "Available", "Terminated")):
        waited = 10 * MINUTE if status == "Reused" else HOUR
        train(f"churn-{number}", (9 - number) * DAY, keeps=HOUR, pool=(status, waited), instances=8)
        if number < 3:
            train(
                f"waits-{number}",
                (9 - number) * DAY,
                keeps=HOUR,
                pool=("InUse" if number else "Terminated", HOUR),
            )

    found = swept(aws, POOLS)

    expected = {
        "churn-*": (
            "found",
            "4 warm pools were billed for up to 60 minutes each while they waited, and the longest",
        ),
        "waits-*": ("kept", "1 warm pool in 60 days; judged from 3 on"),
    }
    assert told(found, expected) == expected
    churn = of_type(Finding, found["churn-*"].verdict)
    assert (
        churn.action
        == "shorten the warm pool: set ResourceConfig.KeepAlivePeriodInSeconds to 900 where the job is"
        " created"
    )
    hours = 3 * Decimal("0.75") * 8
    assert monthly(found["churn-*"]) == pytest.approx(hours * G5 * 730 / (60 * 24))


def test_spot_is_compared_at_the_discount_of_the_region(train: Train, aws: Aws) -> None:
    checkpoints = {"CheckpointConfig": {"S3Uri": "s3://ckpt/"}}
    spot = {"EnableManagedSpotTraining": True}
    for number in range(3):
        ago = (9 - number) * DAY
        train(f"plain-{number}", ago, ran=2 * HOUR)
        train(f"saves-{number}", ago, ran=20 * HOUR, instances=2, **checkpoints)
        train(
            f"high-{number}", ago, ran=20 * HOUR, tags={"janitor:interruption": "high"} if number == 2 else {}
        )
        train(f"prod-{number}", ago, ran=20 * HOUR, tags={"environment": "production"})
        train(f"pooled-{number}", ago, ran=20 * HOUR, keeps=HOUR)
    assumed = swept(aws, SPOT)
    train("cheap-1", 3 * DAY, ran=10 * HOUR, billed=2 * HOUR, **spot)
    train("cheap-2", 2 * DAY, ran=30 * HOUR, billed=10 * HOUR, **spot)
    train("cheap-0", 70 * DAY, ran=30 * HOUR, billed=30 * HOUR, **spot)

    found = swept(aws, SPOT)

    expected = {
        "plain-*": ("kept", "spot would save"),
        "saves-*": ("found", "3 jobs of 20 hours ran on demand in 60 days"),
        "high-*": ("kept", "an interruption costs too much for spot"),
        "prod-*": ("kept", "an interruption costs too much for spot"),
        "pooled-*": ("kept", "a warm pool is kept for it"),
        "cheap-*": ("kept", "its newest job ran on spot"),
    }
    assert told(found, expected) == expected
    assert shown(assumed["saves-*"])["spot discount"] == "60%, assumed"
    assert shown(found["saves-*"]) == {
        "jobs on demand that completed": 3,
        "mean run": "20.0 h on 2 ml.g5.xlarge",
        "checkpoints in S3": "yes",
        "cost of an interruption": "low",
        "hours between interruptions": "3.3",
        "spot discount": "70%, measured here on ml.g5",
    }
    saved = not_none(monthly(found["saves-*"]))
    whole = 3 * 20 * 2 * G5 * 730 / (60 * 24)
    assert Decimal("0.6") < saved / whole < Decimal("0.7"), "70 % off, less what is done again"


def test_pipelines_have_families_of_their_own_and_a_longer_older_run_counts(
    train: Train, aws: Aws, session: boto3.Session
) -> None:
    """Two pipelines with the same step, by the steps of their executions; a quarterly run of one of them."""
    sagemaker: Any = session.client("sagemaker")
    for name, hours in (("churn", 2), ("rank", 9)):
        sagemaker.create_pipeline(**pipeline_request(name))
        for number in range(3):
            run = sagemaker.start_pipeline_execution(PipelineName=name, ClientRequestToken=f"{number:032}")
            execution = run["PipelineExecutionArn"].rpartition("/")[2]
            train(
                f"pipelines-{execution}-Fit-x9y8z7w6v{number}",
                (9 - number) * DAY,
                ran=hours * HOUR,
                limit=60 * HOUR,
            )
    for ago, hours in ((6, 1), (5, 1), (4, 1), (90, 50)):
        train(f"unet-64-{ago}", ago * DAY, ran=hours * HOUR, limit=60 * HOUR)
        train(f"unet-128-202610{ago:02}", ago * DAY, ran=2 * HOUR, limit=60 * HOUR)

    found = swept(aws, LIMITS)

    expected = {
        "pipelines-Fit-*~churn": ("found", "the longest of 3 runs took 2 hours"),
        "pipelines-Fit-*~rank": ("found", "the longest of 3 runs took 9 hours"),
        "unet-64-*": ("kept", "the longest of 3 runs, 50 hours"),
        "unet-128-*": ("found", "the longest of 3 runs took 2 hours"),
    }
    assert told(found, expected) == expected


@pytest.mark.parametrize("kept", ["churn-2", "churn-0", ""])
def test_a_tag_of_its_newest_job_that_search_lacks_keeps_a_family(
    train: Train, aws: Aws, box: Control, session: boto3.Session, kept: str
) -> None:
    for number in range(3):
        train(f"churn-{number}", (9 - number) * DAY, limit=24 * HOUR)
    box.freeze_search()
    if kept:
        arn = aws.arn("sagemaker", f"training-job/{kept}")
        session.client("sagemaker").add_tags(ResourceArn=arn, Tags=spelled({"janitor:keep": "mine"}))
    policy = RunPolicy()
    sweep = sweep_once(LIMITS, aws, policy=policy)
    (found,) = sweep.findings
    box.clear_calls()

    heeded = heed_owners(aws, sweep, {found.target.key}, now=NOW, policy=policy)

    assert bool(heeded.findings) is (kept != "churn-2"), "the newest job speaks for its family"
    assert box.calls() == {"tag:GetResources": 1}
    looked = not_none(LIMITS.look(aws, found.target, NOW))
    assert (policy.keeps(looked.target, NOW) is None) is (kept != "churn-2")


@pytest.mark.parametrize("adviser", [LIMITS, POOLS, SPOT], ids=lambda one: one.name)
def test_half_a_search_is_no_history(train: Train, aws: Aws, box: Control, adviser: FamilyAdviser) -> None:
    for number in range(3):
        train(f"churn-{number}", (9 - number) * DAY)
    box.fault("sagemaker", "Search", "break-page", skip=2, times=0)

    sweep = sweep_once(adviser, aws)

    assert "sagemaker:Search of TrainingJob broke off" in (sweep.error or "")
    (one,) = sweep.results
    assert word(one) == "unknown"
    assert "not all jobs were read (sagemaker:Search of TrainingJob broke off" in one.verdict.reason


def test_families_are_of_one_region(train: Train, aws: Aws) -> None:
    for number in range(3):
        train(f"churn-{number}", (9 - number) * DAY)

    assert swept(aws, LIMITS).keys() == {"churn-*"}
    assert swept(aws.at("eu-west-1"), LIMITS) == {}
