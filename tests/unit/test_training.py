"""How a described training job is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from conftest import HOUR
from ml_janitor.aws.prices import Machine
from ml_janitor.detectors.hung_training_jobs.jobs import RunningJob
from ml_janitor.detectors.hung_training_jobs.reading import _job, keeps_pool, pool_status
from tables import cases

START = datetime(2026, 10, 1, 12, tzinfo=UTC)
LEAST = {
    "TrainingJobName": "train",
    "TrainingJobStatus": "InProgress",
    "SecondaryStatus": "Training",
    "CreationTime": START - HOUR,
    "StoppingCondition": {},
}


def job(**members: Any) -> RunningJob:
    return _job(cast("Any", LEAST | members))


def test_the_least_that_is_answered() -> None:
    least = job()

    assert (least.started, least.counted_from, least.max_runtime, least.max_wait) == (None, None, None, None)
    assert (least.groups, least.hosts, least.writes_to) == ((), (), ())
    assert least.machine == Machine(1, None)
    assert (least.tuner, least.pool, least.ended, least.keep_alive) == (None, None, None, timedelta())
    assert (least.spot, least.reserved, least.checkpoints) == (False, False, False)


@pytest.mark.parametrize("member", sorted(LEAST))
def test_a_cut_off_answer_is_no_answer(member: str) -> None:
    with pytest.raises(KeyError):
        _job(cast("Any", {key: value for key, value in LEAST.items() if key != member}))


MIXED = [
    {"InstanceType": "ml.p3.8xlarge", "InstanceCount": 2},
    {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
]


@cases(
    "resources, groups",
    ({"InstanceType": "ml.p3.8xlarge", "InstanceCount": 4}, (("ml.p3.8xlarge", 4),)),
    (
        {"InstanceType": "ml.p3.8xlarge", "InstanceCount": 1}
        | {"SelectedInstanceType": "ml.g5.xlarge", "SelectedInstanceCount": 2},
        (("ml.g5.xlarge", 2),),
    ),
    ({"InstanceGroups": MIXED}, (("ml.p3.8xlarge", 2), ("ml.c5.xlarge", 1))),
)
def test_instances(resources: dict[str, Any], groups: tuple[tuple[str, int], ...]) -> None:
    assert job(ResourceConfig=resources).groups == groups


def test_hosts_of_all_groups_are_counted_through() -> None:
    mixed = job(ResourceConfig={"InstanceGroups": MIXED})
    alike = [{"InstanceType": "ml.p3.8xlarge", "InstanceCount": n} for n in (1, 2)]

    assert mixed.kind.numbered
    assert mixed.hosts == ("train/algo-1", "train/algo-2", "train/algo-3")
    assert mixed.machine == Machine(4, None)
    assert job(ResourceConfig={"InstanceGroups": alike}).machine == Machine(32, 4)


def test_folders_are_exact() -> None:
    folders = job(
        OutputDataConfig={"S3OutputPath": "s3://out/models/"},
        DebugHookConfig={"S3OutputPath": "s3://out/models"},
        CheckpointConfig={"S3Uri": "s3://ckpt/runs/a"},
        TensorBoardOutputConfig={"S3OutputPath": "s3://boards"},
    ).writes_to

    assert folders == ("s3://out/models/train/", "s3://ckpt/runs/a/", "s3://boards/")
    assert job(OutputDataConfig={"S3OutputPath": ""}).writes_to == ()


def phase(status: str, hours: int) -> dict[str, Any]:
    return {"Status": status, "StartTime": START + hours * HOUR}


@cases(
    "phases, counted_from",
    ([], START),
    ([phase("Starting", -1), phase("Downloading", 0), phase("Training", 5)], START + 5 * HOUR),
    ([phase("Training", 1), phase("Interrupted", 2), phase("Training", 9)], START + 9 * HOUR),
    ([phase("Training", 9), phase("Interrupted", 2), phase("Training", 1)], START + 9 * HOUR),
)
def test_a_job_counts_since_its_last_begin(phases: list[dict[str, Any]], counted_from: datetime) -> None:
    read = job(TrainingStartTime=START, SecondaryStatusTransitions=phases)

    assert read.counted_from == counted_from
    assert read.phase_since == (phases[-1]["StartTime"] if phases else None)


PLAN = "arn:aws:sagemaker:::training-plan/p"
TUNER = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/sweep"


@cases(
    "members, read",
    (
        {"StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}},
        {"max_runtime": HOUR, "max_wait": 2 * HOUR},
    ),
    ({"EnableManagedSpotTraining": True}, {"spot": True}),
    ({"ResourceConfig": {"TrainingPlanArn": PLAN}}, {"reserved": True}),
    ({"ResourceConfig": {"InstanceType": "ml.p3.8xlarge"}}, {"groups": ()}),  # half of a cluster
    ({"CheckpointConfig": {"S3Uri": "s3://ckpt"}}, {"checkpoints": True}),
    ({"TuningJobArn": TUNER}, {"tuner": TUNER}),
    ({"ResourceConfig": {"KeepAlivePeriodInSeconds": 3600}}, {"keep_alive": HOUR}),
    (
        {"TrainingEndTime": START, "WarmPoolStatus": {"Status": "Available"}},
        {"ended": START, "pool": "Available"},
    ),
)
def test_what_a_member_says_is_read(members: dict[str, Any], read: dict[str, Any]) -> None:
    assert {name: getattr(job(**members), name) for name in read} == read


@cases(
    "status, resources, keeps",
    ("Available", {"KeepAlivePeriodInSeconds": 1}, True),
    ("InUse", {}, True),
    ("Available", {"KeepAlivePeriodInSeconds": 0}, False),
    ("Reused", {"KeepAlivePeriodInSeconds": 1}, False),
    (None, {"KeepAlivePeriodInSeconds": 1}, False),
)
def test_kept_instances_of_jobs(status: str | None, resources: dict[str, int], *, keeps: bool) -> None:
    warm = {"WarmPoolStatus": {"Status": status}} if status else {}

    assert keeps_pool({**warm, "ResourceConfig": resources}) is keeps
    assert pool_status(warm) == status


def test_a_cut_off_warm_pool_is_no_answer() -> None:
    with pytest.raises(KeyError):
        job(WarmPoolStatus={})
