"""SageMaker's resources of the kinds that carry tags, listed by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import TAGGED, TRAINING_JOB, Kind, listing
from ml_janitor.aws.training_jobs import lately
from ml_janitor.core.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """
    One resource of a *kind* as its listing shows it.

    *outside* says why a resource is not judged although it was looked up by
    name, such as a job that ended long ago.
    """

    kind: Kind
    arn: str
    name: str
    created: datetime | None
    outside: str | None = None


KINDS = TAGGED
"""The kinds whose tags are judged."""


AROUND = timedelta(minutes=1)
"""Time before and after a creation time: no document says whether a filter includes its ends."""


def queries(kind: Kind, since: datetime) -> tuple[dict[str, Any], ...]:
    """
    Return the queries for a listing: everything, or for jobs those in
    progress and those created since *since*.
    """
    return ({"StatusEquals": kind.running}, {"CreationTimeAfter": since}) if kind.job else ({},)


def resource(aws: Aws, kind: Kind, entry: dict[str, Any], since: datetime) -> Resource:
    """
    Return an *entry* of a listing as a resource; a missing member fails the
    read, as a cut-off answer does.
    """
    created = entry.get("CreationTime")
    running = kind.job and entry[kind.status] == kind.running
    over = kind.job and not running and created is not None and created < since
    return Resource(
        kind=kind,
        arn=kind.arn_of(aws, entry),
        name=kind.name_of(entry),
        created=created,
        outside=f"it is not in progress, and was created before {since:%Y-%m-%d}" if over else None,
    )


def read(aws: Aws, kind: Kind, query: dict[str, Any], since: datetime) -> Listing[Resource]:
    """Return one listing of *kind*, narrowed by *query*; *since* is where the past of jobs begins."""
    return listing(aws, kind, lambda entry: resource(aws, kind, entry, since), **query)


def read_training_jobs(aws: Aws, since: datetime, now: datetime) -> Listing[Resource]:
    """
    Return the jobs in progress and those created since *since*; only their
    listing has every job that existed.
    """
    return once(lately(aws, lambda entry: resource(aws, TRAINING_JOB, dict(entry), since), since, now))


def look(aws: Aws, kind: Kind, target: Target, since: datetime) -> Resource | None:
    """
    Return the resource *target*, from the listing narrowed to its name and creation time, where possible.

    The names of thousands of jobs may contain its name. A name taken from an ARN may have lost its capitals,
    so before the resource counts as gone, the listing is read as `read` would. Raises ReadError.
    """
    narrowed: list[dict[str, Any]] = [{"NameContains": target.name}] if kind.named_in_arn else []
    if (created := target.created) is not None:
        around = {"CreationTimeAfter": created - AROUND, "CreationTimeBefore": created + AROUND}
        narrowed = [query | around for query in narrowed]
    for query in (*narrowed, *queries(kind, since)):
        every = read(aws, kind, query, since)
        if (found := named(every.items, target.arn)) is not None:
            return found
        every.check()
    return None


def named(resources: Iterable[Resource], arn: str) -> Resource | None:
    """Return the one of *resources* with this ARN, in whatever case it is written."""
    return next((candidate for candidate in resources if candidate.arn.lower() == arn.lower()), None)


def once(listings: Sequence[Listing[Resource]]) -> Listing[Resource]:
    """
    Return all *listings* as a single one, each resource once: a running
    job is also one of the last days.
    """
    unique = {item.arn: item for listing in listings for item in listing.items}
    return Listing.joined(unique.values(), (listing.error for listing in listings))
