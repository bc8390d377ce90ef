"""The report for people, drawn by rich: findings by detector, what could not be read, what it adds up to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.findings import NAME_LIMIT, Layout, Row, drawn, hourly, usd
from cli.plain import plain, write
from janitor.model import Finding, Kept, Report, Result, Sweep
from janitor.money import Totals, dearest_first
from janitor.prices import FROM_TABLE

INDENT = 2
REASONS_SHOWN = 4
NAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Part:
    """All sweeps of one detector, whatever their regions."""

    detector: str
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> list[Result]:
        """Their results, dearest first."""
        return sorted((result for sweep in self.sweeps for result in sweep.results), key=dearest_first)

    @property
    def found(self) -> list[Row]:
        """Their findings, dearest first."""
        return [Row(result, result.verdict) for result in self.results if isinstance(result.verdict, Finding)]

    def kept(self, *, unknown: bool) -> list[tuple[Result, Kept]]:
        """What was kept, either because it could not be judged, or for a good reason."""
        return [
            (result, result.verdict)
            for result in self.results
            if isinstance(result.verdict, Kept) and result.verdict.unknown is unknown
        ]


def show(console: Console, report: Report, *, every: bool = False, problems: Sequence[str] = ()) -> None:
    """
    Print *report*; with *every*, each kept resource too.

    *problems* are why prices did not come from the Price List API.
    """
    write(console, drawing(report, width=console.width, every=every, problems=problems))


def drawing(report: Report, *, width: int, every: bool, problems: Sequence[str]) -> Iterator[RenderableType]:
    """The blocks of the report, from the headline to the footnotes."""
    parts = by_detector(report)
    yield headline(report)
    several = len({sweep.region for sweep in report.sweeps}) > 1
    found = [row for part in parts for row in part.found]
    layout = Layout.of(found, now=report.time, width=width - INDENT, regions=several) if found else None
    for part in (part for part in parts if part.results):
        yield section(part, layout, every=every)
    ends = (not_judged(parts), not_complete(report), totals(report, parts), footnotes(report, problems))
    yield from (block for block in ends if block is not None)


def by_detector(report: Report) -> list[Part]:
    """The report's sweeps put together by detector, in the registry's order."""
    names = dict.fromkeys(sweep.detector for sweep in report.sweeps)
    return [Part(name, tuple(s for s in report.sweeps if s.detector == name)) for name in names]


def headline(report: Report) -> RenderableType:
    """What was audited, and in one sentence what came out."""
    regions = dict.fromkeys(sweep.region for sweep in report.sweeps)
    facts = [
        f"account {plain(report.account) if report.account else 'unknown'}",
        *([", ".join(map(plain, regions))] if regions else []),
        report.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "dry run, nothing changed",
    ]
    return Group(
        Text.assemble(("ML Janitor  ", "bold cyan"), (verdict(report), "bold")),
        Text("  ".join(facts), style="dim"),
    )


def verdict(report: Report) -> str:
    """The report in one sentence."""
    if not report.sweeps:
        return "No detector ran."
    found, sums = len(report.findings), Totals.of(report.results)
    broken = [sweep for sweep in report.sweeps if sweep.error is not None]
    if not found and broken:
        read = any(sweep.looked_at for sweep in report.sweeps)
        return "Nothing wasteful in what could be read." if read else "Nothing could be read."
    if not found:
        return "Nothing wasteful found."
    return f"{counted(found, 'finding')}{f': {amounts(sums)}' if amounts(sums) else ''}."


def amounts(sums: Totals) -> str:
    """What some findings cost together, in words; nothing if they cost nothing."""
    said = [f"{usd(sums.monthly_usd)} a month"] if sums.monthly_usd else []
    if sums.accrued_usd:
        said.append(f"{usd(sums.accrued_usd)} so far and {hourly(sums.hourly_usd)}/h more")
    if sums.unpriced:
        said.append(f"{sums.unpriced:,} of unknown price")
    return ", ".join(said)


def section(part: Part, layout: Layout | None, *, every: bool) -> RenderableType:
    """One detector: its findings, and why it kept the rest."""
    found, looked_at = part.found, sum(sweep.looked_at for sweep in part.sweeps)
    sums = Totals.of(part.results)
    counts = f"{len(found)} of {looked_at} found" if found else f"none of {looked_at} found"
    head = Table(box=box.HORIZONTALS, show_edge=False, padding=0, expand=True, border_style="dim")
    head.add_column(Text(plain(part.detector), style="bold cyan"))
    head.add_column(
        Text.assemble(counts, "   " if amounts(sums) else "", (amounts(sums), "bold")), justify="right"
    )
    body: list[RenderableType] = []
    if found and layout:
        body.append(drawn(found, layout))
    if kept := part.kept(unknown=False):
        body.append(kept_one_by_one(kept) if every else kept_in_short(kept))
    return Group(head, Padding(Group(*body), (0, 0, 0, INDENT)))


def kept_in_short(kept: Sequence[tuple[Result, Kept]]) -> RenderableType:
    """The commonest reasons to keep; reasons that differ in numbers and dates only count as one."""
    alike: dict[str, list[str]] = {}
    for _, verdict in kept:
        alike.setdefault(pattern(verdict.reason), []).append(plain(verdict.reason))
    ranked = sorted(alike.values(), key=len, reverse=True)
    shown = ranked if len(ranked) <= REASONS_SHOWN else ranked[: REASONS_SHOWN - 1]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(style="dim")
    for number, reasons in enumerate(shown):
        like = "like: " if len(set(reasons)) > 1 else ""
        table.add_row("kept" if number == 0 else "", str(len(reasons)), f"{like}{reasons[0]}")
    if rest := sum(map(len, ranked[len(shown) :])):
        table.add_row("", str(rest), "for other reasons; --all lists them")
    return table


def pattern(reason: str) -> str:
    """*reason* without its numbers, dates and plurals."""
    words = re.sub(r"\S*\d\S*", "#", reason).split()
    return " ".join(word.rstrip(",.;").removesuffix("s") for word in words)


def kept_one_by_one(kept: Sequence[tuple[Result, Kept]]) -> RenderableType:
    """Every kept resource with its reason."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=40)
    table.add_column(style="dim")
    for number, (result, verdict) in enumerate(kept):
        name = plain(result.target.name, NAME_LIMIT)
        table.add_row("kept" if number == 0 else "", name, plain(verdict.reason))
    return table


def not_judged(parts: Iterable[Part]) -> RenderableType | None:
    """What was kept because a required signal could not be read."""
    alike: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        for result, verdict in part.kept(unknown=True):
            names = alike.setdefault((part.detector, plain(verdict.reason)), [])
            names.append(plain(result.target.name, NAME_LIMIT))
    if not alike:
        return None
    total = sum(map(len, alike.values()))
    rows = [(f"{detector}: {listed(names)}", reason) for (detector, reason), names in alike.items()]
    return block(f"Could not be judged, so kept: {total}", rows, style="yellow")


def not_complete(report: Report) -> RenderableType | None:
    """Sweeps with an error; the same error is said once."""
    alike: dict[str, list[Sweep]] = {}
    for sweep in report.sweeps:
        if sweep.error is not None:
            alike.setdefault(plain(sweep.error), []).append(sweep)
    if not alike:
        return None
    rows = [(where(sweeps, report), error) for error, sweeps in alike.items()]
    broken = sum(map(len, alike.values()))
    title = f"Not complete: {broken} of {counted(len(report.sweeps), 'sweep')}"
    return block(title, rows, style="red")


def where(sweeps: Sequence[Sweep], report: Report) -> str:
    """Which sweeps, in as few words as possible."""
    if len(sweeps) == len(report.sweeps) > 1:
        return "every sweep"
    return ", ".join(f"{plain(sweep.detector)} in {plain(sweep.region)}" for sweep in sweeps)


def block(title: str, rows: Iterable[tuple[str, str]], *, style: str) -> RenderableType:
    """A titled list that stands apart from the findings."""
    lines: list[RenderableType] = [Text(title, style=f"bold {style}")]
    for subject, said in rows:
        lines.append(Padding(Text(subject, overflow="fold"), (0, 0, 0, INDENT)))
        lines.append(Padding(Text(said, style=style), (0, 0, 0, 2 * INDENT)))
    return Group(*lines)


def totals(report: Report, parts: Sequence[Part]) -> RenderableType | None:
    """What it adds up to, detector by detector."""
    if not parts:
        return None
    all_sums = Totals.of(report.results)
    table = Table(
        box=box.HORIZONTALS,
        show_edge=False,
        show_footer=True,
        padding=(0, 1),
        pad_edge=False,
        expand=True,
        border_style="dim",
    )
    table.add_column("detector", "total", header_style="dim", footer_style="bold", ratio=1)
    counts = ("looked_at", "found", "kept", "unknown")
    titles = ("looked at", "found", "kept", "unknown")
    for key, title in zip(counts, titles, strict=True):
        total = sum(getattr(sweep, key) for sweep in report.sweeps)
        table.add_column(title, f"{total:,}", justify="right", header_style="dim", footer_style="bold")
    for title, amount in (("a month", all_sums.monthly_usd), ("so far", all_sums.accrued_usd)):
        table.add_column(title, usd(amount), justify="right", header_style="dim", footer_style="bold")
    for part in parts:
        sums = Totals.of(part.results)
        name = Text(plain(part.detector))
        if any(sweep.error is not None for sweep in part.sweeps):
            name.append(" (not complete)", "red")
        table.add_row(
            name,
            *(f"{sum(getattr(sweep, key) for sweep in part.sweeps):,}" for key in counts),
            usd(sums.monthly_usd) if sums.monthly_usd else "",
            usd(sums.accrued_usd) if sums.accrued_usd else "",
        )
    return table


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
    notes += [f"Prices could not be asked for: {plain(problem)}" for problem in dict.fromkeys(problems)]
    return Group(*(Text(note, style="dim") for note in notes)) if notes else None


def listed(names: Sequence[str]) -> str:
    """Some names and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:NAMES_SHOWN])} and {more:,} more"


def counted(number: int, noun: str) -> str:
    """A number of things: "1 finding", "2 findings"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
