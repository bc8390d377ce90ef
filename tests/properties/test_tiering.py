"""What moving objects costs, against a simulation that goes through every single day."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.aws.storage import StoragePrices
from ml_janitor.core.tiering import (
    GB,
    TRANSITION_CLASSES,
    ClassRates,
    LifecycleRule,
    ObjectCohort,
    TieringSaving,
    planned_moves,
    saving_of_rule,
    worthwhile_transitions,
)
from ml_janitor_cli.estimate.storage import cohort_cost
from tables import cases

RATES = StoragePrices("us-east-1", None).rates()
MONTH = 730 / 24
ORDER = ("STANDARD", *TRANSITION_CLASSES)

PRICE = {
    "STANDARD": 0.023,
    "STANDARD_IA": 0.0125,
    "ONEZONE_IA": 0.01,
    "GLACIER_IR": 0.004,
    "GLACIER": 0.0036,
    "DEEP_ARCHIVE": 0.00099,
}
MOVE = {
    "STANDARD_IA": 0.01,
    "INTELLIGENT_TIERING": 0.01,
    "ONEZONE_IA": 0.01,
    "GLACIER_IR": 0.02,
    "GLACIER": 0.03,
    "DEEP_ARCHIVE": 0.05,
}
LEAST = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90, "GLACIER": 90, "DEEP_ARCHIVE": 180}
READ = {"STANDARD_IA": 0.01, "ONEZONE_IA": 0.01, "GLACIER_IR": 0.03, "GLACIER": 0.01, "DEEP_ARCHIVE": 0.02}
"""As S3's price page has them, and once more so that a wrong table is seen."""


@st.composite
def rules(draw: st.DrawFn) -> LifecycleRule:
    names = sorted(
        draw(st.sets(st.sampled_from(TRANSITION_CLASSES), max_size=3)), key=TRANSITION_CLASSES.index
    )
    steps, day = [], draw(st.integers(30, 90))
    for name in names:
        steps.append((day, name))
        day += draw(st.integers(30, 250))
    ends = st.integers(day, day + 200)
    expires = draw(ends) if not steps else draw(st.none() | ends)
    return LifecycleRule(id="x", transitions=tuple(steps), expire_after=expires)


@st.composite
def cohorts(draw: st.DrawFn) -> ObjectCohort:
    small = draw(st.booleans())
    objects = draw(st.integers(1, 10**6))
    each = draw(st.integers(1, 128 * 1024 - 1) if small else st.integers(128 * 1024, 10**9))
    reads = Decimal(draw(st.sampled_from(["0", "0.2", "1.5"])))
    return ObjectCohort(
        age=draw(st.integers(0, 500)),
        objects=objects,
        size=objects * each,
        held=draw(st.sampled_from(ORDER)),
        small=small,
        reads=reads,
    )


def simulated(cohort: ObjectCohort, rule: LifecycleRule, days: int, small_too: object) -> float:
    """Day by day: what is due is done in the morning, then the day is paid for."""
    where, entered, total, gb = cohort.held, 0, 0.0, cohort.size / GB
    for day in range(days):
        age = cohort.age + day
        gone = rule.expire_after is not None and age >= rule.expire_after
        wanted = [name for after, name in rule.transitions if age >= after]
        if cohort.small:
            wanted = [name for name in wanted if small_too and name in {"GLACIER", "DEEP_ARCHIVE"}]
        to = max([where, *wanted], key=ORDER.index)
        if gone or to != where:
            missing = max(0, LEAST.get(where, 0) - (day - entered))
            total += missing / MONTH * gb * PRICE.get(where, 0)
        if gone:
            return total
        if to != where:
            total += cohort.objects / 1000 * MOVE[to]
            where, entered = to, day
        if where == "INTELLIGENT_TIERING":
            spent = day - entered
            rate = "STANDARD" if spent < 30 else "STANDARD_IA" if spent < 90 else "GLACIER_IR"
            month = gb * PRICE[rate] + cohort.objects * 0.0025 / 1000
        else:
            month = gb * (PRICE[where] + float(cohort.reads) * READ.get(where, 0))
        if where in {"GLACIER", "DEEP_ARCHIVE"}:
            month += cohort.objects * (32 * PRICE[where] + 8 * PRICE["STANDARD"]) / 1024**2
        total += month / MONTH
    return total


@given(cohorts(), rules(), st.integers(1, 900), st.sampled_from(["small objects too", ""]))
def test_a_bill_is_its_sum_of_days(cohort: ObjectCohort, rule: LifecycleRule, days: int, option: str) -> None:
    found = float(cohort_cost(cohort, planned_moves(cohort, rule, small_too=bool(option)), RATES, days))
    expected = simulated(cohort, rule, days, small_too=bool(option))

    assert abs(found - expected) <= 1e-9 * max(1, expected)


@given(cohorts(), rules(), st.sampled_from(["small objects too", ""]))
def test_a_saving_is_the_cost_of_later_days(cohort: ObjectCohort, rule: LifecycleRule, option: str) -> None:
    """Of what is done at once: the first day after a month, and the fees of the first day."""
    now = saving_of_rule([cohort], rule, RATES, small_too=bool(option))
    due = [to for at, to in planned_moves(cohort, rule, small_too=bool(option)) if at == 0]
    assert now.moved + now.deleted == (cohort.size if due else 0)
    if not due:
        assert now == TieringSaving()
        return
    (to,) = due
    stays, goes = (simulated_day(replace(cohort, held=name)) for name in (cohort.held, to))  # type: ignore[arg-type]  # None is gone
    missing = LEAST.get(cohort.held, 0) / MONTH * cohort.size / GB * PRICE.get(cohort.held, 0)
    assert float(now.month) / MONTH == pytest.approx(stays - goes, abs=1e-9)
    assert float(now.once) == pytest.approx(missing + cohort.objects / 1000 * MOVE.get(to or "", 0))


def simulated_day(cohort: ObjectCohort) -> float:
    """What the 32nd day in a class costs, of nothing if there is none."""
    if cohort.held is None:
        return 0.0
    stays = LifecycleRule(id="x", expire_after=9999)
    cohort = replace(cohort, age=0)
    return simulated(cohort, stays, 32, small_too=False) - simulated(cohort, stays, 31, small_too=False)


@given(st.lists(cohorts(), min_size=1, max_size=5), rules(), st.integers(1, 400))
def test_a_kept_transition_earns_its_fee(held: list[ObjectCohort], rule: LifecycleRule, payback: int) -> None:
    """One after the other, from STANDARD, in which the simulation begins."""
    held = [replace(one, held="STANDARD", age=0) for one in held]
    kept = worthwhile_transitions(held, rule, RATES, payback_days=payback)

    assert set(kept) <= set(rule.transitions)
    for number, (day, _) in enumerate(kept):
        before, after = (
            LifecycleRule(id="x", transitions=kept[:end], expire_after=9999) for end in (number, number + 1)
        )
        settled = day + 120  # of Intelligent-Tiering the second stage is counted, which comes first
        gained = sum(
            simulated(one, before, settled + payback, small_too=False)
            - simulated(one, after, settled + payback, small_too=False)
            for one in held
        )
        assert gained >= -1e-9 * max(1, sum(one.size / GB for one in held)) or "INTELLIGENT_TIERING" in str(
            kept
        )


# --- at the edges -----------------------------------------------------------------------------


def costs(usd: str, *, least: int = 0, move: int = 0) -> ClassRates:
    return ClassRates(stages=((0, Decimal(usd)),), least_days=least, move=Decimal(move))


ROUND: dict[str, ClassRates] = {
    "STANDARD": costs("2"),
    "STANDARD_IA": costs("1", least=100),
    "GLACIER_IR": costs("0"),
    "DEEP_ARCHIVE": costs("1", move=1),
}
"""Dollars a GB-month of one GB, in round numbers."""


@cases(
    "cohorts, steps, payback, kept",
    (({},), [(30, "STANDARD_IA")], 0, [30]),  # what costs nothing pays back at once
    # a dollar a month is saved, and 100 days less those that it was there are charged for
    (({},), [(30, "STANDARD_IA"), (60, "GLACIER_IR")], 70, [30, 60]),
    (({},), [(30, "STANDARD_IA"), (60, "GLACIER_IR")], 69, [30]),
    (({},), [(30, "STANDARD_IA"), (130, "GLACIER_IR")], 0, [30, 130]),
    (({"held": "STANDARD_IA"},), [(45, "GLACIER_IR")], 100, [45]),
    (({"held": "STANDARD_IA"},), [(45, "GLACIER_IR")], 99, []),
    # what is there already is not moved, and pays no fee
    (({}, {"held": "STANDARD_IA", "size": 9 * GB}), [(30, "STANDARD_IA")], 30, [30]),
    (({"held": "GLACIER_IR"},), [(30, "STANDARD_IA"), (60, "GLACIER_IR")], 3000, []),
    (({}, {"held": "GLACIER_IR"}), [(30, "STANDARD_IA")], 0, [30]),
    # small objects are moved to archives only
    (({"small": True},), [(30, "STANDARD_IA"), (60, "DEEP_ARCHIVE")], 3000, [60]),
    # a dollar for 1,000 objects is saved in a month
    (({"objects": 1000},), [(30, "DEEP_ARCHIVE")], 30, []),
    (({"objects": 1000},), [(30, "DEEP_ARCHIVE")], 31, [30]),
    (({},), [(30, "ONEZONE_IA"), (60, "GLACIER_IR")], 0, [60]),  # its price is unknown
)
def test_a_transition_is_kept_if_it_returns_its_fees_in_time(
    cohorts: tuple[dict[str, Any], ...], steps: list[tuple[int, str]], payback: int, kept: list[int]
) -> None:
    made = [ObjectCohort(**{"age": 0, "objects": 0, "size": GB} | one) for one in cohorts]

    found = worthwhile_transitions(
        made, LifecycleRule(id="x", transitions=tuple(steps)), ROUND, payback_days=payback, small_too=True
    )

    assert [day for day, _ in found] == kept


def test_small_objects_stay_where_they_are_unless_they_are_archived_too() -> None:
    small = ObjectCohort(age=0, objects=1, size=GB, small=True)
    rule = LifecycleRule(id="x", transitions=((30, "STANDARD_IA"), (60, "GLACIER")))
    rates = ROUND | {"GLACIER": costs("0.5")}

    assert worthwhile_transitions([small], rule, rates, payback_days=3000) == ()
    assert worthwhile_transitions([small], rule, rates, payback_days=3000, small_too=True) == (
        (60, "GLACIER"),
    )


@cases("other, payback", ({"small": True}, 10), ({"held": "GLACIER_IR"}, 10), ({"held": "STANDARD_IA"}, 93))
def test_each_is_compared_with_the_transitions_before_it(other: dict[str, Any], payback: int) -> None:
    """
    70 days of a GB are charged for of what came to STANDARD_IA 30 days before, 100 of what was there.

    Small objects are still in STANDARD, and what is beyond STANDARD_IA stayed there.
    """
    cohorts = [
        ObjectCohort(age=0, objects=0, size=GB),
        ObjectCohort(**{"age": 0, "objects": 0, "size": 3 * GB} | other),
    ]
    rates = ROUND | {"GLACIER": costs("0"), "GLACIER_IR": costs("2")}
    rule = LifecycleRule(id="x", transitions=((30, "STANDARD_IA"), (60, "GLACIER")))

    found, less = (
        worthwhile_transitions(cohorts, rule, rates, payback_days=days, small_too=True)
        for days in (payback, payback - 1)
    )

    assert (found, less) == (rule.transitions, rule.transitions[:1])


def test_what_is_there_is_not_moved_there() -> None:
    rule = LifecycleRule(id="x", transitions=((30, "STANDARD_IA"), (60, "GLACIER")))

    assert planned_moves(ObjectCohort(age=40, objects=1, size=1, held="STANDARD_IA"), rule) == [
        (20, "GLACIER")
    ]
    assert planned_moves(ObjectCohort(age=40, objects=1, size=1, held="REDUCED_REDUNDANCY"), rule) == [
        (0, "STANDARD_IA"),
        (20, "GLACIER"),
    ]
    small = ObjectCohort(age=40, objects=1, size=1, small=True)
    assert planned_moves(small, rule) == []
    assert planned_moves(small, rule, small_too=True) == [(20, "GLACIER")]
    assert small.reads == 0


def test_a_price_is_the_one_that_holds_after_a_month() -> None:
    assert ClassRates(stages=((0, Decimal(3)), (30, Decimal(2)), (31, Decimal(1)))).lasting == 2
    assert costs("3").lasting == 3
