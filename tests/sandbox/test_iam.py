import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ml_janitor.detectors.duplicate_artifacts.prefixes import contents_grants
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.iam import IamControl
from plain_requests import refusal
from policies import allow, document, role, table_request
from sagemaker_requests import configure, hosting
from tables import cases

ROOT = "AKIASANDBOX"
HERE = "123456789012"
JANITOR = f"arn:aws:iam::{HERE}:role/janitor"
TABLE = f"arn:aws:dynamodb:us-east-1:{HERE}:table/ledger"

MODELS = "arn:aws:s3:::models"

type Clients = Callable[..., Any]
type As = Callable[..., Any]


@pytest.fixture
def iam(control: Control) -> IamControl:
    """What is made here is there at once."""
    control.set_durations({"*": 0})
    return IamControl(control.url)


@pytest.fixture
def root(aws: Clients) -> Clients:
    return lambda name, **more: aws(name, key=ROOT, **more)


@pytest.fixture
def under(control: Control, iam: IamControl, aws: Clients) -> As:
    """Makes the janitor's role with these statements, and clients that act as it."""
    assert control.calls() == {}

    def client(name: str, *statements: dict[str, Any]) -> Any:
        iam.enforce({JANITOR: role(*statements)})
        return aws(name, key=iam.credentials(JANITOR)["aws_access_key_id"])

    return client


def denied(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "403")
    return str(caught.value)


def test_it_is_open_until_roles_are_installed(control: Control, iam: IamControl, aws: Clients) -> None:
    aws("sagemaker").list_endpoints()
    iam.enforce({JANITOR: role()})
    assert "UnrecognizedClientException" in refusal(aws("sagemaker").list_endpoints)
    assert "InvalidAccessKeyId" in refusal(aws("s3").list_buckets)
    assert "InvalidClientTokenId" in refusal(aws("sts").get_caller_identity)
    aws("sagemaker", key=ROOT).list_endpoints()
    assert iam.record() == []
    control.reset()
    aws("sagemaker").list_endpoints()


@cases(
    "service, method, params, code, action, resource",
    ("sagemaker", "list_endpoints", {}, "AccessDeniedException", "sagemaker:ListEndpoints", "*"),
    ("cloudwatch", "list_metrics", {}, "AccessDeniedException", "cloudwatch:ListMetrics", "*"),
    ("s3", "list_objects_v2", {"Bucket": "models"}, "AccessDenied", "s3:ListBucket", MODELS),
    ("s3", "head_object", {"Bucket": "models", "Key": "k"}, "403", "s3:GetObject", f"{MODELS}/k"),
    ("sns", "list_topics", {}, "AccessDenied", "sns:ListTopics", "*"),
)
def test_a_refusal_reads_as_on_aws_and_is_recorded(
    *,
    under: As,
    iam: IamControl,
    service: str,
    method: str,
    params: dict[str, Any],
    code: str,
    action: str,
    resource: str,
) -> None:
    client = under(service, allow("sqs:*"))
    with pytest.raises(ClientError) as caught:
        getattr(client, method)(**params)
    error = caught.value.response["Error"]
    assert error["Code"] == code
    if method != "head_object":
        assert error["Message"] == (
            f"User: arn:aws:sts::{HERE}:assumed-role/janitor/sandbox is not authorized to perform: {action} "
            f"on resource: {resource} because no identity-based policy allows the {action} action"
        )
    asked = {"role": JANITOR, "action": action, "resource": resource}
    assert iam.record() == [{**asked, "allowed": False, "by": []}]
    iam.forget()
    assert iam.record() == []


def sm(resource: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:{HERE}:{resource}"


def test_what_is_not_emulated_is_refused_loudly(under: As, iam: IamControl, control: Control) -> None:
    with pytest.raises(ClientError, match="not emulated") as caught:
        under("sagemaker", allow()).describe_hub(HubName="h")
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert "not emulated" in refusal(under("ec2", allow()).describe_instances)
    assert [(one["action"], one["resource"], one["allowed"]) for one in iam.record()] == [
        ("sagemaker:DescribeHub", "not emulated", False),
        ("ec2:DescribeInstances", "not emulated", False),
    ]
    assert sum(control.calls().values()) == 2


def test_only_these_resources(under: As, root: Clients, iam: IamControl) -> None:
    for name in ("mine", "other"):
        root("s3").create_bucket(Bucket=name)
        root("s3").put_object(Bucket=name, Key="a/1", Body=b"x")
    s3 = under(
        "s3",
        allow("s3:ListBucket", "arn:aws:s3:::mine", Condition={"StringLike": {"s3:prefix": "a/*"}}),
        allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::mine/a/*"),
    )
    assert s3.list_objects_v2(Bucket="mine", Prefix="a/")["KeyCount"] == 1
    denied(s3.list_objects_v2, Bucket="mine")
    denied(s3.list_objects_v2, Bucket="other", Prefix="a/")
    s3.copy_object(Bucket="mine", Key="a/2", CopySource="mine/a/1")
    denied(s3.copy_object, Bucket="mine", Key="a/3", CopySource="other/a/1")
    denied(s3.copy_object, Bucket="mine", Key="b", CopySource="mine/a/1")
    denied(s3.delete_object, Bucket="mine", Key="a/1")
    denied(s3.head_object, Bucket="other", Key="a/1")
    put = {"role": JANITOR, "action": "s3:PutObject", "resource": "arn:aws:s3:::mine/a/2"}
    assert put | {"allowed": True, "by": [1]} in iam.record()
    assert root("s3").list_objects_v2(Bucket="mine")["KeyCount"] == 2


def test_a_customers_key_has_to_be_usable_for_its_objects(under: As, root: Clients) -> None:
    root("s3").create_bucket(Bucket="models")
    key = f"arn:aws:kms:us-east-1:{HERE}:key/k-1"
    kms = {"ServerSideEncryption": "aws:kms"}
    root("s3").put_object(Bucket="models", Key="theirs", Body=b"x", SSEKMSKeyId=key, **kms)
    root("s3").put_object(Bucket="models", Key="managed", Body=b"x", **kms)
    reads = allow("s3:GetObject", "arn:aws:s3:::models/*")
    s3 = under("s3", reads)
    s3.get_object(Bucket="models", Key="managed")["Body"].close()
    s3.head_object(Bucket="models", Key="theirs")
    denied(s3.head_object, Bucket="models", Key="theirs", ChecksumMode="ENABLED")
    assert f"kms:Decrypt on resource: {key}" in denied(s3.get_object, Bucket="models", Key="theirs")
    s3 = under("s3", reads, allow("kms:Decrypt", key))
    s3.get_object(Bucket="models", Key="theirs")["Body"].close()


@pytest.mark.parametrize("bucket_key", [False, True])
def test_contents_are_decrypted_only_where_allowed(under: As, root: Clients, *, bucket_key: bool) -> None:
    """With a bucket key, KMS hears of the bucket alone: then only s3:GetObject tells folders apart."""
    key = f"arn:aws:kms:us-east-1:{HERE}:key/k-1"
    for bucket in ("models", "models-private"):
        root("s3").create_bucket(Bucket=bucket)
        for name in ("read/a", "other/a"):
            root("s3").put_object(
                Bucket=bucket, Key=name, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key,
                BucketKeyEnabled=bucket_key,
            )  # fmt: skip
    read, decrypt = contents_grants(["s3://models/read/"])
    when = {one.operator: {one.key: list(one.values)} for one in decrypt.when}
    s3 = under(
        "s3",
        allow("s3:GetObject", "arn:aws:s3:::*"),  # more than the detector's own, so that KMS decides
        allow("kms:Decrypt", key, Condition=when),
    )
    assert (read.action, read.on) == ("s3:GetObject", "arn:aws:s3:::models/read/*")
    s3.get_object(Bucket="models", Key="read/a")["Body"].close()
    denied(s3.get_object, Bucket="models-private", Key="read/a")
    if bucket_key:
        s3.get_object(Bucket="models", Key="other/a")["Body"].close()
    else:
        denied(s3.get_object, Bucket="models", Key="other/a")


def endpoint(root: Clients, name: str, **more: Any) -> None:
    """An endpoint with a model and a configuration of its own."""
    configure(root("sagemaker"), hosting(name, VariantName="v"))
    root("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name, **more)


def scaling(root: Clients, **more: Any) -> dict[str, str]:
    """An endpoint that scales, and what scales of it."""
    endpoint(root, "e")
    where = {"ResourceId": "endpoint/e/variant/v", "ServiceNamespace": "sagemaker"}
    where |= {"ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    root("application-autoscaling").register_scalable_target(**where, MinCapacity=1, MaxCapacity=2, **more)
    return where


def test_tags_of_the_resource_decide(under: As, root: Clients) -> None:
    for name in ("dev", "prod"):
        endpoint(root, name, Tags=[{"Key": "env", "Value": name}])
    endpoint(root, "none")
    deletes = allow("sagemaker:DeleteEndpoint", sm("endpoint/*"))
    others = {"Effect": "Deny", "Condition": {"StringNotEquals": {"aws:ResourceTag/env": "dev"}}}
    client = under("sagemaker", deletes, deletes | others)
    client.delete_endpoint(EndpointName="dev")
    assert "with an explicit deny in an identity-based policy" in denied(
        client.delete_endpoint, EndpointName="prod"
    )
    denied(client.delete_endpoint, EndpointName="none")
    prod = {"StringEquals": {"sagemaker:ResourceTag/env": "prod"}}
    client = under("sagemaker", allow("sagemaker:DeleteEndpoint", Condition=prod))
    denied(client.delete_endpoint, EndpointName="none")
    client.delete_endpoint(EndpointName="prod")


def tagged(s3: Any, bucket: str) -> dict[str, Any]:
    """An object in a bucket with a tag."""
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "env", "Value": "prod"}]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="env=dev")
    return {"Bucket": bucket, "Key": "k"}


def test_a_buckets_tags_decide_for_its_objects_once_that_is_switched_on(under: As, root: Clients) -> None:
    there = [tagged(root("s3"), name) for name in ("switched-on", "switched-off")]
    root("s3").put_bucket_abac(Bucket="switched-on", AbacStatus={"Status": "Enabled"})
    assert root("s3").get_bucket_abac(Bucket="switched-on")["AbacStatus"] == {"Status": "Enabled"}
    assert root("s3").get_bucket_abac(Bucket="switched-off")["AbacStatus"] == {"Status": "Disabled"}
    kept = {"StringEquals": {"aws:ResourceTag/env": "prod"}}
    s3 = under("s3", allow("s3:*"), allow("s3:DeleteObject", Effect="Deny", Condition=kept))

    assert "with an explicit deny" in denied(s3.delete_object, **there[0])
    s3.delete_object(**there[1])
    root("s3").put_bucket_abac(Bucket="switched-on", AbacStatus={"Status": "Disabled"})
    s3.delete_object(**there[0])
    assert "NoSuchBucket" in refusal(root("s3").get_bucket_abac, Bucket="not-there")


def test_tags_of_repositories_alarms_and_what_is_scaled_decide(under: As, root: Clients) -> None:
    tag = {"Key": "env", "Value": "prod"}
    arn = root("ecr").create_repository(repositoryName="repo", tags=[tag])["repository"]["repositoryArn"]
    alarm = {"MetricName": "m", "Namespace": "n", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0}
    root("cloudwatch").put_metric_alarm(
        AlarmName="a", ComparisonOperator="LessThanThreshold", Statistic="Sum", Tags=[tag], **alarm
    )
    scaled = scaling(root, Tags={"env": "prod"})
    kept = {"StringEquals": {"aws:ResourceTag/env": "prod"}}
    may: Any = (allow(), allow(Effect="Deny", Condition=kept))

    denied(under("ecr", *may).tag_resource, resourceArn=arn, tags=[{"Key": "a", "Value": "b"}])
    denied(under("cloudwatch", *may).delete_alarms, AlarmNames=["a"])
    denied(under("application-autoscaling", *may).deregister_scalable_target, **scaled)
    root("cloudwatch").untag_resource(
        ResourceARN=f"arn:aws:cloudwatch:us-east-1:{HERE}:alarm:a", TagKeys=["env"]
    )
    under("cloudwatch", *may).delete_alarms(AlarmNames=["a"])


def test_tags_of_the_request_decide(under: As, root: Clients) -> None:
    seen = {
        "ForAllValues:StringEquals": {"aws:TagKeys": ["ml-janitor"]},
        "StringEquals": {"aws:RequestTag/ml-janitor": "seen"},
    }
    client = under("sagemaker", allow("sagemaker:AddTags", Condition=seen))
    root("sagemaker").create_model(ModelName="m", ExecutionRoleArn=JANITOR)
    tag = {"Key": "ml-janitor", "Value": "seen"}
    client.add_tags(ResourceArn=sm("model/m"), Tags=[tag])
    denied(client.add_tags, ResourceArn=sm("model/m"), Tags=[tag | {"Value": "x"}])
    denied(client.add_tags, ResourceArn=sm("model/m"), Tags=[tag, {"Key": "x", "Value": "y"}])


def test_only_this_namespace_and_these_partition_keys(under: As, root: Clients) -> None:
    own = {"StringEquals": {"cloudwatch:namespace": "MlJanitor"}}
    cloudwatch = under("cloudwatch", allow("cloudwatch:PutMetricData", Condition=own))
    metric = [{"MetricName": "m", "Value": 1.0}]
    cloudwatch.put_metric_data(Namespace="MlJanitor", MetricData=metric)
    denied(cloudwatch.put_metric_data, Namespace="AWS/SageMaker", MetricData=metric)
    root("dynamodb").create_table(**table_request("ledger"))
    leases = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["lease#*"]}}
    table = under("dynamodb", allow(["dynamodb:PutItem", "dynamodb:Query"], TABLE, Condition=leases))
    table.put_item(TableName="ledger", Item={"pk": {"S": "lease#1"}})
    denied(table.put_item, TableName="ledger", Item={"pk": {"S": "finding#1"}})
    queried = {"TableName": "ledger", "KeyConditionExpression": "#k = :k"}
    names = {"ExpressionAttributeNames": {"#k": "pk"}}
    table.query(**queried, **names, ExpressionAttributeValues={":k": {"S": "lease#1"}})
    denied(table.query, **queried, **names, ExpressionAttributeValues={":k": {"S": "finding#1"}})


def test_a_secret_is_known_by_its_whole_arn(under: As, root: Clients) -> None:
    for name in ("ml-janitor/slack", "ml-janitor/slack-2"):
        root("secretsmanager").create_secret(Name=name, SecretString="xoxb")
    where = f"arn:aws:secretsmanager:us-east-1:{HERE}:secret:ml-janitor/slack-??????"
    client = under("secretsmanager", allow("secretsmanager:GetSecretValue", where))
    assert client.get_secret_value(SecretId="ml-janitor/slack")["SecretString"] == "xoxb"
    denied(client.get_secret_value, SecretId="ml-janitor/slack-2")
    denied(client.get_secret_value, SecretId="ml-janitor/none")


def test_a_wrong_policy_is_not_installed(iam: IamControl, aws: Clients) -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {JANITOR: role(allow() | {"Effect": "Maybe"})},
        {JANITOR: role(allow(Condition={"StringEquals": {"aws:SourceVpc": "v"}}))},
        {JANITOR: {"trust": document(allow())}},
        {JANITOR: {"policy": []}},
        {"janitor": role()},
    )
    for wrong in wrongs:
        with pytest.raises(SandboxError, match=r"HTTP|error"):
            iam.enforce(wrong)
    aws("sagemaker").list_endpoints()
    iam.enforce({JANITOR: role()})
    iam.open()
    aws("sagemaker").list_endpoints()


def test_deleting_a_scaled_endpoint_needs_leave_to_stop_its_scaling(under: As, root: Clients) -> None:
    scaling(root)
    deleting = allow("sagemaker:DeleteEndpoint", sm("endpoint/*"))
    said = denied(under("sagemaker", deleting).delete_endpoint, EndpointName="e")
    assert "application-autoscaling:DeregisterScalableTarget" in said
    stopping = allow(
        "application-autoscaling:DeregisterScalableTarget",
        f"arn:aws:application-autoscaling:us-east-1:{HERE}:scalable-target/*",
        Condition={"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
    )
    under("sagemaker", deleting, stopping).delete_endpoint(EndpointName="e")


OF_ACCOUNT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HERE}:root"}}
OF_JANITOR = {"Effect": "Allow", "Principal": {"AWS": JANITOR}}
OF_OTHERS = {
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Condition": {"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{HERE}:role/other-*"]}},
}


@cases(
    "policy, own, of_key, of_table",
    ([OF_ACCOUNT], True, True, True),
    ([OF_ACCOUNT], False, False, False),
    ([OF_JANITOR], False, True, True),
    ([OF_OTHERS | {"Effect": "Allow"}, OF_OTHERS], True, False, False),
    ([{**OF_JANITOR, "Principal": {"AWS": f"{JANITOR}-2"}}], True, False, True),
    ([OF_ACCOUNT, OF_OTHERS], True, False, False),
)
def test_the_policy_of_a_key_or_a_table_counts_too(
    *, under: As, root: Clients, policy: list[dict[str, Any]], own: bool, of_key: bool, of_table: bool
) -> None:
    """A key is used by its own policy, which may leave it to the account's; of a table, either is enough."""
    root("dynamodb").create_table(**table_request("ledger"))
    statements = [allow() | one for one in policy]
    root("dynamodb").put_resource_policy(ResourceArn=TABLE, Policy=json.dumps(document(*statements)))
    about: Any = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
    key = root("kms").create_key(**about, Policy=json.dumps(document(*statements)))["KeyMetadata"]["KeyId"]

    own_statements = [allow()] if own else [allow("sqs:*")]
    mac: Any = {"KeyId": key, "Message": b"-", "MacAlgorithm": "HMAC_SHA_256"}
    item: Any = {"TableName": "ledger", "Item": {"pk": {"S": "a"}}}
    for call, let, given in (
        (under("kms", *own_statements).generate_mac, of_key, mac),
        (under("dynamodb", *own_statements).put_item, of_table, item),
    ):
        if let:
            call(**given)
        else:
            assert "AccessDenied" in denied(call, **given)
