"""A plan of six weeks of work from the findings: the order of changes, and the savings by then. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.core.model import Change, Confidence, Mode
from ml_janitor.core.money import Totals, rank_by_worth
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.core.text import count_noun, escape_text
from ml_janitor.report.finding_words import cost_text, owner_text, require_finding, sums_text, work_text

WEEK_CHANGES: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("quick wins", (Change.END, Change.LIMIT)),
    ("storage", (Change.DELETE_DATA, Change.LIFECYCLE)),
    ("spot", (Change.SPOT,)),
    ("right-sizing", (Change.RESIZE, Change.REPLACE)),
    ("commitments", (Change.COMMIT,)),
    ("monitoring", (Change.TAG,)),
)
"""Changes of each week. Commitments follow every change that reduces usage, because they cover what stays."""

NEEDS_NO_WORK = frozenset({Outcome.ACTED, Outcome.CHANGED})
"""Outcomes that need no more work."""

CHANGES_SHOWN = 5
"""Changes of a week that are listed; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """
    One week: its *changes*, the most urgent first, and how much less a month costs *by_then*.

    *instead* is how many more findings are about the same resources, and left out. *advice* has other work,
    in sentences. *accounts* is whether the report is about several.
    """

    number: int
    title: str
    changes: tuple[Result, ...]
    by_then: Decimal
    instead: int = 0
    advice: tuple[str, ...] = ()
    accounts: bool = False

    @property
    def totals(self) -> Totals:
        return Totals.of(self.changes)

    @property
    def hours(self) -> float:
        """Estimate the hours of work that the changes take."""
        return sum(result.hours for result in self.changes)


def plan_weeks(report: Report) -> tuple[Week, ...]:
    """Return the six weeks of *report*, including weeks without anything to do."""
    left = sorted(
        (result for result in report.findings if result.outcome not in NEEDS_NO_WORK), key=rank_by_worth
    )
    planned, by_then = list[Week](), Decimal(0)
    for number, (title, kinds) in enumerate(WEEK_CHANGES, start=1):
        ours = [result for result in left if result.change in kinds]
        changes = tuple(result for result in ours if not _instead(result))
        by_then += Totals.of(changes).monthly_usd
        planned.append(
            Week(
                number=number,
                title=title,
                changes=changes,
                by_then=by_then,
                instead=len(ours) - len(changes),
                advice=tuple(_advice(report)) if number == len(WEEK_CHANGES) else (),
                accounts=len(report.accounts) > 1,
            )
        )
    return tuple(planned)


def plan_headline(planned: Sequence[Week]) -> str:
    """Summarize all weeks in a sentence."""
    changes = [result for week in planned for result in week.changes]
    if not changes:
        return "Nothing to do was found."
    sums = sums_text(Totals.of(changes))
    total = sum(week.hours for week in planned)
    return f"{count_noun(len(changes), 'change')}, {hours_text(total)}{f': {sums}' if sums else ''}."


def week_summary(week: Week) -> str:
    """Summarize a week's changes, their work and their money, in a few words."""
    if not week.changes:
        return "nothing found"
    sums = sums_text(week.totals)
    return ", ".join(
        [*([sums] if sums else []), count_noun(len(week.changes), "change"), hours_text(week.hours)]
    )


def week_lines(week: Week) -> list[tuple[str, str, str]]:
    """List changes of *week*, limited to `SHOWN`: what each saves, its name and owner, and who found it."""

    def line(result: Result) -> tuple[str, str, str]:
        account = f" in {escape_text(result.target.account)}" if week.accounts else ""
        name = f"{escape_text(result.target.name, 120)}{account}, {owner_text(result)}"
        return cost_text(result), name, f"{result.detector}, about {work_text(result)}"

    return [line(result) for result in week.changes[:CHANGES_SHOWN]]


def lines_below_week(week: Week) -> list[str]:
    """List the lines below the listed changes."""
    rest = week.changes[CHANGES_SHOWN:]
    sums = sums_text(Totals.of(rest))
    more = f"and {count_noun(len(rest), 'more change')}{f': {sums}' if sums else ''}" if rest else ""
    same = "about resources that another change is planned for, not counted again"
    instead = f"and {count_noun(week.instead, 'more finding')} {same}" if week.instead else ""
    return [text for text in (more, instead, *week.advice) if text]


def hours_text(number: float) -> str:
    """Format a number of hours of work."""
    shown = f"{number:,.2g}" if number < 10 else f"{number:,.0f}"
    return f"{shown} hour{'' if shown == '1' else 's'} of work"


def _instead(result: Result) -> bool:
    overlap = result.overlap
    return overlap is not None and not (overlap.monthly_usd or overlap.accrued_usd)


def _advice(report: Report) -> Iterator[str]:
    """Advise what keeps the bill from growing back: by findings not armed, or resources not read."""
    again = [
        result for result in report.findings if result.outcome is Outcome.WOULD_ACT and result.change.ends
    ]
    if again:
        names = dict.fromkeys(result.detector for result in again)
        proven = sum(require_finding(result).confidence is Confidence.PROVEN for result in again)
        yield (
            f"Arm {', '.join(names)} to clean up proven findings after a warning ({proven} today): janitor "
            "docs arming says how."
        )
    elif all(sweep.mode is Mode.ACT for sweep in report.sweeps) and report.sweeps:
        yield "Every detector that can act is armed."
    broken = sum(sweep.error is not None for sweep in report.sweeps)
    unknown = sum(sweep.unknown for sweep in report.sweeps)
    if broken or unknown:
        parts = [count_noun(broken, "sweep") + " not complete"] if broken else []
        parts += [count_noun(unknown, "resource") + " that could not be judged"] if unknown else []
        yield f"Find out about {' and '.join(parts)}: the plan leaves out what could not be read."
    yield "Have the bill read each morning, with a budget and an anomaly monitor ([bill] in janitor.toml)."
