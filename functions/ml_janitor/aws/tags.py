"""Tags: in bulk from the tagging API, or exactly, one resource at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import batched
from sys import intern
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import attempt, everything
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Tags, Unreadable, Value

if TYPE_CHECKING:
    from types_boto3_resourcegroupstaggingapi.type_defs import ResourceTagMappingTypeDef

RESERVED = "aws:"
"""The prefix of tags that only AWS can set; they never count as an owner's."""

GET_RESOURCES = "tag:GetResources"
LIST_TAGS = "sagemaker:ListTags"
GET_BUCKET_TAGGING = "s3:GetBucketTagging"
LIST_REPOSITORY_TAGS = "ecr:ListTagsForResource"
LIST_LOG_GROUP_TAGS = "logs:ListTagsForResource"

ARNS_PER_CALL = 50
"""GetResources takes 100 ARNs, but with them no page size and no token, and its default page holds 50."""


@dataclass(frozen=True, slots=True)
class TagBook:
    """
    The tags of all resources of some types.

    The tagging API answers with every resource that has or had a tag: a resource missing from a complete
    answer has none. After an answer that broke off, only the resources in it are known.
    """

    known: Mapping[str, Tags]
    error: str | None = None

    def of(self, arn: str) -> Signal[Tags]:
        """The tags of *arn*. SageMaker lower-cases names in some ARNs, so case does not matter."""
        if (tags := self.known.get(arn.lower())) is not None:
            return Value(tags, GET_RESOURCES)
        if self.error is not None:
            return Unreadable(self.error, GET_RESOURCES)
        return Value({}, GET_RESOURCES)


def in_bulk(aws: Aws, *types: str) -> TagBook:
    """Every tag of every resource of *types* ("sagemaker:endpoint"), 100 resources a page."""
    pages = aws.tagging.get_paginator("get_resources").paginate(
        ResourceTypeFilters=list(types), PaginationConfig={"PageSize": 100}
    )
    listing = everything(pages, lambda page: page["ResourceTagMappingList"], source=GET_RESOURCES)
    return TagBook(by_arn(listing.items), listing.error)


def of_many(aws: Aws, arns: Sequence[str]) -> TagBook:
    """
    Every tag of the resources *arns*, 50 to a call and side by side.

    Better than `in_bulk` for kinds that outlive their use: a job, and its tags, can never be deleted.
    """

    def read(asked: Sequence[str]) -> Mapping[str, Tags]:
        return by_arn(aws.tagging.get_resources(ResourceARNList=list(asked))["ResourceTagMappingList"])

    answers = aws.map(
        lambda asked: attempt(lambda: read(asked), source=GET_RESOURCES),
        list(batched(arns, ARNS_PER_CALL)),
    )
    known = {
        arn: tags for answer in answers if isinstance(answer, Value) for arn, tags in answer.value.items()
    }
    broken = (answer.error for answer in answers if isinstance(answer, Unreadable))
    return TagBook(known, next(broken, None))


def by_arn(entries: Iterable[ResourceTagMappingTypeDef]) -> Mapping[str, Tags]:
    """Tags by ARN in lower case. The tags of one resource may be split over several *entries* and pages."""
    tags: dict[str, dict[str, str]] = {}
    for entry in entries:
        own = tags.setdefault(
            entry["ResourceARN"].lower().removesuffix(":*"), {}
        )  # a log group's may have it
        own |= of_list(entry["Tags"])
    return tags


def of_list(listed: Iterable[Mapping[str, Any]]) -> Tags:
    """The tags in an answer. Equal ones are kept once: they repeat from one resource to the next."""
    return _shared(tuple((tag["Key"], tag["Value"]) for tag in listed))


@lru_cache(maxsize=4096)
def _shared(pairs: tuple[tuple[str, str], ...]) -> Tags:
    return {intern(key): intern(value) for key, value in pairs}


def settable(tags: Tags) -> dict[str, str]:
    """*tags* without those that AWS sets itself, and refuses from anybody else."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(RESERVED)}


def given(tags: Tags) -> dict[str, Any]:
    """*tags* as an argument of SageMaker's creating calls; nothing if there are none."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}


def of_one(aws: Aws, arn: str) -> Signal[Tags]:
    """The tags of one SageMaker resource as they are now."""

    def read() -> Tags:
        pages = aws.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    return attempt(read, source=LIST_TAGS)


def of_bucket(aws: Aws, name: str) -> Signal[Tags]:
    """The tags of one bucket as they are now; S3 answers an error where there are none."""

    def read() -> Tags:
        answer = aws.s3.get_bucket_tagging(Bucket=name)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    tags = attempt(read, source=GET_BUCKET_TAGGING, absent=("NoSuchTagSet",))
    return Value({}, GET_BUCKET_TAGGING) if isinstance(tags, Absent) else tags


def of_repository(aws: Aws, arn: str) -> Signal[Tags]:
    """The tags of one ECR repository as they are now."""

    def read() -> Tags:
        answer = aws.client("ecr").list_tags_for_resource(resourceArn=arn)
        return {tag["Key"]: tag["Value"] for tag in answer["tags"]}

    return attempt(read, source=LIST_REPOSITORY_TAGS)


def of_log_group(aws: Aws, arn: str) -> Signal[Tags]:
    """The tags of one log group as they are now."""
    return attempt(
        lambda: dict(aws.logs.list_tags_for_resource(resourceArn=arn)["tags"]), source=LIST_LOG_GROUP_TAGS
    )


def exactly(aws: Aws, arn: str) -> Signal[Tags]:
    """The tags of one SageMaker resource, bucket, image repository or log group as they are now."""
    parts = Arn.parse(arn)
    match parts.service:
        case "s3":
            return of_bucket(aws, parts.name)
        case "ecr":
            return of_repository(aws, arn)
        case "logs":
            return of_log_group(aws, arn)
        case _:
            return of_one(aws, arn)
