"""Search over what the sandbox holds: records with tags, expressions, pages, and loud refusals."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from corrected import Control
from moto_corrections.clock import DEFAULT
from plain_requests import ROLE, refusal, transform

type Start = Callable[..., str]


@pytest.fixture
def jobs(control: Control, training: Start) -> None:
    """Three training jobs of different days, of which one still runs."""
    for days, name in enumerate(["today", "yesterday", "before"]):
        control.set_clock(DEFAULT - timedelta(days=days))
        training(name, Tags=[{"Key": "team", "Value": f"t{days}"}], EnableManagedSpotTraining=days == 1)
        if days:
            control.patch("sagemaker", ["training_jobs", name], status="Completed")
    control.set_clock(DEFAULT)


def names(
    sagemaker: Any, *filters: tuple[str, str, str | None], operator: str = "And", **more: Any
) -> set[str]:
    expression: dict[str, Any] = {"Operator": operator, "Filters": [spelled(*one) for one in filters]}
    found = sagemaker.search(Resource="TrainingJob", SearchExpression=expression | more)
    return {one["TrainingJob"]["TrainingJobName"] for one in found["Results"]}


def spelled(name: str, how: str, value: str | None) -> dict[str, str]:
    return {"Name": name, "Operator": how} | ({} if value is None else {"Value": value})


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("TrainingJobStatus", "Equals", "InProgress"), {"today"}),
        (("TrainingJobName", "In", "today, before"), {"today", "before"}),
        (("TrainingJobName", "Contains", "day"), {"today", "yesterday"}),
        (("CreationTime", "GreaterThanOrEqualTo", "2026-10-05T03:00:00"), {"today", "yesterday"}),
        (("CreationTime", "GreaterThan", "2026-10-05T03:00:00Z"), {"today"}),
        (("CreationTime", "LessThan", "2026-10-05T03:00:00Z"), {"before"}),
        (("CreationTime", "LessThanOrEqualTo", "2026-10-05T03:00:00Z"), {"yesterday", "before"}),
        (("ResourceConfig.InstanceCount", "GreaterThan", "3.5"), {"today", "yesterday", "before"}),
        (("ResourceConfig.InstanceType", "Equals", "ml.p3.2xlarge"), set()),
        (("EnableManagedSpotTraining", "Equals", "true"), {"yesterday"}),
        (("Tags.team", "Equals", "t2"), {"before"}),
        (("Tags.team", "Exists", None), {"today", "yesterday", "before"}),
        (("Tags.owner", "Exists", None), set()),
        (("FailureReason", "NotExists", None), {"today", "yesterday", "before"}),
    ],
)
def test_filters(sagemaker: Any, asked: tuple[str, str, str | None], found: set[str]) -> None:
    assert names(sagemaker, asked) == found


@pytest.mark.usefixtures("jobs")
def test_filters_are_joined_by_the_operator_and_nested_in_subexpressions(sagemaker: Any) -> None:
    running = ("TrainingJobStatus", "Equals", "InProgress")
    old = ("Tags.team", "Equals", "t2")

    assert names(sagemaker, running, old) == set()
    assert names(sagemaker, running, old, operator="Or") == {"today", "before"}
    within = [{"Operator": "Or", "Filters": [spelled(*running), spelled(*old)]}]
    assert names(sagemaker, ("Tags.team", "Equals", "t0"), SubExpressions=within) == {"today"}


def by(*one: Any) -> dict[str, Any]:
    return {"SearchExpression": {"Filters": [spelled(*one)]}}


NESTED = {
    "NestedPropertyName": "InputDataConfig",
    "Filters": [spelled("InputDataConfig.ChannelName", "Equals", "train")],
}


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"Resource": "Pipeline"}, "searching Pipeline"),
        ({"Resource": "TrainingJob", "SortBy": "TrainingJobName"}, "sorting by"),
        (by("TrainingJobName", "NotEquals", "a"), "operator NotEquals"),
        (by("TrainingJobNam", "Equals", "a"), "Unknown property"),
        (by("ResourceConfig", "Equals", "a"), "comparing ResourceConfig"),
        (by("CreationTime", "LessThan", "soon"), "is no time"),
        (by("CreationTime", "LessThan", None), "has no value"),
        ({"SearchExpression": {"NestedFilters": [NESTED]}}, "NestedFilters"),
    ],
)
def test_what_is_not_emulated_is_refused(sagemaker: Any, asked: dict[str, Any], says: str) -> None:
    assert says in refusal(sagemaker.search, **{"Resource": "TrainingJob"} | asked)


def test_records_hold_everything_and_their_tags(sagemaker: Any, endpoint: Callable[..., str]) -> None:
    container = {"Image": "image", "ModelDataUrl": "s3://models/m.tar.gz"}
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container, Tags=[{"Key": "a", "Value": "b"}]
    )
    arn = endpoint("e")

    (model,) = sagemaker.search(Resource="Model", **by("ModelName", "Equals", "m"))["Results"]
    (found,) = sagemaker.search(Resource="Endpoint")["Results"]

    assert model["Model"]["Model"]["PrimaryContainer"] == container
    assert model["Model"]["Model"]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert found["Endpoint"]["EndpointArn"] == arn
    assert found["Endpoint"]["Tags"] == []


def test_a_model_names_its_endpoints(sagemaker: Any, control: Control, endpoint: Callable[..., str]) -> None:
    sagemaker.create_model(ModelName="unused", ExecutionRoleArn=ROLE)
    endpoint("served")
    for number, name in enumerate(("first", "last")):
        control.set_clock(DEFAULT + timedelta(hours=number))
        transform(sagemaker, name, "unused")

    found = {one["Model"]["Model"]["ModelName"]: one["Model"] for one in models(sagemaker)}

    assert found["unused"]["Endpoints"] == []
    assert found["unused"]["LastBatchTransformJob"]["TransformJobName"] == "last"
    (serving,) = (one for one in found.values() if one["Endpoints"])
    assert [one["EndpointName"] for one in serving["Endpoints"]] == ["served"]
    assert "LastBatchTransformJob" not in serving


def test_what_was_just_created_is_not_indexed_yet(sagemaker: Any, control: Control) -> None:
    sagemaker.create_model(ModelName="old", ExecutionRoleArn=ROLE)
    control.set_durations({"search.index": 600})
    control.set_clock(DEFAULT + timedelta(hours=1))
    sagemaker.create_model(ModelName="new", ExecutionRoleArn=ROLE)
    transform(sagemaker, "job", "old")

    (known,) = models(sagemaker)
    assert known["Model"]["Model"]["ModelName"] == "old"
    assert "LastBatchTransformJob" not in known["Model"]
    control.set_clock(DEFAULT + timedelta(hours=1, minutes=10))
    jobs = [one["Model"].get("LastBatchTransformJob", {}) for one in models(sagemaker)]
    assert [one.get("ModelName") for one in jobs] == [None, "old"]


def test_an_index_that_stands_still_shows_what_was_and_misses_rows(
    sagemaker: Any, control: Control, endpoint: Callable[..., str]
) -> None:
    """Deleted, changed and created endpoints are in it as before; a record lacks what only Describe says."""
    for name in ("deleted", "tagged", "missing"):
        endpoint(name)
    control.freeze_search("missing")
    sagemaker.delete_endpoint(EndpointName="deleted")
    arn = sagemaker.describe_endpoint(EndpointName="tagged")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "keep", "Value": "true"}])
    endpoint("created")

    frozen = {
        one["Endpoint"]["EndpointName"]: one["Endpoint"]
        for one in sagemaker.search(Resource="Endpoint")["Results"]
    }

    assert set(frozen) == {"deleted", "tagged"}
    assert frozen["tagged"]["Tags"] == []
    assert frozen["deleted"]["EndpointStatus"] == "InService"


def test_records_of_model_packages_are_whole_and_late(sagemaker: Any, control: Control) -> None:
    specification = {
        "Containers": [{"Image": "image", "ModelDataUrl": "s3://models/a"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    arn = sagemaker.create_model_package(
        ModelPackageName="churn",
        InferenceSpecification=specification,
        ModelApprovalStatus="Approved",
        Tags=[{"Key": "team", "Value": "risk"}],
    )["ModelPackageArn"]

    def change(to: str) -> None:
        specification["Containers"] = [{"Image": "image", "ModelDataUrl": to}]
        sagemaker.update_model_package(ModelPackageArn=arn, InferenceSpecification=specification)

    def shown() -> tuple[Any, ...]:
        (found,) = (one["ModelPackage"] for one in sagemaker.search(Resource="ModelPackage")["Results"])
        (container,) = found["InferenceSpecification"]["Containers"]
        said = sagemaker.describe_model_package(ModelPackageName=arn)
        assert found["CreationTime"] == said["CreationTime"]
        assert (found["ModelPackageArn"], found["Tags"]) == (arn, [{"Key": "team", "Value": "risk"}])
        return container["ModelDataUrl"], found["ModelApprovalStatus"], said["ModelApprovalStatus"]

    assert shown() == ("s3://models/a", "Approved", "Approved")
    change("s3://models/b")
    assert shown() == ("s3://models/b", "Approved", "Approved")
    control.freeze_search()
    change("s3://models/c")
    assert shown() == ("s3://models/b", "Approved", "Approved")


def models(sagemaker: Any) -> list[Any]:
    found: list[Any] = sagemaker.search(Resource="Model", SortBy="CreationTime")["Results"]
    return found


def test_pages_hold_a_hundred_at_most_newest_change_first(sagemaker: Any, control: Control) -> None:
    for number in range(103):
        sagemaker.create_model(ModelName=f"m{number:03}", ExecutionRoleArn=ROLE)
    control.set_clock(DEFAULT + timedelta(minutes=1))
    sagemaker.create_model(ModelName="last", ExecutionRoleArn=ROLE)

    first = sagemaker.search(Resource="Model", MaxResults=100)
    second = sagemaker.search(Resource="Model", MaxResults=100, NextToken=first["NextToken"])

    seen = [one["Model"]["Model"]["ModelName"] for one in (*first["Results"], *second["Results"])]
    assert (len(first["Results"]), len(set(seen)), seen[0]) == (100, 104, "last")
    assert "NextToken" not in second
    assert first["TotalHits"] == {"Value": 104, "Relation": "EqualTo"}
    assert "less than or equal to 100" in refusal(sagemaker.search, Resource="Model", MaxResults=101)
