"""The best commitment against all others, on 1,000 random profiles; hours from starts, ends and counts."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from conftest import NOW
from ml_janitor.core.commitment import Span, Usage, best, by_hour, paid
from samples import share

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def bill(hours: list[list[Usage]], commitment: float) -> float:
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


def profile(dice: random.Random) -> list[list[Usage]]:
    """A level with nights, weekends and peaks, of one to three kinds of usage."""
    kinds = [
        (dice.uniform(0, 20), dice.choice([0.1, 0.2, 0.35, 0.5, 0.64])) for _ in range(dice.randint(1, 3))
    ]
    night, weekend, peak = dice.random(), dice.random(), dice.uniform(1, 5)
    hours = []
    for hour in range(dice.choice([24, 168])):
        level = (night if hour % 24 < 8 else 1.0) * (weekend if hour // 24 % 7 > 4 else 1.0)
        level *= peak if dice.random() < 0.05 else 1.0
        hours.append([Usage(usd * level * dice.uniform(0.8, 1.2), discount) for usd, discount in kinds])
    return hours


@pytest.mark.parametrize("part", share(range(4), 4))
def test_no_other_commitment_is_a_percent_cheaper(part: int) -> None:
    dice = random.Random(part)  # noqa: S311 - no secret
    for _ in range(250):
        hours = profile(dice)
        found = bill(hours, best(hours))
        highest = max(sum(one.usd for one in hour) for hour in hours)
        tried = min(bill(hours, highest * step / 25) for step in range(26))

        assert found <= tried * 1.0000001
        assert found == pytest.approx(paid(hours, best(hours)).usd)


def test_with_one_discount_it_is_the_use_that_is_exceeded_in_the_rest_of_the_hours() -> None:
    """40 % off: worth it for what is used in more than 60 % of the hours."""
    hours = [[Usage(usd, 0.4)] for usd in range(1, 11)]

    assert best(hours) == pytest.approx(4 * 0.6)
    assert best(hours, owned=1.0) == pytest.approx(1.4)
    assert best(hours, owned=9.0) == 0
    assert best([[], []]) == 0


def test_a_use_of_half_the_day_is_not_worth_forty_percent() -> None:
    hours = [[Usage(10.0, 0.4)] if hour % 24 >= 12 else [] for hour in range(168)]

    assert best(hours) == 0
    assert best([[Usage(10.0, 0.55)] if hour % 24 >= 12 else [] for hour in range(168)]) == pytest.approx(4.5)


def test_coverage_and_utilisation() -> None:
    result = paid([[Usage(10.0, 0.5)], [Usage(2.0, 0.5)]], 3.0)

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
        spans.append(Span(start, start + MINUTE * dice.randint(1, 1200), Usage(dice.choice([1.0, 2.5]), 0.3)))
    minutes = [0.0] * (hours * 60)
    for span in spans:
        for minute in range(hours * 60):
            if span.start <= since + MINUTE * minute < span.end:
                minutes[minute] += span.hourly.usd / 60

    found = [sum(one.usd for one in hour) for hour in by_hour(spans, since, hours)]

    assert found == pytest.approx([sum(minutes[at * 60 : at * 60 + 60]) for at in range(hours)])
