"""SageMaker's other jobs - processing, transform, tuning - running until they are stopped, and load tests."""

from __future__ import annotations

import datetime as dt
from typing import Any

from moto_corrections import clock
from moto_corrections.patches import Call, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import listing, serve
from moto_corrections.sagemaker.store import Kind, Resource, create, get, kind, resources
from moto_corrections.sagemaker.training import RUNNING, TRAINING, running, stop

PROCESSING, TRANSFORM, TUNING = map(kind, ("ProcessingJob", "TransformJob", "HyperParameterTuningJob"))
STOPPING = {PROCESSING.noun: "processing.stop", TRANSFORM.noun: "transform.stop", TUNING.noun: "tuning.stop"}
NO_CHILDREN = {
    "TrainingJobStatusCounters": {
        "Completed": 0,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    },
    "ObjectiveStatusCounters": {"Succeeded": 0, "Pending": 0, "Failed": 0},
}


def _serve(of: Kind) -> None:
    """Create, Describe, List and Stop work alike for the three."""
    serve(of, "Describe", "List")
    stem = of.noun.removesuffix("Job")

    @serves("sagemaker", f"Create{of.noun}")
    def create_job(call: Call) -> dict[str, Any]:
        extra: dict[str, Any] = {f"{stem}StartTime": clock.now()}
        if of is TUNING:  # of which it is not told when it started
            config = call.params["HyperParameterTuningJobConfig"]
            extra = NO_CHILDREN | {name: config.get(name) for name in ("Strategy", "ResourceLimits")}
        return {of.arn_member: create(call, of, RUNNING, **extra).arn}

    @serves("sagemaker", f"Stop{of.noun}")
    def stop_job(call: Call) -> None:
        job = running(get(call, of))
        job.touch(**{of.status_member: "Stopping"})
        if of is TUNING:
            _stop_children(call, job)

        def stopped(resource: Resource, at: dt.datetime) -> None:
            resource.members.update(
                {of.status_member: "Stopped", f"{stem}EndTime": at, "LastModifiedTime": at}
            )

        progress.later(call, job, progress.takes(STOPPING[of.noun]), stopped)


def _stop_children(call: Call, tuning: Resource) -> None:
    """Stop "all running training jobs that the tuning job launched" (its documentation)."""
    for child in resources(call, TRAINING).values():
        if child.members.get("TuningJobArn") == tuning.arn and child.status == RUNNING:
            stop(call, child)


for _kind in (PROCESSING, TRANSFORM, TUNING):
    _serve(_kind)


@serves("sagemaker", "ListTrainingJobsForHyperParameterTuningJob")
def list_children(call: Call) -> dict[str, Any]:
    """List a tuning job's training jobs: their `TuningJobArn` names it, which a seed sets."""
    tuning = get(call, TUNING)
    return listing(call, TRAINING, only=lambda job: job.members.get("TuningJobArn") == tuning.arn)


# --- Inference Recommender's load tests, with the results that an override puts there ---

RECOMMENDATION = kind("InferenceRecommendationsJob", members=("JobName", "JobArn", "Status"))
ABOUT = ("ModelName", "ModelPackageVersionArn")
serve(RECOMMENDATION, "Describe", "List", by=ABOUT)


@serves("sagemaker", "CreateInferenceRecommendationsJob")
def create_job(call: Call) -> dict[str, Any]:
    """Create a job: in progress for 45 minutes, a default job's longest time, then completed."""
    asked = call.params["InputConfig"]
    names = {name: asked[name] for name in ABOUT if name in asked}
    job = create(call, RECOMMENDATION, "IN_PROGRESS", **names)
    progress.becomes(call, job, "recommendation.create", "COMPLETED")
    return {"JobArn": job.arn}
