"""Deleting and copying under conditions, and bringing back what a delete marker hides."""

import datetime as dt
from typing import Any

import pytest
from botocore.exceptions import ClientError

from corrected import NOW


@pytest.fixture
def s3(aws: Any) -> Any:
    client = aws("s3")
    client.create_bucket(Bucket="plain")
    client.create_bucket(Bucket="kept")
    client.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    return client


def put(s3: Any, bucket: str, key: str, body: bytes = b"one", **more: Any) -> Any:
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more)


def keys(s3: Any, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def refused(call: Any, **asked: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as refusal:
        call(**asked)
    answer = refusal.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("bucket", ["plain", "kept"])
def test_an_object_is_deleted_if_it_is_still_the_one(s3: Any, bucket: str) -> None:
    old = put(s3, bucket, "a", b"one")["ETag"]
    new = put(s3, bucket, "a", b"two")["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="a", IfMatch=old) == ("PreconditionFailed", 412)
    assert keys(s3, bucket) == ["a"]
    s3.delete_object(Bucket=bucket, Key="a", IfMatch=new)
    assert keys(s3, bucket) == []
    assert refused(s3.delete_object, Bucket=bucket, Key="a", IfMatch=new) == ("NoSuchKey", 404)
    assert refused(s3.delete_object, Bucket=bucket, Key="a", IfMatch="*") == ("NoSuchKey", 404)
    put(s3, bucket, "a")
    s3.delete_object(Bucket=bucket, Key="a", IfMatch="*")
    assert keys(s3, bucket) == []


def test_a_version_is_copied_back_over_its_marker(s3: Any) -> None:
    about: dict[str, Any] = {
        "Metadata": {"run": "7"},
        "ContentType": "application/x-model",
        "Tagging": "team=search",
    }
    put(s3, "kept", "a", b"older")
    version = put(s3, "kept", "a", **about)["VersionId"]
    marker = s3.delete_object(Bucket="kept", Key="a")
    assert marker["DeleteMarker"] is True
    listed = s3.list_object_versions(Bucket="kept", Prefix="a")
    assert [one["IsLatest"] for one in listed["DeleteMarkers"]] == [True]
    assert listed["Versions"][0]["VersionId"] == version
    assert refused(s3.head_object, Bucket="kept", Key="a")[1] == 404

    back = s3.copy_object(
        Bucket="kept",
        Key="a",
        CopySource={"Bucket": "kept", "Key": "a", "VersionId": version},
        IfNoneMatch="*",
    )

    found = s3.get_object(Bucket="kept", Key="a")
    with found["Body"] as body:
        assert body.read() == b"one"
    assert (found["Metadata"], found["ContentType"]) == ({"run": "7"}, "application/x-model")
    assert s3.get_object_tagging(Bucket="kept", Key="a")["TagSet"] == [{"Key": "team", "Value": "search"}]
    assert back["CopySourceVersionId"] == version
    assert back["VersionId"] not in (version, marker["VersionId"])
    versions = s3.list_object_versions(Bucket="kept", Prefix="a")["Versions"]
    assert [one["VersionId"] for one in versions if one["IsLatest"]] == [back["VersionId"]]
    assert len(versions) == 3


def test_a_copy_takes_the_place_of_nothing_else(s3: Any) -> None:
    etag = put(s3, "plain", "keeper")["ETag"]
    there = put(s3, "plain", "copy", b"somebody's")["ETag"]
    asked = {"Bucket": "plain", "Key": "copy", "CopySource": "plain/keeper"}
    failed = ("PreconditionFailed", 412)
    assert refused(s3.copy_object, **asked, IfNoneMatch="*") == failed
    assert refused(s3.copy_object, **asked, IfMatch=etag) == failed
    assert refused(s3.copy_object, **asked | {"Key": "none"}, IfMatch=etag) == ("NoSuchKey", 404)
    assert refused(s3.copy_object, **asked, CopySourceIfMatch=there) == failed
    assert refused(s3.put_object, Bucket="plain", Key="copy", Body=b"x", IfNoneMatch="*") == failed
    assert s3.head_object(Bucket="plain", Key="copy")["ETag"] == there
    s3.copy_object(**asked, IfMatch=there, CopySourceIfMatch=etag)
    assert s3.head_object(Bucket="plain", Key="copy")["ETag"] == etag
    s3.copy_object(**asked | {"Key": "new"}, IfNoneMatch="*")


def test_a_locked_version_stays_and_may_still_be_hidden(s3: Any) -> None:
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    lock: dict[str, Any] = {
        "ObjectLockMode": "COMPLIANCE",
        "ObjectLockRetainUntilDate": NOW + dt.timedelta(days=3650),
    }
    put(s3, "locked", "free")
    etag = put(s3, "locked", "a", **lock)["ETag"]
    version = s3.head_object(Bucket="locked", Key="a")["VersionId"]
    assert refused(s3.delete_object, Bucket="locked", Key="a", VersionId=version)[0] == "AccessDenied"
    answer = s3.delete_objects(
        Bucket="locked", Delete={"Objects": [{"Key": "a", "VersionId": version}, {"Key": "free"}]}
    )
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("a", "AccessDenied")]
    assert [one["Key"] for one in answer["Deleted"]] == ["free"]
    s3.delete_object(Bucket="locked", Key="a", IfMatch=etag)
    assert keys(s3, "locked") == []


def test_conditions_know_the_etags_of_a_kms_key(s3: Any) -> None:
    etag = put(s3, "plain", "a", ServerSideEncryption="aws:kms")["ETag"]
    wrong = put(s3, "plain", "b")["ETag"]
    assert refused(s3.delete_object, Bucket="plain", Key="a", IfMatch=wrong) == ("PreconditionFailed", 412)
    s3.delete_object(Bucket="plain", Key="a", IfMatch=etag)
    several: Any = {"Objects": [{"Key": "b", "ETag": etag}]}
    assert refused(s3.delete_objects, Bucket="plain", Delete=several)[0] == "NotImplemented"
    assert keys(s3, "plain") == ["b"]


def test_a_lifecycle_rule_that_expires_an_object_is_named_with_the_date(s3: Any) -> None:
    rules: Any = [
        {"ID": "tmp", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}},
        {"ID": "later", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}},
    ]
    put(s3, "plain", "tmp/a")
    assert "Expiration" not in s3.head_object(Bucket="plain", Key="tmp/a")

    s3.put_bucket_lifecycle_configuration(Bucket="plain", LifecycleConfiguration={"Rules": rules})

    day = s3.head_object(Bucket="plain", Key="tmp/a")["LastModified"].date() + dt.timedelta(days=4)
    expected = f'expiry-date="{day:%a, %d %b %Y} 00:00:00 GMT", rule-id="tmp"'
    assert s3.head_object(Bucket="plain", Key="tmp/a")["Expiration"] == expected
