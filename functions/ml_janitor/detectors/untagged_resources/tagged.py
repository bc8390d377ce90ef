"""A judged resource by its ARN: finds it again, tells it from another of its name, adds and removes a tag."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ml_janitor.aws import tags
from ml_janitor.aws.answers import ReadError, required_value
from ml_janitor.aws.arns import Arn, target_in
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.signals import NotRead, Signal, Tags
from ml_janitor.detectors.untagged_resources import inventory, storage
from ml_janitor.detectors.untagged_resources.creators import Creator
from ml_janitor.detectors.untagged_resources.inventory import TaggableResource
from ml_janitor.detectors.untagged_resources.required_tags import has_tag

TAG_UNDO_READS = frozenset(
    {
        *(kind.lists for kind in inventory.JUDGED_KINDS),
        "sagemaker:ListTags",
        "s3:ListAllMyBuckets",
        "s3:GetBucketTagging",
        "ecr:DescribeRepositories",
        "ecr:ListTagsForResource",
    }
)
"""The part of the reads that `undo` needs."""

MOST_TAGS = 50
"""Tags that a resource of SageMaker, S3 or ECR can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedResource(Candidate):
    """
    One resource with its tags: from the tagging API in bulk, and exact ones where those left a question.

    *outside* says why a sweep would not judge it; *creator* is read only for a resource that lacks a tag.
    """

    outside: str | None = None
    bulk: Signal[Tags] = field(default_factory=NotRead)
    exact: Signal[Tags] = field(default_factory=NotRead)
    creator: Signal[Creator] = field(default_factory=NotRead)


def find_tagged_resource(aws: Aws, target: Target, since: datetime) -> TaggableResource | None:
    """Return the resource as its listing shows it now. Raises ReadError."""
    arn = Arn.parse(target.arn)
    if arn.service == "sagemaker":
        kind = next((kind for kind in inventory.JUDGED_KINDS if kind.type == arn.kind), None)
        if kind is not None:
            return inventory.find_resource(aws, kind, target, since)
    if (arn.service, arn.kind) in {("s3", "bucket"), ("ecr", "repository")}:
        return storage.find_store(aws, target.arn, since)
    raise ReadError(f"{target.arn} is of no kind that this detector judges")


def is_same_resource(aws: Aws, target: Target) -> bool:
    """
    Return whether *target* is still there, and no other resource has its name. Raises ReadError.

    A bucket counts by its name alone: its creation date moves when its policy changes.
    """
    arn, created = Arn.parse(target.arn), target.created
    if created is None:
        raise ReadError(f"the creation time of {target.name} is unknown, so another may have its name now")
    if arn.service == "sagemaker":
        kind = next(kind for kind in inventory.JUDGED_KINDS if kind.type == arn.kind)
        found = inventory.find_resource(aws, kind, target, created - timedelta(days=1))
    else:
        listing = (storage.list_tagged_buckets if arn.service == "s3" else storage.list_tagged_repositories)(
            aws, frozenset()
        )
        found = inventory.resource_by_arn(listing.items, target.arn)
        if found is None:
            listing.check()
    return found is not None and (arn.service == "s3" or found.created == created)


def tagged_target(aws: Aws, resource: TaggableResource, read: Signal[Tags]) -> Target:
    """Return *resource* as a target, with the tags that were *read*."""
    return target_in(aws, resource.arn, resource.name, resource.kind.type, resource.created, tags=read)


def add_tag(aws: Aws, arn: str, key: str, value: str) -> None:
    """
    Add the tag *key*, unless it is there already, in whatever spelling and with whatever value.

    Buckets get it from S3 Control's TagResource: PutBucketTagging replaces the whole set, and would lose a
    tag that is added at the same moment. TagResource works whether a bucket's tags also control access or
    not; PutBucketTagging does not (S3 User Guide, Enabling ABAC in general purpose buckets).
    """
    if has_tag(key, read_tags_now(aws, arn)):
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


def remove_tag(aws: Aws, arn: str, key: str, value: str) -> None:
    """Remove the tag *key*, unless it is gone or has another value than *value* now."""
    if read_tags_now(aws, arn).get(key) != value:
        return
    match Arn.parse(arn).service:
        case "s3":
            aws.s3control.untag_resource(AccountId=aws.account, ResourceArn=arn, TagKeys=[key])
        case "ecr":
            aws.client("ecr").untag_resource(resourceArn=arn, tagKeys=[key])
        case _:
            aws.sagemaker.delete_tags(ResourceArn=arn, TagKeys=[key])


def read_tags_now(aws: Aws, arn: str) -> Tags:
    """Return the tags of *arn* as they are now. Raises ReadError."""
    return required_value(tags.read_exact_tags(aws, arn)) or {}
