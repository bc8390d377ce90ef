"""SageMaker training jobs: which are running, on what, since when, for how long, and where they write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from janitor.aws import Listing, attempt, everything
from janitor.instances import Machine, machine
from janitor.model import Signal

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeTrainingJobResponseTypeDef,
        ResourceConfigOutputTypeDef,
        SecondaryStatusTransitionTypeDef,
    )

    from janitor.aws import Aws

LIST_JOBS = "sagemaker:ListTrainingJobs"
DESCRIBE_JOB = "sagemaker:DescribeTrainingJob"

LOG_GROUP = METRICS = "/aws/sagemaker/TrainingJobs"
"""The log group and the metrics' namespace have the same name."""

GONE = ("ResourceNotFound", "ValidationException")
"""What DescribeTrainingJob answers for a name that does not exist (any more): documented, and in practice."""

IN_PROGRESS = "InProgress"
TRAINING = "Training"
WAITING = frozenset({"Starting", "Pending"})
"""The phases before TrainingStartTime: nothing is billed yet."""

SYSTEM_PROFILE = "/profiler-output/system/"
"""Where SageMaker's own profiler writes utilization by the minute, whether or not the job moves on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A training job as a listing shows it."""

    arn: str
    name: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    A training job as DescribeTrainingJob shows it.

    *phase* is its secondary status. *started* is when it was first billed, *counted_from* when the
    time that counts against *max_runtime* began at the latest. *groups* are instance type and count.
    *writes_to* are the S3 folders for its checkpoints and outputs. *spot* and *reserved* (a training
    plan, paid in advance) say that the list price is not what is paid.
    """

    name: str
    created: datetime
    status: str
    phase: str
    phase_since: datetime | None
    started: datetime | None
    counted_from: datetime | None
    max_runtime: timedelta | None
    max_wait: timedelta | None
    groups: tuple[tuple[str, int], ...]
    writes_to: tuple[str, ...]
    spot: bool = False
    reserved: bool = False

    @property
    def instances(self) -> int:
        """How many instances it runs on."""
        return sum(count for _, count in self.groups)

    @property
    def machine(self) -> Machine:
        """
        What each of its hosts is made of.

        AWS does not say which host of a mixed cluster is of which type, so of that only the smallest
        CPU is known.
        """
        machines = {machine(kind) for kind, _ in self.groups}
        if len(machines) == 1:
            return machines.pop()
        return Machine(min((one.vcpus for one in machines), default=1), None)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its hosts as metrics name them."""
        return tuple(f"{self.name}/algo-{n}" for n in range(1, self.instances + 1))

    @property
    def streams(self) -> str:
        """
        What the names of its log streams begin with.

        The slash makes it exact: a job's name has none, so `train` is never taken for `train-2`.
        """
        return f"{self.name}/algo-"


def in_progress(aws: Aws, *, created_after: datetime) -> Listing[Summary]:
    """
    The training jobs in progress that were created after *created_after*.

    AWS compares the status after it has cut the pages, so pages may be empty and more may follow.
    Not by LastModifiedTimeAfter, which was reported to hang (https://github.com/aws/aws-cli/issues/7596).
    """
    pages = aws.sagemaker.get_paginator("list_training_jobs").paginate(
        StatusEquals="InProgress",
        CreationTimeAfter=created_after,
        SortBy="CreationTime",
        PaginationConfig={"PageSize": 100},
    )
    return everything(
        pages,
        lambda page: [
            Summary(arn=job["TrainingJobArn"], name=job["TrainingJobName"], created=job["CreationTime"])
            for job in page["TrainingJobSummaries"]
        ],
        source=LIST_JOBS,
    )


def describe(aws: Aws, name: str) -> Signal[Job]:
    """The training job called *name*; `Absent` if there is none."""
    return attempt(
        lambda: _job(aws.sagemaker.describe_training_job(TrainingJobName=name)),
        source=DESCRIBE_JOB,
        absent=GONE,
    )


def _job(answer: DescribeTrainingJobResponseTypeDef) -> Job:
    phases = answer.get("SecondaryStatusTransitions", [])
    started = answer.get("TrainingStartTime")
    limits = answer["StoppingCondition"]
    resources = answer.get("ResourceConfig", {})
    return Job(
        name=answer["TrainingJobName"],
        created=answer["CreationTime"],
        status=answer["TrainingJobStatus"],
        phase=answer["SecondaryStatus"],
        phase_since=phases[-1]["StartTime"] if phases else None,
        started=started,
        counted_from=_counted_from(started, phases),
        max_runtime=_seconds(limits.get("MaxRuntimeInSeconds")),
        max_wait=_seconds(limits.get("MaxWaitTimeInSeconds")),
        groups=_groups(resources),
        writes_to=tuple(dict.fromkeys(_writes_to(answer))),
        spot=answer.get("EnableManagedSpotTraining", False),
        reserved="TrainingPlanArn" in resources,
    )


def _counted_from(
    started: datetime | None, phases: list[SecondaryStatusTransitionTypeDef]
) -> datetime | None:
    """
    When the runtime began; for a job that was interrupted or retried, when its newest attempt did.

    Between two attempts nothing runs, so counting from the first start could only come out too long.
    """
    attempts = [phase["StartTime"] for phase in phases if phase["Status"] == TRAINING]
    return max(attempts) if len(attempts) > 1 else started


def _seconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(seconds=count)


def _groups(resources: ResourceConfigOutputTypeDef) -> tuple[tuple[str, int], ...]:
    """Instance type and count of each group; what was selected from several wishes goes first."""
    if groups := resources.get("InstanceGroups"):
        return tuple((group["InstanceType"], group["InstanceCount"]) for group in groups)
    kind = resources.get("SelectedInstanceType") or resources.get("InstanceType")
    count = resources.get("SelectedInstanceCount") or resources.get("InstanceCount")
    return ((kind, count),) if kind and count else ()


def _writes_to(answer: DescribeTrainingJobResponseTypeDef) -> Iterator[str]:
    """
    The folders a job was told to write to.

    SageMaker puts outputs into a folder of the job's name; checkpoints go straight to their path,
    where a slash keeps `runs/a` from being taken for `runs/ab`.
    """
    for output in (answer.get("OutputDataConfig"), answer.get("DebugHookConfig")):
        if output and output.get("S3OutputPath"):
            yield f"{output['S3OutputPath'].rstrip('/')}/{answer['TrainingJobName']}/"
    if checkpoints := answer.get("CheckpointConfig"):
        yield f"{checkpoints['S3Uri'].rstrip('/')}/"
    if boards := answer.get("TensorBoardOutputConfig"):
        yield f"{boards['S3OutputPath'].rstrip('/')}/"
