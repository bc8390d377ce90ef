"""What checksums and bytes say about two objects, what they do not, and how much is read for it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from ml_janitor.aws.calls import READ_THREADS
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Value
from ml_janitor.detectors.duplicate_artifacts import contents
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.contents import (
    ContentComparison,
    Likeness,
    ObjectContents,
    compare_contents,
    compare_units,
    connected_groups,
    contents_in_head,
    read_contents,
)
from scripted import Script
from tables import cases

PLAIN = '"0123456789abcdef0123456789abcdef"'
PARTS = '"0123456789abcdef0123456789abcdef-3"'


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
    # the listing alone makes it likely
    (known(allowed=False, etag=PLAIN), known(allowed=False, etag=PLAIN), Likeness.LIKELY),
    (known(allowed=False, etag=PLAIN), known(etag=PLAIN, whole={"SHA-256": "x"}), Likeness.LIKELY),
    (known(allowed=False, etag=PLAIN), known(etag=PARTS, complete=True), Likeness.DIFFERENT),
    (known(allowed=False, etag=PLAIN), known(allowed=False, etag=PLAIN, size=8), Likeness.DIFFERENT),
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


@pytest.mark.parametrize(("length", "etag", "same"), [(9, PLAIN, True), (8, PLAIN, False), (9, PARTS, False)])
def test_what_is_looked_at_has_to_be_what_was_listed(length: int, etag: str, *, same: bool) -> None:
    """S3 is asked for that ETag alone; a server may not know If-Match."""
    account = Script({"s3:HeadObject": {"ContentLength": length, "ETag": etag}})

    looked_at = read_contents(account.aws(), stored(PLAIN), "us-east-1")

    assert isinstance(looked_at, Value) is same
    assert not same or looked_at == Value(ObjectContents(size=9, etag=PLAIN, md5=PLAIN), "s3:HeadObject")
    asked = {"Bucket": "b", "Key": "k", "ChecksumMode": "ENABLED", "IfMatch": PLAIN}
    assert account.asked("s3:HeadObject") == [asked]


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


PROBE, RANGE = 4, 10


class Bytes:
    """S3 as far as reading ranges goes; remembers what was read."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.read: dict[str, int] = {}
        self.denied: dict[str, int] = {}
        self.denied_once: tuple[str, int] | None = None
        self.short = False
        self.s3 = SimpleNamespace(get_object=self.get_object)

    def put(self, key: str, body: bytes) -> StoredObject:
        self.objects[key] = body
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return StoredObject(
            bucket="b", key=key, size=len(body), etag="e", modified=at, storage_class="STANDARD"
        )

    def get_object(self, *, Bucket: str, Key: str, Range: str, IfMatch: str) -> dict[str, Any]:  # noqa: N803
        assert (Bucket, IfMatch) == ("b", "e")
        start, stop = map(int, Range.removeprefix("bytes=").split("-"))
        assert start <= stop, "S3 refuses a range without a byte"
        if start >= self.denied.get(Key, 10**9) or (Key, start) == self.denied_once:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetObject")
        body = self.objects[Key][start : stop + 1]
        self.read[Key] = self.read.get(Key, 0) + len(body)
        return {"Body": SimpleNamespace(iter_chunks=lambda _size: self.chunks(body))}

    def chunks(self, body: bytes) -> Iterator[bytes]:
        yield from (body[n : n + 1] for n in range(len(body) - self.short))

    def map(self, read: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [read(item) for item in items]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Bytes:
    monkeypatch.setattr(contents, "PROBE_BYTES", PROBE)
    monkeypatch.setattr(contents, "RANGE_BYTES", RANGE)
    return Bytes()


def settled(
    store: Bytes, *sets: Sequence[StoredObject], budget: int = 10**6, **known: ObjectContents
) -> ContentComparison:
    contents = {one: known.get(one.key, ObjectContents(size=one.size)) for objects in sets for one in objects}
    comparison = ContentComparison(cast("Aws", store), contents, budget)
    comparison.settle(sets)
    return comparison


def alike(done: ContentComparison, a: StoredObject, b: StoredObject) -> Likeness:
    return compare_contents(done.known[a], done.known[b]).likeness


def test_a_range_is_large_and_what_is_held_of_it_small() -> None:
    """Every thread holds a chunk, and every range costs a request."""
    mib = 1024**2

    assert [*map(contents.range_begin, range(3)), contents.COMPARE_CHUNK] == [0, mib, 9 * mib, mib]
    assert 2 * contents.RANGES_AT_ONCE == READ_THREADS


@pytest.mark.parametrize("size", [1, PROBE, PROBE + 1, PROBE + RANGE, PROBE + RANGE + 1, 500])
def test_equal_bytes_are_read_once_and_proven(store: Bytes, size: int) -> None:
    a, b = store.put("a", b"x" * size), store.put("b", b"x" * size)

    assert alike(settled(store, [a, b]), a, b) is Likeness.PROVEN
    assert store.read == {"a": size, "b": size}


@pytest.mark.parametrize("at", [0, PROBE - 1, PROBE, 499])
def test_one_other_byte_disproves(store: Bytes, at: int) -> None:
    body = b"x" * 500
    a, b = store.put("a", body), store.put("b", body[:at] + b"y" + body[at + 1 :])

    assert alike(settled(store, [a, b]), a, b) is Likeness.DIFFERENT


def test_what_differs_early_is_not_read_on(store: Bytes) -> None:
    a, b, c = (store.put(key, start + b"x" * 500) for key, start in (("a", b"1"), ("b", b"2"), ("c", b"1")))

    assert alike(settled(store, [a, b, c]), a, c) is Likeness.PROVEN
    assert store.read == {"a": 501, "b": PROBE, "c": 501}


def test_each_of_many_is_read_one_range_at_a_time(store: Bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they differ in early is then read of none but once."""
    monkeypatch.setattr(contents, "READ_THREADS", 2)
    settled(store, [store.put(f"{n}", b"x" * PROBE + bytes([n]) * 500) for n in range(3)])

    assert set(store.read.values()) == {PROBE + RANGE}


def test_of_objects_proven_equal_only_one_is_read(store: Bytes) -> None:
    a, b, c = (store.put(key, b"x" * 50) for key in "abc")
    sha = ObjectContents(size=50, whole={"SHA-256": "s"})

    done = settled(store, [a, b, c], a=sha, b=sha)

    assert store.read == {"a": 50, "c": 50}
    assert alike(done, b, c) is Likeness.PROVEN


def test_what_is_known_to_differ_or_to_be_equal_is_not_read(store: Bytes) -> None:
    a, b = store.put("a", b"x" * 50), store.put("b", b"x" * 50)
    settled(store, [a, b], a=ObjectContents(size=50, md5="1"), b=ObjectContents(size=50, md5="2"))
    sha = ObjectContents(size=50, whole={"SHA-256": "s"})
    settled(store, [a, b], a=sha, b=sha)

    assert store.read == {}


def test_what_may_not_be_read_is_not_read(store: Bytes) -> None:
    a, b, c = (store.put(key, b"x" * 50) for key in "abc")
    listed = ObjectContents(size=50, etag="e", allowed=False)

    done = settled(store, [a, b, c], a=listed, b=listed, c=ObjectContents(size=50, etag="e"))

    assert store.read == {}
    assert alike(done, a, b) is alike(done, a, c) is Likeness.LIKELY


@cases(
    "budget, expected, read",
    (100, Likeness.PROVEN, 50),
    (99, Likeness.UNKNOWN, PROBE),
    (2 * PROBE, Likeness.UNKNOWN, PROBE),
    (2 * PROBE - 1, Likeness.UNKNOWN, 0),
    (0, Likeness.UNKNOWN, 0),
)
def test_no_more_is_read_than_allowed(store: Bytes, budget: int, expected: Likeness, read: int) -> None:
    a, b = store.put("a", b"x" * 50), store.put("b", b"x" * 50)

    assert alike(settled(store, [a, b], budget=budget), a, b) is expected
    assert store.read.get("a", 0) == read
    assert sum(store.read.values()) <= budget


def test_the_largest_come_first_and_what_fits_beside_them(store: Bytes) -> None:
    large = [store.put(f"large{n}", b"x" * 60) for n in (1, 2)]
    middle = [store.put(f"middle{n}", b"x" * 50) for n in (1, 2)]
    small = [store.put(f"small{n}", b"x" * 10) for n in (1, 2)]

    done = settled(store, small, middle, large, budget=160)

    assert [alike(done, *pair) for pair in (large, middle, small)] == [
        Likeness.PROVEN,
        Likeness.UNKNOWN,
        Likeness.PROVEN,
    ]


def test_what_cannot_be_read_to_the_end_is_unknown(store: Bytes) -> None:
    a, b, c = (store.put(key, b"x" * 500) for key in "abc")
    store.denied["b"] = 200

    done = settled(store, [a, b, c])

    assert alike(done, a, b) is Likeness.UNKNOWN
    assert (
        "b could not be read (GetObject: AccessDenied)" in compare_contents(done.known[a], done.known[b]).by
    )
    assert alike(done, a, c) is Likeness.PROVEN


def test_what_was_read_behind_a_range_that_is_missing_proves_nothing(store: Bytes) -> None:
    size = PROBE + 50 * RANGE
    a, b = store.put("a", b"x" * size), store.put("b", b"x" * size)
    store.denied_once = ("b", size - 2 * RANGE)

    assert alike(settled(store, [a, b]), a, b) is Likeness.UNKNOWN


def test_a_body_that_ends_early_is_unreadable(store: Bytes) -> None:
    a, b = store.put("a", b"x" * 50), store.put("b", b"x" * 50)
    store.short = True

    assert alike(settled(store, [a, b]), a, b) is Likeness.UNKNOWN
