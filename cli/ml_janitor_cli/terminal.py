"""The report for people, drawn by rich: findings by detector, unreadable resources, and totals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.core.model import Kept
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.text import escape_text, format_usd, shorten_list
from ml_janitor.report import plan as six_weeks
from ml_janitor.report.finding_words import report_scope, work_text
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli.finding_rows import (
    ERROR_LIMIT,
    NAME_LIMIT,
    DetectorSweeps,
    Layout,
    amounts_text,
    draw_findings,
    draw_footnotes,
    draw_totals,
    group_by_detector,
)
from ml_janitor_cli.screen import COLUMN_GAP, Grid, draw_head, draw_title, print_blocks

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
    print_blocks(console, draw_report(report, width=console.width, every=every, problems=problems))


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


def report_summary(report: Report) -> str:
    """Summarize the report in one sentence."""
    if not report.sweeps:
        return "No detector ran."
    found, sums = len(report.findings), Totals.of(report.results)
    if not anything_read(report):
        return "Nothing could be read."
    if not found:
        broken = any(sweep.error is not None for sweep in report.sweeps)
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
    return draw_list("Noticed besides", rows, style="yellow") if rows else None


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
    planned = six_weeks.plan_weeks(report)
    yield Group(
        draw_title("What to do in six weeks", six_weeks.plan_headline(planned)),
        Text(
            "first what saves most a month for an hour of work; how long work takes is a guess", style="dim"
        ),
    )
    for week in planned:
        yield Group(*_week(week))


def _week(week: six_weeks.Week) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f"week {week.number}  {week.title}", "bold cyan"), f"  {six_weeks.week_summary(week)}"
    )
    table = Grid()
    table.add_column(justify="right", max_width=30)
    table.add_column()
    for money, name, how in six_weeks.week_lines(week):
        table.add_row(Text(money, style="bold"), Group(Text(name), Text(how, style="dim")))
    body: list[RenderableType] = [table] if week.changes else []
    body += [Text(said) for said in six_weeks.lines_below_week(week)]
    if week.changes:
        body.append(Text(f"{format_usd(week.by_then)} a month saved by then", style="bold"))
    yield Padding(Group(*body), (0, 0, 0, 2))
