"""Application Auto Scaling of SageMaker's variants and inference components: read, taken off, put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from ml_janitor.aws.answers import ensure, unless_gone
from ml_janitor.aws.request_members import fitted
from ml_janitor.engine.detector import CannotActError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.detector import Steps

SERVICE: Final = "application-autoscaling"
ACTIVITIES = f"{SERVICE}:DescribeScalingActivities"
RESOURCES_PER_CALL = 50
WHERE = ("ServiceNamespace", "ResourceId", "ScalableDimension")
"""What identifies a scalable target, and in which calls about it are made."""


def read(aws: Aws, resources: Sequence[str]) -> list[dict[str, Any]]:
    """
    What scales *resources* ("endpoint/NAME/variant/NAME"), as plain JSON, with everything that hangs on it.

    Raises CannotActError for a step policy that somebody's own alarm calls: the alarm names the policy
    by an ARN that AWS makes anew, so it would call nothing after an undo.
    """
    client = aws.client(SERVICE)
    found = []
    for asked in batched(resources, RESOURCES_PER_CALL):
        pages = client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace="sagemaker", ResourceIds=list(asked)
        )
        found += [target for page in pages for target in page["ScalableTargets"]]
    return [_record(aws, target) for target in found]


def explains(aws: Aws, endpoint: str, variants: Iterable[str], at: datetime) -> bool:
    """
    Whether Application Auto Scaling was changing one of *variants* of *endpoint* at *at*, and succeeded.

    An activity lasts from before it asks SageMaker for another capacity until SageMaker has fulfilled that.
    """
    pages = aws.client(SERVICE).get_paginator("describe_scaling_activities")
    return any(
        activity["StartTime"] <= at <= activity["EndTime"]
        for variant in variants
        for page in pages.paginate(
            ServiceNamespace="sagemaker", ResourceId=f"endpoint/{endpoint}/variant/{variant}"
        )
        for activity in page["ScalingActivities"]
        if activity["StatusCode"] == "Successful"
    )


def _record(aws: Aws, target: Mapping[str, Any]) -> dict[str, Any]:
    where = {name: target[name] for name in WHERE}
    policies = list(_hanging(aws, "describe_scaling_policies", "ScalingPolicies", where))
    for policy in policies:
        if policy["PolicyType"] == "StepScaling" and (alarms := policy.get("Alarms")):
            raise CannotActError(
                f"the alarm {alarms[0]['AlarmName']} calls the scaling policy {policy['PolicyName']} of "
                f"{where['ResourceId']}, and could not call the one that an undo makes"
            )
    actions = _hanging(aws, "describe_scheduled_actions", "ScheduledActions", where)
    arn = target.get("ScalableTargetARN")
    tags = aws.client(SERVICE).list_tags_for_resource(ResourceARN=arn)["Tags"] if arn else {}
    registered = fitted(aws, SERVICE, "RegisterScalableTarget", target)
    registered.pop("RoleARN", None)  # SageMaker's is service-linked, and AWS takes it by itself
    return {
        "target": registered,
        "tags": {key: value for key, value in tags.items() if not key.startswith("aws:")},
        "policies": [fitted(aws, SERVICE, "PutScalingPolicy", policy) for policy in policies],
        "actions": [fitted(aws, SERVICE, "PutScheduledAction", action) for action in actions],
    }


def _hanging(aws: Aws, operation: str, members: str, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for page in aws.client(SERVICE).get_paginator(operation).paginate(**where):
        yield from page[members]


def take_off(aws: Aws, record: Mapping[str, Any]) -> None:
    """Scale it no longer; its policies and scheduled actions go with it. Already so is success."""
    where = {name: record["target"][name] for name in WHERE}
    unless_gone(lambda: aws.client(SERVICE).deregister_scalable_target(**where), ("ObjectNotFoundException",))


def put_back(aws: Aws, record: Mapping[str, Any], steps: Steps) -> None:
    """Scale it as *record* says. Each call replaces what is there, so that it can be made twice."""
    client, resource = aws.client(SERVICE), record["target"]["ResourceId"]
    steps.do(f"scale {resource}", partial(_register, aws, record))
    for policy in record["policies"]:
        name = policy["PolicyName"]
        steps.do(f"scale {resource} by policy {name}", partial(client.put_scaling_policy, **policy))
    for action in record["actions"]:
        name = action["ScheduledActionName"]
        steps.do(f"scale {resource} as scheduled by {name}", partial(_schedule, aws, action))


def _register(aws: Aws, record: Mapping[str, Any]) -> None:
    """Tags come afterwards: registering again with tags is refused, and after a lost answer it is again."""
    client = aws.client(SERVICE)
    arn = client.register_scalable_target(**record["target"])["ScalableTargetARN"]
    if record["tags"]:
        client.tag_resource(ResourceARN=arn, Tags=record["tags"])


def _schedule(aws: Aws, action: Mapping[str, Any]) -> None:
    """One whose time is over is refused, and has nothing left to do."""
    once = action["Schedule"].startswith("at(") or "EndTime" in action
    ensure(
        lambda: aws.client(SERVICE).put_scheduled_action(**action),
        lambda: once,
        codes=("ValidationException",),
    )
