"""SageMaker batch transform jobs: which are running, and what their description says."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import Listing, attempt
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, TRANSFORM_JOB, targets
from ml_janitor.core.model import Signal, Target
from ml_janitor.detectors.hung_training_jobs.job import (
    GONE,
    OLDEST_FIRST,
    STARTING,
    Job,
    Kind,
    folders,
    makers,
)

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTransformJobResponseTypeDef

    from ml_janitor.aws.client import Aws

TRANSFORMING = "Transforming"


def running(aws: Aws, _now: datetime) -> Listing[Target]:
    """The transform jobs in progress, oldest first, however old: they have no longest life."""
    return targets(aws, TRANSFORM_JOB, StatusEquals=IN_PROGRESS, **OLDEST_FIRST)


def describe(aws: Aws, name: str) -> Signal[Job]:
    """The transform job called *name*; `Absent` if there is none."""
    ask = partial(aws.sagemaker.describe_transform_job, TransformJobName=name)
    return attempt(lambda: _job(ask()), source=TRANSFORM_JOB.describes, absent=GONE)


def _job(answer: DescribeTransformJobResponseTypeDef) -> Job:
    """A job without a limit of its own: only single requests have one (ModelClientConfig)."""
    started = answer.get("TransformStartTime")
    resources = answer["TransformResources"]
    output = answer.get("TransformOutput")
    return Job(
        kind=KIND,
        name=answer["TransformJobName"],
        created=answer["CreationTime"],
        status=answer["TransformJobStatus"],
        phase=TRANSFORMING if started else STARTING,
        started=started,
        ended=answer.get("TransformEndTime"),
        groups=((resources["InstanceType"], resources["InstanceCount"]),),
        makers=makers(answer.get("AutoMLJobArn"), answer.get("LabelingJobArn")),
        writes_to=folders(output["S3OutputPath"] if output else None),
    )


KIND = Kind(
    arn=TRANSFORM_JOB.type,
    group="/aws/sagemaker/TransformJobs",
    component="Transform",
    working=TRANSFORMING,
    at_work="transforming",
    streams="",
    numbered=False,
    collective=False,
    action="stop the job (its output is discarded)",
    running=running,
    describe=describe,
)
