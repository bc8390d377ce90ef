"""The report for people, drawn by rich: findings by detector, unreadable resources, and totals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws.prices import FROM_PRICE_TABLE
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Confidence, Cost, Finding, Kept
from ml_janitor.core.money import Totals, rank_by_worth
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.text import count_noun, escape_text, format_usd, shorten_list
from ml_janitor.report.finding_words import (
    instead_sentence,
    owner_text,
    payback_text,
    place_text,
    report_scope,
    work_text,
)
from ml_janitor.report.plan import Week, lines_below_week, plan_headline, plan_weeks, week_lines, week_summary
from ml_janitor_cli.screen import (
    COLUMN_GAP,
    Grid,
    draw_action,
    draw_head,
    draw_title,
    print_blocks,
    ruled_table,
)

# --- report ---------------------------------------------------------------------------------------

REPORT_INDENT = 2
NAMES_SHOWN = 6
REASONS_SHOWN = 4


def print_report(
    console: Console, report: Report, *, every: bool = False, problems: Sequence[str] = ()
) -> None:
    """
    Print *report*; with *every*, each kept resource too.

    *problems* are why prices did not come from the Price List API.
    """
    print_blocks(draw_report(report, width=console.width, every=every, problems=problems), console)


def draw_report(
    report: Report, *, width: int, every: bool, problems: Sequence[str]
) -> Iterator[RenderableType]:
    """Yield the blocks of the report, from the headline to the footnotes."""
    parts = group_by_detector(report)
    yield draw_report_headline(report)
    several = len({sweep.region for sweep in report.sweeps}) > 1
    found = [row for part in parts for row in part.found]
    accounts = len(report.accounts) > 1
    layout = (
        Layout.of(found, now=report.time, width=width - REPORT_INDENT, regions=several, accounts=accounts)
        if found
        else None
    )
    for part in (part for part in parts if part.results):
        yield draw_detector(part, layout, width=width, every=every, accounts=accounts)
    sums = (
        (draw_totals(report, parts, width), draw_footnotes(report, problems)) if anything_read(report) else ()
    )
    ends = (draw_unjudged(parts, accounts=accounts), draw_notices(report), draw_incomplete(report), *sums)
    yield from (block for block in ends if block is not None)


def draw_report_headline(report: Report) -> RenderableType:
    """Draw the headline: the scope of the audit, and the result in one sentence."""
    regions = dict.fromkeys(sweep.region for sweep in report.sweeps)
    facts = [
        report_scope(report),
        *([shorten_list(list(map(escape_text, regions)), NAMES_SHOWN)] if regions else []),
        report.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "dry run, nothing changed",
    ]
    return Group(
        draw_title("ML Janitor", report_summary(report)),
        Text("  ".join(facts), style="dim"),
    )


EMPTY_SUMMARY = (
    "Nothing was looked at: the detectors judge nothing that is here. --region all looks in every enabled "
    "region."
)


def report_summary(report: Report) -> str:
    """Summarize the report in one sentence."""
    if not report.sweeps:
        return "No detector ran."
    found, sums = len(report.findings), Totals.of(report.results)
    if not anything_read(report):
        return "Nothing could be read."
    if not found:
        broken = any(sweep.error is not None for sweep in report.sweeps)
        if not broken and not any(sweep.looked_at for sweep in report.sweeps):
            return EMPTY_SUMMARY
        return "Nothing wasteful in what could be read." if broken else "Nothing wasteful found."
    return f"{count_noun(found, 'finding')}{f': {amounts_text(sums)}' if amounts_text(sums) else ''}."


def anything_read(report: Report) -> bool:
    """Return whether any sweep came to its end, or saw anything before it broke off."""
    return any(sweep.error is None or sweep.looked_at for sweep in report.sweeps)


def draw_detector(
    part: DetectorSweeps, layout: Layout | None, *, width: int, every: bool, accounts: bool
) -> RenderableType:
    """Draw one detector: its findings, and why it kept the rest."""
    found, looked_at = part.found, sum(sweep.looked_at for sweep in part.sweeps)
    sums = Totals.of(part.results)
    counts = f"{len(found)} of {looked_at} found" if found else f"none of {looked_at} found"
    name = Text(escape_text(part.detector), style="bold cyan")
    summary = Text.assemble(counts, "   " if amounts_text(sums) else "", (amounts_text(sums), "bold"))
    if found:
        summary.append(
            f"   about {work_text(found[0].result)} of work{' each' if len(found) > 1 else ''}", "dim"
        )
    fits = name.cell_len + COLUMN_GAP + summary.cell_len <= width
    above = draw_head(name, summary) if fits else draw_head(Text("\n").join([name, summary]))
    body: list[RenderableType] = []
    if found and layout:
        body.append(draw_findings(found, layout))
    if rest := part.kept(unknown=False):
        body.append(draw_kept(rest, accounts=accounts) if every else draw_kept_reasons(rest))
    return Group(above, Padding(Group(*body), (0, 0, 0, REPORT_INDENT)))


def draw_kept_reasons(kept: Sequence[tuple[Result, Kept]]) -> RenderableType:
    """Draw the commonest reasons to keep; reasons that differ in numbers and dates only count as one."""
    alike: dict[str, list[str]] = {}
    for _, verdict in kept:
        alike.setdefault(reason_pattern(verdict.reason), []).append(escape_text(verdict.reason))
    ranked = sorted(alike.values(), key=len, reverse=True)
    shown = ranked if len(ranked) <= REASONS_SHOWN else ranked[: REASONS_SHOWN - 1]
    table = Grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(style="dim")
    for number, reasons in enumerate(shown):
        like = "like: " if len(set(reasons)) > 1 else ""
        table.add_row("kept" if number == 0 else "", str(len(reasons)), f"{like}{reasons[0]}")
    if rest := sum(map(len, ranked[len(shown) :])):
        table.add_row("", str(rest), "for other reasons; --all lists them")
    return table


def reason_pattern(reason: str) -> str:
    """Return *reason* without its numbers, dates and plurals."""
    words = re.sub(r"\S*\d\S*", "#", reason).split()
    return " ".join(word.rstrip(",.;").removesuffix("s") for word in words)


def draw_kept(kept: Sequence[tuple[Result, Kept]], *, accounts: bool) -> RenderableType:
    """Draw every kept resource with its reason."""
    table = Grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=40)
    table.add_column(style="dim")
    for number, (result, verdict) in enumerate(kept):
        name = kept_name(result, accounts=accounts)
        table.add_row("kept" if number == 0 else "", name, escape_text(verdict.reason))
    return table


def kept_name(result: Result, *, accounts: bool) -> str:
    """Return the name of a kept resource, and its account where the report is about several."""
    account = f" in {escape_text(result.target.account)}" if accounts else ""
    return f"{escape_text(result.target.name, NAME_LIMIT)}{account}"


def draw_unjudged(parts: Iterable[DetectorSweeps], *, accounts: bool) -> RenderableType | None:
    """Draw resources that were kept because a required signal could not be read."""
    alike: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        for result, verdict in part.kept(unknown=True):
            names = alike.setdefault((part.detector, escape_text(verdict.reason)), [])
            names.append(kept_name(result, accounts=accounts))
    if not alike:
        return None
    total = sum(map(len, alike.values()))
    rows = [
        (f"{detector}: {shorten_list(names, NAMES_SHOWN)}", reason)
        for (detector, reason), names in alike.items()
    ]
    return draw_list(f"Could not be judged, so kept: {total}", rows, style="yellow")


def draw_incomplete(report: Report) -> RenderableType | None:
    """Draw sweeps with an error; the same error is drawn once."""
    alike: dict[str, list[Sweep]] = {}
    for sweep in report.sweeps:
        if sweep.error is not None:
            alike.setdefault(escape_text(sweep.error, ERROR_LIMIT), []).append(sweep)
    if not alike:
        return None
    if len(alike) == 1 and not anything_read(report):
        return Text(next(iter(alike)), style="red")
    rows = [(sweeps_text(sweeps, report), error) for error, sweeps in alike.items()]
    broken = sum(map(len, alike.values()))
    return draw_list(
        f"Not complete: {broken} of {count_noun(len(report.sweeps), 'sweep')}", rows, style="red"
    )


def draw_notices(report: Report) -> RenderableType | None:
    """Draw notices of the reading that are neither waste nor an error."""
    rows = [
        (sweeps_text([sweep], report), escape_text(notice))
        for sweep in report.sweeps
        for notice in sweep.notices
    ]
    return draw_list("Also noticed", rows, style="yellow") if rows else None


def sweeps_text(sweeps: Sequence[Sweep], report: Report) -> str:
    """Name sweeps in as few words as possible."""
    if len(sweeps) == len(report.sweeps) > 1:
        return "every sweep"
    if len(report.accounts) <= 1:
        return ", ".join(f"{escape_text(sweep.detector)} in {escape_text(sweep.region)}" for sweep in sweeps)
    places: dict[tuple[str, str], list[str]] = {}
    for sweep in sweeps:
        places.setdefault((str(sweep.account), sweep.region), []).append(escape_text(sweep.detector))
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (account, region), names in places.items():
        alike.setdefault((account, tuple(names)), []).append(escape_text(region))
    every = len({sweep.detector for sweep in report.sweeps})
    return "; ".join(
        f"{'every detector' if len(names) == every else shorten_list(names, NAMES_SHOWN)} in "
        f"{escape_text(account)} "
        f"{shorten_list(regions, NAMES_SHOWN)}"
        for (account, names), regions in alike.items()
    )


def draw_list(heading: str, rows: Iterable[tuple[str, str]], *, style: str) -> RenderableType:
    """Draw a titled list that stands apart from the findings."""
    lines: list[RenderableType] = [Text(heading, style=f"bold {style}")]
    for subject, text in rows:
        lines.append(Padding(Text(subject, overflow="fold"), (0, 0, 0, REPORT_INDENT)))
        lines.append(Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, 2 * REPORT_INDENT)))
    return Group(*lines)


def draw_plan(report: Report) -> Iterator[RenderableType]:
    """Draw the plan, week by week."""
    planned = plan_weeks(report)
    yield Group(
        draw_title("Plan for six weeks", plan_headline(planned)),
        Text(
            "first what saves most a month for an hour of work; how long work takes is a guess", style="dim"
        ),
    )
    for week in planned:
        yield Group(*_week(week))


def _week(week: Week) -> Iterator[RenderableType]:
    yield Text.assemble((f"week {week.number}  {week.title}", "bold cyan"), f"  {week_summary(week)}")
    table = Grid()
    table.add_column(justify="right", max_width=30)
    table.add_column()
    for money, name, how in week_lines(week):
        table.add_row(Text(money, style="bold"), Group(Text(name), Text(how, style="dim")))
    body: list[RenderableType] = [table] if week.changes else []
    body += [Text(said) for said in lines_below_week(week)]
    if week.changes:
        body.append(Text(f"{format_usd(week.by_then)} a month saved by then", style="bold"))
    yield Padding(Group(*body), (0, 0, 0, 2))


# --- sums -----------------------------------------------------------------------------------------


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


# --- findings -------------------------------------------------------------------------------------

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
    """Say since when something is waste; nothing where that is not known."""
    if finding.since is None:
        return ""
    return f"{day_text(finding.since)}, {format_age(now - finding.since)}"


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
    back = f", {payback_text(cost.payback)}" if cost.payback else ""
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
        age = max(cell_len(since_text(row.finding, now)) for row in rows)
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
        return Group(table, draw_action(rows[0].finding.action, layout.room), "")
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
        Text(since_text(row.finding, layout.now)),
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
    return Group(*lines, *([draw_action(row.finding.action, layout.room)] if action else []), "")


def _name(row: FindingRow) -> str:
    return escape_text(row.result.target.name, NAME_LIMIT)
