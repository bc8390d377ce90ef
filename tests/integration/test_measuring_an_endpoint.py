"""`janitor estimate batching --measure`: what it says first, what it sends, and where it stops."""

import io
import itertools
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from commands import Janitor, Ran
from conftest import ACCOUNT, NOW
from ml_janitor_cli import edge
from ml_janitor_cli.estimate import batching
from ml_janitor_sandbox.control import Control
from tables import cases

ASKED = ("estimate", "batching", "--measure", "ranker", "--payload", "one.json")
WHOLE = (*ASKED, "--batch", "16", "--batch-payload", "many.json", "--yes")
MORE = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}


pytestmark = pytest.mark.usefixtures("janitor", "sagemaker")


class Watch:
    """A clock by which one request after the other takes so many seconds, again and again."""

    def __init__(self, *took: float) -> None:
        self.now, self.took = 0.0, itertools.cycle(took)
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        if self.reads % 2 == 0:
            self.now += next(self.took)
        return self.now


@pytest.fixture
def sagemaker(box: Control, session: boto3.Session) -> Any:
    """An account with an endpoint `ranker` on two instances, and payloads for it."""
    Path("one.json").write_text('{"inputs": ["a"]}')
    Path("many.json").write_text('{"inputs": ["a", "b"]}')
    sagemaker = session.client("sagemaker")
    role = f"arn:aws:iam::{ACCOUNT}:role/worker"
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": f"{ACCOUNT}.dkr.ecr.x/m:1"}
    )
    box.set_clock(NOW)
    deploy(sagemaker, "ranker", InstanceType="ml.g5.xlarge", InitialInstanceCount=2)
    return sagemaker


def deploy(sagemaker: Any, name: str, config: dict[str, Any] | None = None, **variant: Any) -> None:
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "v", "ModelName": "m", **variant}],
        **config or {},
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def watched(monkeypatch: pytest.MonkeyPatch, *took: float) -> None:
    monkeypatch.setattr(batching, "latency_clock", Watch(*took))


def test_it_says_what_it_costs_sends_in_turn_and_counts_as_use(
    janitor: Janitor, box: Control, session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(monkeypatch, 0.9, 0.8, 0.01, 0.02, 0.01, 0.02)  # the first of each warms up
    box.clear_calls()

    ran = janitor(*WHOLE, "--requests", "6", "--json")

    assert ran.status == 0
    assert ran.err == (
        "This sends 6 requests (0.1 kB in all) to ranker in us-east-1. 2 x ml.g5.xlarge cost the same with"
        " them: only data is added, $0.016 for a GB in or out."
        " They count as use: its idle time begins anew.\n"
    )
    assert box.calls() == {
        "sagemaker:DescribeEndpoint": 1,
        "sagemaker:DescribeEndpointConfig": 1,
        "sagemaker:InvokeEndpoint": 6,
    }
    assert ran.document["measured_one_median_ms"] == pytest.approx(10)
    assert ran.document["measured_batch_slowest_ms"] == pytest.approx(20)
    assert ran.document["one_by_one_usd"] / ran.document["batched_usd"] == pytest.approx(8)
    found = session.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": "ranker"}, {"Name": "VariantName", "Value": "v"}],
        StartTime=NOW - timedelta(hours=1),
        EndTime=NOW + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
    )
    assert [point["Sum"] for point in found["Datapoints"]] == [6.0]


def test_a_typed_batch_is_taken_as_it_is(janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    watched(monkeypatch, 0.05)
    more = ("--batch", "4", "--batch-ms", "20", "--network-ms", "40", "--price", "3.6", "--yes", "--json")

    ran = janitor(*ASKED, *more)

    assert ran.document["one_by_one_usd"] == pytest.approx(0.01)  # 1,000 requests of 10 ms
    assert ran.document["batched_usd"] == pytest.approx(0.005)
    assert "measured_batch_median_ms" not in ran.document
    assert "--network-ms 60 is more than" in janitor(*ASKED, *more, "--network-ms", "60").err


def test_a_batch_that_is_slower_is_an_answer(janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    watched(monkeypatch, 0.01, 0.2)

    ran = janitor(*WHOLE)

    assert ran.status == 0
    assert ran.out.startswith("Do not batch: 16 requests at once took longer than one by one.")


def test_seconds_are_charged(sagemaker: Any, janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(sagemaker, "small", **MORE)
    watched(monkeypatch, 0.01, 0.02)

    ran = janitor(*WHOLE, "--measure", "small", "--requests", "10", "--json")

    assert "$0.00002 for a second of each of 2 GB, $0.02 if each request took the longest allowed" in ran.err
    assert ran.document["one_by_one_usd"] == pytest.approx(1000 * 0.01 * 2 * 0.00002)


def refused(ran: Ran, status: int, why: str) -> None:
    assert (ran.status, ran.out) == (status, "")
    assert why in ran.err.splitlines()[-1]


def test_nothing_is_sent_where_it_cannot_be_measured(sagemaker: Any, janitor: Janitor, box: Control) -> None:
    deploy(sagemaker, "small", **MORE)
    out = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/out"}}}
    deploy(sagemaker, "queue", out, InstanceType="ml.g5.xlarge", InitialInstanceCount=1)
    deploy(sagemaker, "novel", InstanceType="ml.z9.xlarge", InitialInstanceCount=1)
    variants = [
        {"VariantName": name, "ModelName": "m", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
        for name in ("a", "b")
    ]
    sagemaker.create_endpoint_config(EndpointConfigName="split", ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName="split", EndpointConfigName="split")
    Path("empty.json").write_text("")
    Path("large.json").write_bytes(b"x" * (4 * 1024**2 + 1))
    for more, why in (
        (("--measure", "rankr"), "no endpoint in us-east-1 is called rankr; did you mean ranker?"),
        (("--measure", "queue"), "queue is asynchronous"),
        (("--measure", "split"), "split has 2 variants"),
        (("--measure", "novel"), "give --price: no price of ml.z9.xlarge is known"),
        (
            ("--measure", "small", "--payload", "large.json"),
            "a payload of 4.0 MB is too large: small takes 4 MB",
        ),
        (("--payload", "empty.json"), "empty.json is empty"),
        (("--payload", "none.json"), "none.json cannot be read"),
        (("--requests", "201"), "expected 4 to 200, got 201"),
        (("--network-ms", "-1"), "--network-ms is 0 or more"),
        (("--one-ms", "3"), "give one of the two"),
        (("--batch-ms", "3"), "how a model takes several requests at once is its own"),
    ):
        refused(janitor(*WHOLE, *more), 2, why)
    refused(janitor(*ASKED[:4]), 2, "--measure needs --payload FILE")
    refused(janitor(*ASKED, "--batch", "4", "--yes"), 2, "how a model takes several")
    box.patch("sagemaker", ["endpoints", "ranker"], EndpointStatus="Updating")
    refused(janitor(*WHOLE), 1, "ranker is Updating: it can be measured when it is InService")
    assert "sagemaker:InvokeEndpoint" not in box.calls()


def test_it_asks_first(janitor: Janitor, box: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ran = janitor(*WHOLE[:-1])
    assert (ran.status, ran.out.strip()) == (2, "")
    assert edge.NO_ANSWER_MESSAGE in ran.err
    monkeypatch.setattr(edge, "ask_yes", lambda _: False)

    ran = janitor(*WHOLE[:-1])

    assert (ran.status, ran.out) == (0, "")
    assert ran.err.endswith("Nothing was sent.\n")
    assert "sagemaker:InvokeEndpoint" not in box.calls()


@cases(
    "fault",
    {"kind": "error", "status": 424, "code": "ModelError", "message": "Received server error (500)"},
    {"kind": "throttle"},
    {"kind": "deny"},
)
def test_it_stops_at_the_first_failed_request(janitor: Janitor, box: Control, fault: dict[str, Any]) -> None:
    box.fault("sagemaker", "InvokeEndpoint", skip=3, times=0, **fault)

    ran = janitor(*WHOLE, "--requests", "10")

    refused(ran, 1, "request 4 of 10 failed, and nothing more was sent: InvokeEndpoint: ")
    assert fault.get("message", "") in ran.err
    assert box.calls()["sagemaker:InvokeEndpoint"] == 4
