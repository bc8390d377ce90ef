"""Makes endpoints of any age in the sandbox, and the metrics they would have published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor_sandbox.control import Control

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/ml"
SAGEMAKER, INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
M5 = {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
QUIET: tuple[float, ...] = (0.0,) * (9 * 24)


class Seed:
    """Makes endpoints of any age, and the metrics they would have published for nine days."""

    def __init__(self, box: Control, aws: Aws) -> None:
        self.box = box
        self.sagemaker: Any = aws.armed().sagemaker
        box.set_clock(NOW - 90 * DAY)
        self.sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE)
        box.set_clock(NOW)

    def endpoint(
        self,
        name: str,
        *variants: dict[str, Any],
        age: timedelta = 30 * DAY,
        tags: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        self.box.set_clock(NOW - age)
        given = variants or ({"VariantName": "blue"},)
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant(**one) for one in given], **config
        )
        listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=listed)
        self.box.set_clock(NOW)

    def component(self, name: str, endpoint: str, *, age: timedelta = 30 * DAY) -> None:
        self.box.set_clock(NOW - age)
        self.sagemaker.create_inference_component(
            InferenceComponentName=name,
            EndpointName=endpoint,
            VariantName="blue",
            Specification={
                "ModelName": "model",
                "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
            },
            RuntimeConfig={"CopyCount": 1},
        )
        self.box.set_clock(NOW)

    def publish(
        self, metric: str, values: Sequence[float] = QUIET, *, namespace: str = SAGEMAKER, **dimensions: str
    ) -> None:
        """Hourly values, the last of which is for the hour before now."""
        start = NOW - len(values) * HOUR
        series = {"metric": metric, "dimensions": dimensions, "start": start, "step": 3600, "values": values}
        self.box.metrics(namespace, [series])

    def requests(self, endpoint: str, variant: str = "blue", values: Sequence[float] = QUIET) -> None:
        self.publish("Invocations", values, EndpointName=endpoint, VariantName=variant)

    def control(self, endpoint: str, variant: str = "blue") -> None:
        self.publish("CPUUtilization", namespace=INSTANCES, EndpointName=endpoint, VariantName=variant)


def variant(**given: Any) -> dict[str, Any]:
    """A production variant of an ordinary kind, with *given* in place of its members; None drops one."""
    kind = {} if "ServerlessConfig" in given or "InstancePools" in given else M5
    whole = {"ModelName": "model", "InitialVariantWeight": 1.0, **kind, **given}
    return {key: value for key, value in whole.items() if value is not None}
