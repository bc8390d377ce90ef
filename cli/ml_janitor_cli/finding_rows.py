"""Findings drawn for a terminal: the cost, owner, age and reason of each, and their totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws.prices import FROM_PRICE_TABLE
from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Confidence, Finding, Kept
from ml_janitor.core.money import Totals, rank_by_worth
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.text import escape_text, format_usd
from ml_janitor.report.finding_words import instead_sentence, owner_text, place_text
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli.screen import COLUMN_GAP, Grid, ruled_table

NAME_LIMIT = 240
ERROR_LIMIT = 2_000
OWNER_WIDTH = 28
ROOM_FOR_NAME = 26
"""Width below which names move from beside the other columns to a line of their own."""


SWEEP_COUNTS = {"looked_at": "looked at", "found": "found", "kept": "kept", "unknown": "unknown"}
"""The counts of a sweep, and their names."""

NUMBERS_WIDTH = 62
"""The width of the columns beside the detectors' names."""


class FindingRow(NamedTuple):
    """One finding with the sweep it is from."""

    result: Result
    finding: Finding


def day_text(at: datetime) -> str:
    """Format the day of a time."""
    return at.strftime("%Y-%m-%d")


def since_text(finding: Finding, now: datetime) -> str:
    """Say since when something is waste."""
    if finding.since is None:
        return "since unknown"
    return f"{day_text(finding.since)}, {format_age(now - finding.since)}"


def _since(row: FindingRow, now: datetime) -> str:
    """Say since when; nothing for advice without a date, which is not about an idle resource."""
    return "" if row.finding.since is None and not row.result.change.ends else since_text(row.finding, now)


def price_lines(cost: Cost | None) -> tuple[str, ...]:
    """Return the lines of the cost column."""
    match cost:
        case None:
            return ("-",)
        case Cost(monthly_usd=Decimal() as monthly):
            return format_usd(monthly), "a month"
        case Cost(accrued_usd=Decimal() as accrued, hourly_usd=rate):
            return format_usd(accrued), "so far", *([f"{format_usd(rate)}/h"] if rate is not None else [])
        case Cost(exposure_usd=Decimal() as exposure):
            return format_usd(exposure), "at risk"
        case _:
            return "price", "unknown"


def once_sentence(cost: Cost | None) -> str:
    """Say in a sentence what the change costs once; nothing if it costs nothing."""
    if cost is None or not cost.once_usd:
        return ""
    back = f", paid back in {format_age(cost.payback)}" if cost.payback else ""
    return f"Making the change costs {format_usd(cost.once_usd)} once{back}."


@dataclass(frozen=True, slots=True)
class Layout:
    """
    The widths that all findings of a report share, so that the eye can run down it.

    *facts* are those of owner, since, place (if there are several) and confidence; *name* is None where a
    line is too short to hold a name beside them. Text that is longer than its column stands on a line of its
    own.
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
        cls, rows: Sequence[FindingRow], *, now: datetime, width: int, regions: bool, accounts: bool = False
    ) -> Layout:
        """Compute the layout for *rows* in *width* columns."""
        cost = max(cell_len(line) for row in rows for line in price_lines(row.finding.cost))
        whose = max(
            (size for row in rows if (size := cell_len(owner_text(row.result))) <= OWNER_WIDTH), default=0
        )
        age = max(cell_len(_since(row, now)) for row in rows)
        at = max(cell_len(place_text(row.result.target, accounts=accounts)) for row in rows)
        facts = (whose, age, *([at] if regions or accounts else []), len(Confidence.PROVEN))
        room = width - cost - COLUMN_GAP
        left = room - sum(facts) - COLUMN_GAP * len(facts)
        fitting = [size for row in rows if (size := cell_len(_name(row))) <= left]
        name = None if left < ROOM_FOR_NAME else max(ROOM_FOR_NAME, *fitting, 0)
        return cls(now=now, cost=cost, room=room, name=name, facts=facts, regions=regions, accounts=accounts)


def draw_findings(rows: Sequence[FindingRow], layout: Layout) -> RenderableType:
    """Draw *rows* one below the other; an action that is the same for all is drawn once."""
    actions = {row.finding.action for row in rows}
    table = Grid()
    table.add_column(justify="right", width=layout.cost, no_wrap=True)
    table.add_column(width=layout.room)
    for row in rows:
        amount, *per = price_lines(row.finding.cost)
        cost = Text("\n").join([Text(amount, style="bold"), *(Text(line, style="dim") for line in per)])
        table.add_row(cost, _body(row, layout, action=len(actions) > 1))
    if len(actions) == 1:
        return Group(table, _action(rows[0]), "")
    return table


def _body(row: FindingRow, layout: Layout, *, action: bool) -> RenderableType:
    """Draw everything of one finding but its cost."""
    name = Text(_name(row), style="bold", overflow="fold")
    beside = (
        layout.name is not None
        and cell_len(_name(row)) <= layout.name
        and cell_len(owner_text(row.result)) <= layout.facts[0]
    )
    facts = [
        Text(owner_text(row.result), style="" if row.result.owner else "dim"),
        Text(_since(row, layout.now)),
        *(
            [Text(place_text(row.result.target, accounts=layout.accounts))]
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
    lines.append(Text(escape_text(row.finding.reason), overflow="fold"))
    notes = [once_sentence(row.finding.cost), instead_sentence(row.result)]
    lines += [Text(note, style="dim", overflow="fold") for note in notes if note]
    lines += [
        Text(
            f"not readable: {escape_text(seen.signal)} ({escape_text(seen.error, ERROR_LIMIT)})",
            style="yellow",
        )
        for seen in row.finding.evidence
        if seen.error is not None
    ]
    return Group(*lines, *([_action(row)] if action else []), "")


def _action(row: FindingRow) -> Text:
    return Text(f"Proposed: {escape_text(row.finding.action)}", style="cyan")


def _name(row: FindingRow) -> str:
    return escape_text(row.result.target.name, NAME_LIMIT)


# --- all of a detector, and of a report -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DetectorSweeps:
    """All sweeps of one detector, whatever their regions."""

    detector: str
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> list[Result]:
        """Return their results, the most urgent at the top."""
        return sorted((result for sweep in self.sweeps for result in sweep.results), key=rank_by_worth)

    @property
    def found(self) -> list[FindingRow]:
        """Return their findings, in the same order."""
        return [
            FindingRow(result, result.verdict)
            for result in self.results
            if isinstance(result.verdict, Finding)
        ]

    def kept(self, *, unknown: bool) -> list[tuple[Result, Kept]]:
        """Return kept resources, either those that could not be judged, or those with a good reason."""
        return [
            (result, result.verdict)
            for result in self.results
            if isinstance(result.verdict, Kept) and result.verdict.unknown is unknown
        ]


def group_by_detector(report: Report) -> list[DetectorSweeps]:
    """Group the report's sweeps by detector, the detector with the most urgent finding first."""
    names = dict.fromkeys(sweep.detector for sweep in report.sweeps)
    parts = [DetectorSweeps(name, tuple(s for s in report.sweeps if s.detector == name)) for name in names]
    return sorted(
        parts, key=lambda part: (not part.found, part.found and rank_by_worth(part.found[0].result))
    )


def amounts_text(sums: Totals) -> str:
    """Add up the cost of findings, in words; nothing if they cost nothing."""
    parts = [f"{format_usd(sums.monthly_usd)} a month"] if sums.monthly_usd else []
    if sums.accrued_usd:
        parts.append(f"{format_usd(sums.accrued_usd)} so far and {format_usd(sums.hourly_usd)}/h more")
    if sums.once_usd:
        parts.append(f"{format_usd(sums.once_usd)} once")
    if sums.unpriced:
        parts.append(f"{sums.unpriced:,} of unknown price")
    return ", ".join(parts)


def draw_totals(report: Report, parts: Sequence[DetectorSweeps], width: int) -> RenderableType | None:
    """Draw the totals, detector by detector: in a table if *width* has room for one."""
    if not parts:
        return None
    if width < NUMBERS_WIDTH + max(len(part.detector) for part in parts):
        total = DetectorSweeps("total", report.sweeps)
        return Group(*(line for part in (*parts, total) for line in totals_in_words(part)))
    all_sums = Totals.of(report.results)
    table = ruled_table(footer=True)
    table.add_column("detector", "total", header_style="dim", footer_style="bold", ratio=1, overflow="fold")
    for key, title in SWEEP_COUNTS.items():
        total = sum(getattr(sweep, key) for sweep in report.sweeps)
        table.add_column(title, f"{total:,}", justify="right", header_style="dim", footer_style="bold")
    for title, amount in (("a month", all_sums.monthly_usd), ("so far", all_sums.accrued_usd)):
        table.add_column(
            title,
            format_usd(amount) if amount else "$0",
            justify="right",
            header_style="dim",
            footer_style="bold",
        )
    for part in parts:
        sums = Totals.of(part.results)
        name = Text(escape_text(part.detector))
        if any(sweep.error is not None for sweep in part.sweeps):
            name.append(" (not complete)", "red")
        table.add_row(
            name,
            *(f"{sum(getattr(sweep, key) for sweep in part.sweeps):,}" for key in SWEEP_COUNTS),
            format_usd(sums.monthly_usd) if sums.monthly_usd else "",
            format_usd(sums.accrued_usd) if sums.accrued_usd else "",
        )
    return table


def totals_in_words(part: DetectorSweeps) -> list[RenderableType]:
    """Draw the totals of one detector, in lines that may break."""
    counts = {title: sum(getattr(sweep, key) for sweep in part.sweeps) for key, title in SWEEP_COUNTS.items()}
    parts = [f"{number:,} {title}" for title, number in counts.items()]
    broken = " (not complete)" if any(sweep.error is not None for sweep in part.sweeps) else ""
    sums = amounts_text(Totals.of(part.results))
    return [
        Text.assemble((escape_text(part.detector), "bold"), (broken, "red")),
        Padding(Text("; ".join([", ".join(parts), *([sums] if sums else [])])), (0, 0, 0, 2)),
    ]


def draw_footnotes(report: Report, problems: Sequence[str]) -> RenderableType | None:
    """Draw notes for a reader of the amounts."""
    notes = []
    if unpriced := Totals.of(report.results).unpriced:
        notes.append(f"The sums leave out {count_noun(unpriced, 'finding')} whose price is unknown.")
    dated = sum(
        FROM_PRICE_TABLE in row.finding.cost.source
        for part in group_by_detector(report)
        for row in part.found
        if row.finding.cost is not None and row.finding.cost.known
    )
    if dated:
        notes.append(
            f"{count_noun(dated, 'finding')} priced from the {FROM_PRICE_TABLE} that comes with the janitor, "
            "not from AWS's Price List API: today's price may differ."
        )
    notes += [
        f"Prices could not be asked for: {escape_text(problem, ERROR_LIMIT)}"
        for problem in dict.fromkeys(problems)
    ]
    return Group(*(Text(note, style="dim") for note in notes)) if notes else None
