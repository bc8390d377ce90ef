"""Application Auto Scaling over SageMaker: targets, what hangs on them, and what an endpoint takes along."""

from typing import Any

import pytest

from corrected import NOW
from plain_requests import ROLE, component, refusal, refused

ON = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    "ScaleInCooldown": 300,
}


@pytest.fixture
def scaling(aws: Any, endpoint: Any) -> Any:
    """A client, an endpoint "e" and its scalable target."""
    endpoint("e")
    client = aws("application-autoscaling")
    client.register_scalable_target(**ON, MinCapacity=1, MaxCapacity=4)
    return client


def track(scaling: Any, **more: Any) -> Any:
    asked = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    return scaling.put_scaling_policy(**ON | asked | more, TargetTrackingScalingPolicyConfiguration=TRACKING)


def weekend(scaling: Any, **more: Any) -> None:
    asked = {"ScheduledActionName": "weekend", "Schedule": "cron(0 20 ? * FRI *)"}
    scaling.put_scheduled_action(
        **ON | asked | more, ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 0}
    )


def targets(scaling: Any, **asked: Any) -> list[Any]:
    return list(scaling.describe_scalable_targets(ServiceNamespace="sagemaker", **asked)["ScalableTargets"])


def activities(scaling: Any) -> list[Any]:
    found: list[Any] = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=ON["ResourceId"]
    )["ScalingActivities"]
    return found


def test_a_new_minimum_scales_out_as_an_activity(scaling: Any, sagemaker: Any, later: Any) -> None:
    """It lasts until SageMaker has fulfilled it, and is told from then on, for six weeks."""
    assert activities(scaling) == []
    later(hours=1)
    scaling.register_scalable_target(**ON, MinCapacity=3)
    assert activities(scaling) == []
    later(minutes=7)
    (activity,) = activities(scaling)
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    assert activity["StartTime"] < found["LastModifiedTime"] < activity["EndTime"]
    assert (activity["StatusCode"], activity["Description"]) == (
        "Successful",
        "Setting desired instance count to 3.",
    )
    later(days=45)
    assert activities(scaling) == []


def test_scaling_during_a_deployment_fails(scaling: Any, sagemaker: Any, later: Any) -> None:
    later(hours=1)
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e")
    scaling.register_scalable_target(**ON, MinCapacity=3)
    assert [one["StatusCode"] for one in activities(scaling)] == ["Failed"]
    assert sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["DesiredInstanceCount"] == 1


def test_a_target_is_registered_changed_and_deregistered(scaling: Any) -> None:
    (target,) = targets(scaling, ResourceIds=[ON["ResourceId"]])
    assert (target["MinCapacity"], target["MaxCapacity"], target["CreationTime"]) == (1, 4, NOW)
    assert target["RoleARN"].endswith("ForApplicationAutoScaling_SageMakerEndpoint")
    assert not any(target["SuspendedState"].values())
    scaling.register_scalable_target(**ON, MaxCapacity=9, SuspendedState={"DynamicScalingInSuspended": True})
    (changed,) = targets(scaling)
    assert (changed["MinCapacity"], changed["MaxCapacity"]) == (1, 9)
    assert changed["ScalableTargetARN"] == target["ScalableTargetARN"]
    assert changed["SuspendedState"] == target["SuspendedState"] | {"DynamicScalingInSuspended": True}
    scaling.deregister_scalable_target(**ON)
    assert targets(scaling) == []
    said = refusal(scaling.deregister_scalable_target, **ON)
    assert "ObjectNotFoundException" in said
    assert ": No scalable target registered for service namespace: sagemaker" in said


def test_a_target_needs_capacities_and_a_resource_that_there_is(scaling: Any, aws: Any) -> None:
    ghost = ON | {"ResourceId": "endpoint/e/variant/ghost"}
    assert (
        refused(scaling.register_scalable_target, **ghost, MinCapacity=1, MaxCapacity=2)
        == "ValidationException"
    )
    other = ON | {"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}
    assert (
        refused(scaling.register_scalable_target, **other, MinCapacity=1, MaxCapacity=2)
        == "ValidationException"
    )
    scaling.deregister_scalable_target(**ON)
    assert "MinCapacity and MaxCapacity" in refusal(scaling.register_scalable_target, **ON)
    assert (
        refused(scaling.register_scalable_target, **ON, MinCapacity=3, MaxCapacity=2) == "ValidationException"
    )
    assert targets(aws("application-autoscaling", region="eu-west-1")) == []


def test_serverless_variants_and_components_scale_too(aws: Any, sagemaker: Any, endpoint: Any) -> None:
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
    endpoint("s", variant={"VariantName": "v", "ModelName": "any-model", "ServerlessConfig": serverless})
    variant = {"VariantName": "v", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
    endpoint("i", variant=variant, ExecutionRoleArn=ROLE)
    component(sagemaker, "c", "i", variant="v")
    scaling = aws("application-autoscaling")
    for resource, dimension in (
        ("endpoint/s/variant/v", "sagemaker:variant:DesiredProvisionedConcurrency"),
        ("inference-component/c", "sagemaker:inference-component:DesiredCopyCount"),
    ):
        where = ON | {"ResourceId": resource, "ScalableDimension": dimension}
        scaling.register_scalable_target(**where, MinCapacity=1, MaxCapacity=4)
        (found,) = targets(scaling, ResourceIds=[resource], ScalableDimension=dimension)
        assert found["ScalableDimension"] == dimension


def test_a_policy_is_put_back_as_it_was_described(scaling: Any) -> None:
    made = track(scaling)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=ON["ResourceId"])[
        "ScalingPolicies"
    ]
    assert policy["PolicyARN"] == made["PolicyARN"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == TRACKING
    assert [one["AlarmName"] for one in policy["Alarms"]] == [one["AlarmName"] for one in made["Alarms"]]
    scaling.delete_scaling_policy(**ON, PolicyName="p")
    assert refused(scaling.delete_scaling_policy, **ON, PolicyName="p") == "ObjectNotFoundException"
    shape = scaling.meta.service_model.operation_model("PutScalingPolicy").input_shape
    scaling.put_scaling_policy(**{name: policy[name] for name in policy if name in shape.members})
    (again,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert again == policy


def test_scheduled_actions_change_and_lose_times_that_are_not_named(scaling: Any) -> None:
    weekend(scaling, StartTime=NOW, Timezone="Europe/Berlin")
    (action,) = scaling.describe_scheduled_actions(
        ServiceNamespace="sagemaker", ScheduledActionNames=["weekend"]
    )["ScheduledActions"]
    assert (action["StartTime"], action["Timezone"]) == (NOW, "Europe/Berlin")
    assert action["ScalableTargetAction"] == {"MinCapacity": 0, "MaxCapacity": 0}
    weekend(scaling)
    (action,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert "StartTime" not in action
    scaling.delete_scheduled_action(**ON, ScheduledActionName="weekend")
    assert (
        refused(scaling.delete_scheduled_action, **ON, ScheduledActionName="weekend")
        == "ObjectNotFoundException"
    )


def test_nothing_hangs_on_a_target_that_there_is_not(scaling: Any) -> None:
    track(scaling)
    weekend(scaling)
    scaling.deregister_scalable_target(**ON)
    scaling.register_scalable_target(**ON, MinCapacity=1, MaxCapacity=4)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    assert scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"] == []
    scaling.deregister_scalable_target(**ON)
    for put in (track, weekend):
        assert "ObjectNotFoundException" in refusal(put, scaling)


def test_a_deletion_takes_its_targets_along(scaling: Any, sagemaker: Any, endpoint: Any, later: Any) -> None:
    endpoint("e2")
    scaling.register_scalable_target(
        **ON | {"ResourceId": "endpoint/e2/variant/main"}, MinCapacity=1, MaxCapacity=4
    )
    track(scaling)
    sagemaker.delete_endpoint(EndpointName="e")
    assert [one["ResourceId"] for one in targets(scaling)] == ["endpoint/e2/variant/main"]
    later(minutes=1)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e")
    assert len(targets(scaling)) == 1
    scaling.register_scalable_target(**ON, MinCapacity=1, MaxCapacity=4)  # while it is Creating
    track(scaling)


def test_a_scaled_variant_keeps_its_instance_type(scaling: Any, sagemaker: Any) -> None:
    variant = {
        "VariantName": "main",
        "ModelName": "any-model",
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="bigger", ProductionVariants=[variant])
    deploy = {"EndpointName": "e", "EndpointConfigName": "bigger"}
    assert refused(sagemaker.update_endpoint, **deploy) == "ValidationException"
    scaling.deregister_scalable_target(**ON)
    sagemaker.update_endpoint(**deploy)


def test_lists_come_in_pages_that_survive_deletions(aws: Any, endpoint: Any) -> None:
    scaling = aws("application-autoscaling")
    for number in range(7):
        endpoint(f"e{number}")
        where = ON | {"ResourceId": f"endpoint/e{number}/variant/main"}
        scaling.register_scalable_target(**where, MinCapacity=1, MaxCapacity=4)
    pages = scaling.get_paginator("describe_scalable_targets").paginate(
        ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 3}
    )
    assert [len(page["ScalableTargets"]) for page in pages] == [3, 3, 1]
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", MaxResults=3, **token)
        for one in page["ScalableTargets"]:
            seen.append(one["ResourceId"])
            scaling.deregister_scalable_target(**ON | {"ResourceId": one["ResourceId"]})
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(seen) == [f"endpoint/e{number}/variant/main" for number in range(7)]
    asked = {"ServiceNamespace": "sagemaker", "ScalableDimension": ON["ScalableDimension"]}
    assert refused(scaling.describe_scalable_targets, **asked) == "ValidationException"


def test_the_tags_of_a_target(scaling: Any, endpoint: Any) -> None:
    endpoint("e2")
    where = ON | {"ResourceId": "endpoint/e2/variant/main"}
    arn = scaling.register_scalable_target(**where, MinCapacity=1, MaxCapacity=2, Tags={"team": "x"})[
        "ScalableTargetARN"
    ]
    scaling.tag_resource(ResourceARN=arn, Tags={"team": "y", "env": "dev"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["env", "never"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "y"}
    assert "TagResource" in refusal(scaling.register_scalable_target, **where, Tags={"a": "b"})
    assert refused(scaling.list_tags_for_resource, ResourceARN=f"{arn}x") == "ResourceNotFoundException"
