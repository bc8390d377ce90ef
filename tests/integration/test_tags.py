"""Tags over HTTP: all pages, untagged and no longer tagged resources, and what faults make of them."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import read_bucket_tags, read_tag_book
from ml_janitor.core.model import Unreadable, Value
from ml_janitor_sandbox.control import Control

KIND = "sagemaker:model"


def arn(name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/{name}"


@pytest.fixture
def sagemaker(aws: Aws) -> Any:
    return aws.armed().sagemaker


def model(sagemaker: Any, name: str, **tags: str) -> str:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    answer: dict[str, str] = sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/ml", Tags=listed
    )
    return answer["ModelArn"]


def test_every_page_is_read_a_hundred_at_a_time(sagemaker: Any, box: Control, aws: Aws) -> None:
    for number in range(230):
        model(sagemaker, f"m{number}", owner=f"o{number}")

    book = read_tag_book(aws, KIND)

    assert box.calls()["tag:GetResources"] == 3
    assert [book.of(arn(f"m{n}")) for n in range(230)] == [
        Value({"owner": f"o{n}"}, "tag:GetResources") for n in range(230)
    ]


def test_half_a_book_says_nothing_of_the_other_half(sagemaker: Any, box: Control, aws: Aws) -> None:
    for number in range(120):
        model(sagemaker, f"m{number:03}", owner="maria")
    box.fault("tag", "GetResources", "break-page", skip=1, times=0)

    book = read_tag_book(aws, KIND)

    signals = [book.of(arn(f"m{number:03}")) for number in range(120)]
    assert sum(isinstance(signal, Value) for signal in signals) == 100
    assert sum(isinstance(signal, Unreadable) for signal in signals) == 20
    assert all(signal.value for signal in signals if isinstance(signal, Value))


def test_a_bucket_without_tags_has_none(box: Control, aws: Aws) -> None:
    s3 = aws.armed().s3
    s3.create_bucket(Bucket="plain")
    s3.create_bucket(Bucket="tagged")
    s3.put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": [{"Key": "keep", "Value": "true"}]})

    assert read_bucket_tags(aws, "plain") == Value({}, "s3:GetBucketTagging")
    assert read_bucket_tags(aws, "tagged") == Value({"keep": "true"}, "s3:GetBucketTagging")
    box.fault("s3", "GetBucketTagging", "deny", times=0)
    assert isinstance(read_bucket_tags(aws, "plain"), Unreadable)
