"""What may refer to a model artifact: each refers to one file, to a folder, or to what keys begin with."""

import json
from typing import Any

from properties.worlds.base import ACCOUNT, BUCKET, COMPLETE, ROLE, Account, Labels
from sagemaker_requests import package_request, pipeline_request, rented, training_request


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


def make_leftovers(account: Account) -> None:
    """What names something that was deleted, and is not in use: it concerns no artifact."""
    package = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package/deleted/1"
    make_model(account, {"ModelPackageName": package})
    name = account.name("failed")
    variant: Any = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large"}
    account.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i", "ModelDataUrl": "s3://gone/m"}
    )
    config = account.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[variant | {"InitialInstanceCount": 1}],
        Tags=COMPLETE.listed,
    )
    endpoint = account.sagemaker.create_endpoint(
        EndpointName=name, EndpointConfigName=name, Tags=COMPLETE.listed
    )
    account.control.patch("sagemaker", ["endpoints", name], EndpointStatus="Failed")
    account.sagemaker.delete_model(ModelName=name)
    for arn in (config["EndpointConfigArn"], endpoint["EndpointArn"]):
        account.tagged(arn, COMPLETE)


def make_manifest(account: Account) -> None:
    """A model that loads what a manifest lists, in a bucket that nobody named."""
    source = {"S3Uri": "s3://elsewhere/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    listed = source | {"ManifestS3Uri": "s3://elsewhere/list.csv"}
    make_model(account, {"Image": "i", "ModelDataSource": {"S3DataSource": listed}})
    account.manifest = True


def _package(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    _make_package(account, file)


def _rejected(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    _make_package(account, file, ModelApprovalStatus="Rejected")


def _make_package(account: Account, file: str, **given: Any) -> None:
    name = account.name("group")
    group = account.sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=COMPLETE.listed)
    account.tagged(group["ModelPackageGroupArn"], COMPLETE)
    account.sagemaker.create_model_package(**package_request(file, ModelPackageGroupName=name, **given))


def _pipeline(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    name = account.name("pipeline")
    made = account.sagemaker.create_pipeline(
        **pipeline_request(
            name, json.dumps({"Steps": [{"Arguments": {"Model": folder + "/"}}]}), Tags=COMPLETE.listed
        )
    )
    account.tagged(made["PipelineArn"], COMPLETE)


def _training_job(account: Account, folder: str, file: str) -> None:  # noqa: ARG001
    """One that ended long ago."""
    name = account.name("tuned")
    source: Any = {"S3DataType": "S3Prefix", "S3Uri": folder}
    made = account.sagemaker.create_training_job(
        **training_request(
            name,
            rented("ml.m5.xlarge", 1, 10),
            out=f"s3://{BUCKET}/tuned",
            InputDataConfig=[{"ChannelName": "model", "DataSource": {"S3DataSource": source}}],
        )
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
    "rejected package": _rejected,
}
IN_USE = ("model package", "pipeline")
"""Of these, what keeps an artifact. The others make it likely waste at most: nothing serves the models."""
