"""The best commitment against all others, on 1,000 random profiles; hours from starts, ends and counts."""

import random
from dataclasses import replace

import pytest

from conftest import HOUR, MINUTE, NOW
from ml_janitor.core.commitment import (
    CommitmentCost,
    RatedUsage,
    ResourceUsage,
    UsageHours,
    UsageSpan,
    UsageTotal,
    best_commitment,
    cost_with_commitment,
    usage_by_hour,
)
from samples import share
from tables import cases


def bill(hours: list[list[RatedUsage]], commitment: float) -> float:
    """What they cost, worked out a second time: each hour by itself, the highest discount first."""
    usd = 0.0
    for hour in hours:
        usd += commitment
        budget = commitment
        for discount in sorted({one.discount for one in hour}, reverse=True):
            on_demand = sum(one.usd for one in hour if one.discount == discount)
            reached = min(on_demand, budget / (1 - discount))
            budget -= reached * (1 - discount)
            usd += on_demand - reached
    return usd


def profile(dice: random.Random) -> list[list[RatedUsage]]:
    """A level with nights, weekends and peaks, of one to three kinds of usage."""
    kinds = [
        (dice.uniform(0, 20), dice.choice([0.1, 0.2, 0.35, 0.5, 0.64])) for _ in range(dice.randint(1, 3))
    ]
    night, weekend, peak = dice.random(), dice.random(), dice.uniform(1, 5)
    hours = []
    for hour in range(dice.choice([24, 168])):
        level = (night if hour % 24 < 8 else 1.0) * (weekend if hour // 24 % 7 > 4 else 1.0)
        level *= peak if dice.random() < 0.05 else 1.0
        hours.append([RatedUsage(usd * level * dice.uniform(0.8, 1.2), discount) for usd, discount in kinds])
    return hours


@pytest.mark.parametrize("part", share(range(4), 4))
def test_no_other_commitment_is_a_percent_cheaper(part: int) -> None:
    dice = random.Random(part)  # noqa: S311 - no secret
    for _ in range(250):
        hours = profile(dice)
        found = bill(hours, best_commitment(hours))
        highest = max(sum(one.usd for one in hour) for hour in hours)
        tried = min(bill(hours, highest * step / 25) for step in range(26))

        assert found <= tried * 1.0000001
        assert found == pytest.approx(cost_with_commitment(hours, best_commitment(hours)).usd)


def test_with_one_discount_it_is_the_use_that_is_exceeded_in_the_rest_of_the_hours() -> None:
    """40 % off: worth it for what is used in more than 60 % of the hours."""
    hours = [[RatedUsage(usd, 0.4)] for usd in range(1, 11)]

    assert best_commitment(hours) == pytest.approx(4 * 0.6)
    assert best_commitment(hours, owned=1.0) == pytest.approx(1.4)
    assert best_commitment(hours, owned=9.0) == 0
    assert best_commitment([[], []]) == 0


def test_a_use_of_half_the_day_is_not_worth_forty_percent() -> None:
    assert best_commitment([[RatedUsage(10.0, 0.4)] if hour % 24 >= 12 else [] for hour in range(168)]) == 0
    assert best_commitment(
        [[RatedUsage(10.0, 0.55)] if hour % 24 >= 12 else [] for hour in range(168)]
    ) == pytest.approx(4.5)


def test_coverage_and_utilisation() -> None:
    result = cost_with_commitment([[RatedUsage(10.0, 0.5)], [RatedUsage(2.0, 0.5)]], 3.0)

    assert result.usd == 10.0
    assert result.coverage == pytest.approx(8 / 12)
    assert result.utilisation == pytest.approx(4 / 6)


def test_hours_come_from_starts_ends_and_counts() -> None:
    """Against a count of minutes; never a daily sum spread evenly."""
    dice = random.Random(7)  # noqa: S311 - no secret
    since, hours = NOW - 48 * HOUR, 48
    spans = []
    for _ in range(30):
        start = since + MINUTE * dice.randint(-600, 47 * 60)
        spans.append(
            UsageSpan(start, start + MINUTE * dice.randint(1, 1200), RatedUsage(dice.choice([1.0, 2.5]), 0.3))
        )
    minutes = [0.0] * (hours * 60)
    for span in spans:
        for minute in range(hours * 60):
            if span.start <= since + MINUTE * minute < span.end:
                minutes[minute] += span.hourly.usd / 60

    found = [sum(one.usd for one in hour) for hour in usage_by_hour(spans, since, hours)]

    assert found == pytest.approx([sum(minutes[at * 60 : at * 60 + 60]) for at in range(hours)])


def test_an_hour_has_nothing_of_what_ended_when_it_began_and_one_sum_of_each_discount() -> None:
    since = NOW - 3 * HOUR
    spans = [
        UsageSpan(since, since + HOUR, RatedUsage(1.0, 0.3)),
        UsageSpan(since + 30 * MINUTE, since + 30 * MINUTE, RatedUsage(9.0, 0.1)),
        UsageSpan(since - 9 * HOUR, since - HOUR, RatedUsage(9.0, 0.1)),
        UsageSpan(NOW, NOW + HOUR, RatedUsage(9.0, 0.1)),
        UsageSpan(since + 90 * MINUTE, NOW + HOUR, RatedUsage(2.0, 0.3)),
        UsageSpan(since + 2 * HOUR, NOW, RatedUsage(4.0, 0.3)),
    ]

    assert usage_by_hour(spans, since, 3) == [
        [RatedUsage(1.0, 0.3)],
        [RatedUsage(1.0, 0.3)],
        [RatedUsage(6.0, 0.3)],
    ]


def test_what_no_commitment_would_pay_for_needs_none() -> None:
    assert cost_with_commitment([], 3.0) == CommitmentCost(usd=0.0, utilisation=1.0, coverage=0.0)
    assert cost_with_commitment([[RatedUsage(10.0, 0.5)]], 0.0) == CommitmentCost(
        usd=10.0, utilisation=1.0, coverage=0.0
    )
    assert best_commitment([]) == 0
    assert best_commitment([[RatedUsage(0.0, 0.9), RatedUsage(10.0, 0.5)]]) == 5.0


# --- whose use it is --------------------------------------------------------------------------


def use(
    name: str, kind: str, hours: float, usd: float, discount: float, *, family: str = ""
) -> ResourceUsage:
    """What ran for the last *hours* of four."""
    span = UsageSpan(NOW - hours * HOUR, NOW, RatedUsage(usd, discount))
    return ResourceUsage(names=(name, family or name), kind=kind, spans=(span,))


def total(kind: str, *hourly: float, discount: float = 0.5) -> UsageTotal:
    return UsageTotal(kind=kind, hourly=hourly, discount=discount)


A, B, C = use("a", "x", 4, 10.0, 0.5), use("b", "x", 2, 10.0, 0.5, family="f-*"), use("c", "y", 1, 40.0, 0.25)


def hours(*uses: ResourceUsage, totals: tuple[UsageTotal, ...] | None = None) -> UsageHours:
    return UsageHours(since=NOW - 4 * HOUR, count=4, uses=uses, totals=totals)


def test_what_others_would_change_is_taken_from_what_was_billed() -> None:
    billed = (total("x", 12, 12, 22, 15), total("y", 0, 0, 0, 40), total("z", 1, 1, 1, 1))
    every = hours(A, B, C, replace(B, names=("b2", "f-*")), totals=billed)

    left = every.without(frozenset({"f-*", "unknown"}))

    assert (left.uses, left.others) == ((A, C), 2)
    assert left.totals == (total("x", 12, 12, 2, 0), *billed[1:])
    assert every.without(frozenset()) == replace(every, others=0)
    assert hours(A, B).without(frozenset({"a"})) == replace(hours(B), others=1)


def test_the_use_of_each_hour_is_as_billed_where_something_was() -> None:
    billed = (total("x", 12, 0, 22, 20), total("y", 0, 0, 0, 40, discount=0.25))

    assert hours(A, totals=billed).each() == [
        [RatedUsage(12, 0.5)],
        [],
        [RatedUsage(22, 0.5)],
        [RatedUsage(20, 0.5), RatedUsage(40, 0.25)],
    ]
    assert hours(A, C).each() == [[RatedUsage(10, 0.5)]] * 3 + [[RatedUsage(10, 0.5), RatedUsage(40, 0.25)]]
    assert hours(A, totals=()).each() == [[], [], [], []]


@cases(
    "billed, shares",
    (None, {"a": 20 / 40, "f-*": 10 / 40, "c": 10 / 40}),
    (
        (total("x", 30, 30, 30, 30), total("y", 80, discount=0.25)),  # of others, too
        {"a": 20 / 80, "f-*": 10 / 80, "c": 10 / 80},
    ),
    (
        (total("x", 10, 10, 5, 5), total("y", 40, discount=0.25)),  # less than what ran
        {"a": 10 / 25, "f-*": 5 / 25, "c": 10 / 25},
    ),
    ((total("y", 40, discount=0.25),), {"c": 1.0}),
    ((), {}),
)
def test_savings_follow_billed_use(billed: tuple[UsageTotal, ...] | None, shares: dict[str, float]) -> None:
    assert hours(A, B, C, use("free", "w", 4, 0.0, 0.5), totals=billed).shares() == pytest.approx(shares)
