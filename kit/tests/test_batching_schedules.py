"""None lost, none doubled: random callers, cancellations, timeouts, faults and closings."""

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batching_world import FAULTS, Act, Plan, World, crowd

MILLISECONDS = st.integers(0, 40).map(lambda number: number / 1000)
ACTS = st.lists(
    st.builds(
        Act,
        at=MILLISECONDS,
        priority=st.integers(-1, 2),
        bucket=st.integers(0, 1),
        timeout=st.none() | st.integers(1, 30).map(lambda number: number / 1000),
        cancel_after=st.none() | MILLISECONDS,
        poison=st.booleans(),
        by_future=st.booleans(),
    ),
    max_size=25,
)
PLANS = st.builds(
    Plan,
    max_batch=st.integers(1, 5),
    max_delay=st.sampled_from((0.0, 0.003)),
    max_queue=st.integers(1, 6) | st.just(100),
    ageing=st.sampled_from((0.001, 0.01, 1.0)),
    bisect=st.booleans(),
    sync=st.booleans(),
    raises=st.booleans(),
    durations=st.lists(st.integers(0, 9).map(lambda number: number / 1000), min_size=1, max_size=4).map(
        tuple
    ),
    faults=st.lists(st.sampled_from(("none", *FAULTS)), min_size=1, max_size=4).map(tuple),
    close_at=st.none() | MILLISECONDS,
    drain=st.booleans(),
)


QUIET: dict[str, Any] = {
    "deadline": None,
    "report_multiple_bugs": False,
    "suppress_health_check": [HealthCheck.too_slow],
}


@settings(max_examples=300, derandomize=True, **QUIET)
@given(plan=PLANS, acts=ACTS)
def test_the_laws_hold_whatever_happens(plan: Plan, acts: list[Act]) -> None:
    World(plan, acts).play()


@pytest.mark.long
@settings(max_examples=10_000, **QUIET)
@given(plan=PLANS, acts=ACTS)
def test_the_laws_hold_at_other_random_schedules(plan: Plan, acts: list[Act]) -> None:
    World(plan, acts).play()


def busy(seed: int) -> Plan:
    """A model for about 1,000 requests a second."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return Plan(
        max_batch=chance.choice((4, 16, 32)),
        max_delay=chance.choice((0.0, 0.0, 0.004)),
        max_queue=chance.choice((5, 64, 1024)),
        ageing=chance.choice((0.01, 1.0)),
        bisect=chance.random() < 0.3,
        sync=chance.random() < 0.5,
        raises=chance.random() < 0.5,
        durations=tuple(chance.uniform(0.001, 0.02) for _ in range(7)),
        faults=("none",) * 30 + FAULTS,
    )


def rounds(first: int, number: int, requests: int) -> None:
    computed = 0
    for seed in range(first, first + number):
        load = random.Random(seed).choice((300.0, 1_000.0, 3_000.0))  # noqa: S311 - no secret
        world = World(busy(seed), crowd(seed, requests, load), ordered=False).play()
        computed += len(world.begun)
    assert number * requests * 0.5 < computed < number * requests * 0.98  # most were computed, many were not


def test_fifty_thousand_requests() -> None:
    rounds(0, 10, 5_000)


@pytest.mark.long
def test_a_million_requests() -> None:
    rounds(int(os.environ.get("SEED") or 1_000), 100, 10_000)


@pytest.mark.parametrize("bisect", [False, True])
def test_only_the_request_at_fault_fails_if_its_batch_is_halved(*, bisect: bool) -> None:
    acts = [Act(poison=number == 5) for number in range(8)]
    plan = Plan(max_batch=8, bisect=bisect, raises=True)
    world = World(plan, acts).play()
    failed = [number for number, outcome in world.outcomes.items() if isinstance(outcome, Exception)]
    assert failed == ([5] if bisect else list(range(8)))
    assert world.begun[5] == (4 if bisect else 1)
    assert world.begun[0] == (2 if bisect else 1)


def test_a_request_that_waits_long_passes_those_of_higher_priority() -> None:
    urgent = [Act(at=index / 200, priority=1) for index in range(60)]  # twice as many as are computed
    for ageing, before in ((0.1, True), (10.0, False)):
        plan = Plan(max_batch=1, ageing=ageing, max_queue=100)
        world = World(plan, [*urgent, Act(at=0.001)]).play()
        last = list(world.begun)[-1]
        assert (last != len(urgent)) is before
