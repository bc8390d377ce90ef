"""SageMaker processing jobs: which are running, and what their description says."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import Listing, attempt
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, PROCESSING_JOB, targets
from ml_janitor.core.model import Signal, Target
from ml_janitor.detectors.hung_training_jobs.job import (
    GONE,
    OLDEST_FIRST,
    STARTING,
    Job,
    Kind,
    folders,
    makers,
    seconds,
)

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeProcessingJobResponseTypeDef,
        ProcessingClusterConfigOutputTypeDef,
    )

    from ml_janitor.aws.client import Aws

LONGEST_LIFE = timedelta(days=31)
"""How far back jobs are listed: one runs for 9 days at most (limit of ProcessingStoppingCondition)."""

PROCESSING = "Processing"


def running(aws: Aws, now: datetime) -> Listing[Target]:
    """The processing jobs in progress, oldest first."""
    return targets(
        aws, PROCESSING_JOB, StatusEquals=IN_PROGRESS, CreationTimeAfter=now - LONGEST_LIFE, **OLDEST_FIRST
    )


def describe(aws: Aws, name: str) -> Signal[Job]:
    """The processing job called *name*; `Absent` if there is none."""
    ask = partial(aws.sagemaker.describe_processing_job, ProcessingJobName=name)
    return attempt(lambda: _job(ask()), source=PROCESSING_JOB.describes, absent=GONE)


def _job(answer: DescribeProcessingJobResponseTypeDef) -> Job:
    """
    A job with the limit that it has, if it has one.

    A limit that is not there is not made up: silence alone judges the job then. With a TrainingJobArn it
    evaluates a rule of Debugger's or the profiler's over that training job, for as long as that runs.
    """
    started = answer.get("ProcessingStartTime")
    limits = answer.get("StoppingCondition")
    return Job(
        kind=KIND,
        name=answer["ProcessingJobName"],
        created=answer["CreationTime"],
        status=answer["ProcessingJobStatus"],
        phase=PROCESSING if started else STARTING,
        started=started,
        ended=answer.get("ProcessingEndTime"),
        counted_from=started,
        max_runtime=seconds(limits["MaxRuntimeInSeconds"]) if limits else None,
        makers=makers(answer.get("AutoMLJobArn"), answer.get("MonitoringScheduleArn")),
        watches=answer.get("TrainingJobArn"),
        groups=_groups(answer["ProcessingResources"]["ClusterConfig"]),
        writes_to=_writes_to(answer),
        downloads=_downloads(answer),
    )


def _groups(cluster: ProcessingClusterConfigOutputTypeDef) -> tuple[tuple[str, int], ...]:
    """Instance type and count; what was selected from several wishes goes first."""
    kind = cluster.get("SelectedInstanceType") or cluster.get("InstanceType")
    count = cluster.get("SelectedInstanceCount") or cluster.get("InstanceCount", 1)
    return ((kind, count),) if kind else ()


def _downloads(answer: DescribeProcessingJobResponseTypeDef) -> bool:
    """Whether SageMaker brings inputs before the container starts: it does so unless they are streamed."""
    return any(
        not one.get("AppManaged", False)
        and ("DatasetDefinition" in one or one.get("S3Input", {}).get("S3InputMode", "File") == "File")
        for one in answer.get("ProcessingInputs", ())
    )


def _writes_to(answer: DescribeProcessingJobResponseTypeDef) -> tuple[str, ...]:
    """
    The folders of its outputs, in whatever mode they are uploaded.

    Also those that are uploaded at its end: the job is in progress until that is done, which may take
    hours, and meanwhile its container is over: it logs nothing, and its load, which is all that the
    metrics tell, is none.
    """
    config = answer.get("ProcessingOutputConfig")
    outputs = [one["S3Output"] for one in config["Outputs"] if "S3Output" in one] if config else []
    return folders(*(one["S3Uri"] for one in outputs))


KIND = Kind(
    arn=PROCESSING_JOB.type,
    group="/aws/sagemaker/ProcessingJobs",
    component="Processing",
    working=PROCESSING,
    at_work="processing",
    streams="",
    numbered=True,
    collective=False,
    action="stop the job (outputs uploaded so far stay)",
    running=running,
    describe=describe,
)
