"""An account with thousands of training jobs a month, on the sandbox's clock and within AWS's rates."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import candidates
from ml_janitor.aws.client import Aws
from ml_janitor.aws.pace import AWS_RATES, Pace
from ml_janitor.aws.prices import Prices
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Finding
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector
from ml_janitor.scheduled.invocation import rate_slots
from ml_janitor_sandbox.control import Control
from moto_corrections import state
from moto_corrections.sagemaker.jobs import TRAINING
from moto_corrections.sagemaker.store import Resource, SageMakerStore
from sagemaker_requests import rented, training_request
from samples import share

MONTH = timedelta(days=30)
LAMBDA = timedelta(minutes=15)
ROUND_TRIP = 0.25
"""Seconds that a call is taken to last, one after the other: sixteen threads only make it better."""

BILLED: Any = {"bill": {"enabled": True}}
BUCKET = "weights"
REQUIRED = ("team", "project", "environment", "cost-center", "owner", "managed-by")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/trainer"


class Seconds:
    """The sandbox's clock in seconds, which moves on when the pace waits."""

    def __init__(self, box: Control) -> None:
        self.box = box
        self.spent = 0.0

    def clock(self) -> float:
        return self.spent

    def sleep(self, seconds: float) -> None:
        self.spent += seconds
        self.box.set_clock(NOW + timedelta(seconds=self.spent))


def seed(session: boto3.Session, box: Control, number: int) -> None:
    """*number* jobs that ended, spread over a month, put right into the sandbox's store; and two that run."""
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for place, age in (("base/model.tar.gz", 60), ("copy/model.tar.gz", 50), ("unused/model.tar.gz", 40)):
        with box.at(NOW - timedelta(days=age)):
            s3.put_object(Bucket=BUCKET, Key=place, Body=b"weights " * 2**18)
    image: Any = {"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/base/model.tar.gz"}
    with box.at(NOW - timedelta(days=50)):
        sagemaker.create_model(ModelName="base", ExecutionRoleArn=ROLE, PrimaryContainer=image)
    with box.at(NOW - timedelta(hours=3)):
        for name in ("running-0", "running-1", "done"):
            train(sagemaker, name)
        ended: Any = {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}
        box.patch("sagemaker", ["training_jobs", "done"], **ended, TrainingEndTime=NOW - timedelta(hours=1))
        jobs = state.at(SageMakerStore, ACCOUNT, REGION).of(TRAINING)
        pattern = jobs.pop("done")
        for one in range(number):
            job = past(pattern, f"job-{one}", NOW - MONTH + one * (MONTH / number))
            jobs[job.name] = job


def train(sagemaker: Any, name: str) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/copy/"}}
    sagemaker.create_training_job(
        **training_request(
            name,
            rented("ml.g5.xlarge"),
            out=f"s3://{BUCKET}/out",
            seconds=86400,
            InputDataConfig=[{"ChannelName": "base", "DataSource": source}],
            Tags=[{"Key": key, "Value": "fraud"} for key in REQUIRED],
        )
    )


def past(pattern: Resource, name: str, at: Any) -> Resource:
    """A job as *pattern* that was created at *at*, and ran for minutes."""
    members = pattern.members | {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
        "CreationTime": at,
        "TrainingStartTime": at,
        "TrainingEndTime": at + timedelta(minutes=5),
        "LastModifiedTime": at + timedelta(minutes=5),
    }
    return replace(pattern, name=name, members=members, sequence=pattern.sequence)


@pytest.fixture
def seconds(box: Control, monkeypatch: pytest.MonkeyPatch) -> Seconds:
    seconds = Seconds(box)
    monkeypatch.setattr("botocore.endpoint.time.sleep", seconds.sleep)
    return seconds


@pytest.fixture
def aws(session: boto3.Session, seconds: Seconds, request: pytest.FixtureRequest) -> Iterator[Aws]:
    """One thread, so that every wait is on the one clock; the turns are its function's in a deployment."""
    given = getattr(request.node, "callspec", None)
    name = given.params["detector"].name if given else "duplicate-artifacts"
    with ThreadPoolExecutor(1) as pool:
        yield Aws(
            session,
            region=REGION,
            account=ACCOUNT,
            prices=Prices(lambda: session.client("pricing")),
            pool=pool,
            pace=Pace(
                clock=seconds.clock, sleep=seconds.sleep, shares=rate_slots(Settings.parse(BILLED), name)
            ),
            attempts=4,
        )


@pytest.mark.parametrize("detector", share(DETECTORS, 5, ids=lambda detector: detector.name))
@pytest.mark.parametrize("number", [600, pytest.param(50_000, marks=pytest.mark.long)])
def test_a_sweep_ends_in_lambdas_time(
    box: Control, aws: Aws, seconds: Seconds, number: int, detector: type[Detector[Any]]
) -> None:
    seed(boto3.Session(region_name=REGION), box, number)
    for action, rate in AWS_RATES.items():
        service, _, operation = action.partition(":")
        box.fault(service, operation, "rate", per_second=int(rate))
    box.clear_calls()

    found = candidates(detector(), aws, NOW)

    calls = box.calls()
    assert sum(one["struck"] for one in box.faults()) == 0
    assert seconds.spent + ROUND_TRIP * sum(calls.values()) < LAMBDA.total_seconds()
    assert calls.get("sagemaker:DescribeTrainingJob", 0) < 10
    assert calls.get("sagemaker:ListTrainingJobs", 0) <= number / 30 / 100 + 2
    if detector.name == "duplicate-artifacts":
        verdicts = {one.target.name: detector().decide(one, NOW) for one in found}
        assert [name for name, verdict in verdicts.items() if isinstance(verdict, Finding)]


def test_ten_copies_are_searched_for_no_job_twice(box: Control, session: boto3.Session, aws: Aws) -> None:
    seed(session, box, 600)
    rule = next(one for one in DETECTORS if one.name == "duplicate-artifacts")()
    copies = candidates(rule, aws, NOW)
    box.clear_calls()

    for copy in copies:
        assert rule.look(aws, copy.target, NOW) == copy

    calls = box.calls()
    assert "sagemaker:Search" not in calls
    assert "sagemaker:DescribeTrainingJob" not in calls
    assert calls["sagemaker:ListTrainingJobs"] == len(copies)
