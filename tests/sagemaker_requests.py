"""Requests that create SageMaker resources: all that AWS requires, and what a test is about."""

from collections.abc import Mapping
from typing import Any

from conftest import ACCOUNT

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"


def rented(kind: str = "ml.m5.large", count: int = 1, gigabytes: int = 1, **given: Any) -> dict[str, Any]:
    """The instances that a job runs on."""
    return {"InstanceType": kind, "InstanceCount": count, "VolumeSizeInGB": gigabytes, **given}


def training_request(
    name: str,
    on: Mapping[str, Any] | None = None,
    *,
    out: str = "s3://models/out",
    seconds: int = 3600,
    image: str = "image",
    **given: Any,
) -> dict[str, Any]:
    """The request of a training job that writes *out* and may run for so many *seconds*."""
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": out},
        "ResourceConfig": on or rented(),
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
        **given,
    }


def processing_request(
    name: str, on: Mapping[str, Any] | None = None, *, image: str = "image", **given: Any
) -> dict[str, Any]:
    """The request of a processing job."""
    return {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": image},
        "ProcessingResources": {"ClusterConfig": on or rented()},
        **given,
    }


def transform_request(
    name: str,
    model: str = "model",
    kind: str = "ml.m5.large",
    *,
    count: int = 1,
    source: str = "s3://in/x",
    out: str = "s3://out",
    **given: Any,
) -> dict[str, Any]:
    """The request of a transform job that scores all below *source* with *model*."""
    return {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}},
        "TransformOutput": {"S3OutputPath": out},
        "TransformResources": {"InstanceType": kind, "InstanceCount": count},
        **given,
    }


def tuning_request(name: str, **given: Any) -> dict[str, Any]:
    """The request of a tuning job of up to 99 training jobs, nine at a time."""
    limits = {"MaxParallelTrainingJobs": 9, "MaxNumberOfTrainingJobs": 99}
    config = {"Strategy": "Random", "ResourceLimits": limits}
    return {"HyperParameterTuningJobName": name, "HyperParameterTuningJobConfig": config, **given}


def component_request(
    name: str, endpoint: str, model: str = "model", variant: str = "blue", **given: Any
) -> dict[str, Any]:
    """The request of an inference component: one copy of *model*, which needs a GB."""
    needs = {"MinMemoryRequiredInMb": 1024}
    return {
        "InferenceComponentName": name,
        "EndpointName": endpoint,
        "VariantName": variant,
        "Specification": {"ModelName": model, "ComputeResourceRequirements": needs},
        "RuntimeConfig": {"CopyCount": 1},
        **given,
    }


def notebook_request(name: str, kind: str = "ml.t3.xlarge", **given: Any) -> dict[str, Any]:
    """The request of a notebook instance."""
    return {"NotebookInstanceName": name, "InstanceType": kind, "RoleArn": ROLE, **given}


def domain_request(name: str, **given: Any) -> dict[str, Any]:
    """The request of a Studio domain."""
    return {
        "DomainName": name,
        "AuthMode": "SSO",
        "DefaultUserSettings": {"ExecutionRole": ROLE},
        "SubnetIds": ["subnet-0a1b2c3d4e5f60718"],
        "VpcId": "vpc-0f1e2d3c4b5a69788",
        **given,
    }


def pipeline_request(name: str, definition: str = "{}", **given: Any) -> dict[str, Any]:
    """The request of a pipeline."""
    named = {"PipelineName": name, "PipelineDefinition": definition, "ClientRequestToken": f"{name:0>32}"}
    return {**named, "RoleArn": ROLE, **given}


def package_request(artifact: str, **given: Any) -> dict[str, Any]:
    """The request of a model package with this *artifact*."""
    types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    containers = [{"Image": "image", "ModelDataUrl": artifact}]
    return {"InferenceSpecification": {"Containers": containers, **types}, **given}


def hosting(name: str, kind: str = "ml.m5.xlarge", count: int = 1, **given: Any) -> dict[str, Any]:
    """A variant that serves the model *name* on so many instances."""
    whole = {"VariantName": "all", "ModelName": name, "InstanceType": kind, "InitialInstanceCount": count}
    return whole | given


def configure(sagemaker: Any, variant: Mapping[str, Any], *, image: str = "image") -> None:
    """Create the model of a *variant* and a configuration with that variant, both named after the model."""
    name = variant["ModelName"]
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def scalable_target(resource: str, least: int, most: int, **given: Any) -> dict[str, Any]:
    """The request that registers a variant with Application Auto Scaling."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": least,
        "MaxCapacity": most,
        **given,
    }


def experiment_request(name: str, endpoint: str, model: str = "model", **given: Any) -> dict[str, Any]:
    """The request of a shadow test over *endpoint*, of *model* against itself."""
    rent = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}
    on = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": rent}
    shadow = {"ShadowModelVariantName": "green", "SamplingPercentage": 10}
    return {
        "Name": name,
        "Type": "ShadowMode",
        "RoleArn": ROLE,
        "EndpointName": endpoint,
        "ModelVariants": [
            {"ModelName": model, "VariantName": color, "InfrastructureConfig": on}
            for color in ("blue", "green")
        ],
        "ShadowModeConfig": {"SourceModelVariantName": "blue", "ShadowModelVariants": [shadow]},
        **given,
    }


def monitoring_request(
    name: str, *inputs: Any, image: str = "image", on: Mapping[str, Any] | None = None, **given: Any
) -> dict[str, Any]:
    """The request of a monitoring schedule over these *inputs*."""
    out = {"S3Output": {"S3Uri": "s3://out/drift", "LocalPath": "/opt/ml/processing/o"}}
    job = {
        "MonitoringInputs": list(inputs),
        "MonitoringOutputConfig": {"MonitoringOutputs": [out]},
        "MonitoringResources": {"ClusterConfig": on or rented()},
        "MonitoringAppSpecification": {"ImageUri": image},
        "RoleArn": ROLE,
    }
    config = {"MonitoringJobDefinition": job, **given}
    return {"MonitoringScheduleName": name, "MonitoringScheduleConfig": config}


def endpoint_input(endpoint: str) -> dict[str, Any]:
    """The member of a monitoring job that reads what *endpoint* captured."""
    return {"EndpointInput": {"EndpointName": endpoint, "LocalPath": "/opt/ml/processing/in"}}
