"""Tags: in bulk from the tagging API, or exactly, one resource at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from janitor.aws import attempt, everything
from janitor.model import Signal, Tags, Unreadable, Value

if TYPE_CHECKING:
    from janitor.aws import Aws

GET_RESOURCES = "tag:GetResources"
LIST_TAGS = "sagemaker:ListTags"


@dataclass(frozen=True, slots=True)
class TagBook:
    """
    The tags of all resources of some types.

    The tagging API answers with every resource that has or had a tag, so one that is missing from
    a complete answer has none; after a broken-off answer, only those that were read are known.
    """

    known: dict[str, Tags]
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
    known: dict[str, Tags] = {
        entry["ResourceARN"].lower(): {tag["Key"]: tag["Value"] for tag in entry["Tags"]}
        for entry in listing.items
    }
    return TagBook(known, listing.error)


def of_one(aws: Aws, arn: str) -> Signal[Tags]:
    """The tags of one SageMaker resource as they are now."""

    def read() -> Tags:
        pages = aws.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    return attempt(read, source=LIST_TAGS)
