"""The buckets and image repositories of an account that SageMaker uses."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from ml_janitor.aws import images, s3
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, SageMakerKind, search_records, texts_in
from ml_janitor.detectors.untagged_resources.inventory import TaggableResource, resource_by_arn

_BUCKET_RESOURCE = SageMakerKind("bucket", "Bucket", "Buckets")
_REPOSITORY_RESOURCE = SageMakerKind("repository", "Repository", "repositories")

_SEARCHED_RECORDS = ("Model", "Endpoint", "TrainingJob")
"""
Records that name the buckets and images in use, 100 to a call: describing each model and job would cost a
call each. SageMaker has no such records for processing and transform jobs, but a model's record holds its
last transform job ("ModelDashboardModel", API reference).
"""

_UNUSED_REASON = "no model, endpoint or recent training job of this account and region names it"


def read_stores(aws: Aws, since: datetime) -> Listing[TaggableResource]:
    """
    Return every bucket and repository of the account in its region.

    The ones that SageMaker is not known to use are *outside*. Where the reading
    broke off, a used one may be among them.
    """
    found = aws.map(lambda record: read_used_locations(aws, record, since), _SEARCHED_RECORDS)
    used = {text for listing in found for text in listing.items}
    owned = aws.map(lambda listing: listing(aws, used), (list_tagged_buckets, list_tagged_repositories))
    errors = [*(listing.error for listing in found), *(listing.error for listing in owned)]
    return Listing.joined((item for listing in owned for item in listing.items), errors)


def find_store(aws: Aws, arn: str, since: datetime) -> TaggableResource | None:
    """
    Return the one bucket or repository *arn*; None if the account has none of that name here.

    Raises ReadError, also where the reading broke off before any use of it was seen.
    """
    listing = read_stores(aws, since)
    found = resource_by_arn(listing.items, arn)
    if found is None or found.outside is not None:
        listing.check()
    return found


def read_used_locations(aws: Aws, record: str, since: datetime) -> Listing[str]:
    """
    Return the buckets ("s3://NAME") and repositories that the records of one of `_SEARCHED_RECORDS` name.

    Of training jobs, those in progress or created since *since* are read.
    """
    query: dict[str, Any] = {}
    if record == "TrainingJob":
        at = f"{since:%Y-%m-%dT%H:%M:%S}"
        recent = {"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": at}
        running = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
        query["SearchExpression"] = {"Filters": [recent, running], "Operator": "Or"}
    found = search_records(
        aws,
        record,
        lambda found_record: [place for text in texts_in(found_record) if (place := used_location(text))],
        **query,
    )
    return Listing(tuple(place for places in found.items for place in places), found.error)


def list_tagged_buckets(aws: Aws, used: AbstractSet[str]) -> Listing[TaggableResource]:
    """
    Return the account's own buckets in its region; the bucket that SageMaker
    makes by default counts as used.
    """
    default = f"sagemaker-{aws.region}-{aws.account}"
    listing = s3.list_own_buckets(aws)

    def resource(name: str, created: datetime) -> TaggableResource:
        return TaggableResource(
            kind=_BUCKET_RESOURCE,
            arn=f"arn:{aws.partition}:s3:::{name}",
            name=name,
            created=created,
            outside=None if name == default or f"s3://{name}" in used else _UNUSED_REASON,
        )

    return Listing(tuple(resource(*item) for item in listing.items), listing.error)


def list_tagged_repositories(aws: Aws, used: AbstractSet[str]) -> Listing[TaggableResource]:
    """Return the account's own image repositories in its region."""

    def resource(entry: Mapping[str, Any]) -> TaggableResource:
        return TaggableResource(
            kind=_REPOSITORY_RESOURCE,
            arn=entry["repositoryArn"],
            name=entry["repositoryName"],
            created=entry["createdAt"],
            outside=None if entry["repositoryUri"] in used else _UNUSED_REASON,
        )

    return images.list_repositories(aws, resource)


def used_location(text: str) -> str | None:
    """
    Return the bucket or repository that *text* names, without key, tag and
    digest; None if it names none.
    """
    if text.startswith("s3://"):
        return "s3://" + text.removeprefix("s3://").partition("/")[0]
    if ".dkr.ecr." in text:
        path, slash, image = text.partition("@")[0].rpartition("/")
        return path + slash + image.partition(":")[0]
    return None
