"""A made-up account of a middling company: a tenth or a fifth of everything is waste."""

from __future__ import annotations

from datetime import timedelta
from hashlib import shake_128
from typing import Any

from bench.box import ACCOUNT, NOW, Box
from ml_janitor_sandbox.control import Control

SIZES = {
    # how many there are, and every how many-th of them is waste
    "endpoints": (300, 10),
    "notebooks": (60, 5),
    "training jobs": (40, 8),
    "Studio apps": (40, 4),
    "models": (200, 10),
    "artifacts": (200, 5),
}

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
BUCKET = "models"
ARTIFACT = 1024 * 1024
"""Bytes: the least that is looked at."""

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
REQUIRED = ("team", "project", "environment", "cost-center", "owner", "managed-by")


def tags(*, complete: bool = True) -> list[Any]:
    """All that is required, or one too few."""
    return [{"Key": key, "Value": "x"} for key in (REQUIRED if complete else REQUIRED[1:])]


def numbered(kind: str, count: int | None = None) -> list[tuple[int, bool]]:
    """Yield the numbers of *kind*, *count* of them if that is given, each with whether it is waste."""
    usual, every = SIZES[kind]
    return [(number, number % every == every - 1) for number in range(usual if count is None else count)]


def seed(box: Box, *, endpoints: int | None = None) -> None:
    """Make all of it, as of a month ago and later; with another number of *endpoints* if it is given."""
    box.control.set_clock(NOW - 30 * DAY)
    _artifacts(box)
    _models(box)
    _endpoints(box, endpoints)
    _notebooks(box)
    _jobs(box)
    _apps(box)
    box.control.set_clock(NOW)


def series(metric: str, values: list[float], step: timedelta, **dimensions: str) -> dict[str, Any]:
    """Publish a metric until now."""
    return {
        "metric": metric,
        "dimensions": dimensions,
        "start": NOW - len(values) * step,
        "step": step.total_seconds(),
        "values": values,
    }


def _artifacts(box: Box) -> None:
    """Every wasteful one has the bytes of the one before it."""
    s3 = box.session.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags()})
    for number, waste in numbered("artifacts"):
        content = number - 1 if waste else number
        body = shake_128(str(content).encode()).digest(ARTIFACT)
        s3.put_object(Bucket=BUCKET, Key=f"{number:03}/model.tar.gz", Body=body)


def _models(box: Box) -> None:
    """Each refers to an artifact, but to none of the surplus copies; some lack a tag."""
    sagemaker = box.session.client("sagemaker")
    surplus = dict(numbered("artifacts"))
    for number, waste in numbered("models"):
        used = number - 1 if surplus[number] else number
        sagemaker.create_model(
            ModelName=f"model-{number:03}",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/{used:03}/model.tar.gz"},
            Tags=tags(complete=not waste),
        )


def _endpoints(box: Box, count: int | None) -> None:
    sagemaker = box.session.client("sagemaker")
    published = []
    for number, waste in numbered("endpoints", count):
        name = f"endpoint-{number:04}"
        variant: Any = {"VariantName": "main", "ModelName": f"model-{number % 200:03}"}
        hosts = {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant | hosts], Tags=tags()
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags())
        values = [0.0 if waste else 12.0] * (8 * 24)
        published.append(series("Invocations", values, HOUR, EndpointName=name, VariantName="main"))
    box.control.metrics("AWS/SageMaker", published)


def _notebooks(box: Box) -> None:
    sagemaker = box.session.client("sagemaker")
    for number, waste in numbered("notebooks"):
        name = f"notebook-{number:03}"
        sagemaker.create_notebook_instance(
            NotebookInstanceName=name, InstanceType="ml.t3.xlarge", RoleArn=ROLE, Tags=tags()
        )
        saved(box.control, "/aws/sagemaker/NotebookInstances", f"{name}/jupyter.log", idle=waste)


def _jobs(box: Box) -> None:
    sagemaker = box.session.client("sagemaker")
    loads = []
    box.control.set_clock(NOW - 40 * HOUR)
    for number, waste in numbered("training jobs"):
        name = f"job-{number:03}"
        sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": "i"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
            ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
            StoppingCondition={"MaxRuntimeInSeconds": 5 * 86400},
            Tags=tags(),
        )
        silent = 20 if waste else 0
        lines = [(NOW - hours * HOUR, "step") for hours in range(39, silent, -1)]
        box.control.logs("/aws/sagemaker/TrainingJobs", f"{name}/algo-1-1700000000", lines)
        for metric in ("GPUUtilization", "CPUUtilization"):
            level = [100.0] * (36 * 12)
            loads.append(series(metric, level, HOUR / 12, Host=f"{name}/algo-1"))
    box.control.metrics("/aws/sagemaker/TrainingJobs", loads)


def _apps(box: Box) -> None:
    domain = studio(box.session.client("sagemaker"), SIZES["Studio apps"][0])
    for number, waste in numbered("Studio apps"):
        saved(box.control, "/aws/sagemaker/studio", app_log(domain, number), idle=waste)


def studio(sagemaker: Any, apps: int) -> str:
    """Create a domain with so many *apps*, each in a space of its own user; return the domain's id."""
    domain: str = sagemaker.create_domain(
        DomainName="studio", AuthMode="IAM", DefaultUserSettings={"ExecutionRole": ROLE},
        SubnetIds=["subnet-1"], VpcId="vpc-1", Tags=tags(),
    )["DomainId"]  # fmt: skip
    for number in range(apps):
        user, space = f"user-{number:04}", f"space-{number:04}"
        sagemaker.create_user_profile(DomainId=domain, UserProfileName=user, Tags=tags())
        sagemaker.create_space(
            DomainId=domain,
            SpaceName=space,
            OwnershipSettings={"OwnerUserProfileName": user},
            SpaceSharingSettings={"SharingType": "Private"},
            SpaceSettings={"AppType": "JupyterLab"},
            Tags=tags(),
        )
        sagemaker.create_app(
            DomainId=domain,
            SpaceName=space,
            AppType="JupyterLab",
            AppName="default",
            ResourceSpec={"InstanceType": "ml.t3.medium"},
            Tags=tags(),
        )
    return domain


def app_log(domain: str, number: int) -> str:
    """Where the app of that *number* writes."""
    return f"{domain}/space-{number:04}/JupyterLab/default"


def saved(control: Control, group: str, stream: str, *, idle: bool) -> None:
    """Somebody saved a notebook, days ago where it is *idle*."""
    control.logs(group, stream, [(NOW - (50 * HOUR if idle else HOUR / 4), "saved")])
