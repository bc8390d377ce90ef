"""The one picture of a bill: what each day cost, by the values of a tag. Pure."""

from __future__ import annotations

from ml_janitor.bill.report import BillReport
from ml_janitor.bill.tables import PHASE, by_day, readable
from ml_janitor.report.charts import PICTURE, columns
from ml_janitor.report.mrkdwn import Picture
from ml_janitor.report.png import png
from ml_janitor.report.series import Series

NAME = "bill.png"


def daily_costs(report: BillReport, tag: str) -> Series:
    """The days of the report's span by the values of *tag*; by phase, where that could not be read."""
    by = tag if readable(report.bill, tag) else PHASE
    days = list(report.span)
    groups = {name or f"no {by}": amounts for name, amounts in by_day(report.bill, by, days).items()}
    unsettled = report.main.comparison.unsettled if report.main else ()
    return Series(title=f"Cost a day by {by}", days=days, groups=groups, unsettled=len(unsettled))


def bill_picture(report: BillReport, tag: str) -> Picture:
    """The same as a PNG."""
    series = daily_costs(report, tag)
    return Picture(name=NAME, png=png(columns(series, PICTURE)), words=series.reduced().description)
