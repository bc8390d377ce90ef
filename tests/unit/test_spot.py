"""Spot's arithmetic beside a simulator that shares nothing with it, and which jobs are one family."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.core.capacity import Interruption, Purchase, SpotCapacity, best_purchase
from ml_janitor.core.commitment import family_name
from tables import cases

RATES = st.floats(0.001, 0.5)
WORK = st.floats(0.1, 100)


def simulated(work: float, every: float, spot: SpotCapacity, chance: random.Random) -> float:
    """The hours of one run, second thoughts and all: an event at a time, until all work is saved or done."""
    clock, done, next_interruption = 0.0, 0.0, chance.expovariate(spot.interruptions)
    pending = 0.0
    while done < work:
        piece = min(every, work - done)
        ends = clock + pending + piece + (spot.save if done + piece < work else 0.0)
        if next_interruption < ends:
            clock = next_interruption
            next_interruption = clock + chance.expovariate(spot.interruptions)
            pending = spot.restart
            continue
        clock, done, pending = ends, done + piece, 0.0
    return clock


@cases(
    "work, rate, every, restart",
    (3.3, 0.15, math.inf, 0.1),
    (10.5, 0.15, math.inf, 0.1),
    (10.5, 0.15, 0.5, 1.5),
    (48.5, 0.15, 0.5, 0.1),
    (200, 0.05, 2.0, 0.1),
)
def test_the_mean_of_a_thousand_seasons_fits(work: float, rate: float, every: float, restart: float) -> None:
    spot = SpotCapacity(rate, restart, save=0.02, discount=0.6)
    chance = random.Random(f"{work} {rate} {every}")  # noqa: S311
    seasons = [sum(simulated(work, every, spot, chance) for _ in range(8)) / 8 for _ in range(1000)]

    assert spot.hours(work, every) == pytest.approx(sum(seasons) / 1000, rel=0.05)


def test_an_interruption_of_any_instance_is_one_of_the_job() -> None:
    spot = SpotCapacity(0.05, restart=0.1, save=0.02, discount=0.6, instances=4)

    assert spot.between == pytest.approx(5)
    alone = SpotCapacity(0.2, restart=0.1, save=0.02, discount=0.6)
    assert spot.hours(10, 0.5) == pytest.approx(alone.hours(10, 0.5))


def test_two_days_without_a_checkpoint_cost_months() -> None:
    """Boise State's runs on spot: 48.5 hours at 0.15 interruptions an hour, at a third of the price."""
    spot = SpotCapacity(0.15, restart=0.0, save=0.0, discount=2 / 3)

    assert spot.cost(48.5) * 48.5 == pytest.approx(3198, rel=0.05)
    assert spot.cost(48.5, 0.5) * 48.5 == pytest.approx(17.9, rel=0.1)


@given(RATES, WORK, st.floats(0, 0.5), st.floats(0.001, 0.5), st.floats(0, 0.9))
def test_spot_takes_no_less_than_the_work(
    rate: float, work: float, restart: float, save: float, discount: float
) -> None:
    spot = SpotCapacity(rate, restart, save, discount)

    assert spot.hours(work) >= work * (1 - 1e-9)
    assert spot.hours(work * 1.1) >= spot.hours(work)
    assert spot.cost(work) <= SpotCapacity(rate * 1.1, restart, save, discount).cost(work)
    assert spot.cost(work) >= SpotCapacity(rate, restart, save, min(discount + 0.05, 1)).cost(work)


@given(RATES, st.floats(0.001, 0.1))
def test_no_interval_wastes_less_than_the_proposed_one(rate: float, save: float) -> None:
    """On a long run, beside intervals from a quarter to four times as long, but for a hundredth."""
    spot = SpotCapacity(rate, restart=0.05, save=save, discount=0.5)
    proposed = spot.interval()
    work = 200 * proposed

    for other in (proposed / 4, proposed / 2, proposed * 2, proposed * 4):
        assert spot.hours(work, proposed) <= spot.hours(work, other) * 1.01


def test_without_interruptions_spot_takes_what_the_work_takes() -> None:
    spot = SpotCapacity(0, restart=1, save=0.1, discount=0.7)

    assert spot.interval() == math.inf
    assert spot.hours(50) == 50
    assert spot.cost(50) == pytest.approx(0.3)
    assert spot.hours(0) == 0
    assert spot.hours(1e308, 1e-9) == math.inf


@cases(
    "save, hours",
    (0, 1 / 60),  # a checkpoint that costs nothing: each minute
    (0.2, 2 * (1 + 0.1 / 3 + 0.01 / 9) - 0.2),
    (19.9, (2 * 19.9 * 10) ** 0.5 * (1 + 0.995**0.5 / 3 + 0.995 / 9) - 19.9),
    (20, 10),  # hardly any is finished: one for each interruption
    (25, 10),
)
def test_the_interval_is_daly_s(save: float, hours: float) -> None:
    assert SpotCapacity(0.1, restart=1, save=save, discount=0.5).interval() == pytest.approx(hours)


def test_a_run_is_its_intervals_of_which_the_last_saves_nothing() -> None:
    spot = SpotCapacity(0.1, restart=2.0, save=0.5, discount=0.75)

    def undisturbed(hours: float) -> float:
        return math.exp(0.2) * math.expm1(0.1 * hours) / 0.1

    assert spot.hours(3) == pytest.approx(undisturbed(3))
    assert spot.hours(3, 1) == pytest.approx(2 * undisturbed(1.5) + undisturbed(1))
    assert spot.hours(3.5, 1) == pytest.approx(3 * undisturbed(1.5) + undisturbed(0.5))
    assert spot.hours(0.5, 1) == pytest.approx(undisturbed(0.5))
    assert spot.cost(3, 1) == pytest.approx(spot.hours(3, 1) / 12)


def test_a_run_that_never_ends_costs_infinitely_much() -> None:
    assert SpotCapacity(1, restart=0, save=0, discount=0.9).cost(1000) == math.inf
    assert SpotCapacity(1, restart=700, save=0, discount=0.9).hours(1) == math.inf
    assert SpotCapacity(1, restart=700, save=0, discount=0.9).hours(0) == 0
    assert SpotCapacity(1, restart=0, save=0, discount=0.9).hours(600) < math.inf


@cases(
    "hours, interruption, a_week, expected",
    (72, Interruption.LOW, 1, Purchase.SPOT),
    (72.1, Interruption.LOW, 1, Purchase.SPOT_WITH_RESTART),
    (1, Interruption.MEDIUM, 50, Purchase.SPOT_FOR_EXPERIMENTS),
    (1, Interruption.HIGH, 9.9, Purchase.ON_DEMAND),
    (1, Interruption.HIGH, 10, Purchase.RESERVED),
)
def test_how_to_buy(hours: float, interruption: Interruption, a_week: float, expected: Purchase) -> None:
    assert best_purchase(hours, interruption, a_week) is expected


@cases(
    "name, of",
    ("home-feed-ctr-20261004", "home-feed-ctr"),
    ("fraud-train-2026-10-05-08-00-12-345", "fraud-train"),
    ("ranker-lr-sweep-1005-004-c2907b51", "ranker-lr-sweep"),
    ("moderation-swin-v7", "moderation-swin"),
    ("unet-64-20261005", "unet-64"),
    ("unet-128-20261005", "unet-128"),
    ("unet-128-2026-10-05", "unet-128"),
    ("unet-64-2026-10-05-08-00-12-345", "unet-64"),
    ("unet-64-20261005-0412", "unet-64"),
    ("unet-64-2026-10-05-1", "unet-64"),
    ("unet-64-7", "unet-64"),
    ("unet-64-c2907b51", "unet-64"),
    ("unet-64", "unet"),
    ("train-20261005-x9y8z7w6v5", "train"),
    ("ranker-a1b2", "ranker"),
    ("pipelines-a1b2c3d4e5f6-TrainModel-x9y8z7w6v5", "pipelines-TrainModel"),
    ("pipelines-zxulcyqwzonj-Train-Model-4-xyzxyzxyzx", "pipelines-Train-Model-4"),
    ("train-a1b2c3d4e5-eu", "train-eu"),
    ("train-a1b2c3d4e-eu", "train-a1b2c3d4e-eu"),
    ("20261005", "20261005"),
    ("train-2", "train"),
    ("train", "train"),
    ("20261005-churn", "20261005-churn"),
    ("llama-finetune-8xlarge", "llama-finetune-8xlarge"),
    ("resnet-a100", "resnet-a100"),
    ("tokenizer-bpe-decade", "tokenizer-bpe-decade"),
)
def test_the_family_of_a_job(name: str, of: str) -> None:
    assert family_name(name) == of
