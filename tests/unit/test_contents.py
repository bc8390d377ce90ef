"""What checksums and bytes say about two objects, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ml_janitor.core.model import Value
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.contents import (
    Likeness,
    ObjectContents,
    compare_contents,
    compare_units,
    connected_groups,
    contents_in_head,
    read_contents,
)
from tables import cases


def known(**said: Any) -> ObjectContents:
    return ObjectContents(**{"size": 100, **said})


def sha(value: str) -> ObjectContents:
    return known(whole={"SHA-256": value})


@cases(
    "a, b, expected",
    (sha("x"), sha("x"), Likeness.PROVEN),
    (sha("x"), sha("y"), Likeness.DIFFERENT),
    (known(whole={"SHA-512": "x"}), known(whole={"SHA-512": "x"}), Likeness.PROVEN),
    (known(whole={"CRC64NVME": "x"}), known(whole={"CRC64NVME": "x"}), Likeness.LIKELY),
    (known(whole={"CRC64NVME": "x"}), known(whole={"CRC64NVME": "y"}), Likeness.DIFFERENT),
    (known(whole={"SHA-1": "x"}), known(whole={"SHA-1": "x"}), Likeness.LIKELY),
    (known(whole={"MD5": "x"}), known(whole={"MD5": "x"}), Likeness.LIKELY),
    (sha("x"), known(whole={"CRC32": "x"}), Likeness.UNKNOWN),
    # equal SHA-256 and unequal CRC cannot be: one of them is wrong, so nothing is proven
    (
        known(whole={"SHA-256": "x", "CRC32": "1"}),
        known(whole={"SHA-256": "x", "CRC32": "2"}),
        Likeness.DIFFERENT,
    ),
    # of parts: equal ones are a hint, unequal ones none
    (known(parts={"SHA-256": "x-3"}), known(parts={"SHA-256": "x-3"}), Likeness.LIKELY),
    (known(parts={"SHA-256": "x-3"}), known(parts={"SHA-256": "y-2"}), Likeness.UNKNOWN),
    (known(md5="x"), known(md5="x"), Likeness.LIKELY),
    (known(md5="x"), known(md5="y"), Likeness.DIFFERENT),
    (known(parts_etag="x-3"), known(parts_etag="x-3"), Likeness.LIKELY),
    (known(parts_etag="x-3"), known(parts_etag="y-3"), Likeness.UNKNOWN),
    (known(md5="x"), known(parts_etag="y-2"), Likeness.UNKNOWN),
    (known(), known(), Likeness.UNKNOWN),
    (known(), known(size=101), Likeness.DIFFERENT),
    (known(digests=(b"1",)), known(digests=(b"1",)), Likeness.UNKNOWN),
    (known(digests=(b"1", b"2")), known(digests=(b"1", b"3")), Likeness.DIFFERENT),
    (known(digests=(b"1",)), known(digests=(b"2", b"3")), Likeness.DIFFERENT),
    (known(digests=(b"1",), complete=True), known(digests=(b"1",), complete=True), Likeness.PROVEN),
    (known(digests=(b"1",), complete=True), known(digests=(b"1",)), Likeness.UNKNOWN),
)
def test_likeness(a: ObjectContents, b: ObjectContents, expected: Likeness) -> None:
    assert compare_contents(a, b).likeness is expected
    assert compare_contents(b, a).likeness is expected


def stored(etag: str) -> StoredObject:
    return StoredObject(
        bucket="b",
        key="k",
        size=9,
        etag=etag,
        modified=datetime(2026, 1, 1, tzinfo=UTC),
        storage_class="STANDARD",
    )


PLAIN = '"0123456789abcdef0123456789abcdef"'
PARTS = '"0123456789abcdef0123456789abcdef-3"'


def checksum(kind: str, value: str, of: str) -> dict[str, str]:
    return {f"Checksum{kind}": value, "ChecksumType": of}


@cases(
    "etag, answer, expected",
    (PLAIN, {}, {"md5": PLAIN}),
    (PLAIN, {"ServerSideEncryption": "AES256"}, {"md5": PLAIN}),
    (PLAIN, {"ServerSideEncryption": "aws:kms"}, {}),
    (PLAIN, {"ServerSideEncryption": "aws:kms:dsse"}, {}),
    (PLAIN, {"SSECustomerAlgorithm": "AES256"}, {}),
    (PARTS, {}, {"parts_etag": PARTS}),
    (PARTS, {"ServerSideEncryption": "aws:kms"}, {}),
    (PLAIN, checksum("SHA256", "x", "FULL_OBJECT"), {"md5": PLAIN, "whole": {"SHA-256": "x"}}),
    (PLAIN, {"ChecksumSHA256": "x"}, {"md5": PLAIN, "whole": {"SHA-256": "x"}}),
    (PARTS, checksum("SHA256", "x-3", "COMPOSITE"), {"parts_etag": PARTS, "parts": {"SHA-256": "x-3"}}),
    (PARTS, {"ChecksumSHA256": "x"}, {"parts_etag": PARTS, "parts": {"SHA-256": "x"}}),
    (PARTS, checksum("SHA256", "x", "FULL_OBJECT"), {"parts_etag": PARTS, "whole": {"SHA-256": "x"}}),
    (PLAIN, checksum("CRC32", "x", "COMPOSITE"), {"md5": PLAIN, "parts": {"CRC32": "x"}}),
    (PARTS, {"ChecksumCRC32": "x-3"}, {"parts_etag": PARTS, "parts": {"CRC32": "x-3"}}),
    (PARTS, checksum("CRC64NVME", "x", "FULL_OBJECT"), {"parts_etag": PARTS, "whole": {"CRC64NVME": "x"}}),
    (PLAIN, {"ReplicationStatus": "REPLICA"}, {"md5": PLAIN, "replica": True}),
    (PLAIN, {"ReplicationStatus": "COMPLETED"}, {"md5": PLAIN}),
    (PLAIN, {"Expiration": "soon", "VersionId": "v"}, {"md5": PLAIN, "expires": "soon", "version": "v"}),
    (PLAIN, {"ArchiveStatus": "ARCHIVE_ACCESS"}, {"md5": PLAIN, "archived": "ARCHIVE_ACCESS"}),
)
def test_what_head_object_says(etag: str, answer: dict[str, str], expected: dict[str, Any]) -> None:
    assert contents_in_head(stored(etag), answer) == ObjectContents(size=9, etag=etag, **expected)


@cases(
    "one, other, expected",
    ({"allowed": False, "etag": PLAIN}, {"allowed": False, "etag": PLAIN}, Likeness.LIKELY),
    ({"allowed": False, "etag": PLAIN}, {"etag": PLAIN, "whole": {"SHA-256": "x"}}, Likeness.LIKELY),
    ({"allowed": False, "etag": PLAIN}, {"etag": PARTS, "complete": True}, Likeness.DIFFERENT),
    ({"allowed": False, "etag": PLAIN}, {"allowed": False, "etag": PLAIN, "size": 8}, Likeness.DIFFERENT),
)
def test_the_listing_makes_likely(one: dict[str, Any], other: dict[str, Any], expected: Likeness) -> None:
    a, b = ObjectContents(**{"size": 9, **one}), ObjectContents(**{"size": 9, **other})

    assert (compare_contents(a, b).likeness, compare_contents(b, a).likeness) == (expected, expected)


@pytest.mark.parametrize(("length", "etag", "same"), [(9, PLAIN, True), (8, PLAIN, False), (9, PARTS, False)])
def test_what_is_looked_at_has_to_be_what_was_listed(length: int, etag: str, *, same: bool) -> None:
    """S3 is asked for that ETag alone; a server may not know If-Match."""
    asked: dict[str, Any] = {}

    def head_object(**given: Any) -> dict[str, Any]:
        asked.update(given)
        return {"ContentLength": length, "ETag": etag}

    aws: Any = SimpleNamespace(client=lambda *_: SimpleNamespace(head_object=head_object))
    looked_at = read_contents(aws, stored(PLAIN), "us-east-1")

    assert isinstance(looked_at, Value) is same
    assert not same or looked_at == Value(ObjectContents(size=9, etag=PLAIN, md5=PLAIN), "s3:HeadObject")
    assert asked == {"Bucket": "b", "Key": "k", "ChecksumMode": "ENABLED", "IfMatch": PLAIN}


def test_a_folder_is_as_alike_as_its_least_alike_file() -> None:
    files = [replace(stored(PLAIN), key=key) for key in "abcd"]
    told = dict(zip(files, (sha("x"), sha("x"), sha("x"), known(whole={"CRC32": "x"})), strict=True))
    one, other = (ArtifactUnit(bucket="b", region="r", files=tuple(two)) for two in (files[:2], files[2:]))

    assert compare_units(one, other, told).likeness is Likeness.UNKNOWN


def test_nothing_is_left_to_read_of_an_empty_file() -> None:
    assert contents_in_head(replace(stored(PLAIN), size=0), {}).complete


def test_connected_joins_what_a_later_thing_connects() -> None:
    near = connected_groups([1, 5, 3, 9, 7, 20], lambda a, b: abs(a - b) <= 2)

    assert sorted(sorted(group) for group in near) == [[1, 3, 5, 7, 9], [20]]
