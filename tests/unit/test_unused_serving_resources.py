"""The decide table of unused-serving-resources, and what counts as a use."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from conftest import ACCOUNT, NOW, REGION
from fakes import target_at
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, MODEL_PACKAGE, PIPELINE, TRANSFORM_JOB, texts_in
from ml_janitor.core.model import Absent, Confidence, Finding, Kept, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.unused_serving_resources import (
    ARTIFACT_MEMBERS,
    CONFIG_NAME,
    DEFINITION_MEMBER,
    MODEL_NAME,
    ResourceUsers,
    ServingResource,
    UnusedServingResources,
    describe_users,
    look_up_deployments,
    names_in,
)
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import judge_candidate
from past_jobs import word
from scripted import DENIED, Script, Torn
from tables import cases
from verdicts import expect_verdict
from verdicts import shown as evidence_of

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
OLD = NOW - 90 * DAY
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/Churn"


def resource(user: Signal[str], *, age: timedelta = 90 * DAY, **more: Any) -> ServingResource:
    target = target_at("model/Churn", NOW - age, name="churn")
    return ServingResource(target=target, user=user, **more)


@cases(
    "candidate, verdict, reason",
    (resource(Absent()), "found", "created 90 days ago, and no endpoint"),
    (resource(Absent(), age=90 * DAY - SECOND), "kept", "judged from 90 days on"),
    (resource(Value("endpoint churn"), age=DAY), "kept", "judged from 90 days on"),
    (resource(Value("endpoint churn")), "kept", "used by endpoint churn"),
    (resource(Unreadable("ListPipelines: denied")), "unknown", "ListPipelines: denied"),
    (resource(NotRead()), "unknown", "not all that may use it was read"),
)
def test_decide(candidate: ServingResource, verdict: str, reason: str) -> None:
    decided = UnusedServingResources().decide(candidate, NOW)

    assert (word(decided), reason in decided.reason) == (verdict, True), decided.reason
    if isinstance(decided, Finding):
        assert decided.confidence is Confidence.LIKELY
        assert decided.cost is None


def test_something_of_unknown_age_is_kept() -> None:
    unknown = ServingResource(target=target_at("model/Churn", None), user=Absent())

    assert isinstance(UnusedServingResources().decide(unknown, NOW), Kept)


@cases(
    "artifacts, value, error",
    (Value(3 * 1024**3, "s3:ListObjectsV2"), "3 GB", None),
    (Unreadable("AccessDenied", "s3:ListObjectsV2"), None, "AccessDenied"),
)
def test_the_size_of_artifacts_is_known(artifacts: Signal[int], value: str | None, error: str | None) -> None:
    verdict = UnusedServingResources().decide(resource(Absent(), artifacts=artifacts), NOW)

    assert isinstance(verdict, Finding)
    shown = {one.signal: one for one in verdict.evidence}["artifacts that no other model names"]
    assert (shown.value, shown.error) == (value, error)


@cases(
    "candidate, seen, steps",
    (resource(Absent()), {"used by": "none"}, ("all that may use it was read, and does not name it",)),
    (resource(Value("endpoint churn")), {"used by": "endpoint churn"}, ()),
)
def test_what_was_seen_and_passed(
    candidate: ServingResource, seen: dict[str, str], steps: tuple[str, ...]
) -> None:
    decided = UnusedServingResources().decide(candidate, NOW)

    assert (evidence_of(decided), decided.steps[:-1]) == (seen, steps)


def test_an_operator_sets_the_age() -> None:
    candidate = resource(Absent(), age=10 * DAY)

    assert isinstance(UnusedServingResources(min_age=10 * DAY).decide(candidate, NOW), Finding)


# --- what undos need --------------------------------------------------------------------------------

NEEDED = "an undo of churn needs it, until 2026-11-05"


@cases(
    "policy, undos, verdict, reason",
    (RunPolicy(), None, "found", ""),
    (RunPolicy(), "ML Janitor deleted endpoint a on 2026-10-01", "unknown", "an undo may need this"),
    (RunPolicy(needed={}), "ML Janitor deleted endpoint a on 2026-10-01", "found", ""),
    (RunPolicy(needed={ARN.lower(): NEEDED}), None, "kept", NEEDED),
    (RunPolicy(needed_unread="the ledger could not be read"), None, "unknown", "the ledger could not be"),
)
def test_what_an_undo_needs_is_kept(policy: RunPolicy, undos: str | None, verdict: str, reason: str) -> None:
    unused = resource(Absent(), undos=undos)

    expect_verdict(judge_candidate(UnusedServingResources(), unused, NOW, policy), verdict, reason)


# --- what names what --------------------------------------------------------------------------------


def test_names_count_in_any_case_and_by_their_member_only() -> None:
    users = ResourceUsers()
    users.add("endpoint Churn", [(CONFIG_NAME, "Churn")])

    assert users.of((CONFIG_NAME, "churn")) == Value("endpoint Churn")
    assert users.of((MODEL_NAME, "churn")) == Absent()


def test_whatever_could_not_be_read_may_use_what_nothing_else_does() -> None:
    users = ResourceUsers(errors=["ListModels broke off", "DescribePipeline: denied"])
    users.add("model", [(MODEL_NAME, "a")])

    assert users.of((MODEL_NAME, "a")) == Value("model")
    assert users.of((MODEL_NAME, "b")) == Unreadable("ListModels broke off; DescribePipeline: denied")


def test_every_word_of_a_pipeline_is_a_name() -> None:
    description = {"PipelineDefinition": '{"Arguments": {"ModelName": "churn-v2", "Model": "arn:x:model/b"}}'}

    names = {name for _, name in names_in(description, (DEFINITION_MEMBER,))}

    assert {"churn-v2", "b"} <= names
    assert "churn" not in names


@cases(
    "value, members, found",
    ({"ModelName": "a"}, ("ModelName",), ["a"]),
    ({"modelName": "a"}, ("ModelName",), ["a"]),
    ({"Variants": [{"ModelName": "a"}, {"ModelName": "b"}]}, ("ModelName",), ["a", "b"]),
    ({"ModelNames": ["a"], "Name": "b"}, ("ModelName",), []),
    ({"Source": {"S3Uri": "s3://a/b"}}, ARTIFACT_MEMBERS, ["s3://a/b"]),
    ({"A": {"B": "c"}, "D": ["e", 1]}, (), ["c", "e"]),
)
def test_texts_are_found_at_any_depth(value: Any, members: tuple[str, ...], found: list[str]) -> None:
    assert list(texts_in(value, *members)) == found


# --- what is read -----------------------------------------------------------------------------------


def entry(noun: str, name: str, status: str = "InService", **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{noun.lower()}/{name}"
    named = {f"{noun}Name": name, f"{noun}Arn": arn, f"{noun}Status": status}
    return Torn(named | {"CreationTime": OLD, "LastModifiedTime": OLD} | more)


def test_descriptions_name_what_is_used_and_what_cannot_be_described_may_use_anything() -> None:
    configs = {"api": "Blue", "failed": "red"}

    def describe(asked: Mapping[str, Any]) -> Any:
        name = asked["EndpointName"]
        status = "Failed" if name == "failed" else "InService"
        return (
            entry("Endpoint", name, status, EndpointConfigName=configs[name]) if name in configs else DENIED
        )

    listed = {"Endpoints": [entry("Endpoint", name) for name in ("api", "failed", "dark")]}
    account = Script(
        {
            "sagemaker:ListEndpoints": [Torn(listed), DENIED],
            "sagemaker:DescribeEndpoint": describe,
            "sagemaker:Search": DENIED,
        }
    )
    users = ResourceUsers()

    listing = describe_users(account.aws(), ENDPOINT)
    users.described(ENDPOINT, listing)

    assert [target.name for target, _ in listing.items] == ["api", "failed", "dark"]
    assert users.of((CONFIG_NAME, "blue")) == Value("endpoint api")
    denied = "AccessDeniedException: denied"
    assert users.of((CONFIG_NAME, "red")) == Unreadable("; ".join(users.errors))
    assert users.errors == [
        f"sagemaker:ListEndpoints broke off after 3: ListEndpoints: {denied}",
        f"endpoint dark: DescribeEndpoint: {denied}",
    ]


def test_only_approved_packages_and_jobs_in_progress_use_something() -> None:
    packages = [
        {
            "ModelPackageArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/{status}",
            "CreationTime": NOW,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": status,
        }
        for status in ("Approved", "Rejected", "PendingManualApproval")
    ]
    account = Script(
        {
            "sagemaker:ListModelPackageGroups": Torn({"ModelPackageGroupSummaryList": []}),
            "sagemaker:ListModelPackages": Torn({"ModelPackageSummaryList": packages}),
            "sagemaker:DescribeModelPackage": Torn({"CreationTime": NOW}),
            "sagemaker:ListTransformJobs": Torn({"TransformJobSummaries": [entry("TransformJob", "t")]}),
            "sagemaker:DescribeTransformJob": entry("TransformJob", "t", ModelName="churn"),
            "sagemaker:ListPipelines": Torn({"PipelineSummaries": []}),
        }
    )
    users = ResourceUsers()

    for kind in (MODEL_PACKAGE, TRANSFORM_JOB, PIPELINE):
        users.described(kind, describe_users(account.aws(), kind))

    assert users.of((MODEL_NAME, "churn")) == Value("transform job t")
    asked = account.asked("sagemaker:DescribeModelPackage")
    assert [one["ModelPackageName"].rpartition("/")[2] for one in asked] == ["Approved"]
    assert account.asked("sagemaker:ListTransformJobs")[0]["StatusEquals"] == "InProgress"
    assert users.errors == []


def called(age: timedelta, *, agent: str = "", failed: bool = False, **request: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"requestParameters": request, "userAgent": agent}
    return {
        "EventTime": NOW - age,
        "CloudTrailEvent": json.dumps(detail | ({"errorCode": "x"} if failed else {})),
    }


def deployed(since: timedelta = 30 * DAY, **calls: Any) -> tuple[ResourceUsers, dict[str, Any]]:
    asked = dict[str, Any]()

    def answer(query: Mapping[str, Any]) -> Any:
        name = query["LookupAttributes"][0]["AttributeValue"]
        asked[name] = query["EndTime"] - query["StartTime"]
        found = calls.get(name, [])
        return found if found is DENIED else {"Events": [{"EventName": name} | one for one in found]}

    users = ResourceUsers()
    aws = Script({"cloudtrail:LookupEvents": answer}).aws()
    users.deployed(look_up_deployments(aws, NOW - since, NOW))
    return users, asked


def test_what_was_deployed_used_what_its_request_names() -> None:
    users, asked = deployed(
        CreateEndpoint=[
            called(DAY, endpointName="api", endpointConfigName="blue"),
            called(DAY, endpointName="api", endpointConfigName="red", failed=True),
        ],
        UpdateEndpoint=[called(2 * DAY, endpointName="api", endpointConfigName="green")],
        CreateInferenceComponent=[called(3 * DAY, modelName="churn", endpointName="api")],
    )

    assert [users.of((CONFIG_NAME, name)) for name in ("blue", "red", "green")] == [
        Value("CreateEndpoint on 2026-10-05"), Absent(), Value("UpdateEndpoint on 2026-10-04"),
    ]  # fmt: skip
    assert users.of((MODEL_NAME, "churn")) == Value("CreateInferenceComponent on 2026-10-03")
    deployments = ("CreateEndpoint", "UpdateEndpoint", "CreateInferenceComponent")
    assert asked == dict.fromkeys(deployments, 30 * DAY) | {"DeleteEndpoint": 90 * DAY}
    assert set(deployed(200 * DAY)[1].values()) == {90 * DAY}
    assert "LookupEvents" in deployed(UpdateEndpoint=DENIED)[0].errors[0]


@cases(
    "deletion, undos",
    (called(DAY, agent="Boto3 ml-janitor", endpointName="old"), True),
    (called(DAY, agent="Boto3 ml-janitor", endpointName="old", failed=True), False),
    (called(DAY, agent="console", endpointName="old"), False),
    (called(DAY, agent="Boto3 ml-janitor", endpointName="api"), False),
)
def test_an_endpoint_that_the_janitor_deleted_may_need_anything(deletion: Any, undos: bool) -> None:  # noqa: FBT001
    """But one whose deployment CloudTrail remembers, with its configuration."""
    known = called(2 * DAY, endpointName="api", endpointConfigName="blue")

    users, _ = deployed(CreateEndpoint=[known], DeleteEndpoint=[deletion])

    assert users.undos == ("ML Janitor deleted endpoint old on 2026-10-05" if undos else None)


def record(name: str, *endpoints: dict[str, Any], **job: Any) -> dict[str, Any]:
    last = {"LastBatchTransformJob": {"TransformJobName": "t", "CreationTime": OLD} | job} if job else {}
    return {"Model": {"ModelName": name}, "Endpoints": endpoints} | last


def test_search_names_endpoints_and_the_last_transform_job() -> None:
    since = NOW - 30 * DAY
    users = ResourceUsers()
    failed = {"EndpointName": "failed", "EndpointStatus": "Failed"}
    records = (
        record("served", {"EndpointName": "api", "EndpointStatus": "InService"}),
        record("failed", failed),
        record("ended", TransformEndTime=since + SECOND),
        record("long ago", TransformEndTime=since),
        record("runs", CreationTime=since + SECOND),
    )

    found = users.searched(Listing(records, "Search broke off"), since)

    used = {name: users.of((MODEL_NAME, name)) for name in found}
    assert {name: one.value for name, one in used.items() if isinstance(one, Value)} == {
        "served": "endpoint api",
        "ended": "transform job t of 2026-09-06",
        "runs": "transform job t of 2026-09-06",
    }
    assert users.errors == ["Search broke off"]
    assert (list(found), found["served"]) == ([one["Model"]["ModelName"] for one in records], records[0])


def test_an_endpoint_whose_configuration_is_gone_may_serve_any_model() -> None:
    def endpoint(name: str, config: str, status: str = "InService") -> Any:
        return target_at("model/Churn", name=name), Value(
            {"EndpointConfigName": config, "EndpointStatus": status}
        )

    users = ResourceUsers()
    users.searched(Listing((record("churn", {"EndpointName": "known"}),)), NOW)
    unread = (endpoint("unread", "x")[0], Unreadable("denied"))
    here, lost = endpoint("here", "there"), endpoint("lost", "gone")
    failed, known = endpoint("failed", "gone", "Failed"), endpoint("known", "gone")

    users.check_configurations(Listing((here, lost, failed, known, unread)), ["there"])

    assert users.errors == ["endpoint lost serves what its deleted configuration gone named"]


def test_what_a_model_loads_counts_as_its_name() -> None:
    users = ResourceUsers()
    users.add("model package a", [("S3Uri", "s3://data/A/")])

    assert users.of((MODEL_NAME, "b"), loads=["s3://data/a"]) == Value("model package a")
    assert users.of((MODEL_NAME, "b"), loads=["s3://data/b"]) == Absent()
