"""What may refer to a model artifact: each refers to one file, to a folder, or to what keys begin with."""

from __future__ import annotations

import json
from typing import Any

from properties.worlds.base import BUCKET, COMPLETE, ROLE, Account, Labels


def _model(account: Account, folder: str, file: str) -> None:  # noqa: ARG001 - of the two, it names one
    make_model(account, {"Image": "i", "ModelDataUrl": file})


def _model_of_prefix(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    source = {"S3Uri": f"{folder}/mo", "S3DataType": "S3Prefix", "CompressionType": "None"}
    make_model(account, {"Image": "i", "ModelDataSource": {"S3DataSource": source}})


def make_model(account: Account, container: Any) -> None:
    """A model of this container."""
    made = account.sagemaker.create_model(
        ModelName=account.name("served"),
        ExecutionRoleArn=ROLE,
        PrimaryContainer=container,
        Tags=COMPLETE.listed,
    )
    account.tagged(made["ModelArn"], COMPLETE)


def _package(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    name = account.name("group")
    group = account.sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=COMPLETE.listed)
    account.tagged(group["ModelPackageGroupArn"], COMPLETE)
    account.sagemaker.create_model_package(
        ModelPackageGroupName=name,
        InferenceSpecification={
            "Containers": [{"Image": "i", "ModelDataUrl": file}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )


def _pipeline(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    name = account.name("pipeline")
    made = account.sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=json.dumps({"Steps": [{"Arguments": {"Model": folder + "/"}}]}),
        RoleArn=ROLE,
        ClientRequestToken=f"{name:0>32}",
        Tags=COMPLETE.listed,
    )
    account.tagged(made["PipelineArn"], COMPLETE)


def _training_job(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    """One that ended long ago: what it started from, it refers to for good."""
    name = account.name("tuned")
    source: Any = {"S3DataType": "S3Prefix", "S3Uri": folder}
    made = account.sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": "i"},
        RoleArn=ROLE,
        InputDataConfig=[{"ChannelName": "model", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/tuned"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    done = {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}
    account.control.patch("sagemaker", ["training_jobs", name], **done)
    account.tagged(made["TrainingJobArn"], Labels(), judged=False)


USERS = {
    "model": _model,
    "model of a prefix": _model_of_prefix,
    "model package": _package,
    "pipeline": _pipeline,
    "training job": _training_job,
}
