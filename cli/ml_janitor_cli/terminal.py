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
from ml_janitor.core.text import plain, some, usd
from ml_janitor.report import plan as six_weeks
from ml_janitor.report.finding_words import whose, work
from ml_janitor.report.mrkdwn import counted
from ml_janitor_cli.finding_rows import (
    ERROR_LIMIT,
    NAME_LIMIT,
    Layout,
    Part,
    amounts,
    by_detector,
    drawn,
    footnotes,
    totals,
)
from ml_janitor_cli.screen import GAP, Grid, head, title, write

INDENT = 2
SHOWN = 6
REASONS_SHOWN = 4


def show(console: Console, report: Report, *, every: bool = False, problems: Sequence[str] = ()) -> None:
    """
    Print *report*; with *every*, each kept resource too.

    *problems* are why prices did not come from the Price List API.
    """
    write(console, drawing(report, width=console.width, every=every, problems=problems))


def drawing(report: Report, *, width: int, every: bool, problems: Sequence[str]) -> Iterator[RenderableType]:
    """Yield the blocks of the report, from the headline to the footnotes."""
    parts = by_detector(report)
    yield headline(report)
    several = len({sweep.region for sweep in report.sweeps}) > 1
    found = [row for part in parts for row in part.found]
    accounts = len(report.accounts) > 1
    layout = (
        Layout.of(found, now=report.time, width=width - INDENT, regions=several, accounts=accounts)
        if found
        else None
    )
    for part in (part for part in parts if part.results):
        yield section(part, layout, width=width, every=every, accounts=accounts)
    sums = (totals(report, parts, width), footnotes(report, problems)) if anything_read(report) else ()
    ends = (not_judged(parts, accounts=accounts), noticed(report), not_complete(report), *sums)
    yield from (block for block in ends if block is not None)


def headline(report: Report) -> RenderableType:
    """Draw the headline: the scope of the audit, and the result in one sentence."""
    regions = dict.fromkeys(sweep.region for sweep in report.sweeps)
    facts = [
        whose(report),
        *([some(list(map(plain, regions)), SHOWN)] if regions else []),
        report.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "dry run, nothing changed",
    ]
    return Group(
        title("ML Janitor", verdict(report)),
        Text("  ".join(facts), style="dim"),
    )


def verdict(report: Report) -> str:
    """Summarize the report in one sentence."""
    if not report.sweeps:
        return "No detector ran."
    found, sums = len(report.findings), Totals.of(report.results)
    if not anything_read(report):
        return "Nothing could be read."
    if not found:
        broken = any(sweep.error is not None for sweep in report.sweeps)
        return "Nothing wasteful in what could be read." if broken else "Nothing wasteful found."
    return f"{counted(found, 'finding')}{f': {amounts(sums)}' if amounts(sums) else ''}."


def anything_read(report: Report) -> bool:
    """Return whether any sweep came to its end, or saw anything before it broke off."""
    return any(sweep.error is None or sweep.looked_at for sweep in report.sweeps)


def section(part: Part, layout: Layout | None, *, width: int, every: bool, accounts: bool) -> RenderableType:
    """Draw one detector: its findings, and why it kept the rest."""
    found, looked_at = part.found, sum(sweep.looked_at for sweep in part.sweeps)
    sums = Totals.of(part.results)
    counts = f"{len(found)} of {looked_at} found" if found else f"none of {looked_at} found"
    name = Text(plain(part.detector), style="bold cyan")
    summary = Text.assemble(counts, "   " if amounts(sums) else "", (amounts(sums), "bold"))
    if found:
        summary.append(f"   about {work(found[0].result)} of work{' each' if len(found) > 1 else ''}", "dim")
    fits = name.cell_len + GAP + summary.cell_len <= width
    above = head(name, summary) if fits else head(Text("\n").join([name, summary]))
    body: list[RenderableType] = []
    if found and layout:
        body.append(drawn(found, layout))
    if rest := part.kept(unknown=False):
        body.append(one_by_one(rest, accounts=accounts) if every else in_short(rest))
    return Group(above, Padding(Group(*body), (0, 0, 0, INDENT)))


def in_short(kept: Sequence[tuple[Result, Kept]]) -> RenderableType:
    """Draw the commonest reasons to keep; reasons that differ in numbers and dates only count as one."""
    alike: dict[str, list[str]] = {}
    for _, verdict in kept:
        alike.setdefault(pattern(verdict.reason), []).append(plain(verdict.reason))
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


def pattern(reason: str) -> str:
    """Return *reason* without its numbers, dates and plurals."""
    words = re.sub(r"\S*\d\S*", "#", reason).split()
    return " ".join(word.rstrip(",.;").removesuffix("s") for word in words)


def one_by_one(kept: Sequence[tuple[Result, Kept]], *, accounts: bool) -> RenderableType:
    """Draw every kept resource with its reason."""
    table = Grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=40)
    table.add_column(style="dim")
    for number, (result, verdict) in enumerate(kept):
        name = named(result, accounts=accounts)
        table.add_row("kept" if number == 0 else "", name, plain(verdict.reason))
    return table


def named(result: Result, *, accounts: bool) -> str:
    """Return the name of a kept resource, and its account where the report is about several."""
    account = f" in {plain(result.target.account)}" if accounts else ""
    return f"{plain(result.target.name, NAME_LIMIT)}{account}"


def not_judged(parts: Iterable[Part], *, accounts: bool) -> RenderableType | None:
    """Draw resources that were kept because a required signal could not be read."""
    alike: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        for result, verdict in part.kept(unknown=True):
            names = alike.setdefault((part.detector, plain(verdict.reason)), [])
            names.append(named(result, accounts=accounts))
    if not alike:
        return None
    total = sum(map(len, alike.values()))
    rows = [(f"{detector}: {some(names, SHOWN)}", reason) for (detector, reason), names in alike.items()]
    return block(f"Could not be judged, so kept: {total}", rows, style="yellow")


def not_complete(report: Report) -> RenderableType | None:
    """Draw sweeps with an error; the same error is drawn once."""
    alike: dict[str, list[Sweep]] = {}
    for sweep in report.sweeps:
        if sweep.error is not None:
            alike.setdefault(plain(sweep.error, ERROR_LIMIT), []).append(sweep)
    if not alike:
        return None
    if len(alike) == 1 and not anything_read(report):
        return Text(next(iter(alike)), style="red")
    rows = [(where(sweeps, report), error) for error, sweeps in alike.items()]
    broken = sum(map(len, alike.values()))
    return block(f"Not complete: {broken} of {counted(len(report.sweeps), 'sweep')}", rows, style="red")


def noticed(report: Report) -> RenderableType | None:
    """Draw notices of the reading that are neither waste nor an error."""
    rows = [(where([sweep], report), plain(notice)) for sweep in report.sweeps for notice in sweep.notices]
    return block("Noticed besides", rows, style="yellow") if rows else None


def where(sweeps: Sequence[Sweep], report: Report) -> str:
    """Name sweeps in as few words as possible."""
    if len(sweeps) == len(report.sweeps) > 1:
        return "every sweep"
    if len(report.accounts) <= 1:
        return ", ".join(f"{plain(sweep.detector)} in {plain(sweep.region)}" for sweep in sweeps)
    places: dict[tuple[str, str], list[str]] = {}
    for sweep in sweeps:
        places.setdefault((str(sweep.account), sweep.region), []).append(plain(sweep.detector))
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (account, region), names in places.items():
        alike.setdefault((account, tuple(names)), []).append(plain(region))
    every = len({sweep.detector for sweep in report.sweeps})
    return "; ".join(
        f"{'every detector' if len(names) == every else some(names, SHOWN)} in {plain(account)} "
        f"{some(regions, SHOWN)}"
        for (account, names), regions in alike.items()
    )


def block(heading: str, rows: Iterable[tuple[str, str]], *, style: str) -> RenderableType:
    """Draw a titled list that stands apart from the findings."""
    lines: list[RenderableType] = [Text(heading, style=f"bold {style}")]
    for subject, text in rows:
        lines.append(Padding(Text(subject, overflow="fold"), (0, 0, 0, INDENT)))
        lines.append(Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, 2 * INDENT)))
    return Group(*lines)


def plan(report: Report) -> Iterator[RenderableType]:
    """Draw the plan, week by week."""
    planned = six_weeks.weeks(report)
    yield Group(
        title("What to do in six weeks", six_weeks.headline(planned)),
        Text(
            "first what saves most a month for an hour of work; how long work takes is a guess", style="dim"
        ),
    )
    for week in planned:
        yield Group(*_week(week))


def _week(week: six_weeks.Week) -> Iterator[RenderableType]:
    yield Text.assemble((f"week {week.number}  {week.title}", "bold cyan"), f"  {six_weeks.summary(week)}")
    table = Grid()
    table.add_column(justify="right", max_width=30)
    table.add_column()
    for money, name, how in six_weeks.lines(week):
        table.add_row(Text(money, style="bold"), Group(Text(name), Text(how, style="dim")))
    body: list[RenderableType] = [table] if week.changes else []
    body += [Text(said) for said in six_weeks.below(week)]
    if week.changes:
        body.append(Text(f"{usd(week.by_then)} a month saved by then", style="bold"))
    yield Padding(Group(*body), (0, 0, 0, 2))
