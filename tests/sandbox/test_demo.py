"""The demo account is what it says it is: measured over HTTP, without a line of the janitor's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import batched
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import boto3
import pytest

from conftest import NOW, REGION
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import history, rows
from ml_janitor_sandbox.demo.notebooks import Notebook
from ml_janitor_sandbox.server import Sandbox
from tables import cases

type Client = Callable[[str], Any]


class Account(NamedTuple):
    """
    The demo account: how to control it, and what seeding took of both sides' processor time.

    Also what time it was there then, and what had been called.
    """

    control: Control
    seconds: float
    now: datetime
    calls: dict[str, int]

    @classmethod
    def seeded(cls, control: Control) -> Account:
        """Forget everything and make it anew."""
        control.reset()
        started = process_time()
        demo.seed(control.url)
        return cls(control, process_time() - started, control.clock(), control.calls())


@pytest.fixture(scope="module")
def account(_sandbox: Sandbox) -> Account:
    """Seeded once for all tests here, which only read it."""
    return Account.seeded(Control(_sandbox.url))


@pytest.fixture
def client(account: Account) -> Client:
    """Clients of the demo account."""
    return cache(partial(boto3.client, region_name=REGION, endpoint_url=account.control.url))


def pages(client: Any, operation: str, member: str, **params: Any) -> list[dict[str, Any]]:
    return [one for page in client.get_paginator(operation).paginate(**params) for one in page[member]]


def test_the_demo_is_seeded_quickly(account: Account) -> None:
    assert account.seconds < 10, "three to five on most machines: something is read or made many times over"


def test_it_is_tuesday_night_and_nothing_was_called_yet(account: Account) -> None:
    assert account.now == NOW == demo.NOW
    assert account.calls == {}


@cases(
    "listing, member, arn, detector",
    ("list_endpoints", "Endpoints", "EndpointArn", "idle-endpoints"),
    ("list_notebook_instances", "NotebookInstances", "NotebookInstanceArn", "idle-notebooks"),
    ("list_training_jobs", "TrainingJobSummaries", "TrainingJobArn", "hung-training-jobs"),
)
def test_most_resources_are_sound(client: Client, listing: str, member: str, arn: str, detector: str) -> None:
    everything = {one[arn] for one in pages(client("sagemaker"), listing, member)}
    kind = min(everything).split(":")[5].split("/")[0]
    wasteful, alike = (
        {one.arn for one in facts if one.detector == detector and f":{kind}/" in one.arn}
        for facts in (demo.WASTE, demo.LOOKALIKES)
    )
    assert wasteful < everything
    assert alike < everything
    assert len(everything - wasteful) > len(wasteful)


def test_a_dozen_things_look_wasteful_and_are_not() -> None:
    facts = (*demo.WASTE, *demo.LOOKALIKES, *demo.UNKNOWN)
    assert len(demo.LOOKALIKES) >= 12
    assert len({(one.detector, one.arn) for one in facts}) == len(facts)
    assert all(one.why for one in facts)


@cases(
    "wrong, said",
    ('instnace = "ml.m5.xlarge"', "eda.instnace"),
    ('worked = "9 hours"', "eda.worked"),
    ('age = "old"', "eda.age"),
    ('project = "home-fed"', "eda.project"),
    ('labels = "prod"', "'prod' is no set of labels, in eda"),
    ('kind = "notebook"', "'notebook' is no kind, in eda"),
)
def test_a_mistake_in_a_table_is_told_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, said: str
) -> None:
    right = {"instance": '"ml.m5.xlarge"', "age": "3", "worked": '"9h"', "project": '"home-feed"'}
    changed = right | dict([wrong.split(" = ")])
    row = ", ".join(f"{key} = {value}" for key, value in changed.items())
    (tmp_path / "notebooks.toml").write_text(f"[left_on]\neda = {{{row}}}\n")
    monkeypatch.setattr(rows, "ACCOUNT", tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)):
        rows.load("notebooks.toml", Notebook)


def snapshot(client: Client) -> dict[str, Any]:
    """All that can be read, but for identifiers that are random on AWS too."""
    sagemaker = client("sagemaker")
    endpoints = [one["EndpointName"] for one in pages(sagemaker, "list_endpoints", "Endpoints")]
    jobs = [one["TrainingJobName"] for one in pages(sagemaker, "list_training_jobs", "TrainingJobSummaries")]
    groups = ["/aws/sagemaker/NotebookInstances", "/aws/sagemaker/TrainingJobs"]
    described = [sagemaker.describe_endpoint(EndpointName=name) for name in endpoints]
    described += [sagemaker.describe_training_job(TrainingJobName=name) for name in jobs]
    return {
        "described": [{k: v for k, v in one.items() if k != "ResponseMetadata"} for one in described],
        "notebooks": pages(sagemaker, "list_notebook_instances", "NotebookInstances"),
        "apps": pages(sagemaker, "list_apps", "Apps"),
        "tags": pages(client("resourcegroupstaggingapi"), "get_resources", "ResourceTagMappingList"),
        "streams": [
            {k: v for k, v in one.items() if k != "uploadSequenceToken"}
            for group in groups
            for one in pages(client("logs"), "describe_log_streams", "logStreams", logGroupName=group)
        ],
        "objects": [
            one
            for bucket in client("s3").list_buckets()["Buckets"]
            for one in pages(client("s3"), "list_objects_v2", "Contents", Bucket=bucket["Name"])
        ],
        "events": [
            (one["EventTime"], one["EventName"], one["Username"], one["Resources"])
            for one in pages(client("cloudtrail"), "lookup_events", "Events")
        ],
        "metrics": data(client),
    }


def data(client: Client) -> list[list[float]]:
    """Every value of every metric, an average an hour."""
    metrics = pages(client("cloudwatch"), "list_metrics", "Metrics")
    queries = [
        {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Average"}}
        for number, metric in enumerate(metrics)
    ]
    return [
        one["Values"]
        for batch in batched(queries, 500)
        for one in pages(
            client("cloudwatch"),
            "get_metric_data",
            "MetricDataResults",
            MetricDataQueries=list(batch),
            StartTime=NOW - timedelta(days=50),
            EndTime=NOW,
        )
    ]


@pytest.mark.long
def test_restoring_gives_the_same_account(account: Account, client: Client) -> None:
    first = snapshot(client)
    account.control.keep("demo")
    account.control.reset()
    assert account.control.restore("demo") == {}
    assert snapshot(client) == first


@pytest.mark.long
def test_seeding_again_gives_the_same_account(account: Account, client: Client) -> None:
    first = snapshot(client)
    history.cache_clear()
    Account.seeded(account.control)
    assert snapshot(client) == first
