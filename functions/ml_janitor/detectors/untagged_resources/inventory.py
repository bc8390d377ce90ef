"""SageMaker's resources of the kinds that carry tags, listed by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import TAGGED_KINDS, TRAINING_JOB, SageMakerKind, list_kind
from ml_janitor.aws.training_jobs import list_recent_jobs
from ml_janitor.core.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggableResource:
    """
    One resource of a *kind* as its listing shows it.

    *outside* says why a resource is not judged although it was looked up by
    name, such as a job that ended long ago.
    """

    kind: SageMakerKind
    arn: str
    name: str
    created: datetime | None
    outside: str | None = None


JUDGED_KINDS = TAGGED_KINDS
"""The kinds whose tags are judged."""


_AROUND_CREATION = timedelta(minutes=1)
"""Time before and after a creation time: no document says whether a filter includes its ends."""


def listing_queries(kind: SageMakerKind, since: datetime) -> tuple[dict[str, Any], ...]:
    """
    Return the queries for a listing: everything, or for jobs those in
    progress and those created since *since*.
    """
    return ({"StatusEquals": kind.running}, {"CreationTimeAfter": since}) if kind.job else ({},)


def listed_resource(
    aws: Aws, kind: SageMakerKind, entry: dict[str, Any], since: datetime
) -> TaggableResource:
    """
    Return an *entry* of a listing as a resource; a missing member fails the
    read, as a cut-off answer does.
    """
    created = entry.get("CreationTime")
    running = kind.job and entry[kind.status] == kind.running
    over = kind.job and not running and created is not None and created < since
    return TaggableResource(
        kind=kind,
        arn=kind.arn_of(aws, entry),
        name=kind.name_of(entry),
        created=created,
        outside=f"it is not in progress, and was created before {since:%Y-%m-%d}" if over else None,
    )


def read_resources(
    aws: Aws, kind: SageMakerKind, query: dict[str, Any], since: datetime
) -> Listing[TaggableResource]:
    """Return one listing of *kind*, narrowed by *query*; *since* is where the past of jobs begins."""
    return list_kind(aws, kind, lambda entry: listed_resource(aws, kind, entry, since), **query)


def read_training_jobs(aws: Aws, since: datetime, now: datetime) -> Listing[TaggableResource]:
    """
    Return the jobs in progress and those created since *since*; only their
    listing has every job that existed.
    """
    return join_unique(
        list_recent_jobs(
            aws, lambda entry: listed_resource(aws, TRAINING_JOB, dict(entry), since), since, now
        )
    )


def find_resource(aws: Aws, kind: SageMakerKind, target: Target, since: datetime) -> TaggableResource | None:
    """
    Return the resource *target*, from the listing narrowed to its name and creation time, where possible.

    The names of thousands of jobs may contain its name. A name taken from an ARN may have lost its capitals,
    so before the resource counts as gone, the listing is read as `read` would. Raises ReadError.
    """
    narrowed: list[dict[str, Any]] = [{"NameContains": target.name}] if kind.named_in_arn else []
    if (created := target.created) is not None:
        around = {
            "CreationTimeAfter": created - _AROUND_CREATION,
            "CreationTimeBefore": created + _AROUND_CREATION,
        }
        narrowed = [query | around for query in narrowed]
    for query in (*narrowed, *listing_queries(kind, since)):
        every = read_resources(aws, kind, query, since)
        if (found := resource_by_arn(every.items, target.arn)) is not None:
            return found
        every.check()
    return None


def resource_by_arn(resources: Iterable[TaggableResource], arn: str) -> TaggableResource | None:
    """Return the one of *resources* with this ARN, in whatever case it is written."""
    return next((candidate for candidate in resources if candidate.arn.lower() == arn.lower()), None)


def join_unique(listings: Sequence[Listing[TaggableResource]]) -> Listing[TaggableResource]:
    """
    Return all *listings* as a single one, each resource once: a running
    job is also one of the last days.
    """
    unique = {item.arn: item for listing in listings for item in listing.items}
    return Listing.joined(unique.values(), (listing.error for listing in listings))
