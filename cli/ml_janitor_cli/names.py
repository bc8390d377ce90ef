"""Resources by name: those that a name may mean, and the deletion of a missing one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

from ml_janitor.aws import studio_apps, trail
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import APP, SageMakerKind, list_kind, texts_in
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.untagged_resources import inventory, storage

MOST_EVENT_PAGES = 10
"""Maximum pages of CloudTrail's events, 50 each, newest first."""

DELETE_CALLS = {kind.type: f"Delete{kind.noun}" for kind in (APP, *inventory.JUDGED_KINDS)} | {
    "bucket": "DeleteBucket",
    "repository": "DeleteRepository",
}
"""The call that deletes a resource of each kind; calls for S3 objects are in no event history."""


class NamedResource(NamedTuple):
    """One resource and its name in reports."""

    name: str
    arn: str

    def is_called(self, name: str) -> bool:
        """Return whether *name* is its name, or the end of its ARN."""
        return name == self.name or self.arn.lower().endswith(f"/{name.lower()}")


def resources_like(aws: Aws, name: str, kinds: Collection[str]) -> Listing[NamedResource]:
    """
    List the resources of *kinds* that *name* may be meant for, including ended jobs.

    Where AWS filters by a part of the name, each half is asked for: a typing error spoils only one.
    """
    half = len(name) // 2 if len(name) > 3 else 0
    parts = [part for part in {name[:half], name[half:]} if re.fullmatch(r"[a-zA-Z0-9-]{1,63}", part)]

    def sagemaker(kind: SageMakerKind, **query: str) -> Listing[NamedResource]:
        return list_kind(
            aws, kind, lambda entry: NamedResource(kind.name_of(entry), kind.arn_of(aws, entry)), **query
        )

    def owned(read: Callable[[Aws, set[str]], Listing[inventory.TaggableResource]]) -> Listing[NamedResource]:
        listed = read(aws, set())
        return Listing(
            tuple(NamedResource(resource.name, resource.arn) for resource in listed.items), listed.error
        )

    def apps() -> Listing[NamedResource]:
        listed = studio_apps.list_apps(aws)
        return Listing(
            tuple(NamedResource(app.target.name, app.target.arn) for app in listed.items), listed.error
        )

    reads: list[Callable[[], Listing[NamedResource]]] = []
    for kind in inventory.JUDGED_KINDS:
        if kind.type in kinds:
            queries = [{"NameContains": part} for part in parts] if kind.named_in_arn else [{}]
            reads += [partial(sagemaker, kind, **query) for query in queries]
    reads += [apps] if APP.type in kinds else []
    reads += [partial(owned, storage.list_tagged_buckets)] if "bucket" in kinds else []
    reads += [partial(owned, storage.list_tagged_repositories)] if "repository" in kinds else []
    found = aws.map(lambda read: read(), reads)
    errors = [listed.error for listed in found if listed.error is not None]
    return Listing(
        tuple({resource: None for listed in found for resource in listed.items}), "; ".join(errors) or None
    )


def nearest_resource(name: str, known: Collection[NamedResource]) -> NamedResource | None:
    """Return the resource in *known* whose name is most like *name*, if any is."""
    by_name = {resource.name: resource for resource in known}
    near = get_close_matches(name, by_name, 1)
    return by_name[near[0]] if near else None


def find_deletion(aws: Aws, arn: Arn, now: datetime) -> Signal[datetime]:
    """Find when somebody deleted the resource *arn*, as far back as CloudTrail's event history goes."""
    if (call := DELETE_CALLS.get(arn.kind)) is None:
        return NotRead()
    events = trail.look_up_events(aws, call, now - trail.EVENT_RETENTION, now, most_pages=MOST_EVENT_PAGES)
    parts = set(arn.name.lower().split("/"))
    for event in events.items:
        if event.succeeded and parts <= {text.lower() for text in texts_in(event.request)}:
            return Value(event.at, trail.LOOKUP_EVENTS)
    return Absent(trail.LOOKUP_EVENTS) if events.error is None else Unreadable(events.error)
