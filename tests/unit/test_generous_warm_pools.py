"""The decide table of generous-warm-pools, and the pools of the sandbox's own jobs."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest

import one_of_each
from conftest import MINUTE, NOW
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.training_jobs import JobFamily, PastJob
from ml_janitor.core.model import Confidence, Finding
from ml_janitor.detectors.generous_warm_pools import GenerousWarmPools
from ml_janitor_sandbox.control import Control
from narrowing import of_type
from past_jobs import HOUR, job, runs, word
from tables import cases
from verdicts import expect_verdict, shown


def pool(retained: timedelta | None = 4 * HOUR, *, reused: bool = False, **more: Any) -> PastJob:
    return job(**{"keeps": 4 * HOUR, "retained": retained, "reused": reused, **more})


def pools(*jobs: PastJob, **more: Any) -> JobFamily:
    return runs(newest=jobs[0], jobs=jobs, **more)


@cases(
    "family, verdict, reason",
    (
        pools(*[pool()] * 6),
        "found",
        "6 warm pools were billed for up to 4 hours each while they waited, and no later",
    ),
    (pools(*[pool()] * 6, unread="Search: denied"), "unknown", "Search: denied"),
    (pools(job(), *[pool()] * 6), "kept", "its newest job keeps no warm pool"),
    (pools(pool(), pool(), pool(None)), "kept", "2 warm pools in 60 days; judged from 3 on"),
    (pools(*[pool()] * 6, price=Price(None, "no price list")), "unknown", "the price of ml.g5.xlarge"),
    (pools(*[pool()] * 3), "kept", "a shorter time would save $8.57 a month"),
    (pools(pool(10 * MINUTE, reused=True), *[pool()] * 6), "found", "wait that paid off was 10 minutes"),
    (pools(*[pool(n * MINUTE, reused=True) for n in (10, 20)], *[pool()] * 6), "found", "20 minutes"),
    (pools(pool(3 * HOUR, reused=True), *[pool()] * 6), "kept", "no longer than needed"),
    (pools(pool(10 * MINUTE, reused=True, keeps=15 * MINUTE), *[pool()] * 6), "kept", "15 minutes, which"),
    (pools(pool(10 * MINUTE, reused=True, keeps=16 * MINUTE), *[pool()] * 6), "found", "up to 4 hours each"),
)
def test_generous_warm_pools(family: JobFamily, verdict: str, reason: str) -> None:
    expect_verdict(GenerousWarmPools().decide(family, NOW), verdict, reason)


def test_it_saves_what_pools_were_billed_beyond_the_proposed_time() -> None:
    """Six pools of two instances beyond 15 minutes: 6 x 2 x 3.75 hours in 60 days, and 730 hours a month."""
    family = pools(pool(10 * MINUTE, reused=True, instances=2), *[pool(instances=2)] * 6)
    decided = of_type(Finding, GenerousWarmPools().decide(family, NOW))

    assert decided.cost
    hours = Decimal(6 * 2) * Decimal("3.75") * 730 / (60 * 24)
    assert decided.cost.monthly_usd == pytest.approx(hours * Decimal("1.408"))
    assert decided.confidence is Confidence.LIKELY
    assert decided.action == (
        "shorten the warm pool: set ResourceConfig.KeepAlivePeriodInSeconds to 900 where the job is created"
    )


def test_pools_of_real_jobs(box: Control, session: boto3.Session, aws: Aws) -> None:
    """Four jobs whose pools waited for four hours each, for nobody."""
    one_of_each.warm_pools(session, box)

    (family,) = GenerousWarmPools().find(aws, NOW)
    decided = of_type(Finding, GenerousWarmPools().decide(family, NOW))

    assert decided.cost
    assert decided.cost.monthly_usd == pytest.approx(Decimal(16 * 730) / 1440 * Decimal("7.09"))
    assert decided.action.startswith("drop the warm pool: ")
    assert decided.action.endswith("to 0 where the job is created, or leave it out")


def test_what_was_seen_of_pools_and_as_much_as_is_worth_a_change() -> None:
    """Pools that ended before the proposed time would save nothing, and take nothing off."""
    family = pools(pool(10 * MINUTE, reused=True), *[pool()] * 6, pool(MINUTE))
    decided = GenerousWarmPools().decide(family, NOW)

    assert shown(decided) == {
        "warm pools that ended": 8,
        "of these used again": 1,
        "kept after the newest job for": "4 hours",
    }
    assert isinstance(decided, Finding)
    assert decided.cost
    assert decided.cost.monthly_usd == pytest.approx(Decimal("22.5") * Decimal("1.408") * 730 / (60 * 24))
    exactly = pools(*[pool(48 * HOUR, keeps=48 * HOUR)] * 3, price=Price(Decimal(1), "x"))
    assert word(GenerousWarmPools(min_saving=73.0).decide(exactly, NOW)) == "found"
    assert word(GenerousWarmPools(min_saving=73.01).decide(exactly, NOW)) == "kept"
