"""The bill as an HTML page, and as a section of the audit's report. Everything from AWS is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.bill.report import BY_PHASE, usd_by_day
from ml_janitor.core.text import amounts_in, count_noun, escape_text
from ml_janitor.report import charts
from ml_janitor.report.bill import lay_out_bill
from ml_janitor.report.blocks import TableBlock
from ml_janitor.report.charts import MOST_GROUPS, DailySeries, Mark, template_environment

if TYPE_CHECKING:
    from ml_janitor.bill.report import BillReport

CHART_COLOURS = ("others", *(f"group-{number}" for number in range(1, MOST_GROUPS + 1)))
"""Colours that the page's own style lacks."""


def render_bill_page(report: BillReport, *, by: str = BY_PHASE, max_requests: int) -> str:
    """Render the whole page, with a table *by* something among others."""
    template = template_environment().get_template("bill_page.html.j2")
    return template.render(bill=bill_section(report, by=by, max_requests=max_requests))


def bill_section(report: BillReport, *, by: str = BY_PHASE, max_requests: int) -> dict[str, Any]:
    """Return the values for the bill's template: its document, in two parts with the charts between."""
    document = lay_out_bill(report, by=by, max_requests=max_requests)
    first = next(
        (at for at, block in enumerate(document.blocks) if isinstance(block, TableBlock)),
        len(document.blocks),
    )
    with amounts_in(report.bill.currency):
        drawn = list(draw_charts(report)) if report.bill.charges else []
    return {
        "light": {name: charts.LIGHT_COLOURS[name] for name in CHART_COLOURS},
        "dark": {name: charts.DARK_COLOURS[name] for name in CHART_COLOURS},
        "document": document,
        "above": document.blocks[:first],
        "charts": drawn,
        "below": document.blocks[first:],
    }


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
        days = [*report.span, *report.unsettled]
    else:
        first = report.main.comparison.before.first
        adjoining = report.main.comparison.before.until == report.span.first
        length = ((report.span.until - first).days if adjoining else report.span.days) + report.unsettled.days
        days = [report.bill.until - timedelta(days=back) for back in range(length, 0, -1)]
    by = (report.main.tag if report.main else "") or BY_PHASE
    groups = {name or f"no {by}": amounts for name, amounts in usd_by_day(report.bill, by, days).items()}
    yield DailySeries(
        title=f"Cost by day and {by}, {count_noun(len(days), 'day')}",
        days=days,
        groups=groups,
        unsettled=report.unsettled.days,
        marks=[Mark(days[0], "before"), Mark(report.span.first, "now")]
        if days[0] < report.span.first
        else [],
    )
    if report.saved:
        since = min(report.saved)
        saved_days = [since + timedelta(days=n) for n in range((report.bill.until - since).days + 1)]
        amounts = [report.saved.get(day, Decimal(0)) for day in saved_days]
        yield DailySeries(title="Saved by day", days=saved_days, groups={"hours really ended": amounts})


def _svg(series: DailySeries, form: charts.ChartForm, name: str) -> Any:
    from markupsafe import Markup

    return Markup(charts.draw_columns(series, form, id=name))  # noqa: S704 - the chart's own template escapes
