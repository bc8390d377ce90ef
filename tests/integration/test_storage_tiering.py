"""Buckets against the sandbox: what is read of them, by whom, and what is unknown when a read fails."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW
from ml_janitor.aws import s3
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Kept, Verdict
from ml_janitor.core.tiering import GB, LifecycleRule
from ml_janitor.detectors.storage_tiering.rule import StorageTiering
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import ROLE, processing_request
from tables import cases

RULE = StorageTiering()
NAME = "lab-data"


class Account:
    """A bucket with 500 GB of an experiment, 100 days old, and a small one beside it."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.s3: Any = session.client("s3")
        self.sagemaker: Any = session.client("sagemaker")
        with box.at(NOW - 100 * DAY):
            for bucket in (NAME, "lab-small"):
                self.s3.create_bucket(Bucket=bucket)
                self.put("experiments/run/x", 500 * GB if bucket == NAME else GB, bucket)

    def put(self, key: str, size: int, bucket: str = NAME) -> None:
        self.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        self.box.declare([{"bucket": bucket, "key": key, "size": size}])

    def count(self, days: int, read: float) -> None:
        """Have request metrics count what is read of it, and of the bucket, for so many days."""
        for name, rule, much in (("all", {"Filter": {"Prefix": "experiments/"}}, read), ("wide", {}, 9e15)):
            counts: Any = {"Id": name, **rule}
            self.s3.put_bucket_metrics_configuration(Bucket=NAME, Id=name, MetricsConfiguration=counts)
            series = {"dimensions": {"BucketName": NAME, "FilterId": name}, "start": NOW - days * DAY}
            for metric, value in (("AllRequests", 3.0), ("BytesDownloaded", much / days)):
                daily = series | {"metric": metric, "step": 86_400, "values": [value] * days}
                self.box.metrics("AWS/S3", [daily])

    def process(self, name: str, bucket: str) -> None:
        source = {"S3Uri": f"s3://{bucket}/experiments/", "S3DataType": "S3Prefix", "S3InputMode": "File"}
        inputs = [{"InputName": "in", "S3Input": source}]
        self.sagemaker.create_processing_job(**processing_request(name, ProcessingInputs=inputs))
        self.sagemaker.stop_processing_job(ProcessingJobName=name)


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


def verdicts(aws: Aws, rule: StorageTiering = RULE) -> Iterator[tuple[str, Verdict]]:
    for one in rule.find_parts(aws, NOW):
        yield one.target.name, rule.decide(one, NOW)


def verdict(aws: Aws) -> Verdict:
    return dict(verdicts(aws))[NAME]


def proposed(aws: Aws) -> list[LifecycleRule]:
    return [one for found in RULE.find_parts(aws, NOW) for one in RULE.proposed(found, NOW)]


def test_old_bytes_are_found_and_only_that_bucket_is_listed(account: Account, aws: Aws) -> None:
    account.box.clear_calls()
    found = dict(verdicts(aws))

    assert isinstance(found["lab-small"], Kept)
    assert of_type(Finding, found[NAME]).confidence == "likely"
    assert account.box.calls()["s3:ListObjectVersions"] == 1
    assert "s3:GetBucketTagging" not in account.box.calls()
    (rule,) = proposed(aws)
    assert (rule.prefix, rule.transitions) == ("experiments/", ((30, "INTELLIGENT_TIERING"),))
    (one,) = (one for one in RULE.find_parts(aws, NOW) if one.target.name == NAME)
    assert replace(not_none(RULE.look(aws, one.target, NOW)), target=one.target) == one
    assert account.box.calls()["s3:GetBucketTagging"] == 1
    container = {"Image": "serve:1", "ModelDataUrl": f"s3://{NAME}/experiments/run/x"}
    account.sagemaker.create_model(ModelName="unused", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert "model unused, which nothing serves refers to it" in verdict(aws).reason
    theirs = {"ID": "theirs", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 900}}
    account.s3.put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": [theirs]})
    assert "theirs applies already" in verdict(aws).reason


@cases(
    "days, read, expected",
    (95, 0, "DEEP_ARCHIVE at 365 days"),
    (30, 0, "DEEP_ARCHIVE at 365 days"),
    (29, 0, "INTELLIGENT_TIERING at 30 days"),
    (60, 100.0 * GB, "at most 10.0% of it is read in a month"),
    (60, 2000.0 * GB, "no move to another class pays back"),
)
def test_metrics_tell_of_reads(account: Account, aws: Aws, days: int, read: float, expected: str) -> None:
    account.count(days, read)

    assert expected in verdict(aws).reason


def test_a_job_that_read_it_lately_and_an_object_that_is_kept(account: Account, aws: Aws) -> None:
    account.process("elsewhere", "lab-small")
    assert isinstance(verdict(aws), Finding)
    account.process("clean", NAME)
    assert "processing job clean read it within 30 days" in verdict(aws).reason
    account.count(95, 0)  # which tells more than that it was read once
    tagging = {"TagSet": [{"Key": "janitor:keep", "Value": "true"}]}
    account.s3.put_object_tagging(Bucket=NAME, Key="experiments/run/x", Tagging=tagging)
    assert "experiments/run/x is kept: tagged janitor:keep=true" in verdict(aws).reason


def test_an_access_point_may_be_of_any_bucket(account: Account, aws: Aws) -> None:
    account.process("hidden", f"arn:aws:s3:us-east-1:{ACCOUNT}:accesspoint/readers")

    assert "processing job hidden read it within 30 days" in verdict(aws).reason


def test_old_versions_and_uploads_are_found(account: Account, aws: Aws) -> None:
    account.s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Enabled"})
    with account.box.at(NOW - 95 * DAY):
        account.put("experiments/run/x", GB)
        account.put("experiments/run/gone", GB)
        account.s3.delete_object(Bucket=NAME, Key="experiments/run/gone")
        account.s3.create_multipart_upload(Bucket=NAME, Key="part")

    (found,) = (one for one in RULE.find_parts(aws, NOW) if one.target.name == NAME)
    assert list(found.tagged) == ["experiments/run/x"]
    upload, folder = proposed(aws)
    assert (folder.prefix, folder.transitions, folder.noncurrent_expire_after) == ("experiments/", (), 90)
    assert upload.abort_uploads_after == 7


@cases(
    "service, operation",
    ("s3", "GetBucketLifecycleConfiguration"),
    ("s3", "GetObjectLockConfiguration"),
    ("s3", "ListMultipartUploads"),
    ("s3", "ListObjectVersions"),
    ("cloudwatch", "GetMetricData"),
    ("sagemaker", "ListModels"),
    ("sagemaker", "Search"),
    ("sagemaker", "ListProcessingJobs"),
    ("sagemaker", "DescribeProcessingJob"),
)
def test_what_cannot_be_read_is_unknown(account: Account, aws: Aws, service: str, operation: str) -> None:
    account.sagemaker.create_processing_job(**processing_request("clean"))
    account.sagemaker.stop_processing_job(ProcessingJobName="clean")
    account.box.fault(service, operation, "deny", times=0)
    decided = of_type(Kept, verdict(aws))

    assert decided.unknown, decided.reason


def test_a_tag_that_cannot_be_read_may_keep(account: Account, aws: Aws) -> None:
    account.box.fault("s3", "GetObjectTagging", "deny")
    (found,) = (one for one in RULE.find_parts(aws, NOW) if one.target.name == NAME)

    assert [one.name for one in found.takes_along] == [f"s3://{NAME}/experiments/run/x"]


def test_a_huge_bucket_is_unknown(account: Account, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    for number in range(5):
        account.s3.put_object(Bucket=NAME, Key=f"many/{number}", Body=b"")
    monkeypatch.setattr(s3, "MOST_KEY_PAGES", 2)
    assert isinstance(verdict(aws), Finding)
    monkeypatch.setattr(s3, "MOST_KEY_PAGES", 1)

    assert "more than 1 pages, not read to the end" in verdict(aws).reason
