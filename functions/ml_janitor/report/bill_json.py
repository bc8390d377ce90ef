"""The bill for programs: one JSON document, described by docs/schemas/bill.json, and a CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from typing import TYPE_CHECKING, Any

from ml_janitor.bill.report import chargeback_lines, has_table
from ml_janitor.core.text import amounts_in, quote_cell
from ml_janitor.report.bill import gap_sentence, mover_line
from ml_janitor.report.json import iso_time, usd_number

if TYPE_CHECKING:
    from ml_janitor.bill.model import Culprit, DaySpan, Movement, Mover
    from ml_janitor.bill.report import BillReport, TagShare, UnitCost

BILL_VERSION = 1
UNTAGGED_CELL = "(untagged)"
"""Characters that make a spreadsheet run a cell (OWASP, "CSV Injection")."""


def bill_json_text(report: BillReport, *, by: str) -> str:
    """Return `bill_document` as JSON text, in ASCII: names from AWS must not steer a terminal."""
    return json.dumps(bill_document(report, by=by), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def bill_document(report: BillReport, *, by: str) -> dict[str, Any]:
    """Return *report* with its table *by* something, as plain JSON values; dollars are rounded to cents."""
    with amounts_in(report.bill.currency):
        return _values(report, by)


def _values(report: BillReport, by: str) -> dict[str, Any]:
    bill, main = report.bill, report.main
    found = bill.forecast
    return {
        "schema_version": BILL_VERSION,
        "time": iso_time(bill.time),
        "account": bill.account,
        "metric": bill.metric.value,
        "currency": bill.currency,
        "span": _span(report.span),
        "usd": usd_number(bill.total(report.span)) if bill.charges else None,
        "estimated": [_day(day) for day in sorted(bill.estimated) if day in report.span],
        "movement": main and _movement(main),
        "yesterday": report.yesterday and _movement(report.yesterday),
        "month": report.month and _movement(report.month),
        "table": _table(report, by),
        "untagged": [_share(share) for share in report.shares],
        "outside": [
            {"record_type": name, "usd": usd_number(usd)} for name, usd in bill.outside(report.span).items()
        ],
        "unit_costs": [_unit_cost(cost) for cost in report.unit_costs],
        "forecast": found
        and {
            "first": _day(found.first),
            "until": _day(found.until),
            "usd": usd_number(found.usd),
            "low_usd": usd_number(found.low),
            "high_usd": usd_number(found.high),
        },
        "saved": {
            "this_month_usd": usd_number(report.saved_this_month),
            "by_day": [
                {"day": _day(day), "usd": usd_number(usd)} for day, usd in sorted(report.saved.items())
            ],
        },
        "missing": [
            {
                "reading": gap.reading.value,
                "cause": gap.cause.value,
                "subject": gap.subject or None,
                "text": gap_sentence(gap),
            }
            for gap in bill.gaps
        ],
        "requests": bill.requests,
        "requests_usd": usd_number(bill.read_usd),
    }


def _table(report: BillReport, by: str) -> dict[str, Any] | None:
    """Return the table, or None where the tag for it could not be read."""
    if not has_table(report.bill, by):
        return None
    return {
        "by": by,
        "lines": [
            {
                "name": line.name or None,
                "usd": usd_number(line.usd),
                "usd_before": usd_number(line.usd_before),
            }
            for line in report.table(by)
        ],
    }


def _movement(movement: Movement) -> dict[str, Any]:
    return {
        "before": _span(movement.comparison.before),
        "after": _span(movement.comparison.after),
        "unsettled": [],  # all compared days are settled
        "usd_before": usd_number(movement.usd_before),
        "usd_after": usd_number(movement.usd_after),
        "change_usd": usd_number(movement.change),
        "share": None if movement.share is None else round(float(movement.share), 4),
        "tag": movement.tag or None,
        "ended_credits_usd": usd_number(movement.ended_credits),
        "movers": [_mover(mover, movement) for mover in movement.movers],
    }


def _mover(mover: Mover, movement: Movement) -> dict[str, Any]:
    return {
        "usd": usd_number(mover.usd),
        "cause": mover.cause.value,
        "text": mover_line(mover, movement),
        "owner": mover.owner,
        "ordinary": mover.ordinary,
        "usage_type": mover.part.usage_type,
        "region": mover.part.region,
        "phase": mover.part.phase.value,
        "tag_value": mover.part.tag or None,
        "tag_value_before": mover.tag_before or None,
        "units": float(mover.units_after),
        "units_before": float(mover.units_before),
        "unit": mover.part.unit,
        "resource": mover.culprit and _resource(mover.culprit),
    }


def _resource(culprit: Culprit) -> dict[str, Any]:
    return {
        "arn": culprit.arn,
        "name": culprit.name,
        "kind": culprit.kind,
        "members": culprit.members,
        "since": iso_time(culprit.since),
        "ended": iso_time(culprit.ended),
        "usd_until_now": usd_number(culprit.usd_until_now),
        "detector": culprit.detector or None,
        "in_use": culprit.used,
        "acted": culprit.acted,
    }


def _unit_cost(cost: UnitCost) -> dict[str, Any]:
    return {
        "kind": cost.kind,
        "name": cost.name,
        "resource": cost.resource,
        "region": cost.region,
        "usd": usd_number(cost.usd),
        "units": cost.units,
        "unit": cost.unit,
        "per": cost.per,
        "usd_per": None if cost.per_unit is None else round(float(cost.per_unit), 6),
        "usd_per_before": None if cost.before is None else round(float(cost.before), 6),
        "notes": [note.value for note in cost.notes],
    }


def _share(share: TagShare) -> dict[str, Any]:
    return {
        "tag": share.tag,
        "usd": usd_number(share.untagged),
        "share": None if share.share is None else round(float(share.share), 4),
        "share_before": None if share.share_before is None else round(float(share.share_before), 4),
    }


def _span(span: DaySpan) -> dict[str, Any]:
    return {"first": _day(span.first), "last": _day(span.last), "days": span.days}


def _day(day: date) -> str:
    return day.isoformat()


# --- chargeback as CSV ----------------------------------------------------------------------------


def chargeback_csv(report: BillReport, tag: str) -> str:
    """
    Write the charges of each value of *tag* in the span, by service, as CSV; the last line has untagged
    charges.

    The lines add up to the bill of the span, apart from rounding to cents. Raises KeyError if the tag was not
    read.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow([quote_cell(tag), "service", "first_day", "last_day", "usd", "metric"])
    span, metric = report.span, report.bill.metric.value
    for value, service, usd in chargeback_lines(report.bill, tag, span):
        about = (_day(span.first), _day(span.last), f"{usd:.2f}", metric)
        writer.writerow([quote_cell(value or UNTAGGED_CELL), quote_cell(service), *about])
    return out.getvalue()
