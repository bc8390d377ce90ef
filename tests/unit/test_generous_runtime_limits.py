"""The decide table of generous-runtime-limits."""

from decimal import Decimal

import pytest

from conftest import NOW
from ml_janitor.aws.prices import Price
from ml_janitor.aws.training_jobs import JobFamily
from ml_janitor.core.model import Finding, NotRead, Unreadable, Value
from ml_janitor.detectors.generous_runtime_limits import GenerousRuntimeLimits
from narrowing import of_type
from past_jobs import HOUR, SECOND, job, runs
from tables import cases
from verdicts import expect_verdict, shown


@cases(
    "family, verdict, reason",
    (runs(), "found", "the longest of 30 runs took 4 hours, and the newest may run for 24 hours"),
    (runs(unread="Search: denied"), "unknown", "Search: denied"),
    (runs(2), "kept", "judged from 3 on"),
    (runs(newest=job(limit=14 * HOUR)), "found", "up to 6 hours longer"),
    (runs(newest=job(limit=14 * HOUR - SECOND)), "kept", "at most 6 hours above"),
    (runs(newest=job(20 * HOUR)), "kept", "2 times the longest of 30 runs, 20 hours"),
    (runs(price=Price(None, "no price list")), "found", "at an unknown price"),
    (runs(older=Value(9 * HOUR)), "found", "the longest of 30 runs took 9 hours"),
    (runs(older=Value(50 * HOUR)), "kept", "2 times the longest of 30 runs, 50 hours"),
    (runs(older=Value(HOUR)), "found", "the longest of 30 runs took 4 hours"),
    (
        runs(older=Unreadable("Search: denied")),
        "unknown",
        "an older run took longer is unknown (Search: denied)",
    ),
    (runs(older=NotRead()), "unknown", "is unknown (not read)"),
    (runs(2, older=NotRead()), "kept", "judged from 3 on"),
)
def test_generous_runtime_limits(family: JobFamily, verdict: str, reason: str) -> None:
    expect_verdict(GenerousRuntimeLimits().decide(family, NOW), verdict, reason)


def test_what_a_hang_would_cost_is_no_saving() -> None:
    """16 hours of 1.408 dollars on two machines."""
    decided = of_type(Finding, GenerousRuntimeLimits().decide(runs(newest=job(instances=2)), NOW))

    assert decided.cost is not None
    assert (decided.cost.monthly_usd, decided.cost.accrued_usd) == (None, None)
    assert decided.cost.exposure_usd == Decimal("45.056")
    assert "which would cost $45.06" in decided.reason
    assert decided.action.startswith(
        "limit the run time to 8 hours: set StoppingCondition.MaxRuntimeInSeconds to 28800 "
    )


def test_a_run_of_seconds_keeps_an_hour() -> None:
    decided = GenerousRuntimeLimits().decide(runs(newest=job(SECOND), jobs=(job(SECOND),) * 3), NOW)

    assert isinstance(decided, Finding)
    assert "to 3600" in decided.action


def test_what_was_seen_of_a_family() -> None:
    assert shown(GenerousRuntimeLimits().decide(runs(newest=job(2.5 * HOUR, limit=48 * HOUR)), NOW)) == {
        "jobs that completed": 30,
        "longest run": "4 hours",
        "newest job's limit": "48 hours",
    }


@pytest.mark.parametrize(("hours", "seconds"), [(4.0, 28_800), (4.01, 32_400), (0.5, 3600), (0.51, 7200)])
def test_the_proposed_limit_is_whole_hours_and_one_at_least(hours: float, seconds: int) -> None:
    one = job(hours * HOUR)
    decided = of_type(Finding, GenerousRuntimeLimits().decide(runs(newest=one, jobs=(one,) * 3), NOW))

    assert f"MaxRuntimeInSeconds to {seconds} " in decided.action
