"""What the roles of an armed stack let through, call by call: the act where it is allowed, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION
from declared import Declared
from deployed import Deployed
from hosted import LAMBDA, Host
from ml_janitor.aws.boto_client import ServiceName, make_client
from ml_janitor.config.settings import Settings
from ml_janitor_sandbox.control import Control
from synthesis import SLACK, Synthesised, synthesise

ARMS = {"mode": "act", "act_in": [f"{ACCOUNT}/{REGION}"]}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml"
ARMED = Settings.parse(
    {
        "janitor": {**SLACK["janitor"], "undo_roles": [ROLE]},
        "detectors": {
            "hung-training-jobs": ARMS,
            "idle-notebooks": ARMS,
            "idle-studio-apps": ARMS,
            "untagged-resources": {**ARMS, "fill_tags": {"team": "ml-platform"}},
        },
    }
)

type As = Callable[..., Any]


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesise(tmp_path_factory.mktemp("stack"), ARMED)


@pytest.fixture
def under(armed: Synthesised, box: Control, tmp_path: Path) -> As:
    """SageMaker, or another service, as one of the stack's functions sees it."""
    host = Host(Declared(Deployed(armed, ACCOUNT, REGION), ARMED), box.url, tmp_path)
    host.enforce()

    def client(name: str, service: ServiceName = "sagemaker", *, region: str = REGION) -> Any:
        return make_client(host.session(host.function(name).role, LAMBDA), service, region, 2)

    return client


def notebook(session: boto3.Session, name: str, **tags: str) -> dict[str, str]:
    session.client("sagemaker").create_notebook_instance(
        NotebookInstanceName=name,
        InstanceType="ml.t3.medium",
        RoleArn=ROLE,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return {"NotebookInstanceName": name}


def model(session: boto3.Session, name: str, **tags: str) -> str:
    arn: str = session.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )["ModelArn"]
    return arn


def refused(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError, match="not authorized to perform") as caught:
        call(**params)
    return str(caught.value)


def test_a_notebook_is_stopped_by_its_own_detector_only(under: As, session: boto3.Session) -> None:
    idle = notebook(session, "idle")

    for other in ("idle-studio-apps", "idle-endpoints", "untagged-resources", "undo", "digest"):
        refused(under(other).stop_notebook_instance, **idle)
    refused(under("idle-notebooks", region="eu-west-1").stop_notebook_instance, **idle)
    refused(under("idle-notebooks").start_notebook_instance, **idle)
    refused(under("idle-notebooks").delete_notebook_instance, **idle)
    under("idle-notebooks").stop_notebook_instance(**idle)


@pytest.mark.parametrize("key", ["janitor:keep", "keep"])
def test_what_is_tagged_to_be_kept_is_not_even_stopped_by_mistake(
    under: As, session: boto3.Session, key: str
) -> None:
    kept = notebook(session, "kept", **{key: "True"})
    not_kept = notebook(session, "not-kept", **{key: "false"})

    assert "with an explicit deny" in refused(under("idle-notebooks").stop_notebook_instance, **kept)
    under("idle-notebooks").stop_notebook_instance(**not_kept)


def test_a_tag_is_added_alone_and_only_where_it_is_absent(under: As, session: boto3.Session) -> None:
    bare, has = model(session, "bare"), model(session, "has", Team="search")
    add = under("untagged-resources").add_tags
    team = {"Key": "team", "Value": "ml-platform"}

    refused(add, ResourceArn=has, Tags=[team])
    refused(add, ResourceArn=bare, Tags=[{"Key": "project", "Value": "x"}])
    refused(add, ResourceArn=bare, Tags=[team, {"Key": "project", "Value": "x"}])
    refused(under("untagged-resources").delete_tags, ResourceArn=has, TagKeys=["team"])
    add(ResourceArn=bare, Tags=[team])


def test_a_bucket_gets_one_tag_at_a_time_too(under: As, session: boto3.Session) -> None:
    """Without ABAC a bucket's own tags count in no condition: that it lacks the tag is for the act to see."""
    session.client("s3").create_bucket(Bucket="models")
    bucket: Any = {"AccountId": ACCOUNT, "ResourceArn": "arn:aws:s3:::models"}
    add = under("untagged-resources", "s3control").tag_resource
    remove = under("undo", "s3control").untag_resource
    team, other = {"Key": "team", "Value": "ml-platform"}, {"Key": "mine", "Value": "x"}

    refused(add, **bucket, Tags=[other])
    refused(add, **bucket, Tags=[team, other])
    refused(under("idle-notebooks", "s3control").tag_resource, **bucket, Tags=[team])
    add(**bucket, Tags=[team])
    refused(remove, **bucket, TagKeys=["mine"])
    remove(**bucket, TagKeys=["team"])


def repository(session: boto3.Session, name: str, **tags: str) -> str:
    arn: str = session.client("ecr").create_repository(
        repositoryName=name, tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )["repository"]["repositoryArn"]
    return arn


def test_a_repository_gets_one_tag_at_a_time_and_only_where_it_is_absent(
    under: As, session: boto3.Session
) -> None:
    arn, has = repository(session, "bare"), repository(session, "has", Team="search")
    add, remove = under("untagged-resources", "ecr").tag_resource, under("undo", "ecr").untag_resource
    team, other = {"Key": "team", "Value": "ml-platform"}, {"Key": "mine", "Value": "x"}

    refused(add, resourceArn=has, tags=[team])
    refused(add, resourceArn=arn, tags=[other])
    refused(add, resourceArn=arn, tags=[team, other])
    add(resourceArn=arn, tags=[team])
    refused(add, resourceArn=arn, tags=[team])
    refused(remove, resourceArn=arn, tagKeys=["mine"])
    remove(resourceArn=arn, tagKeys=["team"])


def test_undoing_starts_notebooks_and_removes_required_tags_and_no_others(
    under: As, session: boto3.Session
) -> None:
    tagged = model(session, "tagged", team="ml-platform", mine="1")
    stopped = notebook(session, "stopped")
    session.client("sagemaker").stop_notebook_instance(**stopped)
    undo = under("undo")

    refused(undo.delete_tags, ResourceArn=tagged, TagKeys=["mine"])
    refused(undo.delete_tags, ResourceArn=tagged, TagKeys=["team", "mine"])
    undo.delete_tags(ResourceArn=tagged, TagKeys=["team"])
    refused(undo.stop_notebook_instance, **stopped)
    undo.start_notebook_instance(**stopped)


@pytest.mark.parametrize("key", ["janitor:keep", "keep"])
def test_a_repository_that_is_tagged_to_be_kept_is_not_even_tagged(
    under: As, session: boto3.Session, key: str
) -> None:
    kept = repository(session, "kept", **{key: "True"})
    add = under("untagged-resources", "ecr").tag_resource

    said = refused(add, resourceArn=kept, tags=[{"Key": "team", "Value": "ml-platform"}])

    assert "with an explicit deny" in said


def test_a_job_is_stopped_by_one_role_and_submitted_again_by_another(
    under: As, session: boto3.Session
) -> None:
    request: dict[str, Any] = {
        "TrainingJobName": "job",
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://out/training"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
            "KeepAlivePeriodInSeconds": 3600,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "Tags": [{"Key": "owner", "Value": "maria"}],
    }
    session.client("sagemaker").create_training_job(**request)
    own, undo = under("hung-training-jobs"), under("undo")
    again = {**request, "TrainingJobName": "job-again"}
    elsewhere = {**again, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/admin"}

    refused(undo.stop_training_job, TrainingJobName="job")
    own.stop_training_job(TrainingJobName="job")
    own.update_training_job(TrainingJobName="job", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    refused(own.create_training_job, **again)
    refused(own.delete_training_job, TrainingJobName="job")
    refused(undo.create_training_job, **elsewhere)
    undo.create_training_job(**again)
