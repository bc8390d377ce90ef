"""Six weeks of work drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.core.results import Report
from ml_janitor.core.text import usd
from ml_janitor.report.plan import Week, below, headline, lines, summary, weeks
from ml_janitor_cli.screen import Grid


def drawing(report: Report) -> Iterator[RenderableType]:
    """The plan, week by week."""
    planned = weeks(report)
    yield Group(
        Text.assemble(("What to do in six weeks  ", "bold cyan"), (headline(planned), "bold")),
        Text(
            "first what saves most a month for an hour of work; how long work takes is a guess", style="dim"
        ),
    )
    for week in planned:
        yield Group(*_week(week))


def _week(week: Week) -> Iterator[RenderableType]:
    yield Text.assemble((f"week {week.number}  {week.title}", "bold cyan"), f"  {summary(week)}")
    table = Grid()
    table.add_column(justify="right", max_width=30)
    table.add_column()
    for money, name, how in lines(week):
        table.add_row(Text(money, style="bold"), Group(Text(name), Text(how, style="dim")))
    body: list[RenderableType] = [table] if week.changes else []
    body += [Text(said) for said in below(week)]
    if week.changes:
        body.append(Text(f"{usd(week.by_then)} a month saved by then", style="bold"))
    yield Padding(Group(*body), (0, 0, 0, 2))
