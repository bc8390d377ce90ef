"""What failed training jobs left in S3, against the sandbox: whoever may need it keeps it."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from conftest import DAY, NOW
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Kept, SweepNote, Verdict
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.forgotten_leftovers import failed_jobs
from ml_janitor.detectors.forgotten_leftovers.failed_jobs import JobOutput
from ml_janitor.detectors.forgotten_leftovers.rule import ForgottenLeftovers
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import (
    ROLE,
    configure,
    hosting,
    package_request,
    pipeline_request,
    processing_request,
    training_request,
    transform_request,
)
from tables import cases

BUCKET = "models"
FOLDER = f"s3://{BUCKET}/out/churn-1"
RULE = ForgottenLeftovers()


class Account:
    """A job that failed long ago and left 40 GB, beside one whose name begins with its name."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.sagemaker: Any = session.client("sagemaker")
        self.s3: Any = session.client("s3")
        with box.at(NOW - 200 * DAY):
            self.s3.create_bucket(Bucket=BUCKET)
            self.job("churn-1", "Failed")
            self.job("churn-10", "Completed")
            for name in ("churn-1", "churn-10"):
                self.put(f"out/{name}/output/output.tar.gz")

    def job(self, name: str, status: str, **members: Any) -> None:
        self.sagemaker.create_training_job(**training_request(name, out=f"s3://{BUCKET}/out/", **members))
        self.box.patch("sagemaker", ["training_jobs", name], TrainingJobStatus=status)

    def put(self, key: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        self.box.declare([{"bucket": BUCKET, "key": key, "size": 40 * GB}])


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


def outputs(aws: Aws) -> Iterator[JobOutput | SweepNote]:
    return failed_jobs.find(aws, RULE.patience, RULE.smallest, RULE.references(aws, NOW), NOW)


def verdicts(aws: Aws) -> dict[str, Verdict]:
    """Of all that was read, also before a listing broke off."""
    found, read = outputs(aws), dict[str, Verdict]()
    while True:
        try:
            one = next(found)
        except (StopIteration, ReadError):
            return read
        if isinstance(one, JobOutput):
            read[one.target.name] = RULE.decide(one, NOW)


@pytest.mark.usefixtures("account")
def test_what_a_failed_job_left_is_found(aws: Aws) -> None:
    (verdict,) = verdicts(aws).values()

    assert isinstance(verdict, Finding)
    assert (verdict.action, verdict.confidence) == (
        f"delete the folder: aws s3 rm --recursive {FOLDER}/",
        "likely",
    )
    assert "left 40 GB in the folder of its name" in verdict.reason
    assert verdict.spared == "what jobs left is only reported"
    assert float(not_none(verdict.cost).monthly_usd or 0) == pytest.approx(40 * 0.023)


def channel(uri: str) -> list[Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]


ARTIFACT = f"{FOLDER}/output/model.tar.gz"


@cases(
    "user, uri, kept",
    ("model", ARTIFACT, "model m, which nothing serves"),
    ("package", ARTIFACT, "model package m"),
    ("pipeline", ARTIFACT, "pipeline p"),
    ("processing", f"{FOLDER}/output/", "processing job prep, which ended"),
    ("processing", f"s3://{BUCKET}/out/churn-10/output/", None),
    ("processing long ago", f"{FOLDER}/output/", None),
    ("transform", ARTIFACT, "transform job score, which ended"),
    ("transform", f"s3://{BUCKET}/in/", None),
    ("endpoint", "gone", "endpoint configuration gone, which exists no more"),
)
def test_whoever_uses_something_in_it_keeps_it(
    account: Account, aws: Aws, user: str, uri: str, kept: str | None
) -> None:
    """Near misses: the same job reads elsewhere, or so long ago that nobody needs its input."""
    sagemaker, named = account.sagemaker, {"Image": "i", "ModelDataUrl": uri}
    user, long_ago, _ = user.partition(" long ago")
    with account.box.at(NOW - (121 if long_ago else 100) * DAY):
        match user:
            case "model":
                sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=named)
            case "package":
                sagemaker.create_model_package(**package_request(uri, ModelPackageName="m"))
            case "pipeline":
                sagemaker.create_pipeline(
                    **pipeline_request("p", json.dumps({"Steps": [{"Arguments": {"Uri": uri}}]}))
                )
            case "processing":
                read = {"S3Uri": uri, "LocalPath": "/in", "S3DataType": "S3Prefix", "S3InputMode": "File"}
                inputs = [{"InputName": "in", "S3Input": read}]
                sagemaker.create_processing_job(**processing_request("prep", ProcessingInputs=inputs))
                account.box.patch("sagemaker", ["processing_jobs", "prep"], ProcessingJobStatus="Completed")
            case "transform":
                sagemaker.create_model(ModelName="served", ExecutionRoleArn=ROLE)
                made = f"{FOLDER}/made"
                sagemaker.create_transform_job(**transform_request("score", "served", source=uri, out=made))
                account.box.patch("sagemaker", ["transform_jobs", "score"], TransformJobStatus="Completed")
            case "endpoint":
                configure(sagemaker, hosting(uri))
                sagemaker.create_endpoint(EndpointName="e", EndpointConfigName=uri)
                sagemaker.delete_endpoint_config(EndpointConfigName=uri)

    (verdict,) = verdicts(aws).values()

    assert isinstance(verdict, Finding if kept is None else Kept)
    assert kept is None or kept in verdict.reason


@cases(
    "members, kept",
    ({"InputDataConfig": channel(f"{FOLDER}/output/")}, True),
    ({"InputDataConfig": channel(FOLDER)}, True),
    ({"InputDataConfig": channel(f"{FOLDER}/")}, True),
    ({"InputDataConfig": channel("s3://other/out/churn-1/output/")}, False),
    ({"InputDataConfig": channel(f"s3://{BUCKET}/out")}, True),
    ({"InputDataConfig": channel(f"s3://{BUCKET}/out/chu")}, True),
    ({"CheckpointConfig": {"S3Uri": f"{FOLDER}/checkpoints"}}, True),
    ({"HyperParameters": {"start": f'"{ARTIFACT}"'}}, True),
    ({"OutputDataConfig": {"S3OutputPath": f"{FOLDER}/more"}}, False),
    ({"InputDataConfig": channel(f"{FOLDER}0/output/")}, False),
)
def test_what_another_job_may_read_is_kept(account: Account, aws: Aws, members: Any, *, kept: bool) -> None:
    """Near misses: each is what is found but for one member of another job, or that names something else."""
    with account.box.at(NOW - DAY):
        account.job("churn-2", "Completed", **members)

    assert [isinstance(one, Kept) for one in verdicts(aws).values()] == [kept]


@cases(
    "members, kept",
    ({"CheckpointConfig": {"S3Uri": f"{FOLDER}/checkpoints"}}, True),
    ({"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/out"}}, True),
    ({"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/"}}, True),
    ({"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/churn-1"}}, False),
    ({"HyperParameters": {"submit": f'"{FOLDER}/source/sourcedir.tar.gz"'}}, False),
)
def test_of_its_own_only_checkpoints_count(account: Account, aws: Aws, members: Any, *, kept: bool) -> None:
    account.box.patch("sagemaker", ["training_jobs", "churn-1"], **members)

    assert [isinstance(one, Kept) for one in verdicts(aws).values()] == [kept]


def test_a_young_job_is_not_looked_at(account: Account, aws: Aws) -> None:
    """An undo may need what it left: a job is restarted within 90 days."""
    with account.box.at(NOW - RULE.patience):
        account.job("churn-3", "Failed")

    assert set(verdicts(aws)) == {"churn-1"}


@cases(
    "service, operation",
    ("sagemaker", "Search"),
    ("sagemaker", "ListPipelines"),
    ("sagemaker", "ListModelPackages"),
    ("sagemaker", "ListProcessingJobs"),
    ("s3", "ListObjectsV2"),
)
@pytest.mark.parametrize("kind", ["deny", "truncate"])
@pytest.mark.usefixtures("account")
def test_no_access_means_no_waste(box: Control, aws: Aws, service: str, operation: str, kind: str) -> None:
    box.fault(service, operation, kind, times=0)

    assert [one for one in verdicts(aws).values() if not (isinstance(one, Kept) and one.unknown)] == []


def test_jobs_beyond_the_limit_count(account: Account, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_jobs, "_MOST_JOBS_LISTED", 1)
    with account.box.at(NOW - 150 * DAY):
        account.job("churn-2", "Stopped")

    note, job = outputs(aws)
    monkeypatch.setattr(failed_jobs, "_MOST_JOBS_LISTED", 2)
    assert [type(each) for each in outputs(aws)] == [JobOutput, JobOutput]

    assert of_type(JobOutput, job).target.name == "churn-2"
    assert note == SweepNote("only the newest 1 of 2 jobs that failed or were stopped were looked at")


def test_a_pipeline_that_cannot_be_described_may_need_it(account: Account, aws: Aws) -> None:
    account.sagemaker.create_pipeline(**pipeline_request("p", json.dumps({"Steps": []})))
    account.box.fault("sagemaker", "DescribePipeline", "deny", times=0)

    (verdict,) = verdicts(aws).values()

    assert isinstance(verdict, Kept)
    assert verdict.unknown
    assert "AccessDenied" in verdict.reason
    account.box.clear_faults()
    assert [isinstance(one, Finding) for one in verdicts(aws).values()] == [True]


@pytest.mark.usefixtures("account")
def test_half_of_a_search_finds_nothing(aws: Aws, box: Control) -> None:
    """The other half may name what the failed job left; and without all jobs the listing is an error."""
    box.set_pages(1)
    box.fault("sagemaker", "Search", "break-page", skip=1, times=0, match='"TrainingJob"')

    (verdict,) = verdicts(aws).values()

    assert isinstance(verdict, Kept)
    assert verdict.unknown
    assert "sagemaker:Search of TrainingJob broke off" in verdict.reason
    with pytest.raises(ReadError, match="sagemaker:Search of TrainingJob broke off"):
        list(outputs(aws))
    box.clear_faults()
    assert [isinstance(one, Finding) for one in verdicts(aws).values()] == [True]
