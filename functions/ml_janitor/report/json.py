"""The report for programs: one JSON document, described by the JSON Schema docs/schemas/report.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ml_janitor.core.model import Cost, Evidence, Finding, Kept
from ml_janitor.core.money import Totals, rank_by_worth, round_to_cents
from ml_janitor.core.results import Overlap, Report, Result, Sweep
from ml_janitor.report.causes import limit_texts, outcome_note, undo_by_hand_text
from ml_janitor.report.plan import Week, plan_weeks

REPORT_VERSION = 2


def report_json(report: Report, *, every: bool = False, plan: bool = False) -> str:
    """
    Return `report_document` as JSON text.

    ASCII only: the name of an AWS resource must not steer the terminal that prints a document.
    """
    return (
        json.dumps(
            report_document(report, every=every, plan=plan), indent=2, ensure_ascii=True, allow_nan=False
        )
        + "\n"
    )


def report_json_lines(report: Report, *, every: bool = False, plan: bool = False) -> str:
    """Yield `report_document` as lines of ASCII JSON: first all but its results, then a result a line."""
    head = report_document(report, every=every, plan=plan)
    results = head.pop("results")
    return "".join(json.dumps(part, ensure_ascii=True, allow_nan=False) + "\n" for part in [head, *results])


def report_document(report: Report, *, every: bool = False, plan: bool = False) -> dict[str, Any]:
    """Return *report* as plain JSON values: findings and unknowns, all else if *every*, and its *plan*."""
    totals = Totals.of(report.results)
    return {
        "schema_version": REPORT_VERSION,
        "time": iso_time(report.time),
        "account": report.account,
        "totals": {
            "monthly_usd": _sum(cost.monthly_usd for cost in _counted(report)),
            "accrued_usd": _sum(cost.accrued_usd for cost in _counted(report)),
            "once_usd": usd_number(totals.once_usd),
            "hourly_usd": usd_number(totals.hourly_usd),
            "unpriced": totals.unpriced,
        },
        "sweeps": [_sweep(sweep) for sweep in report.sweeps],
        "results": [
            _result(sweep, result)
            for sweep, result in results_in_order(report)
            if every or isinstance(result.verdict, Finding) or result.verdict.unknown
        ],
        "plan": [_week(week) for week in plan_weeks(report)] if plan else None,
    }


def results_in_order(report: Report) -> Iterable[tuple[Sweep, Result]]:
    """Return every result with its sweep: findings first, the most urgent findings at the top."""
    pairs = [(sweep, result) for sweep in report.sweeps for result in sweep.results]
    return sorted(pairs, key=lambda pair: (not isinstance(pair[1].verdict, Finding), rank_by_worth(pair[1])))


def iso_time(at: datetime | None) -> str | None:
    """Format a time in UTC, ISO 8601 with Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _counted(report: Report) -> Iterable[Cost]:
    return (result.counted for result in report.results if result.counted is not None)


def _sum(amounts: Iterable[Decimal | None]) -> float:
    """Add up cents, as the results have them."""
    return float(sum((round_to_cents(amount) or Decimal(0) for amount in amounts), Decimal(0)))


def usd_number(usd: Decimal | None) -> float | None:
    """Return dollars as a number rounded to cents, or null for unknown."""
    rounded = round_to_cents(usd)
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
        "held": limit_texts(sweep),
    }


def _result(sweep: Sweep, result: Result) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "detector": result.detector,
        "account": sweep.account,
        "region": sweep.region,
        "arn": result.target.arn,
        "name": result.target.name,
        "created": iso_time(result.target.created),
        "owner": result.owner,
        "reason": verdict.reason,
        "confidence": verdict.confidence.value if isinstance(verdict, Finding) else None,
        "evidence": [evidence_fields(seen) for seen in verdict.evidence],
        "unknown": isinstance(verdict, Kept) and verdict.unknown,
        "action": verdict.action if isinstance(verdict, Finding) else None,
        "outcome": result.outcome.value,
        "due": iso_time(result.due),
        "note": "; ".join(filter(None, (outcome_note(result), undo_by_hand_text(result)))),
        "monthly_usd": usd_number(result.monthly_usd),
        "accrued_usd": usd_number(result.accrued_usd),
        "hourly_usd": usd_number(hourly_usd(result)),
        **once_and_risk_fields(result.cost),
        "change": result.change.value if isinstance(verdict, Finding) else None,
        "hours_of_work": result.hours if isinstance(verdict, Finding) else None,
        "usd_per_hour_of_work": usd_number(result.usd_per_hour),
        "instead_of": _instead_of(result.overlap),
    }


def hourly_usd(result: Result) -> Decimal | None:
    """Return what a job goes on costing an hour; None for a standing resource, whose cost is by month."""
    return result.cost.hourly_usd if result.cost and result.accrued_usd is not None else None


def _instead_of(overlap: Overlap | None) -> dict[str, Any] | None:
    """Return the finding that is counted instead, and the part of this finding that is still counted."""
    if overlap is None:
        return None
    return {
        "detector": overlap.detector,
        "arn": overlap.arn,
        "monthly_usd": usd_number(overlap.monthly_usd),
        "accrued_usd": usd_number(overlap.accrued_usd),
    }


def once_and_risk_fields(cost: Cost | None) -> dict[str, float | None]:
    """Return the parts of *cost* that are neither monthly nor spent yet."""
    payback = cost.payback if cost else None
    return {
        "once_usd": usd_number(cost.once_usd if cost else None),
        "payback_days": None if payback is None else round(payback / timedelta(days=1), 1),
        "exposure_usd": usd_number(cost.exposure_usd if cost else None),
    }


def _week(week: Week) -> dict[str, Any]:
    return {
        "week": week.number,
        "title": week.title,
        "monthly_usd": usd_number(week.totals.monthly_usd),
        "once_usd": usd_number(week.totals.once_usd),
        "by_then_monthly_usd": usd_number(week.by_then),
        "hours_of_work": round(week.hours, 2),
        "changes": [{"detector": result.detector, "arn": result.target.arn} for result in week.changes],
        "instead": week.instead,
        "advice": list(week.advice),
    }


def evidence_fields(seen: Evidence) -> dict[str, Any]:
    """Return the name of one signal, and its value or why it could not be read."""
    value = seen.value
    if isinstance(value, float) and not math.isfinite(value):  # JSON cannot represent these
        value = str(value)
    return {"signal": seen.signal, "value": value, "error": seen.error}
