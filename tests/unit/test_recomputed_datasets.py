"""The decide table of recomputed-datasets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import NOW
from fakes import target_at
from ml_janitor.aws.prices import Price
from ml_janitor.core.model import Confidence, Finding
from ml_janitor.core.signals import NotRead, Unreadable, Value
from ml_janitor.detectors.recomputed_datasets import CompletedRun, RecomputedDatasets, RepeatedJobs
from past_jobs import word

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
PRICE = Price(Decimal(2), "Price List API")


def repeated(runs: int = 10, **more: Any) -> RepeatedJobs:
    """A job that ran for 5 hours of instances each day at noon, the last time yesterday."""
    name = "features-*~0a1b2c3d"
    target = target_at(f"processing-job/{name}", None)
    fields: dict[str, Any] = {
        "target": target,
        "runs": tuple(CompletedRun(NOW - day * DAY, 5.0) for day in range(runs, 0, -1)),
        "instance": "ml.m5.xlarge",
        "price": PRICE,
        "changed": Value(NOW - 20 * DAY),
    }
    return RepeatedJobs(**(fields | more))


@pytest.mark.parametrize(
    ("judged", "verdict", "reason"),
    [
        (repeated(), "found", "10 runs in 30 days had the same inputs"),
        (repeated(3), "found", "3 runs"),
        (repeated(2), "kept", "2 runs were told the same; judged from 3 on"),
        (repeated(2, changed=NotRead()), "kept", "2 runs were told the same"),
        (repeated(0, changed=Unreadable("DescribeProcessingJob: denied")), "unknown", "denied"),
        (repeated(changed=Unreadable("ListObjectsV2: denied")), "unknown", "ListObjectsV2: denied"),
        (repeated(changed=NotRead()), "unknown", "not read"),
        (repeated(changed=Value(NOW - 2 * DAY - SECOND)), "kept", "2 runs since what it runs or reads"),
        (repeated(changed=Value(NOW - 3 * DAY)), "kept", "2 runs since what it runs or reads"),
        (repeated(changed=Value(NOW - 3 * DAY - SECOND)), "found", "3 runs"),
        (repeated(changed=Value(NOW)), "kept", "0 runs since"),
        (repeated(scheduled=True), "kept", "a monitoring schedule runs it"),
        (repeated(parameters=("--since", "1d")), "kept", "another time in each run: --since"),
        (repeated(parameters=("LOOKBACK_DAYS", "7")), "kept", "LOOKBACK_DAYS"),
        (repeated(parameters=("--day=Today",)), "kept", "--day=Today"),
        (repeated(parameters=("--snow", "lastly", "nowhere", "pastoral", "currently")), "found", "10 runs"),
        (repeated(price=Price(Decimal("0.2"), "")), "kept", "would save $9.13 a month"),
        (repeated(price=Price(None, "no price list")), "found", "10 runs"),
    ],
)
def test_recomputed_datasets(judged: RepeatedJobs, verdict: str, reason: str) -> None:
    decided = RecomputedDatasets().decide(judged, NOW)

    assert (word(decided), reason in decided.reason) == (verdict, True), decided.reason


def test_it_saves_every_run_but_the_first_since_the_last_change() -> None:
    """9 runs of 5 hours at two dollars in 30 days; 4 of them, if something was written six days ago."""
    all_, some = (
        RecomputedDatasets().decide(repeated(changed=Value(NOW - days * DAY)), NOW) for days in (20, 6)
    )

    assert isinstance(all_, Finding)
    assert isinstance(some, Finding)
    assert all_.cost
    assert some.cost
    assert all_.cost.monthly_usd == pytest.approx(Decimal(9 * 5 * 2 * 730) / 720)
    assert some.cost.monthly_usd == pytest.approx(Decimal(4 * 5 * 2 * 730) / 720)
    assert (all_.confidence, "EnableNetworkIsolation" in all_.to_prove) == (Confidence.LIKELY, True)


def test_what_is_a_step_already_is_only_cached() -> None:
    step, job = (RecomputedDatasets().decide(repeated(piped=piped), NOW) for piped in (True, False))

    assert isinstance(step, Finding)
    assert isinstance(job, Finding)
    assert step.action.startswith("set CacheConfig (Enabled=true")
    assert job.action.startswith("make it a step of a pipeline, and set CacheConfig")
