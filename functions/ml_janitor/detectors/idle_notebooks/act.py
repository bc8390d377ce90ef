"""Stops and starts notebook instances. "Already so" is success; after a lost answer it reads the status."""

from __future__ import annotations

from typing import Any

from ml_janitor.aws.calls import ensure
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Target
from ml_janitor.detectors.idle_notebooks.reading import NOTEBOOK_IN_SERVICE, Notebook, describe_notebook
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps

_REFUSED_CODE = "ValidationException"
"""AWS's error code for a start or stop that the status does not allow, and for a missing notebook."""

_GONE_MESSAGE = "RecordNotFound"
"""The part of the message that stands for a missing notebook."""

_OFF_STATUSES = frozenset({"Stopping", "Stopped", "Deleting"})
"""Statuses of a notebook instance that is off, or soon will be."""

_ON_STATUSES = frozenset({NOTEBOOK_IN_SERVICE, "Pending", "PendingMaintenance", "InMaintenance"})
"""Statuses of a notebook instance that runs, or is starting."""

_WAIT_REASONS = {
    "Stopping": "it is still stopping, which takes some minutes",
    "Updating": "it is being changed, and is stopped after that",
}
"""
Statuses that AWS has to leave before a start.

Only a stopped notebook can be changed, and it is stopped again after the change (developer guide, "Update a
Notebook Instance"; hashicorp/terraform-provider-aws waits for that too).
"""


def prepare_stop(notebook: Notebook) -> dict[str, Any]:
    """Return *notebook* as it is before it is stopped. Raises CannotActError if it does not run."""
    if notebook.status != NOTEBOOK_IN_SERVICE:
        raise CannotActError(f"its status is {notebook.status} now")
    return {
        "status": notebook.status,
        "instance_type": notebook.instance_type,
        "lifecycle_config": notebook.lifecycle,
    }


def stop_notebook(aws: Aws, target: Target) -> None:
    """Stop it. A second try after a lost answer may find it off already, or gone: that is success."""
    ensure(
        lambda: aws.sagemaker.stop_notebook_instance(NotebookInstanceName=target.name),
        lambda: is_notebook_off(aws, target),
        codes=(_REFUSED_CODE,),
    )


def is_notebook_off(aws: Aws, target: Target) -> bool:
    """Return whether *target* is off or gone; a new notebook of its name does not count. Raises ReadError."""
    notebook = describe_notebook(aws, target)
    return notebook is None or notebook.target.created != target.created or notebook.status in _OFF_STATUSES


def start_notebook(aws: Aws, target: Target) -> None:
    """
    Start it as it is now: later changes of its type or script were meant.

    Raises NotFinishedError while it is still stopping, and CannotActError if it is gone.
    """
    if is_notebook_on(aws, target):
        return
    ensure(
        lambda: aws.sagemaker.start_notebook_instance(NotebookInstanceName=target.name),
        lambda: is_notebook_on(aws, target),
        codes=(_REFUSED_CODE,),
    )


def start_and_check(aws: Aws, target: Target, steps: Steps) -> None:
    """
    Start it in a recorded step, and check that AWS does.

    AWS sometimes forgets an accepted start (hashicorp/terraform-provider-aws asks again too).
    """
    steps.do("start", lambda: start_notebook(aws, target))
    if not is_notebook_on(aws, target):
        steps.forget("start")
        raise NotFinishedError("AWS has not begun to start it")


def is_notebook_on(aws: Aws, target: Target) -> bool:
    """Return whether *target* runs or is about to. Raises CannotActError if it cannot be started."""
    from botocore.exceptions import ClientError

    try:
        answer = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=target.name)
    except ClientError as error:
        refusal = error.response["Error"]
        if refusal["Code"] == _REFUSED_CODE and _GONE_MESSAGE in refusal.get("Message", ""):
            raise CannotActError("it was deleted since, and its volume with it") from error
        raise
    if answer["CreationTime"] != target.created:
        raise CannotActError("it was deleted since, and another notebook instance has its name now")
    status = answer["NotebookInstanceStatus"]
    if (why := _WAIT_REASONS.get(status)) is not None:
        raise NotFinishedError(why)
    if status == "Deleting":
        raise CannotActError("it is being deleted, and its volume with it")
    return status in _ON_STATUSES
