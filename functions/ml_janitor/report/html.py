"""The report as one HTML file: no network, dark and light, printable. Everything from AWS is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_janitor.core.model import Kept, Mode
from ml_janitor.core.money import Totals, dollars, first_to_do
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.core.text import moment, plain, usd
from ml_janitor.report.causes import held_back, unreachable
from ml_janitor.report.finding_words import NO_OWNER, amounts, place, whose
from ml_janitor.report.html_findings import FILTERS, commands, entry, packed, row
from ml_janitor.report.outcomes import became, needs_a_look
from ml_janitor.report.plan import below, headline, lines, summary, weeks
from ml_janitor.report.templating import breakable, environment

if TYPE_CHECKING:
    from markupsafe import Markup

BARS = 10
"""Owners that get a bar of their own; the rest share one."""

OVER = frozenset({Outcome.ACTED, Outcome.CHANGED})
"""Outcomes that are no longer waste."""

AT_ONCE = 80
"""Findings drawn when the page opens; its script draws the others when somebody asks for them."""

LINES_AT_ONCE, LINES_AT_MOST = 10, 100
"""Lines of a list that are shown, and with those folded below; past them the page names the JSON report."""

type Counts = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: dollars, number of findings, and length relative to the longest bar."""

    name: str
    usd: Decimal
    count: int
    percent: float

    @property
    def label(self) -> str:
        return usd(self.usd)


def html(report: Report, *, bill: Mapping[str, Any] | None = None, plan: bool = False) -> str:
    """Render the whole page, with six weeks of work if *plan*; *bill* is from `bill_page.section`."""
    from markupsafe import Markup

    findings = sorted(report.findings, key=first_to_do)
    done = [result for result in findings if result.outcome is Outcome.ACTED]
    left = [result for result in findings if result.outcome not in OVER]
    totals, ended = Totals.of(left), Totals.of(done)
    accounts = len(report.accounts) > 1
    rows = [row(number, result, accounts=accounts) for number, result in enumerate(findings)]
    dry = all(sweep.mode is Mode.DRY_RUN for sweep in report.sweeps)
    template = environment().get_template("finding.html.j2")
    drawn = [Markup(template.render(row=finding, dry=dry).strip()) for finding in rows]  # noqa: S704 - the template escapes
    troubles = [result for result in report.results if needs_a_look(result)]
    kept = [(result, result.verdict) for result in report.results if isinstance(result.verdict, Kept)]
    over = [result for result, _ in kept if result.outcome is not Outcome.KEPT and not needs_a_look(result)]
    begun = [what_became(result, accounts=accounts) for result in over]
    unread = [result for result, verdict in kept if verdict.unknown]
    errors, sweeps = not_complete(report), report.sweeps
    held = [
        line("{}: {}", sweep.detector, commands(held_back(limit)))
        for sweep in sweeps
        for limit in sweep.held_back
    ]
    undos = [(sweep.detector, sweep.unreachable) for sweep in sweeps if sweep.unreachable is not None]
    lost = [line("{}: {}", detector, commands(unreachable(undo))) for detector, undo in undos]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            bill=bill,
            plan=plan_section(report) if plan else None,
            time=moment(report.time),
            totals=totals,
            done=done,
            ended=amounts(ended),
            ended_unpriced=ended.unpriced,
            troubles=troubles,
            monthly=usd(totals.monthly_usd),
            accrued=usd(totals.accrued_usd),
            hourly=usd(totals.hourly_usd),
            whose=whose(report),
            regions=sorted({sweep.region for sweep in report.sweeps}),
            accounts=accounts,
            rows=rows,
            first=drawn[:AT_ONCE],
            entries=[entry(finding) for finding in rows[:AT_ONCE]],
            more=packed(
                [{**entry(finding), "html": tr} for finding, tr in zip(rows, drawn, strict=True)][AT_ONCE:]
            ),
            choices={name: sorted({finding[name] for finding in rows}) for name in FILTERS},
            at_once=LINES_AT_ONCE,
            at_most=LINES_AT_MOST,
            unread=unread,
            dry=dry,
            errors=errors,
            lists=[
                (
                    "troubles",
                    "What failed, or is half done",
                    [what_became(result, accounts=accounts) for result in troubles],
                ),
                ("held", "What a limit held back", held),
                ("lost", "What no function may undo any more", lost),
                ("notices", "Noticed besides", noticed(report)),
                ("begun", "What was begun before, and is no finding any more", begun),
                (
                    "unread",
                    "What could not be read",
                    [*errors, *(not_judged(result, accounts=accounts) for result in unread)],
                ),
            ],
            nothing_read=nothing_read(report),
            charts=charts(left, accounts=accounts),
            sources=sorted(
                {found.cost.source for found in findings if found.cost is not None and found.cost.known}
            ),
        )
    )


def charts(left: Sequence[Result], *, accounts: bool) -> list[tuple[str, list[Bar], list[Bar], Counts]]:
    """
    Return sums by kind, owner and account: the title, dollars a month, dollars so far, and findings in no
    sum.
    """
    counted = [
        (result, result.counted) for result in left if result.counted is not None and not uncounted(result)
    ]
    none = [result for result in left if uncounted(result)]
    asked: list[tuple[str, Callable[[Result], str], int | None]] = [
        ("By kind of waste", lambda result: result.detector, None),
        ("By owner", lambda result: result.owner or NO_OWNER, BARS),
    ]
    if accounts:
        asked.append(("By account", lambda result: result.target.account, BARS))
    return [
        (
            title,
            bars(((name(result), cost.monthly_usd) for result, cost in counted), limit=limit),
            bars(((name(result), cost.accrued_usd) for result, cost in counted), limit=limit),
            unpriced(map(name, none)),
        )
        for title, name, limit in asked
        if counted or none
    ]


def plan_section(report: Report) -> dict[str, Any]:
    """Return the values for the plan's section."""
    planned = weeks(report)
    most = planned[-1].by_then or Decimal(1)
    return {
        "headline": headline(planned),
        "weeks": [
            {
                "number": week.number,
                "title": week.title,
                "summary": summary(week),
                "by_then": usd(week.by_then),
                "percent": round(float(week.by_then / most) * 100, 2),
                "lines": lines(week),
                "below": [commands(text) for text in below(week)],
            }
            for week in planned
        ],
    }


def nothing_read(report: Report) -> list[str]:
    """List why nothing at all could be read, each reason once; empty if anything was read."""
    if any(sweep.error is None or sweep.looked_at for sweep in report.sweeps):
        return []
    return list(dict.fromkeys(plain(sweep.error or "", 2000) for sweep in report.sweeps))


def noticed(report: Report) -> list[Markup]:
    """List other notices of each detector's reading; with several accounts, including the account."""
    several = len(report.accounts) > 1
    return [
        line(
            "{}: {}",
            f"{sweep.detector} in {place(sweep, accounts=True)}" if several else sweep.detector,
            plain(notice),
        )
        for sweep in report.sweeps
        for notice in sweep.notices
    ]


def not_complete(report: Report) -> list[Markup]:
    """List detectors that could not look at everything: one line for all places of one reason."""
    several = len(report.accounts) > 1
    places: dict[tuple[str, str], list[str]] = {}
    for sweep in report.sweeps:
        if sweep.error:
            places.setdefault((sweep.detector, sweep.error), []).append(place(sweep, accounts=several))
    return [
        line("{} in {} is not complete: {}", detector, few(where), breakable(why))
        for (detector, why), where in places.items()
    ]


def few(names: Sequence[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more places" if len(names) > 3 else "")


def line(form: str, *values: object) -> Markup:
    """Put *values* into *form*, escaped unless they are markup."""
    from markupsafe import Markup

    return Markup(form).format(*values)  # noqa: S704 - format escapes what it puts in


def what_became(result: Result, *, accounts: bool) -> Markup:
    """Return one line about a resource, and the outcome of acting on it."""
    return line("{} ({}, {}): {}", *_named(result, accounts), commands(became(result)))


def not_judged(result: Result, *, accounts: bool) -> Markup:
    """Return one line about a resource that could not be judged, and why."""
    return line("{} ({}, {}): {}", *_named(result, accounts), breakable(plain(result.verdict.reason)))


def _named(result: Result, accounts: bool) -> tuple[Markup, str, str]:  # noqa: FBT001
    return breakable(plain(result.target.name)), result.detector, place(result.target, accounts=accounts)


def bars(amounts: Iterable[tuple[str, Decimal | None]], *, limit: int | None) -> list[Bar]:
    """Sum dollars by name, longest bar first; past *limit* names the rest become one bar."""
    sums: dict[str, tuple[Decimal, int]] = {}
    for name, amount in amounts:
        if amount is not None:
            total, count = sums.get(name, (Decimal(0), 0))
            sums[name] = (total + amount, count + 1)
    ranked = sorted(sums.items(), key=lambda entry: (-entry[1][0], entry[0]))
    if limit is not None and len(ranked) > limit:
        rest = ranked[limit - 1 :]
        others = (sum((amount for _, (amount, _) in rest), Decimal(0)), sum(count for _, (_, count) in rest))
        ranked = [*ranked[: limit - 1], (f"{len(rest)} others", others)]
    longest = max((amount for _, (amount, _) in ranked), default=Decimal(0)) or Decimal(1)
    return [
        Bar(plain(name), amount, count, round(float(amount / longest) * 100, 2))
        for name, (amount, count) in ranked
    ]


def uncounted(result: Result) -> bool:
    """
    Return whether no part of *result* is in a sum: its price is unknown, or another finding is counted
    instead.
    """
    if result.overlap is not None:
        return not (result.overlap.monthly_usd or result.overlap.accrued_usd)
    return dollars(result) is None


def unpriced(names: Iterable[str]) -> Counts:
    """Count the findings in no sum by name; past `BARS` names the rest are put together."""
    counts = Counter(plain(name) for name in names).most_common()
    if len(counts) > BARS:
        rest = counts[BARS - 1 :]
        counts = [*counts[: BARS - 1], (f"{len(rest)} others", sum(count for _, count in rest))]
    return counts
