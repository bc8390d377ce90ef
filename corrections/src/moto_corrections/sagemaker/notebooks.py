"""SageMaker notebook instances: with the filters that moto ignores and times that move."""

import hashlib
from typing import Any

from moto_corrections import clock
from moto_corrections.patches import Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import listing, serve
from moto_corrections.sagemaker.store import Resource, check_instance_type, create, get, kind

NOTEBOOK = kind(
    "NotebookInstance",
    missing=("ValidationException", "RecordNotFound"),
    duplicate=("ValidationException", "Notebook Instance name already exists: {arn}"),
)
serve(NOTEBOOK, "Describe")

DEFAULTS = {
    "DirectInternetAccess": "Enabled",
    "PlatformIdentifier": "notebook-al2-v2",
    "RootAccess": "Enabled",
    "VolumeSizeInGB": 5,
}
# What is created under one name and described under another.
RENAMED = {"LifecycleConfigName": "NotebookInstanceLifecycleConfigName", "SecurityGroupIds": "SecurityGroups"}


@serves("sagemaker", "CreateNotebookInstance")
def create_notebook(call: Call) -> dict[str, Any]:
    """Create a notebook, Pending for some minutes, then in service."""
    check_instance_type(call.params.get("InstanceType"), "instanceType")
    name = call.params["NotebookInstanceName"]
    members: dict[str, Any] = {key: value for key, value in DEFAULTS.items() if key not in call.params}
    members |= {new: call.params[old] for old, new in RENAMED.items() if old in call.params}
    address = f"{name}.notebook.{call.region}.sagemaker.aws"
    created = create(call, NOTEBOOK, "Pending", Url=address, **members)
    progress.becomes(call, created, "notebook.create", "InService")
    return {"NotebookInstanceArn": created.arn}


@serves("sagemaker", "ListNotebookInstances")
def list_notebooks(call: Call) -> dict[str, Any]:
    """List notebooks, by the times too that moto does not compare."""
    contains = call.params.get("NotebookInstanceLifecycleConfigNameContains", "")
    member = RENAMED["LifecycleConfigName"]
    return listing(call, NOTEBOOK, only=lambda notebook: contains in notebook.members.get(member, ""))


@serves("sagemaker", "StartNotebookInstance")
def start_notebook(call: Call) -> None:
    """Start a stopped or failed notebook, which is Pending for some minutes, then in service."""
    notebook = _in_status(call, "Pending", "Stopped", "Failed")
    progress.becomes(call, notebook, "notebook.start", "InService", now="Pending")


@serves("sagemaker", "StopNotebookInstance")
def stop_notebook(call: Call) -> None:
    """Stop a notebook, which is Stopping for a minute or two, then stopped; its volume stays."""
    notebook = _in_status(call, "Stopping", "InService")
    progress.becomes(call, notebook, "notebook.stop", "Stopped", now="Stopping")


@serves("sagemaker", "UpdateNotebookInstance")
def update_notebook(call: Call) -> None:
    """Update a notebook only while it is stopped, as on AWS."""
    notebook = _in_status(call, "Updating", "Stopped", "Failed")
    check_instance_type(call.params.get("InstanceType"), "instanceType")
    asked = {k: v for k, v in call.params.items() if not k.startswith("Disassociate")}
    notebook.touch(**{RENAMED.get(key, key): value for key, value in asked.items()})
    if call.params.get("DisassociateLifecycleConfig"):
        notebook.members.pop(RENAMED["LifecycleConfigName"], None)
    progress.becomes(call, notebook, "notebook.update", "Stopped", now="Updating")


@serves("sagemaker", "DeleteNotebookInstance")
def delete_notebook(call: Call) -> None:
    """Delete only a stopped or failed one, whose volume is lost with it."""
    progress.vanishes(call, _in_status(call, "Deleting", "Stopped", "Failed"), "notebook.delete")


@serves("sagemaker", "CreatePresignedNotebookInstanceUrl")
def presign(call: Call) -> dict[str, Any]:
    """Return the address that "Open Jupyter" in the console opens; CloudTrail notes it like every Create."""
    notebook = _in_status(call, "Opened", "InService")
    token = hashlib.sha256(f"{notebook.arn}{clock.now()}".encode()).hexdigest()
    return {"AuthorizedUrl": f"https://{notebook.members['Url']}?authToken={token}"}


def _in_status(call: Call, going_to: str, *allowed: str) -> Resource:
    notebook = get(call, NOTEBOOK)
    if notebook.status not in allowed:
        raise rejected(
            f"Status ({notebook.status}) not in ([{', '.join(allowed)}]). Unable to transition "
            f"to ({going_to}) for Notebook Instance ({notebook.arn})."
        )
    return notebook
