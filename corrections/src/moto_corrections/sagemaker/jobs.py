"""
SageMaker's jobs, which here keep running until something stops them, warm pools, and load tests.

Developer guide, "SageMaker AI-managed warm pools": the pool is in use while its job runs, available for
its keep-alive period afterwards (also when the job was stopped), and terminated then, or as soon as
UpdateTrainingJob sets the period to zero.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Protocol

from moto_corrections import clock
from moto_corrections.patches import Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import listing, serve
from moto_corrections.sagemaker.store import Kind, Resource, create, get, kind, resources

# --- training jobs ---

TAKEN = "Training job names must be unique within an account and region; there is already {arn}."
TRAINING = kind("TrainingJob", duplicate=("ResourceInUse", TAKEN))
serve(TRAINING, "Describe")


class Runner(Protocol):
    """A runner of jobs for real."""

    def takes(self, request: Mapping[str, Any]) -> bool: ...

    def start(self, call: Call, job: Resource) -> None: ...

    def stop(self, job: Resource) -> bool: ...

    def interrupt(self, arn: str) -> None: ...


runner: Runner | None = None
"""What registers here runs the jobs that it takes."""

DEFAULT_LIMIT = {"MaxRuntimeInSeconds": 86400}
RUNNING = "InProgress"


@serves("sagemaker", "CreateTrainingJob")
def create_training_job(call: Call) -> dict[str, Any]:
    """Create a job past its start-up and training; moto's is over at once. A runner's begins at its start."""
    now = clock.now()
    limit = DEFAULT_LIMIT | (call.params.get("StoppingCondition") or {})
    if runner is not None and runner.takes(call.params):
        created = create(call, TRAINING, RUNNING, StoppingCondition=limit, **pool_of_new(call))
        runner.start(call, created)
        return {"TrainingJobArn": created.arn}
    created = create(
        call,
        TRAINING,
        RUNNING,
        SecondaryStatus="Training",
        SecondaryStatusTransitions=[{"Status": "Training", "StartTime": now}],
        StoppingCondition=limit,
        TrainingStartTime=now,
        **pool_of_new(call),
    )
    return {"TrainingJobArn": created.arn}


@serves("sagemaker", "ListTrainingJobs")
def list_training_jobs(call: Call) -> dict[str, Any]:
    """
    List training jobs, by warm pool and training plan too; the status is compared after the page is cut.

    The plan is compared then too: AWS does not document it, and a page may be empty before the first job.
    """
    pool, plan = call.params.get("WarmPoolStatusEquals"), call.params.get("TrainingPlanArnEquals")
    page = listing(call, TRAINING, only=lambda job: not pool or pool_status(job) == pool)
    jobs = [job | _plan_of(job) for job in page["TrainingJobSummaries"]]
    return page | {
        "TrainingJobSummaries": [job for job in jobs if plan in (None, job.get("TrainingPlanArn"))]
    }


def _plan_of(job: dict[str, Any]) -> dict[str, Any]:
    asked = job.get("ResourceConfig") or {}
    return {name: asked[name] for name in ("TrainingPlanArn",) if name in asked}


@serves("sagemaker", "StopTrainingJob")
def stop_training_job(call: Call) -> None:
    """Stop a job, which is Stopping for the two minutes that SIGTERM leaves its container, then Stopped."""
    stop(call, get(call, TRAINING))


def stop(call: Call, job: Resource) -> None:
    """Ask a running job to end."""
    running(job)
    now = clock.now()
    job.touch(
        TrainingJobStatus="Stopping",
        SecondaryStatus="Stopping",
        SecondaryStatusTransitions=moved(job, "Stopping", now),
    )
    if runner is not None and runner.stop(job):
        return

    def stopped(job: Resource, at: dt.datetime) -> None:
        job.members.update(
            TrainingJobStatus="Stopped",
            SecondaryStatus="Stopped",
            SecondaryStatusTransitions=moved(job, "Stopped", at),
            TrainingEndTime=at,
            LastModifiedTime=at,
        )
        retain_pool(call, job, at)

    progress.later(call, job, progress.takes("training.stop"), stopped)


def trained(job: Resource) -> dict[str, int]:
    """Return how long an ended job has trained, and how long is billed: less on spot, as a test sets it."""
    if not (started := job.members.get("TrainingStartTime")) or not (
        ended := job.members.get("TrainingEndTime")
    ):
        return {}
    seconds = int((ended - started).total_seconds())
    return {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}


def moved(job: Resource, status: str, at: dt.datetime) -> list[dict[str, Any]]:
    """Return the transitions of a job that gets this SecondaryStatus now."""
    transitions = [*job.members.get("SecondaryStatusTransitions", [])]
    if transitions:
        transitions[-1] = {**transitions[-1], "EndTime": at}
    return [*transitions, {"Status": status, "StartTime": at}]


def running(job: Resource) -> Resource:
    """Return the job, if it can still be stopped."""
    if job.status != RUNNING:
        raise rejected(
            f"The request was rejected because the {job.kind.arn.replace('-', ' ')} "
            f"is in status {job.status}."
        )
    return job


@serves("sagemaker", "UpdateTrainingJob")
def update_training_job(call: Call) -> dict[str, Any]:
    """
    Set another keep-alive period of the warm pool, of which zero ends it; only when the job is over.

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
        keep_pool(call, job)
    return {"TrainingJobArn": job.arn}


# --- warm pools ----------------------------------------------------------------------------------

PERIOD = "KeepAlivePeriodInSeconds"
BILLED = "ResourceRetainedBillableTimeInSeconds"


def pool_of_new(call: Call) -> dict[str, Any]:
    """Return the warm pool's part of the description of a new job."""
    asked = (call.params.get("ResourceConfig") or {}).get(PERIOD)
    return {"WarmPoolStatus": {"Status": "InUse"}} if asked else {}


def pool_status(job: Resource) -> str | None:
    """Return the status of a job's warm pool; None if it never asked for one."""
    pool: dict[str, str] = job.members.get("WarmPoolStatus") or {}
    return pool.get("Status")


def retain_pool(call: Call, job: Resource, ended: dt.datetime) -> None:
    """Let the instances of a job that has ended wait from then on, if it asked for that."""
    period = job.members.get("ResourceConfig", {}).get(PERIOD)
    if not period:
        if pool_status(job):
            job.members["WarmPoolStatus"] = {"Status": "Terminated"}
        return
    job.members["WarmPoolStatus"] = {"Status": "Available"}
    _end_after(call, job, ended, period)


def keep_pool(call: Call, job: Resource) -> None:
    """Apply a changed period, which counts from the end of the job."""
    if pool_status(job) != "Available":
        return
    ended = job.members.get("TrainingEndTime") or clock.now()
    over = ended + dt.timedelta(seconds=job.members["ResourceConfig"][PERIOD])
    _end_after(call, job, ended, (max(over, clock.now()) - ended).total_seconds())


def _end_after(call: Call, job: Resource, ended: dt.datetime, seconds: float) -> None:
    def terminated(resource: Resource, at: dt.datetime) -> None:
        billed = int((at - ended).total_seconds())
        resource.members.update(WarmPoolStatus={"Status": "Terminated", BILLED: billed}, LastModifiedTime=at)

    progress.later(call, job, dt.timedelta(seconds=seconds), terminated, since=ended)


# --- processing, transform and tuning jobs: running until they are stopped ---

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
