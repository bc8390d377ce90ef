"""The daily digest: the findings of all sweeps, their cost, and the sweeps that did not run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ml_janitor.acting.savings import SavingsTotal
from ml_janitor.core.durations import format_age
from ml_janitor.core.money import Totals
from ml_janitor.core.text import format_time, format_usd
from ml_janitor.ledger.latest import LastSweep
from ml_janitor.report.finding_words import detector_noun, sums_text, unpriced_note
from ml_janitor.report.mrkdwn import (
    Block,
    Message,
    Post,
    context_block,
    count_noun,
    fits_message,
    header_block,
    join_lines,
    prose,
    section_block,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """
    One sweep that should run: its *last* result, and how many findings are *new* since the last digest.

    It is *late* when its schedule should have run it again by now; *last* is None if it never ran.
    """

    detector: str
    account: str
    region: str
    last: LastSweep | None
    new: int = 0
    late: bool = False

    @property
    def ran(self) -> bool:
        """Return whether the sweep ran on schedule."""
        return self.last is not None and not self.late


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestActions:
    """
    Actions of armed detectors since the last digest, one line each, and the actions due tonight.

    *failed* includes earlier actions that have still failed, *saved* is for this month. *lost* are actions
    that can be undone, but by no function that is deployed.
    """

    acted: Sequence[str] = ()
    failed: Sequence[str] = ()
    undone: Sequence[str] = ()
    due: Sequence[str] = ()
    lost: Sequence[str] = ()
    saved: SavingsTotal = field(default_factory=SavingsTotal)

    @property
    def any(self) -> bool:
        """Return whether there is anything to tell, apart from savings."""
        return bool(self.acted or self.failed or self.undone or self.due or self.lost)


NO_ACTIONS = DigestActions()


def make_digest(
    rows: Sequence[SweepRow], *, now: datetime, actions: DigestActions = NO_ACTIONS, bill: Sequence[str] = ()
) -> Post:
    """
    Build the post of a day; short if nothing is new or was done, everything ran, and nothing went wrong.

    *bill* has the paragraphs about the bill.
    """
    last = [row.last for row in rows if row.last is not None]
    new = sum(row.new for row in rows)
    as_usual = not new and not actions.any and all(row.ran for row in rows)
    if as_usual and not any(sweep.error for sweep in last):
        ran = f"All {len(rows)} sweeps ran." if len(rows) > 1 else "The sweep ran."
        return Post(main=quiet_message(last, ran, actions.saved, bill))
    title = findings_title(last, new)
    if title is None:
        title = "Nothing wasteful found in what ran" if last else "No sweep has run"
    blocks = [
        header_block(title),
        section_block(
            f"All sweeps, as of {format_time(now)}.{unpriced_note(sum(sweep.unpriced for sweep in last))}"
        ),
    ]
    errors = [(row, row.last.error) for row in rows if row.last and row.last.error]
    rest = [
        *list_paragraphs("Did not run", [_silence(row, now) for row in rows if not row.ran]),
        *list_paragraphs("Not complete", [f"{_place(row)}: {prose(error, 300)}" for row, error in errors]),
        *action_blocks(actions),
        *map(section_block, bill),
        *list_paragraphs("Found", [_found(row) for row in dearest_rows(rows)]),
        *unjudged_block(last),
    ]
    for number, block in enumerate(rest):
        if not fits_message([*blocks, block]):
            blocks.append(
                context_block(f"and {count_noun(len(rest) - number, 'more paragraph')}: see the dashboard")
            )
            break
        blocks.append(block)
    missing = sum(not row.ran for row in rows)
    late = f" {count_noun(missing, 'sweep')} of {len(rows)} did not run." if missing else ""
    return Post(
        main=Message(text=f"Daily digest. {title}.{count_actions(actions)}{late}", blocks=tuple(blocks))
    )


def dearest_rows(rows: Iterable[SweepRow]) -> list[SweepRow]:
    """Return the rows that found something, dollars descending."""
    found = [row for row in rows if row.last is not None and (row.last.found or row.new)]
    return sorted(
        found, key=lambda row: row.last.monthly_usd + row.last.accrued_usd if row.last else 0, reverse=True
    )


def count_actions(actions: DigestActions) -> str:
    """Count each kind of action in a few words, for a notification."""
    counts = [
        f"{len(texts)} {word}"
        for word, texts in (
            ("done", actions.acted),
            ("failed", actions.failed),
            ("undone", actions.undone),
            ("due tonight", actions.due),
        )
        if texts
    ]
    return f" {', '.join(counts)}." if counts else ""


def saved_text(saved: SavingsTotal) -> str:
    """Say what was saved this month; return nothing if there were no actions."""
    if not saved.actions and not saved.unknown:
        return ""
    left = (
        f" It leaves out {count_noun(saved.unknown, 'action')} whose savings are unknown."
        if saved.unknown
        else ""
    )
    if not saved.actions:
        return f"*Saved so far this month:* unknown, for {count_noun(saved.unknown, 'action')}."
    return (
        f"*Saved so far this month:* {format_usd(saved.usd)}, by {count_noun(saved.actions, 'action')}.{left}"
    )


def action_blocks(
    actions: DigestActions, some: Callable[[Sequence[str]], Sequence[str]] = list
) -> Iterator[Block]:
    """Build paragraphs about past and coming actions, with as many lines of each list as *some* leaves."""
    for title, parts in (
        ("Failed", actions.failed),
        ("No function may undo", actions.lost),
        ("Due tonight", actions.due),
        ("Done", actions.acted),
        ("Undone", actions.undone),
    ):
        yield from list_paragraphs(title, some(parts))
    if saved := saved_text(actions.saved):
        yield section_block(saved)


def unjudged_block(last: Iterable[LastSweep]) -> Iterator[Block]:
    """Say how many resources could not be judged; yield nothing if there are none."""
    if unknown := sum(sweep.unknown for sweep in last):
        verb = "was" if unknown == 1 else "were"
        yield section_block(f"{count_noun(unknown, 'resource')} could not be judged and {verb} kept.")


def quiet_message(
    last: Sequence[LastSweep], ran: str, saved: SavingsTotal, bill: Sequence[str], *, where: str = ""
) -> Message:
    """Build the message of a day without changes; *ran* is what looked, *where* the findings are."""
    found, unknown = sum(sweep.found for sweep in last), sum(sweep.unknown for sweep in last)
    sums = sums_text(add_sums(last))
    parts = ["Nothing new today."]
    if found:
        verb = "costs" if found == 1 else "cost"
        parts.append(
            f"{count_noun(found, 'known finding')}{where}{f' {verb} *{sums}*' if sums else ' stay'}."
        )
    parts.append(ran)
    if unknown:
        parts.append(f"{count_noun(unknown, 'resource')} could not be judged.")
    text = " ".join(filter(None, [*parts, saved_text(saved)]))
    return Message(text=text.replace("*", ""), blocks=(section_block(text), *map(section_block, bill)))


def findings_title(last: Sequence[LastSweep], new: int, where: str = "") -> str | None:
    """Summarize all findings: their cost, *where*, and how many are *new*; None if there are none."""
    found, sums = sum(sweep.found for sweep in last), sums_text(add_sums(last))
    if not found:
        return None
    news = f"{new:,} of them new" if new else "none of them new"
    return f"{f'{sums}: ' if sums else ''}{count_noun(found, 'finding')}{where}, {news}"


def add_sums(last: Iterable[LastSweep]) -> Totals:
    """Add up the cost of their findings."""
    sweeps = list(last)
    return Totals(
        monthly_usd=sum((sweep.monthly_usd for sweep in sweeps), Decimal(0)),
        accrued_usd=sum((sweep.accrued_usd for sweep in sweeps), Decimal(0)),
    )


def list_paragraphs(title: str, parts: Sequence[str]) -> list[Block]:
    """Put *parts*, a line each, under their *title*; return nothing if there are none."""
    return [section_block(text) for text in join_lines([f"*{title}:*", *parts])] if parts else []


def _place(row: SweepRow) -> str:
    return f"{detector_noun(row.detector, 2)} in {prose(row.account, 40)}, {prose(row.region, 40)}"


def _silence(row: SweepRow, now: datetime) -> str:
    return f"{_place(row)}: {last_run_text(row.last.time if row.last else None, now)}"


def last_run_text(at: datetime | None, now: datetime) -> str:
    """Say when something ran last."""
    return "it never has" if at is None else f"the last time was {format_age(now - at)} ago"


def _found(row: SweepRow) -> str:
    if row.last is None:
        return f"{_place(row)}: {row.new:,} new"
    sums = sums_text(add_sums([row.last]))
    new = f", {row.new:,} new" if row.new else ""
    return f"{f'*{sums}*: ' if sums else ''}{_place(row)}: {row.last.found:,} found{new}"
