"""SageMaker's kinds of resources: how AWS spells each, and what a description that lacks something means."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws import sagemaker_kinds
from ml_janitor.aws.descriptions import describe_all
from ml_janitor.aws.sagemaker_kinds import (
    APP,
    COMPILATION_JOB,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL_PACKAGE,
    PROCESSING_JOB,
    SPACE,
    TAGGED_KINDS,
    SageMakerKind,
    describe_resource,
    is_gone_error,
    list_model_packages,
    list_running_jobs,
    search_records,
)
from ml_janitor.core.model import Absent, Unreadable, Value
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
OTHERWISE = {"app", "domain", "monitoring-execution"}
"""Kinds that are listed without a name or an ARN of their own, or described by an id."""

EVERY = [one for one in vars(sagemaker_kinds).values() if isinstance(one, SageMakerKind)] + [
    *sagemaker_kinds.JOB_DEFINITIONS
]
DENIAL = "AccessDeniedException: denied"


@pytest.mark.parametrize(
    "kind", [kind for kind in EVERY if kind.type not in OTHERWISE], ids=lambda kind: kind.type
)
def test_aws_has_what_each_kind_is_listed_and_described_with(kind: SageMakerKind) -> None:
    model: Any = boto3.Session(region_name=REGION).client("sagemaker").meta.service_model
    answer = model.operation_model(kind.lists.partition(":")[2]).output_shape
    entry = answer.members[kind.members].member.members

    assert (kind.name or f"{kind.noun}Name") in entry
    assert kind.path or (kind.arn or f"{kind.noun}Arn") in entry
    assert set(kind.path) <= set(entry)
    if kind.describes.partition(":")[2] in model.operation_names:
        request = model.operation_model(kind.describes.partition(":")[2]).input_shape
        assert kind.named in request.members


def test_the_words_of_a_kind() -> None:
    assert (ENDPOINT_CONFIG.words, PROCESSING_JOB.words) == ("endpoint configuration", "processing job")
    assert [one.job for one in (PROCESSING_JOB, ENDPOINT)] == [True, False]
    assert (COMPILATION_JOB.running, PROCESSING_JOB.running) == ("INPROGRESS", "InProgress")
    assert (PROCESSING_JOB.status, PROCESSING_JOB.every) == ("ProcessingJobStatus", "processing-job/*")
    by_id = {"domain", "cluster", "pipeline", "space", "user-profile"}
    assert {kind.type for kind in EVERY if not kind.named_in_arn} == by_id
    untagged = {"app", "inference-experiment", "model-package", "inference-recommendations-job"}
    assert untagged.isdisjoint(kind.type for kind in TAGGED_KINDS)


def test_a_listing_without_arns_makes_them() -> None:
    entry = {"DomainId": "d-1", "SpaceName": "desk", "CreationTime": NOW}
    aws = Script({}).aws()

    target = SPACE.target(aws, entry)

    assert (target.arn, target.name, target.kind) == (f"{ARN}:space/d-1/desk", "desk", "space")
    assert (target.created, target.account, target.region) == (NOW, ACCOUNT, REGION)
    for missing in entry:
        with pytest.raises(KeyError, match=missing):
            SPACE.target(aws, {key: value for key, value in entry.items() if key != missing})


def listed(name: str, **more: Any) -> dict[str, Any]:
    return Torn({"EndpointName": name, "EndpointArn": f"{ARN}:endpoint/{name}", "CreationTime": NOW} | more)


@cases(
    "answer, expected",
    (listed("a"), Value(dict(listed("a")), ENDPOINT.describes)),
    (Torn({"EndpointName": "a"}), Value({"EndpointName": "a"}, ENDPOINT.describes)),
    (Torn({}), Unreadable("endpoint a: the answer was cut off", ENDPOINT.describes)),
    (DENIED, Unreadable(f"endpoint a: DescribeEndpoint: {DENIAL}", ENDPOINT.describes)),
    (Refusal("ResourceNotFound"), Absent(ENDPOINT.describes)),
    (Refusal("ValidationException", 'Could not find endpoint "a".'), Absent(ENDPOINT.describes)),
)
def test_what_a_description_means(answer: Any, expected: Any) -> None:
    assert describe_resource(Script({ENDPOINT.describes: answer}).aws(), ENDPOINT, "a") == expected


def test_a_validation_that_fails_otherwise_does_not_say_that_it_is_gone() -> None:
    for code, message, found in (
        ("ValidationException", "1 validation error", False),
        ("ValidationException", "COULD NOT FIND it", True),
        ("ResourceNotFound", "", True),
        ("AccessDenied", "could not find", False),
    ):
        assert (
            is_gone_error(ClientError({"Error": {"Code": code, "Message": message}}, "DescribeModel"))
            is found
        )
    assert not is_gone_error(ValueError("could not find"))


def test_a_fault_of_ours_is_raised() -> None:
    with pytest.raises(AssertionError):
        describe_resource(Script({}).aws(), ENDPOINT, "a")


def test_every_page_is_described_and_what_broke_off_is_said() -> None:
    pages = [Torn({"Endpoints": [listed("a")]}), Torn({"Endpoints": [listed("b")]}), DENIED]
    describe: dict[str, Any] = {
        ENDPOINT.describes: lambda asked: listed(asked["EndpointName"]),
        "sagemaker:Search": DENIED,
    }
    account = Script({ENDPOINT.lists: pages, **describe})

    found = describe_all(account.aws(), ENDPOINT, StatusEquals="InService")

    names = {target.name: getattr(answer, "value", None) for target, answer in found.items}
    assert names == {name: dict(listed(name)) for name in "ab"}
    assert found.error == f"{ENDPOINT.lists} broke off after 2: ListEndpoints: {DENIAL}"
    assert account.asked(ENDPOINT.lists)[0] == {"StatusEquals": "InService", "MaxResults": 100}


def test_jobs_in_progress_are_looked_for_a_month_back() -> None:
    account = Script({PROCESSING_JOB.lists: Torn({"ProcessingJobSummaries": []})})

    list_running_jobs(account.aws(), PROCESSING_JOB, lambda entry: entry, NOW)

    assert account.asked(PROCESSING_JOB.lists) == [
        {
            "StatusEquals": "InProgress",
            "CreationTimeAfter": NOW - timedelta(days=31),
            "SortBy": "CreationTime",
            "SortOrder": "Ascending",
            "MaxResults": 100,
        }
    ]


def package(name: str) -> dict[str, Any]:
    return {"ModelPackageArn": f"{ARN}:model-package/{name}", "CreationTime": NOW}


def groups(*names: str) -> dict[str, Any]:
    arn = f"{ARN}:model-package-group"
    found = [
        {"ModelPackageGroupName": one, "ModelPackageGroupArn": f"{arn}/{one}", "CreationTime": NOW}
        for one in names
    ]
    return Torn({"ModelPackageGroupSummaryList": found})


def test_packages_are_those_of_each_group_and_of_none() -> None:
    def packages(asked: Mapping[str, Any]) -> Any:
        group = asked.get("ModelPackageGroupName", "")
        if group == "dark":
            return DENIED
        found = [package(f"{group}/1"), package(f"{group}/2")] if group else [package("alone")]
        return Torn({"ModelPackageSummaryList": [*found, package("alone")]})

    account = Script(
        {"sagemaker:ListModelPackageGroups": groups("one", "dark"), MODEL_PACKAGE.lists: packages}
    )

    found = list_model_packages(account.aws())

    names = [listed.target.arn.rpartition("model-package/")[2] for listed in found.items]
    assert names == ["alone", "one/1", "one/2"]
    assert found.error == f"sagemaker:ListModelPackages broke off after 0: ListModelPackages: {DENIAL}"
    refused = Script(account.answers | {"sagemaker:ListModelPackageGroups": DENIED}).aws()
    assert "ListModelPackageGroups" in (list_model_packages(refused).error or "")


def test_search_reads_every_record_of_its_kind() -> None:
    pages = [Torn({"Results": [{"Model": {"Model": name}}]}) for name in "ab"]
    account = Script({"sagemaker:Search": [*pages, DENIED]})

    found = search_records(account.aws(), "Model", lambda one: str(one["Model"]), SortBy="CreationTime")

    assert (found.items, found.error) == (
        ("a", "b"), f"sagemaker:Search of Model broke off after 2: Search: {DENIAL}",
    )  # fmt: skip
    assert account.asked("sagemaker:Search")[0] == {
        "Resource": "Model", "SortBy": "CreationTime", "MaxResults": 100,
    }  # fmt: skip


def test_the_client_has_the_calls_of_a_kind() -> None:
    assert ENDPOINT.call(Script({}).aws(), "Describe").__name__ == xform_name("DescribeEndpoint")
    assert APP.describes == "sagemaker:DescribeApp"
