"""Stops jobs and ends warm pools; "already so" is success, and a lost answer is settled by looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from botocore import xform_name

from ml_janitor.aws.answers import ensure, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
)
from ml_janitor.core.model import Target
from ml_janitor.detectors.hung_training_jobs.job import GONE
from ml_janitor.detectors.hung_training_jobs.training import keeps_pool, pool_of
from ml_janitor.engine.detector import ChangedError, NotFinishedError, Steps

STOPPING: Final = "Stopping"

JOB: Final = "job"
POOL: Final = "warm pool"
TUNER: Final = "tuning job"
"""What is stopped or ended, as the record of an action names it."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls about one kind of job, *noun* in their names; the members with its name and status."""

    noun: str
    name_member: str
    status_member: str

    def describe(self, aws: Aws, name: str) -> dict[str, Any] | None:
        """The job called *name* as AWS describes it; None if there is none."""
        found: dict[str, Any] | None = unless_gone(
            lambda: self._operation(aws, "Describe")(**{self.name_member: name}), GONE
        )
        return found

    def describe_same(self, aws: Aws, target: Target) -> dict[str, Any] | None:
        """The job *target* as AWS describes it; None if it is gone, also if another job has its name now."""
        found = self.describe(aws, target.name)
        return found if found is not None and found["CreationTime"] == target.created else None

    def stop(self, aws: Aws, name: str) -> None:
        """Ask the job called *name* to stop."""
        self._operation(aws, "Stop")(**{self.name_member: name})

    def create(self, aws: Aws, request: Mapping[str, Any]) -> None:
        """Submit a job."""
        self._operation(aws, "Create")(**request)

    def runs(self, found: Mapping[str, Any]) -> bool:
        """Whether a job that was *found* still runs and was not asked to stop."""
        return bool(found[self.status_member] == IN_PROGRESS)

    def _operation(self, aws: Aws, verb: str) -> Any:
        return getattr(aws.sagemaker, xform_name(f"{verb}{self.noun}"))


CALLS: Mapping[str, Calls] = {
    kind.type: Calls(kind.noun, kind.named, f"{kind.noun}Status")
    for kind in (TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB, TUNING_JOB)
}
"""By the resource type in a job's ARN."""


ASKED = frozenset({STOPPING, "Stopped"})
"""The statuses of a job that was asked to stop, by this act or by a person."""


def act(aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Stop *target*, and end the warm pool that it leaves, or that it is.

    A pool can be ended only when its job is over (the controller of AWS for Kubernetes,
    pkg/resource/training_job/hooks.go, waits for that too), and a job that is stopped leaves one all
    the same (developer guide, warm pool creation). Raises NotFinishedError until then.
    """
    if record["what"] == POOL:
        steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=True))
        return
    steps.do("stop", partial(_stop, aws, target))
    if not record.get("keep_alive"):
        return
    found = CALLS[target.kind].describe_same(aws, target)
    if found is not None and found["TrainingJobStatus"] == STOPPING:
        raise NotFinishedError("it is stopping, and its warm pool can be ended only when it has stopped")
    steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=False))


def is_done(aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
    """Whether the very job *target* is stopped, or about to be, and no warm pool of it stays or will come."""
    calls = CALLS[target.kind]
    found = calls.describe_same(aws, target)
    if found is None:
        return True
    if record["what"] == POOL:
        return not keeps_pool(found)
    if calls.runs(found):
        return False
    pool_to_come = found[calls.status_member] == STOPPING or keeps_pool(found)
    return not (record.get("keep_alive") and pool_to_come)


def ended_otherwise(aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
    """
    How *target* ended without being stopped; None if it was stopped, runs, or was a pool.

    What was stopped is Stopping and then Stopped (StopTrainingJob and its like, API reference).
    """
    calls = CALLS[target.kind]
    found = calls.describe_same(aws, target)
    if found is None or record["what"] == POOL or calls.runs(found) or found[calls.status_member] in ASKED:
        return None
    return f"it ended by itself: {found[calls.status_member]}"


def _stop(aws: Aws, target: Target) -> None:
    if not _asked(aws, target):
        ensure(lambda: CALLS[target.kind].stop(aws, target.name), lambda: _asked(aws, target))


def _asked(aws: Aws, target: Target) -> bool:
    """Whether *target* is stopped or gone. Raises ChangedError if it ended by itself."""
    calls = CALLS[target.kind]
    found = calls.describe_same(aws, target)
    if found is None:
        return True
    if not calls.runs(found) and found[calls.status_member] not in ASKED:
        raise ChangedError(f"it ended by itself: {found[calls.status_member]}")
    return found[calls.status_member] in ASKED


def _end_pool(aws: Aws, target: Target, *, warned_of: bool) -> None:
    """End the pool of *target*. One that another job took over is not its own any more."""
    found = CALLS[target.kind].describe_same(aws, target)
    if found is None or not keeps_pool(found):
        if warned_of and found is not None and pool_of(found) == "Reused":
            raise ChangedError("another job has taken over its warm pool")
        return

    def ended() -> bool:
        found = CALLS[target.kind].describe_same(aws, target)
        return found is None or not keeps_pool(found)

    ensure(
        lambda: aws.sagemaker.update_training_job(
            TrainingJobName=target.name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
        ),
        ended,
    )
