"""Telemetry of a run for CloudWatch: a log line per sweep, and a few metrics per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ml_janitor.core.model import Mode
from ml_janitor.core.money import Totals
from ml_janitor.core.results import UNVERIFIED_RECORD_CODES, Outcome, Sweep
from ml_janitor.report.causes import limit_texts

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

METRICS_NAMESPACE = "MLJanitor"
DETECTOR_DIMENSION = "detector"
"""The only dimension of the janitor's metrics; those that alarms watch have none."""

REFUSED_METRIC = "RecordsRefused"
"""Records of actions that do not verify; the janitor does nothing with them."""

MISSED_METRIC = "SweepsMissed"
"""Schedules that did not run their work in time."""

LOST_EVENTS_METRIC = "EventsLost"
"""Events that the event bus did not take."""

FAILED_METRIC, HELD_BACK_METRIC = "ActionsFailed", "HeldBack"

LOGGED_OUTCOMES = {"warned": Outcome.WARNED, "acted": Outcome.ACTED, "actionsfailed": Outcome.FAILED}
"""The outcomes that the line of a sweep counts."""

METRIC_UNITS = {"MonthlyUsd": "None"}


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
            **{name: sum(r.outcome is out for r in sweep.results) for name, out in LOGGED_OUTCOMES.items()},
            "note": note,
        },
    )


def measure_acts(sweeps: Sequence[Sweep]) -> None:
    """
    Write what alarms watch of a run that may act: one value for all of its regions, of no detector.

    A revert of an action from before the disarming can still fail.
    """
    results = [result for sweep in sweeps for result in sweep.results]
    armed = any(sweep.mode is Mode.ACT for sweep in sweeps)
    if armed or any(result.outcome is Outcome.FAILED for result in results):
        counts = {FAILED_METRIC: sum(result.outcome is Outcome.FAILED for result in results)}
        counts[HELD_BACK_METRIC] = sum(len(sweep.held_back) for sweep in sweeps)
        counts[REFUSED_METRIC] = sum(result.why in UNVERIFIED_RECORD_CODES for result in results)
        _write(counts)


def measure_detectors(by_detector: Mapping[str, Mapping[str, float]]) -> None:
    """
    Write the day's metrics of each detector for the dashboard.

    Only the digest writes them. A cost that several detectors name counts once, because only
    the digest knows all findings: a dashboard may add them up.
    """
    for detector, values in by_detector.items():
        _write(values, detector)


def measure_refused() -> None:
    """Count a record that the undo function refused."""
    _write({REFUSED_METRIC: 1})


def measure_missed(schedules: int) -> None:
    """Record how many *schedules* did not run their work in time."""
    _write({MISSED_METRIC: schedules})


def measure_lost_events(events: int) -> None:
    """Count *events* that the event bus did not take."""
    _write({LOST_EVENTS_METRIC: events})


def _write(values: Mapping[str, float], detector: str = "") -> None:
    """
    Write metrics by name, of *detector* or of the whole deployment.

    Their unit is a count unless `METRIC_UNITS` has another.
    """
    from aws_lambda_powertools.metrics import EphemeralMetrics

    metrics = EphemeralMetrics(namespace=METRICS_NAMESPACE)
    if detector:
        metrics.add_dimension(DETECTOR_DIMENSION, detector)
    for name, value in values.items():
        metrics.add_metric(name, METRIC_UNITS.get(name, "Count"), value)
    metrics.flush_metrics()
