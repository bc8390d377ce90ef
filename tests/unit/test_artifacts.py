"""What counts as a model artifact, which files make up one model, and listings of any size."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import DAY
from ml_janitor.aws import client
from ml_janitor.aws.client import Aws, FileChangedError
from ml_janitor.detectors.duplicate_artifacts import artifacts
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    ArtifactNames,
    ArtifactUnit,
    BucketIndex,
    BucketListing,
    StoredObject,
    artifact_order,
    find_candidates,
    find_object,
    list_buckets,
    relevant_folders,
    stored_object,
)
from scripted import PagedS3
from tables import cases

pytestmark = pytest.mark.usefixtures("no_threads")
AT = datetime(2026, 1, 1, tzinfo=UTC)
MIB = 1024**2


def shelf(*keys: str, sizes: tuple[int, ...] = ()) -> BucketIndex:
    made = BucketIndex(bucket="b", region="r")
    page: Any = {
        "KeyCount": len(keys),
        "Contents": [entry(key, *sizes[n : n + 1]) for n, key in enumerate(keys)],
    }
    made.artifacts = made.put(page, ArtifactNames())
    return made


def entry(key: str, size: int = MIB) -> Any:
    return {"Key": key, "Size": size, "ETag": '"e"', "LastModified": AT}


@cases(
    "key, beside, root",
    # one file, whatever it is beside
    ("a/model.tar.gz", ["a/config.json", "a/b/tokenizer.json"], None),
    ("a/model.pt", [], None),
    ("model.pt", [], None),
    ("a/model.pt", ["a/other.pt"], None),
    ("a/model.pt", ["a/README.md", "a/.gitattributes", "a/LICENSE", "a/_SUCCESS", "a/train.log"], None),
    ("a/model.pt", ["a/"], None),
    ("a/model.pt", ["metrics.json", "x/config.json"], None),
    # weights beside their config, or anything that may belong to them
    ("a/model.safetensors", ["a/config.json"], "a/"),
    ("a/model.onnx", ["a/model.onnx.data"], "a/"),
    ("a/model.pt", ["a/labels.txt"], "a/"),
    ("model.pt", ["config.json"], ""),
    # one piece of several, even if the others are missing
    ("a/model-00001-of-00003.safetensors", [], "a/"),
    ("a/consolidated.00.pth", [], "a/"),
    ("a/mp_rank_00_model_states.pt", [], "a/"),
    ("a/shard_3.pt", [], "a/"),
    # folders of a larger model
    ("sd/vae/weights.safetensors", ["sd/model_index.json", "sd/vae/config.json"], "sd/"),
    ("st/1_Dense/pytorch_model.bin", ["st/modules.json", "st/1_Dense/config.json"], "st/"),
    ("repo/1/model.onnx", ["repo/config.pbtxt"], "repo/"),
    ("run/artifacts/model.pkl", ["run/metrics.json"], None),
    ("a/model.pt", ["config.json"], None),
)
def test_which_folder_a_file_makes_up_a_model_with(key: str, beside: list[str], root: str | None) -> None:
    made = shelf(key, *beside)

    one = next(one for one in made.artifacts if one.key == key)
    assert made.root(one) == root


def test_weights_beside_weights_are_crowded_and_archives_are_not() -> None:
    made = shelf(
        "a/x.pt",
        "a/y.pt",
        "b/x.pt",
        "c/x.tar.gz",
        "c/y.tar.gz",
        "d/x.pt",
        "d/small.pt",
        sizes=(MIB,) * 6 + (9,),
    )

    assert {one.key for one in made.artifacts if made.crowded(one)} == {"a/x.pt", "a/y.pt", "d/x.pt"}


def test_what_a_shelf_holds_is_counted() -> None:
    made = shelf("a/x.pt", "a/config.json", "b/y.tar.gz", "c/notes.txt", "d/z.pt")

    assert (len(made.artifacts), made.mixed, made.models) == (3, {"a/", "c/"}, {"a/"})
    assert made.held == 3 + 2 + 1 + len({"a/", "d/"})


def test_only_large_enough_artifacts_are_kept() -> None:
    made = shelf("a.tar.gz", "b.TAR.GZ", "c.tar.gz", "d.csv", sizes=(MIB, MIB, MIB - 1, MIB))

    assert [one.key for one in made.artifacts] == ["a.tar.gz", "b.TAR.GZ"]


def streams(*sizes: tuple[int, ...]) -> list[Iterator[StoredObject]]:
    """One bucket of artifacts for each of *sizes*, in order."""
    return [
        iter(
            sorted(
                (stored_object(f"b{n}", entry(f"{at}.pt", size)) for at, size in enumerate(some)),
                key=artifact_order,
            )
        )
        for n, some in enumerate(sizes)
    ]


@cases(
    "only, most, found, left_out",
    (None, 9, [("b0", 2), ("b0", 2), ("b1", 2), ("b0", 1), ("b1", 1)], 0),
    (frozenset({3}), 9, [("b0", 3)], 0),
    (frozenset({4}), 9, [], 0),
    (None, 5, [("b0", 2), ("b0", 2), ("b1", 2), ("b0", 1), ("b1", 1)], 0),
    (None, 3, [("b0", 2), ("b0", 2), ("b1", 2)], 2),  # the largest, all of a size
    (None, 2, [("b0", 1), ("b1", 1)], 3),
    (None, 0, [], 5),
    (frozenset({3}), 0, [], 1),
)
def test_only_sizes_that_occur_twice_matter(
    only: frozenset[int] | None, most: int, found: list[tuple[str, int]], left_out: int
) -> None:
    done = find_candidates(streams((1, 2, 3, 2), (2, 1)), only, most=most)

    assert [(one.bucket, one.size) for one in done.artifacts] == found
    assert done.left_out == left_out


def test_an_empty_page_is_not_a_cut_off_one() -> None:
    empty: Any = {"KeyCount": 0}
    cut_off: Any = {}

    assert BucketIndex(bucket="b", region="r").put(empty, ArtifactNames()) == []
    with pytest.raises(KeyError):
        BucketIndex(bucket="b", region="r").put(cut_off, ArtifactNames())


def test_copies_have_sizes_in_common_and_in_a_folder_the_names_below_it() -> None:
    def unit(*keys: str, root: str | None = None) -> ArtifactUnit:
        files = tuple(
            replace(stored_object("b", entry(key)), modified=AT + n * DAY) for n, key in enumerate(keys)
        )
        return ArtifactUnit(bucket="b", region="r", files=files, root=root)

    model = unit("a/vae/w.pt", "a/unet/w.pt", root="a/")

    assert unit("a/model.pt").shape == unit("old/backup.pt").shape == (("", MIB),)
    assert model.shape == unit("c/d/vae/w.pt", "c/d/unet/w.pt", root="c/d/").shape
    assert model.shape != unit("c/text/w.pt", "c/unet/w.pt", root="c/").shape
    assert model.modified == AT + DAY  # when the last of its files was written


@cases("keys, found", ([], False), (["a.pt.bak"], False), (["a.pt", "a.pt.bak"], True))
def test_one_object_is_found_by_its_whole_key(keys: list[str], *, found: bool) -> None:
    page = {"KeyCount": len(keys), "Contents": [entry(key) for key in keys]}
    aws: Any = SimpleNamespace(s3=SimpleNamespace(list_objects_v2=lambda **_: page))

    assert find_object(aws, "b", "a.pt") == (stored_object("b", entry("a.pt")) if found else None)


def test_an_object_without_a_class_is_a_standard_one() -> None:
    assert stored_object("b", entry("a")).storage_class == "STANDARD"


NOW = datetime(2026, 10, 6, 4, tzinfo=UTC)
NAMES = ArtifactNames(min_size=1)

FOLDERS = st.sampled_from(["", "a/", "a/b/", "a/b/c/", "é/"])
FILES = st.sampled_from(
    ["m.pt", "n.pt", "m.tar.gz", "model-00001-of-00002.pt", "config.json", "x.csv", "README.md", "\n.pt", ""]
)
KEYS = st.builds(lambda folder, file: folder + file, FOLDERS, FILES).filter(bool)
BUCKETS = st.dictionaries(
    st.sampled_from(["b", "c"]), st.dictionaries(KEYS, st.integers(0, 3), max_size=30), min_size=1
)


class Kept:
    """Files that last, in memory. Writing one whose name ends with *refused* fails."""

    lasting = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refused = self.changed = "nothing"

    def put(self, name: str, body: bytes) -> None:
        if name.endswith(self.refused):
            raise OSError(name)
        self.files[name] = body

    def blocks(self, name: str) -> Iterator[bytes]:
        if name == self.changed:
            raise FileChangedError(name)
        body = self.files[name]
        return (body[start : start + 64] for start in range(0, len(body), 64))

    def keep(self, place: str, position: Mapping[str, Any] | None) -> None:
        self.put(f"{place}/position", json.dumps(position).encode())

    def kept(self, place: str) -> Any:
        return json.loads(self.files.get(f"{place}/position", b"null"))


def read(s3: PagedS3, *, now: datetime = NOW, names: ArtifactNames = NAMES, **given: Any) -> BucketListing:
    places = dict.fromkeys(s3.buckets, s3.region)
    return list_buckets(cast("Aws", s3), places, names, now, **given)


def verdicts(listing: BucketListing) -> list[tuple[StoredObject, str | None, bool]]:
    """Each candidate, the model that it is a part of, and whether it is crowded."""
    found = find_candidates([listing.artifacts()]).artifacts
    listing.notice(relevant_folders(found))
    shelves: Mapping[str, BucketIndex] = listing.shelves
    return [(one, shelves[one.bucket].root(one), shelves[one.bucket].crowded(one)) for one in found]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds next to nothing."""
    monkeypatch.setattr(artifacts, "_MOST_HELD", 3)
    monkeypatch.setattr(client, "BLOCK_SIZE", 64)


@pytest.mark.usefixtures("small")
@given(buckets=BUCKETS, breaks=st.lists(st.integers(0, 9), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_files_and_breaks_change_nothing(buckets: dict[str, dict[str, int]], breaks: list[int]) -> None:
    expected = verdicts(_in_memory(buckets))
    scratch = Kept()
    for calls in breaks:
        part = read(PagedS3(buckets, scratch, calls))
        unread = {name for name, shelf in part.shelves.items() if shelf.error is not None}
        assert not unread or list(part.artifacts()) == [] or not scratch.files
        assert all(
            shelf.objects == len(buckets[name]) for name, shelf in part.shelves.items() if not shelf.error
        )

    whole = read(PagedS3(buckets, scratch))

    assert verdicts(whole) == expected
    assert all(shelf.error is None for shelf in whole.shelves.values())
    assert {name: shelf.objects for name, shelf in whole.shelves.items()} == {
        name: len(keys) for name, keys in buckets.items()
    }
    assert verdicts(read(PagedS3(buckets))) == expected  # by files that do not last


def _in_memory(buckets: dict[str, dict[str, int]]) -> BucketListing:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "_MOST_HELD", 10**9)
        return read(PagedS3(buckets))


MANY = {"b": {f"{n}.pt": 1 for n in range(9)}}
FIRST = "123456789012/us-east-1/2026-10-06T04-00-00Z/0000-artifacts"
POSITION = "123456789012/us-east-1/position"


@pytest.mark.usefixtures("small")
def test_a_bucket_that_was_not_read_in_time_says_so_and_has_no_candidates() -> None:
    scratch = Kept()

    part = read(PagedS3(MANY, scratch, 2))

    error = "b could not be read in time: S3 listed 4 objects, and the next try goes on there"
    assert part.shelves["b"].error == error
    assert list(part.artifacts()) == []
    assert {FIRST, POSITION} < set(scratch.files)


@cases("most, written", (4, [4, 4, 1]), (6, [6, 3]))
def test_what_memory_may_hold_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch, most: int, written: list[int]
) -> None:
    """Pages have two objects, and their folder is held too."""
    monkeypatch.setattr(artifacts, "_MOST_HELD", most)
    scratch = Kept()

    read(PagedS3(MANY, scratch))

    bodies = [scratch.files[name] for name in sorted(scratch.files) if name.endswith("-artifacts")]
    assert [body.count(b"\n") for body in bodies] == written


@pytest.mark.usefixtures("small")
def test_of_folders_in_files_only_those_that_are_asked_about_come_back() -> None:
    keys = dict.fromkeys(["a/config.json", "a/m.pt", "b/config.json", "b/m.pt"], 1)
    whole = read(PagedS3({"b": keys}, Kept()))
    assert list(whole.shelves["b"].folders()) == []

    whole.notice(frozenset({("b", "a/")}))

    assert list(whole.shelves["b"].folders()) == [("a/", True, True, 1)]


def test_a_run_without_time_for_one_page_keeps_nothing() -> None:
    scratch = Kept()

    assert read(PagedS3(MANY, scratch, 0)).shelves["b"].error is not None
    assert scratch.files == {}


def test_a_small_bucket_leaves_no_file() -> None:
    scratch = Kept()

    whole = read(PagedS3(MANY, scratch))
    whole.done()

    assert len(list(whole.artifacts())) == 9
    assert scratch.files == {}


@pytest.mark.usefixtures("small")
@cases(
    "again, calls",
    ({}, 3),
    ({"now": NOW + DAY}, 3),
    ({"now": NOW + DAY + timedelta(seconds=1)}, 5),
    ({"now": NOW - timedelta(seconds=1)}, 5),
    ({"names": ArtifactNames(min_size=2)}, 5),
    ({"names": ArtifactNames(min_size=1, extensions=(".pt",))}, 5),
    ({"only": {1}}, 5),
)
def test_only_the_same_listing_of_the_same_day_goes_on(again: dict[str, Any], calls: int) -> None:
    scratch = Kept()
    read(PagedS3(MANY, scratch, 2))
    s3 = PagedS3(MANY, scratch)

    read(s3, **again)

    assert len(s3.asked) == calls


@pytest.mark.usefixtures("small")
def test_what_was_judged_is_listed_anew() -> None:
    scratch = Kept()
    read(PagedS3(MANY, scratch)).done()
    s3 = PagedS3(MANY, scratch)

    whole = read(s3)

    assert len(s3.asked) == 5
    assert len(list(whole.artifacts())) == 9
    assert sum(name.endswith("artifacts") for name in scratch.files) > 2


def test_a_listing_without_a_single_artifact_is_listed_anew_too() -> None:
    scratch, notes = Kept(), {"b": {f"{n}/README.md": 1 for n in range(9)}}
    read(PagedS3(notes, scratch, 2))
    read(PagedS3(notes, scratch)).done()
    s3 = PagedS3(notes, scratch)

    read(s3)

    assert len(s3.asked) == 5


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("killed", ["artifacts", "folders", "position"])
def test_a_run_that_is_killed_while_it_writes_costs_only_what_it_wrote(killed: str) -> None:
    scratch = Kept()
    read(PagedS3(MANY, scratch, 2))
    scratch.refused = killed
    with pytest.raises(OSError, match=killed):
        read(PagedS3(MANY, scratch))
    scratch.refused = "nothing"

    assert sorted(one.key for one in read(PagedS3(MANY, scratch)).artifacts()) == sorted(MANY["b"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["artifacts", "folders"])
def test_after_a_changed_file_the_next_run_lists_anew(kind: str) -> None:
    scratch = Kept()
    read(PagedS3(MANY, scratch, 2))
    scratch.changed = FIRST.replace("0000-artifacts", f"000{int(kind == 'folders')}-{kind}")
    spoiled = read(PagedS3(MANY, scratch))
    with pytest.raises(FileChangedError):
        verdicts(spoiled)
    scratch.changed = "nothing"
    s3 = PagedS3(MANY, scratch)

    assert len(list(read(s3).artifacts())) == 9
    assert len(s3.asked) == 5


@pytest.mark.usefixtures("small")
def test_a_bucket_that_is_searched_no_more_is_left_out_and_a_new_one_is_read() -> None:
    scratch = Kept()
    read(PagedS3(MANY, scratch, 2))

    whole = read(PagedS3({"c": {"x.pt": 1, "y.pt": 1}}, scratch))

    assert [(one.bucket, one.key) for one in whole.artifacts()] == [("c", "x.pt"), ("c", "y.pt")]


@pytest.mark.usefixtures("small")
def test_one_look_keeps_only_its_sizes_and_no_position() -> None:
    scratch = Kept()

    look = read(PagedS3({"b": {"x.pt": 1, "y.pt": 2, "z.pt": 1, "x.csv": 1}}, scratch), only={2})

    assert [one.key for one in look.artifacts()] == ["y.pt"]
    look.done()
    assert scratch.files == {}
