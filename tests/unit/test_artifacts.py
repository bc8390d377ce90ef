"""What counts as a model artifact, and which files make up one model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import DAY
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    ArtifactNames,
    ArtifactUnit,
    BucketIndex,
    StoredObject,
    artifact_order,
    find_candidates,
    find_object,
    stored_object,
)
from tables import cases

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
