"""Functions as Lambda would call them: contexts, the real events, and a look at what a run left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.findings import Ledger
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, SECRET, TABLE
from ml_janitor_sandbox.slack import CHANNEL, Signed

ROOT = Path(__file__).parent.parent
EVENTS = ROOT / "events"

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)

WITH_SLACK = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
"""


@dataclass
class Context:
    """A Lambda context whose time goes by as it is looked at: *milliseconds* is what it says, in turn."""

    aws_request_id: str = "11111111-1111-1111-1111-111111111111"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:janitor"
    function_name: str = "janitor"
    milliseconds: Iterator[int] | int = 900_000
    log_stream_name: str = field(default="stream")

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds if isinstance(self.milliseconds, int) else next(self.milliseconds)


def event(name: str) -> dict[str, Any]:
    """One of the real payloads."""
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded


def handed_press(signed: Signed) -> dict[str, str]:
    """The worker's event of a press that Slack *signed*."""
    stamp, signature = (signed.headers[f"X-Slack-{name}"] for name in ("Request-Timestamp", "Signature"))
    return {"body": signed.body.decode(), "stamp": stamp, "signature": signature}


def quiet(ledger: Ledger, aws: Aws, *, but: str = "", ago: timedelta = timedelta(hours=1)) -> None:
    """Every detector but one has just run, and found nothing."""
    for one in DETECTORS:
        if one.name != but:
            sweep = Sweep(detector=one.name, account=aws.account, region=aws.region, mode=Mode.DRY_RUN)
            ledger.record(aws, sweep, NOW - ago)


def items(session: boto3.Session) -> dict[str, list[dict[str, Any]]]:
    """The whole table by kind of item."""
    read = TypeDeserializer()
    found: dict[str, list[dict[str, Any]]] = {}
    for page in session.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE):
        for item in page["Items"]:
            plain = {name: read.deserialize(value) for name, value in item.items()}
            found.setdefault(plain["pk"].split("#")[0], []).append(plain)
    return found


def reports(session: boto3.Session) -> Mapping[str, str]:
    """Every object of the report bucket as text, by key."""
    s3 = session.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read().decode() for one in listed
    }


def idle_endpoints(
    session: boto3.Session, box: Control, *names: str, owner: str = "maria@acme.example"
) -> None:
    """Endpoints that are a month old and have had no request for nine days."""
    sagemaker = session.client("sagemaker")
    box.set_clock(NOW - timedelta(days=30))
    sagemaker.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/ml")
    variant: Any = {
        "VariantName": "blue",
        "ModelName": "m",
        "InstanceType": "ml.m5.xlarge",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    for name in names:
        sagemaker.create_endpoint(
            EndpointName=name, EndpointConfigName="c", Tags=[{"Key": "owner", "Value": owner}]
        )
    box.set_clock(NOW)
    start = NOW - timedelta(days=9)
    box.metrics(
        "AWS/SageMaker",
        [
            {
                "metric": "Invocations",
                "dimensions": {"EndpointName": name, "VariantName": "blue"},
                "start": start,
                "step": 3600,
                "values": [0.0] * 216,
            }
            for name in names
        ],
    )
