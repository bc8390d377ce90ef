"""What recomputed-datasets reads of scripts, images and models, on the sandbox."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import boto3

from conftest import ACCOUNT, DAY, NOW, REGION
from ml_janitor.aws.client import Aws
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.core.model import Verdict
from ml_janitor.detectors.recomputed_datasets import RecomputedDatasets
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import heed_owners
from ml_janitor_sandbox.control import Control
from past_jobs import word
from sagemaker_requests import ROLE, processing_request, rented, transform_request
from verdicts import sweep_once

DIGEST = "sha256:" + "0" * 64


def judged(aws: Aws) -> Mapping[str, Verdict]:
    rule = RecomputedDatasets()
    return {one.target.name: rule.decide(one, NOW) for one in rule.find(aws, NOW)}


def stored(session: boto3.Session, box: Control, key: str, ago: timedelta, body: bytes = b"x") -> None:
    with box.at(NOW - ago):
        s3 = session.client("s3")
        if not any(one["Name"] == "raw" for one in s3.list_buckets()["Buckets"]):
            s3.create_bucket(Bucket="raw")
        s3.put_object(Bucket="raw", Key=key, Body=body)


def ran(
    session: boto3.Session,
    box: Control,
    number: int,
    *inputs: str,
    image: str = f"image@{DIGEST}",
    registry: str = ACCOUNT,
    data: str = "s3://raw/in/",
    instances: int = 1,
) -> None:
    """A processing job that took 20 hours, *number* days ago."""
    name, sagemaker = f"prepare-{number}", session.client("sagemaker")
    with box.at(NOW - number * DAY):
        given: Any = [
            {"InputName": uri[-6:], "S3Input": {"S3Uri": uri, "LocalPath": "/in", "S3DataType": "S3Prefix"}}
            for uri in filter(None, (data, *inputs))
        ]
        sagemaker.create_processing_job(
            **processing_request(
                name,
                rented("ml.m5.4xlarge", instances, 30),
                image=f"{registry}.dkr.ecr.{REGION}.amazonaws.com/{image}",
                ProcessingInputs=given,
            )
        )
    completed(box, "Processing", name, number)


def completed(box: Control, stem: str, name: str, number: int) -> None:
    times: dict[str, Any] = {
        f"{stem}JobStatus": "Completed",
        f"{stem}StartTime": NOW - number * DAY,
        f"{stem}EndTime": NOW - number * DAY + timedelta(hours=20),
    }
    box.patch("sagemaker", [f"{stem.lower()}_jobs", name], **times)


def test_each_instance_of_a_run_is_paid_for(box: Control, session: boto3.Session, aws: Aws) -> None:
    stored(session, box, "in/a.csv", 30 * DAY)
    for number, instances in ((6, 8), (5, 4), (4, 3)):
        ran(session, box, number, instances=instances)

    aws = aws._again(shared=SharedAnswers())
    sweep = sweep_once(RecomputedDatasets(), aws)
    (found,) = sweep.findings
    assert "all but the first, 140 hours of ml.m5.4xlarge" in found.verdict.reason

    newest = aws.arn("sagemaker", "processing-job/prepare-4")
    session.client("sagemaker").add_tags(ResourceArn=newest, Tags=[{"Key": "keep", "Value": "mine"}])
    heeded = heed_owners(aws, sweep, {found.target.key}, now=NOW, policy=RunPolicy())
    assert [one.verdict.reason for one in heeded.results] == ["tagged keep=mine"]


def test_a_scheduled_run_does_not_hide_runs_by_hand(box: Control, session: boto3.Session, aws: Aws) -> None:
    stored(session, box, "in/a.csv", 30 * DAY)
    for number in (6, 5, 4, 1):
        ran(session, box, number)
    schedule = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:monitoring-schedule/daily"
    box.patch("sagemaker", ["processing_jobs", "prepare-1"], MonitoringScheduleArn=schedule)

    verdicts = judged(aws).values()

    assert sorted(word(one) for one in verdicts) == ["found", "kept"]
    assert [one.reason[:7] for one in verdicts if word(one) == "found"] == ["3 runs "]
    assert "a monitoring schedule runs it" in str([one.reason for one in verdicts])


def test_a_script_of_each_run_is_compared_by_its_etag(box: Control, session: boto3.Session, aws: Aws) -> None:
    stored(session, box, "in/a.csv", 30 * DAY)
    for number in (4, 3, 2):
        stored(session, box, f"prepare-{number}/code/run.py", number * DAY, b"the same")
        ran(session, box, number, f"s3://raw/prepare-{number}/code/")
    assert word(judged(aws)["prepare-*"]) == "found"

    stored(session, box, "prepare-2/code/run.py", 2 * DAY, b"another")
    verdicts = judged(aws)
    assert [word(one) for one in verdicts.values()] == ["kept", "kept"]
    assert all(name.startswith("prepare-*") for name in verdicts)

    for number in (4, 3, 2):
        session.client("s3").delete_object(Bucket="raw", Key=f"prepare-{number}/code/run.py")
    assert [word(one) for one in judged(aws).values()] == ["kept"] * 3, "scripts that are gone are alike"


def test_a_job_with_only_a_script_reads_unknown_data(box: Control, session: boto3.Session, aws: Aws) -> None:
    for number in (4, 3, 2):
        stored(session, box, f"prepare-{number}/code/run.py", number * DAY, b"the same")
        ran(session, box, number, f"s3://raw/prepare-{number}/code/", data="")
    assert "it has no input that could be compared" in judged(aws)["prepare-*"].reason


def test_a_tag_of_an_image_counts_since_it_was_pushed(box: Control, session: boto3.Session, aws: Aws) -> None:
    stored(session, box, "in/a.csv", 30 * DAY)
    for number in (6, 5, 4, 3):
        ran(session, box, number, image="features:1")
    assert word(judged(aws)["prepare-*"]) == "unknown"

    ecr = session.client("ecr")
    ecr.create_repository(repositoryName="features")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    for ago, verdict in ((20, "found"), (6, "found"), (5, "kept")):
        with box.at(NOW - ago * DAY):
            layers = [{"digest": f"sha256:{ago:064}", "size": ago}]
            config = {"digest": DIGEST, "size": 1}
            text = json.dumps(manifest | {"layers": layers, "config": config})
            ecr.put_image(repositoryName="features", imageManifest=text, imageTag="1")
        assert word(judged(aws)["prepare-*"]) == verdict, ago

    for number in (12, 11, 10, 9, 8):  # the same name in a registry of AWS's own
        ran(session, box, number, image="features:1", registry="763104351884")
    reasons = [verdict.reason for name, verdict in judged(aws).items() if name.startswith("prepare-*")]
    assert any("features:1 has no digest" in reason for reason in reasons)


def test_a_transform_job_counts_since_its_model(box: Control, session: boto3.Session, aws: Aws) -> None:
    sagemaker: Any = session.client("sagemaker")
    stored(session, box, "in/a.csv", 30 * DAY)
    stored(session, box, "model.tar.gz", 25 * DAY)
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/image@{DIGEST}"
    container = {"Image": image, "ModelDataUrl": "s3://raw/model.tar.gz"}

    def made(ago: float) -> None:
        with box.at(NOW - ago * DAY):
            sagemaker.create_model(ModelName="scorer", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    made(20)
    for number in (6, 5, 4, 3):
        with box.at(NOW - number * DAY):
            sagemaker.create_transform_job(
                **transform_request(
                    f"score-{number}",
                    "scorer",
                    "ml.m5.4xlarge",
                    source="s3://raw/in/",
                    out=f"s3://raw/out/{number}",
                )
            )
        completed(box, "Transform", f"score-{number}", number)
    assert word(judged(aws)["score-*"]) == "found"

    stored(session, box, "model.tar.gz", timedelta(days=4.5))
    assert word(judged(aws)["score-*"]) == "kept"

    stored(session, box, "model.tar.gz", 25 * DAY)
    sagemaker.delete_model(ModelName="scorer")
    assert "its model cannot be read: it is gone" in judged(aws)["score-*"].reason
    made(4.5)
    assert word(judged(aws)["score-*"]) == "kept"
