"""What the reading of artifacts does when S3 changes under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import NotRead, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import survey
from ml_janitor.detectors.duplicate_artifacts.artifact import Names, Shelf, Unit
from ml_janitor.detectors.duplicate_artifacts.contents import Contents
from ml_janitor.detectors.duplicate_artifacts.sources import candidates
from ml_janitor.detectors.duplicate_artifacts.survey import Survey, Where

MIB = 1024**2


class Listed:
    """S3 as far as listing a folder goes."""

    partition, account, region = "aws", "123456789012", "us-east-1"

    def __init__(self, page: dict[str, Any]) -> None:
        self.page = page

    def client(self, service: str, region: str) -> SimpleNamespace:
        assert (service, region) == ("s3", "us-east-1")
        return SimpleNamespace(list_objects_v2=lambda **_: self.page)

    def map(self, read: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [read(item) for item in items]


def page(etag: str, *, truncated: bool = False) -> dict[str, Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    entries = [
        {"Key": "a/model.safetensors", "Size": MIB, "ETag": etag, "LastModified": at},
        {"Key": "a/config.json", "Size": 2, "ETag": '"c"', "LastModified": at},
    ]
    return {"KeyCount": 2, "IsTruncated": truncated, "Contents": entries}


def reading(again: dict[str, Any]) -> Survey:
    return Survey(
        cast("Aws", Listed(again)),
        Where(buckets=("b",), contents_in=("s3://b/",), names=Names(), compare_up_to=0),
        datetime(2026, 10, 6, tzinfo=UTC),
    )


def test_a_bucket_that_broke_off_and_artifacts_that_are_too_many_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey, "candidates", partial(candidates, most=1))
    shelf = Shelf(bucket="b", region="us-east-1", error="b broke off after 0")
    (one,) = shelf.put(cast("Any", page('"e"')), Names())
    source = SimpleNamespace(
        shelves={"b": shelf}, artifacts=lambda: iter([one, one]), notice=lambda _folders: None
    )
    read = reading({})

    copy = read._copy(shelf, one, NotRead(), {})
    assert copy.listing_error == "b broke off after 0"
    assert read._found([source], None) == []
    assert read.errors[0] == "b broke off after 0"
    assert read.errors[1].startswith("2 artifacts have the size of another one and were not compared")


@pytest.mark.parametrize("ran_out", [True, False])
def test_a_listing_is_done_only_if_there_was_time_for_all_of_it(
    monkeypatch: pytest.MonkeyPatch, *, ran_out: bool
) -> None:
    monkeypatch.setattr(Survey, "_sources", lambda *_: [])
    read, done = reading({}), list[str]()
    cast("Any", read.aws).ran_out = ran_out
    read._listing = cast("Any", SimpleNamespace(done=lambda: done.append("done")))

    read.read()

    assert done == ([] if ran_out else ["done"])


def test_what_s3_says_of_a_file_is_said_of_its_copy() -> None:
    shelf = Shelf(bucket="b", region="us-east-1", stale="its list is old")
    (one,) = shelf.put(cast("Any", page('"e"')), Names())
    unit = Value(Unit(bucket="b", region="us-east-1", files=(one,)))
    read = reading({})
    read.standings.known[one] = Contents(size=MIB, replica=True, archived="ARCHIVE_ACCESS")

    copy = read._copy(shelf, one, unit, {})
    read.standings.unreadable[one] = Unreadable("denied")
    unread = read._copy(shelf, one, unit, {})

    assert (copy.replica, copy.archived, copy.stale) == (True, "ARCHIVE_ACCESS", "its list is old")
    assert (copy.contents, unread.contents) == (Value(read.standings.known[one]), Unreadable("denied"))


@pytest.mark.parametrize(
    ("again", "error"),
    [
        (page('"e"'), None),
        (page('"f"'), "s3://b/a/model.safetensors was replaced meanwhile"),
        (page('"e"', truncated=True), "s3://b/a/ holds more than 1000 objects"),
        ({}, "the answer lacks IsTruncated: it was cut off"),
    ],
)
def test_a_folder_counts_only_if_it_is_still_the_one_that_was_listed(
    again: dict[str, Any], error: str | None
) -> None:
    shelf = Shelf(bucket="b", region="us-east-1")
    (one,) = shelf.put(cast("Any", page('"e"')), Names())

    unit = reading(again)._units([(shelf, one)])[one]

    assert isinstance(unit, Value if error is None else Unreadable)
    assert error is None or (isinstance(unit, Unreadable) and error in unit.error)
