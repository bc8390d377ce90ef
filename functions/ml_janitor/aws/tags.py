"""Read ARNs and tags: tags in bulk from the tagging API, or exactly, one resource at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from itertools import batched
from sys import intern
from typing import Any

from ml_janitor.aws.calls import Listing, as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, NotRead, Signal, Tags, Target, Unreadable, Value

# --- ARNs -----------------------------------------------------------------------------------------

REGION_PATTERN = r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}"
"""The pattern of region names; AWS decides which exist."""


@dataclass(frozen=True, slots=True)
class Arn:
    """
    The parts of an ARN.

    *kind* is the resource type in the service's own spelling ("endpoint", "training-job"); for S3,
    whose ARNs carry none, "bucket" or "object". *name* is the rest: SageMaker
    lower-cases it for some kinds, and app ARNs hold several slashes.
    """

    partition: str
    service: str
    region: str
    account: str
    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Parse *text*. Raises ValueError if it is not an ARN."""
        from botocore.utils import ArnParser

        parts = ArnParser().parse_arn(text.strip()) if ArnParser.is_arn(text.strip()) else {}
        if not (resource := parts.pop("resource", "")):
            raise ValueError(f"{text!r} is not an ARN (arn:partition:service:region:account:resource)")
        if parts["service"] == "s3":
            return cls(**parts, kind="object" if "/" in resource else "bucket", name=resource)
        kind, name = (*re.split("[/:]", resource, maxsplit=1), "")[:2]  # log-group:/aws/lambda/x
        return cls(**parts, kind=kind, name=name)


def target_in(
    aws: Aws, arn: str, name: str, kind: str, created: datetime | None, *, tags: Signal[Tags] | None = None
) -> Target:
    """Return a resource in the account and region of *aws*; without *tags*, its tags were not read."""
    account, region = aws.account, aws.region
    return Target(
        arn=arn, name=name, kind=kind, account=account, region=region, created=created, tags=tags or NotRead()
    )


# --- tags -----------------------------------------------------------------------------------------

AWS_TAG_PREFIX = "aws:"
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
    answer has none. After an answer that broke off, only the resources in it are known. *unread* are
    resources whose entry could not be read, and why.
    """

    known: Mapping[str, Tags]
    error: str | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    def of(self, arn: str) -> Signal[Tags]:
        """Return the tags of *arn*. SageMaker lower-cases names in some ARNs, so case does not matter."""
        if (why := self.unread.get(arn.lower())) is not None:
            return Unreadable(why, GET_RESOURCES)
        if (tags := self.known.get(arn.lower())) is not None:
            return Value(tags, GET_RESOURCES)
        if self.error is not None:
            return Unreadable(self.error, GET_RESOURCES)
        return Value({}, GET_RESOURCES)


TYPES_TOGETHER: Sequence[frozenset[str]] = tuple(
    frozenset(f"sagemaker:{kind}" for kind in kinds.split())
    for kinds in (
        "endpoint",
        "endpoint-config model",
        "app cluster domain mlflow-tracking-server notebook-instance space training-plan user-profile",
    )
)
"""Types whose tags a run with shared answers reads in one request, which several detectors make."""


def read_tag_book(aws: Aws, *types: str) -> TagBook:
    """Read every tag of every resource of *types* ("sagemaker:endpoint"), 100 resources a page."""
    groups = [types]
    if aws.shares:
        single = [frozenset({of}) for of in types if not any(of in together for together in TYPES_TOGETHER)]
        together = [group for group in TYPES_TOGETHER if not group.isdisjoint(types)]
        groups = [tuple(sorted(group)) for group in (*together, *single)]
    listing = Listing.merged(
        aws.listing(
            GET_RESOURCES,
            "ResourceTagMappingList",
            lambda entry: entry,
            100,
            ResourceTypeFilters=list(group),
        )
        for group in groups
    )
    book = _book_of(listing.items)
    return replace(book, error=listing.error or book.error)


def read_tags_of(aws: Aws, arns: Sequence[str]) -> TagBook:
    """
    Read every tag of the resources *arns*, 50 to a call and side by side.

    Better than `read_tag_book` for kinds that outlive their use: a job, and its tags, can never be deleted.
    A run with shared answers reads the types that other detectors read as these do.
    """
    types = {arn: _type_of(arn) for arn in arns} if aws.shares else {}
    known_types = {of for of in types.values() if any(of in together for together in TYPES_TOGETHER)}
    books = list[TagBook]()
    if known_types:
        books.append(read_tag_book(aws, *sorted(known_types)))
        arns = [arn for arn in arns if types[arn] not in known_types]

    def read(asked: Sequence[str]) -> Signal[TagBook]:
        ask = partial(aws.client("resourcegroupstaggingapi").get_resources, ResourceARNList=list(asked))
        return read_signal(lambda: _book_of(ask()["ResourceTagMappingList"]), source=GET_RESOURCES)

    batches = list(batched(arns, ARNS_PER_CALL))
    unread = dict[str, str]()
    for asked, answer in zip(batches, aws.map(read, batches), strict=True):
        match answer:
            case Value(book):
                books.append(replace(book, error=None))
                lost = (
                    book.error
                )  # of an entry that may be about any other of the resources that were asked for
            case _:
                lost = getattr(answer, "error", "not read")
        if lost is not None:
            found = books[-1].known if isinstance(answer, Value) else {}
            unread |= {arn.lower(): lost for arn in asked if arn.lower() not in found}
    return TagBook(
        {arn: tags for book in books for arn, tags in book.known.items()},
        next((book.error for book in books if book.error is not None), None),
        {arn: why for book in books for arn, why in book.unread.items()} | unread,
    )


def _book_of(entries: Iterable[Mapping[str, Any]]) -> TagBook:
    """Return the tags of *entries*. An entry without an ARN may be about any resource that has no other."""
    told, unread, error = list[Mapping[str, Any]](), dict[str, str](), None
    for entry in entries:
        if "ResourceARN" not in entry:
            error = "GetResources: an entry has no ResourceARN"
        elif "Tags" not in entry:
            unread[_known_arn(entry)] = "GetResources: its entry has no Tags"
        else:
            told.append(entry)
    return TagBook(tags_by_arn(told), error, unread)


def _known_arn(entry: Mapping[str, Any]) -> str:
    """Return the ARN of an entry in lower case; a log group's may have an ending."""
    return str(entry["ResourceARN"]).lower().removesuffix(":*")


def _type_of(arn: str) -> str:
    """Return the type of *arn* ("sagemaker:endpoint") as the tagging API filters by it; "" if it has none."""
    parts = arn.split(":", 5)
    return f"{parts[2]}:{parts[-1].partition('/')[0]}" if len(parts) > 5 else ""


def tags_by_arn(entries: Iterable[Mapping[str, Any]]) -> Mapping[str, Tags]:
    """Return tags by ARN in lower case. A resource's tags may be split over several *entries* and pages."""
    tags: dict[str, dict[str, str]] = {}
    for entry in entries:
        tags.setdefault(_known_arn(entry), {}).update(tags_of_list(entry["Tags"]))
    return tags


def tags_of_list(listed: Iterable[Mapping[str, Any]]) -> Tags:
    """Return the tags in an answer. Equal texts are kept once: they repeat from resource to resource."""
    return _shared(tuple((tag["Key"], tag["Value"]) for tag in listed))


@lru_cache(maxsize=4096)
def _shared(pairs: tuple[tuple[str, str], ...]) -> Tags:
    return {intern(key): intern(value) for key, value in pairs}


def settable_tags(tags: Tags) -> dict[str, str]:
    """Return *tags* without those that only AWS may set."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(AWS_TAG_PREFIX)}


def tags_argument(tags: Tags) -> dict[str, Any]:
    """Return *tags* as an argument of SageMaker's creating calls; an empty dict if there are none."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}


@as_signal(LIST_TAGS)
def read_sagemaker_tags(aws: Aws, arn: str) -> Tags:
    """Read the current tags of one SageMaker resource."""
    return tags_of_list(tag for page in aws.pages(LIST_TAGS, ResourceArn=arn) for tag in page["Tags"])


def read_bucket_tags(aws: Aws, name: str) -> Signal[Tags]:
    """Read the current tags of one bucket; S3 answers an error where there are none."""
    read = partial(aws.s3.get_bucket_tagging, Bucket=name)
    tags = read_signal(
        lambda: tags_of_list(read()["TagSet"]), source=GET_BUCKET_TAGGING, absent=("NoSuchTagSet",)
    )
    return Value({}, GET_BUCKET_TAGGING) if isinstance(tags, Absent) else tags


@as_signal(LIST_REPOSITORY_TAGS)
def read_repository_tags(aws: Aws, arn: str) -> Tags:
    """Read the current tags of one ECR repository."""
    return tags_of_list(aws.client("ecr").list_tags_for_resource(resourceArn=arn)["tags"])


def read_exact_tags(aws: Aws, arn: str) -> Signal[Tags]:
    """Read the current tags of one SageMaker resource, bucket, image repository or log group."""
    parts = Arn.parse(arn)
    match parts.service:
        case "s3":
            return read_bucket_tags(aws, parts.name)
        case "ecr":
            return read_repository_tags(aws, arn)
        case "logs":
            read = partial(aws.logs.list_tags_for_resource, resourceArn=arn)
            return read_signal(lambda: dict(read()["tags"]), source=LIST_LOG_GROUP_TAGS)
        case _:
            return read_sagemaker_tags(aws, arn)
