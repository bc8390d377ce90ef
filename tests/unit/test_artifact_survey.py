"""What the reading of artifacts does when S3 changes under it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest

from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import S3Address
from ml_janitor.aws.references import PlaceUser, References
from ml_janitor.core.model import NotRead, Signal, SweepNote, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import contents, copies
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    ArtifactNames,
    ArtifactUnit,
    BucketIndex,
    StoredObject,
    find_candidates,
)
from ml_janitor.detectors.duplicate_artifacts.contents import OVER_COMPARE_BUDGET, ObjectContents
from ml_janitor.detectors.duplicate_artifacts.copies import CopyRole, Standings, checksum_job_notice
from ml_janitor.detectors.duplicate_artifacts.inventories import Inventory, InventorySettings
from ml_janitor.detectors.duplicate_artifacts.rule import ArtifactSurvey, SearchScope
from scripted import DENIED, Script, Torn
from tables import cases

MIB = 1024**2
NOW = datetime(2026, 10, 6, tzinfo=UTC)


def page(etag: str, *, truncated: bool = False) -> dict[str, Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    entries = [
        {"Key": "a/model.safetensors", "Size": MIB, "ETag": etag, "LastModified": at},
        {"Key": "a/config.json", "Size": 2, "ETag": '"c"', "LastModified": at},
    ]
    return {"KeyCount": 2, "IsTruncated": truncated, "Contents": entries}


def reading(again: dict[str, Any]) -> ArtifactSurvey:
    return ArtifactSurvey(
        Script({"s3:ListObjectsV2": Torn(again)}).aws(),
        SearchScope(buckets=("b",), contents_in=("s3://b/",), names=ArtifactNames(), compare_up_to=0),
        NOW,
    )


def test_a_broken_bucket_and_too_many_artifacts_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ml_janitor.detectors.duplicate_artifacts.rule.find_candidates", partial(find_candidates, most=1)
    )
    shelf = BucketIndex(bucket="b", region="us-east-1", error="b broke off after 0")
    (one,) = shelf.put(cast("Any", page('"e"')), ArtifactNames())
    source = SimpleNamespace(
        shelves={"b": shelf}, artifacts=lambda: iter([one, one]), notice=lambda _folders: None
    )
    read = reading({})

    assert read._copy(shelf, one, NotRead(), {}).listing_error == "b broke off after 0"
    assert read.notes() == [SweepNote(looked_through=0)]
    assert read._found([source], None) == []
    assert read.notes() == [SweepNote(looked_through=1)]
    assert read.errors[0] == "b broke off after 0"
    assert read.errors[1].startswith("2 artifacts have the size of another one and were not compared")


@pytest.mark.parametrize("ran_out", [True, False])
def test_a_listing_is_done_only_if_time_was_enough(monkeypatch: pytest.MonkeyPatch, *, ran_out: bool) -> None:
    monkeypatch.setattr(ArtifactSurvey, "_sources", lambda *_: [])
    read, done = reading({}), list[str]()
    cast("Any", read.aws).ran_out = ran_out
    read._listing = cast("Any", SimpleNamespace(done=lambda: done.append("done")))

    read.read()

    assert done == ([] if ran_out else ["done"])


def test_a_position_that_cannot_be_forgotten_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArtifactSurvey, "_sources", lambda *_: [])
    read = reading({})
    cast("Any", read.aws).ran_out = False

    def denied() -> None:
        raise ReadError("denied")

    read._listing = cast("Any", SimpleNamespace(done=denied))

    assert str(read.read().error).startswith("another run of today would go on with this listing: ")


def test_whose_a_bucket_is_can_be_unknown() -> None:
    read = ArtifactSurvey(Script({"s3:ListBuckets": DENIED}).aws(), reading({}).where, NOW)

    assert read._own == frozenset()
    assert "whose the named buckets are is unknown: s3:ListBuckets" in read.errors[0]


def test_artifacts_of_the_region_alone_count_as_looked_through() -> None:
    shelves = {
        region: BucketIndex(bucket=region, region=region, looked_through=number)
        for region, number in (("us-east-1", 2), ("eu-west-1", 3))
    }
    source = SimpleNamespace(shelves=shelves, artifacts=lambda: iter(()), notice=lambda _folders: None)
    read = reading({})

    read._found([source], None)

    assert read.notes()[0].looked_through == 2


TOO_LARGE = ObjectContents(size=MIB, unread=OVER_COMPARE_BUDGET)


@cases(
    "bucket, known, told",
    ("b", TOO_LARGE, True),
    ("b", ObjectContents(size=MIB), False),
    ("b", replace(TOO_LARGE, whole={"SHA-256": "x"}), False),
    ("listed", TOO_LARGE, False),
)
def test_checksums_are_proposed_for_what_an_inventory_has_that_is_too_large_to_compare(
    bucket: str, known: ObjectContents, *, told: bool
) -> None:
    (one,) = BucketIndex(bucket="b", region="us-east-1").put(cast("Any", page('"e"')), ArtifactNames())
    read = reading({})
    inventory = Inventory(bucket="b", table="s3.b", output="s3://o/", location="s3://i/")
    read.where = replace(read.where, asking=InventorySettings(inventories=(inventory,)))
    read.standings.known[replace(one, bucket=bucket)] = known

    assert [note.text for note in read.notes()[1:]] == ([checksum_job_notice([MIB])] if told else [])


def test_what_s3_says_of_a_file_is_said_of_its_copy() -> None:
    shelf = BucketIndex(bucket="b", region="us-east-1", stale="its list is old")
    (one,) = shelf.put(cast("Any", page('"e"')), ArtifactNames())
    unit = Value(ArtifactUnit(bucket="b", region="us-east-1", files=(one,)))
    read = reading({})
    read.standings.known[one] = ObjectContents(size=MIB, replica=True, archived="ARCHIVE_ACCESS")

    copy = read._copy(shelf, one, unit, {})
    read.standings.unreadable[one] = Unreadable("denied")
    unread = read._copy(shelf, one, unit, {})

    assert (copy.replica, copy.archived, copy.stale) == (True, "ARCHIVE_ACCESS", "its list is old")
    assert (copy.contents, unread.contents) == (Value(read.standings.known[one]), Unreadable("denied"))


def model(root: str, *sizes: int, region: str = "us-east-1", storage_class: str = "STANDARD") -> ArtifactUnit:
    """A model whose files are numbers."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    files = tuple(
        StoredObject(
            bucket="b", key=f"{root}/{n}", size=size, etag="e", modified=at, storage_class=storage_class
        )
        for n, size in enumerate(sizes, start=1)
    )
    return ArtifactUnit(bucket="b", region=region, files=files, root=f"{root}/")


class Read:
    """How *units* stand by folder, and what was read for that: *heads* by region, and bytes of files."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        units: Sequence[ArtifactUnit],
        *,
        known: Mapping[str, ObjectContents] = MappingProxyType({}),
        bodies: Mapping[str, bytes] = MappingProxyType({}),
        used: Sequence[str] = (),
        errors: Sequence[str] = (),
        denied: Sequence[str] = (),
        up_to: int = 10**9,
    ) -> None:
        self.heads: list[str] = []
        self.bytes: list[str] = []

        def head(_aws: object, one: StoredObject, region: str) -> Signal[ObjectContents]:
            self.heads.append(f"{region} {one.key}")
            if one.key in denied:
                return Unreadable("denied")
            return Value(known.get(one.key, ObjectContents(size=one.size)))

        def digest(_aws: object, one: StoredObject, _number: int) -> Value[bytes]:
            self.bytes.append(one.key)
            return Value(bodies.get(one.key, b""))

        monkeypatch.setattr(copies, "read_contents", head)
        monkeypatch.setattr(contents, "hash_range", digest)
        references = References(errors=list(errors))
        references.add(PlaceUser("model m", "model/m", in_use=True), [S3Address("b", key) for key in used])
        aws = SimpleNamespace(region="us-east-1", map=lambda read, items: [read(item) for item in items])
        read = Standings(cast("Aws", aws), ("s3://b/",), up_to, lambda: references)
        found = read.of(units)
        self.unreadable = read.unreadable
        self.standings = {str(unit.root): standing for unit, (standing, _) in found.items()}


TWO = (model("a", MIB), model("b", MIB))
FOLDERS = (model("a", MIB, 9), model("b", MIB, 9))
BOTH = ["a/1", "b/1"]


@cases(
    "units, given, read",
    (TWO, {}, BOTH),
    (TWO, {"used": ["a/1"]}, BOTH),
    (TWO, {"used": BOTH}, []),
    (TWO, {"errors": ["ListModels: denied"]}, []),
    (TWO, {"up_to": 2 * MIB - 1}, []),
    ((TWO[0], model("b", MIB, storage_class="GLACIER")), {}, []),
    (FOLDERS, {"known": {"b/2": ObjectContents(size=9, archived="ARCHIVE_ACCESS")}}, []),
    ((TWO[0], model("b", MIB, region="eu-west-1")), {}, []),
    (FOLDERS, {}, ["a/2", "b/2", *BOTH]),
    (FOLDERS, {"up_to": 2 * MIB + 17}, ["a/2", "b/2"]),
    (FOLDERS, {"bodies": {"a/2": b"other"}}, ["a/2", "b/2"]),
    (FOLDERS, {"known": {key: ObjectContents(size=MIB, md5=key) for key in BOTH}}, []),
    ids=[
        "two",
        "one needed",
        "both needed",
        "references unreadable",
        "too much",
        "archived",
        "archived by tier",
        "another region",
        "folders, the smallest file first",
        "too much for both files",
        "unequal in the smallest",
        "known to be unequal in the largest",
    ],
)
def test_bytes_are_read_only_where_they_decide(
    monkeypatch: pytest.MonkeyPatch, units: Sequence[ArtifactUnit], given: dict[str, Any], read: list[str]
) -> None:
    assert Read(monkeypatch, units, **given).bytes == read


@pytest.mark.parametrize("tier", [True, False])
def test_what_is_archived_is_nobodys_keeper(monkeypatch: pytest.MonkeyPatch, *, tier: bool) -> None:
    old = model("a", MIB, storage_class="STANDARD" if tier else "DEEP_ARCHIVE")
    known = {key: ObjectContents(size=MIB, md5="1") for key in BOTH}
    known["a/1"] = replace(known["a/1"], archived="ARCHIVE_ACCESS" if tier else None)

    found = Read(monkeypatch, (old, TWO[1]), known=known).standings

    assert (list(found), found["b/"].role) == (["b/"], CopyRole.ALONE)


@pytest.mark.parametrize("changed", [{"expires": "in a week"}, {"replica": True}])
@pytest.mark.parametrize(("file", "size"), [("a/1", MIB), ("a/2", 9)])
def test_a_keeper_lasts_in_every_file(
    monkeypatch: pytest.MonkeyPatch, file: str, size: int, changed: dict[str, Any]
) -> None:
    read = Read(monkeypatch, FOLDERS, known={file: ObjectContents(size=size, **changed)})

    assert read.standings["a/"].keeper == FOLDERS[1]


def test_what_refers_to_any_file_of_a_folder_makes_it_the_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Read(monkeypatch, FOLDERS, used=["b/2"]).standings["a/"].keeper == FOLDERS[1]


def test_what_may_not_be_asked_about_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Read(monkeypatch, TWO, denied=["b/1"])

    assert read.unreadable == {TWO[1].files[0]: Unreadable("denied")}
    assert (read.bytes, read.standings["b/"].role) == ([], CopyRole.UNSURE)


def test_every_other_of_its_shape_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    europe = model("c", MIB, region="eu-west-1")

    read = Read(monkeypatch, (*TWO, europe, model("d", MIB, 9)), bodies={"b/1": b"other"})

    assert [one.others for one in read.standings.values()] == [2, 2, 2]
    assert read.heads == ["us-east-1 a/1", "us-east-1 b/1", "eu-west-1 c/1"]


@cases(
    "again, error",
    (page('"e"'), None),
    (page('"f"'), "s3://b/a/model.safetensors was replaced meanwhile"),
    (page('"e"', truncated=True), "s3://b/a/ holds more than 1000 objects"),
    ({}, "the answer has no IsTruncated"),
)
def test_a_folder_counts_only_if_it_is_as_listed(again: dict[str, Any], error: str | None) -> None:
    shelf = BucketIndex(bucket="b", region="us-east-1")
    (one,) = shelf.put(cast("Any", page('"e"')), ArtifactNames())

    unit = reading(again)._units([(shelf, one)])[one]

    assert isinstance(unit, Value if error is None else Unreadable)
    assert error is None or (isinstance(unit, Unreadable) and error in unit.error)
