"""Which of several equal artifacts stay: table by table, and as laws over random ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.aws.references import ObjectUses, PlaceUser
from ml_janitor.core.model import Absent, Signal, Value
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.contents import ContentMatch, Likeness
from ml_janitor.detectors.duplicate_artifacts.copies import (
    CopyRole,
    CopyStanding,
    GroupMember,
    settle_standings,
)
from narrowing import not_none

START = datetime(2026, 1, 1, tzinfo=UTC)
REFERRED = Value(("model churn",))


def member(
    key: str,
    day: int = 0,
    *,
    bucket: str = "b",
    needed: bool = False,
    ended: bool = False,
    lasting: bool = True,
) -> GroupMember:
    one = StoredObject(
        bucket=bucket,
        key=key,
        size=9,
        etag='"e"',
        modified=START + timedelta(days=day),
        storage_class="STANDARD",
    )
    referred: Signal[tuple[str, ...]] = REFERRED if needed else Absent()
    uses = ObjectUses(
        referred, (PlaceUser("training job t, which ended", "training-job/t", in_use=False),) * ended
    )
    return GroupMember(unit=ArtifactUnit(bucket=bucket, region="r", files=(one,)), uses=uses, lasting=lasting)


def always(likeness: Likeness) -> ContentMatch:
    return ContentMatch(likeness, "said so")


def settled(*members: GroupMember, likeness: Likeness = Likeness.PROVEN) -> dict[str, CopyStanding]:
    found = settle_standings(members, lambda _a, _b: always(likeness))
    return {one.unit.files[0].key: standing for one, standing in found.items()}


def roles(*members: GroupMember, likeness: Likeness = Likeness.PROVEN) -> dict[str, tuple[str, str | None]]:
    return {
        key: (str(standing.role), standing.keeper.files[0].key if standing.keeper else None)
        for key, standing in settled(*members, likeness=likeness).items()
    }


SURE = pytest.mark.parametrize("likeness", [Likeness.PROVEN, Likeness.LIKELY])


@SURE
def test_the_oldest_stays(likeness: Likeness) -> None:
    assert roles(member("a", 3), member("b", 1), member("c", 2), likeness=likeness) == {
        "a": ("surplus", "b"),
        "b": ("stays", None),
        "c": ("surplus", "b"),
    }


@SURE
def test_of_equally_old_ones_the_first_by_name_stays(likeness: Likeness) -> None:
    assert roles(member("z"), member("a"), likeness=likeness)["z"] == ("surplus", "a")


@SURE
def test_the_needed_one_stays_however_young(likeness: Likeness) -> None:
    assert roles(member("old"), member("young", 9, needed=True), likeness=likeness) == {
        "old": ("surplus", "young"),
        "young": ("stays", None),
    }


@SURE
def test_every_needed_one_stays(likeness: Likeness) -> None:
    found = roles(member("a", needed=True), member("b", 1, needed=True), member("c", 2), likeness=likeness)

    assert (found["a"][0], found["b"][0], found["c"]) == ("stays", "stays", ("surplus", "a"))


@SURE
def test_a_copy_in_another_bucket_is_reported_apart(likeness: Likeness) -> None:
    assert roles(member("a"), member("b", 1, bucket="second"), likeness=likeness) == {
        "a": ("stays", None),
        "b": ("elsewhere", "a"),
    }


def test_every_bucket_has_a_keeper_of_its_own() -> None:
    found = roles(
        member("a", 9, needed=True), member("b1", 1, bucket="second"), member("b2", 2, bucket="second")
    )

    assert found == {"a": ("stays", None), "b1": ("elsewhere", "a"), "b2": ("surplus", "b1")}


def test_what_expires_is_nobodys_keeper() -> None:
    assert roles(member("expiring", lasting=False), member("b", 1)) == {
        "expiring": ("surplus", "b"),
        "b": ("stays", None),
    }
    assert [
        role for role, _ in roles(member("a", lasting=False), member("b", 1, lasting=False)).values()
    ] == ["stays", "stays"]


def test_unknown_is_not_a_copy() -> None:
    assert roles(member("a"), member("b"), likeness=Likeness.UNKNOWN) == {
        "a": ("unsure", "b"),
        "b": ("unsure", "a"),
    }


def test_different_ones_are_alone() -> None:
    assert roles(member("a"), member("b"), likeness=Likeness.DIFFERENT) == {
        "a": ("alone", None),
        "b": ("alone", None),
    }


def test_the_keeper_of_a_proven_copy_is_never_a_likely_one() -> None:
    old, keeper, copied = member("old"), member("keeper", 1), member("copied", 2)

    def compare(a: GroupMember, b: GroupMember) -> ContentMatch:
        proven = {a, b} == {keeper, copied}
        return always(Likeness.PROVEN if proven else Likeness.LIKELY)

    found = settle_standings([old, keeper, copied], compare)

    assert found[copied].keeper == keeper.unit
    assert found[keeper].role is CopyRole.STAYS
    assert found[old].role is CopyRole.STAYS


def test_what_is_proven_by_way_of_a_third_says_so() -> None:
    a, b, c = member("a"), member("b", 1), member("c", 2)

    def compare(x: GroupMember, y: GroupMember) -> ContentMatch:
        return always(Likeness.UNKNOWN if {x, y} == {a, c} else Likeness.PROVEN)

    assert settle_standings([a, b, c], compare)[c].match == ContentMatch(
        Likeness.PROVEN, "equal to a third copy"
    )


MEMBERS = st.lists(
    st.builds(
        lambda n, day, bucket, needed, lasting: (n, day, bucket, needed, lasting),
        st.integers(0, 99),
        st.integers(0, 3),
        st.sampled_from(["b", "second"]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=2,
    max_size=7,
    unique_by=lambda made: (made[0], made[2]),
)


@given(MEMBERS, st.randoms(use_true_random=False))
def test_laws(made: list[tuple[int, int, str, bool, bool]], random: object) -> None:
    members = [
        member(f"k{n}", day, bucket=bucket, needed=needed, lasting=lasting)
        for n, day, bucket, needed, lasting in made
    ]
    choice = getattr(random, "choice")  # noqa: B009 - hypothesis hands out an untyped Random
    said: dict[frozenset[GroupMember], ContentMatch] = {}

    def compare(a: GroupMember, b: GroupMember) -> ContentMatch:
        return said.setdefault(frozenset({a, b}), always(choice(list(Likeness))))

    found = settle_standings(members, compare)

    by_unit = {one.unit: one for one in members}
    assert found.keys() == set(members)
    for one, standing in found.items():
        if standing.role not in {CopyRole.SURPLUS, CopyRole.ELSEWHERE}:
            continue
        assert not one.needed
        assert standing.keeper is not None
        assert not_none(standing.match).likeness >= Likeness.LIKELY
        keeper = by_unit[standing.keeper]
        assert keeper.lasting
        same_bucket = keeper.unit.bucket == one.unit.bucket
        assert same_bucket is (standing.role is CopyRole.SURPLUS)
        assert found[keeper].role is not CopyRole.SURPLUS
        if not same_bucket:
            assert found[keeper].role is not CopyRole.ELSEWHERE


def test_what_an_ended_job_refers_to_stays_only_if_nothing_in_use_refers_to_a_copy() -> None:
    assert roles(member("old"), member("ended", 1, ended=True)) == {
        "old": ("surplus", "ended"),
        "ended": ("stays", None),
    }
    assert roles(member("a", ended=True), member("b", 1, ended=True), member("c", 2, needed=True)) == {
        "a": ("surplus", "c"),
        "b": ("surplus", "c"),
        "c": ("stays", None),
    }
    assert roles(member("a", ended=True), member("b", 1, ended=True)) == {
        "a": ("stays", None),
        "b": ("surplus", "a"),
    }
