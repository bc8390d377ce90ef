"""The load of endpoints: which series are asked for, and what their answers mean, hour by hour."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.endpoints import (
    LOAD_HOURS,
    EndpointVariant,
    LoadedEndpoint,
    MetricTotal,
    add_request_totals,
    read_endpoint_loads,
)
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.core.capacity import PackedLoads, PeakLoad
from ml_janitor.core.model import NotRead, Unreadable, Value
from narrowing import of_type
from scripted import DENIED, Refusal, Script
from tables import cases

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CREATED = NOW - 30 * DAY
START = NOW - 14 * DAY
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint"

type Key = tuple[str, str, str]
"""The last part of a namespace, a metric and its statistic."""

BLUE: dict[Key, float] = {
    ("Endpoints", "CPUUtilization", "Maximum"): 150,
    ("Endpoints", "MemoryUtilization", "Maximum"): 25,
    ("Endpoints", "GPUUtilization", "Maximum"): 90,
    ("Endpoints", "GPUMemoryUtilization", "Maximum"): 60,
    ("SageMaker", "ConcurrentRequestsPerModel", "Maximum"): 3,
    ("SageMaker", "Invocations", "Sum"): 7,
    ("SageMaker", "ModelLatency", "Average"): 2,
}
"""The value of each metric in every hour of a variant of ml.g5.2xlarge: eight vCPUs and a GPU."""


def listed(name: str, **more: Any) -> dict[str, Any]:
    return {
        "EndpointName": name,
        "EndpointArn": f"{ARN}/{name}",
        "EndpointStatus": "InService",
        "CreationTime": CREATED,
        "LastModifiedTime": CREATED,
    } | more


def variant(**more: Any) -> dict[str, Any]:
    return {"VariantName": "blue", "InstanceType": "ml.g5.2xlarge", "ModelName": "churn"} | more


def script(
    metrics: Mapping[Key, float] = BLUE,
    *,
    lacking: Mapping[tuple[str, str], int] | None = None,
    runs: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    endpoint: Mapping[str, Any] | None = None,
    **answers: Any,
) -> Script:
    """
    An account with one endpoint, "api"; *lacking* are hours without a datapoint, by metric and component.

    *runs* is what DescribeEndpoint says of its variant, *config* what its configuration does.
    """
    one = {"VariantName": "blue", "CurrentInstanceCount": 2} | dict(runs or {})

    def data(asked: Mapping[str, Any]) -> Any:
        assert (asked["StartTime"], asked["EndTime"]) == (START, NOW)
        results = []
        for query in asked["MetricDataQueries"]:
            stat = query["MetricStat"]
            metric = stat["Metric"]
            name, named = metric["MetricName"], {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            value = metrics.get((metric["Namespace"].rpartition("/")[2], name, stat["Stat"]))
            gap = (lacking or {}).get((name, named.get("InferenceComponentName", "")))
            hours = [] if value is None else [hour for hour in range(LOAD_HOURS) if hour != gap]
            assert stat["Period"] == 3600
            results.append(
                {
                    "Id": query["Id"],
                    "StatusCode": "Complete",
                    "Timestamps": [START + hour * HOUR for hour in hours],
                    "Values": [float(value or 0) for _ in hours],
                }
            )
        return {"MetricDataResults": results}

    given: dict[str, Any] = {
        "sagemaker:ListEndpoints": {"Endpoints": [listed("api")]},
        "sagemaker:ListInferenceComponents": {"InferenceComponents": []},
        "sagemaker:DescribeEndpoint": listed("api", EndpointConfigName="api-1", ProductionVariants=[one])
        | dict(endpoint or {}),
        "sagemaker:DescribeEndpointConfig": {
            "EndpointConfigName": "api-1",
            "EndpointConfigArn": f"{ARN}-config/api-1",
            "CreationTime": CREATED,
            "ProductionVariants": [variant()],
        }
        | dict(config or {}),
        "resourcegroupstaggingapi:GetResources": {"ResourceTagMappingList": []},
        "application-autoscaling:DescribeScalableTargets": {"ScalableTargets": []},
        "cloudwatch:GetMetricData": data,
    }
    return Script(given | {name.replace("_", ":"): answer for name, answer in answers.items()})


def read(account: Script, *more: Any) -> LoadedEndpoint:
    aws, now = account.aws(), NOW + timedelta(minutes=59)
    (one,) = add_request_totals(aws, read_endpoint_loads(aws, now).items, more, now)
    return one


def served(account: Script, *more: Any) -> EndpointVariant:
    (found,) = read(account, *more).variants
    return found


def peaks(account: Script) -> Sequence[PeakLoad]:
    found = of_type(Value, served(account).peaks)
    return tuple(found.value)


def component(name: str) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:inference-component/{name}"
    return {
        "InferenceComponentName": name,
        "InferenceComponentArn": arn,
        "EndpointName": "api",
        "EndpointArn": f"{ARN}/api",
        "VariantName": "blue",
        "CreationTime": CREATED,
        "LastModifiedTime": CREATED,
    }


SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 1}
SCALING = "application-autoscaling_DescribeScalableTargets"
COMPONENTS = "sagemaker:ListInferenceComponents"

HOSTS: dict[str, Any] = {
    "config": {
        "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/worker",
        "ProductionVariants": [{"VariantName": "blue", "InstanceType": "ml.g5.2xlarge"}],
    },
    "sagemaker_ListInferenceComponents": {"InferenceComponents": [component("one"), component("two")]},
}


def test_peaks_are_the_maxima_of_each_hour_in_vcpus_and_gpus() -> None:
    """CPU and GPU percents are of one vCPU or GPU each, and memory's of all of it: 25 % of eight units."""
    account = script()

    found = served(account, ("ModelLatency", "Average"))

    expected = PeakLoad(cpu=1.5, memory=2, gpu=0.9, gpu_memory=0.6, requests=3, idle=False)
    assert found.peaks == Value(PackedLoads.of((expected,) * LOAD_HOURS), "cloudwatch:GetMetricData")
    assert found.totals["requests"] == Value(
        MetricTotal(7 * LOAD_HOURS, LOAD_HOURS, 7), "cloudwatch:GetMetricData"
    )
    assert found.totals["ModelLatency"] == Value(
        MetricTotal(2 * LOAD_HOURS, LOAD_HOURS, 2), "cloudwatch:GetMetricData"
    )
    assert (found.type, found.model, found.fixed) == ("ml.g5.2xlarge", "churn", None)
    assert (found.sleeps, found.hosts, found.instances) == (False, False, 2)
    named = [{"Name": "EndpointName", "Value": "api"}, {"Name": "VariantName", "Value": "blue"}]
    asked = [one for call in account.asked("cloudwatch:GetMetricData") for one in call["MetricDataQueries"]]
    assert all(one["MetricStat"]["Metric"]["Dimensions"] == named for one in asked)


def averaged(unlike: Key) -> dict[Key, float]:
    """The metrics with an average in place of one maximum, which would hide the peaks that decide."""
    return {key if key != unlike else (*key[:2], "Average"): value for key, value in BLUE.items()}


@cases(
    "account, error",
    *(
        (script(averaged(key)), f"{key[1]} has datapoints in 0 of 336 hours")
        for key in BLUE
        if key[0] == "Endpoints"
    ),
    *(
        (script(lacking={(name, ""): 9}), f"{name} has datapoints in 335 of 336 hours")
        for name in ("CPUUtilization", "MemoryUtilization", "GPUMemoryUtilization")
    ),
    (script(cloudwatch_GetMetricData=DENIED), "GetMetricData: AccessDeniedException: denied"),
)
def test_a_gauge_that_lacks_an_hour_is_unreadable(account: Script, error: str) -> None:
    assert of_type(Unreadable, served(account).peaks).error == error


def test_no_gpu_is_asked_for_where_there_is_none() -> None:
    account = script(config={"ProductionVariants": [variant(InstanceType="ml.c5.2xlarge")]})

    assert peaks(account)[0] == PeakLoad(cpu=1.5, memory=2, gpu=0, gpu_memory=0, requests=3)
    (asked,) = account.asked("cloudwatch:GetMetricData")
    assert {one["MetricStat"]["Metric"]["MetricName"] for one in asked["MetricDataQueries"]} == {
        *("CPUUtilization", "MemoryUtilization", "ConcurrentRequestsPerModel", "Invocations"),
        "LoadedModelCount",
    }


def test_an_endpoint_that_publishes_loaded_models_has_several() -> None:
    loaded: Key = ("Endpoints", "LoadedModelCount", "Maximum")

    assert [peaks(script(BLUE | more))[0].several for more in ({}, {loaded: 0}, {loaded: 3})] == [
        False, True, True,
    ]  # fmt: skip


def test_a_further_statistic_of_a_metric_is_told_apart() -> None:
    slowest: Key = ("SageMaker", "ModelLatency", "Maximum")

    found = served(script(BLUE | {slowest: 9}), ("ModelLatency", "Average"), ("ModelLatency", "Maximum"))

    told = {name: total.value.highest for name, total in found.totals.items() if isinstance(total, Value)}
    assert (told["ModelLatency"], told["ModelLatency Maximum"]) == (2, 9)


def test_only_an_hour_that_counted_no_request_is_idle() -> None:
    """An hour without a datapoint may have had any."""
    quiet = BLUE | {("SageMaker", "Invocations", "Sum"): 0}

    loads = peaks(script(quiet, lacking={("Invocations", ""): 9, ("ConcurrentRequestsPerModel", ""): 4}))

    assert [hour for hour, load in enumerate(loads) if not load.idle] == [9]
    assert [(hour, load.requests) for hour, load in enumerate(loads) if load.requests != 3] == [(4, 0)]
    assert not any(load.idle for load in peaks(script({**BLUE, ("SageMaker", "Invocations", "Sum"): 1})))
    never = {key: value for key, value in BLUE.items() if key[1] != "Invocations"}
    assert not any(load.idle for load in peaks(script(never)))


def test_requests_to_components_are_added_up_where_each_of_them_has_the_hour() -> None:
    found = served(script(lacking={("Invocations", "two"): 9}, **HOSTS))

    total = MetricTotal(2 * 7 * (LOAD_HOURS - 1), LOAD_HOURS - 1, 14)
    assert found.totals["requests"] == Value(total, "cloudwatch:GetMetricData")
    assert (found.hosts, found.sleeps, found.model) == (True, True, None)
    quiet = peaks(
        script(BLUE | {("SageMaker", "Invocations", "Sum"): 0}, lacking={("Invocations", "two"): 9}, **HOSTS)
    )
    assert [hour for hour, load in enumerate(quiet) if not load.idle] == [9]


def test_inference_components_publish_requests_in_flight_by_copy() -> None:
    copies: Key = ("SageMaker", "ConcurrentRequestsPerCopy", "Maximum")

    assert {load.requests for load in peaks(script(BLUE | {copies: 4}, **HOSTS))} == {8}, "of two components"
    assert {load.requests for load in peaks(script(BLUE | {copies: 4}))} == {3}, "of an endpoint without"


def test_an_asynchronous_endpoint_is_idle_while_nothing_waits() -> None:
    waits = {key: value for key, value in BLUE.items() if key[1] != "Invocations"}
    config = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}}

    for backlog in (0, 1):
        account = script(waits | {("SageMaker", "ApproximateBacklogSize", "Maximum"): backlog}, config=config)
        assert {load.idle for load in peaks(account)} == {backlog == 0}
        (asked,) = account.asked("cloudwatch:GetMetricData")
        backlogs = [
            one["MetricStat"]["Metric"]["Dimensions"]
            for one in asked["MetricDataQueries"]
            if one["MetricStat"]["Metric"]["MetricName"] == "ApproximateBacklogSize"
        ]
        assert backlogs == [[{"Name": "EndpointName", "Value": "api"}]]
    one = read(account)
    assert of_type(Value, one.description).value.asynchronous
    assert one.variants[0].sleeps


def scalable(name: str = "endpoint/api/variant/blue", low: int = 1, high: int = 4) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": name,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": low,
        "MaxCapacity": high,
        "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/scaling",
        "CreationTime": CREATED,
    }


@cases(
    "given, why",
    ({}, None),
    (
        {"config": {"ProductionVariants": [variant(ServerlessConfig=SERVERLESS)]},
         "runs": {"CurrentServerlessConfig": SERVERLESS}},
        "it is serverless",
    ),
    ({"runs": {"CurrentInstanceCount": 0}}, "nothing runs of it now"),
    (
        {"runs": {"CapacityReservationConfig": {"MlReservationArn": f"{ARN}/plan"}}},
        "it runs on capacity that was paid for in advance",
    ),
    (
        {"runs": {"InstancePools": [{"InstanceType": "ml.g5.xlarge", "CurrentInstanceCount": 1}]}},
        "it mixes instance types",
    ),
    (
        {"config": {"ProductionVariants": [variant(ManagedInstanceScaling={"Status": "ENABLED"})]}},
        "its instances follow its inference components",
    ),
    (
        {"config": {"ProductionVariants": [variant(InstanceType="ml.inf2.xlarge")]}},
        "what its accelerators do is not published",
    ),
    (
        {"config": {"ProductionVariants": [variant(InstanceType="ml.t3.medium")]}},
        "sizes of ml.t3 cannot be compared",
    ),
    (
        {SCALING: {"ScalableTargets": [scalable()]}},
        "it scales itself between 1 and 4 instances",
    ),
    ({SCALING: {"ScalableTargets": [scalable(high=1)]}}, None),
    ({SCALING: {"ScalableTargets": [scalable("endpoint/api/variant/b")]}}, None),
)  # fmt: skip
def test_why_a_size_is_fixed(given: Mapping[str, Any], why: str | None) -> None:
    account = script(**given)

    found = served(account)

    assert found.fixed == why
    assert isinstance(found.peaks, NotRead) is (why is not None)
    assert bool(account.asked("cloudwatch:GetMetricData")) is (why is None)


def test_a_shadow_is_fixed() -> None:
    shadow = {"VariantName": "dark", "CurrentInstanceCount": 1}
    one = read(
        script(
            endpoint={"ShadowProductionVariants": [shadow]},
            config={"ShadowProductionVariants": [variant(VariantName="dark")]},
        )
    )

    assert [found.fixed for found in one.variants] == [
        None,
        "it is a shadow of the variant that it is compared with",
    ]


GONE = Refusal("ValidationException", 'Could not find endpoint "api".')


@cases(
    "given, error",
    ({"sagemaker_DescribeEndpoint": DENIED}, "DescribeEndpoint: {denied}"),
    ({"sagemaker_DescribeEndpoint": GONE}, "it is gone"),
    ({"sagemaker_DescribeEndpointConfig": DENIED}, "DescribeEndpointConfig: {denied}"),
    (
        {SCALING: DENIED},
        "application-autoscaling:DescribeScalableTargets broke off after 0: {scaling}: {denied}",
    ),
    (
        HOSTS | {"sagemaker_ListInferenceComponents": DENIED},
        f"{COMPONENTS}: {COMPONENTS} broke off after 0: ListInferenceComponents: {{denied}}",
    ),
)  # fmt: skip
def test_an_unreadable_endpoint_has_unreadable_variants(given: Mapping[str, Any], error: str) -> None:
    assert read(script(**given)).description == Unreadable(
        error.format(scaling="DescribeScalableTargets", denied="AccessDeniedException: denied")
    )


def test_components_that_cannot_be_listed_matter_where_some_are_hosted_alone() -> None:
    assert isinstance(read(script(sagemaker_ListInferenceComponents=DENIED)).description, Value)


@cases(
    "more, described",
    ({}, True),
    ({"LastModifiedTime": START}, True),
    ({"LastModifiedTime": START + timedelta(seconds=1)}, False),
    ({"EndpointStatus": "UpdateRollbackFailed"}, True),
    ({"EndpointStatus": "Updating"}, False),
)
def test_only_what_serves_and_was_not_changed_in_the_window_is_described(
    more: Mapping[str, Any],
    described: bool,  # noqa: FBT001 - expected value
) -> None:
    account = script(sagemaker_ListEndpoints={"Endpoints": [listed("api", **more)]})

    one = read(account)

    assert bool(account.asked("sagemaker:DescribeEndpoint")) is described
    assert isinstance(one.description, Value if described else NotRead)
    assert len(one.variants) == described
    assert (one.target.arn, one.target.created) == (f"{ARN}/api", CREATED)


def test_all_pages_of_endpoints_are_read_a_hundred_metrics_at_a_time_and_one_alone_if_asked() -> None:
    pages = [{"Endpoints": [listed(f"api-{page}-{number}") for number in range(51)]} for page in range(3)]
    account = script(sagemaker_ListEndpoints=pages, sagemaker_Search=DENIED)

    assert len(read_endpoint_loads(account.aws(), NOW).items) == 153
    assert len(account.asked("cloudwatch:GetMetricData")) == 3  # of 600 series and of 318, 500 to a call
    assert len(account.asked("sagemaker:DescribeEndpointConfig")) == 1  # which all of them share

    account = script(sagemaker_ListEndpoints=pages)
    (one,) = read_endpoint_loads(account.aws(), NOW, only="api-2-7").items
    assert (one.target.name, len(account.asked("sagemaker:DescribeEndpoint"))) == ("api-2-7", 1)


def test_a_run_with_shared_answers_reads_loads_once_unless_a_listing_broke_off() -> None:
    aws = (account := script(BLUE)).aws(shared=SharedAnswers())
    for _ in range(2):
        assert [one.target.name for one in read_endpoint_loads(aws, NOW).items] == ["api"]
    read_endpoint_loads(account.aws(), NOW)
    assert len(account.asked("cloudwatch:GetMetricData")) == 2

    broken = script(sagemaker_ListEndpoints=[{"Endpoints": [listed("api")]}, DENIED])
    aws = broken.aws(shared=SharedAnswers())
    assert all(read_endpoint_loads(aws, NOW).error for _ in range(2))
    assert len(broken.asked("cloudwatch:GetMetricData")) == 2


def test_a_listing_that_broke_off_is_an_error_after_what_was_read() -> None:
    account = script(sagemaker_ListEndpoints=[{"Endpoints": [listed("api")]}, DENIED])

    found = read_endpoint_loads(account.aws(), NOW)

    assert [one.target.name for one in found.items] == ["api"]
    with pytest.raises(ReadError, match="ListEndpoints broke off after 1"):
        found.check()


@pytest.mark.parametrize("enabled", [True, False])
def test_it_captures_where_its_configuration_says_so(enabled: bool) -> None:  # noqa: FBT001 - one of two
    capture = {
        "EnableCapture": enabled,
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": "s3://bucket/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }

    found = of_type(Value, read(script(config={"DataCaptureConfig": capture})).description)

    assert found.value.captures is enabled
