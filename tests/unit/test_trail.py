"""CloudTrail's event history: which calls are asked for, how far, and what half of them shows."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from conftest import DAY, HOUR, NOW
from ml_janitor.aws.activity import TrailEvent, look_up_events, newest_event
from ml_janitor.aws.calls import Listing
from ml_janitor.core.model import Absent, Unreadable, Value
from scripted import DENIED, Script, Torn
from tables import cases

CALLED = "cloudtrail:LookupEvents"


def entry(age: timedelta, detail: Any = None, **more: Any) -> dict[str, Any]:
    text = detail if isinstance(detail, str) else json.dumps(detail or {})
    return {"EventName": "DeleteApp", "EventTime": NOW - age, "CloudTrailEvent": text} | more


def test_an_event_is_what_its_record_says() -> None:
    detail = {
        "userIdentity": {"type": "AssumedRole"},
        "requestParameters": {"appName": "default"},
        "userAgent": "ml-janitor",
    }
    resources = [{"ResourceName": "default"}, {"ResourceType": "AWS::SageMaker::App"}]
    whole = entry(HOUR, detail, Username="maria", Resources=resources, EventSource="sagemaker.amazonaws.com")
    bare = entry(DAY, {"errorCode": "Denied", "userIdentity": None, "requestParameters": None})
    account = Script({CALLED: {"Events": [whole, bare]}})

    found = look_up_events(account.aws(), "DeleteApp", NOW - 3 * DAY, NOW)

    named: dict[str, Any] = {"name": "DeleteApp", "user": None, "resources": frozenset()}
    assert found.items == (
        TrailEvent(
            name="DeleteApp",
            at=NOW - HOUR,
            user="maria",
            succeeded=True,
            resources=frozenset({"default"}),
            identity={"type": "AssumedRole"},
            request={"appName": "default"},
            source="sagemaker.amazonaws.com",
            agent="ml-janitor",
        ),
        TrailEvent(**named, at=NOW - DAY, succeeded=False, identity={}, request={}),
    )
    assert account.asked(CALLED) == [
        {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "DeleteApp"}],
            "StartTime": NOW - 3 * DAY,
            "EndTime": NOW,
            "MaxResults": 50,
        }
    ]


@cases(
    "most, read, error",
    (None, 3, None),
    (3, 3, None),
    (2, 2, "there are more than 100 events; the older ones were not read"),
)
def test_events_are_read_on_so_many_pages(most: int | None, read: int, error: str | None) -> None:
    pages = [{"Events": [entry(number * HOUR)]} for number in range(3)]

    found = look_up_events(Script({CALLED: pages}).aws(), "DeleteApp", NOW - DAY, NOW, most_pages=most)

    assert len(found.items) == read
    assert found.error == (error and f"{CALLED} broke off after {read}: {error}")


@pytest.mark.parametrize("broken", [entry(HOUR, "{"), Torn({"EventName": "DeleteApp"})])
def test_an_event_that_cannot_be_understood_leaves_the_reading_unfinished(broken: Any) -> None:
    found = look_up_events(Script({CALLED: Torn({"Events": [broken]})}).aws(), "DeleteApp", NOW - DAY, NOW)

    assert (found.items, (found.error or "")[:39]) == ((), "cloudtrail:LookupEvents: 1 of 1 entries")


def event(age: timedelta, *, succeeded: bool = True) -> TrailEvent:
    return TrailEvent(
        name="x", at=NOW - age, user=None, succeeded=succeeded, resources=frozenset(), identity={}, request={}
    )


def test_the_newest_event_is_the_latest_that_succeeded_and_counts() -> None:
    events = (event(3 * HOUR), event(2 * HOUR), event(4 * HOUR), event(HOUR, succeeded=False), event(DAY))

    found = newest_event(Listing(events), lambda one: one.at != NOW - 2 * HOUR)

    assert found == Value(events[0], CALLED, NOW - 3 * HOUR)
    assert newest_event(Listing(events, "broke off"), lambda _: True) == Value(
        events[1], CALLED, NOW - 2 * HOUR
    )
    assert newest_event(Listing(events), lambda _: False) == Absent(CALLED)
    assert newest_event(Listing(events, "broke off"), lambda _: False) == Unreadable("broke off", CALLED)


def test_a_refused_lookup_is_no_empty_history() -> None:
    found = look_up_events(Script({CALLED: DENIED}).aws(), "DeleteApp", NOW - DAY, NOW)

    assert found.error == f"{CALLED} broke off after 0: LookupEvents: AccessDeniedException: denied"
