"""Which of several equal artifacts stay: table by table, and as laws over random ones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.aws.references import ObjectUses, PlaceUser
from ml_janitor.core.model import Absent, Signal, Value
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.contents import ContentMatch, Likeness
from ml_janitor.detectors.duplicate_artifacts.copies import CopyRole, GroupMember, settle_standings
from narrowing import not_none
from tables import cases

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


def roles(members: Sequence[GroupMember], likeness: Likeness) -> dict[str, tuple[str, str | None]]:
    found = settle_standings(members, lambda _a, _b: always(likeness))
    return {
        one.unit.files[0].key: (str(standing.role), standing.keeper.files[0].key if standing.keeper else None)
        for one, standing in found.items()
    }


STAYS = ("stays", None)
SURE = (Likeness.PROVEN, Likeness.LIKELY)


@cases(
    "likenesses, members, expected",
    # the oldest stays, of equally old ones the first by name
    (
        SURE,
        [member("a", 3), member("b", 1), member("c", 2)],
        {"a": ("surplus", "b"), "b": STAYS, "c": ("surplus", "b")},
    ),
    (SURE, [member("z"), member("a")], {"z": ("surplus", "a"), "a": STAYS}),
    # every needed one stays, however young
    (SURE, [member("old"), member("young", 9, needed=True)], {"old": ("surplus", "young"), "young": STAYS}),
    (
        SURE,
        [member("a", needed=True), member("b", 1, needed=True), member("c", 2)],
        {"a": STAYS, "b": ("stays", "a"), "c": ("surplus", "a")},
    ),
    # a copy in another bucket is reported apart, and every bucket has a keeper of its own
    (SURE, [member("a"), member("b", 1, bucket="second")], {"a": STAYS, "b": ("elsewhere", "a")}),
    (
        SURE[:1],
        [member("a", 9, needed=True), member("b1", 1, bucket="second"), member("b2", 2, bucket="second")],
        {"a": STAYS, "b1": ("elsewhere", "a"), "b2": ("surplus", "b1")},
    ),
    # what expires is nobody's keeper
    (SURE[:1], [member("x", lasting=False), member("b", 1)], {"x": ("surplus", "b"), "b": STAYS}),
    (
        SURE[:1],
        [member("a", lasting=False), member("b", 1, lasting=False)],
        {"a": ("stays", "b"), "b": ("stays", "a")},
    ),
    # unknown is not a copy, and different ones are alone
    ([Likeness.UNKNOWN], [member("a"), member("b")], {"a": ("unsure", "b"), "b": ("unsure", "a")}),
    ([Likeness.DIFFERENT], [member("a"), member("b")], {"a": ("alone", None), "b": ("alone", None)}),
    # what an ended job refers to stays only if nothing in use refers to a copy
    (SURE[:1], [member("old"), member("end", 1, ended=True)], {"old": ("surplus", "end"), "end": STAYS}),
    (
        SURE[:1],
        [member("a", ended=True), member("b", 1, ended=True), member("c", 2, needed=True)],
        {"a": ("surplus", "c"), "b": ("surplus", "c"), "c": STAYS},
    ),
    (SURE[:1], [member("a", ended=True), member("b", 1, ended=True)], {"a": STAYS, "b": ("surplus", "a")}),
)
def test_which_of_equal_artifacts_stay(
    likenesses: Sequence[Likeness], members: list[GroupMember], expected: dict[str, tuple[str, str | None]]
) -> None:
    assert [roles(members, likeness) for likeness in likenesses] == [expected] * len(likenesses)


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
        assert not_none(standing.match).likeness >= Likeness.LIKELY
        keeper = by_unit[not_none(standing.keeper)]
        assert keeper.lasting
        same_bucket = keeper.unit.bucket == one.unit.bucket
        assert same_bucket is (standing.role is CopyRole.SURPLUS)
        assert found[keeper].role is not CopyRole.SURPLUS
        if not same_bucket:
            assert found[keeper].role is not CopyRole.ELSEWHERE
