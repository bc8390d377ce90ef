"""What the roles of an armed stack let through, call by call: the act where it is allowed, and no more."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION
from declared import Permission, granted
from hosted import ARMS, LAMBDA, Host, HostedStack
from ml_janitor.aws.calls import ServiceName, make_client
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SIGNING
from recorder import IN_LAMBDAS_HANDS
from sagemaker_requests import ROLE, rented, training_request

RECEIVER, WORKER, UNDO = "interact", "pressed", "undo"

type As = Callable[..., Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> HostedStack:
    return HostedStack(tmp_path_factory.mktemp("stack"))


@pytest.fixture
def host(stack: HostedStack, box: Control) -> Host:
    host = Host(stack.declared, box.url, stack.files)
    host.enforce()
    return host


@pytest.fixture
def under(host: Host) -> As:
    """SageMaker, or another service, as one of the stack's functions sees it."""

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


def test_a_repository_gets_an_absent_tag_and_one_at_a_time(under: As, session: boto3.Session) -> None:
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


def test_undoing_starts_notebooks_and_removes_required_tags_only(under: As, session: boto3.Session) -> None:
    tagged = model(session, "tagged", team="ml-platform", mine="1")
    stopped = notebook(session, "stopped")
    session.client("sagemaker").stop_notebook_instance(**stopped)
    undo = under("undo")

    refused(undo.delete_tags, ResourceArn=tagged, TagKeys=["mine"])
    refused(undo.delete_tags, ResourceArn=tagged, TagKeys=["team", "mine"])
    undo.delete_tags(ResourceArn=tagged, TagKeys=["team"])
    refused(undo.stop_notebook_instance, **stopped)
    undo.start_notebook_instance(**stopped)


def test_two_roles_stop_a_job_and_submit_it_again(under: As, session: boto3.Session) -> None:
    owner = [{"Key": "owner", "Value": "maria"}]
    request = training_request("job", rented(KeepAlivePeriodInSeconds=3600), Tags=owner)
    session.client("sagemaker").create_training_job(**request)
    own, undo = under("hung-training-jobs"), under("undo")
    again = {**request, "TrainingJobName": "job-again"}

    refused(undo.stop_training_job, TrainingJobName="job")
    own.stop_training_job(TrainingJobName="job")
    own.update_training_job(TrainingJobName="job", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    refused(own.create_training_job, **again)
    refused(own.delete_training_job, TrainingJobName="job")
    for role in (f"arn:aws:iam::{ACCOUNT}:role/admin", f"{ROLE}-2", "arn:aws:iam::210987654321:role/ml"):
        denied = refused(undo.create_training_job, **again | {"RoleArn": role})
        assert f"iam:PassRole on resource: {role}" in denied
    undo.create_training_job(**again)


# --- what those that hear presses cannot do --------------------------------------------------------


def held(stack: HostedStack, name: str) -> set[Permission]:
    """What the role of a function allows, but for its own log and queue, which Lambda writes to."""
    deployed = stack.declared.deployed
    (function,) = (one for one in deployed.functions() if one.name == name)
    allowed = granted(deployed.roles()[function.role])
    return {one for one in allowed if one.action not in IN_LAMBDAS_HANDS}


def test_the_receiver_reads_its_secret_and_invokes_the_worker_and_that_is_all(stack: HostedStack) -> None:
    functions = {one.name: one.arn for one in stack.declared.deployed.functions()}
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SIGNING}-??????"

    assert held(stack, RECEIVER) == {
        Permission("lambda:InvokeFunction", functions[WORKER]),
        Permission("secretsmanager:GetSecretValue", secret),
    }


def test_the_worker_invokes_and_remembers_presses_and_reads_its_secret_and_that_is_all(
    stack: HostedStack,
) -> None:
    deployed = stack.declared.deployed
    functions = {one.name: one.arn for one in deployed.functions()}
    own = held(stack, WORKER)
    of_ledger = {one for one in own if one.resource == deployed.one("AWS::DynamoDB::Table")}
    invokes = {one for one in own if one.action == "lambda:InvokeFunction"}

    assert {one.resource for one in invokes} == {functions[name] for name in (*ARMS, UNDO)}
    assert all("dynamodb:LeadingKeys" in {key for _, key, _ in one.when} for one in of_ledger)
    assert {
        keys
        for one in of_ledger
        for _, key, values in one.when
        for keys in values
        if key == "dynamodb:LeadingKeys" and one.action != "dynamodb:Query"
    } == {"hold#*", "request#*", "idempotency#press"}
    signs = {"kms:GenerateMac", "kms:VerifyMac"}
    assert {one.action for one in own - invokes - of_ledger} == {"secretsmanager:GetSecretValue", *signs}


# --- each function turned against the items of others ----------------------------------------------

OTHERS = [
    f"{kind}#{name}#{ACCOUNT}#{REGION}"
    for kind in ("action", "finding", "lease", "request", "sweep")
    for name in ("idle-endpoints", "idle-notebooks")
]
KEYS = [
    *OTHERS,
    *(f"hold#{ACCOUNT}#{REGION}", f"digest#{ACCOUNT}", f"bill#{ACCOUNT}", "limit", "limits", "other"),
    *(f"idempotency#{name}" for name in ("idle-endpoints", "idle-notebooks", "press", "undo", "digest")),
]
WRITES: Mapping[str, set[str]] = {
    "idle-notebooks": {
        *(key for key in KEYS if "idle-notebooks" in key and not key.startswith("request")),
        "limit",
    },
    UNDO: {*(key for key in KEYS if key.startswith(("action", "lease", "hold"))), "idempotency#undo"},
    WORKER: {*(key for key in KEYS if key.startswith(("request", "hold"))), "idempotency#press"},
    "digest": {f"digest#{ACCOUNT}", f"hold#{ACCOUNT}#{REGION}", "idempotency#digest"},
    RECEIVER: set(),
}


def test_no_function_writes_the_items_of_another(host: Host, session: boto3.Session) -> None:
    host.deployed.create(session)
    table = host.deployed.one("AWS::DynamoDB::Table").rpartition("/")[2]

    def allowed(operation: str, **asked: Any) -> bool:
        with suppress(ClientError):
            getattr(client, operation)(TableName=table, **asked)
            return True
        return False

    for name, own in WRITES.items():
        client = host.session(host.function(name).role, LAMBDA).client("dynamodb", endpoint_url=host.url)
        written = set()
        for pk in KEYS:
            key: Any = {"pk": {"S": pk}, "sk": {"S": "forged"}}
            put = allowed("put_item", Item=key)
            changed = allowed(
                "update_item",
                Key=key,
                UpdateExpression="SET x = :x",
                ExpressionAttributeValues={":x": {"S": "x"}},
            )
            deleted = allowed("delete_item", Key=key)
            written |= {pk} if put or changed or deleted else set()
        assert written == own, name
        assert not allowed("scan"), name
        assert not allowed(
            "query", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "other"}}
        )
