"""SageMaker training jobs, which here keep running until something stops them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from ml_janitor_sandbox import clock, progress
from ml_janitor_sandbox.fixes import warm_pools
from ml_janitor_sandbox.listing import listing, serve_describe
from ml_janitor_sandbox.patches import Call, rejected, serves
from ml_janitor_sandbox.shelves import Resource, create, get, kind

TAKEN = "Training job names must be unique within an account and region; there is already {arn}."
TRAINING = kind("TrainingJob", "training_jobs", "training-job", duplicate=("ResourceInUse", TAKEN))
serve_describe(TRAINING)

DEFAULT_LIMIT = {"MaxRuntimeInSeconds": 86400}
RUNNING = "InProgress"


@serves("sagemaker", "CreateTrainingJob")
def create_training_job(call: Call) -> dict[str, Any]:
    """Past its start-up and training; moto's is over before it began."""
    now = clock.now()
    limit = call.params.get("StoppingCondition") or DEFAULT_LIMIT
    made = create(
        call,
        TRAINING,
        RUNNING,
        SecondaryStatus="Training",
        SecondaryStatusTransitions=[{"Status": "Training", "StartTime": now}],
        StoppingCondition=limit,
        TrainingStartTime=now,
        **warm_pools.of_new(call),
    )
    return {"TrainingJobArn": made.arn}


@serves("sagemaker", "ListTrainingJobs")
def list_training_jobs(call: Call) -> dict[str, Any]:
    """The status is compared after the page is cut; by warm pool, too."""
    pool = call.params.get("WarmPoolStatusEquals")
    return listing(call, TRAINING, only=lambda one: not pool or warm_pools.status(one) == pool)


@serves("sagemaker", "StopTrainingJob")
def stop_training_job(call: Call) -> None:
    """Stopping for the two minutes that SIGTERM leaves its container, then Stopped."""
    stop(call, get(call, TRAINING))


def stop(call: Call, job: Resource) -> None:
    """Ask a running job to end."""
    running(job)
    now = clock.now()
    job.touch(
        TrainingJobStatus="Stopping",
        SecondaryStatus="Stopping",
        SecondaryStatusTransitions=_moved(job, "Stopping", now),
    )

    def stopped(one: Resource, at: dt.datetime) -> None:
        one.members.update(
            TrainingJobStatus="Stopped",
            SecondaryStatus="Stopped",
            SecondaryStatusTransitions=_moved(one, "Stopped", at),
            TrainingEndTime=at,
            LastModifiedTime=at,
        )
        warm_pools.retain(call, one, at)

    progress.later(call, job, progress.takes("training.stop"), stopped)


def _moved(job: Resource, status: str, at: dt.datetime) -> list[dict[str, Any]]:
    transitions = [*job.members.get("SecondaryStatusTransitions", [])]
    if transitions:
        transitions[-1] = {**transitions[-1], "EndTime": at}
    return [*transitions, {"Status": status, "StartTime": at}]


def running(job: Resource) -> Resource:
    """The job, if it can still be stopped."""
    if job.status != RUNNING:
        raise rejected(
            f"The request was rejected because the {job.kind.arn.replace('-', ' ')} "
            f"is in status {job.status}."
        )
    return job


@serves("sagemaker", "UpdateTrainingJob")
def update_training_job(call: Call) -> dict[str, Any]:
    """
    Another keep-alive period of the warm pool, of which zero ends it; only when the job is over.

    aws-controllers-k8s/sagemaker-controller, pkg/resource/training_job/hooks.go: "Warm pool cannot be
    updated in InProgress state". Nobody says in which words AWS refuses it, nor what it does while Stopping.
    """
    job = get(call, TRAINING)
    if call.params.get("ResourceConfig") and job.status in {RUNNING, "Stopping"}:
        raise rejected(f"The warm pool of a training job in status {job.status} cannot be updated.")
    changed: dict[str, Any] = {
        k: call.params[k] for k in ("ProfilerConfig", "RemoteDebugConfig") if k in call.params
    }
    if resources := call.params.get("ResourceConfig"):
        changed["ResourceConfig"] = job.members.get("ResourceConfig", {}) | resources
    job.touch(**changed)
    if resources:
        warm_pools.keep_alive(call, job)
    return {"TrainingJobArn": job.arn}
