"""The bill drawn for a terminal: why it moved, the table, and notes for its reader."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.bill.movements import Movement, breakdown
from ml_janitor.bill.report import BillReport
from ml_janitor.bill.tables import OWN, Line, readable, together
from ml_janitor.core.text import moment, plain, usd
from ml_janitor.report import bill as words
from ml_janitor.report.bill_gaps import missing
from ml_janitor.report.bill_units import unit_rows
from ml_janitor_cli.screen import Grid, facts, head, ruled, title, write

MOST_LINES = 20
MOST_IN_SHORT = 4
MOST_UNITS = 4
INDENT = (0, 0, 0, 2)


def show(console: Console, report: BillReport, *, by: str, max_requests: int) -> None:
    """Print *report* with a table *by* something."""
    write(console, drawing(report, by=by, max_requests=max_requests))


def drawing(report: BillReport, *, by: str, max_requests: int) -> Iterator[RenderableType]:
    """Yield the blocks of the report, from the headline to the gaps."""
    yield headline(report)
    if report.bill.charges:
        if report.main is not None:
            yield from why(report.main)
        yield from table(report, by)
        yield from units(report)
        yield facts(words.facts(report))
    if gaps := list(missing(report.bill.gaps, max_requests)):
        yield Group(Text("what is missing", style="bold cyan"), *(_noted(gap) for gap in gaps))


def in_short(report: BillReport, *, max_requests: int) -> Iterator[RenderableType]:
    """Yield the block above the findings of an audit: the change, its largest movers, and the gaps."""
    yield title("The bill", words.headline(report))
    if report.main is not None:
        yield _grid(report.main, MOST_IN_SHORT)
    elif gaps := list(missing(report.bill.gaps, max_requests)):
        yield Group(*(_noted(gap) for gap in gaps))


def headline(report: BillReport) -> RenderableType:
    """Draw the headline: the account, the time, and the result in one sentence."""
    compared = words.compared_with(report.main) if report.main else words.spoken(report.span)
    about = [f"account {plain(report.bill.account)}", moment(report.bill.time)]
    if report.bill.charges:
        about += [compared, words.METRICS[report.bill.metric]]
    return Group(
        title("ML Janitor", words.headline(report)),
        Text("  ".join(about[:2]), style="dim"),
        *(Text("; ".join(about[2:]), style="dim") for _ in about[2:3]),
    )


def why(movement: Movement) -> Iterator[RenderableType]:
    """Draw the movers, which add up to the change."""
    said = f"{usd(movement.usd_before)} to {usd(movement.usd_after)}, {words.change(movement)}"
    yield Group(
        head(Text("why it moved", style="bold cyan"), Text(said, style="bold")),
        _grid(movement, words.MOST_MOVERS),
        *(_noted(aside) for aside in words.asides(movement, breakdown(movement, 0))),
    )


def _grid(movement: Movement, most: int) -> RenderableType:
    grid = Grid()
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(ratio=3)
    grid.add_column(ratio=4)
    grid.add_column(no_wrap=True)
    for row in words.rows(movement, most):
        amount = Text(words.signed(row.usd), style="bold" if row.owner or row.why else "")
        grid.add_row(amount, Text(row.what), Text(row.why), Text(row.owner))
    return Padding(grid, INDENT)


def table(report: BillReport, by: str) -> Iterator[RenderableType]:
    """Draw the bill *by* something; nothing where its tag could not be read, which is among the gaps."""
    if not readable(report.bill, by):
        return
    every = report.table(by)
    shown, rest = every[:MOST_LINES], every[MOST_LINES:]
    drawn = ruled(footer=True)
    drawn.add_column(f"by {plain(by)}", "together", header_style="bold cyan", footer_style="bold", ratio=1,
                     overflow="fold")  # fmt: skip
    totals = _cells(together(every))
    for name, total in zip(("before", "now", "change", ""), totals, strict=True):
        drawn.add_column(name, total, justify="right", header_style="dim", footer_style="bold", no_wrap=True)
    for line in shown:
        name = plain(line.name) or ("no service" if by in OWN else f"no {plain(by)}")
        drawn.add_row(Text(name), *_cells(line))
    if rest:
        drawn.add_row(Text(f"{len(rest)} others", style="dim"), *_cells(together(rest)))
    yield drawn


def _cells(line: Line) -> tuple[str, str, str, str]:
    if line.usd_before is None or line.change is None:
        return "", usd(line.usd), "", ""
    share = line.change / line.usd_before if line.usd_before else None
    return (
        usd(line.usd_before),
        usd(line.usd),
        words.signed(line.change) if round(line.change, 2) else "",
        words.percent(share, sign=True) if round(line.change, 2) else "",
    )


def units(report: BillReport) -> Iterator[RenderableType]:
    """Draw the cost of 1,000 requests and of a job; nothing if there were none."""
    every = list(unit_rows(report.unit_costs, MOST_UNITS))
    if not every:
        return
    grid = Grid()
    grid.add_column(ratio=1, overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for row in every:
        grid.add_row(Text(row.what), Text(row.usd), Text(row.units), Text(row.each))
    yield Group(head(Text("what a unit cost", style="bold cyan"), Text("")), Padding(grid, INDENT))


def _noted(text: str) -> RenderableType:
    return Padding(Text(text), INDENT)
