"""What a listing says of a resource, which jobs are too old to be judged, and who created it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ml_janitor.aws import activity, sagemaker_kinds
from ml_janitor.aws.activity import TrailEvent
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import SageMakerKind, texts_in
from ml_janitor.core.model import Absent, Signal, Unreadable
from ml_janitor.detectors.untagged_resources import reading
from ml_janitor.detectors.untagged_resources.reading import (
    CREATION_WINDOW,
    JUDGED_KINDS,
    Creator,
    TaggableResource,
    creator_from_identity,
    find_creation_event,
    is_creation_of,
    join_unique,
    listed_resource,
    listing_queries,
    resource_by_arn,
    used_location,
)
from scripted import Script
from tables import cases

SINCE = datetime(2026, 9, 29, 3, tzinfo=UTC)
ROOT = "arn:aws:sagemaker:us-east-1:123456789012"


def kind(type_: str) -> SageMakerKind:
    return next(kind for kind in JUDGED_KINDS if kind.type == type_)


LONG_AGO, BEFORE = SINCE - timedelta(days=900), SINCE - timedelta(seconds=1)
OUTSIDE = "it is not in progress, and was created before 2026-09-29"


def entry(type_: str, noun: str, created: datetime = LONG_AGO, **more: Any) -> dict[str, Any]:
    named = {f"{noun}Name": "One", f"{noun}Arn": f"{ROOT}:{type_}/one"}
    return {**named, "CreationTime": created, **more}


@cases(
    "type_, listed, expected",
    # a recent job counts, and a running one; each kind has its own word for what runs
    ("transform-job", entry("transform-job", "TransformJob", TransformJobStatus="InProgress"), {}),
    ("transform-job", entry("transform-job", "TransformJob", SINCE, TransformJobStatus="Completed"), {}),
    (
        "transform-job",
        entry("transform-job", "TransformJob", BEFORE, TransformJobStatus="Completed"),
        {"outside": OUTSIDE},
    ),
    (
        "transform-job",
        entry("transform-job", "TransformJob", TransformJobStatus="Failed"),
        {"outside": OUTSIDE},
    ),
    ("compilation-job", entry("compilation-job", "CompilationJob", CompilationJobStatus="INPROGRESS"), {}),
    (
        "compilation-job",
        entry("compilation-job", "CompilationJob", CompilationJobStatus="COMPLETED"),
        {"outside": OUTSIDE},
    ),
    # anything but a job counts at any age
    ("model", entry("model", "Model"), {}),
    # a definition has the name of its entry and that of its request
    (
        "model-bias-job-definition",
        entry("model-bias-job-definition", "MonitoringJobDefinition"),
        {"named": "JobDefinitionName"},
    ),
    # what is told by its domain is listed without its ARN
    (
        "user-profile",
        {"DomainId": "d-1", "UserProfileName": "One", "CreationTime": SINCE},
        {"arn": "d-1/One"},
    ),
    ("space", {"DomainId": "d-1", "SpaceName": "One", "CreationTime": SINCE}, {"arn": "d-1/One"}),
)
def test_what_a_listing_says_of_a_resource(
    type_: str, listed: dict[str, Any], expected: dict[str, str]
) -> None:
    found = listed_resource(Script({}).aws(), kind(type_), listed, SINCE)

    assert (found.name, found.arn) == ("One", f"{ROOT}:{type_}/{expected.get('arn', 'one')}")
    assert found.outside == expected.get("outside")
    assert found.kind.named == expected.get("named", found.kind.named)


def test_what_runs_is_asked_for_by_its_own_word_and_an_entry_without_a_name_fails_the_read() -> None:
    assert listing_queries(kind("compilation-job"), SINCE)[0] == {"StatusEquals": "INPROGRESS"}
    with pytest.raises(KeyError):
        listed_resource(Script({}).aws(), kind("model"), {"ModelArn": f"{ROOT}:model/m"}, SINCE)


def model(name: str) -> TaggableResource:
    return TaggableResource(kind=kind("model"), arn=f"{ROOT}:model/{name}", name=name, created=SINCE)


def test_a_resource_of_two_listings_is_one_and_both_errors_are_told() -> None:
    first = Listing((model("a"), model("b")), "ListModels broke off")
    second = Listing((model("b"), model("c")), "ListSpaces broke off")
    whole = join_unique([first, second, Listing((), "ListModels broke off")])

    assert [one.name for one in whole.items] == ["a", "b", "c"]
    assert whole.error == "ListModels broke off; ListSpaces broke off"


def test_an_arn_may_have_lost_its_capitals() -> None:
    assert resource_by_arn([model("Churn")], f"{ROOT}:model/churn") == model("Churn")
    assert resource_by_arn([model("Churn")], f"{ROOT}:model/churn-2") is None


@cases(
    "text, place",
    ("s3://models/churn/1/model.tar.gz", "s3://models"),
    ("s3://models", "s3://models"),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/serve:1.2", "{}/team/serve"),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/serve", "{}/team/serve"),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/serve@sha256:0f3a", "{}/serve"),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:2@sha256:0f3a", "{}/serve"),
    ("arn:aws:iam::123456789012:role/train", None),
    ("https://example.com/s3://x", None),
    ("", None),
)
def test_which_bucket_or_repository_a_text_names(text: str, place: str | None) -> None:
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

    assert used_location(text) == (place.format(registry) if place else None)


def test_the_texts_of_a_record_are_found_at_any_depth() -> None:
    record = {"Model": {"Containers": [{"Image": "a"}, {"Mode": 1, "Env": {"CODE": "b"}}], "When": SINCE}}

    assert list(texts_in(record)) == ["a", "b"]


CREATED = datetime(2026, 9, 1, 12, tzinfo=UTC)
SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012"
ENDPOINT = TaggableResource(
    kind=sagemaker_kinds.ENDPOINT, arn=f"{SAGEMAKER}:endpoint/churn", name="Churn", created=CREATED
)
SPACE = TaggableResource(
    kind=sagemaker_kinds.SPACE, arn=f"{SAGEMAKER}:space/d-1/anna", name="anna", created=CREATED
)
PROFILE = replace(SPACE, kind=sagemaker_kinds.USER_PROFILE, arn=f"{SAGEMAKER}:user-profile/d-1/anna")
DEFINITION = replace(ENDPOINT, kind=sagemaker_kinds.JOB_DEFINITIONS[1], name="drift")
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
    "of, changed, expected",
    (ENDPOINT, {}, True),
    (ENDPOINT, {"request": {"EndpointName": "Churn"}}, True),
    (ENDPOINT, {"request": {"endpointName": "Churn-2"}}, False),
    (ENDPOINT, {"request": {"endpointConfigName": "Churn"}}, False),
    (ENDPOINT, {"request": {"endpointName": "other"}, "resources": frozenset({"Churn"})}, False),
    (ENDPOINT, {"request": {}, "resources": frozenset({"Churn"})}, True),
    (ENDPOINT, {"request": {}, "resources": frozenset({ENDPOINT.arn})}, True),
    (ENDPOINT, {"request": {}, "resources": frozenset({"Churn-2"})}, False),
    (ENDPOINT, {"succeeded": False}, False),
    (ENDPOINT, {"source": "elasticmapreduce.amazonaws.com"}, False),
    # a space and a user profile belong to their domain
    *(
        (of, {"request": {"domainId": domain, member: "anna"}}, domain == "d-1")
        for of, member in ((SPACE, "spaceName"), (PROFILE, "userProfileName"))
        for domain in ("d-1", "d-11", "d-2")
    ),
    # a definition is told by the member of its request
    (DEFINITION, {"request": {"jobDefinitionName": "drift"}}, True),
    (DEFINITION, {"request": {"jobDefinitionName": "bias"}}, False),
)
def test_which_event_made_a_resource(
    of: TaggableResource, changed: dict[str, Any], *, expected: bool
) -> None:
    assert is_creation_of(replace(EVENT, **changed), of) is expected


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


@pytest.mark.parametrize("denied", ["CreateAutoMLJob", "CreateAutoMLJobV2"])
def test_the_events_of_each_version_of_a_call_are_read(monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    def lookup(_: Aws, name: str, *_span: datetime, most_pages: int) -> Listing[Any]:  # noqa: ARG001
        return Listing((), "denied" if name == denied else None)

    monkeypatch.setattr(activity, "look_up_events", lookup)
    made = replace(ENDPOINT, kind=kind("automl-job"))

    assert reading.read_creators(cast("Aws", None), [made], NOW) == {made.arn: DENIED}
