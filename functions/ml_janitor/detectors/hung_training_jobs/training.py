"""SageMaker training jobs, and the warm pools that they leave running, and billed, for the next job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, TRAINING_JOB
from ml_janitor.aws.training_jobs import POOL_AVAILABLE, list_billed_jobs
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Confidence, Rule, Verdict
from ml_janitor.core.signals import Evidence, Signal, as_evidence
from ml_janitor.detectors.hung_training_jobs.job import (
    JobKind,
    RunningJob,
    billed_cost,
    known_arns,
    limit_duration,
    price_text,
    s3_folders,
)
from ml_janitor.detectors.hung_training_jobs.progress import utc_text

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeTrainingJobResponseTypeDef,
        ResourceConfigOutputTypeDef,
        SecondaryStatusTransitionTypeDef,
    )

TRAINING_PHASE = "Training"

_DEBUGGER_OUTPUT = ("/profiler-output/", "/rule-output/")
"""
The places where SageMaker's profiler and Debugger's rules write, whether or not the job moves on: utilization
by the minute, traces of the framework, and reports. The program's own data lies in /debug-output/.
"""


def _job(answer: DescribeTrainingJobResponseTypeDef) -> RunningJob:
    phases = answer.get("SecondaryStatusTransitions", [])
    started = answer.get("TrainingStartTime")
    limits = answer["StoppingCondition"]
    resources = answer.get("ResourceConfig", {})
    return RunningJob(
        kind=TRAINING_JOB_KIND,
        name=answer["TrainingJobName"],
        created=answer["CreationTime"],
        status=answer["TrainingJobStatus"],
        phase=answer["SecondaryStatus"],
        phase_since=phases[-1]["StartTime"] if phases else None,
        started=started,
        ended=answer.get("TrainingEndTime"),
        counted_from=_counted_from(started, phases),
        max_runtime=limit_duration(limits.get("MaxRuntimeInSeconds")),
        max_wait=limit_duration(limits.get("MaxWaitTimeInSeconds")),
        groups=_groups(resources),
        writes_to=_writes_to(answer),
        spot=answer.get("EnableManagedSpotTraining", False),
        reserved="TrainingPlanArn" in resources,
        tuner=answer.get("TuningJobArn"),
        started_by=known_arns(answer.get("AutoMLJobArn"), answer.get("LabelingJobArn")),
        pool=answer["WarmPoolStatus"]["Status"] if "WarmPoolStatus" in answer else None,
        keep_alive=timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0)),
        checkpoints="CheckpointConfig" in answer,
        role=answer.get("RoleArn", ""),
    )


def _counted_from(
    started: datetime | None, phases: list[SecondaryStatusTransitionTypeDef]
) -> datetime | None:
    """
    Return when the runtime began, at the latest: when its program last did.

    Before, inputs were downloaded, and between two attempts nothing ran. AWS does not say whether that
    counts; jobs were seen to be ended minutes after their limit (aws/sagemaker-python-sdk#4451,
    apache/airflow#33982), so counting it could only come out too long.
    """
    attempts = [phase["StartTime"] for phase in phases if phase["Status"] == TRAINING_PHASE]
    return max(attempts, default=started)


def _groups(resources: ResourceConfigOutputTypeDef) -> tuple[tuple[str, int], ...]:
    """Return instance type and count of each group; AWS's selection from several preferences comes first."""
    if groups := resources.get("InstanceGroups"):
        return tuple((group["InstanceType"], group["InstanceCount"]) for group in groups)
    kind = resources.get("SelectedInstanceType") or resources.get("InstanceType")
    count = resources.get("SelectedInstanceCount") or resources.get("InstanceCount")
    return ((kind, count),) if kind and count else ()


def _writes_to(answer: DescribeTrainingJobResponseTypeDef) -> tuple[str, ...]:
    """
    Return the folders that its request names for outputs.

    SageMaker puts outputs into a folder of the job's name; checkpoints go straight to their path.
    """
    outputs = (answer.get("OutputDataConfig"), answer.get("DebugHookConfig"))
    checkpoints, boards = answer.get("CheckpointConfig"), answer.get("TensorBoardOutputConfig")
    return s3_folders(
        *(
            f"{output['S3OutputPath'].rstrip('/')}/{answer['TrainingJobName']}"
            for output in outputs
            if output and output.get("S3OutputPath")
        ),
        checkpoints["S3Uri"] if checkpoints else None,
        boards["S3OutputPath"] if boards else None,
    )


TRAINING_JOB_KIND = JobKind(
    of=TRAINING_JOB,
    group="/aws/sagemaker/TrainingJobs",
    component="Training",
    working=TRAINING_PHASE,
    at_work="in training",
    streams="algo-",
    ignored=_DEBUGGER_OUTPUT,
    numbered=True,
    collective=True,
    action="stop the job (artifacts written so far stay) and end its warm pool",
    running=list_billed_jobs,
    read=_job,
)


_POOL_ACTION = "end the warm pool (the job itself is over, and what it made stays)"
_POOL_LOST = "the pool: the next job of its kind starts instances of its own"

_POOL_STAYS = frozenset({POOL_AVAILABLE, "InUse"})
"""Statuses of a pool that waits, or will when its job is over. A Reused pool is another job's."""


def pool_status(described: Mapping[str, Any]) -> str | None:
    """Return the status of the warm pool of a training job as AWS describes it; None if it has none."""
    status: str | None = described.get("WarmPoolStatus", {}).get("Status")
    return status


def keeps_pool(described: Mapping[str, Any]) -> bool:
    """Return whether its instances wait for another job, or will when it is over."""
    period = described.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds")
    return pool_status(described) in _POOL_STAYS and period != 0


def judge_remaining_pool(
    rule: Rule, signal: Signal[RunningJob], job: RunningJob, price: Price
) -> Verdict | None:
    """
    Judge the warm pool of a job that the janitor stopped; None if the job runs, and is judged as others.

    The pool is waste at once: it was to end with its job.
    """
    if job.status == IN_PROGRESS:
        return None
    rule.saw(as_evidence("status", signal, f"{job.status}, warm pool {job.pool}"))
    if job.pool not in _POOL_STAYS:
        return rule.kept("it was stopped, and left no warm pool")
    return rule.found(
        f"this {job.kind.noun} was stopped because it hung, and leaves a warm pool; {price_text(price, job)}",
        Confidence.PROVEN,
        action=_POOL_ACTION,
        noun="unused warm pool",
        lost=_POOL_LOST,
    )


def judge_pool(
    rule: Rule,
    signal: Signal[RunningJob],
    job: RunningJob,
    price: Price,
    *,
    patience: timedelta,
    now: datetime,
) -> Verdict | None:
    """
    Judge whether the warm pool of *job* waits in vain; None if it has none that waits.

    A pool that is available is unused, and may wait a while for the next job. It waits since its job ended;
    AWS tells its billed time only afterwards (documentation of ResourceRetainedBillableTimeInSeconds).
    """
    if job.status == IN_PROGRESS or job.pool != POOL_AVAILABLE:
        return None
    rule.saw(
        as_evidence("status", signal, f"{job.status}, warm pool {job.pool}"),
        Evidence("instances", job.hardware),
    )
    if job.ended is None:
        return rule.unknown("its warm pool is available, but AWS does not say since when")
    unused, until = now - job.ended, job.ended + job.keep_alive
    rule.saw(
        Evidence("warm pool unused for", format_age(unused)), Evidence("kept alive until", utc_text(until))
    )
    if unused < patience:
        return rule.kept(
            f"its warm pool is unused for {format_age(unused)}: judged from {format_age(patience)} on"
        )
    rule.passed(f"no job has used its warm pool for {format_age(patience)} or more")
    return rule.found(
        f"the warm pool of this {job.kind.noun} ({job.hardware}) waits for another job, unused for"
        f" {format_age(unused)} and until {utc_text(until)}; {price_text(price, job)}",
        Confidence.PROVEN,
        action=_POOL_ACTION,
        cost=billed_cost(price, job.ended, now),
        since=job.ended,
        noun="unused warm pool",
        lost=_POOL_LOST,
    )
