"""Stops and starts notebook instances; "already so" is success, and a lost answer is settled by looking."""

from __future__ import annotations

from typing import Any

from ml_janitor.aws.answers import ensure
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Target
from ml_janitor.detectors.idle_notebooks import notebook as notebooks
from ml_janitor.detectors.idle_notebooks.notebook import IN_SERVICE
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps

REFUSED = "ValidationException"
"""What AWS answers to a start or stop that the status does not allow, and for a notebook that is gone."""

GONE = "RecordNotFound"
"""What its message then says of a missing one."""

OFF = frozenset({"Stopping", "Stopped", "Deleting"})
"""A notebook instance that does not run any more, or soon will not."""

ON = frozenset({IN_SERVICE, "Pending", "PendingMaintenance", "InMaintenance"})
"""One that runs, or is on its way there."""

WAITS = {
    "Stopping": "it is still stopping, which takes some minutes",
    "Updating": "it is being changed, and is stopped after that",
}
"""
What AWS has to be done with before one can be started.

Only what is stopped can be changed, and it is stopped again when that is over (developer guide, "Update a
Notebook Instance"; hashicorp/terraform-provider-aws waits for that too).
"""


def prepared(notebook: notebooks.Notebook) -> dict[str, Any]:
    """What *notebook* was before it is stopped. Raises CannotActError if it does not run."""
    if notebook.status != IN_SERVICE:
        raise CannotActError(f"its status is {notebook.status} now")
    return {
        "status": notebook.status,
        "instance_type": notebook.instance_type,
        "lifecycle_config": notebook.lifecycle,
    }


def stop(aws: Aws, target: Target) -> None:
    """Stop it. That it is off already, or gone, is what a second try finds after a lost answer."""
    ensure(
        lambda: aws.sagemaker.stop_notebook_instance(NotebookInstanceName=target.name),
        lambda: is_off(aws, target),
        codes=(REFUSED,),
    )


def is_off(aws: Aws, target: Target) -> bool:
    """Whether *target* is off or gone; a new one of its name does not count as it. Raises ReadError."""
    notebook = notebooks.described(aws, target)
    return notebook is None or notebook.target.created != target.created or notebook.status in OFF


def start(aws: Aws, target: Target) -> None:
    """
    Start it as it is now: whoever changed its type or script since then meant to.

    Raises NotFinishedError while it is still stopping, and CannotActError if it is gone.
    """
    if is_on(aws, target):
        return
    ensure(
        lambda: aws.sagemaker.start_notebook_instance(NotebookInstanceName=target.name),
        lambda: is_on(aws, target),
        codes=(REFUSED,),
    )


def started(aws: Aws, target: Target, steps: Steps) -> None:
    """
    Start it in a recorded step, and see that AWS does.

    A start that AWS takes is sometimes forgotten (hashicorp/terraform-provider-aws asks again too).
    """
    steps.do("start", lambda: start(aws, target))
    if not is_on(aws, target):
        steps.forget("start")
        raise NotFinishedError("AWS has not begun to start it")


def is_on(aws: Aws, target: Target) -> bool:
    """Whether *target* runs or is about to. Raises CannotActError if it cannot be started."""
    from botocore.exceptions import ClientError

    try:
        answer = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=target.name)
    except ClientError as error:
        refusal = error.response["Error"]
        if refusal["Code"] == REFUSED and GONE in refusal.get("Message", ""):
            raise CannotActError("it was deleted since, and its volume with it") from error
        raise
    if answer["CreationTime"] != target.created:
        raise CannotActError("it was deleted since, and another notebook instance has its name now")
    status = answer["NotebookInstanceStatus"]
    if (why := WAITS.get(status)) is not None:
        raise NotFinishedError(why)
    if status == "Deleting":
        raise CannotActError("it is being deleted, and its volume with it")
    return status in ON
