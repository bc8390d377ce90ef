"""Endpoints as they are listed and described: what runs behind one, what costs, and its settings."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import get_original_bases
from typing import Any, get_args

import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from ml_janitor.aws import endpoints
from ml_janitor.aws.endpoints import (
    EndpointDescription,
    EndpointSummary,
    EndpointVariant,
    count_instances,
    describe_endpoint,
    describe_endpoint_config,
    list_endpoints,
    list_inference_components,
    list_monitoring_schedules,
)
from ml_janitor.core.model import Absent, Unreadable, Value
from ml_janitor.detectors import DETECTORS
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ENDPOINT: dict[str, Any] = {
    "EndpointName": "api",
    "EndpointArn": f"{ARN}:endpoint/api",
    "EndpointStatus": "InService",
    "CreationTime": NOW - 9 * DAY,
    "LastModifiedTime": NOW - 2 * DAY,
}
DESCRIBE, CONFIG = "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"
DENIAL = "AccessDeniedException: denied"


def described(*variants: dict[str, Any], **more: Any) -> EndpointDescription:
    answer = ENDPOINT | {"EndpointConfigName": "api-1", "ProductionVariants": list(variants)} | more
    found = describe_endpoint(Script({DESCRIBE: Torn(answer)}).aws(), "api")
    assert isinstance(found, Value)
    return found.value


def test_an_endpoint_was_changed_when_it_was_last_deployed_or_scaled() -> None:
    account = Script(
        {"sagemaker:ListEndpoints": [{"Endpoints": [ENDPOINT]}, {"Endpoints": [ENDPOINT]}, DENIED]}
    )

    found = list_endpoints(account.aws())

    summary = EndpointSummary(
        arn=f"{ARN}:endpoint/api",
        name="api",
        status="InService",
        created=NOW - 9 * DAY,
        modified=NOW - 2 * DAY,
    )
    assert (found.items, summary.changed) == ((summary, summary), NOW - 2 * DAY)
    assert found.error == f"sagemaker:ListEndpoints broke off after 2: ListEndpoints: {DENIAL}"
    assert account.asked("sagemaker:ListEndpoints")[0] == {"MaxResults": 100}


@cases(
    "answer, runs, costs, expected",
    ({"CurrentInstanceCount": 2}, True, True, EndpointVariant(name="blue", instances=2)),
    ({"CurrentInstanceCount": 0}, False, False, EndpointVariant(name="blue")),
    (
        {"CurrentInstanceCount": 1, "CapacityReservationConfig": {"MlReservationArn": "arn"}},
        True, False, EndpointVariant(name="blue", instances=1, reserved=True),
    ),
    (
        {"CurrentInstanceCount": 1, "CapacityReservationConfig": {"CapacityReservationPreference": "x"}},
        True, True, EndpointVariant(name="blue", instances=1),
    ),
    (
        {"CurrentServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}},
        False, False, EndpointVariant(name="blue", serverless=True),
    ),
    (
        {"CurrentServerlessConfig": {"ProvisionedConcurrency": 1}},
        True, True, EndpointVariant(name="blue", serverless=True, concurrency=1),
    ),
    (
        {
            "CurrentInstanceCount": 3,
            "InstancePools": [
                {"InstanceType": "ml.g5.xlarge", "CurrentInstanceCount": 1},
                {"InstanceType": "ml.g5.2xlarge", "CurrentInstanceCount": 2},
            ],
        },
        True, True,
        EndpointVariant(name="blue", instances=3, pools=(("ml.g5.xlarge", 1), ("ml.g5.2xlarge", 2))),
    ),
    (
        {
            "CurrentInstanceCount": 1,
            "DeployedImages": [
                {"ResolutionTime": NOW - 3 * DAY}, {"ResolutionTime": NOW - DAY}, {"ResolvedImage": "x"},
            ],
        },
        True, True, EndpointVariant(name="blue", instances=1, resolved=NOW - DAY),
    ),
)  # fmt: skip
def test_what_runs_of_a_variant_and_costs(
    *, answer: Mapping[str, Any], runs: bool, costs: bool, expected: EndpointVariant
) -> None:
    found = described({"VariantName": "blue", **answer})

    (variant,) = found.variants
    assert (variant, variant.runs, variant.costs, found.costs) == (expected, runs, costs, costs)


def test_shadows_and_what_an_endpoint_is_set_up_for() -> None:
    dark = {"VariantName": "dark", "CurrentInstanceCount": 1}
    blue = {"VariantName": "blue", "CurrentInstanceCount": 0}

    found = described(
        blue, ShadowProductionVariants=[dark], AsyncInferenceConfig={}, CrossRegionTrafficConfig={}
    )

    assert [(one.name, one.shadow) for one in found.variants] == [("blue", False), ("dark", True)]
    assert (found.config_name, found.asynchronous, found.routed, found.costs) == ("api-1", True, True, True)
    plain = described(blue)
    assert (plain.asynchronous, plain.routed, plain.costs) == (False, False, False)


@pytest.mark.parametrize(
    ("status", "whole"), [("Creating", True), ("Failed", True), ("InService", False), ("Updating", False)]
)
def test_only_where_nothing_runs_an_answer_without_variants_is_whole(status: str, whole: bool) -> None:  # noqa: FBT001
    answer = ENDPOINT | {"EndpointConfigName": "api-1", "EndpointStatus": status}

    found = describe_endpoint(Script({DESCRIBE: Torn(answer)}).aws(), "api")

    cut = Unreadable("the answer has no ProductionVariants", DESCRIBE)
    assert (isinstance(found, Value), found == cut) == (whole, not whole)
    running = describe_endpoint(
        Script(
            {
                DESCRIBE: Torn(
                    answer | {"ProductionVariants": [{"VariantName": "a", "CurrentInstanceCount": 1}]}
                )
            }
        ).aws(),
        "api",
    )
    assert isinstance(running, Value)
    assert len(running.value.variants) == 1


def test_an_endpoint_that_is_gone_is_absent_and_its_configuration_unreadable() -> None:
    gone = Refusal("ValidationException", "Could not find it")
    aws = Script({DESCRIBE: gone, CONFIG: gone}).aws()

    assert describe_endpoint(aws, "api") == Absent(DESCRIBE)
    assert isinstance(describe_endpoint_config(aws, described()), Unreadable)
    assert describe_endpoint(Script({DESCRIBE: DENIED}).aws(), "api") == Unreadable(
        f"DescribeEndpoint: {DENIAL}", DESCRIBE
    )


def configured(*variants: dict[str, Any], **more: Any) -> EndpointDescription:
    """The description of an endpoint with these variants, and a shadow, with its configuration."""
    running = [{"VariantName": one["VariantName"], "CurrentInstanceCount": 1} for one in variants]
    shadow = {"VariantName": "fixed", "CurrentInstanceCount": 1}
    answer = {"CreationTime": NOW, "ProductionVariants": list(variants)} | more
    account = Script({CONFIG: Torn(answer)})
    found = describe_endpoint_config(account.aws(), described(*running, ShadowProductionVariants=[shadow]))
    assert isinstance(found, Value)
    assert account.asked(CONFIG) == [{"EndpointConfigName": "api-1"}]
    return found.value


def test_a_configuration_says_what_a_description_leaves_out() -> None:
    blue = {"VariantName": "blue", "InstanceType": "ml.g5.xlarge", "ModelName": "churn"}
    hosts = {"VariantName": "hosts", "InstanceType": "ml.m5.large"}
    scaled = {"VariantName": "scaled", "ManagedInstanceScaling": {"Status": "ENABLED"}}
    found = configured(
        *(blue, hosts, scaled),
        ExecutionRoleArn="role",
        ShadowProductionVariants=[{"VariantName": "fixed", "ManagedInstanceScaling": {"Status": "DISABLED"}}],
        AsyncInferenceConfig={},
        DataCaptureConfig={"EnableCapture": True},
    )

    read = [(one.name, one.type, one.model, one.hosts, one.managed, one.sleeps) for one in found.variants]
    assert read == [
        ("blue", "ml.g5.xlarge", "churn", False, False, True),
        ("hosts", "ml.m5.large", None, True, False, True),
        ("scaled", "", None, True, True, True),
        ("fixed", "", None, True, False, True),
    ]
    assert (found.configured, found.asynchronous, found.captures) == (NOW, True, True)
    bare = configured(hosts)
    assert (bare.asynchronous, bare.captures, bare.summary.created) == (False, False, NOW - 9 * DAY)
    assert [(one.hosts, one.managed, one.sleeps) for one in bare.variants] == [(False, False, False)] * 2


@pytest.mark.parametrize(("describes", "configures"), [(True, False), (False, True), (False, False)])
def test_an_endpoint_is_asynchronous_where_either_says_so(*, describes: bool, configures: bool) -> None:
    queue: dict[str, Any] = {"AsyncInferenceConfig": {}}
    blue = {"VariantName": "blue", "CurrentInstanceCount": 1}
    answer = {"CreationTime": NOW, "ProductionVariants": [{"VariantName": "blue", "ModelName": "churn"}]}
    aws = Script({CONFIG: Torn(answer | (queue if configures else {}))}).aws()

    found = describe_endpoint_config(aws, described(blue, **(queue if describes else {})))

    assert isinstance(found, Value)
    assert found.value.asynchronous is found.value.variants[0].sleeps is (describes or configures)


def test_instances_are_counted_by_type_over_variants_and_pools() -> None:
    pooled = EndpointVariant(
        name="pooled", instances=5, pools=(("ml.g5.xlarge", 1), ("ml.g5.2xlarge", 4), ("ml.c5.large", 0))
    )
    variants = (
        EndpointVariant(name="blue", instances=2, type="ml.g5.xlarge"),
        pooled,
        EndpointVariant(name="unknown", instances=7),
        EndpointVariant(name="off", type="ml.c5.xlarge"),
    )

    assert count_instances(variants) == {"ml.g5.xlarge": 3, "ml.g5.2xlarge": 4, "": 7}
    assert count_instances(()) == {}


def test_an_endpoint_has_six_types() -> None:
    """Whoever reads more of an endpoint adds it to one of these."""
    read: set[Any] = {
        one for one in vars(endpoints).values() if is_dataclass(one) and one.__module__ == endpoints.__name__
    }
    judged: set[Any] = {
        get_args(base)[0]
        for one in DETECTORS
        if one.kinds == ("endpoint",)
        for base in get_original_bases(one)
    }

    assert {one.__name__ for one in read | judged} == {
        "EndpointSummary",
        "EndpointDescription",
        "EndpointVariant",
        "InferenceComponent",
        "LoadedEndpoint",
        "EndpointCandidate",
    }


def component(name: str, **more: Any) -> dict[str, Any]:
    return Torn(
        {
            "InferenceComponentName": name,
            "InferenceComponentArn": f"{ARN}:inference-component/{name}",
            "EndpointName": "api",
            "VariantName": "blue",
            "CreationTime": NOW - 9 * DAY,
            "LastModifiedTime": NOW - 10 * DAY,
        }
        | more
    )


def test_components_were_changed_when_they_were_made_or_scaled_and_may_be_going() -> None:
    listed = [component("a"), component("b", LastModifiedTime=NOW, InferenceComponentStatus="Deleting")]

    one, two = list_inference_components(
        Script({"sagemaker:ListInferenceComponents": Torn({"InferenceComponents": listed})}).aws()
    ).items

    assert (one.changed, one.deleting, one.endpoint, one.variant) == (NOW - 9 * DAY, False, "api", "blue")
    assert (two.changed, two.deleting, two.name) == (NOW, True, "b")


@cases(
    "status, endpoint, monitored",
    ("Scheduled", "api", "api"),
    ("Pending", "api", "api"),
    ("Stopped", "api", ""),
    ("Failed", "api", ""),
    ("Scheduled", None, ""),
)
def test_only_a_running_schedule_monitors_it(status: str, endpoint: str | None, monitored: str) -> None:
    entry = {"MonitoringScheduleName": "drift", "MonitoringScheduleStatus": status}
    entry |= {"EndpointName": endpoint} if endpoint else {}
    account = Script({"sagemaker:ListMonitoringSchedules": Torn({"MonitoringScheduleSummaries": [entry]})})

    assert list_monitoring_schedules(account.aws()).items == ((monitored, "drift"),)
