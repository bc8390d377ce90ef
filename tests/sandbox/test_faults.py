import time
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.parsers import ResponseParserError

from ml_janitor_sandbox.control import Control
from plain_requests import refusal
from tables import cases

# One read of each protocol: json, cbor (twice, with and without query-compatible errors), query, REST.
READS = {
    "sagemaker:ListEndpoints": ("sagemaker", "list_endpoints"),
    "logs:DescribeLogGroups": ("logs", "describe_log_groups"),
    "cloudwatch:ListMetrics": ("cloudwatch", "list_metrics"),
    "tag:GetResources": ("resourcegroupstaggingapi", "get_resources"),
    "sts:GetCallerIdentity": ("sts", "get_caller_identity"),
    "s3:ListBuckets": ("s3", "list_buckets"),
}


def call(aws: Any, name: str, attempts: int = 1) -> Any:
    service, method = READS[name]
    return getattr(aws(service, attempts=attempts), method)()


@pytest.mark.parametrize("name", READS)
@cases(
    "kind, codes",
    ("throttle", {"ThrottlingException", "Throttling", "SlowDown"}),
    ("error", {"InternalFailure", "InternalError"}),
    ("deny", {"AccessDeniedException", "AccessDenied"}),
    ("lost-reply", {"InternalFailure", "InternalError"}),
)
def test_all_protocols_show_errors(control: Control, aws: Any, name: str, kind: str, codes: set[str]) -> None:
    service, operation = name.split(":")
    control.fault(service, operation, kind)
    with pytest.raises(ClientError) as caught:
        call(aws, name)
    assert caught.value.response["Error"]["Code"] in codes
    if kind == "deny":
        assert f"is not authorized to perform: {name}" in str(caught.value)
    call(aws, name)
    assert control.calls()[name] == 2


@pytest.mark.parametrize("name", READS)
def test_botocore_retries_what_it_should(control: Control, aws: Any, name: str) -> None:
    service, operation = name.split(":")
    control.fault(service, operation, "throttle")
    call(aws, name, attempts=2)
    assert control.calls()[name] == 2


def test_a_fault_may_be_meant_for_one_caller(control: Control, aws: Any) -> None:
    control.fault("sagemaker", "ListEndpoints", "deny", times=0, principal="unlucky")
    aws("sagemaker", key="lucky").list_endpoints()
    assert "AccessDenied" in refusal(aws("sagemaker", key="unlucky").list_endpoints)


def test_faults_choose_by_glob_count_and_content(control: Control, aws: Any) -> None:
    sagemaker = aws("sagemaker")
    control.fault("sagemaker", "Describe*", "error", times=0, match="unlucky", code="Own", status=418)
    assert "Own" in refusal(sagemaker.describe_endpoint, EndpointName="unlucky")
    assert "Could not find" in refusal(sagemaker.describe_endpoint, EndpointName="lucky")
    control.clear_faults()
    control.fault("sagemaker", "ListEndpoints", "error", skip=1, times=1)
    sagemaker.list_endpoints()
    with pytest.raises(ClientError):
        sagemaker.list_endpoints()
    sagemaker.list_endpoints()


def test_faults_in_force_say_how_often_they_struck(control: Control, aws: Any) -> None:
    control.fault("sagemaker", "ListEndpoints", "error", skip=1, times=1)
    control.fault("sagemaker", "ListModels", "deny")
    sagemaker = aws("sagemaker")
    for _ in range(3):
        with suppress(ClientError):
            sagemaker.list_endpoints()
    assert control.faults() == [
        {"service": "sagemaker", "operation": "ListEndpoints", "kind": "error", "struck": 1},
        {"service": "sagemaker", "operation": "ListModels", "kind": "deny", "struck": 0},
    ]
    control.clear_faults()
    assert control.faults() == []


def test_latency_only_delays(control: Control, aws: Any) -> None:
    control.fault("sagemaker", "*", "latency", times=1, latency=0.2)
    begun = time.monotonic()
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    assert time.monotonic() - begun >= 0.2


def test_a_lost_reply_has_done_its_work(control: Control, sagemaker: Any, endpoint: Any) -> None:
    endpoint("e")
    control.fault("sagemaker", "DeleteEndpoint", "lost-reply")
    assert "InternalFailure" in refusal(sagemaker.delete_endpoint, EndpointName="e")
    assert [one["EndpointStatus"] for one in sagemaker.list_endpoints()["Endpoints"]] == ["Deleting"]


def test_a_truncated_reply_is_an_error_in_xml_and_silence_in_json(control: Control, aws: Any) -> None:
    """botocore's fault, not the sandbox's: whoever reads a list has to see that it is there."""
    control.fault("*", "*", "truncate", times=0)
    with pytest.raises(ResponseParserError):
        call(aws, "sts:GetCallerIdentity")
    assert "Endpoints" not in call(aws, "sagemaker:ListEndpoints")


@pytest.mark.parametrize("name", READS)
def test_a_dropped_connection_is_an_error_in_every_protocol(control: Control, aws: Any, name: str) -> None:
    control.fault("*", "*", "drop", times=0)
    with pytest.raises(ConnectionClosedError):
        call(aws, name)


def test_a_broken_page_stays_broken_and_those_before_work(control: Control, aws: Any, endpoint: Any) -> None:
    for number in range(25):
        endpoint(f"e{number}")
    control.fault("sagemaker", "ListEndpoints", "break-page", skip=2)
    for _ in range(2):
        seen = 0
        pages = aws("sagemaker", attempts=3).get_paginator("list_endpoints").paginate()
        with pytest.raises(ClientError, match="InternalFailure"):  # noqa: PT012  it fails in the midst
            for page in pages:
                seen += len(page["Endpoints"])
        assert seen == 20


def test_calls_are_counted_by_their_real_names(control: Control, aws: Any) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="b-1")
    s3.put_object(Bucket="b-1", Key="a/b c+d", Body=b"x")
    control.clear_calls()
    bucket, key = {"Bucket": "b-1"}, {"Bucket": "b-1", "Key": "a/b c+d"}
    asked: dict[str, dict[str, str]] = {
        **dict.fromkeys(("HeadBucket", "GetBucketLocation", "GetBucketVersioning"), bucket),
        **dict.fromkeys(
            ("ListObjectsV2", "ListObjects", "ListObjectVersions", "ListMultipartUploads"), bucket
        ),
        **dict.fromkeys(("GetObjectLockConfiguration", "GetBucketTagging"), bucket),  # of which there is none
        **dict.fromkeys(("HeadObject", "GetObject", "GetObjectTagging"), key),
        "ListBuckets": {},
    }
    for operation, params in asked.items():
        with suppress(ClientError):
            answer = s3._make_api_call(operation, dict(params))
            if "Body" in answer:
                answer["Body"].close()
    assert control.calls() == {f"s3:{operation}": 1 for operation in asked}


def test_requests_tell_region_account_and_principal(control: Control, aws: Any) -> None:
    credentials = aws("sts").assume_role(
        RoleArn="arn:aws:iam::210987654321:role/r", RoleSessionName="session"
    )["Credentials"]
    key = credentials["AccessKeyId"]
    aws("sagemaker", region="eu-west-1", key=key).list_endpoints()
    assert control.requests()[-1] == {
        "service": "sagemaker",
        "operation": "ListEndpoints",
        "region": "eu-west-1",
        "account": "210987654321",
        "principal": key,
    }


@cases(
    "service, method",
    ("sagemaker", "list_hubs"),
    ("cloudwatch", "describe_alarm_history"),
    ("pricing", "describe_services"),
)
def test_a_missing_operation_says_so_at_once(control: Control, aws: Any, service: str, method: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(aws(service, attempts=4), method)()
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert sum(control.calls().values()) == 1
