"""Makes resources in the sandbox whose tags count."""

from typing import Any

import boto3

from conftest import ACCOUNT, REGION
from ml_janitor.detectors.untagged_resources.rule import UntaggedResources
from sagemaker_requests import training_request, transform_request
from studio_seed import spelled

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
COMPLETE = dict.fromkeys(UntaggedResources().required, "x")


def model(session: boto3.Session, name: str, **tags: str) -> str:
    """A model that uses the repository "serve" and the bucket "models"."""
    answer = session.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": f"{REGISTRY}/serve:1", "ModelDataUrl": "s3://models/m.tar.gz"},
        Tags=spelled(tags),
    )
    return answer["ModelArn"]


def transform_job(session: boto3.Session, name: str, **tags: str) -> str:
    answer = session.client("sagemaker").create_transform_job(
        **transform_request(name, "m", Tags=spelled(tags))
    )
    return answer["TransformJobArn"]


def training(output: str) -> Any:
    """What every training job needs."""
    request = training_request("", out=output, seconds=60, image=f"{REGISTRY}/train:1")
    del request["TrainingJobName"]
    return request
