"""Forecasts of a team's or project's month, beside the month so far stretched and the last week repeated."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from statistics import fmean, median

from ml_janitor.bill.model import Charge
from ml_janitor.bill.report import forecast_part

PARTS, SEED = 3000, 35
DAY = timedelta(days=1)
HISTORY = 65
LINES = (1, 1, 2, 3, 4, 6)
SHAPES = (
    *["endpoint"] * 4,
    *["notebook", "nightly"] * 2,
    *("some days", "storage", "month's end"),
)

type Forecast = Callable[[Sequence[Charge], date, date, date], float]
"""Of charges, the month's first day, the settled end, and the month's end."""


def main() -> None:
    """Forecast made-up months from a random day on, and print how far off each method is."""
    print(
        f"{PARTS:,} parts of a bill with {min(LINES)} to {max(LINES)} lines, "
        f"each forecast on a random day of its month"
    )
    for name, errors in compare(PARTS, SEED).items():
        print(f"  {name:20} off by {fmean(errors):5.1%} in the mean, {median(errors):4.1%} in the median")


def compare(parts: int, seed: int) -> Mapping[str, Sequence[float]]:
    """Return how far off each method was, as shares of the months' costs."""
    chance = random.Random(seed)  # noqa: S311 - a seed repeats the months
    off: dict[str, list[float]] = {name: [] for name in METHODS}
    while len(off["by weekday"]) < parts:
        first = date(2026, chance.randrange(1, 13), 1)
        until = (first + 32 * DAY).replace(day=1)
        charges = [row for number in range(chance.choice(LINES)) for row in line(chance, f"{number}", first)]
        settled = first + chance.randrange(1, (until - first).days - 1) * DAY
        known = [charge for charge in charges if charge.day < settled]
        actual = sum(float(charge.usd) for charge in charges if first <= charge.day < until)
        if actual > 1:
            for name, forecast in METHODS.items():
                off[name].append(abs(forecast(known, first, settled, until) / actual - 1))
    return off


def line(chance: random.Random, name: str, first: date) -> Iterator[Charge]:
    """Yield the charges of one line before and in a month: some begin, end or are scaled on a day."""
    days = HISTORY + 31
    shape, usd, noise = chance.choice(SHAPES), chance.lognormvariate(3.5, 1), chance.uniform(0.05, 0.3)
    begins = chance.randrange(days) if chance.random() < 0.25 else 0
    ends = chance.randrange(days) if chance.random() < 0.2 else days
    scaled, factor = (
        (chance.randrange(days), chance.choice([0.5, 2, 3])) if chance.random() < 0.15 else (days, 1)
    )
    for number in range(days):
        day = first + (number - HISTORY) * DAY
        amount = usd * daily(chance, shape, noise, day, number) * (factor if number >= scaled else 1)
        if begins <= number <= ends and amount > 0:
            yield Charge(day=day, usage_type=name, usd=Decimal(str(round(amount, 10))))


def daily(chance: random.Random, shape: str, noise: float, day: date, number: int) -> float:
    """Return a day of a line, as a share of its level."""
    weekend, last_days = day.weekday() >= 5, (day + 2 * DAY).month != day.month
    shares: Mapping[str, Callable[[], float]] = {
        "endpoint": lambda: 1,
        "notebook": lambda: chance.choice([0, 0, 0.3]) if weekend else chance.uniform(1 - noise, 1 + noise),
        "nightly": lambda: chance.gauss(1, noise),
        "some days": lambda: chance.uniform(1, 6) if chance.random() < 0.2 else 0,
        "storage": lambda: 1 + 0.003 * number,
        "month's end": lambda: 5 if last_days else 0,
    }
    return shares[shape]()


def spent(charges: Sequence[Charge], first: date, until: date) -> float:
    """Return the cost of the days from *first* until *until*."""
    return float(sum(charge.usd for charge in charges if first <= charge.day < until))


def stretched(charges: Sequence[Charge], first: date, settled: date, until: date) -> float:
    """Return the month so far, stretched to the whole month."""
    return spent(charges, first, settled) * ((until - first) / (settled - first))


def last_week(charges: Sequence[Charge], first: date, settled: date, until: date) -> float:
    """Return the month so far, and its rest at the mean of the last seven days."""
    week = spent(charges, settled - 7 * DAY, settled) / 7
    return spent(charges, first, settled) + week * ((until - settled) / DAY)


def by_weekday(charges: Sequence[Charge], first: date, settled: date, until: date) -> float:
    """Return the month so far, and its rest as the janitor forecasts it."""
    return spent(charges, first, settled) + float(forecast_part(charges, settled, until, settled))


METHODS: Mapping[str, Forecast] = {
    "by weekday": by_weekday,
    "the month so far": stretched,
    "the last seven days": last_week,
}


if __name__ == "__main__":
    main()
