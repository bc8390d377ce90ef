"""An endpoint's inference components and its scaling: reading, removal and restoration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import batched
from typing import Any, Final

from ml_janitor.aws import tags
from ml_janitor.aws.calls import ReadError, ensure, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import DESCRIBE_SCALABLE_TARGETS, ENDPOINT_GONE, ENDPOINT_IN_SERVICE
from ml_janitor.aws.sagemaker_kinds import COMPONENT, fit_request
from ml_janitor.core.model import Value
from ml_janitor.engine.detector import CannotActError, Steps

SCALING_SERVICE: Final = "application-autoscaling"
SCALING_ACTIVITIES = f"{SCALING_SERVICE}:DescribeScalingActivities"
_RESOURCES_PER_CALL = 50
_TARGET_KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
"""The members that identify a scalable target, also in the calls about it."""


# --- inference components --------------------------------------------------------------------------


def read_components(aws: Aws, endpoint: str) -> list[dict[str, Any]]:
    """
    Return every inference component on *endpoint* as plain JSON, the base components first.

    Raises CannotActError for a component that is not in service: an undo would not bring its state back.
    """
    records = aws.map(lambda name: _component(aws, name), list(_listed(aws, endpoint)))
    return sorted(records, key=lambda record: (base_component(record) is not None, record["name"]))


def _listed(aws: Aws, endpoint: str) -> Iterator[str]:
    pages = aws.pages(COMPONENT.lists, EndpointNameEquals=endpoint)
    return (found["InferenceComponentName"] for page in pages for found in page["InferenceComponents"])


def _component(aws: Aws, name: str) -> dict[str, Any]:
    found: Any = aws.sagemaker.describe_inference_component(InferenceComponentName=name)
    status = found["InferenceComponentStatus"]
    if status != ENDPOINT_IN_SERVICE:
        raise CannotActError(f"the inference component {name} on it is {status}, not {ENDPOINT_IN_SERVICE}")
    return {
        "name": name,
        "arn": found["InferenceComponentArn"],
        "variant": found.get("VariantName", ""),
        "created": found["CreationTime"].isoformat(),
        "changed": max(found["CreationTime"], found["LastModifiedTime"]).isoformat(),
        "arguments": component_arguments(aws, found),
        "tags": read_own_tags(aws, found["InferenceComponentArn"]),
    }


def component_arguments(aws: Aws, described: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of CreateInferenceComponent for another component like the one *described*.

    The description holds the image as deployed, the copies as desired, and either one specification or one
    per instance type. An adapter uses its base's copies, compute and variant.
    """
    whole = dict(described)
    if whole.get("Specifications"):
        del whole["Specification"]
        whole["Specifications"] = [_specification(specification) for specification in whole["Specifications"]]
    else:
        whole["Specification"] = _specification(whole["Specification"])
    if "BaseInferenceComponentName" in whole.get("Specification", {}):
        del whole["VariantName"]
        whole["Specification"].pop("ComputeResourceRequirements", None)
        whole.pop("RuntimeConfig", None)
    else:
        whole["RuntimeConfig"] = {"CopyCount": whole["RuntimeConfig"]["DesiredCopyCount"]}
    return fit_request(aws, "sagemaker", "CreateInferenceComponent", whole)


def _specification(described: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(described)
    if image := whole.get("Container", {}).get("DeployedImage", {}).get("SpecifiedImage"):
        whole["Container"] = {**whole["Container"], "Image": image}
    return whole


def base_component(record: Mapping[str, Any]) -> str | None:
    """Return the base component of an adapter; None for a component of its own."""
    base: str | None = record["arguments"].get("Specification", {}).get("BaseInferenceComponentName")
    return base


def find_component(aws: Aws, name: str) -> Mapping[str, Any] | None:
    """Return the present description of the component *name*, or None if it does not exist."""
    found: Any = unless_gone(
        lambda: aws.sagemaker.describe_inference_component(InferenceComponentName=name), ENDPOINT_GONE
    )
    if found is None:
        return None
    if "InferenceComponentStatus" not in found:
        raise ReadError(f"the description of inference component {name} was cut off")
    return dict(found)


def delete_component(aws: Aws, record: Mapping[str, Any]) -> None:
    """
    Delete the very component of *record*. Success also if it is gone, being
    deleted, or replaced by another.
    """
    if not is_component_attached(aws, record):
        return
    ensure(
        lambda: aws.sagemaker.delete_inference_component(InferenceComponentName=record["name"]),
        lambda: not is_component_attached(aws, record),
    )


def is_component_attached(aws: Aws, record: Mapping[str, Any]) -> bool:
    """Return whether the very component of *record* exists, and is not being deleted."""
    found = find_same_component(aws, record)
    return found is not None and found["InferenceComponentStatus"] != "Deleting"


def find_same_component(aws: Aws, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the description of the very component of *record*; None if another has its name now."""
    found = find_component(aws, record["name"])
    if found is None or found["CreationTime"].isoformat() != record["created"]:
        return None
    return found


def find_other_component(aws: Aws, endpoint: str, records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name of a component on *endpoint* that is not among *records*; None if there is none."""
    created = {record["name"]: record["created"] for record in records}
    for name in _listed(aws, endpoint):
        found = find_component(aws, name)  # a listing may still name a deleted component
        if found is not None and found["CreationTime"].isoformat() != created.get(name):
            return name
    return None


def create_component(aws: Aws, record: Mapping[str, Any]) -> None:
    """Create the component of *record* again. A component of its name on the same endpoint is success."""
    arguments = record["arguments"]

    def created() -> bool:
        found = find_component(aws, record["name"])
        return found is not None and found["EndpointName"] == arguments["EndpointName"]

    ensure(
        lambda: aws.sagemaker.create_inference_component(**arguments, **tags.tags_argument(record["tags"])),
        created,
    )


def read_own_tags(aws: Aws, arn: str) -> dict[str, str]:
    """Return the tags of *arn* that can be set again: AWS's own cannot. Raises ReadError."""
    match tags.read_sagemaker_tags(aws, arn):
        case Value(read):
            return tags.settable_tags(read)
        case unread:
            raise ReadError(f"the tags of {arn} could not be read: {getattr(unread, 'error', unread)}")


# --- scaling ---------------------------------------------------------------------------------------


def read_scaling(aws: Aws, resources: Sequence[str]) -> list[dict[str, Any]]:
    """
    Return the scaling of *resources* ("endpoint/NAME/variant/NAME") as plain
    JSON, with all that depends on it.

    Raises CannotActError for a step policy that somebody's own alarm calls: the alarm names the policy by an
    ARN that AWS makes anew, so it would call nothing after an undo.
    """
    found = []
    for asked in batched(resources, _RESOURCES_PER_CALL):
        pages = aws.pages(DESCRIBE_SCALABLE_TARGETS, ServiceNamespace="sagemaker", ResourceIds=list(asked))
        found += [target for page in pages for target in page["ScalableTargets"]]
    return [_scalable_target(aws, target) for target in found]


def was_scaling_at(aws: Aws, endpoint: str, variants: Iterable[str], at: datetime) -> bool:
    """
    Return whether Application Auto Scaling was changing one of *variants* at time *at*, and succeeded.

    An activity lasts from before its request to SageMaker until SageMaker has fulfilled the request.
    """
    resources = (f"endpoint/{endpoint}/variant/{variant}" for variant in variants)
    return any(
        activity["StartTime"] <= at <= activity["EndTime"]
        for resource in resources
        for page in aws.pages(SCALING_ACTIVITIES, ServiceNamespace="sagemaker", ResourceId=resource)
        for activity in page["ScalingActivities"]
        if activity["StatusCode"] == "Successful"
    )


def _scalable_target(aws: Aws, target: Mapping[str, Any]) -> dict[str, Any]:
    where = {name: target[name] for name in _TARGET_KEY}
    policies = list(_hanging(aws, "ScalingPolicies", where))
    for policy in policies:
        if policy["PolicyType"] == "StepScaling" and (alarms := policy.get("Alarms")):
            raise CannotActError(
                f"the alarm {alarms[0]['AlarmName']} calls the scaling policy {policy['PolicyName']} of "
                f"{where['ResourceId']}, and could not call the one that an undo makes"
            )
    actions = _hanging(aws, "ScheduledActions", where)
    arn = target.get("ScalableTargetARN")
    own = aws.client(SCALING_SERVICE).list_tags_for_resource(ResourceARN=arn)["Tags"] if arn else {}
    registered = fit_request(aws, SCALING_SERVICE, "RegisterScalableTarget", target)
    registered.pop("RoleARN", None)  # SageMaker's role is service-linked, and AWS uses it by itself
    return {
        "target": registered,
        "tags": tags.settable_tags(own),
        "policies": [fit_request(aws, SCALING_SERVICE, "PutScalingPolicy", policy) for policy in policies],
        "actions": [fit_request(aws, SCALING_SERVICE, "PutScheduledAction", action) for action in actions],
    }


def _hanging(aws: Aws, members: str, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for page in aws.pages(f"{SCALING_SERVICE}:Describe{members}", **where):
        yield from page[members]


def stop_scaling(aws: Aws, record: Mapping[str, Any]) -> None:
    """
    Stop scaling the target of *record*, its policies and scheduled actions
    included. Already stopped is success.
    """
    where = {name: record["target"][name] for name in _TARGET_KEY}
    unless_gone(
        lambda: aws.client(SCALING_SERVICE).deregister_scalable_target(**where), ("ObjectNotFoundException",)
    )


def restore_scaling(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """Restore the scaling of *record*. Each call replaces what is there, so that it can be repeated."""
    client, resource = aws.client(SCALING_SERVICE), record["target"]["ResourceId"]
    steps.do(f"scale {resource}", partial(_register, aws, record))
    for policy in record["policies"]:
        name = policy["PolicyName"]
        steps.do(f"scale {resource} by policy {name}", partial(client.put_scaling_policy, **policy))
    for action in record["actions"]:
        name = action["ScheduledActionName"]
        steps.do(f"scale {resource} as scheduled by {name}", partial(_schedule, aws, action))


def _register(aws: Aws, record: Mapping[str, Any]) -> None:
    """Register the target, then tag it: AWS refuses registering again with tags, as after a lost answer."""
    client = aws.client(SCALING_SERVICE)
    arn = client.register_scalable_target(**record["target"])["ScalableTargetARN"]
    if record["tags"]:
        client.tag_resource(ResourceARN=arn, Tags=record["tags"])


def _schedule(aws: Aws, action: Mapping[str, Any]) -> None:
    """Put the scheduled *action*. AWS refuses an action whose time is over, which needs nothing more."""
    once = action["Schedule"].startswith("at(") or "EndTime" in action
    ensure(
        lambda: aws.client(SCALING_SERVICE).put_scheduled_action(**action),
        lambda: once,
        codes=("ValidationException",),
    )
