"""Random endpoint configurations and models, each with its own, and what uses them."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import BUCKET, DAY, EXEMPT, ROLE, UNKEPT, Account, Kind, Thing, spans
from sagemaker_requests import component_request, package_request, pipeline_request, transform_request

DETECTOR = "unused-serving-resources"
LISTINGS = {DETECTOR: {"sagemaker:ListEndpointConfigs", "sagemaker:ListModels"}}
HOSTS: Any = {"VariantName": "v", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
BOTH = frozenset({"endpoint", "endpoint of last month"})
"""What uses a configuration and through it its model; all else that is no waste uses the model alone."""

MODEL_ALONE = frozenset({"component", "package", "pipeline", "running job", "job of last month"})


@dataclass(frozen=True, kw_only=True)
class Serving(Thing):
    """A configuration and its model, made at one *age*; *user* is what names them, in use or not."""

    calls = (
        "cloudtrail:LookupEvents",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeInferenceComponent",
        "sagemaker:DescribePipeline",
        "sagemaker:ListEndpointConfigs",
        "sagemaker:ListEndpoints",
        "sagemaker:ListInferenceComponents",
        "sagemaker:ListInferenceExperiments",
        "sagemaker:ListModelPackageGroups",
        "sagemaker:ListModelPackages",
        "sagemaker:ListModels",
        "sagemaker:ListPipelines",
        "sagemaker:ListTransformJobs",
        "sagemaker:Search",
        "tag:GetResources",
    )

    age: timedelta
    user: str

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("served"), account.sagemaker
        file = f"s3://{BUCKET}/{name}/model.tar.gz"
        account.be(self.age)
        model = sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": "i", "ModelDataUrl": file},
            Tags=self.labels.listed,
        )
        config = sagemaker.create_endpoint_config(
            EndpointConfigName=f"{name}-config",
            ProductionVariants=[HOSTS | {"ModelName": name}],
            Tags=self.labels.listed,
        )
        self._use(account, name, file)
        for arn, users in ((config["EndpointConfigArn"], BOTH), (model["ModelArn"], BOTH | MODEL_ALONE)):
            unused = not self.labels.exempt and self.age >= 90 * DAY and self.user not in users
            account.claim(DETECTOR, arn, waste=unused, needs=NEEDED)

    def _use(self, account: Account, name: str, file: str) -> None:
        sagemaker: Any = account.sagemaker
        config = f"{name}-config"
        match self.user:
            case "endpoint":
                sagemaker.create_endpoint(EndpointName=f"{name}-live", EndpointConfigName=config)
            case "failed endpoint":
                sagemaker.create_endpoint(EndpointName=f"{name}-failed", EndpointConfigName=config)
                account.control.patch("sagemaker", ["endpoints", f"{name}-failed"], EndpointStatus="Failed")
            case "endpoint of last month" | "endpoint of last year":
                account.be(30 * DAY if "month" in self.user else self.age)
                sagemaker.create_endpoint(EndpointName=f"{name}-was", EndpointConfigName=config)
                sagemaker.delete_endpoint(EndpointName=f"{name}-was")
            case "component":
                sagemaker.create_endpoint_config(
                    EndpointConfigName=f"{name}-host", ProductionVariants=[HOSTS], ExecutionRoleArn=ROLE
                )
                sagemaker.create_endpoint(EndpointName=f"{name}-host", EndpointConfigName=f"{name}-host")
                sagemaker.create_inference_component(
                    **component_request(f"{name}-part", f"{name}-host", name, "v")
                )
            case "package" | "pending package":
                group = f"{name}-packages"
                sagemaker.create_model_package_group(ModelPackageGroupName=group)
                sagemaker.create_model_package(
                    **package_request(
                        file,
                        ModelPackageGroupName=group,
                        ModelApprovalStatus="Approved" if self.user == "package" else "PendingManualApproval",
                    )
                )
            case "pipeline" | "pipeline of another":
                used = name if self.user == "pipeline" else f"{name}-next"
                sagemaker.create_pipeline(
                    **pipeline_request(
                        f"{name}-weekly", json.dumps({"Steps": [{"Arguments": {"ModelName": used}}]})
                    )
                )
            case "running job" | "job of last month" | "job of last year":
                self._score(account, name)

    def _score(self, account: Account, name: str) -> None:
        account.be(DAY if self.user == "running job" else 30 * DAY if "month" in self.user else self.age)
        account.sagemaker.create_transform_job(**transform_request(name, name))
        if self.user != "running job":
            ended: Any = account.now - (30 * DAY if "month" in self.user else self.age)
            done: Any = {"TransformJobStatus": "Completed", "TransformEndTime": ended}
            account.control.patch("sagemaker", ["transform_jobs", name], **done)


NEEDED = frozenset(Serving.calls) - {"sagemaker:ListModels"}
"""Without the models' list, configurations can be judged all the same."""

KIND = Kind.of(
    Serving,
    labels=(UNKEPT, EXEMPT),
    age=(spans(DAY, 200, 120, 90), spans(DAY, 89)),
    user=(
        [
            "nothing",
            "failed endpoint",
            "endpoint of last year",
            "pending package",
            "pipeline of another",
            "job of last year",
        ],
        sorted(BOTH | MODEL_ALONE),
    ),
)
KINDS = (KIND,)
