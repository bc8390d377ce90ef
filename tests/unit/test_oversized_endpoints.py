"""The decide table of oversized-endpoints, and its proposals replayed against their own traffic."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import DAY, NOW
from ml_janitor.aws.endpoints import LOAD_HOURS, EndpointVariant, LoadedEndpoint
from ml_janitor.aws.prices import Price, machine_of
from ml_janitor.core import capacity
from ml_janitor.core.capacity import InstanceSize, PeakLoad
from ml_janitor.core.model import Finding, NotRead, Unreadable, Value
from ml_janitor.detectors import oversized_endpoints
from ml_janitor.detectors.oversized_endpoints import OversizedEndpoints
from narrowing import of_type
from past_jobs import word
from quiet_endpoints import loaded
from tables import cases
from verdicts import expect_verdict, shown

C5 = {"large": 0.102, "xlarge": 0.204, "2xlarge": 0.408, "4xlarge": 0.816}
CALM = PeakLoad(cpu=1.44, memory=1.76)
"""18 % of the CPU and 22 % of the memory of an ml.c5.2xlarge."""
SIZES = [
    InstanceSize(f"ml.c5.{size}", machine_of(f"ml.c5.{size}").vcpus, 0, Decimal(str(usd)))
    for size, usd in C5.items()
]


def served(loads: Any = CALM, **more: Any) -> EndpointVariant:
    peaks = Value((loads,) * LOAD_HOURS) if isinstance(loads, PeakLoad) else loads
    kind = more.pop("type", "ml.c5.2xlarge")
    fields: dict[str, Any] = {
        "name": "blue",
        "instances": more.pop("count", 1),
        "type": kind,
        "model": "model",
        "peaks": peaks,
    }
    return EndpointVariant(**(fields | more))


def endpoint(*variants: EndpointVariant, **more: Any) -> LoadedEndpoint:
    prices = {f"ml.c5.{size}": Price(Decimal(str(usd)), "Price List API") for size, usd in C5.items()}
    used = variants or (served(),)
    return loaded(*used, **{"prices": {one.type: prices for one in used}} | more)


def nightly(load: PeakLoad, hours: int = 10) -> Value[tuple[PeakLoad, ...]]:
    """No request for so many hours from midnight on."""
    return Value(tuple(replace(load, idle=at % 24 < hours) for at in range(LOAD_HOURS)))


BUSY = PeakLoad(cpu=4.8, memory=4.8)


@cases(
    "judged, verdict, reason",
    (endpoint(), "found", "blue needs 1 ml.c5.xlarge instead of 1 ml.c5.2xlarge"),
    (endpoint(status="Failed"), "kept", "its status is Failed"),
    (endpoint(age=14 * DAY), "kept", "deployed or scaled 14 days ago"),
    (endpoint(age=14 * DAY + timedelta(hours=1)), "found", "ml.c5.xlarge"),
    (endpoint(description=Unreadable("DescribeEndpoint: denied")), "unknown", "DescribeEndpoint: denied"),
    (endpoint(served(Unreadable("CPUUtilization has datapoints in 9 of 336 hours"))), "unknown", "9 of 336"),
    (endpoint(served(NotRead())), "unknown", "not read"),
    (endpoint(served(fixed="it scales itself between 1 and 4 instances")), "kept", "its size fits"),
    (endpoint(served(replace(CALM, idle=True))), "kept", "its size fits"),
    (endpoint(prices={}), "unknown", "the price of ml.c5.2xlarge is unknown"),
    (endpoint(served(replace(CALM, cpu=2.81))), "kept", "its size fits"),
    (endpoint(served(replace(CALM, memory=2.81))), "kept", "its size fits"),
    (endpoint(served(replace(CALM, requests=4))), "found", "ml.c5.xlarge"),
    (endpoint(served(replace(CALM, requests=4.1))), "kept", "its size fits"),
    (endpoint(served(PeakLoad(0.5, 1.0))), "found", "blue needs 1 ml.c5.large"),
    (endpoint(served(BUSY, count=3)), "kept", "its size fits"),
    (endpoint(served(PeakLoad(3, 4.8), count=3)), "found", "blue needs 2 ml.c5.2xlarge instead of 3"),
    (endpoint(served(PeakLoad(1.5, 4.8), count=2)), "kept", "its size fits"),
    (endpoint(served(nightly(BUSY))), "found", "only for a part of the week"),
    (endpoint(served(nightly(BUSY, 7))), "kept", "its size fits"),
    (endpoint(served(nightly(BUSY)), tags={"env": "prod"}), "kept", "its size fits"),
    (endpoint(served(nightly(BUSY), sleeps=True)), "found", "blue needs 0 to 1 ml.c5.2xlarge"),
    (endpoint(served(nightly(CALM), sleeps=True, hosts=True)), "found", "blue needs 0 to 1 ml.c5.2xlarge"),
    (endpoint(served(CALM, sleeps=True, hosts=True)), "kept", "its size fits"),
)
def test_oversized_endpoints(judged: LoadedEndpoint, verdict: str, reason: str) -> None:
    expect_verdict(OversizedEndpoints().decide(judged, NOW), verdict, reason)


def test_variants_save_together_and_one_unknown_makes_all_unknown() -> None:
    one, other = served(), served(name="green")
    both = of_type(Finding, OversizedEndpoints().decide(endpoint(one, other), NOW))
    half = OversizedEndpoints().decide(endpoint(one, replace(other, peaks=Unreadable("denied"))), NOW)

    assert both.cost
    assert both.cost.monthly_usd == pytest.approx(2 * Decimal("0.204") * 730)
    assert both.cost.once_usd == pytest.approx(2 * Decimal("0.204"))
    assert word(half) == "unknown"


def test_head_room_and_the_least_number_of_instances_are_settings() -> None:
    tight = endpoint(served(replace(CALM, cpu=3.0)))
    three = endpoint(served(PeakLoad(1, 4.8), count=3))

    assert word(OversizedEndpoints(headroom=0.2).decide(tight, NOW)) == "found"
    assert "needs 1 ml.c5.2xlarge" in OversizedEndpoints(min_instances=1).decide(three, NOW).reason


@cases(
    "judged, words",
    (
        endpoint(),
        ("InstanceType=ml.c5.xlarge and InitialInstanceCount=1", "update-endpoint --endpoint-name api"),
    ),
    (
        endpoint(served(nightly(BUSY), sleeps=True)),
        ("endpoint/api/variant/blue", "--min-capacity 0 --max-capacity 1"),
    ),
    (endpoint(served(nightly(BUSY), sleeps=True, hosts=True)), ("MinInstanceCount=0,MaxInstanceCount=1",)),
    (endpoint(served(nightly(BUSY))), ("delete it for the 56 hours a week",)),
)
def test_the_change_is_said_exactly(judged: LoadedEndpoint, words: Sequence[str]) -> None:
    decided = of_type(Finding, OversizedEndpoints().decide(judged, NOW))

    assert [one for one in words if one not in decided.action] == []


def test_replayed_minute_by_minute_nothing_is_above_the_head_room() -> None:
    """Two weeks of requests, unevenly spread: what is proposed carries each minute of them."""
    replayed = [replay(random.Random(seed)) for seed in range(12)]  # noqa: S311 - no secret

    assert len([one for one in replayed if one is not None]) >= 6
    assert max(one for one in replayed if one is not None) <= 0.7 + 1e-9


def replay(dice: random.Random) -> float | None:
    """The busiest minute of some endpoint on what is proposed for it, or its memory; None if nothing is."""
    count, vcpus, memory = dice.choice([1, 2, 3, 5]), 8, dice.uniform(0.05, 0.5)
    base, swing = dice.uniform(0.03, 0.3), dice.uniform(0, 0.2)
    minutes: list[list[float]] = []
    for minute in range(LOAD_HOURS * 60):
        level = base + swing * ((minute // 60) % 24 in range(9, 18)) + (dice.random() < 0.0005) * 0.2
        minutes.append([min(level * dice.uniform(0.7, 1.0), 1) for _ in range(count)])
    highest = [max(max(one) for one in minutes[at : at + 60]) for at in range(0, len(minutes), 60)]
    peaks = Value(tuple(PeakLoad(cpu=one * vcpus, memory=memory * vcpus) for one in highest))
    decided = OversizedEndpoints(min_saving=0.01).decide(endpoint(served(peaks, count=count)), NOW)
    if not isinstance(decided, Finding):
        return None
    found = re.search(r"needs (\d+)(?: to (\d+))? ml\.c5\.(\w+) instead", decided.reason)
    assert found
    size = next(one for one in SIZES if one.type.endswith(f".{found[3]}"))
    fleet = capacity.scaled_fleet if found[2] else capacity.steady_fleet
    proposed = fleet(peaks.value, count, size, 0.3, min(count, 2))
    assert proposed
    assert (min(proposed.counts), max(proposed.counts)) == (int(found[1]), int(found[2] or found[1]))
    loads = [sum(one) * vcpus / proposed.counts[at // 60] / size.vcpus for at, one in enumerate(minutes)]
    return max(*loads, memory * vcpus / size.vcpus)


@pytest.mark.parametrize("seed", range(40))
def test_no_smaller_fleet_would_do(seed: int) -> None:
    """Against every size and number, tried one by one."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    count, cpu, memory, requests = (
        dice.randint(1, 6),
        dice.choice([1, 6]),
        dice.choice([1, 5]),
        dice.choice([0, 3, 8]),
    )
    loads = [
        PeakLoad(dice.uniform(0, cpu), dice.uniform(0, memory), requests=dice.choice([0, requests]))
        for _ in range(24)
    ]
    fleets = [capacity.steady_fleet(loads, count, size, 0.3, 1) for size in SIZES]
    best = capacity.cheapest_fleet(fleets)

    tried = [
        size.hourly_usd * few
        for size in SIZES
        for few in range(1, count + 1)
        if all(
            one.cpu * count / few <= 0.7 * size.vcpus
            and one.memory <= 0.7 * size.vcpus
            and one.requests * count / few <= size.vcpus
            for one in loads
        )
    ]
    assert (best.hourly_usd if best else None) == (min(tried) if tried else None)


def test_hours_before_and_after_a_peak_are_provided_for() -> None:
    loads = [PeakLoad(0.5, 1)] * 4 + [PeakLoad(2.0, 1)] + [PeakLoad(0.5, 1)] * 4
    fleet = capacity.scaled_fleet(loads, 3, SIZES[1], 0.3, 1)

    assert fleet
    assert fleet.counts == (1, 1, 1, 3, 3, 3, 1, 1, 1)


def test_quiet_hours_are_those_of_every_week_but_their_edges() -> None:
    night = [PeakLoad(1, 1, idle=at % 24 < 10) for at in range(LOAD_HOURS)]
    once = [replace(load, idle=load.idle and at != 5) for at, load in enumerate(night)]

    assert capacity.count_quiet_hours(night) == 8 * 7
    assert capacity.count_quiet_hours(once) == 8 * 7 - 3
    assert capacity.count_quiet_hours(night[:200]) == 0


def prices(**usd: float) -> dict[str, Any]:
    return {f"ml.c5.{size.removeprefix('_')}": Price(Decimal(str(one)), "x") for size, one in usd.items()}


WEEKNIGHTS = Value(tuple(replace(BUSY, idle=at % 24 < 10 and at // 24 % 7 < 5) for at in range(LOAD_HOURS)))


@cases(
    "judged, reason, monthly, once",
    (endpoint(served(PeakLoad(3, 4.8), count=3)), "needs 2 ml.c5.2xlarge", "297.84", "0.816"),
    (endpoint(served(nightly(BUSY))), "only for a part of the week", "99.28", "0.408"),
    (endpoint(served(WEEKNIGHTS)), "only for a part of the week", "70.9143", "0.408"),
    (endpoint(served(nightly(CALM))), "needs 1 ml.c5.xlarge", "148.92", "0.204"),
    (endpoint(served(nightly(replace(CALM, cpu=2.2), 18))), "only for a part of the week", "198.56", "0.408"),
    ids=["fewer", "nights", "40 hours", "smaller", "18 hours"],
)
def test_the_largest_saving_is_proposed(judged: LoadedEndpoint, reason: str, monthly: str, once: str) -> None:
    """A week has 168 hours: of an ml.c5.2xlarge, 56 of them cost a third of 297.84 dollars a month."""
    decided = of_type(Finding, OversizedEndpoints().decide(judged, NOW))

    assert decided.cost
    assert reason in decided.reason
    assert decided.cost.monthly_usd == pytest.approx(Decimal(monthly), abs=Decimal("0.0001"))
    assert decided.cost.once_usd == Decimal(once)


def test_a_larger_instance_is_never_proposed_but_one_of_the_same_price_is() -> None:
    three = served(PeakLoad(2.5, 1), type="ml.c5.xlarge", count=3)
    larger = endpoint(three, prices={three.type: prices(xlarge=0.3, _2xlarge=0.4)})
    equal = endpoint(three, prices={three.type: prices(xlarge=0.3, _2xlarge=0.3)})

    assert "its size fits" in OversizedEndpoints().decide(larger, NOW).reason
    assert "needs 2 ml.c5.2xlarge instead of 3" in OversizedEndpoints().decide(equal, NOW).reason


def test_as_much_as_is_worth_a_change_is_enough() -> None:
    """A quarter of a dollar an hour is 182.50 dollars a month."""
    one = endpoint(prices={"ml.c5.2xlarge": prices(_2xlarge=0.5, xlarge=0.25)})

    assert word(OversizedEndpoints(min_saving=182.5).decide(one, NOW)) == "found"
    assert word(OversizedEndpoints(min_saving=182.51).decide(one, NOW)) == "kept"


def test_what_was_seen_and_passed_on_the_way() -> None:
    gpu = served(
        PeakLoad(cpu=2, memory=1, gpu=0.5, gpu_memory=0.25, requests=1), type="ml.g5.2xlarge", name="gpu"
    )
    fixed = served(fixed="it is serverless", name="fixed", count=0)
    quiet = served(replace(CALM, idle=True), name="quiet")
    fits = served(BUSY, name="fits")
    known = prices(_2xlarge=0.408)
    decided = OversizedEndpoints().decide(
        endpoint(
            fixed, quiet, fits, gpu,
            prices={"ml.c5.2xlarge": known, "ml.g5.2xlarge": {"ml.g5.2xlarge": Price(Decimal(1), "x")}},
            recommended=("model: 1 ml.c5.large",),
        ),
        NOW,
    )  # fmt: skip

    assert shown(decided) == {
        "status": "InService",
        "Inference Recommender": "model: 1 ml.c5.large",
        "CPU peak of quiet": "18% of 8 vCPUs",
        "memory peak of quiet": "22%",
        "CPU peak of fits": "60% of 8 vCPUs",
        "memory peak of fits": "60%",
        "CPU peak of gpu": "25% of 8 vCPUs",
        "memory peak of gpu": "12%",
        "GPU peak of gpu": "50% of 1 GPUs, memory 25%",
        "requests in flight at once on gpu": 1,
    }
    assert decided.steps[:-1] == (
        "fixed: it is serverless",
        "quiet: no request came, which idle-endpoints judges",
        "fits: nothing that carries its peaks costs less",
        "gpu: nothing that carries its peaks costs less",
    )


def test_only_what_changes_is_in_the_requests() -> None:
    def action(judged: LoadedEndpoint) -> str:
        decided = of_type(Finding, OversizedEndpoints(min_instances=1).decide(judged, NOW))
        return decided.action

    def noon(peak: float, base: float) -> Value[tuple[PeakLoad, ...]]:
        return Value(tuple(replace(CALM, cpu=peak if at % 24 == 12 else base) for at in range(LOAD_HOURS)))

    same_type = action(endpoint(served(PeakLoad(1, 4.8), count=3)))
    another_type = action(endpoint(served(replace(CALM, requests=1), count=2)))
    scaled = action(endpoint(served(noon(4.0, 1.2), count=3)))
    both = action(endpoint(served(noon(2.6, 0.9), count=3)))
    asleep = action(endpoint(served(nightly(BUSY), sleeps=True)))

    assert "InstanceType=ml.c5.2xlarge and InitialInstanceCount=1, then" in same_type
    assert "register-scalable-target" not in same_type + another_type
    assert "InstanceType=ml.c5.xlarge and InitialInstanceCount=3, then" in both
    assert "--min-capacity 1 --max-capacity 3" in both
    assert "--min-capacity 1 --max-capacity 3" in scaled
    assert "update-endpoint" not in scaled + asleep


METRICS = {"CostPerHour": 0.2, "MaxInvocations": 1000}


@cases(
    "found, words",
    ([], "no instance was recommended"),
    ([{"EndpointConfiguration": {"InstanceType": "ml.c5.large"}}], "no instance was recommended"),
    ([{"Metrics": METRICS, "EndpointConfiguration": {}}], "no instance was recommended"),
    (
        [
            {"Metrics": METRICS, "EndpointConfiguration": {"InstanceType": "ml.c5.large"}},
            {"Metrics": {"CostPerHour": 0.1}, "EndpointConfiguration": {"InstanceType": "ml.c5.x"}},
        ],
        "1 ml.c5.x, $0.10 an hour, up to 0 requests a minute",
    ),
)
def test_the_cheapest_recommendation_that_has_an_instance_and_a_price(found: Any, words: str) -> None:
    assert oversized_endpoints._cheapest({"InferenceRecommendations": found}) == words
