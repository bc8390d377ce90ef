"""What a book of tags knows of a resource that is in it, and of one that is not."""

from collections.abc import Mapping
from typing import Any

import pytest

from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.aws.tags import (
    TYPES_TOGETHER,
    TagBook,
    read_exact_tags,
    read_sagemaker_tags,
    read_tag_book,
    read_tags_of,
    settable_tags,
    tags_argument,
    tags_by_arn,
)
from ml_janitor.core.model import Unreadable, Value
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/churn"
SOURCE = "tag:GetResources"


@cases(
    "book, arn, expected",
    (TagBook({ARN: {"keep": "true"}}), ARN, Value({"keep": "true"}, SOURCE)),
    (TagBook({ARN: {"keep": "true"}}), ARN.replace("churn", "Churn"), Value({"keep": "true"}, SOURCE)),
    (TagBook({}), ARN, Value({}, SOURCE)),  # what a complete book does not name has none
    (TagBook({ARN: {}}, "GetResources broke off"), ARN, Value({}, SOURCE)),
    (TagBook({ARN: {}}, "GetResources broke off"), f"{ARN}-2", Unreadable("GetResources broke off", SOURCE)),
)
def test_a_book_knows_the_tags_of_what_it_names(book: TagBook, arn: str, expected: Any) -> None:
    assert book.of(arn) == expected


def test_tags_of_one_resource_split_over_two_pages_are_all_its_tags() -> None:
    keep, team = {"Key": "keep", "Value": "true"}, {"Key": "team", "Value": "fraud"}
    other = {"ResourceARN": f"{ARN}-2", "Tags": [team]}
    pages: Any = [
        {"ResourceARN": ARN, "Tags": [keep]},
        other,
        {"ResourceARN": ARN.replace("churn", "Churn"), "Tags": [team]},
        {"ResourceARN": ARN, "Tags": []},
    ]

    assert tags_by_arn(pages) == {ARN: {"keep": "true", "team": "fraud"}, f"{ARN}-2": {"team": "fraud"}}


def test_a_log_group_is_the_same_with_and_without_its_streams() -> None:
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs"
    entries: Any = [{"ResourceARN": f"{arn}:*", "Tags": [{"Key": "keep", "Value": "true"}]}]

    assert TagBook(tags_by_arn(entries)).of(arn) == Value({"keep": "true"}, SOURCE)


BULK = "resourcegroupstaggingapi:GetResources"
TEAM = {"Key": "team", "Value": "fraud"}
DENIAL = "AccessDeniedException: denied"


def tagged(arn: str) -> dict[str, Any]:
    return {"ResourceARN": arn, "Tags": [TEAM]}


def test_a_book_is_read_from_all_pages_of_its_types() -> None:
    account = Script({BULK: [{"ResourceTagMappingList": [tagged(f"{ARN}-{n}")]} for n in range(3)]})

    book = read_tag_book(account.aws(), "sagemaker:endpoint", "sagemaker:model")

    assert [book.of(f"{ARN}-{n}") for n in range(4)] == [Value({"team": "fraud"}, SOURCE)] * 3 + [
        Value({}, SOURCE)
    ]
    first = account.asked(BULK)[0]
    assert first["ResourceTypeFilters"] == ["sagemaker:endpoint", "sagemaker:model"]
    assert first["ResourcesPerPage"] == 100


def test_a_book_that_broke_off_says_so_of_what_it_lacks() -> None:
    book = read_tag_book(Script({BULK: [{"ResourceTagMappingList": [tagged(ARN)]}, DENIED]}).aws(), "s3")

    assert book.of(ARN) == Value({"team": "fraud"}, SOURCE)
    assert book.of(f"{ARN}-2") == Unreadable(f"{SOURCE} broke off after 1: GetResources: {DENIAL}", SOURCE)


def test_the_tags_of_many_are_read_fifty_to_a_call_and_one_call_may_fail() -> None:
    arns = [f"{ARN}-{n}" for n in range(101)]

    def answer(asked: Mapping[str, Any]) -> Any:
        some = asked["ResourceARNList"]
        return DENIED if arns[50] in some else {"ResourceTagMappingList": [tagged(one) for one in some[1:]]}

    account = Script({BULK: answer})
    book = read_tags_of(account.aws(), arns)

    assert [len(asked["ResourceARNList"]) for asked in account.asked(BULK)] == [50, 50, 1]
    assert book.of(arns[49]) == Value({"team": "fraud"}, SOURCE)
    assert book.of(arns[50]) == Unreadable(f"GetResources: {DENIAL}", SOURCE)
    assert read_tags_of(Script({BULK: {"ResourceTagMappingList": []}}).aws(), arns[:1]).of(arns[0]) == Value(
        {}, SOURCE
    )


BUCKET, REPOSITORY, GROUP = (
    "arn:aws:s3:::models",
    "arn:aws:ecr:us-east-1:123456789012:repository/churn",
    "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/x",
)
LISTS = "ListTagsForResource"
ONE_BY_ONE: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    ARN: ("sagemaker:ListTags", {"ResourceArn": ARN}, {"Tags": [TEAM]}),
    BUCKET: ("s3:GetBucketTagging", {"Bucket": "models"}, {"TagSet": [TEAM]}),
    REPOSITORY: (f"ecr:{LISTS}", {"resourceArn": REPOSITORY}, {"tags": [TEAM]}),
    GROUP: (f"logs:{LISTS}", {"resourceArn": GROUP}, {"tags": {"team": "fraud"}}),
}


@pytest.mark.parametrize("arn", ONE_BY_ONE)
def test_tags_are_read_exactly_by_the_service_that_has_the_resource(arn: str) -> None:
    operation, request, answer = ONE_BY_ONE[arn]
    account = Script({operation: answer})

    assert read_exact_tags(account.aws(), arn) == Value({"team": "fraud"}, operation)
    assert account.asked(operation) == [request]
    called = operation.partition(":")[2]
    assert read_exact_tags(Script({operation: DENIED}).aws(), arn) == Unreadable(
        f"{called}: {DENIAL}", operation
    )
    assert isinstance(read_exact_tags(Script({operation: Torn({})}).aws(), arn), Unreadable)


def test_a_bucket_without_tags_is_refused_and_has_none() -> None:
    account = Script({"s3:GetBucketTagging": Refusal("NoSuchTagSet")})

    assert read_exact_tags(account.aws(), BUCKET) == Value({}, "s3:GetBucketTagging")


def test_the_tags_of_one_resource_are_on_all_pages() -> None:
    account = Script({"sagemaker:ListTags": [{"Tags": [TEAM]}, {"Tags": [{"Key": "a", "Value": "b"}]}]})

    assert read_sagemaker_tags(account.aws(), ARN) == Value({"team": "fraud", "a": "b"}, "sagemaker:ListTags")


def test_what_aws_sets_itself_is_given_to_nobody() -> None:
    assert settable_tags({"aws:x": "1", "AWS:y": "2", "awsome": "3"}) == {"awsome": "3"}
    assert tags_argument({"a": "b"}) == {"Tags": [{"Key": "a", "Value": "b"}]}
    assert tags_argument({}) == {}


def test_a_run_with_shared_answers_asks_for_types_together_and_for_others_by_arn() -> None:
    def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
        found = asked.get("ResourceARNList") or [ARN.replace("endpoint", "space/d-1")]
        return {"ResourceTagMappingList": [tagged(arn) for arn in found]}

    aws = (account := Script({BULK: answer})).aws(shared=SharedAnswers())
    space, job = ARN.replace("endpoint", "space/d-1"), ARN.replace("endpoint", "training-job")

    assert read_tag_book(aws, "sagemaker:space", "sagemaker:user-profile").of(space) == Value(
        {"team": "fraud"}, SOURCE
    )
    for arns in ([space, job], [space], [job, ARN.replace("endpoint", "app/d-1")]):
        book = read_tags_of(aws, arns)
        assert all(isinstance(book.of(arn), Value) for arn in arns)

    requests = [asked.get("ResourceTypeFilters") or asked["ResourceARNList"] for asked in account.asked(BULK)]
    together = sorted(next(types for types in TYPES_TOGETHER if "sagemaker:space" in types))
    assert [asked for asked in requests if asked != [job]] == [together] * 4
    assert read_tags_of(aws.unshared(), [space]).known.keys() == {space}
    assert account.asked(BULK)[-1] == {"ResourceARNList": [space]}


def test_a_run_with_shared_answers_says_that_types_could_not_be_read() -> None:
    def answer(asked: Mapping[str, Any]) -> Any:
        return DENIED if "ResourceTypeFilters" in asked else {"ResourceTagMappingList": [tagged(job)]}

    space, job = ARN.replace("endpoint", "space/d-1"), ARN.replace("endpoint", "training-job")

    book = read_tags_of(Script({BULK: answer}).aws(shared=SharedAnswers()), [space, job])

    assert book.of(job) == Value({"team": "fraud"}, SOURCE)
    assert book.of(space) == Unreadable(f"{SOURCE} broke off after 0: GetResources: {DENIAL}", SOURCE)


def test_a_run_with_shared_answers_asks_for_a_type_of_no_other_detector_alone() -> None:
    account = Script({BULK: {"ResourceTagMappingList": []}})

    read_tag_book(account.aws(shared=SharedAnswers()), "sagemaker:pipeline", "sagemaker:endpoint")

    filters = [asked["ResourceTypeFilters"] for asked in account.asked(BULK)]
    assert filters == [["sagemaker:endpoint"], ["sagemaker:pipeline"]]
