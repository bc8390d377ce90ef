"""Findings drawn for a terminal: what each costs, whose it is, since when, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.plain import plain
from janitor.durations import ago
from janitor.model import Confidence, Cost, Finding, Result

GAP = 2
NAME_LIMIT = 240
OWNER_LIMIT = 60
OWNER_WIDTH = 22
ROOM_FOR_NAME = 28
"""With less room for names than this beside the other columns, those move to a line of their own."""

NOBODY = "no owner"


class Row(NamedTuple):
    """One finding with the sweep it is from."""

    result: Result
    finding: Finding


def usd(amount: Decimal) -> str:
    """Whole dollars, as a reader compares them."""
    if 0 < amount < 1:
        return "<$1"
    return f"${amount.quantize(Decimal(1), ROUND_HALF_UP):,}"


def hourly(amount: Decimal) -> str:
    """Dollars an hour, which are few enough to have cents."""
    return f"${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def day(at: datetime) -> str:
    """The day of a time."""
    return at.strftime("%Y-%m-%d")


def since(finding: Finding, now: datetime) -> str:
    """Since when something is waste."""
    if finding.since is None:
        return "since unknown"
    return f"{day(finding.since)}, {ago(now - finding.since)}"


def price(cost: Cost | None) -> tuple[str, str]:
    """The two lines of the cost column."""
    match cost:
        case None:
            return "-", ""
        case Cost(monthly_usd=Decimal() as monthly):
            return usd(monthly), "a month"
        case Cost(accrued_usd=Decimal() as accrued, hourly_usd=rate):
            return f"{usd(accrued)} so far", f"{hourly(rate)} an hour" if rate is not None else ""
        case _:
            return "price", "unknown"


def drawn(rows: Sequence[Row], *, now: datetime, width: int, regions: bool) -> RenderableType:
    """*rows* as one aligned list, *width* columns wide; with *regions*, each says where it is."""
    prices = [price(row.finding.cost) for row in rows]
    cost_width = max(cell_len(line) for lines in prices for line in lines)
    room = width - cost_width - GAP
    columns = _columns(rows, now, room, regions=regions)
    one_action = len({row.finding.action for row in rows}) == 1
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(justify="right", width=cost_width, no_wrap=True)
    table.add_column(width=room)
    for row, (amount, per) in zip(rows, prices, strict=True):
        cost = Text.assemble((amount, "bold"), "\n", (per, "dim"))
        table.add_row(cost, _body(row, columns, now, regions=regions, action=not one_action))
    if one_action:
        return Group(table, Text(f"Proposed: {plain(rows[0].finding.action)}", style="cyan"))
    return table


def _columns(rows: Sequence[Row], now: datetime, room: int, *, regions: bool) -> tuple[int, ...] | None:
    """The widths of name, owner, since, region and confidence; None if a line is too short for them."""
    owner = min(OWNER_WIDTH, max(cell_len(_owner(row)) for row in rows))
    age = max(cell_len(since(row.finding, now)) for row in rows)
    region = max(cell_len(row.result.target.region) for row in rows) if regions else 0
    fixed = [owner, age, *([region] if regions else []), len(Confidence.PROVEN)]
    left = room - sum(fixed) - GAP * len(fixed)
    if left < ROOM_FOR_NAME:
        return None
    longest = max(cell_len(_name(row)) for row in rows)
    return (min(left, max(longest, ROOM_FOR_NAME)), *fixed)


def _body(
    row: Row, columns: tuple[int, ...] | None, now: datetime, *, regions: bool, action: bool
) -> RenderableType:
    """Everything of one finding but its cost."""
    name = Text(_name(row), style="bold", overflow="fold")
    facts = [_owner_text(row), Text(since(row.finding, now))]
    facts += [Text(plain(row.result.target.region))] if regions else []
    facts += [_confidence(row.finding.confidence)]
    lines: list[RenderableType]
    if columns is None:
        lines = [name, Text(", ").join(facts)]
    else:
        head = Table.grid(padding=(0, GAP, 0, 0))
        for width in columns:
            head.add_column(width=width, overflow="fold")
        head.add_row(name, *facts)
        lines = [head]
    lines.append(Text(plain(row.finding.reason)))
    lines += [
        Text(f"could not read {plain(seen.signal)}: {plain(seen.error)}", style="yellow")
        for seen in row.finding.evidence
        if seen.error is not None
    ]
    if action:
        lines.append(Text(f"Proposed: {plain(row.finding.action)}", style="cyan"))
    return Group(*lines)


def _name(row: Row) -> str:
    return plain(row.result.target.name, NAME_LIMIT)


def _owner(row: Row) -> str:
    return plain(row.result.owner, OWNER_LIMIT) if row.result.owner else NOBODY


def _owner_text(row: Row) -> Text:
    return Text(_owner(row), style="" if row.result.owner else "dim")


def _confidence(confidence: Confidence) -> Text:
    return Text(confidence.value, style="" if confidence is Confidence.PROVEN else "dim")
