"""What a book of tags knows of a resource that is in it, and of one that is not."""

from __future__ import annotations

from typing import Any

from ml_janitor.aws.tags import TagBook, by_arn
from ml_janitor.core.signals import Unreadable, Value

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/churn"
SOURCE = "tag:GetResources"


def test_a_resource_in_the_book_has_its_tags_in_any_case_of_its_arn() -> None:
    book = TagBook({ARN: {"keep": "true"}})

    assert book.of(ARN) == book.of(ARN.replace("churn", "Churn")) == Value({"keep": "true"}, SOURCE)


def test_a_resource_that_is_not_in_a_complete_book_has_none() -> None:
    assert TagBook({}).of(ARN) == Value({}, SOURCE)


def test_a_resource_that_is_not_in_a_broken_off_book_may_have_any() -> None:
    book = TagBook({ARN: {}}, "GetResources broke off")

    assert book.of(ARN) == Value({}, SOURCE)
    assert book.of(f"{ARN}-2") == Unreadable("GetResources broke off", SOURCE)


def test_tags_of_one_resource_split_over_two_pages_are_all_its_tags() -> None:
    keep, team = {"Key": "keep", "Value": "true"}, {"Key": "team", "Value": "fraud"}
    other = {"ResourceARN": f"{ARN}-2", "Tags": [team]}
    pages: Any = [
        {"ResourceARN": ARN, "Tags": [keep]},
        other,
        {"ResourceARN": ARN.replace("churn", "Churn"), "Tags": [team]},
        {"ResourceARN": ARN, "Tags": []},
    ]

    assert by_arn(pages) == {ARN: {"keep": "true", "team": "fraud"}, f"{ARN}-2": {"team": "fraud"}}


def test_a_log_group_is_the_same_with_and_without_its_streams() -> None:
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs"
    entries: Any = [{"ResourceARN": f"{arn}:*", "Tags": [{"Key": "keep", "Value": "true"}]}]

    assert TagBook(by_arn(entries)).of(arn) == Value({"keep": "true"}, SOURCE)
