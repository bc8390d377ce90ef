"""That a copy has its keeper's bytes is proven before it is deleted, over several runs if need be."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest

from conftest import NOW
from fakes import candidates
from ml_janitor.aws.calls import required_value
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Finding, Signal, Value
from ml_janitor.detectors.duplicate_artifacts import act, contents
from ml_janitor.detectors.duplicate_artifacts.contents import (
    EqualityProof,
    ObjectContents,
    SeenObject,
    read_object,
)
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from tables import cases

BUCKET = "models"
SIZE = 100


class Pair:
    """A model and its copy, of so many ranges that a comparison takes three steps."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.aws, self.s3 = box, aws, session.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.detector = DuplicateArtifacts(
            buckets=(BUCKET,), min_size=1, compare_up_to=0, act_on_prefixes=(f"s3://{BUCKET}/",)
        )

    def put(self, key: str, body: bytes, **given: Any) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, **given)

    def prepared(self, memo: Mapping[str, Any], *, reads: int = 10**6) -> Mapping[str, Any]:
        """What is prepared in a run that has time for so many looks at the clock."""
        copy = next(one for one in candidates(self.detector, self.aws, NOW) if one.stored.key == "b.tar.gz")
        found = of_type(Finding, self.detector.decide(copy, NOW))
        assert found.confidence is Confidence.LIKELY
        self.box.clear_calls()
        return self.detector.prepare(Hurried(self.aws, reads), copy, memo)  # type: ignore[arg-type]

    def ranges_read(self) -> int:
        return self.box.calls().get("s3:GetObject", 0)


class Hurried:
    """An `Aws` that has time for so many batches."""

    def __init__(self, aws: Aws, left: int) -> None:
        self._aws, self._left = aws, left

    @property
    def has_time(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aws, name)


@pytest.fixture
def pair(box: Control, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(contents, "PROBE_BYTES", 4)
    monkeypatch.setattr(contents, "RANGE_BYTES", 4)
    monkeypatch.setattr(contents, "RANGES_AT_ONCE", 10)
    made = Pair(box, session, aws)
    made.put("a.tar.gz", b"m" * SIZE)
    made.put("b.tar.gz", b"m" * SIZE)
    return made


def memo_of(call: Callable[[], object]) -> Mapping[str, Any]:
    with pytest.raises(NotFinishedError) as not_yet:
        call()
    memo: Mapping[str, Any] = json.loads(json.dumps(not_yet.value.memo))
    return memo


def test_what_is_only_likely_is_compared_to_the_last_byte(pair: Pair) -> None:
    assert pair.prepared({})["proof"].startswith("every byte read, SHA-256 of 25 ranges' SHA-256: ")
    assert pair.ranges_read() == 50


def test_what_looking_again_has_just_compared_is_not_read_twice(pair: Pair) -> None:
    detector = replace(pair.detector, compare_up_to=10**6)
    copy = next(one for one in candidates(detector, pair.aws, NOW) if one.stored.key == "b.tar.gz")
    pair.box.clear_calls()

    assert detector.prepare(pair.aws, copy, {})["proof"] == "every byte read"
    assert pair.ranges_read() == 0


def test_what_the_time_does_not_allow_goes_on_next_time(pair: Pair) -> None:
    whole = pair.prepared({})["proof"]

    with pytest.raises(NotFinishedError, match="40 bytes of 100 bytes were compared with s3:"):
        pair.prepared({}, reads=1)
    memo = memo_of(lambda: pair.prepared({}, reads=1))
    assert (memo["next"], pair.ranges_read()) == (10, 20)
    later = memo_of(lambda: pair.prepared(memo, reads=1))
    assert (later["next"], pair.ranges_read()) == (20, 20)

    assert pair.prepared(later)["proof"] == whole
    assert pair.ranges_read() == 10


@pytest.mark.parametrize("key", ["a.tar.gz", "b.tar.gz"])
def test_a_proof_holds_for_the_objects_that_were_read_only(pair: Pair, key: str) -> None:
    memo = memo_of(lambda: pair.prepared({}, reads=2))
    pair.box.set_clock(NOW.replace(hour=4))
    pair.put(key, b"m" * SIZE)  # the same ETag, but another object
    if key == "a.tar.gz":
        pair.put("b.tar.gz", b"m" * SIZE)

    pair.prepared(memo)

    assert pair.ranges_read() == 50


def told_nothing(aws: Aws, key: str) -> SeenObject:
    """An object of whose bytes S3 tells nothing, as under a KMS key."""
    seen = not_none(required_value(read_object(aws, BUCKET, key)))
    return replace(seen, contents=ObjectContents(size=SIZE))


@pytest.mark.parametrize(("at", "ranges"), [(0, 20), (SIZE - 1, 50)])
def test_one_other_byte_is_found_although_nothing_else_tells(pair: Pair, at: int, ranges: int) -> None:
    pair.put("b.tar.gz", b"m" * at + b"n" + b"m" * (SIZE - at - 1))
    copy, keeper = (told_nothing(pair.aws, key) for key in ("b.tar.gz", "a.tar.gz"))
    pair.box.clear_calls()

    with pytest.raises(CannotActError, match="after all: unequal bytes from byte"):
        EqualityProof(pair.aws, copy, keeper, {}).proof()

    assert pair.ranges_read() == ranges


def test_a_last_range_that_is_left_alone_is_compared_too(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "RANGES_AT_ONCE", 8)
    pair.put("b.tar.gz", b"m" * (SIZE - 1) + b"n")
    copy, keeper = (told_nothing(pair.aws, key) for key in ("b.tar.gz", "a.tar.gz"))

    with pytest.raises(CannotActError, match="unequal bytes from byte 96 on"):
        EqualityProof(pair.aws, copy, keeper, {}).proof()


@pytest.mark.parametrize("other", ["bytes", "version", "key"])
def test_a_proof_that_was_begun_on_another_object_starts_over(pair: Pair, other: str) -> None:
    """Also if that was written in the same second, so that its date does not tell."""
    if other == "version":
        pair.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        pair.put("a.tar.gz", b"m" * SIZE)
    copy, keeper = (told_nothing(pair.aws, key) for key in ("b.tar.gz", "a.tar.gz"))
    in_time: Any = Hurried(pair.aws, 2)
    memo = memo_of(lambda: EqualityProof(in_time, copy, keeper, {}).proof())
    key = "c.tar.gz" if other == "key" else "a.tar.gz"
    pair.put(key, b"n" + b"m" * (SIZE - 1) if other == "bytes" else b"m" * SIZE)
    pair.box.clear_calls()

    again = EqualityProof(pair.aws, copy, told_nothing(pair.aws, key), memo)

    if other == "bytes":
        with pytest.raises(CannotActError, match="unequal bytes from byte 0 on"):
            again.proof()
    else:
        again.proof()
        assert pair.ranges_read() == 50


def test_a_proof_with_other_ranges_starts_over(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many larger ones, of a later release, would skip bytes that nobody compared."""
    memo = memo_of(lambda: pair.prepared({}, reads=1))
    monkeypatch.setattr(contents, "RANGE_BYTES", 8)

    pair.prepared(memo)

    assert pair.ranges_read() == 2 * 13


def test_what_could_not_be_read_for_lack_of_time_goes_on_next_time(pair: Pair) -> None:
    pair.box.fault("s3", "GetObject", "deny", times=0)

    with pytest.raises(NotFinishedError, match="0 bytes of 100 bytes were compared"):
        pair.prepared({}, reads=1)


def test_a_checksum_decides_before_a_byte_is_read(pair: Pair) -> None:
    copy, keeper, other = (
        replace(told_nothing(pair.aws, key), contents=ObjectContents(size=SIZE, whole={"SHA-256": sha}))
        for key, sha in (("b.tar.gz", "1"), ("a.tar.gz", "1"), ("a.tar.gz", "2"))
    )
    pair.box.clear_calls()

    assert EqualityProof(pair.aws, copy, keeper, {}).proof() == "equal SHA-256"
    with pytest.raises(CannotActError, match="after all: unequal SHA-256"):
        EqualityProof(pair.aws, copy, other, {}).proof()
    assert contents.same_bytes(pair.aws, copy, keeper) is True
    assert contents.same_bytes(pair.aws, copy, other) is False
    assert pair.ranges_read() == 0


@pytest.mark.parametrize("at", [None, 0, SIZE // 2, SIZE - 1])
def test_an_undo_compares_every_byte_of_what_it_may_have_written_itself(pair: Pair, at: int | None) -> None:
    pair.put("b.tar.gz", b"m" * SIZE if at is None else b"m" * at + b"n" + b"m" * (SIZE - at - 1))
    copy, keeper = (told_nothing(pair.aws, key) for key in ("b.tar.gz", "a.tar.gz"))

    assert contents.same_bytes(pair.aws, copy, keeper) is (at is None)


@pytest.mark.parametrize("key", [None, "a.tar.gz", "b.tar.gz"])
def test_a_range_that_cannot_be_read_proves_nothing(pair: Pair, key: str | None) -> None:
    pair.box.fault("s3", "GetObject", "deny", times=0, match=key)

    with pytest.raises(Exception, match=r"comparing s3://models/b\.tar\.gz with .*AccessDenied"):
        pair.prepared({})


def test_a_checksum_that_proves_costs_no_read(pair: Pair) -> None:
    for key in ("a.tar.gz", "b.tar.gz"):
        pair.put(key, b"m" * SIZE, ChecksumAlgorithm="SHA256")
    copy = next(one for one in candidates(pair.detector, pair.aws, NOW) if one.stored.key == "b.tar.gz")
    of_type(Finding, pair.detector.decide(copy, NOW))
    pair.box.clear_calls()

    assert (pair.detector.prepare(pair.aws, copy, {})["proof"], pair.ranges_read()) == ("equal SHA-256", 0)


EVERYBODY = 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'


@pytest.mark.parametrize("given", [{"ACL": "public-read"}, {"GrantRead": EVERYBODY}], ids=["too", "alone"])
def test_what_others_were_given_access_to_is_only_reported(pair: Pair, given: dict[str, Any]) -> None:
    pair.s3.put_object_acl(Bucket=BUCKET, Key="b.tar.gz", **given)

    with pytest.raises(CannotActError, match="access to it by its ACL"):
        pair.prepared({})


@cases(
    "letter, hour",
    (b"n", 4),
    (b"m", 4),
    (b"n", NOW.hour),
    ids=["other bytes", "the same bytes", "other bytes in the same second"],
)
@pytest.mark.parametrize("key", ["a.tar.gz", "b.tar.gz"])
def test_a_late_change_is_only_reported(pair: Pair, key: str, letter: bytes, hour: int) -> None:
    copy = next(one for one in candidates(pair.detector, pair.aws, NOW) if one.stored.key == "b.tar.gz")
    of_type(Finding, pair.detector.decide(copy, NOW))
    pair.box.set_clock(NOW.replace(hour=hour))
    pair.put(key, letter * SIZE)

    with pytest.raises(CannotActError, match=f"{key} changed while it was looked at"):
        pair.detector.prepare(pair.aws, copy, {})


def test_a_copy_that_cannot_be_written_is_only_reported(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's S3 has no metadata that it cannot send."""

    def odd(*where: Any, **which: Any) -> Signal[SeenObject]:
        seen = not_none(required_value(read_object(*where, **which)))
        return Value(replace(seen, odd="metadata that S3 does not tell"))

    monkeypatch.setattr(act, "read_object", odd)

    with pytest.raises(CannotActError, match="it has metadata that S3 does not tell"):
        pair.prepared({})


def test_a_copy_whose_keeper_will_expire_is_only_reported(pair: Pair) -> None:
    """The lifecycle rule is written after the copy was looked at."""
    copy = next(one for one in candidates(pair.detector, pair.aws, NOW) if one.stored.key == "b.tar.gz")
    of_type(Finding, pair.detector.decide(copy, NOW))
    rule: Any = {"ID": "tmp", "Status": "Enabled", "Filter": {"Prefix": "a"}, "Expiration": {"Days": 90}}
    pair.s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})

    with pytest.raises(CannotActError, match=r"a lifecycle rule will expire what stays, s3://models/a\.tar"):
        pair.detector.prepare(pair.aws, copy, {})


@cases("operation", "HeadObject", "GetObjectAcl", "GetObjectTagging", "GetBucketVersioning")
def test_what_cannot_be_read_is_not_acted_on(pair: Pair, operation: str) -> None:
    copy = next(one for one in candidates(pair.detector, pair.aws, NOW) if one.stored.key == "b.tar.gz")
    of_type(Finding, pair.detector.decide(copy, NOW))
    pair.box.fault("s3", operation, "deny", times=0)

    with pytest.raises(Exception, match=r"AccessDenied|403"):
        pair.detector.prepare(pair.aws, copy, {})
