"""Notebook instances against the sandbox: what is read, how often, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import DAY, HOUR, MINUTE, NOW
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, Finding, Kept, NotRead, Value
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor_sandbox.control import Control
from narrowing import not_none
from recorded_acts import found
from sagemaker_requests import notebook_request
from tables import cases
from verdicts import only, shown, sweep_once

GROUP = "/aws/sagemaker/NotebookInstances"
OPEN = "CreatePresignedNotebookInstanceUrl"


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


class Account:
    """Notebooks of any age and state in the sandbox."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.sagemaker = session.client("sagemaker")

    def notebook(
        self, name: str, *, wrote: timedelta | None = 9 * HOUR, made: timedelta = 30 * DAY, **tags: str
    ) -> None:
        with self.box.at(NOW - made):
            self.sagemaker.create_notebook_instance(
                **notebook_request(name, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
            )
        if wrote is not None:
            self.box.logs(GROUP, f"{name}/jupyter.log", [(NOW - wrote, "Saving file at /eda.ipynb")])

    def publish(
        self, namespace: str, metric: str, values: Sequence[float], *, ago: timedelta, **dimensions: str
    ) -> None:
        series = {"metric": metric, "dimensions": dimensions, "start": NOW - ago, "step": 60}
        self.box.metrics(namespace, [series | {"values": list(values)}])


def swept(aws: Aws) -> Sweep:
    return sweep_once(IdleNotebooks(), aws)


def test_a_notebook_left_on_is_found(account: Account, aws: Aws) -> None:
    account.notebook("churn", owner="maria")

    result = only(swept(aws))

    assert isinstance(result.verdict, Finding)
    assert result.owner == "maria"
    assert result.verdict.confidence == "likely"
    assert result.verdict.since == NOW - 9 * HOUR
    assert not_none(result.verdict.cost).known
    assert (
        "9 hours ago; 2 hours are allowed outside working hours (Mon-Fri 08-20 UTC)" in result.verdict.reason
    )


@pytest.mark.parametrize("wrote", [2 * HOUR, 2 * HOUR - timedelta(seconds=1)])
def test_supporting_signals_are_read_at_the_boundary(account: Account, aws: Aws, wrote: timedelta) -> None:
    account.notebook("churn", wrote=wrote)
    account.sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName="churn")

    assert isinstance(only(swept(aws)).verdict, Kept)


@pytest.mark.parametrize("failed", [False, True])
def test_opening_it_is_work_unless_it_failed(account: Account, aws: Aws, *, failed: bool) -> None:
    account.notebook("churn")
    detail: dict[str, Any] = {"requestParameters": {"notebookInstanceName": "churn"}}
    event = {
        "EventName": OPEN,
        "EventTime": NOW - HOUR,
        "Username": "maria",
        "CloudTrailEvent": detail | ({"errorCode": "AccessDenied"} if failed else {}),
    }
    account.box.cloudtrail([event])

    result = only(swept(aws))

    assert isinstance(result.verdict, Finding) is failed
    assert shown(result)["last opening"] == ("none" if failed else "2026-10-06T02:00:00Z by maria")


def test_opening_another_notebook_is_not_its_own_work(account: Account, aws: Aws) -> None:
    account.notebook("churn")
    account.notebook("churn-2")
    account.sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName="churn-2")

    verdicts = {result.target.name: result.verdict for result in swept(aws).results}

    assert isinstance(verdicts["churn"], Finding)
    assert isinstance(verdicts["churn-2"], Kept)


@cases(
    "metric, values, busy",
    ("cpu_usage_active", [5.0] * 30, False),
    ("cpu_usage_active", [1.0] * 20 + [40.0] * 10, True),
    ("cpu_usage_active", [1.0, 40.0] * 15, True),
    ("cpu_usage_idle", [99.0] * 30, False),
    ("cpu_usage_idle", [95.0] * 30, False),
    ("cpu_usage_idle", [99.0] * 20 + [60.0] * 10, True),
    ("nvidia_smi_utilization_gpu", [0.0] * 30, False),
    ("nvidia_smi_utilization_gpu", [0.0] * 20 + [97.0] * 10, True),
    ("mem_used_percent", [80.0] * 30, False),
)
def test_processor_use_is_work(
    account: Account, aws: Aws, *, metric: str, values: list[float], busy: bool
) -> None:
    account.notebook("churn")
    more = {"cpu": "cpu3", "host": "ip-10-0-0-7"}
    account.publish(
        "SageMakerNotebookInstances", metric, values, ago=HOUR, notebook_instance_name="churn", **more
    )

    result = only(swept(aws))

    assert isinstance(result.verdict, Kept) is busy
    assert ("processor use" in result.verdict.reason) is busy
    # from 02:20 to 02:30: the end of the last period, in which it may have worked to the last second
    assert shown(result)["last processor use"] == ("2026-10-06T02:30:00Z" if busy else "none")


@pytest.mark.parametrize("value", [-5.0, 1e30])
def test_nonsense_that_a_notebook_publishes_breaks_nothing(account: Account, aws: Aws, value: float) -> None:
    account.notebook("churn")
    account.publish("MLJanitor/Notebooks", "IdleSeconds", [value], ago=MINUTE, NotebookInstanceName="churn")

    assert swept(aws).error is None


def test_three_calls_cover_an_active_account_and_one_an_idle_notebook(account: Account, aws: Aws) -> None:
    for n in range(40):
        account.notebook(f"active-{n}", wrote=20 * MINUTE)
    account.notebook("new", made=HOUR, wrote=None)
    account.notebook("off")
    with account.box.at(NOW - 20 * DAY):
        account.sagemaker.stop_notebook_instance(NotebookInstanceName="off")
    account.box.clear_calls()
    swept(aws)
    assert account.box.calls() == {
        "sagemaker:ListNotebookInstances": 1,
        "tag:GetResources": 1,
        "logs:DescribeLogStreams": 1,
    }

    for n in range(20):
        account.notebook(f"idle-{n}")
    account.box.clear_calls()
    report = swept(aws)
    assert report.found == 20
    assert account.box.calls() == {
        "sagemaker:ListNotebookInstances": 1,
        "tag:GetResources": 1,
        "logs:DescribeLogStreams": 1,
        "cloudtrail:LookupEvents": 1,
        "cloudwatch:ListMetrics": 3,
        "cloudwatch:GetMetricData": 1,
        "pricing:GetProducts": 2,
        "logs:GetLogEvents": 20,
    }


def test_what_the_clock_stops_is_priced_while_it_is_used(account: Account, aws: Aws) -> None:
    for name in ("used", "off", "other"):
        account.notebook(name, wrote=MINUTE)
    account.sagemaker.stop_notebook_instance(NotebookInstanceName="off")

    found = IdleNotebooks(stop_outside_hours=("used", "off")).find(aws, NOW)

    assert {one.target.name: one.price.hourly_usd is not None for one in found} == {
        "used": True,
        "off": False,
        "other": False,
    }


# --- looking at one again ---------------------------------------------------------------------


def test_looking_reads_every_sign_of_one_notebook(account: Account, aws: Aws) -> None:
    account.notebook("churn", wrote=10 * MINUTE, keep="true")
    candidate = not_none(IdleNotebooks().look(aws, found(IdleNotebooks(), aws, "churn"), NOW))

    assert candidate.target.tags == Value({"keep": "true"}, "sagemaker:ListTags")
    assert candidate.log == Value(NOW - 10 * MINUTE, "logs:GetLogEvents", NOW - 10 * MINUTE)
    assert isinstance(candidate.opened, Absent)


def test_a_stopped_one_is_described_and_no_more(account: Account, aws: Aws) -> None:
    account.notebook("churn")
    target = found(IdleNotebooks(), aws, "churn")
    account.sagemaker.stop_notebook_instance(NotebookInstanceName="churn")

    candidate = not_none(IdleNotebooks().look(aws, target, NOW))

    assert candidate.status == "Stopped"
    assert candidate.log == NotRead()


def test_a_name_that_lost_its_capitals_is_found_in_the_listing_by_its_arn(account: Account, aws: Aws) -> None:
    account.notebook("Churn")
    account.notebook("other")
    spelled = found(IdleNotebooks(), aws, "Churn")

    looked = not_none(IdleNotebooks().look(aws, replace(spelled, name="churn", arn=spelled.arn.lower()), NOW))

    assert (looked.target.name, looked.source) == ("Churn", "sagemaker:ListNotebookInstances")


def test_one_that_is_neither_described_nor_listed_is_not_gone(account: Account, aws: Aws) -> None:
    account.notebook("churn")
    target = found(IdleNotebooks(), aws, "churn")
    account.sagemaker.stop_notebook_instance(NotebookInstanceName="churn")
    account.sagemaker.delete_notebook_instance(NotebookInstanceName="churn")
    account.box.fault("sagemaker", "ListNotebookInstances", "deny", times=0)

    with pytest.raises(ReadError, match="AccessDenied"):
        IdleNotebooks().look(aws, target, NOW)
