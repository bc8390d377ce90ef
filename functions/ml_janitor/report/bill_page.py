"""The bill as an HTML page, and as a section of the audit's report. Everything from AWS is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.bill.model import break_down
from ml_janitor.bill.report import BY_PHASE, BillLine, has_table, usd_by_day
from ml_janitor.core.text import escape_text, format_time, format_usd
from ml_janitor.report import charts
from ml_janitor.report.bill import (
    METRIC_WORDS,
    bill_facts,
    bill_headline,
    comparison_text,
    gap_sentences,
    movement_asides,
    mover_rows,
    signed_usd,
    unit_rows,
)
from ml_janitor.report.charts import MOST_GROUPS, DailySeries, Mark, template_environment

if TYPE_CHECKING:
    from ml_janitor.bill.model import Movement
    from ml_janitor.bill.report import BillReport

PAGE_LINES_SHOWN = 12
PAGE_UNITS_SHOWN = 8
CHART_COLOURS = ("others", *(f"group-{number}" for number in range(1, MOST_GROUPS + 1)))
"""Colours that the page's own style lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterfallStep:
    """One bar of the waterfall: its beginning and its width, in percent."""

    amount: str
    what: str
    why: str
    owner: str
    left: float
    width: float
    colour: str


def render_bill_page(report: BillReport, *, by: str = BY_PHASE, max_requests: int) -> str:
    """Render the whole page, with a table *by* something among others."""
    template = template_environment().get_template("bill_page.html.j2")
    return template.render(bill=bill_section(report, by=by, max_requests=max_requests))


def bill_section(report: BillReport, *, by: str = BY_PHASE, max_requests: int) -> dict[str, Any]:
    """Return the values for the bill's template."""
    main, bill = report.main, report.bill
    return {
        "light": {name: charts.LIGHT_COLOURS[name] for name in CHART_COLOURS},
        "dark": {name: charts.DARK_COLOURS[name] for name in CHART_COLOURS},
        "account": escape_text(bill.account),
        "time": format_time(bill.time),
        "headline": bill_headline(report),
        "compared": comparison_text(main) if main else "",
        "metric": METRIC_WORDS[bill.metric],
        "steps": list(waterfall_steps(main)) if main else [],
        "asides": list(movement_asides(main, break_down(main, 0))) if main else [],
        "charts": list(draw_charts(report)) if bill.charges else [],
        "tables": list(bill_tables(report, by)) if bill.charges else [],
        "units": list(unit_rows(report.unit_costs, PAGE_UNITS_SHOWN)),
        "facts": list(bill_facts(report)) if bill.charges else [],
        "missing": list(gap_sentences(bill.gaps, max_requests)),
    }


def waterfall_steps(movement: Movement) -> Iterator[WaterfallStep]:
    """Yield the movers as a waterfall: each begins where the one before it ended."""
    rows = list(mover_rows(movement))
    ends = [Decimal(0)]
    for row in rows:
        ends.append(ends[-1] + row.usd)
    low, high = min(ends), max(ends)
    whole = high - low or Decimal(1)
    for row, start, end in zip(rows, ends, ends[1:], strict=False):
        yield WaterfallStep(
            amount=signed_usd(row.usd),
            what=row.what,
            why=row.why,
            owner=row.owner,
            left=round(float((min(start, end) - low) / whole) * 100, 2),
            width=round(float(abs(row.usd) / whole) * 100, 2),
            colour="risen" if row.usd > 0 else "fallen",
        )


def draw_charts(report: BillReport) -> Iterator[dict[str, Any]]:
    """Yield the charts, each for wide and narrow pages, with its numbers as a table."""
    for number, series in enumerate(bill_series(report)):
        few = series.reduced()
        yield {
            "title": series.title,
            "wide": _svg(series, charts.WIDE_FORM, f"wide-{number}"),
            "narrow": _svg(series, charts.NARROW_FORM, f"narrow-{number}"),
            "names": [escape_text(name, 60) for name in few.groups],
            "table": list(few.table),
        }


def bill_series(report: BillReport) -> Iterator[DailySeries]:
    """Yield daily cost by the first tag that was read, else by phase; and savings by day, if any."""
    if report.main is None:
        days = list(report.span)
    else:
        first = report.main.comparison.before.first
        adjoining = report.main.comparison.before.until == report.span.first
        length = (report.span.until - first).days if adjoining else report.span.days
        days = [report.span.until - timedelta(days=back) for back in range(length, 0, -1)]
    by = (report.main.tag if report.main else "") or BY_PHASE
    groups = {name or f"no {by}": amounts for name, amounts in usd_by_day(report.bill, by, days).items()}
    unsettled = report.main.comparison.unsettled if report.main else ()
    yield DailySeries(
        title=f"Cost by day and {by}, {len(days)} days",
        days=days,
        groups=groups,
        unsettled=len(unsettled),
        marks=[Mark(days[0], "before"), Mark(report.span.first, "now")]
        if days[0] < report.span.first
        else [],
    )
    if report.saved:
        since = min(report.saved)
        saved_days = [since + timedelta(days=n) for n in range((report.bill.until - since).days)]
        amounts = [report.saved.get(day, Decimal(0)) for day in saved_days]
        yield DailySeries(title="Saved by day", days=saved_days, groups={"hours really ended": amounts})


def _svg(series: DailySeries, form: charts.ChartForm, name: str) -> Any:
    from markupsafe import Markup

    return Markup(charts.draw_columns(series, form, id=name))  # noqa: S704 - the chart's own template escapes


def bill_tables(report: BillReport, by: str) -> Iterator[dict[str, Any]]:
    """Yield tables by phase, by the first tag, and by the requested key."""
    tag = report.main.tag if report.main else ""
    for name in dict.fromkeys([BY_PHASE, tag, by]):
        if name and has_table(report.bill, name):
            yield {
                "by": name,
                "compared": report.main is not None,
                "lines": list(_lines(report, name)),
            }


def _lines(report: BillReport, by: str) -> Iterator[dict[str, str]]:
    every = report.table(by)
    shown, rest = every[:PAGE_LINES_SHOWN], every[PAGE_LINES_SHOWN:]
    yield from (_line(escape_text(line.name) or f"no {by}", [line]) for line in shown)
    if rest:
        yield _line(f"{len(rest)} others", rest)
    yield _line("together", every)


def _line(name: str, of: Sequence[BillLine]) -> dict[str, str]:
    now = sum((line.usd for line in of), Decimal(0))
    before = sum((line.usd_before or Decimal(0) for line in of), Decimal(0))
    change = now - before
    return {
        "name": name,
        "before": format_usd(before),
        "now": format_usd(now),
        "change": signed_usd(change) if round(change, 2) else "",
    }
