"""Adds one tag to a resource, or removes one, and changes nothing else."""

from __future__ import annotations

from ml_janitor.aws import tags
from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Tags, Unreadable, Value
from ml_janitor.detectors.untagged_resources.required_tags import written

MOST = 50
"""Tags that a resource of SageMaker, S3 or ECR can have."""


def add(aws: Aws, arn: str, key: str, value: str) -> None:
    """
    Add the tag *key*, unless it is there already, in whatever spelling and with whatever value.

    Buckets get it from S3 Control's TagResource: PutBucketTagging replaces the whole set, and would
    lose a tag that is added at the same moment. It works whether a bucket's tags also control
    access or not; PutBucketTagging does not (S3 User Guide, Enabling ABAC in general purpose buckets).
    """
    if written(key, read(aws, arn)):
        return
    match Arn.parse(arn).service:
        case "s3":
            aws.s3control.tag_resource(
                AccountId=aws.account, ResourceArn=arn, Tags=[{"Key": key, "Value": value}]
            )
        case "ecr":
            aws.client("ecr").tag_resource(resourceArn=arn, tags=[{"Key": key, "Value": value}])
        case _:
            aws.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": value}])


def remove(aws: Aws, arn: str, key: str, value: str) -> None:
    """Remove the tag *key*, unless it is gone or has another value than *value* now."""
    if read(aws, arn).get(key) != value:
        return
    match Arn.parse(arn).service:
        case "s3":
            aws.s3control.untag_resource(AccountId=aws.account, ResourceArn=arn, TagKeys=[key])
        case "ecr":
            aws.client("ecr").untag_resource(resourceArn=arn, tagKeys=[key])
        case _:
            aws.sagemaker.delete_tags(ResourceArn=arn, TagKeys=[key])


def read(aws: Aws, arn: str) -> Tags:
    """The tags of *arn* as they are now. Raises ReadError."""
    match tags.exactly(aws, arn):
        case Value(own):
            return own
        case Unreadable(error):
            raise ReadError(error)
        case other:
            raise ReadError(f"the tags of {arn} could not be read: {other}")
