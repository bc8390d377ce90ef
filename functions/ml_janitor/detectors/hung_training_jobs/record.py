"""What submits a job again, read before it is stopped; or what a warm pool and a tuning job were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from ml_janitor.aws import s3 as objects
from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.request_members import fitted
from ml_janitor.aws.tags import RESERVED
from ml_janitor.aws.training_jobs import AVAILABLE
from ml_janitor.core.model import Unreadable, Value
from ml_janitor.detectors.hung_training_jobs import calls as job_calls
from ml_janitor.detectors.hung_training_jobs.calls import Calls
from ml_janitor.detectors.hung_training_jobs.job import folders
from ml_janitor.detectors.hung_training_jobs.suspects import Suspect, SuspectTuner
from ml_janitor.detectors.hung_training_jobs.warm_pools import pool_of
from ml_janitor.engine.detector import CannotActError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target

JOB: Final = "job"
POOL: Final = "warm pool"
TUNER: Final = "tuning job"

CHOSEN = ("SelectedInstanceType", "SelectedInstanceCount")
"""Of a job's resources, what AWS chose from several wishes: part of the answer, not of the question."""

NEVER = datetime.max.replace(tzinfo=UTC)
"""No object is newer, so all of them are listed."""

RENTED = {"TrainingJob": ("ResourceConfig",), "ProcessingJob": ("ProcessingResources", "ClusterConfig")}
"""Where they stand."""


def read(aws: Aws, candidate: Suspect | SuspectTuner) -> dict[str, Any]:
    """
    *candidate* as plain JSON. What a job was given may be secret, so this is for the ledger alone.

    Raises CannotActError if it is no longer what was judged, and ReadError.
    """
    target = candidate.target
    calls = job_calls.OF[target.kind]
    found = calls.this(aws, target)
    if found is None:
        raise CannotActError("it is gone")
    if pool_of(found) == AVAILABLE and not calls.runs(found):
        return {"what": POOL, "keep_alive": _keep_alive(found)}
    if not calls.runs(found):
        raise CannotActError(f"it is {found[calls.status]} now")
    if isinstance(candidate, SuspectTuner):
        return {"what": TUNER}
    return {
        "what": JOB,
        "keep_alive": _keep_alive(found),
        "request": request_of(aws, calls, found) | _tags(target),
        "checkpoint": _checkpoint(aws, found),
    }


def _keep_alive(found: Mapping[str, Any]) -> int:
    """For how many seconds its instances are to wait for another job."""
    seconds: int = found.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0)
    return seconds


def request_of(aws: Aws, calls: Calls, found: Mapping[str, Any]) -> dict[str, Any]:
    """What the creating call takes to make another job like the one *found*."""
    request = fitted(aws, "sagemaker", f"Create{calls.noun}", found)
    rented = reduce(lambda one, member: one.get(member, {}), RENTED.get(calls.noun, ("",)), request)
    for member in CHOSEN:
        rented.pop(member, None)
    return request


def _tags(target: Target) -> dict[str, Any]:
    """Its tags, without those that only AWS may set."""
    if not isinstance(target.tags, Value):
        raise ReadError(
            target.tags.error if isinstance(target.tags, Unreadable) else "its tags were not read"
        )
    own = [
        {"Key": key, "Value": value}
        for key, value in target.tags.value.items()
        if not key.lower().startswith(RESERVED)
    ]
    return {"Tags": own} if own else {}


def _checkpoint(aws: Aws, found: Mapping[str, Any]) -> dict[str, str] | None:
    """Its newest checkpoint, None if it keeps none; without "uri" it has not written any yet."""
    config = found.get("CheckpointConfig")
    if not config:
        return None
    (folder,) = folders(config["S3Uri"])
    match objects.newest(aws, [folder], fresh=NEVER):
        case Value(objects.Newest(uri, modified)):
            return {"folder": folder, "uri": uri, "written": modified.isoformat()}
        case Value():
            return {"folder": folder}
        case unread:
            raise ReadError(getattr(unread, "error", "its checkpoints were not read"))
