"""What several findings name is counted once: on one resource, a whole and its parts, in every report."""

import json
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.core.model import Change, Cost, Kept
from ml_janitor.core.money import (
    Claim,
    Totals,
    claim_of,
    claimed_resources,
    count_once,
    direct_objects_arn,
    find_overlaps,
)
from ml_janitor.core.results import Overlap, Report
from ml_janitor.detectors import DETECTORS
from ml_janitor.report.html import render_html
from ml_janitor.report.json import report_json
from narrowing import not_none
from reports import accruing, finding, printed, report_of, result, sweep
from tables import cases


def claim(
    detector: str,
    arn: str,
    usd: int | None,
    change: Change = Change.END,
    *,
    parts: tuple[str, ...] = (),
    shares: dict[str, int] | None = None,
    possible: bool = True,
) -> Claim:
    """What *detector* would save a month on *arn*."""
    return Claim(
        detector=detector,
        arn=arn,
        name=arn,
        change=change,
        monthly_usd=None if usd is None else Decimal(usd),
        shares={one: Decimal(share) for one, share in (shares or {}).items()},
        parts=parts,
        possible=possible,
    )


IDLE = claim("idle", "e", 90)
SMALLER = claim("smaller", "e", 95, Change.RESIZE)
SPOT, SERVERLESS = claim("spot", "j", 40, Change.SPOT), claim("serverless", "j", 50, Change.REPLACE)
DOMAIN = claim("shutdown", "domain", 30, Change.LIMIT, shares={"a": 10, "b": 15})
COMMIT = claim("commit", "plan", 70, Change.COMMIT, shares={"e": 30, "j": 10, "x": 30})
BIG = claim("smaller", "whole", 50, Change.RESIZE, parts=("a", "b"))
A, B = claim("idle", "a", 20), claim("idle", "b", 31)
OWN, TINY = claim("idle", "domain", 1, Change.RESIZE), {"a": 1, "domain": 4}


@cases(
    "claims, left",
    ([IDLE, SMALLER], {"idle": 90, "smaller": 0}),
    ([SPOT, SERVERLESS], {"spot": 0, "serverless": 50}),
    ([replace(IDLE, possible=False), SMALLER], {"idle": 0, "smaller": 95}),
    ([replace(IDLE, monthly_usd=None), SMALLER], {"idle": None, "smaller": 0}),
    ([claim("idle", "E", 90), SMALLER], {"idle": 90, "smaller": 0}),
    ([claim("untagged", "e", None, Change.TAG), IDLE], {"untagged": 0, "idle": 90}),
    ([replace(SMALLER, priced=False), IDLE], {"smaller": 95, "idle": 90}),
    ([DOMAIN, A], {"shutdown": 20, "idle": 20}),
    ([COMMIT, SMALLER, SPOT], {"commit": 30, "smaller": 95, "spot": 40}),
    ([BIG, A], {"smaller": 50, "idle": 0}),
    ([BIG, A, B], {"smaller": 0, "idle": 51}),
    ([replace(BIG, change=Change.END), A, B], {"smaller": 50, "idle": 0}),
    ([replace(BIG, possible=False), A], {"smaller": 0, "idle": 20}),
    ([replace(BIG, change=Change.COMMIT), A], {"smaller": 0, "idle": 20}),
    ([replace(DOMAIN, monthly_usd=None), A], {"shutdown": None, "idle": 20}),
    ([replace(DOMAIN, monthly_usd=Decimal(10)), A], {"shutdown": 6, "idle": 20}),
    ([claim("shutdown", "domain", 25, shares=TINY), A, OWN], {"shutdown": 24, "idle": 20}),
    ([claim("shutdown", "d", 5, shares={"b": 0}), B], {"shutdown": 5, "idle": 31}),
    ([replace(A, wholes=("Whole",)), replace(BIG, parts=())], {"smaller": 50, "idle": 0}),
    ([BIG, A, claim("idle", "b", 30)], {"smaller": 50, "idle": 0}),
    ([BIG, replace(A, possible=False)], {"smaller": 50, "idle": 0}),
    ([replace(SPOT, monthly_usd=None), SERVERLESS], {"spot": 0, "serverless": 50}),
    ids=[
        "an end before a smaller one",
        "more dollars before fewer",
        "what can be done before what cannot",
        "an end of unknown price all the same",
        "capitals",
        "an unknown price loses",
        "what has no price of its own takes nothing",
        "a share each, and a rest that is nobody else's",
        "a commitment takes what all others leave",
        "a whole before a part",
        "the parts before the whole, if together they save more",
        "an end of the whole before its parts",
        "a part that can be done before a whole that cannot",
        "a part before a commitment of the whole",
        "of an unknown saving no share is known",
        "shares are of what is saved",
        "a share and the rest of one resource",
        "shares that come to nothing",
        "what a part says of its whole",
        "the whole of equals",
        "a whole that can be done before a part that cannot",
        "of two changes the one whose saving is known",
    ],
)
def test_on_one_resource_one_is_counted(claims: list[Claim], left: dict[str, int | None]) -> None:
    for order in permutations(claims):
        counted: dict[str, Decimal | None] = {}
        for one, overlap in zip(order, find_overlaps(order), strict=True):
            usd = one.monthly_usd if overlap is None else overlap.monthly_usd
            before = counted.get(one.detector, Decimal(0))
            counted[one.detector] = None if usd is None or before is None else before + usd
        assert counted == left


def test_a_part_that_is_judged_beside_its_whole_is_no_other_resource() -> None:
    whole, part, other = (result("idle", name, Kept(reason="it is used")) for name in "abc")
    parts = replace(part, wholes=(whole.target.arn,)), replace(other, wholes=("arn:of:another",))

    assert sweep("idle", whole, *parts).share_base == 2
    assert sweep("idle", whole, *parts, looked_through=5).share_base == 5


def test_the_one_that_takes_most_is_named() -> None:
    commit = not_none(find_overlaps([COMMIT, SMALLER, SPOT])[0])

    assert (commit.detector, commit.arn) == ("smaller", "e")


def test_what_is_taken_of_a_month_is_not_taken_of_what_it_has_cost() -> None:
    both = replace(claim("limits", "e", 10, Change.LIMIT), accrued_usd=Decimal(7))

    (left, whole) = find_overlaps([both, IDLE])

    assert whole is None
    assert left == Overlap(detector="idle", arn="e", name="e", monthly_usd=Decimal(0), accrued_usd=Decimal(7))


def test_less_than_a_dollar_is_shared_out_as_any_other_amount() -> None:
    half = {"a": Decimal("0.25"), "b": Decimal("0.25")}
    left, _ = find_overlaps([replace(DOMAIN, monthly_usd=Decimal("0.75"), shares=half), A])

    assert not_none(left).monthly_usd == Decimal("0.5")


def test_a_finding_claims_what_it_costs_and_what_its_change_ends() -> None:
    cost = Cost(monthly_usd=Decimal(5), accrued_usd=Decimal(7), shares={"a": Decimal(5)})
    made = replace(
        result("idle", "e", finding("idle", cost)), change=Change.RESIZE, parts=("p",), wholes=("w",)
    )
    own = Claim(
        detector="idle",
        arn=made.target.arn,
        name="e",
        change=Change.RESIZE,
        monthly_usd=Decimal(5),
        accrued_usd=Decimal(7),
        shares={"a": Decimal(5)},
        parts=("p",),
        wholes=("w",),
    )

    assert claim_of(made) == own
    spared = replace(made, verdict=replace(finding("idle", cost), spared="not tagged"))
    assert claim_of(spared) == replace(own, possible=False)
    for unpriced in (None, Cost.exposed(Decimal(5))):
        free = claim_of(replace(made, verdict=finding("idle", unpriced)))
        assert free == replace(own, monthly_usd=None, accrued_usd=None, shares={}, priced=False)
    assert claim_of(replace(made, verdict=Kept(reason="it is used"))) is None


def test_what_a_finding_would_change_is_named_with_all_that_its_end_ends() -> None:
    ends = claim("idle", "E", 5, parts=("P",))

    assert claimed_resources([ends]) == {"e", "p"}
    assert claimed_resources([replace(ends, change=Change.RESIZE)]) == {"e"}
    assert claimed_resources([replace(ends, monthly_usd=None, accrued_usd=Decimal(1))]) == {"e", "p"}
    for nothing in ({"possible": False}, {"change": Change.COMMIT}, {"priced": False}):
        assert claimed_resources([replace(ends, **nothing)]) == set()


def test_what_a_job_has_cost_and_what_its_family_would_save_are_different_money() -> None:
    hung = result("hung-training-jobs", "bert-1", finding("hangs", accruing("10", 5)))
    again = replace(hung, detector="other-hung-jobs")
    family = replace(
        result("spot-training", "bert-1", finding("on demand", Cost.saving(Decimal(7)))), change=Change.SPOT
    )
    report = count_once(report_of(sweep("a", hung), sweep("b", again), sweep("c", family)))

    assert [one.overlap is None for one in report.results] == [True, False, True]
    sums = Totals.of(report.results)
    assert (sums.monthly_usd, sums.accrued_usd, sums.hourly_usd) == (Decimal(7), Decimal(50), Decimal(10))


def twice() -> Report:
    """An idle endpoint that is too big as well, and one that is only too big."""
    ended = result("idle-endpoints", "a", finding("nobody calls it", Cost.saving(Decimal(100))))
    smaller = replace(
        result("oversized-endpoints", "a", finding("too big", Cost.saving(Decimal(60), once_usd=Decimal(5)))),
        change=Change.RESIZE,
    )
    other = replace(
        result("oversized-endpoints", "b", finding("too big", Cost.saving(Decimal(7)))), change=Change.RESIZE
    )
    return count_once(report_of(sweep("idle-endpoints", ended), sweep("oversized-endpoints", smaller, other)))


def test_every_report_counts_it_once_and_says_instead_of_what() -> None:
    report = twice()
    shown = " ".join(printed(report).split())
    document = json.loads(report_json(report))

    assert "3 findings: $107 a month." in shown
    assert "Instead of what idle-endpoints proposes: not in the sums." in shown
    assert "Instead of what idle-endpoints proposes: not in the sums." in render_html(report)
    assert document["totals"] == {
        "monthly_usd": 107.0,
        "accrued_usd": 0.0,
        "hourly_usd": 0.0,
        "once_usd": 0.0,
        "unpriced": 0,
    }
    assert [one["instead_of"] for one in document["results"]] == [
        None,
        None,
        {
            "detector": "idle-endpoints",
            "arn": report.results[0].target.arn,
            "monthly_usd": 0.0,
            "accrued_usd": 0.0,
        },
    ]
    assert document["totals"]["monthly_usd"] == sum(
        (one["instead_of"] or one)["monthly_usd"] for one in document["results"]
    )


# --- any set of findings ---------------------------------------------------------------------------

TREE = {"w": ("x", "y"), "x": ("x1", "x2"), "y": ("y1",)}
"""A whole of two parts, which have parts."""
BILLED = {"w": 100, "x": 60, "y": 40, "x1": 30, "x2": 30, "y1": 25, "z": 50}
ROOTS = ("w", "z")


def below(arn: str) -> set[str]:
    """*arn* and all that it consists of."""
    return {arn}.union(*(below(part) for part in TREE.get(arn, ())))


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    """A finding about one resource of the tree, or about shares of some; none saves more than is billed."""
    change = draw(st.sampled_from(Change))
    detector, possible = draw(st.sampled_from("abc")), draw(st.booleans())
    if draw(st.booleans()):
        arn = draw(st.sampled_from(sorted(BILLED)))
        usd = draw(st.none() | st.integers(0, BILLED[arn]))
        return claim(detector, arn, usd, change, parts=tuple(below(arn) - {arn}), possible=possible)
    leaves = draw(st.sets(st.sampled_from(["x1", "x2", "y1", "z"]), min_size=1))
    shares = {arn: draw(st.integers(0, BILLED[arn])) for arn in sorted(leaves)}
    return claim(detector, f"{detector}-plan", sum(shares.values()), change, shares=shares, possible=possible)


def counted(some: list[Claim]) -> list[Decimal | None]:
    """What is counted of each."""
    return [
        one.monthly_usd if overlap is None else overlap.monthly_usd
        for one, overlap in zip(some, find_overlaps(some), strict=True)
    ]


@given(st.lists(claims(), max_size=8, unique_by=lambda one: (one.detector, one.arn)), st.randoms())
def test_no_sum_exceeds_the_bill_in_any_order(some: list[Claim], dice: Random) -> None:
    some += some[:2]  # a bucket is of every region: two sweeps may name it
    wholes = {part: (whole,) for whole, parts in TREE.items() for part in parts}
    some = [replace(one, wholes=wholes.get(one.arn, ())) for one in some]
    left = counted(some)
    for top, billed in BILLED.items():
        within = below(top)
        about = [
            usd or Decimal(0)
            for one, usd in zip(some, left, strict=True)
            if one.arn in within or (one.shares and set(one.shares) <= within)
        ]
        assert sum(about, Decimal(0)) <= billed
    assert sum((usd or Decimal(0) for usd in left), Decimal(0)) <= sum(BILLED[root] for root in ROOTS)
    assert all(usd is None or usd <= (one.monthly_usd or 0) for one, usd in zip(some, left, strict=True))
    shuffled = list(some)
    dice.shuffle(shuffled)

    def key(pair: tuple[Claim, Decimal | None]) -> str:
        return repr(pair)

    again = sorted(zip(shuffled, counted(shuffled), strict=True), key=key)
    assert again == sorted(zip(some, left, strict=True), key=key)


# --- any set of findings about objects ---------------------------------------------------------------

BUCKET = "arn:aws:s3:::b/"
OBJECTS = {
    f"{BUCKET}runs/1/a.pt": 40,
    f"{BUCKET}runs/1/b.pt": 30,
    f"{BUCKET}runs/2/a.pt": 20,
    f"{BUCKET}runs/c.pt": 10,
}
FOLDERS = (BUCKET, f"{BUCKET}runs/", f"{BUCKET}runs/1/", f"{BUCKET}runs/2/")


@st.composite
def storage_claims(draw: st.DrawFn) -> Claim:
    """A finding of any detector: about one object, a whole folder, or the objects of each folder in one."""
    detector = draw(st.sampled_from(DETECTORS))
    how, possible = draw(st.sampled_from(["object", "folder", "rule"])), draw(st.booleans())
    about = draw(st.sampled_from(sorted(OBJECTS) if how == "object" else FOLDERS))
    saved: dict[str, int] = {}
    for key in (key for key in OBJECTS if key.startswith(about)):
        place = {"object": key, "folder": about, "rule": direct_objects_arn(f"{key.rpartition('/')[0]}/")}[
            how
        ]
        saved[place] = saved.get(place, 0) + draw(st.integers(0, OBJECTS[key]))
    own = about if how == "object" else f"{detector.name}-{how}-{about}"
    return claim(detector.name, own, sum(saved.values()), detector.asks_for, shares=saved, possible=possible)


@given(st.lists(storage_claims(), max_size=6, unique_by=lambda one: (one.detector, one.arn)), st.randoms())
def test_no_byte_is_counted_twice_whatever_two_detectors_name_it(some: list[Claim], dice: Random) -> None:
    left = [usd or Decimal(0) for usd in counted(some)]

    for folder in FOLDERS:
        within = [
            usd for one, usd in zip(some, left, strict=True) if all(a.startswith(folder) for a in one.shares)
        ]
        assert sum(within, Decimal(0)) <= sum(usd for key, usd in OBJECTS.items() if key.startswith(folder))
    assert all(0 <= usd <= (one.monthly_usd or 0) for one, usd in zip(some, left, strict=True))
    dice.shuffle(shuffled := list(some))
    assert sum((usd or Decimal(0) for usd in counted(shuffled)), Decimal(0)) == sum(left, Decimal(0))


def test_a_deleted_folder_leaves_the_rest_of_a_rule() -> None:
    """The rule saves 1.92 on two folders, 0.88 of it in one that a failed job left."""
    rule = claim(
        "tiering", "b", 192, Change.LIFECYCLE, shares={f"{BUCKET}runs/1/*": 88, f"{BUCKET}runs/2/*": 104}
    )
    failed = claim("leftovers", "job", 300, Change.LIFECYCLE, shares={f"{BUCKET}runs/1/": 300})
    copy = claim("copies", f"{BUCKET}runs/2/a.pt", 20, Change.DELETE_DATA)
    beside = claim("copies", f"{BUCKET}runs/3/a.pt", 20, Change.DELETE_DATA)

    assert counted([rule, failed, copy, beside]) == [104, 300, 0, 20]
    assert counted([rule, copy, beside]) == [192, 0, 20]
    direct = claim("tiering", "b", 50, Change.LIFECYCLE, shares={f"{BUCKET}runs/*": 50})
    here = replace(copy, arn=f"{BUCKET}runs/c.pt")
    assert counted([direct, copy]) == [50, 20], "an object of another folder"
    assert counted([direct, here]) == [50, 0]
