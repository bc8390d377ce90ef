"""SageMaker processing and batch transform jobs: the running ones, and their descriptions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.aws.sagemaker_kinds import PROCESSING_JOB, TRANSFORM_JOB, list_running_jobs
from ml_janitor.detectors.hung_training_jobs.job import (
    STARTING_PHASE,
    JobKind,
    RunningJob,
    known_arns,
    limit_duration,
    s3_folders,
)

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeProcessingJobResponseTypeDef,
        DescribeTransformJobResponseTypeDef,
        ProcessingClusterConfigOutputTypeDef,
    )

_PROCESSING_PHASE, _TRANSFORMING_PHASE = "Processing", "Transforming"


def _processing_job(answer: DescribeProcessingJobResponseTypeDef) -> RunningJob:
    """
    Return a job with its limit, if it has one.

    Without a limit in the description, none is assumed. A job with a TrainingJobArn evaluates a rule of
    Debugger's or the profiler's over that training job, for as long as that job runs.
    """
    started = answer.get("ProcessingStartTime")
    limits = answer.get("StoppingCondition")
    return RunningJob(
        kind=PROCESSING_JOB_KIND,
        name=answer["ProcessingJobName"],
        created=answer["CreationTime"],
        status=answer["ProcessingJobStatus"],
        phase=_PROCESSING_PHASE if started else STARTING_PHASE,
        started=started,
        ended=answer.get("ProcessingEndTime"),
        counted_from=started,
        max_runtime=limit_duration(limits["MaxRuntimeInSeconds"]) if limits else None,
        started_by=known_arns(answer.get("AutoMLJobArn"), answer.get("MonitoringScheduleArn")),
        watches=answer.get("TrainingJobArn"),
        groups=_groups(answer["ProcessingResources"]["ClusterConfig"]),
        writes_to=_writes_to(answer),
        downloads=_downloads(answer),
        role=answer.get("RoleArn", ""),
    )


def _groups(cluster: ProcessingClusterConfigOutputTypeDef) -> tuple[tuple[str, int], ...]:
    """Return instance type and count; AWS's selection from several preferences comes first."""
    kind = cluster.get("SelectedInstanceType") or cluster.get("InstanceType")
    count = cluster.get("SelectedInstanceCount") or cluster.get("InstanceCount", 1)
    return ((kind, count),) if kind else ()


def _downloads(answer: DescribeProcessingJobResponseTypeDef) -> bool:
    """
    Return whether SageMaker downloads inputs before the container starts:
    it does unless they are streamed.
    """
    return any(
        not entry.get("AppManaged", False)
        and ("DatasetDefinition" in entry or entry.get("S3Input", {}).get("S3InputMode", "File") == "File")
        for entry in answer.get("ProcessingInputs", ())
    )


def _writes_to(answer: DescribeProcessingJobResponseTypeDef) -> tuple[str, ...]:
    """
    Return the folders of its outputs, in whatever mode they are uploaded.

    Outputs uploaded at its end count too: the job is in progress until the upload is done, which may take
    hours, while its container has ended, logs nothing and has no load.
    """
    config = answer.get("ProcessingOutputConfig")
    outputs = [output["S3Output"] for output in config["Outputs"] if "S3Output" in output] if config else []
    return s3_folders(*(output["S3Uri"] for output in outputs))


PROCESSING_JOB_KIND = JobKind(
    of=PROCESSING_JOB,
    group="/aws/sagemaker/ProcessingJobs",
    component="Processing",
    working=_PROCESSING_PHASE,
    at_work="processing",
    streams="",
    numbered=True,
    collective=False,
    action="stop the job (outputs uploaded so far stay)",
    running=lambda aws, now: list_running_jobs(aws, PROCESSING_JOB, partial(PROCESSING_JOB.target, aws), now),
    read=_processing_job,
)


def _transform_job(answer: DescribeTransformJobResponseTypeDef) -> RunningJob:
    """Return a job without a limit of its own: only single requests have one (ModelClientConfig)."""
    started = answer.get("TransformStartTime")
    resources = answer["TransformResources"]
    output = answer.get("TransformOutput")
    return RunningJob(
        kind=TRANSFORM_JOB_KIND,
        name=answer["TransformJobName"],
        created=answer["CreationTime"],
        status=answer["TransformJobStatus"],
        phase=_TRANSFORMING_PHASE if started else STARTING_PHASE,
        started=started,
        ended=answer.get("TransformEndTime"),
        groups=((resources["InstanceType"], resources["InstanceCount"]),),
        started_by=known_arns(answer.get("AutoMLJobArn"), answer.get("LabelingJobArn")),
        writes_to=s3_folders(output["S3OutputPath"] if output else None),
    )


TRANSFORM_JOB_KIND = JobKind(
    of=TRANSFORM_JOB,
    group="/aws/sagemaker/TransformJobs",
    component="Transform",
    working=_TRANSFORMING_PHASE,
    at_work="transforming",
    streams="",
    numbered=False,
    collective=False,
    action="stop the job (its output is discarded)",
    running=lambda aws, now: list_running_jobs(aws, TRANSFORM_JOB, partial(TRANSFORM_JOB.target, aws), now),
    read=_transform_job,
)
