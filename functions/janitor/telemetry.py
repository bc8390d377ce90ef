"""What a run says of itself to CloudWatch: one summary line and a few metrics per sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from janitor.money import Totals

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from janitor.model import Sweep

NAMESPACE = "MLJanitor"
DETECTOR = "detector"
"""The one dimension of the janitor's own metrics."""


def summarise(logger: Logger, sweep: Sweep, *, seconds: float, new: int) -> None:
    """One structured line per sweep: counts, dollars and what went wrong, never a name or a value."""
    totals = Totals.of(sweep.results)
    say = logger.error if sweep.error else logger.info
    say(
        "swept",
        extra={
            "detector": sweep.detector,
            "account": sweep.account,
            "region": sweep.region,
            "mode": sweep.mode.value,
            "looked_at": sweep.looked_at,
            "found": sweep.found,
            "new": new,
            "kept": sweep.kept,
            "unknown": sweep.unknown,
            "monthly_usd": float(totals.monthly_usd),
            "unpriced": totals.unpriced,
            "seconds": round(seconds, 3),
            "sweep_error": sweep.error,
        },
    )


def measure(sweep: Sweep, *, seconds: float) -> None:
    """The sweep as CloudWatch metrics, written to the log in the embedded metric format."""
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    totals = Totals.of(sweep.results)
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension(DETECTOR, sweep.detector)
    metrics.add_metadata("region", sweep.region)
    metrics.add_metric("LookedAt", MetricUnit.Count, sweep.looked_at)
    metrics.add_metric("Found", MetricUnit.Count, sweep.found)
    metrics.add_metric("Kept", MetricUnit.Count, sweep.kept)
    metrics.add_metric("Unknown", MetricUnit.Count, sweep.unknown)
    metrics.add_metric("MonthlyUsd", MetricUnit.NoUnit, float(totals.monthly_usd))
    metrics.add_metric("Duration", MetricUnit.Seconds, seconds)
    metrics.flush_metrics()
