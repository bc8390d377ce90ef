"""What a run says of itself to CloudWatch: a line per sweep, and a few metrics per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_janitor.core.cause import UNVERIFIED
from ml_janitor.core.model import Mode
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Outcome, Sweep
from ml_janitor.report.causes import limits

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

NAMESPACE = "MLJanitor"
DETECTOR = "detector"
"""The one dimension of the janitor's own metrics."""

ACCOUNTS = "Accounts"
"""The accounts that a run over an organization looks at."""

REFUSED = "RecordsRefused"
"""Records of actions that do not verify, of which nothing was done."""

OUTCOMES = {"Warned": Outcome.WARNED, "Acted": Outcome.ACTED, "ActionsFailed": Outcome.FAILED}
"""What an armed run says besides, with how many limits held something back (HeldBack)."""


UNITS = {"Duration": "Seconds", "MonthlyUsd": "None"}


def summarise(logger: Logger, sweep: Sweep, *, seconds: float, new: int, note: str) -> None:
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
            "accrued_usd": float(totals.accrued_usd),
            "unpriced": totals.unpriced,
            "seconds": round(seconds, 3),
            "sweep_error": sweep.error,
            "held_back": limits(sweep),
            **{name.lower(): sum(r.outcome is out for r in sweep.results) for name, out in OUTCOMES.items()},
            "note": note,
        },
    )


def measure(detector: str, sweeps: Sequence[Sweep], *, seconds: float) -> None:
    """
    One run as CloudWatch metrics, written to the log in the embedded metric format.

    All regions of a run are one value: the largest value of a day is then the day's, not a region's. What
    a detector did before it was disarmed can still fail to come back.
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
        counts |= {name: sum(r.outcome is outcome for r in results) for name, outcome in OUTCOMES.items()}
        counts["HeldBack"] = sum(len(sweep.held_back) for sweep in sweeps)
        counts[REFUSED] = sum(one.why in UNVERIFIED for one in results)
    _write(detector, counts)


def measure_dollars(by_detector: Mapping[str, Decimal]) -> None:
    """
    What the findings of each detector cost a month, where what several name is counted once.

    Said by the digest, which alone knows all of them: a dashboard may add these up.
    """
    for detector, dollars in by_detector.items():
        _write(detector, {"MonthlyUsd": float(dollars)})


def measure_refused(detector: str) -> None:
    """The undo function refused a record of *detector*."""
    _write(detector, {REFUSED: 1})


def measure_accounts(detector: str, accounts: int) -> None:
    """A run of *detector* over an organization has begun, and looks at so many accounts."""
    _write(detector, {ACCOUNTS: accounts})


def _write(detector: str, values: Mapping[str, float]) -> None:
    """Metrics of *detector*, by name: counts, but for those in `UNITS`."""
    from aws_lambda_powertools.metrics import EphemeralMetrics

    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension(DETECTOR, detector)
    for name, value in values.items():
        metrics.add_metric(name, UNITS.get(name, "Count"), value)
    metrics.flush_metrics()
