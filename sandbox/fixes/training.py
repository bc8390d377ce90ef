"""SageMaker training jobs, which here keep running until something stops them."""

from __future__ import annotations

from typing import Any

from sandbox import clock
from sandbox.listing import listing
from sandbox.patches import AwsError, Call, serves
from sandbox.shelves import Resource, create, get, kind

TAKEN = "Training job names must be unique within an account and region; there is already {arn}."
TRAINING = kind("TrainingJob", "training_jobs", "training-job", duplicate=("ResourceInUse", TAKEN))
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
    )
    return {"TrainingJobArn": made.arn}


@serves("sagemaker", "DescribeTrainingJob")
def describe_training_job(call: Call) -> dict[str, Any]:
    """Everything it was created with, and nothing that it was not."""
    return get(call, TRAINING).members


@serves("sagemaker", "ListTrainingJobs")
def list_training_jobs(call: Call) -> dict[str, Any]:
    """The status is compared after the page is cut; by warm pool, too."""
    pool = call.params.get("WarmPoolStatusEquals")
    return listing(call, TRAINING, only=lambda one: not pool or _pool_status(one) == pool)


def _pool_status(job: Resource) -> str | None:
    pool: dict[str, str] = job.members.get("WarmPoolStatus") or {}
    return pool.get("Status")


@serves("sagemaker", "StopTrainingJob")
def stop_training_job(call: Call) -> None:
    """Stopping from now on; `/sandbox/state` says when it has Stopped."""
    stop(get(call, TRAINING))


def stop(job: Resource) -> None:
    """Ask a running job to end."""
    running(job)
    now = clock.now()
    transitions = [*job.members.get("SecondaryStatusTransitions", [])]
    if transitions:
        transitions[-1] = {**transitions[-1], "EndTime": now}
    transitions.append({"Status": "Stopping", "StartTime": now})
    job.touch(
        TrainingJobStatus="Stopping",
        SecondaryStatus="Stopping",
        SecondaryStatusTransitions=transitions,
    )


def running(job: Resource) -> Resource:
    """The job, if it can still be stopped."""
    if job.status != RUNNING:
        message = (
            f"The request was rejected because the {job.kind.arn.replace('-', ' ')} "
            f"is in status {job.status}."
        )
        raise AwsError("ValidationException", message)
    return job


@serves("sagemaker", "UpdateTrainingJob")
def update_training_job(call: Call) -> dict[str, Any]:
    """A keep-alive period of zero ends the warm pool."""
    job = get(call, TRAINING)
    changed: dict[str, Any] = {
        k: call.params[k] for k in ("ProfilerConfig", "RemoteDebugConfig") if k in call.params
    }
    if resources := call.params.get("ResourceConfig"):
        changed["ResourceConfig"] = job.members.get("ResourceConfig", {}) | resources
        if not resources["KeepAlivePeriodInSeconds"] and _pool_status(job) == "Available":
            pool = job.members["WarmPoolStatus"]
            changed["WarmPoolStatus"] = pool | {"Status": "Terminated"}
    job.touch(**changed)
    return {"TrainingJobArn": job.arn}
