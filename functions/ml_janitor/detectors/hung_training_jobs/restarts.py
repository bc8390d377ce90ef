"""Stores the request of a job before it is stopped, and submits it again under a new name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial, reduce
from typing import Any

from botocore.exceptions import ClientError

from ml_janitor.aws import s3 as objects
from ml_janitor.aws import tags
from ml_janitor.aws.answers import ReadError, ensure, needed, refused_as
from ml_janitor.aws.client import Aws
from ml_janitor.aws.request_members import fitted
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, PROCESSING_JOB, TRAINING_JOB, Kind
from ml_janitor.aws.training_jobs import AVAILABLE
from ml_janitor.core.model import Target, finding_id
from ml_janitor.core.signals import Value
from ml_janitor.detectors.hung_training_jobs.job import folders
from ml_janitor.detectors.hung_training_jobs.progress import stamp
from ml_janitor.detectors.hung_training_jobs.stops import (
    JOB,
    KINDS,
    POOL,
    STOPPING,
    TUNER,
    described,
    itself,
    status_of,
)
from ml_janitor.detectors.hung_training_jobs.survey import Suspect, SuspectTuner
from ml_janitor.detectors.hung_training_jobs.training import keeps_pool, pool_of
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps

CHOSEN = ("SelectedInstanceType", "SelectedInstanceCount")
"""AWS's selection from several preferences: part of a description, and no parameter of a request."""

NEVER = datetime.max.replace(tzinfo=UTC)
"""No object is newer, so all of them are listed."""

RESOURCES = {TRAINING_JOB: ("ResourceConfig",), PROCESSING_JOB: ("ProcessingResources", "ClusterConfig")}
"""The place of those resources in a request."""


LONGEST = 63
"""Characters in the name of a training, processing or transform job (the SDK's model of the calls)."""

DIGITS = 6

COMPLETED = "Completed"
"""The status of a job that ended by itself and successfully."""

KEEP_ALIVE = "KeepAlivePeriodInSeconds"
"""Time for which the instances of a training job wait for another job."""

SHORTEST_SECRET = 4
"""Characters: shorter values are no secrets."""

METRICS_REFUSED = "override the metric definitions"
"""
CreateTrainingJob's error for a built-in algorithm with metric definitions, although DescribeTrainingJob shows
its own (hashicorp/terraform-provider-aws#46892; awslabs/mlspace tries again without them, too).
"""


def read_record(aws: Aws, candidate: Suspect | SuspectTuner) -> dict[str, Any]:
    """
    Return *candidate* as plain JSON. A job's parameters may be secret, so this is for the ledger alone.

    Raises CannotActError if the candidate is no longer as judged, and ReadError.
    """
    target = candidate.target
    found = itself(aws, target)
    if found is None:
        raise CannotActError("it is gone")
    status, keep_alive = status_of(target, found), found.get("ResourceConfig", {}).get(KEEP_ALIVE, 0)
    if pool_of(found) == AVAILABLE and status != IN_PROGRESS:
        return {"what": POOL, "keep_alive": keep_alive}
    if status != IN_PROGRESS:
        raise CannotActError(f"it is {status} now")
    if isinstance(candidate, SuspectTuner):
        return {"what": TUNER}
    own = needed(target.tags, "its tags were not read") or {}
    return {
        "what": JOB,
        "keep_alive": keep_alive,
        "request": request_of(aws, KINDS[target.kind], found) | tags.given(tags.settable(own)),
        "checkpoint": _checkpoint(aws, found),
    }


def request_of(aws: Aws, kind: Kind, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the creating call for another job like the one *found*."""
    request = fitted(aws, "sagemaker", f"Create{kind.noun}", found)
    resources = reduce(lambda part, member: part.get(member, {}), RESOURCES.get(kind, ("",)), request)
    for member in CHOSEN:
        resources.pop(member, None)
    return request


def _checkpoint(aws: Aws, found: Mapping[str, Any]) -> dict[str, str] | None:
    """Return its newest checkpoint, None if it keeps none; without "uri" it has not written any yet."""
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


def restart(aws: Aws, detector: str, target: Target, record: Mapping[str, Any], steps: Steps) -> str:
    """
    Submit the job *target* again, once. Return a sentence with its new name, or why there is none.

    It waits until the job has stopped: the new job begins with the objects of its last two minutes. Raises
    NotFinishedError until then, and CannotActError for a resource that cannot come back.
    """
    found = itself(aws, target)
    status = None if found is None else status_of(target, found)
    if found is not None and (keeps_pool(found) if record["what"] == POOL else status == IN_PROGRESS):
        return f"nothing had been done to {target.name}, so nothing was submitted"
    if (why := _not_restartable(target, record)) is not None:
        raise CannotActError(why)
    if status == COMPLETED:
        return f"{target.name} has come to its end by itself, so nothing was submitted"
    if status == STOPPING:
        raise NotFinishedError("it is still stopping; it is submitted again when it has stopped")
    name = name_for(target.name, finding_id(detector, target.key))
    request = {**record["request"], KINDS[target.kind].named: name}
    steps.do(f"submit again as {name}", partial(_submit, aws, target, request))
    return f"{target.name} was submitted again as {name}, {starting_point(record)}"


def restart_effect(detector: str, target: Target, record: Mapping[str, Any]) -> str:
    """
    Return the effect of `restart` as a sentence. Raises CannotActError for
    a resource that cannot come back.
    """
    if (why := _not_restartable(target, record)) is not None:
        raise CannotActError(why)
    name = name_for(target.name, finding_id(detector, target.key))
    return f"{target.name} is submitted again as {name}, {starting_point(record)}; it costs again"


def restarted_arn(detector: str, target: Target, record: Mapping[str, Any]) -> str:
    """
    Return the ARN of the job that `restart` submits, spelled like *target*'s;
    its own where nothing is submitted.
    """
    if _not_restartable(target, record) is not None:
        return target.arn
    kind, _, name = target.arn.rpartition("/")
    return f"{kind}/{name_for(name, finding_id(detector, target.key))}"


def name_for(name: str, finding: str) -> str:
    """
    Return the new name of the job *name*: the same each time, so that a
    repeated restart submits no second job.
    """
    suffix = f"-r{finding[:DIGITS]}"
    return f"{name[: LONGEST - len(suffix)].rstrip('-')}{suffix}"


def starting_point(record: Mapping[str, Any]) -> str:
    """
    Return where the new job begins, as a clause.

    SageMaker copies the objects in CheckpointConfig's S3Uri to the new job's checkpoint path (developer
    guide, "Resume training from a checkpoint"); the program must load them.
    """
    checkpoint = record["checkpoint"]
    if checkpoint is None:
        return "from the beginning: it keeps no checkpoints"
    if "uri" not in checkpoint:
        return f"from the beginning: it had written no checkpoint to {checkpoint['folder']}"
    written = stamp(datetime.fromisoformat(checkpoint["written"]))
    return f"with its checkpoints in {checkpoint['folder']}, the newest known of {written}"


def _not_restartable(target: Target, record: Mapping[str, Any]) -> str | None:
    """Return why there is nothing to submit, or None."""
    if record["what"] == POOL:
        return "a warm pool does not come back; the next job of its kind starts its own"
    if record["what"] == TUNER:
        return (
            "a tuning job is not submitted again, because it would run all of its trainings once more; create"
            f" one for those that are left, with a WarmStartConfig that names {target.name} as its parent"
        )
    return None


def _submit(aws: Aws, target: Target, request: Mapping[str, Any]) -> None:
    """Create the job of *request*; a retry finds it there, which is a success."""
    kind = KINDS[target.kind]
    exists = partial(_exists, aws, target, request[kind.named])
    if exists():
        return
    try:
        ensure(lambda: _create(kind.call(aws, "Create"), request), exists)
    except ClientError as error:
        raise _without_secrets(error, request) from None


def _create(create: Callable[..., object], request: Mapping[str, Any]) -> None:
    try:
        create(**request)
    except Exception as error:
        if not refused_as(error, ("ValidationException",), METRICS_REFUSED):
            raise
        algorithm = {**request["AlgorithmSpecification"]}
        algorithm.pop("MetricDefinitions", None)
        create(**{**request, "AlgorithmSpecification": algorithm})


def _exists(aws: Aws, target: Target, name: str) -> bool:
    """
    Return whether the job *name* was submitted. Raises CannotActError if
    the name is older than *target*.
    """
    found = described(aws, KINDS[target.kind], name)
    if found is None:
        return False
    if target.created is not None and found["CreationTime"] < target.created:
        raise CannotActError(f"an older job has the name {name}, under which it would be submitted again")
    return True


def _without_secrets(error: ClientError, request: Mapping[str, Any]) -> Exception:
    """
    Return *error*, unless AWS quotes the job's parameters in it: they may
    be secret, and errors are posted.
    """
    message = str(error)
    if any(value in message for value in _secrets(request)):
        code = error.response["Error"]["Code"]
        return CannotActError(
            f"AWS refuses it ({code}), and quotes what the job was given, so not shown here"
        )
    return error


def _secrets(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters of a job's program that may be secret."""
    for member in ("HyperParameters", "Environment"):
        yield from (value for value in request.get(member, {}).values() if len(value) >= SHORTEST_SECRET)
