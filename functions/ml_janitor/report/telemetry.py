"""Telemetry of a run for CloudWatch: a log line per sweep, and a few metrics per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_janitor.core.model import Mode
from ml_janitor.core.money import Totals
from ml_janitor.core.results import UNVERIFIED_RECORD_CODES, Outcome, Sweep
from ml_janitor.report.causes import limit_texts

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

METRICS_NAMESPACE = "MLJanitor"
DETECTOR_DIMENSION = "detector"
"""The only dimension of the janitor's metrics."""

ACCOUNTS_METRIC = "Accounts"
"""Number of accounts that a run over an organization looks at."""

REFUSED_METRIC = "RecordsRefused"
"""Records of actions that do not verify; the janitor does nothing with them."""

OUTCOME_METRICS = {"Warned": Outcome.WARNED, "Acted": Outcome.ACTED, "ActionsFailed": Outcome.FAILED}
"""
Additional metrics of an armed run; HeldBack, the number of limits that held something back, is also one.
"""


METRIC_UNITS = {"Duration": "Seconds", "MonthlyUsd": "None"}


def log_sweep(logger: Logger, sweep: Sweep, *, seconds: float, new: int, note: str) -> None:
    """Log one structured line per sweep: counts, dollars and errors, never a name or a value."""
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
            "accrued_usd": float(totals.accrued_usd),
            "unpriced": totals.unpriced,
            "seconds": round(seconds, 3),
            "sweep_error": sweep.error,
            "held_back": limit_texts(sweep),
            **{
                name.lower(): sum(r.outcome is out for r in sweep.results)
                for name, out in OUTCOME_METRICS.items()
            },
            "note": note,
        },
    )


def measure_run(detector: str, sweeps: Sequence[Sweep], *, seconds: float) -> None:
    """
    Write one run as CloudWatch metrics to the log, in the embedded metric format.

    All regions of a run are one value, so that a day's maximum covers the day and not one region. A revert of
    an action from before the disarming can still fail.
    """
    counts = {
        "LookedAt": sum(sweep.looked_at for sweep in sweeps),
        "Found": sum(sweep.found for sweep in sweeps),
        "Kept": sum(sweep.kept for sweep in sweeps),
        "Unknown": sum(sweep.unknown for sweep in sweeps),
        "Duration": seconds,
    }
    results = [result for sweep in sweeps for result in sweep.results]
    armed = any(sweep.mode is Mode.ACT for sweep in sweeps)
    if armed or any(result.outcome is Outcome.FAILED for result in results):
        counts |= {
            name: sum(r.outcome is outcome for r in results) for name, outcome in OUTCOME_METRICS.items()
        }
        counts["HeldBack"] = sum(len(sweep.held_back) for sweep in sweeps)
        counts[REFUSED_METRIC] = sum(result.why in UNVERIFIED_RECORD_CODES for result in results)
    _write(detector, counts)


def measure_dollars(by_detector: Mapping[str, Decimal]) -> None:
    """
    Write the monthly cost of each detector's findings; a cost that several detectors name counts once.

    Only the digest writes it, because only the digest knows all findings: a dashboard may add the values up.
    """
    for detector, dollars in by_detector.items():
        _write(detector, {"MonthlyUsd": float(dollars)})


def measure_refused(detector: str) -> None:
    """Count a record of *detector* that the undo function refused."""
    _write(detector, {REFUSED_METRIC: 1})


def measure_accounts(detector: str, accounts: int) -> None:
    """Record how many *accounts* a run of *detector* over an organization looks at, when it begins."""
    _write(detector, {ACCOUNTS_METRIC: accounts})


def _write(detector: str, values: Mapping[str, float]) -> None:
    """Write metrics of *detector*, by name; their unit is a count unless `UNITS` has another."""
    from aws_lambda_powertools.metrics import EphemeralMetrics

    metrics = EphemeralMetrics(namespace=METRICS_NAMESPACE)
    metrics.add_dimension(DETECTOR_DIMENSION, detector)
    for name, value in values.items():
        metrics.add_metric(name, METRIC_UNITS.get(name, "Count"), value)
    metrics.flush_metrics()
