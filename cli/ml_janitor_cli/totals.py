"""Findings by detector and what they add up to, drawn for a terminal, with what a reader has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws.prices import FROM_TABLE
from ml_janitor.core.model import Finding, Kept
from ml_janitor.core.money import Totals, first_to_do
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.text import plain, usd
from ml_janitor.report.mrkdwn import counted
from ml_janitor_cli.finding_rows import ERROR_LIMIT, Row
from ml_janitor_cli.screen import ruled

COUNTS = {"looked_at": "looked at", "found": "found", "kept": "kept", "unknown": "unknown"}
"""The counts of a sweep, and what they are called."""

NUMBERS = 62
"""The width of the columns beside the detectors' names."""


@dataclass(frozen=True, slots=True)
class Part:
    """All sweeps of one detector, whatever their regions."""

    detector: str
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> list[Result]:
        """Their results, what is to be done first at the top."""
        return sorted((result for sweep in self.sweeps for result in sweep.results), key=first_to_do)

    @property
    def found(self) -> list[Row]:
        """Their findings, in the same order."""
        return [Row(result, result.verdict) for result in self.results if isinstance(result.verdict, Finding)]

    def kept(self, *, unknown: bool) -> list[tuple[Result, Kept]]:
        """What was kept, either because it could not be judged, or for a good reason."""
        return [
            (result, result.verdict)
            for result in self.results
            if isinstance(result.verdict, Kept) and result.verdict.unknown is unknown
        ]


def by_detector(report: Report) -> list[Part]:
    """The report's sweeps put together by detector, the one first that has most to do first."""
    names = dict.fromkeys(sweep.detector for sweep in report.sweeps)
    parts = [Part(name, tuple(s for s in report.sweeps if s.detector == name)) for name in names]
    return sorted(parts, key=lambda part: (not part.found, part.found and first_to_do(part.found[0].result)))


def amounts(sums: Totals) -> str:
    """What some findings cost together, in words; nothing if they cost nothing."""
    parts = [f"{usd(sums.monthly_usd)} a month"] if sums.monthly_usd else []
    if sums.accrued_usd:
        parts.append(f"{usd(sums.accrued_usd)} so far and {usd(sums.hourly_usd)}/h more")
    if sums.once_usd:
        parts.append(f"{usd(sums.once_usd)} once")
    if sums.unpriced:
        parts.append(f"{sums.unpriced:,} of unknown price")
    return ", ".join(parts)


def totals(report: Report, parts: Sequence[Part], width: int) -> RenderableType | None:
    """What it adds up to, detector by detector: in a table if *width* has room for one."""
    if not parts:
        return None
    if width < NUMBERS + max(len(part.detector) for part in parts):
        total = Part("total", report.sweeps)
        return Group(*(line for part in (*parts, total) for line in in_words(part)))
    all_sums = Totals.of(report.results)
    table = ruled(footer=True)
    table.add_column("detector", "total", header_style="dim", footer_style="bold", ratio=1, overflow="fold")
    for key, title in COUNTS.items():
        total = sum(getattr(sweep, key) for sweep in report.sweeps)
        table.add_column(title, f"{total:,}", justify="right", header_style="dim", footer_style="bold")
    for title, amount in (("a month", all_sums.monthly_usd), ("so far", all_sums.accrued_usd)):
        table.add_column(
            title, usd(amount) if amount else "$0", justify="right", header_style="dim", footer_style="bold"
        )
    for part in parts:
        sums = Totals.of(part.results)
        name = Text(plain(part.detector))
        if any(sweep.error is not None for sweep in part.sweeps):
            name.append(" (not complete)", "red")
        table.add_row(
            name,
            *(f"{sum(getattr(sweep, key) for sweep in part.sweeps):,}" for key in COUNTS),
            usd(sums.monthly_usd) if sums.monthly_usd else "",
            usd(sums.accrued_usd) if sums.accrued_usd else "",
        )
    return table


def in_words(part: Part) -> list[RenderableType]:
    """What one detector adds up to, in lines that may break."""
    counts = {title: sum(getattr(sweep, key) for sweep in part.sweeps) for key, title in COUNTS.items()}
    parts = [f"{number:,} {title}" for title, number in counts.items()]
    broken = " (not complete)" if any(sweep.error is not None for sweep in part.sweeps) else ""
    sums = amounts(Totals.of(part.results))
    return [
        Text.assemble((plain(part.detector), "bold"), (broken, "red")),
        Padding(Text("; ".join([", ".join(parts), *([sums] if sums else [])])), (0, 0, 0, 2)),
    ]


def footnotes(report: Report, problems: Sequence[str]) -> RenderableType | None:
    """What a reader of the amounts has to know."""
    notes = []
    if unpriced := Totals.of(report.results).unpriced:
        notes.append(f"The sums leave out {counted(unpriced, 'finding')} whose price is unknown.")
    dated = sum(
        FROM_TABLE in row.finding.cost.source
        for part in by_detector(report)
        for row in part.found
        if row.finding.cost is not None and row.finding.cost.known
    )
    if dated:
        notes.append(
            f"{counted(dated, 'finding')} priced from the {FROM_TABLE} that comes with the janitor, "
            "not from AWS's Price List API: today's price may differ."
        )
    notes += [
        f"Prices could not be asked for: {plain(problem, ERROR_LIMIT)}" for problem in dict.fromkeys(problems)
    ]
    return Group(*(Text(note, style="dim") for note in notes)) if notes else None
