"""Application Auto Scaling: what may scale, by which policies and when. Only a new minimum scales here.

moto's own pages repeat or lose entries, it leaves policies behind when a target goes, and it knows neither
inference components nor provisioned concurrency.
"""

import datetime as dt
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from moto_corrections import clock
from moto_corrections.patches import AwsError, Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.endpoints import reweigh
from moto_corrections.sagemaker.store import KINDS, resources
from moto_corrections.scaling import (
    Target,
    Where,
    none_of,
    page,
    target_of,
    targets,
    uuid_of,
    where_of,
    within,
)

SERVICE_ROLES = {
    "sagemaker": "sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
}
NOT_SUSPENDED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}
VARIANT = "sagemaker:variant:"
COMPONENT = "sagemaker:inference-component:"


@serves("application-autoscaling", "RegisterScalableTarget")
def register(call: Call) -> dict[str, Any]:
    """Register a target: a new one needs both capacities; an old one keeps what is not named."""
    params, where = call.params, where_of(call)
    _check_resource(call, where)
    given = {
        name: params[name]
        for name in ("MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState")
        if params.get(name) is not None
    }
    target = targets(call).get(where)
    if target is None:
        if not {"MinCapacity", "MaxCapacity"} <= given.keys():
            raise rejected("MinCapacity and MaxCapacity are required when you register a new scalable target")
        role = SERVICE_ROLES.get(where[0], f"{where[0]}.application-autoscaling.amazonaws.com/role")
        names = dict(zip(("ServiceNamespace", "ResourceId", "ScalableDimension"), where, strict=True))
        target = Target(
            names
            | {
                "ScalableTargetARN": call.arn("application-autoscaling", f"scalable-target/{uuid_of(where)}"),
                "RoleARN": f"arn:{call.partition}:iam::{call.account}:role/aws-service-role/{role}",
                "SuspendedState": dict(NOT_SUSPENDED),
                "CreationTime": clock.now(),
            },
            tags=dict(params.get("Tags") or {}),
        )
    elif params.get("Tags"):
        raise rejected(
            "The scalable target that you tried to tag already exists. "
            "To update tags on an existing scalable target, use the TagResource API."
        )
    suspended = target.members["SuspendedState"] | given.pop("SuspendedState", {})
    changed = target.members | given | {"SuspendedState": suspended}
    if changed["MinCapacity"] > changed["MaxCapacity"]:
        raise rejected("Maximum capacity cannot be less than minimum capacity")
    target.members = changed
    targets(call)[where] = target
    _scale_out(call, where, target)
    return {"ScalableTargetARN": target.members["ScalableTargetARN"]}


def _scale_out(call: Call, where: Where, target: Target) -> None:
    """
    Give an endpoint's variant the minimum of instances, as an activity that ends when SageMaker has done so.

    Its words are those of recorded activities of sagemaker; a refusal by SageMaker makes it Failed.
    """
    least = target.members["MinCapacity"]
    if where[2] != "sagemaker:variant:DesiredInstanceCount":
        return
    _, name, _, variant = where[1].split("/")
    endpoint = resources(call, KINDS["endpoints"])[name]
    now = next(item for item in endpoint.members["ProductionVariants"] if item["VariantName"] == variant)
    if endpoint.status == "Creating" or now.get("DesiredInstanceCount", least) >= least:
        return
    activity: dict[str, Any] = {
        "ActivityId": f"{len(target.activities):08}-{uuid_of(where)}",
        **{name: target.members[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")},
        "Description": f"Setting desired instance count to {least}.",
        "Cause": f"minimum capacity was set to {least}",
        "StartTime": clock.now(),
    }
    target.activities.append(activity)
    if endpoint.status != "InService":
        activity |= {"StatusCode": "Failed", "EndTime": clock.now()}
        return
    reweigh(call, endpoint, [{"VariantName": variant, "DesiredInstanceCount": least}])
    ends = clock.now() + progress.takes("endpoint.update")
    activity |= {
        "StatusCode": "Successful",
        "StatusMessage": f"Successfully set desired instance count to {least}. "
        "Change successfully fulfilled by sagemaker.",
        "EndTime": ends + dt.timedelta(seconds=20),
    }


def _check_resource(call: Call, where: Where) -> None:
    """
    Check that its id has the form that its dimension wants, and that SageMaker has it.

    It need not be in service: "If the specified resource is not active in the target service, this
    operation does not change the resource's current capacity" (RegisterScalableTarget). AWS's words
    for one that there is not are not documented.
    """
    namespace, resource, dimension = where
    if not dimension.startswith(f"{namespace}:"):
        raise rejected("Unsupported service namespace, resource type or scalable dimension")
    match resource.split("/"):
        case ["endpoint", name, "variant", variant] if dimension.startswith(VARIANT):
            endpoint = resources(call, KINDS["endpoints"]).get(name)
            there = endpoint is not None and variant in _variants(endpoint.members)
        case ["inference-component", name] if dimension.startswith(COMPONENT):
            there = name in resources(call, KINDS["inference_components"])
        case _:
            there = namespace != "sagemaker"
    if not there:
        raise rejected(f"{namespace} has no {resource} that scales by {dimension}.")


def _variants(members: dict[str, Any]) -> set[str]:
    return {item["VariantName"] for item in members.get("ProductionVariants", ())}


@serves("application-autoscaling", "DescribeScalableTargets")
def describe_targets(call: Call) -> dict[str, Any]:
    """Describe targets, by resource and dimension."""
    wanted = set(call.params.get("ResourceIds") or ())
    found = [target.members for where, target in within(call) if not wanted or where[1] in wanted]
    return page(call, "ScalableTargets", found, named=bool(wanted))


@serves("application-autoscaling", "DescribeScalingActivities")
def describe_activities(call: Call) -> dict[str, Any]:
    """Describe the ended activities of the previous six weeks, by resource and dimension."""
    resource, now = call.params.get("ResourceId"), clock.now()
    found = [
        activity
        for where, target in within(call)
        if resource in (None, where[1])
        for activity in target.activities
        if now - dt.timedelta(weeks=6) <= activity["StartTime"] and activity["EndTime"] <= now
    ]
    return page(call, "ScalingActivities", found, named=resource is not None)


@serves("application-autoscaling", "DeregisterScalableTarget")
def deregister(call: Call) -> None:
    """
    Deregister a target; AWS "deletes the scaling policies and the scheduled actions that are
    associated with it" (its documentation).
    """
    target_of(call)
    del targets(call)[where_of(call)]


# --- their tags -----------------------------------------------------------------------------------


@serves("application-autoscaling", "ListTagsForResource")
def list_tags(call: Call) -> dict[str, Any]:
    """List the tags of a target; policies and actions have none."""
    return {"Tags": dict(_by_arn(call).tags)}


@serves("application-autoscaling", "TagResource")
def tag(call: Call) -> None:
    """Add tags; a key that is there already gets the new value."""
    _by_arn(call).tags |= call.params["Tags"]


@serves("application-autoscaling", "UntagResource")
def untag(call: Call) -> None:
    """Remove tags; keys that are not there are no error."""
    target = _by_arn(call)
    target.tags = {key: value for key, value in target.tags.items() if key not in call.params["TagKeys"]}


def _by_arn(call: Call) -> Target:
    arn = call.params["ResourceARN"]
    for target in targets(call).values():
        if target.members["ScalableTargetARN"] == arn:
            return target
    raise AwsError("ResourceNotFoundException", f"No scalable target found for ARN {arn}")


# --- policies and scheduled actions --------------------------------------------------------------


@serves("application-autoscaling", "PutScalingPolicy")
def put_policy(call: Call) -> dict[str, Any]:
    """
    Make or replace a policy. A tracking policy's alarms are named, and CloudWatch has none of them.

    Step scaling makes no alarms of its own.
    """
    target, params, where = target_of(call), call.params, where_of(call)
    name = params["PolicyName"]
    old = target.policies.get(name, {})
    kind = params.get("PolicyType") or old.get("PolicyType") or "StepScaling"
    about = f"{uuid_of((*where, name))}:resource/{where[0]}/{where[1]}:policyName/{name}"
    alarms = [
        f"TargetTracking-{where[1]}-Alarm{side}-{uuid_of((*where, name, side))}" for side in ("High", "Low")
    ]
    policy = params | {
        "PolicyType": kind,
        "PolicyARN": old.get("PolicyARN") or call.arn("autoscaling", f"scalingPolicy:{about}"),
        "CreationTime": old.get("CreationTime") or clock.now(),
        "Alarms": [
            {"AlarmName": alarm, "AlarmARN": call.arn("cloudwatch", f"alarm:{alarm}")} for alarm in alarms
        ]
        if kind == "TargetTrackingScaling"
        else [],
    }
    target.policies[name] = policy
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}


@serves("application-autoscaling", "PutScheduledAction")
def put_action(call: Call) -> None:
    """
    Make or change an action.

    "If you don't specify start and end times, the old values are deleted" (its documentation).
    """
    target, params, where = target_of(call), call.params, where_of(call)
    name = params["ScheduledActionName"]
    old = {key: value for key, value in target.actions.get(name, {}).items() if not key.endswith("Time")}
    if not (params.get("Schedule") or old.get("Schedule")):
        raise rejected("Schedule is required for a new scheduled action")
    about = f"{uuid_of((*where, name))}:resource/{where[0]}/{where[1]}:scheduledActionName/{name}"
    target.actions[name] = (
        {"Timezone": "UTC", "CreationTime": clock.now()}
        | old
        | {key: value for key, value in params.items() if value is not None}
        | {"ScheduledActionARN": call.arn("autoscaling", f"scheduledAction:{about}")}
    )


def _serve(
    noun: str, plural: str, words: str, name: str, hanging: Callable[[Target], dict[str, Any]]
) -> None:
    """Serve descriptions by resource, dimension and name, and deletions, none of them twice."""

    @serves("application-autoscaling", f"Describe{plural}")
    def describe(call: Call) -> dict[str, Any]:
        resource, names = call.params.get("ResourceId"), set(call.params.get(f"{name}s") or ())
        found = [
            item
            for where, target in within(call)
            if resource in (None, where[1])
            for item in hanging(target).values()
            if not names or item[name] in names
        ]
        return page(call, plural, found, named=resource is not None)

    @serves("application-autoscaling", f"Delete{noun}")
    def delete(call: Call) -> None:
        if hanging(target_of(call)).pop(call.params[name], None) is None:
            raise none_of(f"{words} found with name {call.params[name]}", where_of(call))


_serve("ScalingPolicy", "ScalingPolicies", "scaling policy", "PolicyName", attrgetter("policies"))
_serve(
    "ScheduledAction", "ScheduledActions", "scheduled action", "ScheduledActionName", attrgetter("actions")
)
