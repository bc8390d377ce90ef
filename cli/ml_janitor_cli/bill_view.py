"""The bill drawn for a terminal: why it moved, the table, and notes for its reader."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.bill.movements import Movement, break_down
from ml_janitor.bill.report import BillReport
from ml_janitor.bill.tables import OWN_TABLES, BillLine, has_table, sum_lines
from ml_janitor.core.text import escape_text, format_time, format_usd
from ml_janitor.report import bill as words
from ml_janitor.report.bill_gaps import gap_sentences
from ml_janitor.report.bill_units import unit_rows
from ml_janitor_cli.screen import Grid, draw_facts, draw_head, draw_title, print_blocks, ruled_table

BILL_ROWS_SHOWN = 20
MOVERS_IN_SHORT = 4
UNIT_COSTS_SHOWN = 4
BILL_INDENT = (0, 0, 0, 2)


def print_bill(console: Console, report: BillReport, *, by: str, max_requests: int) -> None:
    """Print *report* with a table *by* something."""
    print_blocks(console, draw_bill(report, by=by, max_requests=max_requests))


def draw_bill(report: BillReport, *, by: str, max_requests: int) -> Iterator[RenderableType]:
    """Yield the blocks of the report, from the headline to the gaps."""
    yield draw_bill_headline(report)
    if report.bill.charges:
        if report.main is not None:
            yield from draw_movement(report.main)
        yield from draw_bill_table(report, by)
        yield from draw_unit_costs(report)
        yield draw_facts(words.bill_facts(report))
    if gaps := list(gap_sentences(report.bill.gaps, max_requests)):
        yield Group(Text("what is missing", style="bold cyan"), *(_noted(gap) for gap in gaps))


def draw_bill_summary(report: BillReport, *, max_requests: int) -> Iterator[RenderableType]:
    """Yield the block above the findings of an audit: the change, its largest movers, and the gaps."""
    yield draw_title("The bill", words.bill_headline(report))
    if report.main is not None:
        yield _grid(report.main, MOVERS_IN_SHORT)
    elif gaps := list(gap_sentences(report.bill.gaps, max_requests)):
        yield Group(*(_noted(gap) for gap in gaps))


def draw_bill_headline(report: BillReport) -> RenderableType:
    """Draw the headline: the account, the time, and the result in one sentence."""
    compared = words.comparison_text(report.main) if report.main else words.span_text(report.span)
    about = [f"account {escape_text(report.bill.account)}", format_time(report.bill.time)]
    if report.bill.charges:
        about += [compared, words.METRIC_WORDS[report.bill.metric]]
    return Group(
        draw_title("ML Janitor", words.bill_headline(report)),
        Text("  ".join(about[:2]), style="dim"),
        *(Text("; ".join(about[2:]), style="dim") for _ in about[2:3]),
    )


def draw_movement(movement: Movement) -> Iterator[RenderableType]:
    """Draw the movers, which add up to the change."""
    said = (
        f"{format_usd(movement.usd_before)} to {format_usd(movement.usd_after)}, "
        f"{words.change_text(movement)}"
    )
    yield Group(
        draw_head(Text("why it moved", style="bold cyan"), Text(said, style="bold")),
        _grid(movement, words.MOST_MOVERS),
        *(_noted(aside) for aside in words.movement_asides(movement, break_down(movement, 0))),
    )


def _grid(movement: Movement, most: int) -> RenderableType:
    grid = Grid()
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(ratio=3)
    grid.add_column(ratio=4)
    grid.add_column(no_wrap=True)
    for row in words.mover_rows(movement, most):
        amount = Text(words.signed_usd(row.usd), style="bold" if row.owner or row.why else "")
        grid.add_row(amount, Text(row.what), Text(row.why), Text(row.owner))
    return Padding(grid, BILL_INDENT)


def draw_bill_table(report: BillReport, by: str) -> Iterator[RenderableType]:
    """Draw the bill *by* something; nothing where its tag could not be read, which is among the gaps."""
    if not has_table(report.bill, by):
        return
    every = report.table(by)
    shown, rest = every[:BILL_ROWS_SHOWN], every[BILL_ROWS_SHOWN:]
    drawn = ruled_table(footer=True)
    drawn.add_column(f"by {escape_text(by)}", "together", header_style="bold "
    "cyan", footer_style="bold", ratio=1,
                     overflow="fold")  # fmt: skip
    totals = _cells(sum_lines(every))
    for name, total in zip(("before", "now", "change", ""), totals, strict=True):
        drawn.add_column(name, total, justify="right", header_style="dim", footer_style="bold", no_wrap=True)
    for line in shown:
        name = escape_text(line.name) or ("no service" if by in OWN_TABLES else f"no {escape_text(by)}")
        drawn.add_row(Text(name), *_cells(line))
    if rest:
        drawn.add_row(Text(f"{len(rest)} others", style="dim"), *_cells(sum_lines(rest)))
    yield drawn


def _cells(line: BillLine) -> tuple[str, str, str, str]:
    if line.usd_before is None or line.change is None:
        return "", format_usd(line.usd), "", ""
    share = line.change / line.usd_before if line.usd_before else None
    return (
        format_usd(line.usd_before),
        format_usd(line.usd),
        words.signed_usd(line.change) if round(line.change, 2) else "",
        words.percent_text(share, sign=True) if round(line.change, 2) else "",
    )


def draw_unit_costs(report: BillReport) -> Iterator[RenderableType]:
    """Draw the cost of 1,000 requests and of a job; nothing if there were none."""
    every = list(unit_rows(report.unit_costs, UNIT_COSTS_SHOWN))
    if not every:
        return
    grid = Grid()
    grid.add_column(ratio=1, overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for row in every:
        grid.add_row(Text(row.what), Text(row.usd), Text(row.units), Text(row.each))
    yield Group(draw_head(Text("what a unit cost", style="bold cyan"), Text("")), Padding(grid, BILL_INDENT))


def _noted(text: str) -> RenderableType:
    return Padding(Text(text), BILL_INDENT)
