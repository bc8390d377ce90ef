"""Brings an endpoint back from its record: configuration, endpoint, weights, components, scaling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ml_janitor.aws import tags
from ml_janitor.aws.calls import ReadError, ensure, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import ENDPOINT_GONE, ENDPOINT_IN_SERVICE
from ml_janitor.aws.sagemaker_kinds import fit_request
from ml_janitor.core.model import Target
from ml_janitor.detectors.idle_endpoints import attached
from ml_janitor.detectors.idle_endpoints.act import ENDPOINT_DELETING, ENDPOINT_MOVING, desired_capacity
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps, call_passing_role

_CREATE_STEP = "create the endpoint"
"""The step by which the undo recognises an endpoint of the same name as its own."""


def revert(aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
    """
    Bring *target* back as far as it is gone, in recorded steps; each waits until AWS has finished the last.

    Raises NotFinishedError while AWS is at work, and CannotActError where it needs a person: another endpoint
    or configuration has the name now, or AWS has no capacity. The undo deletes an endpoint that AWS could not
    create, so that it can be tried again.
    """
    found = _endpoint(aws, target.name)
    if found is None:
        steps.do("create the configuration", lambda: _configure(aws, record))
        _make(steps, _CREATE_STEP, lambda: _create(aws, record))
        raise NotFinishedError("its endpoint is being created")
    _check(aws, target, record, found, steps)
    anew = found["CreationTime"] != target.created
    if anew and (wanted := capacity_changes(record["desired"], found)):
        rescale: Any = aws.sagemaker.update_endpoint_weights_and_capacities
        asked = {"EndpointName": target.name, "DesiredWeightsAndCapacities": wanted}
        steps.do("bring back weights and instance counts", partial(rescale, **asked))
        _check(aws, target, record, _endpoint(aws, target.name) or found, steps)
    _put_on(aws, record, steps)
    for scaled in record["scaling"]:
        of_variant = str(scaled["target"]["ResourceId"]).startswith("endpoint/")
        if anew or not of_variant:  # half an act leaves the variants alone
            attached.restore_scaling(aws, scaled, steps)


def _make(steps: Steps, name: str, call: Callable[[], object]) -> None:
    """Create it again even if an earlier try did: that try may have failed, and been cleared away."""
    steps.forget(name)
    steps.do(name, call)


def _endpoint(aws: Aws, name: str) -> Mapping[str, Any] | None:
    found: Any = unless_gone(lambda: aws.sagemaker.describe_endpoint(EndpointName=name), ENDPOINT_GONE)
    if found is None:
        return None
    if "EndpointStatus" not in found:
        raise ReadError("the description of the endpoint was cut off")
    return dict(found)


def _check(
    aws: Aws, target: Target, record: Mapping[str, Any], found: Mapping[str, Any], steps: Steps
) -> None:
    """
    Go on only with an endpoint of the recorded configuration that is in service.

    Somebody may have deployed to an endpoint that half an act left there: its components come back to it all
    the same, if the variants that they ran on still exist.
    """
    status, config = found["EndpointStatus"], found["EndpointConfigName"]
    if status == ENDPOINT_DELETING:
        raise NotFinishedError("its endpoint is still being deleted")
    anew = found["CreationTime"] != target.created
    if anew and config != (own := record["configuration"]["EndpointConfigName"]):
        raise CannotActError(f"an endpoint of its name runs the configuration {config} now, not {own}")
    if anew and not steps.begun(_CREATE_STEP):
        raise CannotActError("an endpoint of its name was created since, and stays as it is")
    if status in ENDPOINT_MOVING:
        raise NotFinishedError(f"its endpoint is {status}")
    if status == "Failed" and anew:
        delete = partial(aws.sagemaker.delete_endpoint, EndpointName=target.name)
        _make(steps, "clear away the endpoint that AWS could not create", delete)
        raise creation_error("the endpoint", found)
    if status != ENDPOINT_IN_SERVICE:
        raise CannotActError(f"its endpoint is {status}, not {ENDPOINT_IN_SERVICE}")
    if not anew and (lost := missing_variant(record, found)) is not None:
        raise CannotActError(f"it was deployed anew, without the variant {lost} of its inference components")


def missing_variant(record: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """
    Return a variant that the recorded components ran on and the endpoint
    *found* no longer has, or None.
    """
    there = {variant["VariantName"] for variant in found["ProductionVariants"]}
    return next(
        (component["variant"] for component in record["components"] if component["variant"] not in there),
        None,
    )


def creation_error(what: str, found: Mapping[str, Any]) -> CannotActError:
    """Return the error that *what* could not be created, in AWS's own words."""
    why = found.get("FailureReason", "it does not say why").rstrip(".")
    return CannotActError(f"AWS could not create {what}: {why}. It can be tried again.")


def _configure(aws: Aws, record: Mapping[str, Any]) -> None:
    """
    Create the configuration again, unless it stayed. Never accept another of the same name.

    A configuration cannot be changed, so it is the same while it has its creation time, even if AWS describes
    more of it than at the recording. An equal configuration that somebody made again is accepted too.
    """
    given = record["configuration"]
    name = given["EndpointConfigName"]
    found: Any = unless_gone(
        lambda: aws.sagemaker.describe_endpoint_config(EndpointConfigName=name), ENDPOINT_GONE
    )
    if found is None:
        create = partial(
            aws.sagemaker.create_endpoint_config, **given, **tags.tags_argument(record["configuration_tags"])
        )
        call_passing_role(create, given.get("ExecutionRoleArn", ""))
        return
    same = found["CreationTime"].isoformat() == record.get("configured")
    if not same and fit_request(aws, "sagemaker", "CreateEndpointConfig", found) != given:
        raise CannotActError(f"its configuration {name} was replaced by another of the same name")


def _create(aws: Aws, record: Mapping[str, Any]) -> None:
    name, config = record["endpoint"], record["configuration"]["EndpointConfigName"]

    def created() -> bool:
        found = _endpoint(aws, name)
        return found is not None and found["EndpointConfigName"] == config

    own = tags.tags_argument(record["tags"])
    ensure(
        lambda: aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, **own), created
    )


def capacity_changes(
    recorded: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Return the request that sets the variants of *found* to the desired state that was *recorded*."""
    now = {variant["VariantName"]: desired_capacity(variant) for variant in found["ProductionVariants"]}
    return [wanted for wanted in recorded if now.get(wanted["VariantName"]) != wanted]


def _put_on(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """Create the missing components, base components first, and wait until all are in service."""
    coming = []
    for component in record["components"]:
        base = attached.base_component(component)
        if base in coming:
            raise NotFinishedError(f"inference component {base}, which others stand on, is being created")
        name = component["name"]
        found = attached.find_component(aws, name)
        if found is None:
            _make(
                steps,
                f"create inference component {name}",
                partial(attached.create_component, aws, component),
            )
        elif found["EndpointName"] != record["endpoint"]:
            raise CannotActError(f"an inference component on {found['EndpointName']} has the name {name} now")
        elif found["InferenceComponentStatus"] == "Failed":
            if found["CreationTime"].isoformat() != component["created"]:
                delete = partial(aws.sagemaker.delete_inference_component, InferenceComponentName=name)
                _make(steps, f"clear away inference component {name} that AWS could not create", delete)
            raise creation_error(f"inference component {name}", found)
        if found is None or found["InferenceComponentStatus"] != ENDPOINT_IN_SERVICE:
            coming.append(name)
    if coming:
        raise NotFinishedError(f"inference component {', '.join(coming)} is being created")
