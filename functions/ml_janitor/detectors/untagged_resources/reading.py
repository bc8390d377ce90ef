"""The resources that carry tags: SageMaker's, and the buckets and repositories it uses; their creators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from ml_janitor.aws import activity, images, s3
from ml_janitor.aws.activity import TrailEvent
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    TAGGED_KINDS,
    TRAINING_JOB,
    SageMakerKind,
    list_kind,
    search_records,
    texts_in,
)
from ml_janitor.aws.tags import Arn
from ml_janitor.aws.training_jobs import list_recent_jobs
from ml_janitor.core.model import Absent, Signal, Target, Unreadable, Value

# --- SageMaker's resources ------------------------------------------------------------------------


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
    whole = Listing.merged(listings)
    return replace(whole, items=tuple({item.arn: item for item in whole.items}.values()))


# --- buckets and image repositories ---------------------------------------------------------------

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
    if not any(listing.error for listing in found):
        return Listing.merged(owned)
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

    It reads training jobs in progress or created since *since*.
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

    return listing.of(resource(*item) for item in listing.items)


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


# --- creators in CloudTrail -----------------------------------------------------------------------

CREATION_WINDOW = timedelta(minutes=10)
"""
Greatest distance of a Create event from the creation time that the listing shows.

The name may have been used before; only the event of this resource's own creation counts.
"""

_STUDIO_KINDS = frozenset({"space", "user-profile"})
"""Kinds whose names are unique within a domain only."""

_EVENT_VERSIONS = {"CreateAutoMLJob": ("CreateAutoMLJob", "CreateAutoMLJobV2")}
"""Events that make the same kind of resource."""

_MOST_CREATION_PAGES = 40
"""2,000 events of one name: half a minute at CloudTrail's rate."""

_SINGLE_SIGN_ON = re.compile(r"AWSReservedSSO_(.+)_[0-9a-f]{16}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_FIRST_DOT_LAST = re.compile(r"[^\W\d_]{2,}\.[^\W\d_]{2,}")

_MACHINE_WORDS = frozenset(
    {
        *("actions", "admin", "airflow", "automation", "bot", "build", "builder", "cd", "ci", "codebuild"),
        *("cron", "deploy", "deployer", "deployment", "github", "gitlab", "jenkins", "lambda", "noreply"),
        *("pipeline", "pipelines", "robot", "runner", "sagemaker", "scheduler", "service", "services"),
        *("svc", "system", "terraform"),
    }
)
"""Words that mark the name of a user or session as a program's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """The caller of the Create call: *name*, in *role*; *person* is true for a person."""

    name: str
    role: str
    person: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.role})"


def read_creators(
    aws: Aws, resources: Iterable[TaggableResource], now: datetime
) -> dict[str, Signal[Creator]]:
    """
    Return the creator of each of *resources*, by ARN; the trail is read once for each kind.

    `Absent` means that CloudTrail has no event of the creation.
    """
    found: dict[str, Signal[Creator]] = {}
    by_event = sorted(resources, key=_event_name)
    for name, group in groupby(by_event, key=_event_name):
        found |= _read_kind(aws, name, list(group), now)
    return found


def _event_name(resource: TaggableResource) -> str:
    return f"Create{resource.kind.noun}"


def _read_kind(
    aws: Aws, event: str, resources: Sequence[TaggableResource], now: datetime
) -> dict[str, Signal[Creator]]:
    since = now - activity.EVENT_RETENTION
    times = [
        resource.created
        for resource in resources
        if resource.created is not None and resource.created > since
    ]
    if not times:
        return {resource.arn: Absent(activity.LOOKUP_EVENTS) for resource in resources}
    start, end = max(since, min(times) - CREATION_WINDOW), max(times) + CREATION_WINDOW
    listings = [
        activity.look_up_events(aws, name, start, end, most_pages=_MOST_CREATION_PAGES)
        for name in _EVENT_VERSIONS.get(event, (event,))
    ]
    events = [creation_event for listing in listings for creation_event in listing.items]
    error = next((listing.error for listing in listings if listing.error is not None), None)
    return {resource.arn: _creator(resource, events, error, since) for resource in resources}


def _creator(
    resource: TaggableResource, events: Sequence[TrailEvent], error: str | None, since: datetime
) -> Signal[Creator]:
    if (event := find_creation_event(resource, events)) is not None:
        return Value(creator_from_identity(event.identity, event.user), activity.LOOKUP_EVENTS, event.at)
    forgotten = resource.created is None or resource.created <= since
    if error is not None and not forgotten:
        return Unreadable(error, activity.LOOKUP_EVENTS)
    return Absent(activity.LOOKUP_EVENTS)


def find_creation_event(resource: TaggableResource, events: Iterable[TrailEvent]) -> TrailEvent | None:
    """Return the event of *resource*'s creation: the nearest within `SOON`, or None."""
    if resource.created is None:
        return None
    created = resource.created
    near = [
        event
        for event in events
        if abs(event.at - created) <= CREATION_WINDOW and is_creation_of(event, resource)
    ]
    return min(near, key=lambda event: abs(event.at - created), default=None)


def is_creation_of(event: TrailEvent, resource: TaggableResource) -> bool:
    """Return whether *event* is a Create call that succeeded and names *resource*."""
    if not event.succeeded or event.source != f"{Arn.parse(resource.arn).service}.amazonaws.com":
        return False
    asked = {key.lower(): value for key, value in event.request.items()}
    name = asked.get(resource.kind.named.lower())
    if name is None:  # CloudTrail leaves out requests that are too long
        return not {resource.name, resource.arn}.isdisjoint(event.resources)
    domain = asked.get("domainid")
    kind = resource.kind.type
    in_domain = kind not in _STUDIO_KINDS or f"{kind}/{domain}/" in resource.arn
    return name == resource.name and in_domain


def creator_from_identity(identity: Mapping[str, Any], user: str | None) -> Creator:
    """
    Return the caller in CloudTrail's *identity*; *user* is the event's user
    name, for other types of callers.
    """
    match identity.get("type"):
        case "IAMUser":
            name = str(identity.get("userName") or user)
            return Creator(name=name, role="IAM user", person=not is_machine_name(name))
        case "AssumedRole":
            return _session(identity)
        case kind:
            name = str(user or identity.get("invokedBy") or "unknown")
            return Creator(name=name, role=str(kind or "unknown kind of caller"), person=False)


def _session(identity: Mapping[str, Any]) -> Creator:
    """
    Return the caller behind a session of a role.

    All sessions of SageMaker Studio are called SageMaker; the source identity is the
    user profile where the domain passes it on.
    """
    _, role, session = ["", "", *str(identity.get("arn", "")).split("/")][-3:]
    name = str(identity.get("sessionContext", {}).get("sourceIdentity") or session)
    single_sign_on = _SINGLE_SIGN_ON.fullmatch(role)
    personal = single_sign_on is not None or _EMAIL.fullmatch(name) or _FIRST_DOT_LAST.fullmatch(name)
    return Creator(
        name=name,
        role=f"single sign-on as {single_sign_on[1]}" if single_sign_on else f"role {role}",
        person=bool(personal) and not is_machine_name(name),
    )


def is_machine_name(name: str) -> bool:
    """Return whether *name* is a program's by its words: "ci-deployer", "svc.training@example.com"."""
    local, _, domain = name.lower().partition("@")
    return not _MACHINE_WORDS.isdisjoint(re.split(r"[^a-z]+", local)) or domain.endswith(
        "gserviceaccount.com"
    )
