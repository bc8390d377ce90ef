"""Findings drawn for a terminal: what each costs, whose it is, since when, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Confidence, Finding
from ml_janitor.core.results import Result
from ml_janitor.core.text import plain, usd
from ml_janitor.report.finding_words import instead_of, owner, place
from ml_janitor_cli.screen import GAP, Grid

NAME_LIMIT = 240
ERROR_LIMIT = 2_000
OWNER_WIDTH = 28
ROOM_FOR_NAME = 26
"""With less room for names than this beside the other columns, names stand on a line of their own."""


class Row(NamedTuple):
    """One finding with the sweep it is from."""

    result: Result
    finding: Finding


def day(at: datetime) -> str:
    """The day of a time."""
    return at.strftime("%Y-%m-%d")


def since(finding: Finding, now: datetime) -> str:
    """Since when something is waste."""
    if finding.since is None:
        return "since unknown"
    return f"{day(finding.since)}, {ago(now - finding.since)}"


def _since(row: Row, now: datetime) -> str:
    """The same; of advice, which is about no idle resource, nothing where it is unknown."""
    return "" if row.finding.since is None and not row.result.change.ends else since(row.finding, now)


def price(cost: Cost | None) -> tuple[str, ...]:
    """The lines of the cost column."""
    match cost:
        case None:
            return ("-",)
        case Cost(monthly_usd=Decimal() as monthly):
            return usd(monthly), "a month"
        case Cost(accrued_usd=Decimal() as accrued, hourly_usd=rate):
            return usd(accrued), "so far", *([f"{usd(rate)}/h"] if rate is not None else [])
        case Cost(exposure_usd=Decimal() as exposure):
            return usd(exposure), "at risk"
        case _:
            return "price", "unknown"


def paid_once(cost: Cost | None) -> str:
    """What making the change costs once, in a sentence; nothing if it costs nothing."""
    if cost is None or not cost.once_usd:
        return ""
    back = f", paid back in {ago(cost.payback)}" if cost.payback else ""
    return f"Making the change costs {usd(cost.once_usd)} once{back}."


@dataclass(frozen=True, slots=True)
class Layout:
    """
    The widths that all findings of a report share, so that the eye can run down it.

    *facts* are those of owner, since, place (if there are several) and confidence; *name* is None
    where a line is too short to hold a name beside them. What is longer than its column stands on a line
    of its own.
    """

    now: datetime
    cost: int
    room: int
    name: int | None
    facts: tuple[int, ...]
    regions: bool
    accounts: bool

    @classmethod
    def of(
        cls, rows: Sequence[Row], *, now: datetime, width: int, regions: bool, accounts: bool = False
    ) -> Layout:
        """The layout for *rows* in *width* columns."""
        cost = max(cell_len(line) for row in rows for line in price(row.finding.cost))
        whose = max((size for row in rows if (size := cell_len(owner(row.result))) <= OWNER_WIDTH), default=0)
        age = max(cell_len(_since(row, now)) for row in rows)
        at = max(cell_len(place(row.result.target, accounts=accounts)) for row in rows)
        facts = (whose, age, *([at] if regions or accounts else []), len(Confidence.PROVEN))
        room = width - cost - GAP
        left = room - sum(facts) - GAP * len(facts)
        fitting = [size for row in rows if (size := cell_len(_name(row))) <= left]
        name = None if left < ROOM_FOR_NAME else max(ROOM_FOR_NAME, *fitting, 0)
        return cls(now=now, cost=cost, room=room, name=name, facts=facts, regions=regions, accounts=accounts)


def drawn(rows: Sequence[Row], layout: Layout) -> RenderableType:
    """*rows* one below the other; what would be done is said once if it is the same for all."""
    actions = {row.finding.action for row in rows}
    table = Grid()
    table.add_column(justify="right", width=layout.cost, no_wrap=True)
    table.add_column(width=layout.room)
    for row in rows:
        amount, *per = price(row.finding.cost)
        cost = Text("\n").join([Text(amount, style="bold"), *(Text(line, style="dim") for line in per)])
        table.add_row(cost, _body(row, layout, action=len(actions) > 1))
    if len(actions) == 1:
        return Group(table, _action(rows[0]), "")
    return table


def _body(row: Row, layout: Layout, *, action: bool) -> RenderableType:
    """Everything of one finding but its cost."""
    name = Text(_name(row), style="bold", overflow="fold")
    beside = (
        layout.name is not None
        and cell_len(_name(row)) <= layout.name
        and cell_len(owner(row.result)) <= layout.facts[0]
    )
    facts = [
        Text(owner(row.result), style="" if row.result.owner else "dim"),
        Text(_since(row, layout.now)),
        *(
            [Text(place(row.result.target, accounts=layout.accounts))]
            if layout.regions or layout.accounts
            else []
        ),
        Text(row.finding.confidence, style="" if row.finding.confidence is Confidence.PROVEN else "dim"),
    ]
    lines: list[RenderableType] = [name, Text("  ").join(fact for fact in facts if fact)]
    if beside:
        head = Grid()
        for width in (layout.name, *layout.facts):
            head.add_column(width=width, overflow="fold")
        head.add_row(name, *facts)
        lines = [head]
    lines.append(Text(plain(row.finding.reason), overflow="fold"))
    said = [paid_once(row.finding.cost), instead_of(row.result)]
    lines += [Text(one, style="dim", overflow="fold") for one in said if one]
    lines += [
        Text(f"not readable: {plain(seen.signal)} ({plain(seen.error, ERROR_LIMIT)})", style="yellow")
        for seen in row.finding.evidence
        if seen.error is not None
    ]
    return Group(*lines, *([_action(row)] if action else []), "")


def _action(row: Row) -> Text:
    return Text(f"Proposed: {plain(row.finding.action)}", style="cyan")


def _name(row: Row) -> str:
    return plain(row.result.target.name, NAME_LIMIT)
