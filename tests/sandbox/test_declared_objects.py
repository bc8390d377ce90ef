"""Objects of any size that take no room: whatever tells a size agrees, and bytes are made when read."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from conftest import DAY, NOW
from ml_janitor_sandbox.control import Control
from plain_requests import refusal

TB = 1024**4
GB = 1024**3

type Clients = Callable[..., Any]


@pytest.fixture
def s3(aws: Clients, control: Control) -> Any:
    """Two terabytes, a copy of them, and half a megabyte, stored twenty days ago."""
    control.set_clock(NOW - 20 * DAY)
    client = aws("s3")
    client.create_bucket(Bucket="models")
    client.put_bucket_tagging(Bucket="models", Tagging={"TagSet": [{"Key": "project", "Value": "llm"}]})
    for key in ("a", "b", "c"):
        client.put_object(Bucket="models", Key=key, Body=key.encode())
    control.declare(
        [
            {"bucket": "models", "key": "a", "size": 2 * TB, "seed": "weights"},
            {"bucket": "models", "key": "b", "size": 2 * TB, "seed": "weights"},
            {"bucket": "models", "key": "c", "size": 512 * 1024},
        ]
    )
    control.set_clock(NOW)
    return client


def test_list_head_and_the_bucket_s_metric_agree(s3: Any, aws: Clients) -> None:
    listed = {
        one["Key"]: (one["Size"], one["ETag"]) for one in s3.list_objects_v2(Bucket="models")["Contents"]
    }
    heads = {key: s3.head_object(Bucket="models", Key=key) for key in listed}

    assert {key: size for key, (size, _) in listed.items()} == {"a": 2 * TB, "b": 2 * TB, "c": 512 * 1024}
    assert {key: (one["ContentLength"], one["ETag"]) for key, one in heads.items()} == listed
    assert listed["a"][1] == listed["b"][1] != listed["c"][1]
    points = aws("cloudwatch").get_metric_statistics(
        Namespace="AWS/S3",
        MetricName="BucketSizeBytes",
        Dimensions=[
            {"Name": "BucketName", "Value": "models"},
            {"Name": "StorageType", "Value": "StandardStorage"},
        ],
        StartTime=NOW - 3 * DAY,
        EndTime=NOW,
        Period=86400,
        Statistics=["Average"],
    )["Datapoints"]
    assert [one["Average"] for one in points] == [4 * TB + 512 * 1024] * 3


def test_bytes_are_made_when_they_are_read_and_the_same_each_time(s3: Any) -> None:
    def read(key: str, what: str) -> bytes:
        body: bytes = s3.get_object(Bucket="models", Key=key, Range=f"bytes={what}")["Body"].read()
        return body

    middle = f"{TB - 10}-{TB + 100_000}"
    assert len(read("a", middle)) == 100_011
    assert read("a", middle) == read("b", middle)
    assert read("a", middle)[5:10] == read("a", f"{TB - 5}-{TB - 1}")
    assert read("a", "-3") == read("a", f"{2 * TB - 3}-")
    whole = s3.get_object(Bucket="models", Key="c")["Body"].read()
    assert len(whole) == 512 * 1024
    assert whole[70_000:70_010] == read("c", "70000-70009")
    assert hashlib.sha256(whole[:1000]).digest() != hashlib.sha256(read("a", "0-999")).digest()
    assert "in ranges only" in refusal(s3.get_object, Bucket="models", Key="a")


def test_checksums_are_those_that_s3_would_have(s3: Any, control: Control) -> None:
    """One put has a SHA-256 of the whole; a multipart upload only a CRC of it, and its parts in the ETag."""
    sizes = {"small": 100_000, "put": 5 * GB, "parts": 5 * GB + 1, "another": 5 * GB}
    for key in sizes:
        s3.put_object(Bucket="models", Key=key, Body=b"x", ChecksumAlgorithm="SHA256")
    control.declare(
        {"bucket": "models", "key": key, "size": size, "seed": "w" if key != "another" else "v"}
        for key, size in sizes.items()
    )
    s3.copy_object(Bucket="models", Key="copy", CopySource="models/put")

    def head(key: str) -> dict[str, Any]:
        return dict(s3.head_object(Bucket="models", Key=key, ChecksumMode="ENABLED"))

    whole = s3.get_object(Bucket="models", Key="small")["Body"].read()
    assert head("small")["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(whole).digest()).decode()
    assert (
        head("put")["ChecksumSHA256"] == head("copy")["ChecksumSHA256"] != head("another")["ChecksumSHA256"]
    )
    assert "ChecksumSHA256" not in head("parts")
    assert head("a")["ChecksumCRC64NVME"] == head("b")["ChecksumCRC64NVME"]
    assert [head(key)["ETag"].strip('"').partition("-")[2] for key in ("put", "parts", "a")] == [
        "",
        "641",
        "8192",
    ]


def test_a_copy_has_the_size_too_and_an_overwritten_one_has_not(s3: Any) -> None:
    s3.copy_object(Bucket="models", Key="copy", CopySource="models/a")
    s3.put_object(Bucket="models", Key="a", Body=b"small")

    assert s3.head_object(Bucket="models", Key="copy")["ContentLength"] == 2 * TB
    assert s3.get_object(Bucket="models", Key="copy", Range="bytes=0-9")["Body"].read() != b"small"
    assert s3.get_object(Bucket="models", Key="a")["Body"].read() == b"small"


def test_what_is_stored_is_charged_by_the_gigabyte_under_the_bucket_s_tags(s3: Any, control: Control) -> None:
    s3.delete_object(Bucket="models", Key="b")
    control.set_clock(NOW + DAY)

    before, now = [one for one in control.charges() if one["resource"] == "arn:aws:s3:::models"]

    assert (before["usage_type"], before["unit"], before["tags"]) == (
        "TimedStorage-ByteHrs",
        "GB-Mo",
        {"project": "llm"},
    )
    assert float(before["hourly"]) * 730 == pytest.approx(4096)
    assert float(now["hourly"]) * 730 == pytest.approx(2048)
    assert (before["end"], now["start"]) == (now["start"], "2026-10-06T03:00:00Z")
