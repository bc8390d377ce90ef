"""Images of ECR: what is listed, what they are made of, and what of SageMaker names one."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from conftest import DAY, NOW
from ml_janitor.aws import images
from ml_janitor.aws.calls import ReadError
from scripted import DENIED, Script

DENIAL = "AccessDeniedException: denied"


def test_images_are_on_all_pages_with_when_they_were_used() -> None:
    bare = {"imageDigest": "a", "imagePushedAt": NOW - 9 * DAY}
    whole = bare | {
        "imageDigest": "b",
        "imageTags": ["latest", "1"],
        "lastRecordedPullTime": NOW - DAY,
        "imageStatus": "ARCHIVED",
        "subjectManifestDigest": "a",
    }
    account = Script({"ecr:DescribeImages": [{"imageDetails": [bare]}, {"imageDetails": [whole]}]})

    one, two = images.list_images(account.aws(), "churn").items

    assert one == images.EcrImage(
        digest="a", tags=(), pushed=NOW - 9 * DAY, pulled=None, archived=False, subject=None
    )
    assert (two.tags, two.archived, two.subject) == (("latest", "1"), True, "a")
    assert (one.used, two.used, replace(two, pushed=NOW).used) == (NOW - 9 * DAY, NOW - DAY, NOW)
    assert account.asked("ecr:DescribeImages")[0] == {"repositoryName": "churn", "maxResults": 1000}


def test_repositories_are_on_all_pages() -> None:
    pages = [{"repositories": [{"repositoryName": name}]} for name in ("aa", "bb")]
    account = Script({"ecr:DescribeRepositories": [*pages, DENIED]})

    found = images.list_repositories(account.aws(), lambda entry: entry["repositoryName"])

    assert found.items == ("aa", "bb")
    assert found.error == f"ecr:DescribeRepositories broke off after 2: DescribeRepositories: {DENIAL}"


def answered(*missing: str) -> Any:
    def answer(asked: Mapping[str, Any]) -> Any:
        digests = [one["imageDigest"] for one in asked["imageIds"] if one["imageDigest"] not in missing]
        layers = {"layers": [{"digest": "l", "size": 7}], "config": {"digest": "c", "size": 1}}
        index = {"manifests": [{"digest": "x"}, {"digest": "y"}]}
        bodies = {digest: json.dumps(index if digest == "index" else layers) for digest in digests}
        found = [{"imageId": {"imageDigest": one}, "imageManifest": body} for one, body in bodies.items()]
        return {"images": found}

    return answer


def test_manifests_are_read_a_hundred_to_a_call() -> None:
    account = Script({"ecr:BatchGetImage": answered()})
    digests = ["index", *(str(number) for number in range(100))]

    found = images.read_image_manifests(account.aws(), "churn", digests)

    assert list(found) == digests
    assert found["index"] == images.ImageManifest({}, ("x", "y"))
    assert found["0"] == images.ImageManifest({"l": 7, "c": 1}, ())
    asked = account.asked("ecr:BatchGetImage")
    assert [len(one["imageIds"]) for one in asked] == [100, 1]
    assert {one["repositoryName"] for one in asked} == {"churn"}


def test_an_image_that_is_not_answered_is_an_error() -> None:
    account = Script({"ecr:BatchGetImage": answered("b", "c")})

    with pytest.raises(ReadError, match="ecr:BatchGetImage left out 2 images of churn"):
        images.read_image_manifests(account.aws(), "churn", "abc")
