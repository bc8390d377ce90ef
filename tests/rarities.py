"""What the demo account has none of and some permission is for, so that every permission can be tried."""

from __future__ import annotations

import boto3

from conftest import ACCOUNT, REGION

ROLE = f"arn:aws:iam::{ACCOUNT}:role/rarities"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/rarities"
"""A customer's key: reading what it encrypts takes permission for the key as well."""


def seed(session: boto3.Session) -> None:
    """Add it to whatever account the session is for."""
    machinery(session)
    copies(session)


def machinery(session: boto3.Session) -> None:
    """Kinds of SageMaker's that hardly anybody has."""
    sagemaker = session.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="rarities")
    sagemaker.create_model_package(ModelPackageGroupName="rarities", ModelPackageDescription="the first")
    sagemaker.create_pipeline(
        PipelineName="rarities", PipelineDefinition="{}", ClientRequestToken="t" * 32, RoleArn=ROLE
    )
    sagemaker.create_cluster(
        ClusterName="rarities",
        InstanceGroups=[
            {
                "InstanceGroupName": "workers",
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-rarities", "OnCreate": "create.sh"},
                "ExecutionRole": ROLE,
                "ThreadsPerCore": 1,
            }
        ],
    )


def copies(session: boto3.Session) -> None:
    """
    Equal files in a bucket with Object Lock, and in one whose objects are under a customer's key.

    Models use one of each, and an image of a repository: what SageMaker does not use is not looked at.
    """
    s3, ecr, sagemaker = session.client("s3"), session.client("ecr"), session.client("sagemaker")
    image = ecr.create_repository(repositoryName="rarities")["repository"]["repositoryUri"]
    s3.create_bucket(Bucket="rarities-locked", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="rarities-encrypted")
    body = b"weights " * 2**18
    for name in ("a/model.tar.gz", "b/model.tar.gz"):
        s3.put_object(Bucket="rarities-locked", Key=name, Body=body)
        s3.put_object(
            Bucket="rarities-encrypted",
            Key=name,
            Body=body,
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=KEY,
        )
    for bucket in ("rarities-locked", "rarities-encrypted"):
        sagemaker.create_model(
            ModelName=bucket,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": f"{image}:1", "ModelDataUrl": f"s3://{bucket}/a/model.tar.gz"},
        )
