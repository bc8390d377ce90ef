"""Makes endpoints of any age in the sandbox, and the metrics they would have published."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws
from ml_janitor_sandbox.control import Control
from sagemaker_requests import (
    component_request,
    endpoint_input,
    experiment_request,
    monitoring_request,
    processing_request,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/ml"
SAGEMAKER, INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
M5 = {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/volumes"
CLUSTER = {"InstanceCount": 2, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 20}
SCALED = {"ServiceNamespace": "sagemaker"}
MADE_ANEW = ("CreationTime", "LastModifiedTime", "ResponseMetadata")
"""What Describe shows of a thing that is of that thing alone."""
QUIET: tuple[float, ...] = (0.0,) * (9 * 24)


class Seed:
    """Makes endpoints of any age, and the metrics they would have published for nine days."""

    def __init__(self, box: Control, aws: Aws) -> None:
        self.box = box
        self.sagemaker: Any = aws.armed().sagemaker
        with box.at(NOW - 90 * DAY):
            self.scaling: Any = aws.armed().client("application-autoscaling")
            self.sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE)
            self.sagemaker.create_model(
                ModelName="with-image",
                ExecutionRoleArn=ROLE,
                PrimaryContainer={"Image": "registry/serving:1"},
            )

    def endpoint(
        self,
        name: str,
        *variants: dict[str, Any],
        age: timedelta = 30 * DAY,
        tags: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        with self.box.at(NOW - age):
            given = variants or ({"VariantName": "blue"},)
            self.sagemaker.create_endpoint_config(
                EndpointConfigName=name, ProductionVariants=[variant(**one) for one in given], **config
            )
            listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
            self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=listed)

    def component(self, name: str, endpoint: str, *, age: timedelta = 30 * DAY) -> None:
        with self.box.at(NOW - age):
            self.sagemaker.create_inference_component(**component_request(name, endpoint))

    def publish(
        self, metric: str, values: Sequence[float] = QUIET, *, namespace: str = SAGEMAKER, **dimensions: str
    ) -> None:
        """Hourly values, the last of which is for the hour before now."""
        start = NOW - len(values) * HOUR
        series = {"metric": metric, "dimensions": dimensions, "start": start, "step": 3600, "values": values}
        self.box.metrics(namespace, [series])

    def requests(self, endpoint: str, variant: str = "blue", values: Sequence[float] = QUIET) -> None:
        self.publish("Invocations", values, EndpointName=endpoint, VariantName=variant)

    def serve(self, name: str, *variants: Any, values: Sequence[float] = QUIET, **given: Any) -> None:
        """Make an endpoint, and requests to its variant blue: none, or these *values*."""
        self.endpoint(name, *variants, **given)
        self.requests(name, values=values)

    def monitor(self, name: str, endpoint: str) -> None:
        hourly = {"ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"}}
        image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/monitor"
        asked = monitoring_request(name, endpoint_input(endpoint), image=image, on=CLUSTER, **hourly)
        self.sagemaker.create_monitoring_schedule(**asked)

    def monitored(self, schedule: str, *, ago: timedelta, took: timedelta | None) -> None:
        """An execution of *schedule* that began so long *ago* and *took* so long, or goes on."""
        arn = self.sagemaker.describe_monitoring_schedule(MonitoringScheduleName=schedule)
        name = f"model-monitoring-{ago // timedelta(minutes=1)}"
        with self.box.at(NOW - ago):
            self.sagemaker.create_processing_job(**processing_request(name, CLUSTER))
        members: dict[str, Any] = {"MonitoringScheduleArn": arn["MonitoringScheduleArn"]}
        if took is not None:
            members |= {"ProcessingJobStatus": "Failed", "ProcessingEndTime": NOW - ago + took}
        self.box.patch("sagemaker", ["processing_jobs", name], **members)

    def control(self, endpoint: str, variant: str = "blue") -> None:
        self.publish("CPUUtilization", namespace=INSTANCES, EndpointName=endpoint, VariantName=variant)


def variant(**given: Any) -> dict[str, Any]:
    """A production variant of an ordinary kind, with *given* in place of its members; None drops one."""
    kind = {} if "ServerlessConfig" in given or "InstancePools" in given else M5
    whole = {"ModelName": "model", "InitialVariantWeight": 1.0, **kind, **given}
    return {key: value for key, value in whole.items() if value is not None}


class Serving(Seed):
    """The two kinds of endpoint with everything that can hang on them, and all that Describe shows of it."""

    def __init__(self, box: Control, aws: Aws) -> None:
        super().__init__(box, aws)
        self.aws = aws

    def plain(self) -> None:
        """Two variants, tags, a key, one scaled by policy and schedule, one re-weighed by hand."""
        blue, green = ({"VariantName": name} for name in ("blue", "green"))
        self.endpoint("churn", blue, green, tags={"owner": "maria", "team": "risk"}, KmsKeyId=KEY)
        config = self.sagemaker.describe_endpoint_config(EndpointConfigName="churn")["EndpointConfigArn"]
        self.sagemaker.add_tags(ResourceArn=config, Tags=[{"Key": "made-by", "Value": "ci"}])
        with self.box.at(NOW - 20 * DAY):
            desired = {"VariantName": "green", "DesiredWeight": 0.25, "DesiredInstanceCount": 3}
            self.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName="churn", DesiredWeightsAndCapacities=[desired]
            )
            self.scaled("endpoint/churn/variant/blue", "sagemaker:variant:DesiredInstanceCount")
        for name in ("blue", "green"):
            self.requests("churn", name)
            self.control("churn", name)

    def shared(self) -> None:
        """Instances without a model of their own: a base, an adapter on it, and one that is scaled."""
        self.endpoint(
            "gateway",
            {
                "VariantName": "blue",
                "ModelName": None,
                "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 4},
            },
            tags={"owner": "maria"},
            ExecutionRoleArn=ROLE,
        )
        self.component("base", "gateway", age=29 * DAY)
        self.component("scaled", "gateway", age=29 * DAY)
        with self.box.at(NOW - 28 * DAY):
            self.sagemaker.create_inference_component(
                InferenceComponentName="adapter",
                EndpointName="gateway",
                Specification={
                    "BaseInferenceComponentName": "base",
                    "Container": {"ArtifactUrl": "s3://adapters/a.tar.gz"},
                },
                Tags=[{"Key": "owner", "Value": "ravi"}],
            )
            self.sagemaker.update_inference_component_runtime_config(
                InferenceComponentName="scaled", DesiredRuntimeConfig={"CopyCount": 2}
            )
            self.scaled("inference-component/scaled", "sagemaker:inference-component:DesiredCopyCount")
        for name in ("base", "scaled", "adapter"):
            self.publish("Invocations", InferenceComponentName=name)
        self.control("gateway")

    def scaled(self, resource: str, dimension: str) -> None:
        """By a policy and by a schedule, with tags, and suspended in one way."""
        where = {**SCALED, "ResourceId": resource, "ScalableDimension": dimension}
        self.scaling.register_scalable_target(
            **where,
            MinCapacity=1,
            MaxCapacity=6,
            SuspendedState={"ScheduledScalingSuspended": True},
            Tags={"owner": "maria"},
        )
        tracking = {
            "TargetValue": 70.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                if "endpoint/" in resource
                else "SageMakerInferenceComponentInvocationsPerCopy"
            },
            "ScaleInCooldown": 600,
        }
        self.scaling.put_scaling_policy(
            **where,
            PolicyName="requests",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
        )
        self.scaling.put_scheduled_action(
            **where,
            ScheduledActionName="mornings",
            Schedule="cron(0 7 * * ? *)",
            Timezone="Europe/Berlin",
            ScalableTargetAction={"MinCapacity": 2},
        )

    def shown(self) -> dict[str, Any]:
        """Everything that Describe and List show, but what is of one creation alone."""
        sagemaker = self.sagemaker
        shown: dict[str, Any] = {}
        for one in sagemaker.list_endpoints()["Endpoints"]:
            found = sagemaker.describe_endpoint(EndpointName=one["EndpointName"])
            shown[one["EndpointName"]] = found, self.tags(found["EndpointArn"])
        for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]:
            found = sagemaker.describe_endpoint_config(EndpointConfigName=one["EndpointConfigName"])
            shown[f"configuration {one['EndpointConfigName']}"] = found, self.tags(found["EndpointConfigArn"])
        for one in sagemaker.list_inference_components()["InferenceComponents"]:
            name = one["InferenceComponentName"]
            found = sagemaker.describe_inference_component(InferenceComponentName=name)
            shown[f"component {name}"] = found, self.tags(found["InferenceComponentArn"])
        targets = self.scaling.describe_scalable_targets(**SCALED)["ScalableTargets"]
        for one in targets:
            tags = self.scaling.list_tags_for_resource(ResourceARN=one["ScalableTargetARN"])["Tags"]
            shown[f"target {one['ResourceId']}"] = one, tags
        shown["policies"] = self.scaling.describe_scaling_policies(**SCALED)["ScalingPolicies"]
        shown["actions"] = self.scaling.describe_scheduled_actions(**SCALED)["ScheduledActions"]
        bare: dict[str, Any] = without(shown)
        return bare

    def tags(self, arn: str) -> list[dict[str, str]]:
        return sorted(self.sagemaker.list_tags(ResourceArn=arn)["Tags"], key=lambda tag: tag["Key"])

    def gone(self, name: str) -> bool:
        return name not in [one["EndpointName"] for one in self.sagemaker.list_endpoints()["Endpoints"]]


def without(shown: Any) -> Any:
    """*shown* without what is of one creation alone."""
    if isinstance(shown, dict):
        return {key: without(value) for key, value in shown.items() if key not in MADE_ANEW}
    if isinstance(shown, list | tuple):
        return [without(value) for value in shown]
    return shown


def experiment(world: Serving) -> None:
    """A running one, over an endpoint of its own."""
    world.endpoint("other")
    world.sagemaker.create_inference_experiment(**experiment_request("shadow-of-another", "other"))
