"""The story of the nights on a console of 100 columns, in the order in which they happen."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table

from ml_janitor.core.model import Effect, Finding
from ml_janitor.core.money import Totals, rank_by_cost
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.core.text import format_usd
from ml_janitor.engine.policy import Hold, hold_reason
from ml_janitor.report.causes import cause_clause, is_not_due, limit_texts
from ml_janitor.report.warnings import DONE_WORDS
from ml_janitor_sandbox.demo.rows import DOMAIN
from ml_janitor_sandbox.night.script import ZONE, Digest, Happening, Night, Pressed
from ml_janitor_sandbox.night.waste import Line

UNPRICED_SHOWN = 3
"""Rows without a price of one sweep; the others are counted."""


@dataclass
class Narration:
    """A printer to *console*. *effects* are what acting does, by detector."""

    console: Console
    effects: Mapping[str, Effect]
    warned: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    whys: dict[str, str] = field(default_factory=dict)
    """Why a finding is only reported, as its last sweep said."""

    def settings(self, text: str) -> None:
        """Print what this is, and what the operator wrote."""
        self._print(
            "Three nights over the demo account, by the functions that are deployed, on the sandbox's\n"
            "clock: Monday to Friday, when three days have passed since the first warnings.\n"
            "Times are those of Los Angeles. The operator's janitor.toml:\n"
        )
        self._print(textwrap.indent(text.rstrip(), "    "))

    def __call__(self, happening: Happening) -> None:
        """Tell one thing that happened."""
        match happening:
            case Night(title):
                self._heading(title)
            case Pressed():
                self._pressed(happening)
            case Digest(at, lines):
                self._print(f"\n{_clock(at)}  The digest in Slack:")
                for line in lines:
                    self._wrapped(line)
            case _:
                self._print(f"\n{_clock(happening.at)}  {_counts(happening.sweep)}")
                self._swept(happening.sweep)

    def _pressed(self, pressed: Pressed) -> None:
        self._print(f"\n{_clock(pressed.at)}  {pressed.who} {pressed.word} {pressed.what}.")
        for line in pressed.then:
            self._wrapped(line)
        for sweep in pressed.sweeps:
            self._swept(sweep, only={pressed.what})

    def _swept(self, sweep: Sweep, only: set[str] | None = None) -> None:
        """Print the outcome of everything that a reader does not know yet."""
        rows = [
            result
            for result in sorted(sweep.results, key=rank_by_cost)
            if only is None or result.target.name in only
        ]
        shown = [row for result in rows if (row := self._row(result)) is not None]
        self._table(shown)
        if only is None:
            self._wait([result for result in rows if is_not_due(result)])
        for why in limit_texts(sweep):
            self._wrapped(f"A limit: {why}.")

    def _row(self, result: Result) -> tuple[Result, str, str] | None:  # noqa: PLR0911 - one for each outcome
        """Return a word for the outcome of *result*, and what there is to know of it; None: nothing new."""
        key = f"{result.detector} {result.target.key}"
        note = "" if result.cause is None else cause_clause(result.cause)
        if is_not_due(result):
            self.whys[key] = note
        match result.outcome:
            case Outcome.WARNED:
                self.warned.add(key)
                return result, "warned", _warned(result)
            case Outcome.ACTED:
                self.warned.discard(key)
                return result, DONE_WORDS[self.effects[result.detector]], note
            case Outcome.ADVISED | Outcome.WOULD_ACT:
                self.whys[key] = note or "its detector is a dry run"
                return self._once(key, (result, "reported", self.whys[key]))
            case Outcome.CHANGED | Outcome.FAILED:
                return result, result.outcome.value, note
            case Outcome.WAITING if not is_not_due(result):
                return result, "waits", note
            case Outcome.KEPT if key in self.warned:
                self.warned.discard(key)
                return result, "spared", result.verdict.reason
        return None

    def _once(self, key: str, row: tuple[Result, str, str]) -> tuple[Result, str, str] | None:
        if key in self.shown:
            return None
        self.shown.add(key)
        return row

    def _table(self, rows: Sequence[tuple[Result, str, str]]) -> None:
        table = _grid(9, 9, 31)
        hidden: Counter[str] = Counter()
        shown: Counter[str] = Counter()
        for result, outcome, more in rows:
            shown[outcome] += not _priced(result)
            if not _priced(result) and shown[outcome] > UNPRICED_SHOWN:
                hidden[outcome] += 1
                continue
            table.add_row("", outcome, _money(result), _name(result), more)
        if rows:
            self._show(table)
        for outcome, count in hidden.items():
            own = "that have no price of their own" if count > 1 else "that has no price of its own"
            self._wrapped(f"{outcome}: {count} more {own}")

    def _wait(self, results: Sequence[Result]) -> None:
        if results:
            names = ", ".join(result.target.name for result in results)
            self._wrapped(f"{len(results)} wait{'s' if len(results) == 1 else ''}, not due yet: {names}")

    # --- the end ------------------------------------------------------------------------------

    def bill(self, lines: Sequence[Line], unknown: Iterable[Result]) -> None:
        """Print before and after, by detector, and who could not be judged."""
        self._heading("What it came to")
        self._print(
            "Waste as a fresh audit finds it, in dollars a month; jobs and warm pools by the hour (/h).\n"
            "+1? is one more whose price nobody knows; what has no price of its own is counted. What was\n"
            "undone is in use again; what is gone by itself would have ended anyway.\n"
        )
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_footer=True)
        columns = {
            "before": [line.before for line in lines],
            "cleaned up": [line.ended for line in lines],
            "undone": [line.wanted_back for line in lines],
            "by itself": [line.otherwise for line in lines],
            "after": [line.after for line in lines],
        }
        columns = {name: parts for name, parts in columns.items() if any(parts)}
        table.add_column("detector", footer="together", no_wrap=True)
        for name, parts in columns.items():
            everything = [result for part in parts for result in part if _priced(result)]
            table.add_column(name, justify="right", footer=_sum(everything), no_wrap=True)
        for number, line in enumerate(lines):
            table.add_row(line.detector, *(_sum(parts[number]) for parts in columns.values()))
        self._show(table)
        names = ", ".join(result.target.name for result in unknown)
        self._wrapped(f"Not judged, because a signal cannot be read: {names}.")

    def remains(self, lines: Sequence[Line], holds: Mapping[str, Sequence[Hold]], now: datetime) -> None:
        """Print why the remaining findings still stand."""
        self._print("\nWhat is still found, and why it stands:")
        table = _grid(9, 31)
        others: Counter[tuple[str, str]] = Counter()
        for line in lines:
            for result in sorted(line.after, key=rank_by_cost):
                key = result.target.key
                why = hold_reason(holds.get(key, ()), now) or self.whys.get(f"{result.detector} {key}", "")
                if _priced(result):
                    table.add_row("", _money(result), _name(result), why)
                else:
                    others[result.detector, why] += 1
        self._show(table)
        for (detector, why), count in others.items():
            self._wrapped(f"{detector}, {count} of them: {why}.")

    def _heading(self, title: str) -> None:
        self._print(f"\n{title}")
        self._print("=" * len(title))

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def _show(self, table: Table) -> None:
        """Print a table, without the blanks at the ends of its lines."""
        with self.console.capture() as captured:
            self.console.print(table)
        self._print("\n".join(line.rstrip() for line in captured.get().strip("\n").split("\n")))

    def _wrapped(self, text: str) -> None:
        wrapped = textwrap.wrap(text, self.console.width, initial_indent=" " * 7, subsequent_indent=" " * 7)
        self._print("\n".join(wrapped))


def _grid(*widths: int) -> Table:
    """Build a table without lines, a little in: columns of *widths*, the money right, and the rest."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=5)
    for number, width in enumerate(widths, 2):
        money = number == len(widths)
        table.add_column(width=width, justify="right" if money else "left", overflow="fold")
    table.add_column(ratio=1)
    return table


def _warned(result: Result) -> str:
    """Name the owner, and the time at which it is due."""
    due = result.due.astimezone(ZONE) if result.due else None
    return f"{_whose(result)}, due {due:%a %H:%M}" if due else _whose(result)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(ZONE):%H:%M}"


def _counts(sweep: Sweep) -> str:
    found = f"found {sweep.found}" if sweep.found else "found nothing"
    return f"{sweep.detector} looked at {sweep.looked_at} and {found}."


def _whose(result: Result) -> str:
    owner = (result.owner or "").removesuffix(f"@{DOMAIN}") or "nobody's"
    return (
        owner
        if _priced(result)
        else f"{result.target.kind} of {owner}"
        if result.owner
        else f"{owner} {result.target.kind}"
    )


def _name(result: Result) -> str:
    return result.target.name.removesuffix("/default")


def _priced(result: Result) -> bool:
    return isinstance(result.verdict, Finding) and result.verdict.cost is not None


def _money(result: Result) -> str:
    cost = result.verdict.cost if isinstance(result.verdict, Finding) else None
    if cost is None:
        return ""
    if cost.monthly_usd is not None:
        return format_usd(cost.monthly_usd)
    return "unknown" if cost.hourly_usd is None else f"{format_usd(cost.hourly_usd)}/h"


def _sum(results: Iterable[Result]) -> str:
    found = tuple(results)
    sums = Totals.of(found)
    if not any(_priced(result) for result in found):
        return f"{len(found)} found" if found else "-"
    parts = [format_usd(sums.monthly_usd)] if sums.monthly_usd or not sums.hourly_usd else []
    parts += [f"{format_usd(sums.hourly_usd)}/h"] if sums.hourly_usd else []
    parts += [f"{sums.unpriced}?"] if sums.unpriced else []
    return " +".join(parts)
