"""The sandbox as a server: its program, its own requests, and how it hands the others to moto."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import NOW
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.moto_app import Moto
from narrowing import not_none
from policies import table_request

ROOT = Path(__file__).parents[2]


def test_as_a_program_it_says_where_it_listens_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "ml_janitor_sandbox", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        word, url = not_none(running.stdout).readline().split()
        assert word == "listening"
        assert Control(url).clock() == NOW
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0


def test_what_makes_no_sense_is_refused_with_a_reason(control: Control) -> None:
    with pytest.raises(SandboxError, match="no GET /sandbox/weather"):
        control._ask("GET", "weather")
    with pytest.raises(SandboxError, match="Invalid isoformat string: 'soon'"):
        control._ask("PUT", "clock", {"now": "soon"})
    with pytest.raises(SandboxError, match="kind must be one of"):
        control.fault("*", "*", "explode")
    with pytest.raises(SandboxError, match="unknown: tiems"):
        control.fault("*", "*", "error", tiems=2)
    with pytest.raises(SandboxError, match="missing 2 required keyword-only arguments: 'service' and 'path'"):
        control._ask("PATCH", "state", {})
    with pytest.raises(SandboxError, match="no such endpoint"):
        control.patch("sagemaker", ["endpoints", "ghost"], status="Failed")


def test_a_host_has_the_service_that_moto_finds_for_it() -> None:
    app = Moto()
    hosts = (
        "api.sagemaker.us-east-1.amazonaws.com",
        "s3.amazonaws.com",
        "bucket.s3.amazonaws.com",
        "moto_api",
    )
    for _ in range(2):
        assert [app.get_backend_for_host(host) for host in hosts] == ["sagemaker", "s3", "s3", "moto_api"]
        assert app.get_backend_for_host("elsewhere.example.com") is None


def test_an_answer_has_no_headers_for_browsers(sagemaker: Any) -> None:
    headers = sagemaker.list_models()["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"]
    assert [name for name in headers if name.startswith("access-control-")] == []


def test_what_breaks_in_moto_is_reported_as_what_broke(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("its own")

    monkeypatch.setattr("moto.sqs.responses.SQSResponse.list_queues", breaks)
    with pytest.raises(ClientError, match="The sandbox failed at sqs:ListQueues: RuntimeError") as told:
        aws("sqs").list_queues()
    assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_of_writes_at_once_under_one_condition_one_succeeds(aws: Any) -> None:
    """DynamoDB's writes are atomic: leases, and records of what an event did, rest on it."""
    table = aws("dynamodb")
    table.create_table(**table_request("t"))

    refused = table.exceptions.ConditionalCheckFailedException

    def won(number: int) -> bool:
        with suppress(refused):
            item: Any = {"pk": {"S": str(number)}}
            table.put_item(TableName="t", Item=item, ConditionExpression="attribute_not_exists(pk)")
            return True
        return False

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(won, [number for number in range(30) for _ in range(8)])) == 30
    finally:
        sys.setswitchinterval(interval)
