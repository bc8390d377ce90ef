"""A snapshot: everything comes back, as often as it is asked for, and nothing that happens later is in it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from conftest import NOW
from ml_janitor_sandbox.control import Control
from plain_requests import refusal
from policies import table_request

type Clients = Callable[..., Any]
URL = "https://sqs.us-east-1.amazonaws.com/123456789012/jobs"
ID = {"pk": {"S": "1"}}


def called(control: Control, times: float) -> None:
    control.metrics("Own", [{"metric": "Calls", "start": NOW - timedelta(minutes=1), "values": [times]}])


def build(aws: Clients, control: Control) -> None:
    """Something in each kind of store: moto's services, the sandbox's own, and files."""
    control.set_clock(NOW - timedelta(days=3))
    aws("s3").create_bucket(Bucket="models")
    aws("s3").put_object(Bucket="models", Key="model", Body=b"weights")
    aws("s3").put_object(Bucket="models", Key="large", Body=b"")
    control.declare([{"bucket": "models", "key": "large", "size": 70_000, "seed": "large"}])
    aws("sqs").create_queue(QueueName="jobs")
    aws("sqs").send_message(QueueUrl=URL, MessageBody="one")
    aws("dynamodb").create_table(**table_request("ledger"))
    aws("dynamodb").put_item(TableName="ledger", Item=ID)
    aws("iam").create_role(RoleName="ml", AssumeRolePolicyDocument="{}")
    aws("lambda").create_function(
        FunctionName="janitor", Role="arn:aws:iam::123456789012:role/ml", Code={"ZipFile": b""}, Handler="a.b"
    )
    aws("sagemaker").create_model(ModelName="churn", ExecutionRoleArn="arn:aws:iam::123456789012:role/ml")
    called(control, 3.0)
    control.set_durations({"endpoint.create": 7})


def seen(aws: Clients, control: Control) -> list[Any]:
    """What is there now, but for what only an answer has."""
    call = aws("cloudwatch").get_metric_statistics
    asked = {"StartTime": NOW - timedelta(hours=1), "EndTime": NOW, "Period": 3600, "Statistics": ["Sum"]}
    visible = aws("sqs").get_queue_attributes(QueueUrl=URL, AttributeNames=["All"])["Attributes"]
    return [
        control.clock(),
        control.durations()["endpoint.create"],
        [one["Name"] for one in aws("s3").list_buckets()["Buckets"]],
        [aws("s3").get_object(Bucket="models", Key=key)["Body"].read() for key in ("model", "large")],
        [one["Key"] for one in aws("s3").list_objects_v2(Bucket="models").get("Contents", ())],
        visible["ApproximateNumberOfMessages"],
        aws("dynamodb").scan(TableName="ledger")["Items"],
        [one["FunctionName"] for one in aws("lambda").list_functions()["Functions"]],
        [role["CreateDate"] for role in aws("iam").list_roles()["Roles"]],
        [(one["ModelName"], one["CreationTime"]) for one in aws("sagemaker").list_models()["Models"]],
        [one["Sum"] for one in call(Namespace="Own", MetricName="Calls", **asked)["Datapoints"]],
    ]


def change(aws: Clients, control: Control) -> None:
    control.set_clock(NOW)
    control.set_durations({"endpoint.create": 8})
    aws("s3").put_object(Bucket="models", Key="model", Body=b"others")
    aws("s3").put_object(Bucket="models", Key="more", Body=b"more")
    aws("sqs").send_message(QueueUrl=URL, MessageBody="two")
    aws("dynamodb").put_item(TableName="ledger", Item={"pk": {"S": "2"}})
    aws("sagemaker").delete_model(ModelName="churn")
    aws("lambda").delete_function(FunctionName="janitor")
    aws("iam").create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    called(control, 4.0)


def test_what_is_kept_comes_back_whatever_happens_to_it(control: Control, aws: Clients) -> None:
    build(aws, control)
    control.keep("before", made="by the test")
    before = seen(aws, control)

    for ruin in (change, lambda *_: control.reset(), change):
        if ruin is not change or control.restore("before"):
            ruin(aws, control)
            assert control.clock() == NOW
        control.fault("s3", "GetObject", "error", times=0)

        assert control.restore("before") == {"made": "by the test"}
        assert (control.faults(), control.calls()) == ([], {})
        assert seen(aws, control) == before


def test_what_was_never_kept_changes_nothing(control: Control, aws: Clients) -> None:
    aws("s3").create_bucket(Bucket="models")

    assert control.restore("never") is None
    assert [one["Name"] for one in aws("s3").list_buckets()["Buckets"]] == ["models"]
    control.reset()
    assert "NoSuchBucket" in refusal(aws("s3").list_objects_v2, Bucket="models")


def test_what_was_about_to_happen_happens_after_it_too(
    control: Control, sagemaker: Any, endpoint: Callable[..., str], later: Callable[..., None]
) -> None:
    endpoint("leaving")
    sagemaker.delete_endpoint(EndpointName="leaving")
    control.keep("leaving")

    for _ in range(2):
        assert control.restore("leaving") == {}
        assert sagemaker.describe_endpoint(EndpointName="leaving")["EndpointStatus"] == "Deleting"
        later(minutes=10)
        assert sagemaker.list_endpoints()["Endpoints"] == []
