"""Requests to SageMaker with what AWS demands of them and no test is about, and how AWS refuses one."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/worker"
SPECIFICATION = {
    "Containers": [{"Image": "image"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
"""Of a model package."""
ON_M5 = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 1}


def refusal(call: Callable[..., Any], *given: Any, **asked: Any) -> str:
    """The code, the operation and the message with which AWS refuses this."""
    with pytest.raises(ClientError) as error:
        call(*given, **asked)
    return str(error.value)


def refused(call: Callable[..., Any], **asked: Any) -> str:
    """The code alone."""
    return refusal(call, **asked).partition("(")[2].partition(")")[0]


def endpoint(
    sagemaker: Any, control: Any, name: str, *, variant: dict[str, Any] | None = None, **config: Any
) -> str:
    """An endpoint with everything it needs, which is in service at once; its ARN."""
    if not sagemaker.list_models(NameContains="any-model")["Models"]:
        sagemaker.create_model(ModelName="any-model", ExecutionRoleArn=ROLE)
    usual = {"VariantName": "main", "ModelName": "any-model", "InstanceType": "ml.m5.large"}
    chosen = {"InitialInstanceCount": 1} | usual if variant is None else variant
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[chosen], **config)
    with control.at_once():
        arn: str = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)["EndpointArn"]
    return arn


def training(sagemaker: Any, name: str, **more: Any) -> str:
    """A training job; its ARN."""
    asked: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.p3.8xlarge", "InstanceCount": 4, "VolumeSizeInGB": 50},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    arn: str = sagemaker.create_training_job(**asked | more)["TrainingJobArn"]
    return arn


def notebook(sagemaker: Any, name: str, **more: Any) -> None:
    asked = {"NotebookInstanceName": name, "InstanceType": "ml.t3.medium", "RoleArn": ROLE}
    sagemaker.create_notebook_instance(**asked | more)


def processing(sagemaker: Any, name: str) -> None:
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=ROLE,
        AppSpecification={"ImageUri": "image"},
        ProcessingResources={"ClusterConfig": ON_M5},
    )


def transform(sagemaker: Any, name: str, model: str = "m") -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=model,
        TransformInput={"DataSource": source},
        TransformOutput={"S3OutputPath": "s3://b/out"},
        TransformResources={name: ON_M5[name] for name in ("InstanceCount", "InstanceType")},
    )


def tuning(sagemaker: Any, name: str) -> str:
    """A hyperparameter tuning job; its ARN."""
    config = {"Strategy": "Bayesian", "ResourceLimits": {"MaxParallelTrainingJobs": 2}}
    made = sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, HyperParameterTuningJobConfig=config
    )
    return str(made["HyperParameterTuningJobArn"])


def component(sagemaker: Any, name: str, endpoint: str, *, variant: str = "main", **more: Any) -> None:
    asked = {"Specification": {"ModelName": "any-model"}, "RuntimeConfig": {"CopyCount": 1}}
    where = {"EndpointName": endpoint, "VariantName": variant}
    sagemaker.create_inference_component(InferenceComponentName=name, **where, **asked | more)


def domain(sagemaker: Any, name: str, **more: Any) -> str:
    """A Studio domain; its identifier."""
    where = {"AuthMode": "IAM", "SubnetIds": ["subnet-1"], "VpcId": "vpc-1"}
    asked = where | {"DefaultUserSettings": {"ExecutionRole": ROLE}} | more
    return str(sagemaker.create_domain(DomainName=name, **asked)["DomainId"])


def pipeline(sagemaker: Any, name: str) -> None:
    asked = {"PipelineDefinition": "{}", "RoleArn": ROLE, "ClientRequestToken": "t" * 32}
    sagemaker.create_pipeline(PipelineName=name, **asked)


def cluster(sagemaker: Any, name: str) -> str:
    """A HyperPod cluster of two instances; its ARN."""
    group = {
        "InstanceGroupName": "workers",
        "InstanceType": "ml.p5e.48xlarge",
        "InstanceCount": 2,
        "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-b/x", "OnCreate": "on.sh"},
        "ExecutionRole": ROLE,
    }
    return str(sagemaker.create_cluster(ClusterName=name, InstanceGroups=[group])["ClusterArn"])
