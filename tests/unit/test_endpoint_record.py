"""What is recorded of an endpoint, and what of it keeps it from being deleted."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from conftest import MINUTE
from fakes import target_at
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import fit_request
from ml_janitor.core.model import NotRead
from ml_janitor.detectors.idle_endpoints import act, reading
from ml_janitor.detectors.idle_endpoints.act import (
    capacity_changes,
    desired_capacity,
    find_drift,
    why_not_itself,
)
from ml_janitor.engine.detector import CannotActError, NotFinishedError, Steps
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

CREATED = datetime(2026, 7, 1, tzinfo=UTC)
TARGET = target_at("endpoint/churn", CREATED)


@pytest.fixture
def offline() -> Aws:
    """An account whose service models are read, and that is never asked."""
    return Script({}).aws()


# --- components ----------------------------------------------------------------------------------


def described(**specification: Any) -> dict[str, Any]:
    return {
        "InferenceComponentName": "ranker",
        "InferenceComponentArn": "arn:aws:sagemaker:us-east-1:123456789012:inference-component/ranker",
        "EndpointName": "churn",
        "EndpointArn": TARGET.arn,
        "VariantName": "blue",
        "InferenceComponentStatus": "InService",
        "CreationTime": CREATED,
        "LastModifiedTime": CREATED,
        "Specification": specification,
        "RuntimeConfig": {"DesiredCopyCount": 3, "CurrentCopyCount": 2},
    }


CONTAINER = {
    "DeployedImage": {
        "SpecifiedImage": "registry/serving:1",
        "ResolvedImage": "registry/serving@sha256:f00",
        "ResolutionTime": CREATED,
    },
    "ArtifactUrl": "s3://models/m.tar.gz",
    "Environment": {"WORKERS": "4"},
}
AGAIN = {
    "Image": "registry/serving:1",
    "ArtifactUrl": "s3://models/m.tar.gz",
    "Environment": {"WORKERS": "4"},
}
COMPUTE = {"MinMemoryRequiredInMb": 1024, "NumberOfCpuCoresRequired": 0.5}
NAMED = {"InferenceComponentName": "ranker", "EndpointName": "churn"}
SUMMARIZED = (
    "InferenceComponentArn",
    "EndpointArn",
    "EndpointName",
    "VariantName",
    "CreationTime",
    "LastModifiedTime",
)


ADAPTER = {"BaseInferenceComponentName": "base", "Container": {"ArtifactUrl": "s3://adapters/a.tar.gz"}}
OF_A_TYPE = {"InstanceType": "ml.g5.xlarge", "Container": CONTAINER, "ComputeResourceRequirements": COMPUTE}
COPIES = {"VariantName": "blue", "RuntimeConfig": {"CopyCount": 3}}


@cases(
    "given, expected",
    # with the image and the copies that were asked for
    (
        described(Container=CONTAINER, ComputeResourceRequirements=COMPUTE),
        COPIES | {"Specification": {"Container": AGAIN, "ComputeResourceRequirements": COMPUTE}},
    ),
    # an adapter with nothing of its base's
    (described(**ADAPTER, ComputeResourceRequirements=COMPUTE), {"Specification": ADAPTER}),
    # a specification per instance type is no single one
    (
        described(ModelName="m") | {"Specifications": [OF_A_TYPE]},
        COPIES | {"Specifications": [OF_A_TYPE | {"Container": AGAIN}]},
    ),
)
def test_what_a_component_is_created_with(
    offline: Aws, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert act.component_arguments(offline, given) == NAMED | expected


def test_a_description_without_its_copies_was_cut_off(offline: Aws) -> None:
    given = described(ModelName="m")
    del given["RuntimeConfig"]

    with pytest.raises(KeyError):
        act.component_arguments(offline, given)


FINDS = "sagemaker:DescribeInferenceComponent"
MISSING = Refusal("ValidationException", "Could not find inference component")


@cases("found, name", (described(), "ranker"), (MISSING, None))
def test_a_component_is_there_or_it_is_not(found: Any, name: str | None) -> None:
    there = act.find_component(Script({FINDS: found}).aws(), "ranker")

    assert (there or {}).get("InferenceComponentName") == name


def test_half_a_description_of_a_component_is_an_error() -> None:
    with pytest.raises(ReadError, match="the description of inference component ranker was cut off"):
        act.find_component(Script({FINDS: Torn(CreationTime=CREATED)}).aws(), "ranker")


@cases(
    "listed, found, other",
    ([], described(), None),
    (["ranker"], described(), None),
    (["ranker"], described() | {"CreationTime": CREATED + MINUTE}, "ranker"),
    (["another"], described(), "another"),
    (["another"], MISSING, None),  # a listing may still name one that is deleted
)
def test_a_component_that_was_not_recorded_is_found(listed: list[str], found: Any, other: str | None) -> None:
    summary = {key: described()[key] for key in SUMMARIZED}
    components = [summary | {"InferenceComponentName": name} for name in listed]
    script = Script({"sagemaker:ListInferenceComponents": {"InferenceComponents": components}, FINDS: found})

    records = [{"name": "ranker", "created": CREATED.isoformat()}]
    assert act.find_other_component(script.aws(), "churn", records) == other


@cases("endpoint, refused", ("churn", False), ("another", True), (None, True))
def test_a_component_that_exists_on_its_endpoint_was_created(endpoint: str | None, *, refused: bool) -> None:
    there = MISSING if endpoint is None else described() | {"EndpointName": endpoint}
    script = Script(
        {"sagemaker:CreateInferenceComponent": Refusal("ValidationException", "exists"), FINDS: there}
    )
    record = {"name": "ranker", "tags": {}, "arguments": NAMED | {"VariantName": "blue", "Specification": {}}}

    with pytest.raises(ClientError) if refused else nullcontext():
        act.create_component(script.aws(may_write=True), record)


def test_half_a_description_of_an_endpoint_is_an_error() -> None:
    with pytest.raises(ReadError, match="the description of the endpoint was cut off"):
        act._endpoint(Script({"sagemaker:DescribeEndpoint": Torn(EndpointName="churn")}).aws(), "churn")


def test_what_stands_on_another_component_is_created_after_it() -> None:
    base = {"name": "base", "arguments": {}}
    adapter = {"name": "ranker", "arguments": {"Specification": {"BaseInferenceComponentName": "base"}}}
    done = list[str]()
    steps = SimpleNamespace(forget=lambda _: None, do=lambda name, _: done.append(name))

    with pytest.raises(NotFinishedError, match="base, which others stand on, is being created"):
        act._put_on(Script({FINDS: MISSING}).aws(), {"components": [base, adapter]}, cast("Steps", steps))

    assert done == ["create inference component base"]


def test_a_component_is_waited_for_until_it_is_in_service() -> None:
    record = {"endpoint": "churn", "components": [{"name": "ranker", "arguments": {}}]}
    steps = cast("Steps", SimpleNamespace(forget=lambda _: None, do=lambda *_: None))

    for found in (MISSING, described() | {"InferenceComponentStatus": "Creating"}):
        with pytest.raises(NotFinishedError, match="inference component ranker is being created"):
            act._put_on(Script({FINDS: found}).aws(), record, steps)
    act._put_on(Script({FINDS: described()}).aws(), record, steps)


def test_an_endpoint_whose_tags_were_not_read_is_not_recorded() -> None:
    variants = {"ProductionVariants": [{"VariantName": "blue"}]}
    there = {
        "EndpointName": "churn",
        "EndpointArn": TARGET.arn,
        "EndpointConfigName": "one",
        "EndpointStatus": "InService",
        "CreationTime": CREATED,
        "LastModifiedTime": CREATED,
    }
    configuration = {"EndpointConfigName": "one", "EndpointConfigArn": TARGET.arn, "CreationTime": CREATED}
    script = Script(
        {
            "sagemaker:DescribeEndpoint": there | variants,
            "sagemaker:DescribeEndpointConfig": variants | configuration,
            "sagemaker:ListInferenceExperiments": {"InferenceExperiments": []},
        }
    )
    unread = target_at("endpoint/churn", CREATED, NotRead())

    with pytest.raises(ReadError, match="its tags were not read"):
        act.record_endpoint(script.aws(), unread, judged=(), deployed=CREATED)


def test_an_undo_needs_its_configuration_and_models() -> None:
    record = {
        "configuration": {"EndpointConfigName": "churn-1", "ProductionVariants": [{"ModelName": "m"}]},
        "components": [{"arguments": {"Specification": {"ModelName": "n"}}}],
    }
    root = TARGET.arn.removesuffix(":endpoint/churn")
    assert act.needed_for_undo(TARGET.arn, record) == (
        f"{root}:endpoint-config/churn-1",
        f"{root}:model/m",
        f"{root}:model/n",
    )


def test_without_its_tags_there_is_no_record() -> None:
    with pytest.raises(
        ReadError, match=r"the tags of arn:.*:endpoint/churn could not be read: ListTags: Acc"
    ):
        act.read_own_tags(Script({"sagemaker:ListTags": DENIED}).aws(), TARGET.arn)


def test_a_creating_call_gets_every_member_that_it_knows(offline: Aws) -> None:
    config = {
        "EndpointConfigName": "churn",
        "EndpointConfigArn": "arn:...",
        "CreationTime": CREATED,
        "KmsKeyId": "",
        "EnableNetworkIsolation": False,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "ShadowProductionVariants": [],
        "ProductionVariants": [
            {
                "VariantName": "blue",
                "InstancePools": [{"InstanceType": "ml.g5.xlarge", "Priority": 1}],
                "RoutingConfig": {
                    "RoutingStrategy": "PREFIX_AWARE",
                    "PrefixAwareRoutingConfig": {"PrefixLength": 9},
                },
            }
        ],
    }

    assert fit_request(offline, "sagemaker", "CreateEndpointConfig", config) == {
        name: config[name]
        for name in ("EndpointConfigName", "EnableNetworkIsolation", "VpcConfig", "ProductionVariants")
    }


def test_times_are_plain_json(offline: Aws) -> None:
    action = {"ScheduledActionName": "once", "StartTime": CREATED, "ScheduledActionARN": "arn:..."}

    made = fit_request(offline, "application-autoscaling", "PutScheduledAction", action)

    assert made == {"ScheduledActionName": "once", "StartTime": "2026-07-01T00:00:00+00:00"}


# --- what is desired of variants -----------------------------------------------------------------


def variant(**given: Any) -> dict[str, Any]:
    whole = {
        "VariantName": "blue",
        "CurrentWeight": 1.0,
        "DesiredWeight": 1.0,
        "CurrentInstanceCount": 2,
        "DesiredInstanceCount": 2,
    }
    return whole | given


MANAGED = {"VariantName": "blue", "DesiredWeight": 1.0}
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 9, "ProvisionedConcurrency": 3}


@cases(
    "running, recorded",
    (
        variant(CurrentInstanceCount=1, DesiredInstanceCount=4, DesiredWeight=0.5),
        {"VariantName": "blue", "DesiredWeight": 0.5, "DesiredInstanceCount": 4},
    ),
    (variant(ManagedInstanceScaling={"Status": "ENABLED"}), MANAGED),
    (variant(ManagedInstanceScaling={"Status": "DISABLED"}), MANAGED | {"DesiredInstanceCount": 2}),
    (
        {"VariantName": "blue", "DesiredServerlessConfig": SERVERLESS},
        {"VariantName": "blue", "ServerlessUpdateConfig": {"MaxConcurrency": 9, "ProvisionedConcurrency": 3}},
    ),
)
def test_a_capacity_is_recorded_as_desired_but_a_count_that_aws_manages(
    running: dict[str, Any], recorded: dict[str, Any]
) -> None:
    assert desired_capacity(running) == recorded


def test_only_what_differs_is_asked_for() -> None:
    recorded: list[Mapping[str, Any]] = [
        desired_capacity(variant()),
        desired_capacity(variant(VariantName="green", DesiredInstanceCount=5)),
    ]
    found = {"ProductionVariants": [variant(), variant(VariantName="green")]}

    assert capacity_changes(recorded, found) == recorded[1:]


# --- what keeps it from being deleted ------------------------------------------------------------

CAPTURE = {
    "EnableCapture": True,
    "CaptureStatus": "Started",
    "CurrentSamplingPercentage": 20,
    "DestinationS3Uri": "s3://captured",
    "KmsKeyId": "",
}
ASKED = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 20,
    "DestinationS3Uri": "s3://captured",
    "CaptureOptions": [],
}
LESS = CAPTURE | {"CurrentSamplingPercentage": 5}
OF_TWO = {"ShadowProductionVariants": [{"VariantName": "new", "InitialInstanceCount": 2}]}


def shadowed(**given: Any) -> dict[str, Any]:
    return {"ShadowProductionVariants": [variant(VariantName="new", **given)]}


@cases(
    "found, config, words",
    ({}, {}, None),
    ({"DataCaptureConfig": CAPTURE}, {"DataCaptureConfig": ASKED}, None),
    ({"DataCaptureConfig": CAPTURE}, {}, "data capture"),
    ({}, {"DataCaptureConfig": ASKED}, "data capture"),
    ({"DataCaptureConfig": LESS}, {"DataCaptureConfig": ASKED}, "data capture"),
    ({"ProductionVariants": [variant(), variant(VariantName="green")]}, {}, "its variants are not those"),
    (shadowed(), {}, "its variants are not those"),
    (shadowed(DesiredInstanceCount=1), OF_TWO, "a shadow variant was scaled"),
    (shadowed(), OF_TWO, None),
)
def test_an_endpoint_that_is_not_what_its_configuration_says(
    found: Mapping[str, Any], config: Mapping[str, Any], words: str | None
) -> None:
    whole = {"ProductionVariants": [variant()]} | dict(found)
    said = {"ProductionVariants": [{"VariantName": "blue", "InitialInstanceCount": 1}]} | dict(config)

    why = find_drift(whole, said)

    assert (why is None) == (words is None)
    assert words is None or words in str(why)


@cases(
    "found, words",
    ({}, None),
    ({"CreationTime": CREATED + timedelta(milliseconds=1)}, "another endpoint"),
    ({"EndpointStatus": "Updating"}, "it is Updating"),
    ({"PendingDeploymentSummary": {"EndpointConfigName": "next"}}, "a deployment to it is going on"),
)
def test_an_endpoint_that_is_not_the_judged_one_at_rest(found: Mapping[str, Any], words: str | None) -> None:
    why = why_not_itself(TARGET, {"CreationTime": CREATED, "EndpointStatus": "InService", **found})

    assert (why is None) == (words is None)
    assert words is None or words in str(why)


# --- scaling -------------------------------------------------------------------------------------


def scaling(*policies: Mapping[str, Any]) -> Script:
    """An account in which the first of the resources that a call names is scaled, by these policies."""
    service = "application-autoscaling"
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 2,
        "RoleARN": "arn:aws:iam::1:role/r",
    }
    return Script(
        {
            f"{service}:DescribeScalableTargets": lambda asked: Torn(
                ScalableTargets=[{**target, "ResourceId": asked["ResourceIds"][0]}]
            ),
            f"{service}:DescribeScalingPolicies": Torn({"ScalingPolicies": policies}),
            f"{service}:DescribeScheduledActions": {"ScheduledActions": []},
        }
    )


def scaled_by(*policies: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is read of one target with these policies."""
    return act.read_scaling(scaling(*policies).aws(), ["endpoint/churn/variant/blue"])


def policy(kind: str, *alarms: str) -> dict[str, Any]:
    named = [{"AlarmName": alarm, "AlarmARN": f"arn:{alarm}"} for alarm in alarms]
    return {"PolicyName": "steps", "PolicyType": kind, "Alarms": named}


def test_an_alarm_of_somebodys_own_could_not_call_a_policy_made_anew() -> None:
    with pytest.raises(CannotActError, match="the alarm backlog calls the scaling policy steps"):
        scaled_by(policy("StepScaling", "backlog"))


def test_scaling_is_asked_for_fifty_resources_at_once() -> None:
    """As many as DescribeScalableTargets takes."""
    script, names = scaling(), [f"endpoint/churn/variant/v{n}" for n in range(51)]

    found = act.read_scaling(script.aws(), names)

    assert [one["target"]["ResourceId"] for one in found] == [names[0], names[50]]
    asked = script.asked("application-autoscaling:DescribeScalableTargets")
    assert [len(one["ResourceIds"]) for one in asked] == [50, 1]


@pytest.mark.parametrize("harmless", [policy("StepScaling"), policy("TargetTrackingScaling", "made-by-aws")])
def test_alarms_that_aws_makes_itself_are_no_hindrance(harmless: Mapping[str, Any]) -> None:
    (record,) = scaled_by(harmless)

    assert record["policies"] == [{"PolicyName": "steps", "PolicyType": harmless["PolicyType"]}]
    assert "RoleARN" not in record["target"]


AT = datetime(2026, 10, 6, 3, tzinfo=UTC)


@cases(
    "before, after, status, explained",
    (MINUTE, MINUTE, "Successful", True),
    (timedelta(), timedelta(), "Successful", True),
    (-MINUTE, 2 * MINUTE, "Successful", False),
    (2 * MINUTE, -MINUTE, "Successful", False),
    (MINUTE, MINUTE, "Failed", False),
)
def test_a_scaling_explains_it(before: timedelta, after: timedelta, status: str, *, explained: bool) -> None:
    """It is on the second page of the second variant."""
    activity = {
        "ActivityId": "a",
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/churn/variant/green",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "Description": "d",
        "Cause": "c",
        "StartTime": AT - before,
        "EndTime": AT + after,
        "StatusCode": status,
    }
    operation = "application-autoscaling:DescribeScalingActivities"
    script = Script({operation: [{"ScalingActivities": []}, {"ScalingActivities": [activity]}]})

    assert reading.was_scaling_at(script.aws(), "churn", ["green"], AT) is explained
    assert reading.was_scaling_at(script.aws(), "churn", [], AT) is False
    assert {asked["ResourceId"] for asked in script.asked(operation)} == {"endpoint/churn/variant/green"}
