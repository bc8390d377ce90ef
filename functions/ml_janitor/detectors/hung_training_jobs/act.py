"""Stops jobs and ends warm pools. "Already so" is success; after a lost answer it reads the status."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from ml_janitor.aws.calls import ensure, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    SageMakerKind,
)
from ml_janitor.core.model import Target
from ml_janitor.detectors.hung_training_jobs.jobs import JOB_GONE
from ml_janitor.detectors.hung_training_jobs.reading import keeps_pool, pool_status
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps

STOPPING_STATUS: Final = "Stopping"

RECORDED_JOB: Final = "job"
RECORDED_POOL: Final = "warm pool"
RECORDED_TUNER: Final = "tuning job"
"""The kinds of stopped or ended resources, as the record of an action names them."""


STOPPABLE_KINDS: Mapping[str, SageMakerKind] = {
    kind.type: kind for kind in (TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB, TUNING_JOB)
}
"""The kinds of jobs by the resource type in their ARNs."""

_STOP_STATUSES = frozenset({STOPPING_STATUS, "Stopped"})
"""The statuses of a job that this act or a person asked to stop."""


def find_job(aws: Aws, kind: SageMakerKind, name: str) -> dict[str, Any] | None:
    """Return the job called *name* as AWS describes it; None if there is none."""
    found: dict[str, Any] | None = unless_gone(
        lambda: kind.call(aws, "Describe")(**{kind.named: name}), JOB_GONE
    )
    return found


def find_same_job(aws: Aws, target: Target) -> dict[str, Any] | None:
    """
    Return the job *target* as AWS describes it; None if it is gone, also
    if another job has its name now.
    """
    found = find_job(aws, STOPPABLE_KINDS[target.kind], target.name)
    return found if found is not None and found["CreationTime"] == target.created else None


def job_status(target: Target, found: Mapping[str, Any]) -> str:
    """Return the status of *target* in the description *found*."""
    status: str = found[STOPPABLE_KINDS[target.kind].status]
    return status


def act(aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Stop *target*, and end the warm pool that it leaves, or that it is.

    A pool can be ended only when its job is over (the controller of AWS for Kubernetes,
    pkg/resource/training_job/hooks.go, waits for that too), and a stopped job leaves one all the same
    (developer guide, warm pool creation). Raises NotFinishedError until then.
    """
    if record["what"] == RECORDED_POOL:
        steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=True))
        return
    steps.do("stop", partial(_stop, aws, target))
    if not record.get("keep_alive"):
        return
    found = find_same_job(aws, target)
    if found is not None and job_status(target, found) == STOPPING_STATUS:
        raise NotFinishedError("it is stopping, and its warm pool can be ended only when it has stopped")
    steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=False))


def is_done(aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
    """
    Return whether the very job *target* is stopped, or about to be,
    without a present or coming warm pool.
    """
    found = find_same_job(aws, target)
    if found is None:
        return True
    if record["what"] == RECORDED_POOL:
        return not keeps_pool(found)
    status = job_status(target, found)
    pool_to_come = status == STOPPING_STATUS or keeps_pool(found)
    return status != IN_PROGRESS and not (record.get("keep_alive") and pool_to_come)


def ended_otherwise(aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
    """
    Return how *target* ended without being stopped; None if it was stopped, runs, or was a pool.

    A stopped job is Stopping and then Stopped (StopTrainingJob and its like, API reference).
    """
    found = find_same_job(aws, target)
    if found is None or record["what"] == RECORDED_POOL:
        return None
    status = job_status(target, found)
    return None if status == IN_PROGRESS or status in _STOP_STATUSES else f"it ended by itself: {status}"


def _stop(aws: Aws, target: Target) -> None:
    kind = STOPPABLE_KINDS[target.kind]
    if not _asked(aws, target):
        ensure(lambda: kind.call(aws, "Stop")(**{kind.named: target.name}), lambda: _asked(aws, target))


def _asked(aws: Aws, target: Target) -> bool:
    """Return whether *target* is stopped or gone. Raises CannotActError if it ended by itself."""
    found = find_same_job(aws, target)
    if found is None:
        return True
    status = job_status(target, found)
    if status != IN_PROGRESS and status not in _STOP_STATUSES:
        raise CannotActError(f"it ended by itself: {status}")
    return status in _STOP_STATUSES


def _end_pool(aws: Aws, target: Target, *, warned_of: bool) -> None:
    """End the pool of *target*. A pool that another job took over is not its own any more."""
    found = find_same_job(aws, target)
    if found is None or not keeps_pool(found):
        if warned_of and found is not None and pool_status(found) == "Reused":
            raise CannotActError("another job has taken over its warm pool")
        return
    end: Any = partial(aws.sagemaker.update_training_job, TrainingJobName=target.name)
    ensure(
        lambda: end(ResourceConfig={"KeepAlivePeriodInSeconds": 0}),
        lambda: (now := find_same_job(aws, target)) is None or not keeps_pool(now),
    )
