"""The report for programs: one JSON document, described by the JSON Schema beside this file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Finding, Kept
from ml_janitor.core.money import Totals, cents, first_to_do
from ml_janitor.core.results import Overlap, Report, Result, Sweep
from ml_janitor.core.signals import Evidence
from ml_janitor.report.causes import limits, note, undone_by_hand
from ml_janitor.report.plan import Week, weeks

VERSION = 2


def text(report: Report, *, every: bool = False, plan: bool = False) -> str:
    """
    Return `document` as JSON text.

    ASCII only: the name of an AWS resource must not steer the terminal that prints a document.
    """
    return (
        json.dumps(document(report, every=every, plan=plan), indent=2, ensure_ascii=True, allow_nan=False)
        + "\n"
    )


def lines(report: Report, *, every: bool = False, plan: bool = False) -> str:
    """Return `document` as JSON lines: first all but its results, then a result a line; ASCII like `text`."""
    head = document(report, every=every, plan=plan)
    results = head.pop("results")
    return "".join(json.dumps(part, ensure_ascii=True, allow_nan=False) + "\n" for part in [head, *results])


def document(report: Report, *, every: bool = False, plan: bool = False) -> dict[str, Any]:
    """Return *report* as plain JSON values: findings and unknowns, all else if *every*, and its *plan*."""
    totals = Totals.of(report.results)
    return {
        "version": VERSION,
        "time": moment(report.time),
        "account": report.account,
        "totals": {
            "monthly_usd": _sum(cost.monthly_usd for cost in _counted(report)),
            "accrued_usd": _sum(cost.accrued_usd for cost in _counted(report)),
            "once_usd": money(totals.once_usd),
            "unpriced": totals.unpriced,
        },
        "sweeps": [_sweep(sweep) for sweep in report.sweeps],
        "results": [
            _result(sweep, result)
            for sweep, result in in_order(report)
            if every or isinstance(result.verdict, Finding) or result.verdict.unknown
        ],
        "plan": [_week(week) for week in weeks(report)] if plan else None,
    }


def in_order(report: Report) -> Iterable[tuple[Sweep, Result]]:
    """Return every result with its sweep: findings first, the most urgent findings at the top."""
    pairs = [(sweep, result) for sweep in report.sweeps for result in sweep.results]
    return sorted(pairs, key=lambda pair: (not isinstance(pair[1].verdict, Finding), first_to_do(pair[1])))


def moment(at: datetime | None) -> str | None:
    """Format a time in UTC, ISO 8601 with Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _counted(report: Report) -> Iterable[Cost]:
    return (result.counted for result in report.results if result.counted is not None)


def _sum(amounts: Iterable[Decimal | None]) -> float:
    """Add up cents, as the results have them."""
    return float(sum((cents(amount) or Decimal(0) for amount in amounts), Decimal(0)))


def money(usd: Decimal | None) -> float | None:
    """Return dollars as a number rounded to cents, or null for unknown."""
    rounded = cents(usd)
    return None if rounded is None else float(rounded)


def _sweep(sweep: Sweep) -> dict[str, Any]:
    return {
        "detector": sweep.detector,
        "account": sweep.account,
        "region": sweep.region,
        "mode": sweep.mode.value,
        "looked_at": sweep.looked_at,
        "found": sweep.found,
        "kept": sweep.kept,
        "unknown": sweep.unknown,
        "error": sweep.error,
        "notices": list(sweep.notices),
        "held": limits(sweep),
    }


def _result(sweep: Sweep, result: Result) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "detector": result.detector,
        "account": sweep.account,
        "region": sweep.region,
        "arn": result.target.arn,
        "name": result.target.name,
        "created": moment(result.target.created),
        "owner": result.owner,
        "reason": verdict.reason,
        "confidence": verdict.confidence.value if isinstance(verdict, Finding) else None,
        "evidence": [evidence(seen) for seen in verdict.evidence],
        "unknown": isinstance(verdict, Kept) and verdict.unknown,
        "action": verdict.action if isinstance(verdict, Finding) else None,
        "outcome": result.outcome.value,
        "due": moment(result.due),
        "note": "; ".join(filter(None, (note(result), undone_by_hand(result)))),
        "monthly_usd": money(result.monthly_usd),
        "accrued_usd": money(result.accrued_usd),
        **beside_sums(result.cost),
        "change": result.change.value if isinstance(verdict, Finding) else None,
        "hours_of_work": result.hours if isinstance(verdict, Finding) else None,
        "usd_per_hour_of_work": money(result.usd_per_hour),
        "instead_of": _instead_of(result.overlap),
    }


def _instead_of(overlap: Overlap | None) -> dict[str, Any] | None:
    """Return the finding that is counted instead, and the part of this finding that is still counted."""
    if overlap is None:
        return None
    return {
        "detector": overlap.detector,
        "arn": overlap.arn,
        "monthly_usd": money(overlap.monthly_usd),
        "accrued_usd": money(overlap.accrued_usd),
    }


def beside_sums(cost: Cost | None) -> dict[str, float | None]:
    """Return the parts of *cost* that are neither monthly nor spent yet."""
    payback = cost.payback if cost else None
    return {
        "once_usd": money(cost.once_usd if cost else None),
        "payback_days": None if payback is None else round(payback / timedelta(days=1), 1),
        "exposure_usd": money(cost.exposure_usd if cost else None),
    }


def _week(week: Week) -> dict[str, Any]:
    return {
        "week": week.number,
        "title": week.title,
        "monthly_usd": money(week.totals.monthly_usd),
        "once_usd": money(week.totals.once_usd),
        "by_then_monthly_usd": money(week.by_then),
        "hours_of_work": round(week.hours, 2),
        "changes": [{"detector": result.detector, "arn": result.target.arn} for result in week.changes],
        "instead": week.instead,
        "advice": list(week.advice),
    }


def evidence(seen: Evidence) -> dict[str, Any]:
    """Return the name of one signal, and its value or why it could not be read."""
    value = seen.value
    if isinstance(value, float) and not math.isfinite(value):  # JSON cannot represent these
        value = str(value)
    return {"signal": seen.signal, "value": value, "error": seen.error}
