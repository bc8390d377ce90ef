"""The bill for programs: one JSON document, described by the JSON Schema beside this file, and a CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from typing import TYPE_CHECKING, Any

from ml_janitor.bill.tables import charged_back, readable
from ml_janitor.report.bill import mover as spoken
from ml_janitor.report.bill_gaps import sentence
from ml_janitor.report.json import moment, money

if TYPE_CHECKING:
    from ml_janitor.bill.model import Span
    from ml_janitor.bill.movements import Culprit, Movement, Mover
    from ml_janitor.bill.report import BillReport, TagShare
    from ml_janitor.bill.unit_costs import UnitCost

VERSION = 1
UNTAGGED = "(untagged)"
BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet run a cell (OWASP, "CSV Injection")."""


def text(report: BillReport, *, by: str) -> str:
    """`document` as JSON text, in ASCII: names from AWS must not steer a terminal."""
    return json.dumps(document(report, by=by), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def document(report: BillReport, *, by: str) -> dict[str, Any]:
    """*report* with its table *by* something, as plain JSON values; dollars are rounded to cents."""
    bill, main = report.bill, report.main
    found = bill.forecast
    return {
        "version": VERSION,
        "time": moment(bill.time),
        "account": bill.account,
        "metric": bill.metric.value,
        "span": _span(report.span),
        "usd": money(bill.total(report.span)) if bill.charges else None,
        "estimated": [_day(day) for day in sorted(bill.estimated) if day in report.span],
        "movement": main and _movement(main),
        "yesterday": report.yesterday and _movement(report.yesterday),
        "month": report.month and _movement(report.month),
        "table": _table(report, by),
        "untagged": [_share(one) for one in report.shares],
        "outside": [
            {"record_type": name, "usd": money(usd)} for name, usd in bill.outside(report.span).items()
        ],
        "unit_costs": [_unit_cost(one) for one in report.unit_costs],
        "forecast": found
        and {
            "first": _day(found.first),
            "until": _day(found.until),
            "usd": money(found.usd),
            "low_usd": money(found.low),
            "high_usd": money(found.high),
        },
        "saved": {
            "this_month_usd": money(report.saved_this_month),
            "by_day": [{"day": _day(day), "usd": money(usd)} for day, usd in sorted(report.saved.items())],
        },
        "missing": [
            {
                "reading": gap.reading.value,
                "cause": gap.cause.value,
                "subject": gap.subject or None,
                "text": sentence(gap),
            }
            for gap in bill.gaps
        ],
        "requests": bill.requests,
        "requests_usd": money(bill.read_usd),
    }


def _table(report: BillReport, by: str) -> dict[str, Any] | None:
    """None where the tag that it is by could not be read."""
    if not readable(report.bill, by):
        return None
    return {
        "by": by,
        "lines": [
            {"name": one.name or None, "usd": money(one.usd), "usd_before": money(one.usd_before)}
            for one in report.table(by)
        ],
    }


def _movement(one: Movement) -> dict[str, Any]:
    return {
        "before": _span(one.comparison.before),
        "after": _span(one.comparison.after),
        "unsettled": [_day(day) for day in one.comparison.unsettled],
        "usd_before": money(one.usd_before),
        "usd_after": money(one.usd_after),
        "change_usd": money(one.change),
        "share": None if one.share is None else round(float(one.share), 4),
        "tag": one.tag or None,
        "ended_credits_usd": money(one.ended_credits),
        "movers": [_mover(mover, one) for mover in one.movers],
    }


def _mover(one: Mover, movement: Movement) -> dict[str, Any]:
    return {
        "usd": money(one.usd),
        "cause": one.cause.value,
        "text": spoken(one, movement),
        "owner": one.owner,
        "ordinary": one.ordinary,
        "usage_type": one.part.usage_type,
        "region": one.part.region,
        "phase": one.part.phase.value,
        "tag_value": one.part.tag or None,
        "tag_value_before": one.tag_before or None,
        "units": float(one.units_after),
        "units_before": float(one.units_before),
        "unit": one.part.unit,
        "resource": one.culprit and _resource(one.culprit),
    }


def _resource(one: Culprit) -> dict[str, Any]:
    return {
        "arn": one.arn,
        "name": one.name,
        "kind": one.kind,
        "members": one.members,
        "since": moment(one.since),
        "ended": moment(one.ended),
        "usd_until_now": money(one.usd_until_now),
        "detector": one.detector or None,
        "in_use": one.used,
        "acted": one.acted,
    }


def _unit_cost(one: UnitCost) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "resource": one.resource,
        "region": one.region,
        "usd": money(one.usd),
        "units": one.units,
        "unit": one.unit,
        "per": one.per,
        "usd_per": None if one.per_unit is None else round(float(one.per_unit), 6),
        "notes": [note.value for note in one.notes],
    }


def _share(one: TagShare) -> dict[str, Any]:
    return {
        "tag": one.tag,
        "usd": money(one.untagged),
        "share": None if one.share is None else round(float(one.share), 4),
        "share_before": None if one.share_before is None else round(float(one.share_before), 4),
    }


def _span(span: Span) -> dict[str, Any]:
    return {"first": _day(span.first), "last": _day(span.last), "days": span.days}


def _day(day: date) -> str:
    return day.isoformat()


# --- what is charged back ---------------------------------------------------------------------


def chargeback(report: BillReport, tag: str) -> str:
    """
    What each value of *tag* is charged in the span, by service, as CSV: the last line is what has no value.

    Together it is the bill of the span, to the cent that rounding leaves. Raises KeyError if the tag was not
    read.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow([safe(tag), "service", "first_day", "last_day", "usd", "metric"])
    span, metric = report.span, report.bill.metric.value
    for value, service, usd in charged_back(report.bill, tag, span):
        about = (_day(span.first), _day(span.last), f"{usd:.2f}", metric)
        writer.writerow([safe(value or UNTAGGED), safe(service), *about])
    return out.getvalue()


def safe(cell: str) -> str:
    """*cell* so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell.startswith(BEGINS_A_FORMULA) else cell
