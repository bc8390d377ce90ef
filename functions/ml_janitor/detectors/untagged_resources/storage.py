"""The buckets and image repositories of an account that SageMaker uses."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from ml_janitor.aws import images, s3
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, Kind, search, texts_in
from ml_janitor.detectors.untagged_resources.inventory import Resource, named

BUCKET = Kind("bucket", "Bucket", "Buckets")
REPOSITORY = Kind("repository", "Repository", "repositories")

SEARCHED = ("Model", "Endpoint", "TrainingJob")
"""
Records that name the buckets and images in use, 100 to a call: describing each model and job would cost a
call each. SageMaker has no such records for processing and transform jobs, but a model's record holds its
last transform job ("ModelDashboardModel", API reference).
"""

UNUSED = "no model, endpoint or recent training job of this account and region names it"


def read(aws: Aws, since: datetime) -> Listing[Resource]:
    """
    Return every bucket and repository of the account in its region.

    The ones that SageMaker is not known to use are *outside*. Where the reading
    broke off, a used one may be among them.
    """
    found = aws.map(lambda record: locations(aws, record, since), SEARCHED)
    used = {text for listing in found for text in listing.items}
    owned = aws.map(lambda listing: listing(aws, used), (buckets, repositories))
    errors = [*(listing.error for listing in found), *(listing.error for listing in owned)]
    return Listing.joined((item for listing in owned for item in listing.items), errors)


def look(aws: Aws, arn: str, since: datetime) -> Resource | None:
    """
    Return the one bucket or repository *arn*; None if the account has none of that name here.

    Raises ReadError, also where the reading broke off before any use of it was seen.
    """
    listing = read(aws, since)
    found = named(listing.items, arn)
    if found is None or found.outside is not None:
        listing.check()
    return found


def locations(aws: Aws, record: str, since: datetime) -> Listing[str]:
    """
    Return the buckets ("s3://NAME") and repositories that the records of one of `SEARCHED` name.

    Of training jobs, those in progress or created since *since* are read.
    """
    query: dict[str, Any] = {}
    if record == "TrainingJob":
        at = f"{since:%Y-%m-%dT%H:%M:%S}"
        recent = {"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": at}
        running = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
        query["SearchExpression"] = {"Filters": [recent, running], "Operator": "Or"}
    found = search(
        aws,
        record,
        lambda found_record: [place for text in texts_in(found_record) if (place := located(text))],
        **query,
    )
    return Listing(tuple(place for places in found.items for place in places), found.error)


def buckets(aws: Aws, used: AbstractSet[str]) -> Listing[Resource]:
    """
    Return the account's own buckets in its region; the bucket that SageMaker
    makes by default counts as used.
    """
    default = f"sagemaker-{aws.region}-{aws.account}"
    listing = s3.owned(aws)

    def resource(name: str, created: datetime) -> Resource:
        return Resource(
            kind=BUCKET,
            arn=f"arn:{aws.partition}:s3:::{name}",
            name=name,
            created=created,
            outside=None if name == default or f"s3://{name}" in used else UNUSED,
        )

    return Listing(tuple(resource(*item) for item in listing.items), listing.error)


def repositories(aws: Aws, used: AbstractSet[str]) -> Listing[Resource]:
    """Return the account's own image repositories in its region."""

    def resource(entry: Mapping[str, Any]) -> Resource:
        return Resource(
            kind=REPOSITORY,
            arn=entry["repositoryArn"],
            name=entry["repositoryName"],
            created=entry["createdAt"],
            outside=None if entry["repositoryUri"] in used else UNUSED,
        )

    return images.repositories(aws, resource)


def located(text: str) -> str | None:
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
