"""Log groups and images against the sandbox: what names an image, and what is unknown when a read fails."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, SweepNote, Verdict
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.forgotten_leftovers.rule import ForgottenLeftovers
from ml_janitor_sandbox.control import Control
from sagemaker_requests import ROLE, pipeline_request, training_request
from tables import cases

URI = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/trainer"
RULE = ForgottenLeftovers()
MEDIA = "application/vnd.oci.image.manifest.v1+json"


class Account:
    """A repository with two old images, of which a model names one, and a log group without a retention."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.ecr: Any = session.client("ecr")
        self.sagemaker: Any = session.client("sagemaker")
        with box.at(NOW - 300 * DAY):
            self.ecr.create_repository(repositoryName="trainer")
            self.digests = {tag: self.push(tag) for tag in ("used", "unused")}
            box.log_group("/aws/sagemaker/TrainingJobs", 50 * GB)
        self.model("serves", f"{URI}:used")

    def push(self, tag: str) -> str:
        manifest = {
            "mediaType": MEDIA,
            "config": {"digest": f"sha256:{tag}", "size": 9},
            "layers": [{"digest": tag, "size": 4 * GB}],
        }
        pushed = self.ecr.put_image(
            repositoryName="trainer", imageManifest=json.dumps(manifest), imageTag=tag
        )
        return str(pushed["image"]["imageId"]["imageDigest"])

    def model(self, name: str, image: str) -> None:
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


def verdicts(aws: Aws) -> Iterator[tuple[str, Verdict]]:
    """Of all that was read, also before a listing broke off."""
    found = RULE.find(aws, NOW)
    while True:
        try:
            one = next(found)
        except (StopIteration, ReadError):
            return
        if not isinstance(one, SweepNote):
            yield one.target.name, RULE.decide(one, NOW)


def findings(aws: Aws) -> dict[str, Finding]:
    return {name: one for name, one in verdicts(aws) if isinstance(one, Finding)}


def test_what_nobody_needs_is_found(account: Account, aws: Aws) -> None:
    found = findings(aws)

    assert set(found) == {"trainer", "/aws/sagemaker/TrainingJobs"}
    assert account.digests["unused"] in found["trainer"].action
    assert account.digests["used"] not in found["trainer"].action


@cases(
    "user",
    "model",
    "digest",
    "other host name",
    "endpoint",
    "training job",
    "ended job",
    "package",
    "pipeline",
    "pull",
)
def test_whoever_names_or_pulls_an_image_keeps_it(account: Account, aws: Aws, user: str) -> None:
    """Near misses: each differs from what is found by one user."""
    image, sagemaker = f"{URI}:unused", account.sagemaker
    match user:
        case "model":
            account.model("another", image)
        case "digest":
            account.model("another", f"{URI}@{account.digests['unused']}")
        case "other host name":
            account.model("another", f"{ACCOUNT}.dkr-ecr.{REGION}.on.aws/trainer:unused")
        case "endpoint":
            account.model("served", image)
            variant = {"VariantName": "all", "ModelName": "served", "InstanceType": "ml.m5.large"}
            sagemaker.create_endpoint_config(
                EndpointConfigName="c", ProductionVariants=[variant | {"InitialInstanceCount": 1}]
            )
            sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
            deployed = [{"SpecifiedImage": image, "ResolvedImage": f"{URI}@{account.digests['unused']}"}]
            variant_path: list[str | int] = ["endpoints", "e", "ProductionVariants", 0]
            account.box.patch("sagemaker", variant_path, DeployedImages=deployed)
            sagemaker.delete_model(ModelName="served")
        case "training job":
            sagemaker.create_training_job(**training_request("j", image=image))
        case "ended job":
            with account.box.at(NOW - 119 * DAY):
                sagemaker.create_training_job(**training_request("j", image=image))
            account.box.patch("sagemaker", ["training_jobs", "j"], TrainingJobStatus="Completed")
        case "package":
            types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
            sagemaker.create_model_package(
                ModelPackageName="m", InferenceSpecification={"Containers": [{"Image": image}], **types}
            )
        case "pipeline":
            sagemaker.create_pipeline(
                **pipeline_request("p", json.dumps({"Steps": [{"Arguments": {"TrainingImage": image}}]}))
            )
        case "pull":
            account.box.pull("trainer", account.digests["unused"], NOW - 100 * DAY)

    assert set(findings(aws)) == {"/aws/sagemaker/TrainingJobs"}


@cases(
    "service, operation, left",
    ("ecr", "DescribeRepositories", {"/aws/sagemaker/TrainingJobs"}),
    ("ecr", "DescribeImages", {"/aws/sagemaker/TrainingJobs"}),
    ("ecr", "BatchGetImage", {"/aws/sagemaker/TrainingJobs"}),
    ("sagemaker", "Search", {"/aws/sagemaker/TrainingJobs"}),
    ("sagemaker", "ListPipelines", {"/aws/sagemaker/TrainingJobs"}),
    ("cloudwatch", "GetMetricData", {"trainer"}),
    ("logs", "DescribeLogGroups", {"trainer"}),
    ("pricing", "GetProducts", {"/aws/sagemaker/TrainingJobs", "trainer"}),
)
@pytest.mark.usefixtures("account")
def test_unread_is_not_found(box: Control, aws: Aws, service: str, operation: str, left: set[str]) -> None:
    """Also where half of the answer arrived: a price falls back to the table."""
    box.fault(service, operation, "deny", times=0)

    assert set(findings(aws)) == left


def test_all_bytes_that_arrived_within_the_retention_are_taken_off(account: Account, aws: Aws) -> None:
    """10 GB eighty days ago and 10 GB yesterday; those of a hundred days ago are not asked for."""
    where = {"LogGroupName": "/aws/sagemaker/TrainingJobs"}
    for days in (100, 80, 1):
        series = {"metric": "IncomingBytes", "dimensions": where, "step": 60, "values": [10 * GB]}
        account.box.metrics("AWS/Logs", [series | {"start": NOW - days * DAY}])

    reason = findings(aws)["/aws/sagemaker/TrainingJobs"].reason

    assert "holds 50 GB, of which at least 30 GB are older than 90 days" in reason


def test_only_what_is_open_is_read_further(account: Account, aws: Aws, box: Control) -> None:
    """No bytes of a group that is empty or has a retention, no manifests of images that others may need."""
    logs = boto3.client("logs")
    logs.put_retention_policy(logGroupName="/aws/sagemaker/TrainingJobs", retentionInDays=30)
    box.log_group("/empty", 0)
    account.sagemaker.delete_model(ModelName="serves")
    box.clear_calls()

    assert findings(aws) == {}
    assert {"cloudwatch:GetMetricData", "ecr:BatchGetImage"}.isdisjoint(box.calls())

    account.model("serves", f"{URI}:used")
    box.fault("ecr", "DescribeImages", "deny", times=0)
    assert findings(aws) == {}
    assert "ecr:BatchGetImage" not in box.calls()


def test_more_images_than_a_page_and_a_batch_hold(account: Account, aws: Aws) -> None:
    with account.box.at(NOW - 200 * DAY):
        for number in range(103):
            account.push(f"build-{number}")
    account.box.clear_calls()

    assert "104 of 105 images" in findings(aws)["trainer"].reason
    assert account.box.calls()["ecr:BatchGetImage"] == 2
