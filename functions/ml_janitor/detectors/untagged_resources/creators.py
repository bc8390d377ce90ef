"""Reads the creator of a resource from CloudTrail, and whether that is a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from ml_janitor.aws import trail
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.aws.trail import TrailEvent
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.untagged_resources.inventory import TaggableResource

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
    since = now - trail.EVENT_RETENTION
    times = [
        resource.created
        for resource in resources
        if resource.created is not None and resource.created > since
    ]
    if not times:
        return {resource.arn: Absent(trail.LOOKUP_EVENTS) for resource in resources}
    start, end = max(since, min(times) - CREATION_WINDOW), max(times) + CREATION_WINDOW
    listings = [
        trail.look_up_events(aws, name, start, end, most_pages=_MOST_CREATION_PAGES)
        for name in _EVENT_VERSIONS.get(event, (event,))
    ]
    events = [creation_event for listing in listings for creation_event in listing.items]
    error = next((listing.error for listing in listings if listing.error is not None), None)
    return {resource.arn: _creator(resource, events, error, since) for resource in resources}


def _creator(
    resource: TaggableResource, events: Sequence[TrailEvent], error: str | None, since: datetime
) -> Signal[Creator]:
    if (event := find_creation_event(resource, events)) is not None:
        return Value(creator_from_identity(event.identity, event.user), trail.LOOKUP_EVENTS, event.at)
    forgotten = resource.created is None or resource.created <= since
    if error is not None and not forgotten:
        return Unreadable(error, trail.LOOKUP_EVENTS)
    return Absent(trail.LOOKUP_EVENTS)


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
