"""InvokeEndpoint: who answers, what is refused in AWS's words, and what CloudWatch counts."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ml_janitor_sandbox import inference
from ml_janitor_sandbox.control import Control
from plain_requests import component

SERVERLESS = {
    "VariantName": "v",
    "ModelName": "any-model",
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
}


@pytest.fixture
def runtime(session: boto3.Session) -> Any:
    return session.client("sagemaker-runtime")


def refusal(runtime: Any, name: str, body: bytes = b"{}", **more: str) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as refused:
        runtime.invoke_endpoint(EndpointName=name, Body=body, **more)
    found = refused.value.response
    return found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"], found["Error"]["Message"]


def counted(session: boto3.Session, control: Control, dimensions: dict[str, str]) -> float:
    now = control.clock()
    found = session.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now.replace(minute=0, second=0),
        EndTime=now.replace(hour=now.hour + 1),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in found["Datapoints"])


def test_an_answer_names_its_variant_and_counts_as_an_invocation(
    runtime: Any, endpoint: Any, session: boto3.Session, control: Control
) -> None:
    endpoint("e")

    for _ in range(3):
        found = runtime.invoke_endpoint(EndpointName="e", Body=b"[1]", ContentType="application/json")
    assert json.loads(found["Body"].read()) == {"predictions": [0.5]}
    where = {"EndpointName": "e", "VariantName": found["InvokedProductionVariant"]}
    assert counted(session, control, where) == 3
    assert counted(session, control, where | {"VariantName": "another"}) == 0


def test_what_does_not_serve_is_not_found_and_not_counted(
    runtime: Any, endpoint: Any, session: boto3.Session, control: Control
) -> None:
    endpoint("e")
    control.patch("sagemaker", ["endpoints", "e"], EndpointStatus="Failed")

    for name in ("e", "nothing"):
        message = f"Endpoint {name} of account 123456789012 not found."
        assert refusal(runtime, name) == ("ValidationError", 400, message)
    assert counted(session, control, {"EndpointName": "e", "VariantName": "main"}) == 0


def test_a_payload_has_a_limit_which_serverless_inference_draws_lower(runtime: Any, endpoint: Any) -> None:
    endpoint("e")
    endpoint("s", variant=SERVERLESS)
    most = inference.MOST_SERVERLESS_BYTES

    runtime.invoke_endpoint(EndpointName="s", Body=b"x" * most)
    runtime.invoke_endpoint(EndpointName="e", Body=b"x" * (most + 1))
    assert refusal(runtime, "s", b"x" * (most + 1))[:2] == ("ValidationError", 400)
    assert refusal(runtime, "e", b"x" * (inference.MOST_BYTES + 1))[:2] == ("413", 413)


def test_an_asynchronous_endpoint_is_asked_otherwise(runtime: Any, endpoint: Any) -> None:
    endpoint("a", AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/out"}})

    assert refusal(runtime, "a")[0] == "ValidationError"


def test_an_inference_component_is_named_and_counted_alone(
    runtime: Any, endpoint: Any, session: boto3.Session, control: Control
) -> None:
    endpoint("e")
    (variant,) = session.client("sagemaker").describe_endpoint(EndpointName="e")["ProductionVariants"]
    component(session.client("sagemaker"), "c", "e", variant=variant["VariantName"])

    assert refusal(runtime, "e")[0] == "ValidationError"
    assert refusal(runtime, "e", InferenceComponentName="d")[0] == "ValidationError"
    runtime.invoke_endpoint(EndpointName="e", Body=b"{}", InferenceComponentName="c")
    assert counted(session, control, {"InferenceComponentName": "c"}) == 1
