"""Finds a judged resource again by its ARN, and distinguishes it from another of the same name."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.signals import NotRead, Signal, Tags
from ml_janitor.detectors.untagged_resources import inventory, storage
from ml_janitor.detectors.untagged_resources.creators import Creator
from ml_janitor.detectors.untagged_resources.inventory import Resource

UNDO_READS = frozenset(
    {
        *(kind.lists for kind in inventory.KINDS),
        "sagemaker:ListTags",
        "s3:ListAllMyBuckets",
        "s3:GetBucketTagging",
        "ecr:DescribeRepositories",
        "ecr:ListTagsForResource",
    }
)
"""The part of the reads that `undo` needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedResource(Candidate):
    """
    One resource with its tags: from the tagging API in bulk, and exactly where those left a question.

    *outside* says why a sweep would not judge it; *creator* is read only for what lacks a tag.
    """

    outside: str | None = None
    bulk: Signal[Tags] = field(default_factory=NotRead)
    exact: Signal[Tags] = field(default_factory=NotRead)
    creator: Signal[Creator] = field(default_factory=NotRead)


def look(aws: Aws, target: Target, since: datetime) -> Resource | None:
    """The resource as its listing shows it now. Raises ReadError."""
    arn = Arn.parse(target.arn)
    if arn.service == "sagemaker":
        kind = next((kind for kind in inventory.KINDS if kind.type == arn.kind), None)
        if kind is not None:
            return inventory.look(aws, kind, target, since)
    if (arn.service, arn.kind) in {("s3", "bucket"), ("ecr", "repository")}:
        return storage.look(aws, target.arn, since)
    raise ReadError(f"{target.arn} is of no kind that this detector judges")


def same(aws: Aws, target: Target) -> bool:
    """
    Whether *target* is still there, and no other resource has its name. Raises ReadError.

    A bucket counts by its name alone: its creation date moves when its policy changes.
    """
    arn, created = Arn.parse(target.arn), target.created
    if created is None:
        raise ReadError(f"the creation time of {target.name} is unknown, so another may have its name now")
    if arn.service == "sagemaker":
        kind = next(kind for kind in inventory.KINDS if kind.type == arn.kind)
        found = inventory.look(aws, kind, target, created - timedelta(days=1))
    else:
        listing = (storage.buckets if arn.service == "s3" else storage.repositories)(aws, frozenset())
        found = inventory.named(listing.items, target.arn)
        if found is None:
            listing.check()
    return found is not None and (arn.service == "s3" or found.created == created)


def target_of(aws: Aws, resource: Resource, read: Signal[Tags]) -> Target:
    """*resource* as a target, with the tags that were *read*."""
    return Target(
        arn=resource.arn,
        name=resource.name,
        kind=resource.type,
        account=aws.account,
        region=aws.region,
        created=resource.created,
        tags=read,
    )
