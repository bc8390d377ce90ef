"""CloudTrail's event history: LookupEvents, which moto lacks, and noting who created or deleted what."""

import json
import re
import uuid
from functools import partial
from http import HTTPStatus
from typing import Any

from moto.sagemaker.responses import SageMakerResponse

from moto_corrections import clock, model, state
from moto_corrections.paging import cut, size_of
from moto_corrections.patches import PATCHES, AwsError, Call, Patch, serves

PER_PAGE = 50
# Access keys that are names, so that a program can act as "maria" by using her name as its key.
ANONYMOUS = ("AKIA", "ASIA", "test", "FOOBAR", "sandbox", "")
DEFAULT_USER = "sandbox"
CREDENTIAL = re.compile(r"Credential=([^/]+)/")
NOTED = (
    *("Create", "Delete", "UpdateEndpoint", "StartNotebookInstance", "StopNotebookInstance", "StartSession"),
)
"""How operations of SageMaker begin that are recorded by themselves."""

_moto_call_action = SageMakerResponse.call_action


class History(list[dict[str, Any]]):
    """The management events of one account and region."""


@serves("cloudtrail", "LookupEvents")
def lookup_events(call: Call) -> dict[str, Any]:
    """Look up events, newest first, fifty to a page, by one attribute and a span of time."""
    params = call.params
    size = size_of(call, "MaxResults", PER_PAGE, PER_PAGE, partial(AwsError, "InvalidMaxResultsException"))
    start, end = (at and clock.aware(at) for at in map(params.get, ("StartTime", "EndTime")))
    if start and end and start > end:
        raise AwsError("InvalidTimeRangeException", "The start time is after the end time.")
    found = [
        event
        for event in state.of(History, call)
        if (start is None or event["EventTime"] >= start)
        and (end is None or event["EventTime"] <= end)
        and all(_matches(event, wanted) for wanted in params.get("LookupAttributes") or ())
    ]
    found.sort(key=lambda event: event["EventTime"], reverse=True)
    page, more = cut(call, found, size, invalid="InvalidNextTokenException")
    return {"Events": page, **more}


def _matches(event: dict[str, Any], wanted: dict[str, str]) -> bool:
    key, value = wanted["AttributeKey"], wanted["AttributeValue"]
    if key in ("ResourceName", "ResourceType"):
        return any(resource.get(key) == value for resource in event["Resources"])
    return str(event.get(key)) == value


def seed(account: str, region: str, events: list[dict[str, Any]]) -> None:
    """Add events, as `record` does."""
    for event in events:
        record(account, region, event)


def record(account: str, region: str, event: dict[str, Any]) -> None:
    """Add one event; what it leaves out is filled in. Raises `ValueError` on unknown members."""
    shape: Any = model.output("cloudtrail", "LookupEvents").members["Events"]
    detail = event.get("CloudTrailEvent")
    plain = {key: value for key, value in event.items() if key != "CloudTrailEvent"}
    event = model.convert(shape.member, plain)
    if "EventName" not in event:
        raise ValueError("an event needs an EventName")
    event = {
        "EventId": str(uuid.uuid4()),
        "EventSource": "sagemaker.amazonaws.com",
        "EventTime": clock.now(),
        "ReadOnly": "false",
        "Resources": [],
        "Username": DEFAULT_USER,
    } | event
    event["CloudTrailEvent"] = (
        detail if isinstance(detail, str) else json.dumps(_detail(event, region) | (detail or {}))
    )
    state.at(History, account, region).append(event)


def _detail(event: dict[str, Any], region: str) -> dict[str, Any]:
    return {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "userName": event["Username"]},
        "eventTime": clock.text(event["EventTime"]),
        "eventSource": event["EventSource"],
        "eventName": event["EventName"],
        "awsRegion": region,
        "eventID": event["EventId"],
    }


def _call_action(self: Any) -> Any:
    """Answer as moto does, and record what was just done in SageMaker, by the user of the access key."""
    status, headers, body = _moto_call_action(self)
    operation = self._get_action()
    if status == HTTPStatus.OK and operation.startswith(NOTED):
        with state.LOCK:
            _note(self, operation)
    return status, headers, body


PATCHES.append(Patch("moto.sagemaker.responses:SageMakerResponse.call_action", _call_action, was=None))


def _note(done: Any, operation: str) -> None:
    found = CREDENTIAL.search(done.headers.get("Authorization", ""))
    key, body, agent = found[1] if found else "", done.raw_body, done.headers.get("User-Agent", "")
    asked = json.loads(body or b"{}")
    noun = operation.removeprefix("Create").removeprefix("Presigned").removesuffix("Url")
    for verb in ("Update", "Delete", "Start", "Stop"):
        noun = noun.removeprefix(verb)
    name = asked.get(f"{noun}Name")
    event: dict[str, Any] = {
        "EventName": operation,
        "Username": DEFAULT_USER if key.startswith(ANONYMOUS[:-1]) or not key else key,
        "CloudTrailEvent": {
            "requestParameters": {key[:1].lower() + key[1:]: value for key, value in asked.items()},
            "userAgent": agent,
        },
    }
    if name:
        kind = f"AWS::SageMaker::{noun}"
        event["Resources"] = [{"ResourceType": kind, "ResourceName": name}]
    record(done.current_account, done.region, event)
