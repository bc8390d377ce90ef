"""Buckets listed in several ranges of their keys at once: each key once, and where a range is split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from typing import Any, cast

import pytest

from ml_janitor.aws.calls import OutOfTimeError, ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import (
    FIRST_PROBES,
    LAST_CHARACTER,
    PROBES_PER_PAGE,
    KeyRange,
    RangedListing,
    page_objects,
)
from tables import cases

REGIONS = {"b": "eu-west-1", "c": "us-east-1"}


class AtOnce(futures.Executor):
    """No threads: every call is made when it is asked for."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, read: Callable[..., Any], /, *given: Any, **_: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(read(*given))
        except Exception as error:
            done.set_exception(error)
        return done


class S3:
    """S3 with the keys of *buckets*, *size* to a page; *fails* is raised after so many *calls*."""

    def __init__(
        self,
        buckets: Mapping[str, Sequence[str]],
        *,
        size: int = 2,
        calls: float = float("inf"),
        fails: Exception | None = None,
    ) -> None:
        self.buckets = {name: sorted(keys) for name, keys in buckets.items()}
        self.size, self.calls, self.fails = size, calls, fails
        self.asked = list[dict[str, Any]]()

    def client(self, service: str, region: str) -> S3:
        assert service == "s3"
        self.region = region
        return self

    def list_objects_v2(self, **given: Any) -> dict[str, Any]:
        assert self.region == REGIONS[given["Bucket"]]
        self.asked.append(given)
        if len(self.asked) > self.calls and self.fails is not None:
            raise self.fails
        after = given.get("ContinuationToken", "token ").removeprefix("token ") or given.get("StartAfter", "")
        keys = [key for key in self.buckets[given["Bucket"]] if key.encode() > after.encode()]
        some = keys[: given.get("MaxKeys", self.size)]
        page: dict[str, Any] = {"KeyCount": len(some), "IsTruncated": len(keys) > len(some)}
        page |= {"Contents": [{"Key": key} for key in some]} if some else {}
        return page | ({"NextContinuationToken": f"token {some[-1]}"} if page["IsTruncated"] else {})


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futures, "ThreadPoolExecutor", AtOnce)


def listing(s3: S3, *ranges: KeyRange) -> RangedListing:
    return RangedListing(cast("Aws", s3), REGIONS, list(ranges))


def read(found: RangedListing) -> list[str]:
    return [f"{bucket}/{entry['Key']}" for bucket, page in found.pages() for entry in page_objects(page)]


KEYS = [f"{folder}/{number:02}" for folder in ("a", "m", "z") for number in range(20)]


@pytest.mark.parametrize("split_after", [1, 3, 10_000])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_each_key_is_listed_once(monkeypatch: pytest.MonkeyPatch, split_after: int, size: int) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.SPLIT_AFTER", split_after)
    s3 = S3({"b": KEYS, "c": ["one"]}, size=size)
    found = listing(s3, KeyRange("b"), KeyRange("c"))

    assert sorted(read(found)) == sorted([*(f"b/{key}" for key in KEYS), "c/one"])

    assert (found.ranges, found.errors, found.late) == ([], {}, False)
    probes = [asked for asked in s3.asked if "MaxKeys" in asked]
    assert (found.read, found.probed) == (len(s3.asked) - len(probes), len(probes))
    starts = {asked["StartAfter"] for asked in s3.asked if "MaxKeys" not in asked and "StartAfter" in asked}
    assert bool(starts) is bool(probes) is (split_after * size < 60 and split_after < 10_000)


def test_few_calls_look_for_where_to_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.SPLIT_AFTER", 1)
    found = listing(S3({"b": [f"{number:04}" for number in range(2000)]}, size=10), KeyRange("b"))

    assert len(read(found)) == 2000

    assert 20 < found.probed < 20 + 0.1 * found.read + 12
    assert (FIRST_PROBES, PROBES_PER_PAGE) == (20, 0.1)


@cases(
    "one, keys",
    (KeyRange("b", "b", "d"), "cd"),
    (KeyRange("b", "b"), "cde"),
    (KeyRange("b", "", "a"), "a"),
    (KeyRange("b", "", "aa"), "a"),
    (KeyRange("b", "e"), ""),
    (KeyRange("b", "", "e"), "abcde"),
)
def test_a_range_has_the_keys_after_its_beginning_up_to_its_end(one: KeyRange, keys: str) -> None:
    found = listing(S3({"b": "abcde"}, size=3), one)

    pages = [[entry["Key"] for entry in page_objects(page)] for _, page in found.pages()]

    assert [key for page in pages for key in page] == list(keys)
    assert found.ranges == []


def test_a_page_beyond_the_range_says_how_many_keys_are_left_on_it() -> None:
    ((_, page),) = listing(S3({"b": "abcde"}, size=5), KeyRange("b", "", "c")).pages()

    assert (page["KeyCount"], [entry["Key"] for entry in page["Contents"]]) == (3, ["a", "b", "c"])


def test_a_bucket_that_fails_costs_only_itself_and_a_range_that_is_left_goes_on() -> None:
    class Half(S3):
        def list_objects_v2(self, **given: Any) -> dict[str, Any]:
            if given["Bucket"] == "c":
                raise ReadError("ListObjectsV2: AccessDenied")
            return super().list_objects_v2(**given)

    found = listing(Half({"b": "abc", "c": "x"}), KeyRange("b"), KeyRange("c"), KeyRange("c", "m"))

    assert sorted(read(found)) == ["b/a", "b/b", "b/c"]
    assert (found.errors, [one.bucket for one in found.ranges]) == (
        {"c": "ListObjectsV2: AccessDenied"}, ["c", "c"],
    )  # fmt: skip


@pytest.mark.parametrize("calls", range(1, 4))
def test_a_listing_without_time_goes_on_exactly_there(calls: int) -> None:
    late = listing(S3({"b": "abcdefg"}, calls=calls, fails=OutOfTimeError("late")), KeyRange("b"))

    before = read(late)

    assert (late.late, late.errors, len(before)) == (True, {}, 2 * calls)
    after = listing(S3({"b": "abcdefg"}), *(KeyRange(one.bucket, one.after, one.upto) for one in late.ranges))
    assert before + read(after) == [f"b/{key}" for key in "abcdefg"]


def test_a_fault_of_ours_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        read(listing(S3({"b": "a"}, calls=0, fails=ZeroDivisionError()), KeyRange("b")))


@pytest.mark.parametrize("missing", ["KeyCount", "IsTruncated", "Contents", "NextContinuationToken"])
def test_a_page_that_was_cut_off_is_an_error(missing: str) -> None:
    class Cut(S3):
        def list_objects_v2(self, **given: Any) -> dict[str, Any]:
            page = super().list_objects_v2(**given)
            del page[missing]
            return page

    found = listing(Cut({"b": "abcde"}), KeyRange("b"))

    assert read(found) == []
    assert found.errors == {"b": f"the answer lacks {missing}: it was cut off"}


LONG = "a" * 1019


@cases(
    "keys, place, expected",
    ([f"data/{letter}" for letter in "abcmnopxyz"], ("data/a", None, 0), (f"data/n{LAST_CHARACTER}", 5)),
    (["data/a/1", "data/b", "data/c"], ("data/a/1", None, 0), (f"data/b{LAST_CHARACTER}", 5)),
    (["data/a/1", "data/b"], ("data/a/1", None, 0), (f"data/a{LAST_CHARACTER}", 6)),
    (["data/a/1"], ("data/a/1", None, 0), None),
    ([f"p/{digit}" for digit in "0123456789"], ("p/0", None, 0), (f"p/5{LAST_CHARACTER}", 2)),
    ([f"p/{letter}" for letter in "ABCXYZ"], ("p/A", None, 0), (f"p/N{LAST_CHARACTER}", 2)),
    (["p/8", "p/9", "p/A", "p/Z"], ("p/8", None, 0), (f"p/I{LAST_CHARACTER}", 2)),
    (["p/a", "p/é", "p/ü"], ("p/a", None, 0), (f"p/a{LAST_CHARACTER}", 3)),
    ([f"data/{letter}" for letter in "abcxyz"], ("data/a", "data/c", 0), (f"data/b{LAST_CHARACTER}", 5)),
    ([f"data/{letter}" for letter in "abcxyz"], ("data/a", "data/a", 0), None),
    ([f"data/{letter}" for letter in "abcxyz"], ("data/a", None, 5), (f"data/n{LAST_CHARACTER}", 5)),
    (["a", "data/a", "data/b"], ("a", None, 0), (f"a{LAST_CHARACTER}", 1)),
    (["a" * 1024, "b"], ("a" * 1024, None, 1023), None),
    ([f"{LONG}{end}" for end in "abc"], (f"{LONG}a", None, 1019), (f"{LONG}b{LAST_CHARACTER}", 1019)),
)  # fmt: skip
def test_a_range_is_split_about_the_middle_of_where_its_keys_part(
    keys: Sequence[str], place: tuple[str, str | None, int], expected: tuple[str, int] | None
) -> None:
    s3 = S3({"b": keys})
    found = listing(s3)

    assert found._place_to_split(("b", *place)) == expected
    assert {asked["MaxKeys"] for asked in s3.asked} <= {1}
    assert found.probed == len(s3.asked)


@cases(
    "one, at, depth, kept, rest",
    (KeyRange("b", "c", None, 9, 7), "m", 2, KeyRange("b", "c", "m", 2, 0), KeyRange("b", "m", None, 2, 0)),
    (KeyRange("b", "c", "x", 1, 7), "m", 2, KeyRange("b", "c", "m", 2, 0), KeyRange("b", "m", "x", 1, 0)),
    (KeyRange("b", "m", None, 0, 7), "m", 2, KeyRange("b", "m", None, 0, 7), None),
    (KeyRange("b", "n", None, 0, 7), "m", 2, KeyRange("b", "n", None, 0, 7), None),
    (KeyRange("b", "c", "m", 0, 7), "m", 2, KeyRange("b", "c", "m", 0, 7), None),
)
def test_splitting_keeps_the_first_part(
    one: KeyRange, at: str, depth: int, kept: KeyRange, rest: KeyRange | None
) -> None:
    def members(each: KeyRange | None) -> Any:
        return each and {name: getattr(each, name) for name in KeyRange.__slots__}

    assert members(one.split(at, depth)) == members(rest)
    assert members(one) == members(kept)


def test_what_was_read_meanwhile_is_not_split() -> None:
    found = listing(S3({}))
    over: Future[tuple[str, int] | None] = Future()
    over.set_result(("m", 1))
    found._probing[over] = KeyRange("b")

    assert found._rest(over) is None
    assert (found.ranges, found._probing) == ([], {})
