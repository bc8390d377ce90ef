"""Who created a resource, as CloudTrail tells it, and whether that is a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ml_janitor.aws import activity, sagemaker_kinds
from ml_janitor.aws.activity import TrailEvent
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, Signal, Unreadable
from ml_janitor.detectors.untagged_resources import reading
from ml_janitor.detectors.untagged_resources.reading import (
    CREATION_WINDOW,
    Creator,
    TaggableResource,
    creator_from_identity,
    find_creation_event,
    is_creation_of,
)
from tables import cases

CREATED = datetime(2026, 9, 1, 12, tzinfo=UTC)
SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012"
ENDPOINT = TaggableResource(
    kind=sagemaker_kinds.ENDPOINT, arn=f"{SAGEMAKER}:endpoint/churn", name="Churn", created=CREATED
)
SPACE = TaggableResource(
    kind=sagemaker_kinds.SPACE, arn=f"{SAGEMAKER}:space/d-1/anna", name="anna", created=CREATED
)
EVENT = TrailEvent(
    name="CreateEndpoint",
    at=CREATED,
    user="anna",
    succeeded=True,
    resources=frozenset(),
    identity={"type": "IAMUser", "userName": "anna"},
    request={"endpointName": "Churn"},
    source="sagemaker.amazonaws.com",
)


def session(role: str, name: str, **context: str) -> dict[str, Any]:
    arn = f"arn:aws:sts::123456789012:assumed-role/{role}/{name}"
    return {"type": "AssumedRole", "arn": arn, "sessionContext": context}


SSO = "AWSReservedSSO_DataScientist_0123456789abcdef"


@cases(
    "identity, name, role, person",
    ({"type": "IAMUser", "userName": "anna"}, "anna", "IAM user", True),
    ({"type": "IAMUser", "userName": "ci-deployer"}, "ci-deployer", "IAM user", False),
    ({"type": "IAMUser", "userName": "svc.training"}, "svc.training", "IAM user", False),
    (session(SSO, "anna"), "anna", "single sign-on as DataScientist", True),
    (session(SSO, "anna@example.com"), "anna@example.com", "single sign-on as DataScientist", True),
    (session(SSO, "jenkins@example.com"), "jenkins@example.com", "single sign-on as DataScientist", False),
    (session("Lab", "anna@example.com"), "anna@example.com", "role Lab", True),
    (session("Lab", "anna.smith"), "anna.smith", "role Lab", True),
    (session("Lab", "s\u00f8ren.\u00e5berg"), "s\u00f8ren.\u00e5berg", "role Lab", True),
    (session("Lab", "anna"), "anna", "role Lab", False),
    (session("Lab", "github.actions"), "github.actions", "role Lab", False),
    (session("Lab", "x@p.iam.gserviceaccount.com"), "x@p.iam.gserviceaccount.com", "role Lab", False),
    (session("retrain", "retrain"), "retrain", "role retrain", False),
    (session("Lab", "botocore-session-1758"), "botocore-session-1758", "role Lab", False),
    (session("node", "i-0123456789abcdef0"), "i-0123456789abcdef0", "role node", False),
    (session("Studio", "SageMaker"), "SageMaker", "role Studio", False),
    (session("Studio", "SageMaker", sourceIdentity="anna.smith"), "anna.smith", "role Studio", True),
    ({"type": "AssumedRole"}, "", "role ", False),
    ({"type": "Root"}, "root", "Root", False),
    ({"type": "AWSService", "invokedBy": "sagemaker.amazonaws.com"}, "root", "AWSService", False),
    ({}, "root", "unknown kind of caller", False),
)
def test_who_a_caller_is(identity: dict[str, Any], name: str, role: str, *, person: bool) -> None:
    assert creator_from_identity(identity, "root") == Creator(name=name, role=role, person=person)


def test_a_service_is_named_where_there_is_no_user() -> None:
    who = creator_from_identity({"type": "AWSService", "invokedBy": "sagemaker.amazonaws.com"}, None)

    assert str(who) == "sagemaker.amazonaws.com (AWSService)"


@cases(
    "changed, expected",
    ({}, True),
    ({"request": {"EndpointName": "Churn"}}, True),
    ({"request": {"endpointName": "Churn-2"}}, False),
    ({"request": {"endpointConfigName": "Churn"}}, False),
    ({"request": {"endpointName": "other"}, "resources": frozenset({"Churn"})}, False),
    ({"request": {}, "resources": frozenset({"Churn"})}, True),
    ({"request": {}, "resources": frozenset({ENDPOINT.arn})}, True),
    ({"request": {}, "resources": frozenset({"Churn-2"})}, False),
    ({"succeeded": False}, False),
    ({"source": "elasticmapreduce.amazonaws.com"}, False),
)
def test_which_event_made_an_endpoint(changed: dict[str, Any], *, expected: bool) -> None:
    assert is_creation_of(replace(EVENT, **changed), ENDPOINT) is expected


@pytest.mark.parametrize(("domain", "expected"), [("d-1", True), ("d-11", False), ("d-2", False)])
def test_a_space_and_a_user_profile_belong_to_their_domain(domain: str, *, expected: bool) -> None:
    profile = replace(SPACE, kind=sagemaker_kinds.USER_PROFILE, arn=f"{SAGEMAKER}:user-profile/d-1/anna")

    assert (
        is_creation_of(replace(EVENT, request={"domainId": domain, "spaceName": "anna"}), SPACE) is expected
    )
    assert (
        is_creation_of(replace(EVENT, request={"domainId": domain, "userProfileName": "anna"}), profile)
        is expected
    )


def test_a_definition_is_told_by_the_member_of_its_request() -> None:
    definition = replace(ENDPOINT, kind=sagemaker_kinds.JOB_DEFINITIONS[1], name="drift")

    assert is_creation_of(replace(EVENT, request={"jobDefinitionName": "drift"}), definition)
    assert not is_creation_of(replace(EVENT, request={"jobDefinitionName": "bias"}), definition)


@cases(
    "offset, expected",
    (timedelta(), True),
    (timedelta(minutes=10), True),
    (-timedelta(minutes=10), True),
    (timedelta(minutes=10, seconds=1), False),
)
def test_only_an_event_near_the_creation_counts(offset: timedelta, *, expected: bool) -> None:
    event = replace(EVENT, at=CREATED + offset)

    assert (find_creation_event(ENDPOINT, [event]) is event) is expected


def test_the_nearest_of_several_events_counts() -> None:
    earlier, nearest, later = (replace(EVENT, at=CREATED + timedelta(minutes=m)) for m in (-3, 1, 2))

    assert find_creation_event(ENDPOINT, [later, earlier, nearest]) is nearest


def test_nothing_is_known_of_a_resource_without_a_creation_time() -> None:
    assert find_creation_event(replace(ENDPOINT, created=None), [EVENT]) is None


NOW = CREATED + timedelta(days=30)
FORGOTTEN = NOW - activity.EVENT_RETENTION
DENIED: Signal[Creator] = Unreadable("denied", activity.LOOKUP_EVENTS)
NOBODY: Signal[Creator] = Absent(activity.LOOKUP_EVENTS)


@cases(
    "created, error, asked, found",
    (CREATED, None, True, NOBODY),
    (CREATED, "denied", True, DENIED),
    (FORGOTTEN + CREATION_WINDOW, "denied", True, DENIED),
    (FORGOTTEN, "denied", False, NOBODY),
    (None, "denied", False, NOBODY),
)
def test_a_trail_that_cannot_be_read_is_said_only_of_what_it_may_remember(
    monkeypatch: pytest.MonkeyPatch,
    created: datetime | None,
    error: str | None,
    found: Signal[Creator],
    *,
    asked: bool,
) -> None:
    """Beside one that is younger, so that the trail is read for both."""
    spans = []

    def lookup(_: Aws, name: str, start: datetime, end: datetime, *, most_pages: int) -> Listing[Any]:
        spans.append((name, start, end, most_pages))
        return Listing((), error)

    monkeypatch.setattr(activity, "look_up_events", lookup)
    old = replace(ENDPOINT, arn=f"{ENDPOINT.arn}-2", created=created)
    nowhere = cast("Aws", None)

    assert reading.read_creators(nowhere, [old], NOW) == {old.arn: found}
    assert bool(spans) is asked
    both = reading.read_creators(nowhere, [old, ENDPOINT], NOW)
    assert both == {old.arn: found, ENDPOINT.arn: DENIED if error else NOBODY}
    first = min(one for one in (created, CREATED) if one is not None and one > FORGOTTEN)
    assert spans[-1] == (
        "CreateEndpoint",
        max(FORGOTTEN, first - CREATION_WINDOW),
        CREATED + CREATION_WINDOW,
        reading._MOST_CREATION_PAGES,
    )
