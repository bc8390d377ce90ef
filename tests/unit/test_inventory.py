"""What a listing says of a resource, and which jobs are too old to be judged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.aws.sagemaker_kinds import SageMakerKind, texts_in
from ml_janitor.detectors.untagged_resources.reading import (
    JUDGED_KINDS,
    TaggableResource,
    join_unique,
    listed_resource,
    listing_queries,
    resource_by_arn,
    used_location,
)
from tables import cases

SINCE = datetime(2026, 9, 29, 3, tzinfo=UTC)
ROOT = "arn:aws:sagemaker:us-east-1:123456789012"


def kind(type_: str) -> SageMakerKind:
    return next(kind for kind in JUDGED_KINDS if kind.type == type_)


@pytest.fixture
def nowhere() -> Aws:
    """An account that nothing is read from."""
    session = boto3.Session(region_name="us-east-1")
    prices = Prices(lambda: session.client("pricing"))
    return Aws(session, region="us-east-1", account="123456789012", prices=prices, pool=ThreadPoolExecutor(1))


def job(status: str, created: datetime) -> dict[str, Any]:
    return {
        "TransformJobName": "score",
        "TransformJobArn": f"{ROOT}:transform-job/score",
        "TransformJobStatus": status,
        "CreationTime": created,
    }


def test_each_kind_has_its_own_word_for_what_runs(nowhere: Aws) -> None:
    name = {"CompilationJobName": "c", "CompilationJobArn": f"{ROOT}:compilation-job/c"}
    old = name | {"CreationTime": SINCE - timedelta(days=90)}
    ended = listed_resource(
        nowhere, kind("compilation-job"), old | {"CompilationJobStatus": "COMPLETED"}, SINCE
    )
    running = listed_resource(
        nowhere, kind("compilation-job"), old | {"CompilationJobStatus": "INPROGRESS"}, SINCE
    )

    assert ended.outside is not None
    assert running.outside is None
    assert listing_queries(kind("compilation-job"), SINCE)[0] == {"StatusEquals": "INPROGRESS"}


def test_a_definition_has_the_name_of_its_entry_and_that_of_its_request(nowhere: Aws) -> None:
    arn = f"{ROOT}:model-bias-job-definition/drift"
    listed = {
        "MonitoringJobDefinitionName": "Drift",
        "MonitoringJobDefinitionArn": arn,
        "CreationTime": SINCE,
    }
    found = listed_resource(nowhere, kind("model-bias-job-definition"), listed, SINCE)

    assert (found.name, found.arn, found.kind.named) == ("Drift", arn, "JobDefinitionName")


def test_a_user_profile_is_told_by_its_domain(nowhere: Aws) -> None:
    listed = {"DomainId": "d-1", "UserProfileName": "anna", "CreationTime": SINCE}

    assert (
        listed_resource(nowhere, kind("user-profile"), listed, SINCE).arn == f"{ROOT}:user-profile/d-1/anna"
    )


@cases(
    "status, created, outside",
    ("InProgress", SINCE - timedelta(days=90), None),
    ("Completed", SINCE, None),
    ("Completed", SINCE - timedelta(seconds=1), "it is not in progress, and was created before 2026-09-29"),
    ("Failed", SINCE - timedelta(days=90), "it is not in progress, and was created before 2026-09-29"),
)
def test_a_recent_job_counts(nowhere: Aws, status: str, created: datetime, outside: str | None) -> None:
    assert listed_resource(nowhere, kind("transform-job"), job(status, created), SINCE).outside == outside


def test_anything_but_a_job_counts_at_any_age(nowhere: Aws) -> None:
    entry = {"ModelName": "m", "ModelArn": f"{ROOT}:model/m", "CreationTime": SINCE - timedelta(days=900)}

    assert listed_resource(nowhere, kind("model"), entry, SINCE).outside is None


def test_a_space_is_listed_without_its_arn(nowhere: Aws) -> None:
    entry = {"DomainId": "d-1", "SpaceName": "anna", "CreationTime": SINCE}

    assert listed_resource(nowhere, kind("space"), entry, SINCE).arn == f"{ROOT}:space/d-1/anna"


def test_an_entry_without_a_name_fails_the_read(nowhere: Aws) -> None:
    with pytest.raises(KeyError):
        listed_resource(nowhere, kind("model"), {"ModelArn": f"{ROOT}:model/m"}, SINCE)


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
