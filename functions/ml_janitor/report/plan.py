"""Six weeks of work out of what was found: what is done first, and what is saved by then. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.core.model import Change, Mode
from ml_janitor.core.money import Totals, first_to_do
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.core.text import plain
from ml_janitor.report.finding_words import amounts, owner, price, work
from ml_janitor.report.mrkdwn import counted

WEEKS: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("quick wins", (Change.END, Change.LIMIT)),
    ("storage", (Change.DELETE_DATA, Change.LIFECYCLE)),
    ("spot", (Change.SPOT,)),
    ("right-sizing", (Change.RESIZE, Change.REPLACE)),
    ("commitments", (Change.COMMIT,)),
    ("monitoring", (Change.TAG,)),
)
"""What is done in each week. Commitments come after all that makes usage smaller: they cover what stays."""

OVER = frozenset({Outcome.ACTED, Outcome.CHANGED})
"""What needs no work any more."""

SHOWN = 5
"""Changes of a week that are listed; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """
    One week: its *changes*, what is to be done first at the top, and what the month costs less *by_then*.

    *instead* is how many more findings are about the same resources, and in no sum. *advice* is what else
    is done, in sentences. *accounts* is whether the report is about several.
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
        """How long they take, as a guess."""
        return sum(one.hours for one in self.changes)


def weeks(report: Report) -> tuple[Week, ...]:
    """The six weeks of *report*; a week without anything to do is there too."""
    left = sorted((one for one in report.findings if one.outcome not in OVER), key=first_to_do)
    planned, by_then = list[Week](), Decimal(0)
    for number, (title, kinds) in enumerate(WEEKS, start=1):
        ours = [one for one in left if one.change in kinds]
        changes = tuple(one for one in ours if not _instead(one))
        by_then += Totals.of(changes).monthly_usd
        planned.append(
            Week(
                number=number,
                title=title,
                changes=changes,
                by_then=by_then,
                instead=len(ours) - len(changes),
                advice=tuple(_advice(report)) if number == len(WEEKS) else (),
                accounts=len(report.accounts) > 1,
            )
        )
    return tuple(planned)


def headline(planned: Sequence[Week]) -> str:
    """All weeks in a sentence."""
    changes = [one for week in planned for one in week.changes]
    if not changes:
        return "Nothing to do was found."
    sums = amounts(Totals.of(changes))
    total = sum(week.hours for week in planned)
    return f"{counted(len(changes), 'change')}, {hours(total)}{f': {sums}' if sums else ''}."


def summary(week: Week) -> str:
    """A week's changes, their work and their money, in a few words."""
    if not week.changes:
        return "nothing found"
    sums = amounts(week.totals)
    return ", ".join([*([sums] if sums else []), counted(len(week.changes), "change"), hours(week.hours)])


def lines(week: Week) -> list[tuple[str, str, str]]:
    """The changes of *week* that are listed: what each saves, its name and owner, and who found it."""

    def line(one: Result) -> tuple[str, str, str]:
        account = f" in {plain(one.target.account)}" if week.accounts else ""
        name = f"{plain(one.target.name, 120)}{account}, {owner(one)}"
        return price(one), name, f"{one.detector}, about {work(one)}"

    return [line(one) for one in week.changes[:SHOWN]]


def below(week: Week) -> list[str]:
    """What stands below the listed changes."""
    rest = week.changes[SHOWN:]
    sums = amounts(Totals.of(rest))
    more = f"and {counted(len(rest), 'more change')}{f': {sums}' if sums else ''}" if rest else ""
    same = "about resources that another change is planned for, in no sum"
    instead = f"and {counted(week.instead, 'more finding')} {same}" if week.instead else ""
    return [one for one in (more, instead, *week.advice) if one]


def hours(number: float) -> str:
    """A number of hours of work."""
    shown = f"{number:,.2g}" if number < 10 else f"{number:,.0f}"
    return f"{shown} hour{'' if shown == '1' else 's'} of work"


def _instead(result: Result) -> bool:
    overlap = result.overlap
    return overlap is not None and not (overlap.monthly_usd or overlap.accrued_usd)


def _advice(report: Report) -> Iterator[str]:
    """What keeps the bill from growing back: by what was found and was not armed, or could not be read."""
    again = [one for one in report.findings if one.outcome is Outcome.WOULD_ACT and one.change.ends]
    if again:
        names = dict.fromkeys(one.detector for one in again)
        yield (
            f"Arm {', '.join(names)}: what is proven of the {counted(len(again), 'finding')} here, and of"
            " the next, would then be ended after a warning (docs/arming.md)."
        )
    elif all(sweep.mode is Mode.ACT for sweep in report.sweeps) and report.sweeps:
        yield "Every detector that can act is armed."
    broken = sum(sweep.error is not None for sweep in report.sweeps)
    unknown = sum(sweep.unknown for sweep in report.sweeps)
    if broken or unknown:
        parts = [counted(broken, "sweep") + " not complete"] if broken else []
        parts += [counted(unknown, "resource") + " that could not be judged"] if unknown else []
        yield f"Find out about {' and '.join(parts)}: what is not read is in no plan."
    yield "Have the bill read each morning, with a budget and an anomaly monitor ([bill] in janitor.toml)."
