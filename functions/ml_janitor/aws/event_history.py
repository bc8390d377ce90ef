"""Reads CloudTrail's events of endpoints, notebooks and Studio apps: made, changed, switched, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_janitor.aws import trail
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import APP, ENDPOINT, NOTEBOOK, SageMakerKind
from ml_janitor.aws.trail import TrailEvent
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Value

RESOURCE_EVENTS = (
    *("CreateEndpoint", "CreateEndpointConfig", "UpdateEndpoint", "DeleteEndpoint"),
    *("CreateNotebookInstance", "StartNotebookInstance", "StopNotebookInstance", "DeleteNotebookInstance"),
    *("CreateApp", "DeleteApp"),
)
MOST_HISTORY_PAGES = 40
"""Pages per event name: LookupEvents answers two a second."""

type RunPeriod = tuple[datetime, datetime | None]
"""The start and end of a run period; no end means that it still runs."""


def request_member(request: Mapping[str, Any], name: str) -> Any:
    """Return a member of a request: CloudTrail begins names in lower case, and the API in upper case."""
    return next((value for key, value in request.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class EventHistory:
    """The recorded calls by name, the oldest first; *error* is the reason why some are missing."""

    events: Mapping[str, tuple[TrailEvent, ...]]
    error: str | None = None

    @classmethod
    def read(cls, aws: Aws, now: datetime) -> EventHistory:
        """Read the calls until *now*; CloudTrail remembers 90 days."""
        first = now - trail.EVENT_RETENTION
        found = aws.map(
            lambda name: trail.look_up_events(aws, name, first, now, most_pages=MOST_HISTORY_PAGES),
            RESOURCE_EVENTS,
        )
        events = {
            name: tuple(
                sorted((event for event in listing.items if event.succeeded), key=lambda event: event.at)
            )
            for name, listing in zip(RESOURCE_EVENTS, found, strict=True)
        }
        return cls(events, next((listing.error for listing in found if listing.error), None))

    def _of(
        self, kind: SageMakerKind, name: str, *calls: str
    ) -> list[tuple[datetime, str, Mapping[str, Any]]]:
        """Return the *calls* about one resource, as (when, call, request), the oldest first."""
        return sorted(
            (
                (event.at, call, event.request)
                for call in calls
                for event in self.events[f"{call}{kind.noun}"]
                if request_member(event.request, kind.named) == name
            ),
            key=lambda call_made: call_made[0],
        )

    def creation_member(self, kind: SageMakerKind, name: str, wanted: str) -> str:
        """Return a member of the latest request that created the resource; "" if none was recorded."""
        creation = self._of(kind, name, "Create")
        return str(request_member(creation[-1][2], wanted) or "") if creation else ""

    def deleted_at(self, kind: SageMakerKind, name: str) -> datetime | None:
        """Return the time of the last deletion."""
        return next((at for at, _, _ in reversed(self._of(kind, name, "Delete"))), None)

    def deleted(self, aws: Aws, kind: SageMakerKind) -> Iterator[Target]:
        """Yield all resources of a *kind* that were made and deleted, with the tags of their creation."""
        names = {
            str(request_member(event.request, kind.named)) for event in self.events[f"Delete{kind.noun}"]
        }
        for name in sorted(names):
            if creation := self._of(kind, name, "Create"):
                at, _, request = creation[-1]
                yield _target(aws, kind, name.lower(), name, creation=(at, request))

    # --- endpoints ----------------------------------------------------------------------------

    def configs(
        self, target: Target, current: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[datetime, str]]:
        """Yield an endpoint's configurations with their start times, the oldest first."""
        calls = self._of(ENDPOINT, target.name, "Create", "Update")
        created = max((at for at, call, _ in calls if call == "Create"), default=target.created)
        line = [
            (at, str(request_member(request, "EndpointConfigName")))
            for at, _, request in calls
            if created is None or at >= created
        ]
        if now := current.get(target.name):
            config = str(now["EndpointConfigName"])
            if not line and target.created is not None:
                line = [(target.created, config)]
        yield from line

    def config(self, name: str) -> Mapping[str, Any] | None:
        """Return the request that made the configuration *name*."""
        for event in reversed(self.events["CreateEndpointConfig"]):
            if request_member(event.request, "EndpointConfigName") == name:
                return event.request
        return None

    # --- notebook instances -------------------------------------------------------------------

    def spells(self, target: Target, *, on: datetime | None, since: datetime) -> Iterator[RunPeriod]:
        """
        Yield the run periods of a notebook instance.

        *on* is since when it runs, if it runs. For the time before the first event, one fact is known:
        before a first Stop it ran since *since* or since its creation. If older events were not read,
        that is not assumed.
        """
        start: datetime | None = None
        last: datetime | None = None
        for at, call, _ in self._of(NOTEBOOK, target.name, "Create", "Start", "Stop", "Delete"):
            if call in {"Create", "Start"}:
                start = start or at
            elif start is not None or (last is None and target.created is not None and self.error is None):
                yield start or max(since, target.created or since), at
                start = None
            last = at
        if on is not None:
            yield start or on, None

    # --- Studio apps --------------------------------------------------------------------------

    def apps(self, aws: Aws) -> Iterator[tuple[Target, str, RunPeriod]]:
        """
        Yield apps that were made and deleted: each with its type and instance,
        "JupyterLab-ml.g5.xlarge".
        """
        deleted = [(_app_key(deletion.request), deletion.at) for deletion in self.events["DeleteApp"]]
        for creation in self.events["CreateApp"]:
            key = _app_key(creation.request)
            end = min((at for other, at in deleted if other == key and at > creation.at), default=None)
            instance = request_member(request_member(creation.request, "ResourceSpec") or {}, "InstanceType")
            if end is None or not instance or instance == "system":
                continue
            domain, owner, kind, name = key
            path, called = f"{domain}/{owner}/{kind.lower()}/{name}", f"{owner}/{kind}/{name}"
            target = _target(aws, APP, path, called, creation=(creation.at, creation.request))
            yield target, f"{kind}-{instance}", (creation.at, end)


def _app_key(request: Mapping[str, Any]) -> tuple[str, str, str, str]:
    owner = request_member(request, "SpaceName") or request_member(request, "UserProfileName") or ""
    names = (request_member(request, name) or "" for name in ("AppType", "AppName"))
    return (str(request_member(request, "DomainId") or ""), str(owner), *map(str, names))  # type: ignore[return-value]


def _target(
    aws: Aws, kind: SageMakerKind, path: str, name: str, *, creation: tuple[datetime, Mapping[str, Any]]
) -> Target:
    """Return the resource that the request of *creation* made; CloudTrail records the request's tags."""
    created, request = creation
    given: Iterable[Mapping[str, Any]] = request_member(request, "Tags") or ()
    tags = {str(request_member(tag, "Key")): str(request_member(tag, "Value")) for tag in given}
    arn = aws.arn("sagemaker", f"{kind.type}/{path}")
    return target_in(aws, arn, name, kind.type, created, tags=Value(tags, trail.LOOKUP_EVENTS))
