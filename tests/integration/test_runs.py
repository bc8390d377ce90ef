"""What ran and when, as the sandbox's listings and CloudTrail know it: it agrees with what is charged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW, REGION, seed_demo
from endpoint_seed import Seed
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.runs import UsedResource, list_used_resources
from ml_janitor.bill.explaining import (
    RESOURCE_READS,
    EndpointRequests,
    count_endpoint_instances,
    read_requests,
)
from ml_janitor.bill.model import DaySpan
from ml_janitor_sandbox.control import Control
from sagemaker_requests import ROLE, configure, hosting

SINCE = NOW - 60 * DAY

type Read = Callable[[], dict[str, UsedResource]]


@pytest.fixture
def ran(aws: Aws) -> Read:
    def read() -> dict[str, UsedResource]:
        listing = list_used_resources(aws, SINCE, NOW)
        assert listing.error is None
        return {one.target.name: one for one in listing.items}

    return read


@pytest.fixture
def on(box: Control) -> Callable[[float], None]:
    """Moves the clock to so many days ago."""
    return lambda days: box.set_clock(NOW - days * DAY)


def spells(one: UsedResource) -> list[tuple[str, datetime, datetime | None, float]]:
    return [(run.usage_type, run.start, run.end, float(run.hourly)) for run in one.runs]


def config(sagemaker: Any, name: str, instance: str, count: int = 1) -> None:
    image = "123.dkr.ecr.us-east-1.amazonaws.com/a"
    configure(sagemaker, hosting(name, instance, count), image=image)


def test_an_endpoint_ran_its_rentals(session: boto3.Session, on: Callable[[float], None], ran: Read) -> None:
    sagemaker = session.client("sagemaker")
    on(20)
    config(sagemaker, "small", "ml.m5.large", 2)
    config(sagemaker, "large", "ml.g5.xlarge")
    sagemaker.create_endpoint(
        EndpointName="ranker", EndpointConfigName="small", Tags=[{"Key": "project", "Value": "search"}]
    )
    on(5)
    sagemaker.update_endpoint(EndpointName="ranker", EndpointConfigName="large")
    on(0)

    one = ran()["ranker"]

    assert spells(one) == [
        ("USE1-Host:ml.m5.large", NOW - 20 * DAY, NOW - 5 * DAY, 2),
        ("USE1-Host:ml.g5.xlarge", NOW - 5 * DAY, None, 1),
    ]
    assert one.ended is None


def test_tags_of_deleted_jobs_last(session: boto3.Session, on: Callable[[float], None], ran: Read) -> None:
    sagemaker = session.client("sagemaker")
    on(20)
    config(sagemaker, "trial", "ml.g5.xlarge")
    sagemaker.create_endpoint(
        EndpointName="trial", EndpointConfigName="trial", Tags=[{"Key": "project", "Value": "search"}]
    )
    sagemaker.create_notebook_instance(NotebookInstanceName="study", InstanceType="ml.t3.large", RoleArn=ROLE)
    on(8)
    sagemaker.delete_endpoint(EndpointName="trial")
    sagemaker.delete_endpoint_config(EndpointConfigName="trial")
    sagemaker.stop_notebook_instance(NotebookInstanceName="study")
    on(7)
    sagemaker.delete_notebook_instance(NotebookInstanceName="study")
    on(0)

    found = ran()

    assert spells(found["trial"]) == [("USE1-Host:ml.g5.xlarge", NOW - 20 * DAY, NOW - 8 * DAY, 1)]
    assert getattr(found["trial"].target.tags, "value", None) == {"project": "search"}
    assert spells(found["study"]) == [("USE1-Notebk:ml.t3.large", NOW - 20 * DAY, NOW - 8 * DAY, 1)]
    assert found["study"].ended == NOW - 7 * DAY


def test_exactly_what_is_declared_is_called(box: Control, session: boto3.Session) -> None:
    seed_demo(box)
    box.clear_calls()
    with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
        ran = list_used_resources(accounts[0], SINCE, NOW).items
        moved = {run.usage_type for resource in ran for run in resource.runs}
        count_endpoint_instances(accounts[0], ran, moved, SINCE, NOW)
        read_requests(accounts[0], ran, SINCE, NOW)

    assert set(box.calls()) == {grant.action for grant in RESOURCE_READS}


@pytest.fixture
def calls(box: Control, aws: Aws) -> Callable[[], EndpointRequests]:
    """Endpoints of each kind, a month old, called 3 and 4 times in the last two hours."""
    seed = Seed(box, aws)
    seed.endpoint("search")
    seed.endpoint("queue", AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/out"}})
    seed.endpoint("shared", {"VariantName": "blue", "ModelName": None}, ExecutionRoleArn=ROLE)
    seed.endpoint("silent")
    for name in ("one", "two"):
        seed.component(name, "shared")
        seed.publish("Invocations", [3, 4], InferenceComponentName=name)
    seed.requests("search", values=[3, 4])
    seed.publish("ModelCacheHit", [3, 4], EndpointName="search", VariantName="blue")
    seed.publish("InvocationsProcessed", [3, 4], EndpointName="queue", VariantName="blue")
    return lambda: read_requests(aws, list_used_resources(aws, SINCE, NOW).items, SINCE, NOW)


def counted(called: EndpointRequests) -> dict[str, int | None]:
    span = DaySpan(SINCE.date(), 61)
    return {arn.rpartition("/")[2]: one.within(span) for arn, (one,) in called.by_arn.items()}


def test_each_kind_of_endpoint_is_counted_by_its_own_metric(calls: Callable[[], EndpointRequests]) -> None:
    called = calls()

    assert called.error is None
    assert counted(called) == {"search": 7, "queue": 7, "shared": 14, "silent": 0}
    many = {arn.rpartition("/")[2] for arn, (one,) in called.by_arn.items() if one.many_models}
    assert many == {"search"}
