"""Stops jobs and ends warm pools; "already so" is success, and a lost answer is settled by looking."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ensure
from ml_janitor.detectors.hung_training_jobs import calls as job_calls
from ml_janitor.detectors.hung_training_jobs.calls import STOPPING
from ml_janitor.detectors.hung_training_jobs.record import POOL
from ml_janitor.detectors.hung_training_jobs.warm_pools import keeps_pool, pool_of
from ml_janitor.engine.detector import ChangedError, NotFinishedError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target
    from ml_janitor.engine.detector import Steps

ASKED = frozenset({STOPPING, "Stopped"})
"""What a job is after it was asked to stop: by this act, or by somebody who was faster."""


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
    found = job_calls.OF[target.kind].this(aws, target)
    if found is not None and found["TrainingJobStatus"] == STOPPING:
        raise NotFinishedError("it is stopping, and its warm pool can be ended only when it has stopped")
    steps.do("end the warm pool", partial(_end_pool, aws, target, warned_of=False))


def settled(aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
    """Whether the very job *target* is stopped, or about to be, and no warm pool of it stays or will come."""
    calls = job_calls.OF[target.kind]
    found = calls.this(aws, target)
    if found is None:
        return True
    if record["what"] == POOL:
        return not keeps_pool(found)
    if calls.runs(found):
        return False
    pool_to_come = found[calls.status] == STOPPING or keeps_pool(found)
    return not (record.get("keep_alive") and pool_to_come)


def ended_otherwise(aws: Aws, target: Target, record: Mapping[str, Any]) -> str | None:
    """
    How *target* ended although nobody stopped it; None if it did not, or was a pool anyway.

    What was stopped is Stopping and then Stopped (StopTrainingJob and its like, API reference).
    """
    calls = job_calls.OF[target.kind]
    found = calls.this(aws, target)
    if found is None or record["what"] == POOL or calls.runs(found) or found[calls.status] in ASKED:
        return None
    return f"it ended by itself: {found[calls.status]}"


def _stop(aws: Aws, target: Target) -> None:
    calls = job_calls.OF[target.kind]
    if _asked(aws, target):
        return
    ensure(lambda: calls.stop(aws, target.name), lambda: _asked(aws, target))


def _asked(aws: Aws, target: Target) -> bool:
    """Whether *target* is stopped or gone. Raises ChangedError if it ended by itself."""
    calls = job_calls.OF[target.kind]
    found = calls.this(aws, target)
    if found is None:
        return True
    if not calls.runs(found) and found[calls.status] not in ASKED:
        raise ChangedError(f"it ended by itself: {found[calls.status]}")
    return found[calls.status] in ASKED


def _end_pool(aws: Aws, target: Target, *, warned_of: bool) -> None:
    """End the pool of *target*. One that another job took over is not its own any more."""
    found = job_calls.OF[target.kind].this(aws, target)
    if found is None or not keeps_pool(found):
        if warned_of and found is not None and pool_of(found) == "Reused":
            raise ChangedError("another job has taken over its warm pool")
        return

    def ended() -> bool:
        found = job_calls.OF[target.kind].this(aws, target)
        return found is None or not keeps_pool(found)

    ensure(
        lambda: aws.sagemaker.update_training_job(
            TrainingJobName=target.name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
        ),
        ended,
    )
