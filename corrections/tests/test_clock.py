import datetime as dt
from typing import Any

import pytest

from corrected import Control

START = dt.datetime(2026, 10, 6, 3, 0, tzinfo=dt.UTC)
LATER = dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def test_every_service_stamps_with_the_time_that_was_set(control: Control, aws: Any, endpoint: Any) -> None:
    control.set_clock(LATER)
    endpoint("e")
    s3, logs = aws("s3"), aws("logs")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="key", Body=b"x")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    now = int(LATER.timestamp() * 1000)
    logs.put_log_events(
        logGroupName="g", logStreamName="s", logEvents=[{"timestamp": now, "message": "hello"}]
    )

    assert aws("sagemaker").describe_endpoint(EndpointName="e")["CreationTime"] == LATER
    assert s3.list_objects_v2(Bucket="bucket")["Contents"][0]["LastModified"] == LATER
    assert s3.head_object(Bucket="bucket", Key="key")["LastModified"] == LATER
    assert s3.list_buckets()["Buckets"][0]["CreationDate"] == LATER
    stream = logs.describe_log_streams(logGroupName="g")["logStreams"][0]
    assert stream["creationTime"] == stream["lastIngestionTime"] == now
    events = aws("cloudtrail").lookup_events()["Events"]
    assert {event["EventTime"] for event in events} == {LATER}


def test_assumed_credentials_expire_by_the_real_clock(aws: Any) -> None:
    """boto3 compares the expiry with its own clock, and would never stop refreshing."""
    answer = aws("sts").assume_role(RoleArn="arn:aws:iam::210987654321:role/r", RoleSessionName="session")
    assert answer["Credentials"]["Expiration"] > dt.datetime.now(dt.UTC)


def test_reset_forgets_everything(control: Control, aws: Any, endpoint: Any) -> None:
    control.set_clock(LATER)
    endpoint("e")
    aws("s3").create_bucket(Bucket="bucket")
    control.metrics("N", [{"metric": "m", "start": START, "values": [1]}])
    control.reset()

    assert control.clock() == START
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    assert aws("s3").list_buckets()["Buckets"] == []
    assert aws("cloudwatch").list_metrics()["Metrics"] == []
    assert aws("cloudtrail").lookup_events()["Events"] == []


def test_an_object_can_be_made_older_than_the_clock(control: Control, aws: Any, endpoint: Any) -> None:
    s3, old = aws("s3"), START - dt.timedelta(days=400)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a/key", Body=b"x")
    control.patch("s3", ["buckets", "bucket", "keys", "a/key"], last_modified=old)
    assert s3.list_objects_v2(Bucket="bucket")["Contents"][0]["LastModified"] == old
    with pytest.raises(LookupError, match="no 'ghost' on the way"):
        control.patch("s3", ["buckets", "ghost"], creation_date=old)
    with pytest.raises(LookupError, match="no such endpoint"):
        control.patch("sagemaker", ["endpoints", "ghost"], status="Failed")
    with pytest.raises(ValueError, match="has no attribute 'colour'"):
        control.patch("s3", ["buckets", "bucket"], colour="red")
    endpoint("e")
    with pytest.raises(ValueError, match="has no member 'endpoint_color'; it has EndpointName"):
        control.patch("sagemaker", ["endpoints", "e"], endpoint_color="red")
