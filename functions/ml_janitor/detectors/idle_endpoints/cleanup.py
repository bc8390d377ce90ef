"""Deletes an endpoint: first the inference components on it, then itself. Never one of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError, ensure
from ml_janitor.core.model import Absent, Value
from ml_janitor.detectors.idle_endpoints import components, scaling
from ml_janitor.detectors.idle_endpoints import endpoint as endpoints
from ml_janitor.detectors.idle_endpoints.record import component_id
from ml_janitor.engine.detector import ChangedError, NotFinishedError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target
    from ml_janitor.detectors.idle_endpoints.endpoint import Description
    from ml_janitor.engine.detector import Steps

DELETING = "Deleting"
MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
"""What an endpoint is while AWS refuses to delete it, and soon is no longer."""


def act(aws: Aws, target: Target, undo: Mapping[str, Any], steps: Steps) -> None:
    """
    Delete *target*, whose record *undo* is, in recorded steps.

    An endpoint cannot go before its components are gone, which takes a while: NotFinishedError. What
    scales a component is taken off first, since nothing says that AWS does it; of a variant, it does.
    One that was deployed to meanwhile is not deleted: whoever judges it again sees that it is in use.
    """
    on_it = undo["components"]
    names = {component_id(component["name"]) for component in on_it}
    for record in undo["scaling"]:
        if (resource := record["target"]["ResourceId"]) in names:
            steps.do(f"stop scaling {resource}", partial(scaling.take_off, aws, record))
    for component in reversed(on_it):  # what stands on another goes before it
        steps.do(
            f"delete inference component {component['name']}",
            partial(components.delete, aws, component),
        )
    left = [component["name"] for component in on_it if components.itself(aws, component)]
    if left:
        raise NotFinishedError(f"inference component {', '.join(left)} is still being deleted")
    if (found := _itself(aws, target)) is not None:
        if (status := found.summary.status) in MOVING:
            raise NotFinishedError(f"its endpoint is {status}, and cannot be deleted before that ends")
        if (why := _deployed(aws, found, undo)) is not None:
            raise NotFinishedError(why) if on_it else ChangedError(why)
    steps.do("delete the endpoint", partial(_delete, aws, target))


def settled(aws: Aws, target: Target) -> bool:
    """Whether the very endpoint *target* is gone, or on its way out. Raises ReadError."""
    return _status(aws, target) in {None, DELETING}


def _delete(aws: Aws, target: Target) -> None:
    if settled(aws, target):
        return
    ensure(lambda: aws.sagemaker.delete_endpoint(EndpointName=target.name), lambda: settled(aws, target))


def _deployed(aws: Aws, found: Description, undo: Mapping[str, Any]) -> str | None:
    """What was deployed to the endpoint since *undo* was recorded, or None."""
    if found.config_name != (own := undo["configuration"]["EndpointConfigName"]):
        return f"it runs the configuration {found.config_name} now, not {own}"
    if (name := components.another(aws, undo["endpoint"], undo["components"])) is not None:
        return f"the inference component {name} was put on it meanwhile"
    return None


def _status(aws: Aws, target: Target) -> str | None:
    """What the very endpoint *target* is; None if it is gone, also where another has its name now."""
    found = _itself(aws, target)
    return None if found is None else found.summary.status


def _itself(aws: Aws, target: Target) -> Description | None:
    """The very endpoint *target* as it runs now; None if it is gone. Raises ReadError."""
    match endpoints.describe(aws, target.name):
        case Value(found):
            return found if found.summary.created == target.created else None
        case Absent():
            return None
        case unread:
            raise ReadError(getattr(unread, "error", "the endpoint was not read"))
