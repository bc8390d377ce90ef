"""Untagged resources in the sandbox, over HTTP: every kind, every read that can fail, and what it costs."""

from datetime import timedelta
from typing import Any

import boto3
import pytest

import one_of_each
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Kept, NotRead, Target, Value
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.untagged_resources.rule import UntaggedResources
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import (
    component_request,
    domain_request,
    notebook_request,
    pipeline_request,
    processing_request,
    tuning_request,
)
from studio_seed import spelled
from tag_seed import COMPLETE, REGISTRY, ROLE, model, training, transform_job
from verdicts import by_name, shown, sweep_once

ROOT = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
SSO = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Lab_0123456789abcdef/anna@example.com"


def swept(aws: Aws) -> Sweep:
    return sweep_once(UntaggedResources(), aws)


def look(aws: Aws, arn: str, name: str) -> Any:
    target = Target(arn=arn, name=name, kind="", account=ACCOUNT, region=REGION, created=None)
    return UntaggedResources().look(aws, target, NOW)


def test_every_kind_is_listed(aws: Aws, session: boto3.Session) -> None:
    seed_every_kind(session)

    result = swept(aws)

    assert result.error is None
    assert sorted(one.target.kind for one in result.results) == sorted(UntaggedResources.kinds)
    assert result.found == len(UntaggedResources.kinds)


def test_tags_too_new_for_the_api_are_read_exactly(aws: Aws, box: Control, session: boto3.Session) -> None:
    model(session, "whole", **COMPLETE)
    box.fault("tag", "GetResources", "deny", times=0)

    (only,) = swept(aws).results

    assert only.verdict.reason == "it has every required tag"
    assert isinstance(only.target.tags, Value)


def test_only_buckets_and_repositories_of_sagemaker_are_judged(aws: Aws, session: boto3.Session) -> None:
    default = f"sagemaker-{REGION}-{ACCOUNT}"
    s3, ecr = session.client("s3"), session.client("ecr")
    for name in ("models", "logs", "data", default):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_tagging(Bucket="data", Tagging={"TagSet": spelled({"team": "x"})})
    for name in ("serve", "website"):
        ecr.create_repository(repositoryName=name)
    container = {"Image": f"{REGISTRY}/serve@sha256:ab", "ModelDataUrl": "s3://models/m.tar.gz"}
    session.client("sagemaker").create_model(
        ModelName="m",
        ExecutionRoleArn=ROLE,
        Containers=[container],  # type: ignore[list-item]
        Tags=spelled(COMPLETE),
    )
    session.client("sagemaker").create_training_job(
        TrainingJobName="t", **training("s3://data/out"), Tags=spelled(COMPLETE)
    )

    result = swept(aws)

    found = by_name(result)
    assert {one.target.name for one in result.findings} == {"models", "data", default, "serve"}
    assert result.looked_at == 6
    assert found["data"].verdict.reason.startswith(
        "this bucket lacks 5 of 6 required tags: project, environment"
    )
    assert found["data"].target.arn == "arn:aws:s3:::data"
    assert found["serve"].target.arn == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/serve"


def test_tagged_buckets_and_repositories_are_kept(aws: Aws, session: boto3.Session) -> None:
    s3 = session.client("s3")
    s3.create_bucket(Bucket="models")
    s3.put_bucket_tagging(Bucket="models", Tagging={"TagSet": spelled(COMPLETE)})
    session.client("ecr").create_repository(repositoryName="serve", tags=spelled(COMPLETE))
    model(session, "m", **COMPLETE)

    assert {one.target.name: one.verdict.reason for one in swept(aws).results} == dict.fromkeys(
        ["models", "serve", "m"], "it has every required tag"
    )


def test_its_creator_is_read_once_and_suggested(aws: Aws, box: Control, session: boto3.Session) -> None:
    with box.at(NOW - timedelta(days=2)):
        model(acting_as("bob"), "hers")  # an earlier one of the same name
        session.client("sagemaker").delete_model(ModelName="hers")
    with box.at(NOW - timedelta(days=1)):
        model(acting_as("anna"), "hers")
        model(acting_as("ci-bot"), "machine-made")
    box.clear_calls()

    found = by_name(swept(aws))

    assert shown(found["hers"])["created by"] == "anna (IAM user)"
    assert shown(found["hers"])["suggestion"] == "owner = anna?"
    assert shown(found["machine-made"])["created by"] == "ci-bot (IAM user)"
    assert "suggestion" not in shown(found["machine-made"])
    assert box.calls()["cloudtrail:LookupEvents"] == 1


def test_an_automl_job_is_created_by_either_version_of_its_call(aws: Aws) -> None:
    one_of_each.automl(acting_as("anna"))

    assert shown(by_name(swept(aws))["rare"])["created by"] == "anna (IAM user)"


def test_a_creator_signed_on_with_sso_is_suggested(aws: Aws, box: Control, session: boto3.Session) -> None:
    name = f"sagemaker-{REGION}-{ACCOUNT}"
    session.client("s3").create_bucket(Bucket=name)
    detail = {"userIdentity": {"type": "AssumedRole", "arn": SSO}, "requestParameters": {"bucketName": name}}
    at = session.client("s3").list_buckets()["Buckets"][0]["CreationDate"] - timedelta(minutes=5)
    event = {"EventName": "CreateBucket", "EventSource": "s3.amazonaws.com", "EventTime": at.isoformat()}
    box.cloudtrail([event | {"CloudTrailEvent": detail}])

    (only,) = swept(aws).findings

    assert shown(only)["created by"] == "anna@example.com (single sign-on as Lab)"
    assert shown(only)["suggestion"] == "owner = anna@example.com?"


def acting_as(user: str) -> boto3.Session:
    """The sandbox takes an access key that is a name for that user's."""
    return boto3.Session(aws_access_key_id=user, aws_secret_access_key="x", region_name=REGION)


def test_the_trail_is_not_read_for_old_resources(aws: Aws, box: Control, session: boto3.Session) -> None:
    model(session, "whole", **COMPLETE)
    with box.at(NOW - timedelta(days=91)):
        session.client("sagemaker").create_notebook_instance(**notebook_request("desk", "ml.t3.medium"))
    box.clear_calls()

    (desk,) = swept(aws).findings

    assert shown(desk)["created by"] == "not in CloudTrail, which remembers 90 days"
    assert "cloudtrail:LookupEvents" not in box.calls()


def test_calls_are_pages_and_one_per_missing_tag(aws: Aws, box: Control, session: boto3.Session) -> None:
    for number in range(150):
        model(session, f"whole{number:03}", **COMPLETE)
    for number in range(7):
        model(session, f"bare{number}")
    box.clear_calls()

    result = swept(aws)

    assert (result.looked_at, result.found) == (157, 7)
    calls = box.calls()
    assert calls["sagemaker:ListModels"] == 2
    assert calls["tag:GetResources"] == 4
    assert calls["sagemaker:ListTags"] == 7
    assert not [call for call in calls if ":Describe" in call and not call.startswith("ecr:")]


def test_looking_again_reads_one_listing_and_the_tags(aws: Aws, box: Control, session: boto3.Session) -> None:
    arn = model(session, "bare")
    model(session, "bare-2")
    box.clear_calls()

    candidate = look(aws, arn, "bare")
    again = not_none(UntaggedResources().look(aws, candidate.target, NOW))

    assert again.target.created == candidate.target.created
    assert candidate.target.arn == arn
    assert candidate.bulk == NotRead()
    assert isinstance(UntaggedResources().decide(candidate, NOW), Finding)
    assert box.calls() == {"sagemaker:ListModels": 2, "sagemaker:ListTags": 2, "cloudtrail:LookupEvents": 2}


def test_looking_again_does_not_rely_on_the_name_that_was_given(aws: Aws, session: boto3.Session) -> None:
    assert look(aws, model(session, "Bare").lower(), "another").target.name == "Bare"


def test_looking_again_at_what_is_gone_sees_nothing(aws: Aws, session: boto3.Session) -> None:
    model(session, "bare")

    assert look(aws, f"{ROOT}:model/other", "other") is None
    assert look(aws, "arn:aws:s3:::other", "other") is None


def test_looking_again_says_why_a_job_is_not_judged(aws: Aws, box: Control, session: boto3.Session) -> None:
    with box.at(NOW - timedelta(days=30)):
        arn = transform_job(session, "old")
        box.patch("sagemaker", ["transform_jobs", "old"], TransformJobStatus="Completed")

    verdict = of_type(Kept, UntaggedResources().decide(look(aws, arn, "old"), NOW))

    assert verdict.reason == "it is not in progress, and was created before 2026-09-29"


def test_looking_again_fails_if_the_listing_does(aws: Aws, box: Control, session: boto3.Session) -> None:
    arn = model(session, "bare")
    box.fault("sagemaker", "ListModels", "deny", times=0)

    with pytest.raises(ReadError, match="AccessDenied"):
        look(aws, arn, "bare")
    with pytest.raises(ReadError, match="no kind that this detector judges"):
        look(aws, f"{ROOT}:experiment/e", "e")


def test_looking_again_needs_all_uses_of_a_bucket(aws: Aws, box: Control, session: boto3.Session) -> None:
    session.client("s3").create_bucket(Bucket="logs")

    unused = of_type(Kept, UntaggedResources().decide(look(aws, "arn:aws:s3:::logs", "logs"), NOW))
    assert unused.reason == "no model, endpoint or recent training job of this account and region names it"

    box.fault("ecr", "DescribeRepositories", "deny", times=0)
    with pytest.raises(ReadError, match="AccessDenied"):
        look(aws, "arn:aws:s3:::logs", "logs")


def seed_every_kind(session: boto3.Session) -> None:
    """One of each, untagged."""
    sagemaker = session.client("sagemaker")
    model(session, "m")
    sagemaker.create_endpoint_config(
        EndpointConfigName="c",
        ProductionVariants=[
            {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        ],
    )
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    sagemaker.create_notebook_instance(NotebookInstanceName="n", InstanceType="ml.t3.medium", RoleArn=ROLE)
    sagemaker.create_inference_component(**component_request("i", "e", "m", "v"))
    seed_jobs(session)
    domain = sagemaker.create_domain(**domain_request("d"))["DomainId"]
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="u")
    sagemaker.create_space(DomainId=domain, SpaceName="s")
    one_of_each.definitions(session)
    one_of_each.automl(session)
    one_of_each.schedule(session)
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    sagemaker.create_pipeline(**pipeline_request("p"))
    group = {
        "InstanceGroupName": "w",
        "InstanceType": "ml.c5.large",
        "InstanceCount": 1,
        "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-x/", "OnCreate": "x.sh"},
        "ExecutionRole": ROLE,
    }
    sagemaker.create_cluster(ClusterName="k", InstanceGroups=[group])  # type: ignore[list-item]
    session.client("s3").create_bucket(Bucket=f"sagemaker-{REGION}-{ACCOUNT}")
    session.client("ecr").create_repository(repositoryName="serve")


def seed_jobs(session: boto3.Session) -> None:
    sagemaker = session.client("sagemaker")
    sagemaker.create_training_job(TrainingJobName="t", **training("s3://out/"))
    sagemaker.create_processing_job(**processing_request("pj", image=f"{REGISTRY}/p:1"))
    transform_job(session, "tj")
    sagemaker.create_hyper_parameter_tuning_job(
        **tuning_request("hj", TrainingJobDefinition=training("s3://out/"))
    )
