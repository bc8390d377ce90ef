"""Training jobs against the sandbox: what is read, how often, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest

from conftest import DAY, HOUR, MINUTE, NOW
from fakes import target_at
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Target
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor_sandbox.control import Control
from sagemaker_requests import rented, training_request
from tables import cases
from verdicts import only, sweep_once

GROUP = NAMESPACE = "/aws/sagemaker/TrainingJobs"
AGE = 264 * HOUR

LISTINGS = {
    "sagemaker:Search": 2,  # jobs in progress, and what changed lately and may have left a warm pool
    "sagemaker:ListTrainingJobs": 1,  # those of the last day
    "sagemaker:ListProcessingJobs": 1,
    "sagemaker:ListTransformJobs": 1,
    "sagemaker:ListHyperParameterTuningJobs": 1,
}

SIX_HOURS = 6 * 12
FULL, REST = [400.0] * SIX_HOURS, [0.0] * SIX_HOURS
SPINNING = [420.0] * SIX_HOURS


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    with box.at(NOW - 300 * DAY):
        for bucket in ("models", "ckpt"):
            session.client("s3").create_bucket(Bucket=bucket)
    return Account(box, session)


@dataclass(frozen=True)
class Account:
    """Training jobs of any age and state in the sandbox."""

    box: Control
    session: boto3.Session

    def job(
        self,
        name: str,
        *,
        hosts: int = 1,
        age: timedelta = AGE,
        silent: timedelta | None = 100 * HOUR,
        gpu: Sequence[float] = FULL,
        cpu: Sequence[float] | None = None,
        tags: dict[str, str] | None = None,
        **request: Any,
    ) -> None:
        """One that logged every hour until *silent* ago; None for one that never did."""
        with self.box.at(NOW - age):
            self.session.client("sagemaker").create_training_job(
                **training_request(
                    name,
                    rented("ml.p3.8xlarge", hosts, 100),
                    out="s3://models/runs",
                    seconds=28 * 86400,
                    CheckpointConfig={"S3Uri": f"s3://ckpt/{name}"},
                    Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
                    **request,
                )
            )
        for host in range(1, hosts + 1):
            if silent is not None:
                events = [(at, "step") for at in hourly(NOW - age, NOW - silent)]
                self.box.logs(GROUP, f"{name}/algo-{host}-1790000000", events)
            self.measure(f"{name}/algo-{host}", gpu, SPINNING if cpu is None else cpu)
            if silent is not None and silent > 6 * HOUR:
                self.work(f"{name}/algo-{host}", NOW - silent)

    def measure(self, host: str, gpu: Sequence[float], cpu: Sequence[float]) -> None:
        series = [
            {
                "metric": metric,
                "dimensions": {"Host": host},
                "start": NOW - 6 * HOUR,
                "step": 300,
                "values": list(values),
            }
            for metric, values in (("GPUUtilization", gpu), ("CPUUtilization", cpu))
            if values
        ]
        self.box.metrics(NAMESPACE, series)

    def work(self, host: str, until: datetime, gpu: Sequence[float] = (250.0, 390.0)) -> None:
        """Let its GPUs have worked for three hours."""
        values = [*gpu] * (36 // len(gpu))
        series = {"metric": "GPUUtilization", "dimensions": {"Host": host}, "values": values}
        self.box.metrics(NAMESPACE, [series | {"start": until - 3 * HOUR, "step": 300}])

    def write(self, bucket: str, key: str, *, ago: timedelta) -> None:
        with self.box.at(NOW - ago):
            self.session.client("s3").put_object(Bucket=bucket, Key=key, Body=b"weights")


def hourly(first: datetime, last: datetime) -> list[datetime]:
    hours = (last - first) // HOUR
    return [first + n * HOUR for n in range(hours)] + [last]


def target(name: str) -> Target:
    return target_at(f"training-job/{name}", None)


def swept(aws: Aws) -> Sweep:
    return sweep_once(HungTrainingJobs(), aws)


def test_a_deadlock_is_found(account: Account, aws: Aws) -> None:
    account.job("llama", hosts=4, silent=250 * HOUR, tags={"owner": "maria"})
    account.write("ckpt", "llama/step-7", ago=251 * HOUR)

    result = only(swept(aws))

    assert isinstance(result.verdict, Finding)
    assert result.verdict.confidence == "proven"
    assert result.verdict.reason == (
        "this training job logged nothing for 10 days (its longest pause before was 60 minutes),"
        " wrote nothing to S3, and the GPUs of all 4 hosts spin at full load without a change; $58.75 an hour"
    )
    assert result.verdict.since == NOW - 250 * HOUR
    assert result.owner == "maria"
    assert result.accrued_usd == Decimal("58.752") * 264


def test_a_trainer_that_logs_rarely_is_no_proven_deadlock(account: Account, aws: Aws) -> None:
    """Its GPUs were as full while it still logged."""
    account.job("rare", age=15 * HOUR, silent=None)
    events = [(NOW - hours * HOUR, "epoch") for hours in (14.5, 12.5, 10.5, 8.5)]
    account.box.logs(GROUP, "rare/algo-1-1790000000", events)
    account.work("rare/algo-1", NOW - 6 * HOUR, gpu=FULL[:1])
    account.work("rare/algo-1", NOW - 9 * HOUR, gpu=FULL[:1])

    verdict = only(swept(aws)).verdict

    assert isinstance(verdict, Finding)
    assert verdict.confidence == "likely"
    assert (
        "without a change; they stood so for 3 hours while it still logged, so it may log" in verdict.reason
    )
    account.box.fault("cloudwatch", "GetMetricData", "deny", skip=1)
    assert "its load while it still logged could not be read" in only(swept(aws)).verdict.reason


@cases(
    "bucket, key, alive",
    ("ckpt", "llama/step-9", True),
    ("models", "runs/llama/debug-output/9", True),
    ("models", "runs/llama/profiler-output/framework/9", False),
    ("models", "runs/llama/rule-output/ProfilerReport-1/9.json", False),
    ("models", "runs/llama/profiler-output/system/incremental/9", False),
    ("models", "runs/llama-2/debug-output/9", False),
    ("ckpt", "llama-2/step-9", False),
)
def test_writing_is_a_sign_of_life(account: Account, aws: Aws, *, bucket: str, key: str, alive: bool) -> None:
    account.job("llama")
    account.write(bucket, key, ago=HOUR)

    assert isinstance(only(swept(aws)).verdict, Finding) is not alive


def test_its_load_stands_still_for_as_long_as_its_pauses_ask(account: Account, aws: Aws) -> None:
    """Three times its longest pause are nine hours, in the first of which its GPUs got to work."""
    account.job("llama", age=112 * HOUR, silent=None)
    events = [(NOW - hours * HOUR, "step") for hours in (112, 109, 106, 103, 100)]
    account.box.logs(GROUP, "llama/algo-1-1790000000", events)
    first = {"metric": "GPUUtilization", "dimensions": {"Host": "llama/algo-1"}, "start": NOW - 9 * HOUR}
    account.box.metrics(NAMESPACE, [{**first, "step": 300, "values": REST[:12]}])

    assert only(swept(aws)).verdict.reason == "silent, but the load of algo-1 varies like work"


def test_waiting_jobs_and_other_phases_cost_one_call_each(account: Account, aws: Aws) -> None:
    for phase in ("Starting", "Pending", "Downloading", "Uploading", "Interrupted"):
        account.job(phase)
        account.box.patch("sagemaker", ["training_jobs", phase], secondary_status=phase)
    account.box.clear_calls()

    report = swept(aws)

    assert (report.looked_at, report.kept, report.unknown) == (5, 5, 0)
    assert account.box.calls() == LISTINGS | {"sagemaker:DescribeTrainingJob": 5}


def test_jobs_that_log_are_heard_in_one_call_and_not_described(account: Account, aws: Aws) -> None:
    for name in ("bert", "clip", "gpt"):
        account.job(name, silent=MINUTE)
    account.job("llama")
    account.box.clear_calls()

    report = swept(aws)

    assert [found.target.name for found in report.findings] == ["llama"]
    assert account.box.calls() == LISTINGS | {
        "sagemaker:DescribeTrainingJob": 1,
        "logs:DescribeLogStreams": 2,  # of all jobs, and of the silent one
        "logs:GetLogEvents": 3,  # the newest event, and the history of a few events with its end
        "s3:ListObjectsV2": 2,
        "cloudwatch:GetMetricData": 2,  # since it fell silent, and while it logged
        "sagemaker:ListTags": 1,
        "pricing:GetProducts": 2,
    }
    busy = HungTrainingJobs().look(aws, target("bert"), NOW)
    assert busy is not None
    kept = next(one for one in report.results if one.target.name == "bert").verdict
    assert kept.reason == HungTrainingJobs().decide(busy, NOW).reason, "as a description says"


def test_a_job_past_its_own_limit_is_found_though_it_logs(account: Account, aws: Aws) -> None:
    account.job("late", silent=MINUTE, age=26 * HOUR, StoppingCondition={"MaxRuntimeInSeconds": 86400})
    account.box.clear_calls()

    verdict = only(swept(aws)).verdict

    assert isinstance(verdict, Finding)
    assert "in training 2 hours after the end of its own limit of 24 hours" in verdict.reason
    assert "logs:DescribeLogStreams" not in account.box.calls()


def test_jobs_that_ended_are_no_candidates_and_hide_none(account: Account, aws: Aws) -> None:
    account.job("llama", age=8 * HOUR, silent=7 * HOUR)
    with account.box.at(NOW - 20 * HOUR):
        for n in range(150):
            account.session.client("sagemaker").create_training_job(
                **training_request(f"done-{n}", out="s3://models/runs")
            )
            account.box.patch("sagemaker", ["training_jobs", f"done-{n}"], training_job_status="Completed")

    assert only(swept(aws)).target.name == "llama"  # behind a first page without any job in progress


def test_a_broken_listing_is_an_error_and_the_rest_is_reported(account: Account, aws: Aws) -> None:
    account.job("llama")
    for n in range(110):
        account.job(f"other-{n}", age=HOUR, silent=None, gpu=[])
    account.job("newest", age=8 * HOUR, silent=7 * HOUR)
    account.box.patch("sagemaker", ["training_jobs", "newest"], creation_time=NOW.isoformat())
    account.box.patch("sagemaker", ["training_jobs", "llama"], creation_time=(NOW - 9 * HOUR).isoformat())
    account.box.fault("sagemaker", "Search", "deny", times=0)
    account.box.fault("sagemaker", "ListTrainingJobs", "break-page", skip=1, times=0)

    report = swept(aws)

    assert report.error is not None
    assert "sagemaker:ListTrainingJobs broke off after 100" in report.error
    assert [result.target.name for result in report.findings] == ["llama"]  # the oldest are listed first
