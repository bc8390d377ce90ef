"""What hangs on a scalable target of Application Auto Scaling: scaling policies and scheduled actions."""

from __future__ import annotations

from typing import Any

from ml_janitor_sandbox import clock
from ml_janitor_sandbox.patches import Call, rejected, serves
from ml_janitor_sandbox.scaling import arn_of, none_of, page, target_of, uuid_of, where_of, within


@serves("application-autoscaling", "PutScalingPolicy")
def put_policy(call: Call) -> dict[str, Any]:
    """
    Made or replaced. The alarms of a tracking policy are named, and CloudWatch has none of them.

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
    made = params | {
        "PolicyType": kind,
        "PolicyARN": old.get("PolicyARN") or arn_of(call, "autoscaling", f"scalingPolicy:{about}"),
        "CreationTime": old.get("CreationTime") or clock.now(),
        "Alarms": [
            {"AlarmName": alarm, "AlarmARN": arn_of(call, "cloudwatch", f"alarm:{alarm}")} for alarm in alarms
        ]
        if kind == "TargetTrackingScaling"
        else [],
    }
    target.policies[name] = made
    return {"PolicyARN": made["PolicyARN"], "Alarms": made["Alarms"]}


@serves("application-autoscaling", "DescribeScalingPolicies")
def describe_policies(call: Call) -> dict[str, Any]:
    """By resource, dimension and name."""
    return _hanging(call, "ScalingPolicies", "PolicyName")


@serves("application-autoscaling", "DeleteScalingPolicy")
def delete_policy(call: Call) -> dict[str, Any]:
    """Another than none is not deleted twice."""
    if target_of(call).policies.pop(call.params["PolicyName"], None) is None:
        raise none_of(f"scaling policy found with name {call.params['PolicyName']}", where_of(call))
    return {}


@serves("application-autoscaling", "PutScheduledAction")
def put_action(call: Call) -> dict[str, Any]:
    """
    Made or changed.

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
        | {"ScheduledActionARN": arn_of(call, "autoscaling", f"scheduledAction:{about}")}
    )
    return {}


@serves("application-autoscaling", "DescribeScheduledActions")
def describe_actions(call: Call) -> dict[str, Any]:
    """By resource, dimension and name."""
    return _hanging(call, "ScheduledActions", "ScheduledActionName")


@serves("application-autoscaling", "DeleteScheduledAction")
def delete_action(call: Call) -> dict[str, Any]:
    """Another than none is not deleted twice."""
    if target_of(call).actions.pop(call.params["ScheduledActionName"], None) is None:
        raise none_of(
            f"scheduled action found with name {call.params['ScheduledActionName']}", where_of(call)
        )
    return {}


def _hanging(call: Call, member: str, name: str) -> dict[str, Any]:
    resource, names = call.params.get("ResourceId"), set(call.params.get(f"{name}s") or ())
    found = [
        one
        for where, target in within(call)
        if resource in (None, where[1])
        for one in (target.policies if name == "PolicyName" else target.actions).values()
        if not names or one[name] in names
    ]
    return page(call, member, found, named=resource is not None)
