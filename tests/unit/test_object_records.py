"""What is recorded of an object comes back as it was, and what could not is said."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ml_janitor.detectors.duplicate_artifacts import act
from ml_janitor.detectors.duplicate_artifacts.act import CopyRecord
from ml_janitor.detectors.duplicate_artifacts.contents import SeenObject, object_in_head
from tables import cases

HEAD: dict[str, Any] = {
    "ContentLength": 7,
    "ETag": '"0123456789abcdef0123456789abcdef"',
    "LastModified": datetime(2026, 8, 1, tzinfo=UTC),
    "VersionId": "v1",
    "StorageClass": "GLACIER_IR",
    "Metadata": {"run": "7"},
    "ContentType": "application/x-tar",
    "Expires": datetime(2027, 1, 31, tzinfo=UTC),
    "ExpiresString": "Sun, 31 Jan 2027 00:00:00 GMT",
    "WebsiteRedirectLocation": "/other",
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
    "BucketKeyEnabled": True,
}


def seen(**changes: Any) -> SeenObject:
    return object_in_head("models", "b.tar.gz", {**HEAD, **changes})


def record(**changes: Any) -> CopyRecord:
    tags = {"team": "a b", "stage": "x&y=é"}
    return CopyRecord.of(seen(**changes), seen(), tags=tags, versioning="Enabled", proof="equal SHA-256")


def test_a_record_is_plain_json_and_comes_back() -> None:
    one = record()

    assert CopyRecord.read(json.loads(json.dumps(one.json()))) == one


def test_it_writes_what_was_there() -> None:
    assert record().writing() == {
        "Bucket": "models",
        "Key": "b.tar.gz",
        "Metadata": {"run": "7"},
        "StorageClass": "GLACIER_IR",
        "ContentType": "application/x-tar",
        "WebsiteRedirectLocation": "/other",
        "Expires": datetime(2027, 1, 31, tzinfo=UTC),
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
        "BucketKeyEnabled": True,
        "Tagging": "team=a+b&stage=x%26y%3D%C3%A9",
    }


@cases(
    "changes",
    {"ETag": '"f"'},
    {"VersionId": "v2"},
    {"LastModified": datetime(2026, 8, 2, tzinfo=UTC)},
    {"Metadata": {}},
    {"StorageClass": "STANDARD"},
)
def test_another_object_is_not_taken_for_it(changes: dict[str, Any]) -> None:
    assert record().is_(seen())
    assert not record().is_(seen(**changes))


@cases(
    "changes, odd",
    ({}, None),
    ({"MissingMeta": 1}, "metadata that S3 does not tell"),
    ({"ExpiresString": "never"}, "an Expires header that is not a date"),
    ({"ReplicationStatus": "COMPLETED"}, "a replica in another bucket, where deleting it may be repeated"),
    ({"ReplicationStatus": "PENDING"}, "a replica in another bucket, where deleting it may be repeated"),
)
def test_what_could_not_be_written_again_is_said(changes: dict[str, Any], odd: str | None) -> None:
    head = {**HEAD, **changes}
    if changes.get("ExpiresString") == "never":
        del head["Expires"]

    assert object_in_head("models", "b.tar.gz", head).odd == odd


def test_what_is_being_restored_cannot_be_read_yet() -> None:
    assert not seen(Restore='ongoing-request="true"').restored
    assert seen(Restore='ongoing-request="false", expiry-date="Fri, 09 Oct 2026 00:00:00 GMT"').restored


def test_what_one_copy_and_one_upload_may_hold_is_as_s3_has_it() -> None:
    assert (act.COPY_LIMIT_BYTES, act.MOST_COPY_PARTS) == (5 * 1000**3, 10_000)


@pytest.mark.parametrize("size", [1, act.COPY_PART_BYTES, act.COPY_PART_BYTES + 1, 6 * 1000**3, 5 * 1024**4])
def test_parts_cover_every_byte_once_and_are_no_more_than_s3_takes(size: int) -> None:
    parts = act.part_ranges(size)

    assert [number for number, _, _ in parts] == list(range(1, len(parts) + 1))
    assert len(parts) <= act.MOST_COPY_PARTS
    assert [first for _, first, _ in parts] == [0, *(last + 1 for _, _, last in parts[:-1])]
    assert parts[-1][2] == size - 1
