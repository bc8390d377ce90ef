"""MLflow tracking servers that run for nobody: not opened, not started, and nothing stored in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import activity, tags
from ml_janitor.aws.activity import EVENT_RETENTION, LOOKUP_EVENTS, TrailEvent
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import NewestObject, find_newest_object
from ml_janitor.aws.sagemaker_kinds import MLFLOW_SERVER, describe_resource, list_kind, texts_in
from ml_janitor.core.durations import DAY, format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
    map_signal,
)
from ml_janitor.core.text import count_noun, quote_shell
from ml_janitor.engine.detector import Constant, Detector, allow

_CALLS_OF_USERS = ("CreatePresignedMlflowTrackingServerUrl", "StartMlflowTrackingServer")
"""Calls by which somebody opens a server's pages, or turns a server on."""

_UP = (
    *("Created", "Started", "Updated", "UpdateFailed", "StopFailed"),
    *("MaintenanceInProgress", "MaintenanceComplete", "MaintenanceFailed"),
)
"""Statuses of a server that answers. AWS's word `IsActive` decides nothing: nobody documents its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowServer(Candidate):
    """
    A tracking server; *active* is its `IsActive`, *size* what AWS calls its size.

    *called* is the last call by which somebody opened or started it, within the judged time. *stored* is the
    newest object below its artifact store, and None in it an empty store.
    """

    status: str
    active: str
    size: str = ""
    called: Signal[datetime] = field(default_factory=NotRead)
    stored: Signal[NewestObject | None] = field(default_factory=NotRead)


@dataclass(frozen=True)
class UnusedMlflowServers(Detector[MlflowServer]):
    """
    Finds MLflow tracking servers that nobody opened and that stored nothing for two weeks.

    A server is billed for every hour that it is on. AWS does not tell whether
    clients only log metrics to it, so a person stops it.
    """

    name = "unused-mlflow-servers"
    kinds = (MLFLOW_SERVER.type,)
    reads = (
        allow(MLFLOW_SERVER.lists),
        allow(MLFLOW_SERVER.describes, on=MLFLOW_SERVER.every),
        allow(LOOKUP_EVENTS),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        allow(tags.GET_RESOURCES),
        allow(tags.LIST_TAGS, on=MLFLOW_SERVER.every),
    )

    idle_for: Constant[timedelta] = timedelta(days=14)

    def __post_init__(self) -> None:
        if self.idle_for > EVENT_RETENTION:
            raise ValueError(
                f"idle_for: CloudTrail keeps events for {count_noun(EVENT_RETENTION // DAY, 'day')}"
            )

    def find(self, aws: Aws, now: datetime) -> Iterator[MlflowServer]:
        """Yield every server; those that are on for long also with what their users left behind."""
        book = tags.read_tag_book(aws, f"sagemaker:{MLFLOW_SERVER.type}")
        servers = list_kind(aws, MLFLOW_SERVER, partial(_server, aws, book))
        on = [server for server in servers.items if self.young(server, now) is None]
        since = now - self.idle_for
        calls = [activity.look_up_events(aws, name, since, now) for name in _CALLS_OF_USERS] if on else []
        read = aws.map(partial(_used, aws, calls, since), on)
        known = {server.target.arn: server for server in read}
        yield from (known.get(server.target.arn, server) for server in servers.items)
        servers.check()

    def decide(self, candidate: MlflowServer, now: datetime) -> Verdict:
        """Judge a server: that nobody left a trace is at most likely."""
        rule = Rule()
        rule.saw(
            Evidence("status", candidate.status, source=MLFLOW_SERVER.lists),
            Evidence("IsActive", candidate.active, source=MLFLOW_SERVER.lists),
        )
        if (reason := self.young(candidate, now)) is not None:
            return rule.kept(reason)
        rule.saw(
            Evidence("size", candidate.size or "unknown", source=MLFLOW_SERVER.describes),
            as_evidence("opened or started", candidate.called),
            as_evidence("newest artifact", candidate.stored, _stored),
        )
        if isinstance(candidate.called, Value):
            return rule.kept(f"somebody opened or started it {format_age(now - candidate.called.value)} ago")
        match candidate.stored:
            case Value(NewestObject(modified=at)) if at > now - self.idle_for:
                return rule.kept(f"it stored an artifact {format_age(now - at)} ago")
        for what, signal in (("opened it", candidate.called), ("stored anything in it", candidate.stored)):
            if not isinstance(signal, Value | Absent):
                error = getattr(signal, "error", "not read")
                return rule.unknown(f"whether somebody {what} could not be read ({error})")
        name = candidate.target.name
        return rule.found(
            f"nobody opened or started it, and nothing was stored below its artifact store, for"
            f" {format_age(self.idle_for)}",
            Confidence.LIKELY,
            action="stop the tracking server (start-mlflow-tracking-server turns it on again):"
            f" aws sagemaker stop-mlflow-tracking-server --tracking-server-name {quote_shell(name)}",
            cost=Cost.saving(None, "no price list of tracking servers is known here"),
            noun="unused MLflow server",
            to_prove="that no client logs to it, such as by the start times that its own SearchRuns returns",
        )

    def young(self, server: MlflowServer, now: datetime) -> str | None:
        """Return why *server* is kept whatever its users did; None if that decides."""
        if server.status not in _UP:
            return f"its status is {server.status}"
        created = server.target.created
        if created is None or now - created < self.idle_for:
            return f"younger than {format_age(self.idle_for)}"
        return None


def _server(aws: Aws, book: tags.TagBook, entry: Mapping[str, Any]) -> MlflowServer:
    arn = MLFLOW_SERVER.arn_of(aws, entry)
    return MlflowServer(
        target=MLFLOW_SERVER.target(aws, entry, book.of(arn)),
        status=entry["TrackingServerStatus"],
        active=entry.get("IsActive", "unknown"),
    )


def _used(
    aws: Aws, calls: Sequence[Listing[TrailEvent]], since: datetime, server: MlflowServer
) -> MlflowServer:
    """Return *server* with its last call; if there is none, with its newest artifact too."""
    together = Listing.joined(
        (event for listing in calls for event in listing.items), (listing.error for listing in calls)
    )
    newest = activity.newest_event(together, partial(_about, server.target.name))
    known = replace(server, called=map_signal(newest, lambda event: event.at))
    if isinstance(known.called, Value):
        return known
    match describe_resource(aws, MLFLOW_SERVER, server.target.name):
        case Value(found) if "ArtifactStoreUri" in found:
            folder = f"{found['ArtifactStoreUri'].rstrip('/')}/"
            stored = find_newest_object(aws, [folder], fresh=since)
            return replace(known, size=found.get("TrackingServerSize", ""), stored=stored)
        case Unreadable() as unread:
            return replace(known, stored=unread)
        case _:
            return replace(known, stored=Unreadable("its artifact store is unknown", MLFLOW_SERVER.describes))


def _about(name: str, event: TrailEvent) -> bool:
    """Return whether *event* is about the server *name*, or does not say which server it is about."""
    asked = set(texts_in(event.request, MLFLOW_SERVER.named))
    return not asked or name in asked


def _stored(newest: NewestObject | None) -> str:
    return "none" if newest is None else f"{newest.uri}, {newest.modified:%Y-%m-%d}"
