"""A listing in ranges lists what a plain one does: any keys, answers in any order, broken off anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent import futures
from concurrent.futures import FIRST_COMPLETED, Future
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_janitor.aws import s3
from ml_janitor.aws.calls import OutOfTimeError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import KeyRange, RangedListing
from tables import cases

LETTERS = st.sampled_from(["ab/", "0123456789", "a/\x00\x7fé\uffff\ue000\U0001f600\U0010ffff", "a"])
KEYS = LETTERS.flatmap(lambda some: st.sets(st.text(some, min_size=1, max_size=8), max_size=60))
ONE_BRANCH = st.builds(lambda keys, above: {above + key for key in keys}, KEYS, st.text("x/é", max_size=6))


@dataclass
class Bucket:
    """
    S3 with pages of three keys, whose answers come in an order of *random*'s.

    It takes *calls* and then has no time; *changes* happens between them.
    """

    keys: set[str]
    random: Random
    calls: float = float("inf")
    changes: Callable[[set[str]], object] = lambda _: None
    refused: str = ""
    todo: list[tuple[Future[Any], Callable[[], Any]]] = field(default_factory=list)

    def client(self, service: str, region: str) -> Bucket:
        assert (service, region) == ("s3", "us-east-1")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It has no threads to wait for."""

    def submit(self, read: Callable[[Any], Any], item: Any) -> Future[Any]:
        self.todo.append((Future(), lambda: read(item)))
        return self.todo[-1][0]

    def wait(self, futures: Iterable[Future[Any]], return_when: object) -> tuple[set[Future[Any]], object]:
        """Do one of what was asked for, or several."""
        assert return_when == FIRST_COMPLETED
        assert set(futures) <= {future for future, _ in self.todo}
        done = set()
        for future, call in self.random.sample(self.todo, self.random.randint(1, len(self.todo))):
            try:
                future.set_result(call())
            except (OutOfTimeError, ClientError) as error:
                future.set_exception(error)
            done.add(future)
        self.todo = [each for each in self.todo if each[0] not in done]
        return done, ()

    def list_objects_v2(self, **given: Any) -> dict[str, Any]:
        most: int = given.pop("MaxKeys", 3)
        bucket, start, token = (given.pop(name, "") for name in ("Bucket", "StartAfter", "ContinuationToken"))
        assert not given
        self.calls -= 1
        if self.calls < 0:
            raise OutOfTimeError("the run has no time left")
        if self.refused == bucket:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")
        self.changes(self.keys)
        after = (token.removeprefix("token ") or start).encode()
        left = sorted((key for key in self.keys if key.encode() > after), key=str.encode)
        some = left[: self.random.choice([most, most, 0])] if most > 1 else left[:1]
        page: dict[str, Any] = {"KeyCount": len(some), "IsTruncated": len(some) < len(left)}
        if some:
            page["Contents"] = [{"Key": key} for key in some]
        if page["IsTruncated"]:
            page["NextContinuationToken"] = f"token {some[-1] if some else after.decode()}"
        return page


def order(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - the order of answers


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is split as often as possible."""
    monkeypatch.setattr(s3, "SPLIT_AFTER", 1)
    monkeypatch.setattr(s3, "PROBES_PER_PAGE", 100)
    monkeypatch.setattr(s3, "PAGES_AT_ONCE", 4)


def listing(bucket: Bucket, ranges: list[KeyRange]) -> RangedListing:
    return RangedListing(cast("Aws", bucket), dict.fromkeys(["b", "c"], "us-east-1"), ranges)


def instead_of_threads(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futures, "ThreadPoolExecutor", lambda *_, **__: bucket)
    monkeypatch.setattr(futures, "wait", bucket.wait)


def read(bucket: Bucket, made: RangedListing, monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    instead_of_threads(bucket, monkeypatch)
    return Counter((name, one["Key"]) for name, page in made.pages() for one in s3.page_objects(page))


same = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.usefixtures("eager")
@given(keys=KEYS | ONE_BRANCH, seed=st.integers(), breaks=st.lists(st.integers(0, 12), max_size=4))
@same
def test_every_key_is_listed_once(
    keys: set[str], seed: int, breaks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes first, and however often the time runs out and what is left is listed by another."""
    random, ranges, found = order(seed), [KeyRange("b"), KeyRange("c")], Counter[tuple[str, str]]()
    for calls in (*breaks, float("inf")):
        made = listing(Bucket(set(keys), random, calls), ranges)
        found += read(made.aws, made, monkeypatch)  # type: ignore[arg-type]
        assert made.errors == {}
        assert made.late or not made.ranges
        ranges = [KeyRange(one.bucket, one.after, one.upto, one.shared) for one in made.ranges]

    assert found == Counter((name, key) for name in ("b", "c") for key in keys)


@pytest.mark.usefixtures("eager")
@given(keys=KEYS, others=KEYS, seed=st.integers())
@same
def test_what_is_there_all_the_while_is_listed_once_whatever_else_comes_and_goes(
    keys: set[str], others: set[str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, coming = order(seed), sorted(others - keys)

    def changes(now: set[str]) -> None:
        now ^= {random.choice(coming)} if coming else set()

    bucket = Bucket(set(keys), random, changes=changes)
    found = read(bucket, listing(bucket, [KeyRange("b")]), monkeypatch)

    assert all(found["b", key] == 1 for key in keys)
    assert max(found.values(), default=1) == 1
    assert {key for _, key in found} <= keys | others


@cases(
    "keys",
    [f"{n:06}" for n in range(3_000)],
    [f"runs/{n % 7}/{n:06}/model.pt" for n in range(3_000)],
    [f"runs/only/here/{n * 7919 % 100003:08x}" for n in range(3_000)],
)
def test_a_large_bucket_is_read_in_parallel(keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """However its keys are spread: flat, in folders, or below one prefix."""
    bucket = Bucket(set(keys), order(2))
    monkeypatch.setattr(bucket.random, "choice", lambda some: some[0])
    made, at_once = listing(bucket, [KeyRange("b")]), Counter[int]()
    instead_of_threads(bucket, monkeypatch)

    for _ in made.pages():
        at_once[len(made.ranges)] += 1

    assert made.probed <= made.read / 10 + 30
    assert made.read <= 1_000 + 4 * s3.PAGES_AT_ONCE
    assert sum(pages for ranges, pages in at_once.items() if ranges > s3.PAGES_AT_ONCE / 2) > 500
