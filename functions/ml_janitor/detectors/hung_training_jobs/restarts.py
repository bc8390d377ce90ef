"""Submits a stopped job again, under a new name: AWS cannot go on with one that was stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ml_janitor.core.model import finding_id
from ml_janitor.detectors.hung_training_jobs import calls as job_calls
from ml_janitor.detectors.hung_training_jobs.calls import STOPPING, Calls
from ml_janitor.detectors.hung_training_jobs.record import POOL, TUNER
from ml_janitor.detectors.hung_training_jobs.stillness import stamp
from ml_janitor.detectors.hung_training_jobs.warm_pools import keeps_pool
from ml_janitor.engine.detector import CannotActError, NotFinishedError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target
    from ml_janitor.engine.detector import Steps

LONGEST = 63
"""Characters in the name of a training, processing or transform job (the SDK's model of the calls)."""

DIGITS = 6

COMPLETED = "Completed"
"""What a job is that made all that it was to make. One that was stopped is not."""

TELLING = 4

METRICS_REFUSED = "override the metric definitions"
"""
What CreateTrainingJob answers if a built-in algorithm is given metric definitions, although
DescribeTrainingJob shows its own (hashicorp/terraform-provider-aws#46892; awslabs/mlspace tries again
without them, too).
"""


def restart(aws: Aws, detector: str, target: Target, record: Mapping[str, Any], steps: Steps) -> str:
    """
    Submit the job *target* again, once, and say as what; or that nothing had been done to it.

    Waits until it has stopped: what it writes in its last two minutes is what the new one begins with.
    Raises NotFinishedError until then, and CannotActError for what does not come back.
    """
    calls = job_calls.OF[target.kind]
    found = calls.this(aws, target)
    if found is not None and _untouched(calls, found, record):
        return f"nothing had been done to {target.name}, so nothing was submitted"
    if (why := _lost(target, record)) is not None:
        raise CannotActError(why)
    if found is not None and found[calls.status] == COMPLETED:
        return f"{target.name} has come to its end by itself, so nothing was submitted"
    if found is not None and found[calls.status] == STOPPING:
        raise NotFinishedError("it is still stopping; it is submitted again when it has stopped")
    name = name_for(target.name, finding_id(detector, target.key))
    request = {**record["request"], calls.named: name}
    steps.do(f"submit again as {name}", partial(_submit, aws, target, calls, request))
    return f"{target.name} was submitted again as {name}, {whence(record)}"


def announced(detector: str, target: Target, record: Mapping[str, Any]) -> str:
    """What `restart` would do, for whoever is asked. Raises CannotActError for what does not come back."""
    if (why := _lost(target, record)) is not None:
        raise CannotActError(why)
    name = name_for(target.name, finding_id(detector, target.key))
    return f"{target.name} is submitted again as {name}, {whence(record)}; it costs again"


def restarted_arn(detector: str, target: Target, record: Mapping[str, Any]) -> str:
    """The ARN of what `restart` submits, spelled as *target*'s is; its own where nothing is submitted."""
    if _lost(target, record) is not None:
        return target.arn
    kind, _, name = target.arn.rpartition("/")
    return f"{kind}/{name_for(name, finding_id(detector, target.key))}"


def name_for(name: str, finding: str) -> str:
    """The new name of the job *name*: the same each time, so that a repeated restart is no second one."""
    suffix = f"-r{finding[:DIGITS]}"
    return f"{name[: LONGEST - len(suffix)].rstrip('-')}{suffix}"


def whence(record: Mapping[str, Any]) -> str:
    """
    Where the new job begins, for whoever asked for it.

    SageMaker copies what lies in the S3Uri of CheckpointConfig to the new job's checkpoint path
    (developer guide, "Resume training from a checkpoint"); whether the program loads it is its own affair.
    """
    checkpoint = record["checkpoint"]
    if checkpoint is None:
        return "from the beginning: it keeps no checkpoints"
    if "uri" not in checkpoint:
        return f"from the beginning: it had written no checkpoint to {checkpoint['folder']}"
    written = stamp(datetime.fromisoformat(checkpoint["written"]))
    return f"with its checkpoints in {checkpoint['folder']}, the newest known of {written}"


def _untouched(calls: Calls, found: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether the act broke off before it did anything."""
    return keeps_pool(found) if record["what"] == POOL else calls.runs(found)


def _lost(target: Target, record: Mapping[str, Any]) -> str | None:
    """Why there is nothing to submit, or None."""
    if record["what"] == POOL:
        return "a warm pool does not come back; the next job of its kind starts its own"
    if record["what"] == TUNER:
        return (
            "a tuning job is not submitted again, because it would run all of its trainings once more; create"
            f" one for those that are left, with a WarmStartConfig that names {target.name} as its parent"
        )
    return None


def _submit(aws: Aws, target: Target, calls: Calls, request: Mapping[str, Any]) -> None:
    """Create the job of *request*. That it is there already is what a second try finds."""
    if _there(aws, target, calls, request[calls.named]):
        return
    try:
        _create(aws, calls, request)
    except ClientError as error:
        if not _there(aws, target, calls, request[calls.named]):
            raise _hushed(error, request) from None


def _create(aws: Aws, calls: Calls, request: Mapping[str, Any]) -> None:
    try:
        calls.create(aws, request)
    except ClientError as error:
        if METRICS_REFUSED not in str(error):
            raise
        algorithm = {**request["AlgorithmSpecification"]}
        algorithm.pop("MetricDefinitions", None)
        calls.create(aws, {**request, "AlgorithmSpecification": algorithm})


def _there(aws: Aws, target: Target, calls: Calls, name: str) -> bool:
    """Whether the job *name* was submitted. Raises CannotActError if one had that name before *target*."""
    found = calls.describe(aws, name)
    if found is None:
        return False
    if target.created is not None and found["CreationTime"] < target.created:
        raise CannotActError(f"an older job has the name {name}, under which it would be submitted again")
    return True


def _hushed(error: ClientError, request: Mapping[str, Any]) -> Exception:
    """*error*, unless AWS repeats in it what the job was given: that may be secret, and errors are posted."""
    said = str(error)
    if any(value in said for value in _secrets(request)):
        code = error.response["Error"]["Code"]
        return CannotActError(
            f"AWS refuses it ({code}), and quotes what the job was given, so not shown here"
        )
    return error


def _secrets(request: Mapping[str, Any]) -> Iterator[str]:
    """What is given to the program of a job; words of a few letters tell nothing."""
    for member in ("HyperParameters", "Environment"):
        yield from (value for value in request.get(member, {}).values() if len(value) >= TELLING)
