"""Reads CloudTrail's event history: the calls of the last 90 days, by the name of the call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import Listing, ReadError, collect_pages
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import EventTypeDef

LOOKUP_EVENTS = "cloudtrail:LookupEvents"

EVENT_RETENTION = timedelta(days=90)
"""The age up to which CloudTrail keeps its event history."""

EVENTS_PAGE = 50
"""LookupEvents' largest page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEvent:
    """
    One recorded call.

    *source* is the service, because several have calls of the same name ("sagemaker.amazonaws.com").
    *identity* and *request* are CloudTrail's `userIdentity` and `requestParameters`. *resources* are the
    names that CloudTrail lists, for SageMaker often none. *agent* is the calling program.
    """

    name: str
    at: datetime
    user: str | None
    succeeded: bool
    resources: frozenset[str]
    identity: Mapping[str, Any]
    request: Mapping[str, Any]
    source: str = ""
    agent: str = ""


def look_up_events(
    aws: Aws, name: str, since: datetime, until: datetime, *, most_pages: int | None = None
) -> Listing[TrailEvent]:
    """
    List every call *name* between *since* and *until*, newest first.

    One reading serves all resources, so a sweep reads once. Events arrive with minutes of delay: their
    absence in the last quarter of an hour means nothing. Beyond *most_pages*, the listing breaks off.
    """
    called = [{"AttributeKey": "EventName", "AttributeValue": name}]
    pages = aws.pages(LOOKUP_EVENTS, EVENTS_PAGE, LookupAttributes=called, StartTime=since, EndTime=until)

    def first_pages() -> Iterator[Any]:
        for number, page in enumerate(pages, start=1):
            yield page
            if number == most_pages and page.get("NextToken"):
                raise ReadError(
                    f"there are more than {number * EVENTS_PAGE} events; the older ones were not read"
                )

    return collect_pages(
        first_pages(), lambda page: [_event(event) for event in page["Events"]], source=LOOKUP_EVENTS
    )


def newest_event(events: Listing[TrailEvent], counts: Callable[[TrailEvent], bool]) -> Signal[TrailEvent]:
    """Return the newest of *events* that succeeded and *counts*; a partial reading never proves absence."""
    found = [event for event in events.items if event.succeeded and counts(event)]
    if found:
        latest = max(found, key=lambda event: event.at)
        return Value(latest, LOOKUP_EVENTS, latest.at)
    return Absent(LOOKUP_EVENTS) if events.error is None else Unreadable(events.error, LOOKUP_EVENTS)


def _event(entry: EventTypeDef) -> TrailEvent:
    try:
        detail = json.loads(entry["CloudTrailEvent"])
    except ValueError as error:
        raise ReadError(f"event {entry.get('EventId')} is no JSON: {error}") from error
    return TrailEvent(
        name=entry["EventName"],
        at=entry["EventTime"].astimezone(UTC),
        user=entry.get("Username"),
        succeeded="errorCode" not in detail,
        resources=frozenset(
            resource["ResourceName"] for resource in entry.get("Resources", ()) if "ResourceName" in resource
        ),
        identity=detail.get("userIdentity") or {},
        request=detail.get("requestParameters") or {},
        source=entry.get("EventSource", ""),
        agent=str(detail.get("userAgent") or ""),
    )
