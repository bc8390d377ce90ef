"""What SageMaker holds: every resource of the kinds that carry tags, listed by kind."""

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

    *outside* says why a resource that was asked for by name is not judged, such as a job that ended long ago.
    """

    kind: Kind
    arn: str
    name: str
    created: datetime | None
    outside: str | None = None


KINDS = TAGGED
"""Those whose tags are judged."""


AROUND = timedelta(minutes=1)
"""Before and after a creation time: nobody says whether the ends of such a filter belong to it."""


def queries(kind: Kind, since: datetime) -> tuple[dict[str, Any], ...]:
    """What to list: everything, or of jobs those in progress and those created since *since*."""
    return ({"StatusEquals": kind.running}, {"CreationTimeAfter": since}) if kind.job else ({},)


def resource(aws: Aws, kind: Kind, entry: dict[str, Any], since: datetime) -> Resource:
    """An *entry* of a listing; a member that is not there fails the read, as a cut-off answer does."""
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
    """One listing of *kind*, narrowed by *query*; *since* is where the past of jobs begins."""
    return listing(aws, kind, lambda entry: resource(aws, kind, entry, since), **query)


def read_training_jobs(aws: Aws, since: datetime, now: datetime) -> Listing[Resource]:
    """Those in progress, and those created since *since*; their listing alone has every one there was."""
    return once(lately(aws, lambda entry: resource(aws, TRAINING_JOB, dict(entry), since), since, now))


def look(aws: Aws, kind: Kind, target: Target, since: datetime) -> Resource | None:
    """
    The resource *target*, from the listing narrowed to its name and creation time, where it can be.

    The names of thousands of jobs may contain that of one. A name taken from an ARN may have lost its
    capitals, so before a resource is called gone, the listing is read as `read` would. Raises ReadError.
    """
    narrowed: list[dict[str, Any]] = [{"NameContains": target.name}] if kind.named_in_arn else []
    if (created := target.created) is not None:
        around = {"CreationTimeAfter": created - AROUND, "CreationTimeBefore": created + AROUND}
        narrowed = [one | around for one in narrowed]
    for query in (*narrowed, *queries(kind, since)):
        every = read(aws, kind, query, since)
        if (found := named(every.items, target.arn)) is not None:
            return found
        every.check()
    return None


def named(resources: Iterable[Resource], arn: str) -> Resource | None:
    """The one of *resources* with this ARN, in whatever case it is written."""
    return next((one for one in resources if one.arn.lower() == arn.lower()), None)


def once(listings: Sequence[Listing[Resource]]) -> Listing[Resource]:
    """All *listings* as one, each resource once: a running job is also one of the last days."""
    unique = {one.arn: one for listing in listings for one in listing.items}
    return Listing.joined(unique.values(), (listing.error for listing in listings))
