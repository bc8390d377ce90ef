"""The daily digest of an account or an organization: findings, their cost, sweeps that did not run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_janitor.acting.savings import SavingsTotal
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import HOURS_PER_MONTH, WORK_HOURS
from ml_janitor.core.money import NO_USD, Totals
from ml_janitor.core.text import count_noun, format_local_time, format_usd, shorten_list
from ml_janitor.ledger.latest import LastSweep
from ml_janitor.report.finding_words import detector_noun, owner_in_message, sums_text, unpriced_note
from ml_janitor.report.mrkdwn import (
    Block,
    Message,
    Post,
    as_sentence,
    button_row,
    code_span,
    context_block,
    fits_message,
    header_block,
    join_lines,
    make_button,
    prose,
    section_block,
)
from ml_janitor.report.warnings import (
    BUTTON_LABELS,
    Button,
    ButtonSubject,
    kept_resource,
    kept_subject,
    person_text,
)

if TYPE_CHECKING:
    from ml_janitor.engine.policy import Hold
    from ml_janitor.ledger.findings import Entry

# --- digest of an account -------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class ActionLine:
    """
    A line about what was done, and the dollars that it saves.

    *monthly_usd* ended for good. *hourly_usd* ended a cost that would have ended by itself, as a job's.
    """

    text: str
    monthly_usd: Decimal = NO_USD
    hourly_usd: Decimal = NO_USD

    def __str__(self) -> str:
        """Return the line's text."""
        return self.text

    @property
    def rank(self) -> Decimal:
        """The dollars that the action saves in an hour, the most first."""
        return -(self.hourly_usd + self.monthly_usd / HOURS_PER_MONTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestActions:
    """
    Actions of armed detectors since the last digest, one line each, and the actions due tonight.

    *acted* has the most dollars first. *failed* includes earlier actions that have still failed, *saved* is
    for this month. *lost* are actions that can be undone, but by no function that is deployed.
    """

    acted: Sequence[ActionLine] = ()
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
    rows: Sequence[SweepRow],
    *,
    now: datetime,
    time_zone: str = "UTC",
    actions: DigestActions = NO_ACTIONS,
    bill: Sequence[str] = (),
    advice: Sequence[Block] = (),
    savings: str = "",
) -> Post:
    """
    Build the post of a day; short if nothing is new or was done, everything ran, and nothing went wrong.

    *bill* has the paragraphs about the bill, *advice* the week's advice, on its day. *savings* is how much of
    the bill can go. Where all *rows* are of one account and region, these are named once.
    """
    last = [row.last for row in rows if row.last is not None]
    new = sum(row.new for row in rows)
    as_usual = not new and not actions.any and all(row.ran for row in rows)
    if as_usual and not any(sweep.error for sweep in last):
        ran = f"All {count_noun(len(rows), 'sweep')} ran." if len(rows) > 1 else "The sweep ran."
        return Post(main=quiet_message(last, ran, actions.saved, bill, advice))
    unread = any(row.last is None or row.last.error for row in rows)
    title = findings_title(last, new, partial=unread)
    if title is None:
        title = "Nothing wasteful found in what ran" if last else "No sweep has run"
    places = {(row.account, row.region) for row in rows}
    several = len(places) > 1
    where = (
        ""
        if several or not places
        else " of account {}, {}".format(*(prose(part, 40) for part in min(places)))
    )
    as_of = format_local_time(now, time_zone)
    blocks = [
        header_block(title),
        section_block(
            f"All sweeps{where}, as of {as_of}.{unpriced_note(sum(sweep.unpriced for sweep in last))}"
        ),
        *savings_block(savings),
    ]
    errors = [(row, row.last.error) for row in rows if row.last and row.last.error]
    silent = [_silence(row, now, several) for row in rows if not row.ran]
    broken = [f"{_place(row, several)}: {prose(error, 300)}" for row, error in errors]
    found = dearest_rows(rows)
    listed: list[Sequence[object]] = [silent, broken, found, actions.failed, actions.lost, actions.due]
    listed += [actions.acted, actions.undone]
    most = next(
        (size for size in FOLD_SIZES if sum(min(len(parts), size + 1) for parts in listed) <= LINES_SHOWN), 1
    )

    def lists(most: int, besides: Sequence[Block] = ()) -> Iterator[Block]:
        yield from list_paragraphs("Did not run", _lines(silent, most))
        yield from list_paragraphs("Not complete", _lines(broken, most))
        yield from action_blocks(actions, most)
        yield from besides
        yield from list_paragraphs("Found", list(_found_lines(found, most, several)))
        yield from unjudged_block(last)

    folded = any(len(parts) > most + 1 for parts in listed)
    every = sum(map(len, listed)) if folded else most
    missing = sum(not row.ran for row in rows)
    late = f" {count_noun(missing, 'sweep')} of {len(rows)} did not run." if missing else ""
    text = f"Daily digest. {title}.{count_actions(actions)}{late}"
    besides = [*map(section_block, bill), *advice]
    return Post(
        main=Message(text=text, blocks=tuple(_fill(blocks, list(lists(most, besides))))),
        replies=_thread(_fill([], list(lists(every)))) if folded else (),
        whole=Message(text=text, blocks=(*blocks, *lists(every, besides))) if folded else None,
    )


LINES_SHOWN = 12
"""The most lines of lists in a digest; its thread has them all."""

FOLD_SIZES = (LINES_SHOWN, 10, 6, 4, 3, 2)
"""Lines of each list, the most first."""


def _thread(blocks: Sequence[Block]) -> tuple[Message, ...]:
    """Return the reply with the lists that the message itself folds."""
    return (Message(text="Everything that the digest lists", blocks=tuple(blocks)),)


def _fill(blocks: Sequence[Block], rest: Sequence[Block]) -> list[Block]:
    """Add as many of *rest* to *blocks* as Slack takes, and say how many are left."""
    filled = list(blocks)
    for number, block in enumerate(rest):
        if not fits_message([*filled, block]):
            left = count_noun(len(rest) - number, "more paragraph")
            return [*filled, context_block(f"and {left}: see the dashboard")]
        filled.append(block)
    return filled


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


def action_blocks(actions: DigestActions, most: int) -> Iterator[Block]:
    """Build paragraphs about past and coming actions, with *most* lines of each list."""
    for title, parts in (
        ("Failed", _lines(actions.failed, most)),
        ("No function may undo", _lines(actions.lost, most)),
        ("Due tonight", _lines(actions.due, most)),
        ("Done", _acted_lines(actions.acted, most)),
        ("Undone", _lines(actions.undone, most)),
    ):
        yield from list_paragraphs(title, parts)
    if saved := saved_text(actions.saved):
        yield section_block(saved)


def savings_block(savings: str) -> list[Block]:
    """Return the paragraph with how much of the bill can go; none without that sentence."""
    return [section_block(prose(savings))] if savings else []


def unjudged_block(last: Iterable[LastSweep]) -> Iterator[Block]:
    """Say how many resources could not be judged; yield nothing if there are none."""
    if unknown := sum(sweep.unknown for sweep in last):
        verb = "was" if unknown == 1 else "were"
        yield section_block(f"{count_noun(unknown, 'resource')} could not be judged and {verb} kept.")


def quiet_message(
    last: Sequence[LastSweep],
    ran: str,
    saved: SavingsTotal,
    bill: Sequence[str],
    advice: Sequence[Block],
    *,
    where: str = "",
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
    blocks = (section_block(text), *map(section_block, bill), *advice)
    return Message(text=text.replace("*", ""), blocks=blocks)


def findings_title(
    last: Sequence[LastSweep], new: int, where: str = "", *, partial: bool = False
) -> str | None:
    """
    Say how many findings there are *where*, what they cost and how many are *new*; None if there are none.

    Where something was not read (*partial*), there may be more.
    """
    found, sums = sum(sweep.found for sweep in last), sums_text(add_sums(last))
    if not found:
        return None
    what, least = f"{count_noun(found, 'finding')}{where}", "at least " if partial else ""
    if sums:
        said = f"{what} {'costs' if found == 1 else 'cost'} {least}{sums}"
    else:
        said = f"There {'is' if found == 1 else 'are'} {least}{what}"
    if new and new == found:
        return f"{said}; {'it is' if found == 1 else 'all are'} new"
    if not new:
        return f"{said}; {'it is not' if found == 1 else 'none is'} new"
    return f"{said}; {new:,} {'is' if new == 1 else 'are'} new"


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


KEEPS_SHOWN = 5


def keep_blocks(
    ending: Sequence[tuple[str, str, Hold]], *, time_zone: str, several: bool, buttons: bool
) -> Iterator[Block]:
    """
    Build the paragraphs about holds that are *ending*, each with its account and region, the next first.

    With *several* accounts each hold names its place. Without *buttons*, a command does the same.
    """
    if ending:
        yield section_block(
            "*Kept, but not for much longer.* Afterwards there is a warning, as for a new finding."
        )
    for account, region, hold in ending[:KEEPS_SHOWN]:
        where = f" in {prose(account, 40)}, {prose(region, 40)}" if several else ""
        end = format_local_time(hold.until, time_zone) if hold.until else ""
        yield section_block(f"{kept_resource(hold)}{where}: kept by {person_text(hold.by)} until {end}")
        if buttons:
            subject = str(kept_subject(account, region, hold))
            keep = Button.KEEP_ON
            yield button_row([make_button(BUTTON_LABELS[keep], keep.value, subject)])
    ends = []
    if (more := len(ending) - KEEPS_SHOWN) > 0:
        ends.append(f"{count_noun(more, 'more keep')} end soon.")
    if ending and not buttons:
        ends.append(f"{code_span('janitor keep ARN --reason TEXT')} keeps on.")
    if ends:
        yield context_block(" ".join([*ends, f"{code_span('janitor findings')} lists all."]))


ADVICE_SHOWN = 5
ADVICE_BUTTONS = (Button.LATER, Button.NOT_FOR_US)


def advice_blocks(
    ranked: Sequence[tuple[Entry, Decimal]], *, several: bool, buttons: bool
) -> Iterator[Block]:
    """
    Build the paragraphs about the best of the *ranked* findings, each with what it would save a month.

    *hours* are the working hours of each kind of change. With *several* accounts each piece names its place.
    Without *buttons*, a command does the same.
    """
    best = ranked[:ADVICE_SHOWN]
    together = format_usd(sum((usd for _, usd in best), Decimal(0)))
    yield section_block(
        f"*This week's advice: {together} a month in {count_noun(len(best), 'change')}.* "
        "The largest saving for an hour of work comes first."
    )
    for entry, usd in best:
        once = f", {format_usd(entry.once_usd)} once" if entry.once_usd else ""
        where = f" in {entry.account}, {entry.region}" if several else ""
        what = f"{detector_noun(entry.detector, 1)} {code_span(entry.name)}{where}"
        work = format_age(timedelta(hours=WORK_HOURS[entry.claim.change]))
        yield section_block(
            f"*{format_usd(usd)} a month{once}*: {what}, {owner_in_message(entry.owner)}, about {work} of "
            f"work\n{as_sentence(prose(entry.action, 600))}"
        )
        if buttons:
            subject = ButtonSubject(
                detector=entry.detector, account=entry.account, region=entry.region, finding=entry.id
            )
            yield button_row(
                [make_button(BUTTON_LABELS[word], word.value, str(subject)) for word in ADVICE_BUTTONS]
            )
    ends = []
    if len(ranked) > len(best):
        every = format_usd(sum((usd for _, usd in ranked), Decimal(0)))
        ends.append(f"{count_noun(len(ranked), 'piece')} of advice would save {every} a month together.")
    if not buttons:
        ends.append(f"{code_span('janitor keep ARN --only DETECTOR --reason TEXT')} leaves one out.")
    if ends:
        yield context_block(" ".join(ends))


def _place(row: SweepRow, several: bool, number: int = 2) -> str:  # noqa: FBT001 - whether its place is named
    where = f" in {prose(row.account, 40)}, {prose(row.region, 40)}" if several else ""
    return f"{detector_noun(row.detector, number)}{where}"


def _silence(row: SweepRow, now: datetime, several: bool) -> str:  # noqa: FBT001
    return f"{_place(row, several)}: {last_run_text(row.last.time if row.last else None, now)}"


def last_run_text(at: datetime | None, now: datetime) -> str:
    """Say when something ran last."""
    return "it never has" if at is None else f"the last time was {format_age(now - at)} ago"


def _found_lines(ranked: Sequence[SweepRow], most: int, several: bool) -> Iterator[str]:  # noqa: FBT001
    """Yield *most* of the *ranked* rows, a line each, and a line that sums up the others."""
    shown, rest = fold_known([(row, bool(row.new)) for row in ranked], most)
    yield from (_found(row, several) for row in shown)
    if rest:
        what = count_noun(len(rest), "more sweep" if several else "more detector")
        yield f"and {what}: {_findings_in_accounts(rest)}{f', {sums}' if (sums := _sums(rest)) else ''}"


def fold_known[Row](ranked: Sequence[tuple[Row, bool]], most: int) -> tuple[list[Row], list[Row]]:
    """
    Split *ranked* into *most* rows to show and the rest, each in the same order.

    A row with something new, the second of each pair, is folded after all others. A rest of one takes no
    fewer lines than itself, so it is shown.
    """
    most = len(ranked) if len(ranked) == most + 1 else most
    by_news = sorted(range(len(ranked)), key=lambda number: not ranked[number][1])
    shown = set(by_news[:most])
    rows = [row for row, _ in ranked]
    return (
        [row for number, row in enumerate(rows) if number in shown],
        [row for number, row in enumerate(rows) if number not in shown],
    )


def _found(row: SweepRow, several: bool) -> str:  # noqa: FBT001
    if row.last is None:
        return f"{_place(row, several)}: {row.new:,} new"
    sums = sums_text(add_sums([row.last]))
    new = f", {row.new:,} new" if row.new else ""
    found = f"{row.last.found:,} {_place(row, several, row.last.found)}"
    return f"{f'*{sums}*: ' if sums else ''}{found}{new}"


# --- latest runs over an organization -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRun:
    """
    The latest run of *detector* over the organization, of the schedule's *time*; None if there never was one.

    It looked at so many *accounts*, in so many *sweeps*. While it is *at_work*, accounts that are *waiting*
    have no result of this run yet. It is *late* if its schedule should have begun another run by now. *error*
    is why nobody knows which accounts it looks at.
    """

    detector: str
    time: datetime | None = None
    begun: datetime | None = None
    accounts: int = 0
    sweeps: int = 0
    waiting: int = 0
    at_work: bool = False
    late: bool = False
    error: str = ""

    @property
    def ran(self) -> bool:
        """Return whether the run happened on schedule, or is about to."""
        return self.time is not None and not self.late


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """
    Results of the latest *runs* in all *accounts*.

    *rows* are the sweeps that found something, left something unjudged, have an error, or have no result
    although their run has ended. *names* are the known names of accounts.
    """

    runs: Sequence[DetectorRun]
    rows: Sequence[SweepRow]
    accounts: int
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> list[LastSweep]:
        """Return the sweeps that have a result."""
        return [row.last for row in self.rows if row.last is not None]

    @property
    def counts(self) -> dict[str, int]:
        """Return counts for the log."""
        return {
            "accounts": self.accounts,
            "sweeps": sum(run.sweeps for run in self.runs),
            "did_not_run": sum(not run.ran for run in self.runs),
            "not_ended": sum(run.at_work for run in self.runs),
            "unread": len(self.unread),
        }

    @property
    def ran(self) -> list[str]:
        """Return the detectors that ever ran."""
        return [run.detector for run in self.runs if run.time is not None]

    @property
    def new(self) -> int:
        """Count findings since the last digest."""
        return sum(row.new for row in self.rows)

    @property
    def unread(self) -> list[SweepRow]:
        """Return the sweeps that read nothing."""
        return [row for row in self.rows if row.last is None or (row.last.error and not row.last.looked_at)]

    @property
    def incomplete(self) -> list[SweepRow]:
        """Return the sweeps that read a part."""
        return [row for row in self.rows if row.last and row.last.error and row.last.looked_at]

    @property
    def partial(self) -> bool:
        """Return whether there may be more findings, because something was not read."""
        return bool(self.unread or self.incomplete) or any(run.error for run in self.runs)

    @property
    def fine(self) -> bool:
        """Return whether everything ran and was read."""
        return not self.partial and all(run.ran and not run.at_work for run in self.runs)


# --- digest of an organization --------------------------------------------------------------------
# The dearest accounts stand in full, the rest in one line.

DIGEST_SIZES = (10, 6, 3, 1)
"""Accounts in full, and lines of each list, in the thread: the most with which Slack takes the message."""

KINDS_SHOWN = 4
"""Kinds of findings that one account is shown with."""

ACCOUNT_NAMES_SHOWN = 10
"""Accounts that a line about several names."""

GROUPS_SHOWN = 5
"""Lines about sweeps without a result, and about sweeps that broke off."""

REGIONS_SHOWN = 2


def make_organization_digest(
    seen: Overview,
    *,
    now: datetime,
    time_zone: str = "UTC",
    actions: DigestActions = NO_ACTIONS,
    bill: Sequence[str] = (),
    advice: Sequence[Block] = (),
    savings: str = "",
) -> Post:
    """Build the post of a day, like `make_digest`; short if nothing changed. The thread has all in full."""
    if seen.fine and not seen.new and not actions.any:
        who = f"All {count_noun(len(seen.runs), 'detector')}" if len(seen.runs) > 1 else "The detector"
        looked = f"{who} looked at {count_noun(seen.accounts, 'account')}."
        return Post(main=quiet_message(seen.last, looked, actions.saved, bill, advice, where=_where(seen)))
    title, besides = _headline(seen), [*map(section_block, bill), *advice]
    for most, full in ((size, full) for size in (*FOLD_SIZES, 1) for full in (True, False)):
        lines = list(_blocks(seen, now, actions, (), most, full=full))
        if _count_lines(lines) <= LINES_SHOWN:
            break
    for size in DIGEST_SIZES:
        whole = list(_blocks(seen, now, actions, (), size, full=True))
        if fits_message(whole):
            break
    else:
        whole = _cut(whole)
    unpriced = unpriced_note(sum(sweep.unpriced for sweep in seen.last))
    looked = f"{count_noun(seen.accounts, 'account')} and {count_noun(len(seen.runs), 'detector')}"
    more = " Not everything could be read, so there may be more." if seen.partial else ""
    head = section_block(f"{looked}, as of {format_local_time(now, time_zone)}.{more}{unpriced}")
    heads = [header_block(title), head, *savings_block(savings)]
    blocks = [*heads, *_blocks(seen, now, actions, besides, most, full=full)]
    blocks = blocks if fits_message(blocks) else _cut(blocks)
    folded = whole != lines
    missing = sum(not run.ran for run in seen.runs)
    late = f" {count_noun(missing, 'detector')} of {len(seen.runs)} did not run." if missing else ""
    unread = f" {count_noun(len(seen.unread), 'sweep')} without a result." if seen.unread else ""
    text = f"Daily digest. {title}.{count_actions(actions)}{late}{unread}"
    unfolded = [*heads, *_blocks(seen, now, actions, besides, size, full=True)]
    return Post(
        main=Message(text=text, blocks=tuple(blocks)),
        replies=_thread(whole) if folded else (),
        whole=Message(text=text, blocks=tuple(unfolded)) if folded else None,
    )


def _count_lines(blocks: Sequence[Block]) -> int:
    """Count the lines of *blocks*, without titles."""
    texts = (line for block in blocks for line in block["text"]["text"].split("\n"))
    return sum(not line.endswith(":*") for line in texts)


def _blocks(
    seen: Overview, now: datetime, actions: DigestActions, besides: Sequence[Block], most: int, *, full: bool
) -> Iterator[Block]:
    yield from list_paragraphs(
        "Did not run", _lines([_run_silence(run, now) for run in seen.runs if not run.ran], most)
    )
    yield from list_paragraphs("Not ended", _lines(list(_at_work(seen, now)), most))
    yield from list_paragraphs(
        "Without a result", _lines([*_unlisted(seen), *_troubles(seen.unread, seen)], most)
    )
    yield from list_paragraphs("Not complete", _lines(list(_troubles(seen.incomplete, seen)), most))
    yield from action_blocks(actions, most)
    yield from besides
    yield from map(section_block, _accounts(seen, most, full=full))
    yield from unjudged_block(seen.last)


def _cut(blocks: Sequence[Block]) -> list[Block]:
    """Return as many of *blocks* as Slack takes."""
    for number in range(len(blocks), 0, -1):
        left = context_block(f"and {count_noun(len(blocks) - number, 'more paragraph')}: see the dashboard")
        if fits_message([*blocks[:number], left]):
            return [*blocks[:number], left]
    return []


def _lines(parts: Sequence[str], most: int) -> list[str]:
    """Return the first *most* of *parts*, and how many more there are; a single one more is shown."""
    more = len(parts) - most
    return list(parts) if more <= 1 else [*parts[:most], f"and {more:,} more"]


def _acted_lines(acted: Sequence[ActionLine], most: int) -> list[str]:
    """Return *most* lines about what was done, the most dollars first, and what the others save."""
    ranked = sorted(acted, key=lambda line: line.rank)
    texts = _lines(list(map(str, ranked)), most)
    if len(texts) == len(ranked):
        return texts
    monthly = sum((line.monthly_usd for line in ranked[most:]), NO_USD)
    hourly = sum((line.hourly_usd for line in ranked[most:]), NO_USD)
    money = [f"{format_usd(monthly)} a month"] * bool(monthly) + [f"{format_usd(hourly)} an hour"] * bool(
        hourly
    )
    return [*texts[:-1], ", ".join([texts[-1], *money])]


# --- headline -------------------------------------------------------------------------------------


def _headline(seen: Overview) -> str:
    partial = seen.partial or any(run.waiting for run in seen.runs)
    if (found := findings_title(seen.last, seen.new, _where(seen), partial=partial)) is not None:
        return found
    if all(run.time is None for run in seen.runs):
        return "No detector has run"
    accounts = f" in {count_noun(seen.accounts, 'account')}" if seen.accounts > 1 else ""
    return f"Nothing wasteful found in what ran{accounts}"


def _where(seen: Overview) -> str:
    """Say in how many of the accounts something was found; empty if there is one account."""
    found = len({sweep.account for sweep in seen.last if sweep.found})
    return f" in {found:,} of {count_noun(seen.accounts, 'account')}" if seen.accounts > 1 else ""


# --- failed and missing runs ----------------------------------------------------------------------


def _run_silence(run: DetectorRun, now: datetime) -> str:
    return f"{detector_noun(run.detector, 2)}: {last_run_text(run.time, now)}"


def _at_work(seen: Overview, now: datetime) -> Iterator[str]:
    """Describe runs that still look at accounts: what they found there before is counted."""
    for run in seen.runs:
        if run.at_work and not run.error:
            after = f" after {format_age(now - run.begun)}" if run.begun else ""
            accounts, what = count_noun(run.accounts, "account"), detector_noun(run.detector, 2)
            if run.waiting:
                of = f"{run.waiting:,} of {accounts}"
                yield f"{what}: still looking at {of}{after}; what it found there before counts"
            else:
                yield f"{what}: has looked at {accounts}, and has not ended{after}"


def _unlisted(seen: Overview) -> Iterator[str]:
    """Describe runs with an error that hides which accounts they look at."""
    for run in seen.runs:
        if run.error:
            yield f"{detector_noun(run.detector, 2)}, all of it: {prose(run.error, 300)}"


def _troubles(rows: Sequence[SweepRow], seen: Overview) -> Iterator[str]:
    """Group *rows* with an error: one line for detectors with the same accounts, most rows first."""
    by_detector = _grouped(rows, lambda row: row.detector)
    alike: dict[frozenset[str], list[str]] = {}
    for detector, of_detector in by_detector.items():
        alike.setdefault(frozenset(row.account for row in of_detector), []).append(detector)
    groups = [
        (accounts, detectors, [row for name in detectors for row in by_detector[name]])
        for accounts, detectors in alike.items()
    ]
    groups.sort(key=lambda group: -len(group[2]))
    for accounts, detectors, of_group in groups[:GROUPS_SHOWN]:
        names = shorten_list(
            [account_name(account, seen.names) for account in sorted(accounts)], ACCOUNT_NAMES_SHOWN
        )
        sweeps = f"{count_noun(len(of_group), 'sweep')} in {count_noun(len(accounts), 'account')}"
        yield f"{_detectors(detectors, len(seen.runs))}: {sweeps}: {names}. {_why(of_group)}"
    if more := groups[GROUPS_SHOWN:]:
        others = sum(len(detectors) for _, detectors, _ in more)
        left = sum(len(of_group) for _, _, of_group in more)
        yield f"and {count_noun(left, 'sweep')} of {count_noun(others, 'more detector')}"


def _detectors(names: Sequence[str], of: int) -> str:
    if len(names) == of > 1:
        return f"All {count_noun(of, 'detector')}"
    return shorten_list([detector_noun(name, 2) for name in names], KINDS_SHOWN)


def _why(rows: Sequence[SweepRow]) -> str:
    """Return the most frequent reason."""
    reasons = Counter(row.last.error or "" if row.last else "the run left nothing" for row in rows)
    (reason, _), *others = reasons.most_common()
    return f"{'Most often: ' if others else ''}{as_sentence(prose(reason, 250))}"


def account_name(account: str, names: Mapping[str, str]) -> str:
    """Return an account's name with its id."""
    return f"{prose(names[account], 50)} ({account})" if names.get(account) else prose(account, 40)


# --- findings by account and kind -----------------------------------------------------------------


def _accounts(seen: Overview, most: int, *, full: bool) -> Iterator[str]:
    """
    Write a paragraph for each of the dearest accounts, a line unless in *full*, and one for all others.

    Accounts with something new are among those that have their own.
    """
    found = [row for row in seen.rows if row.last is not None and (row.last.found or row.new)]
    by_account = _grouped(found, lambda row: row.account)
    ranked = sorted(by_account.items(), key=lambda entry: _dearest(entry[1]))
    shown, rest = fold_known([(entry, any(row.new for row in entry[1])) for entry in ranked], most)
    if rest:
        some = f"{len(shown)} " if len(shown) > 1 else ""
        which = f"The dearest {some}of" if shown == ranked[: len(shown)] else f"{some or 'One '}of"
        yield f"*{which} {count_noun(len(ranked), 'account')}:*"
    for account, rows in shown:
        title = f"{_summed(rows)}{account_name(account, seen.names)}, "
        (first, *others) = kinds = list(_kinds(rows))
        if others and not full:
            yield f"{title}{_findings_in_accounts(rows)}"
        elif others:
            money = (f"\u2022 {f'{sums}: ' if sums else ''}{text}" for sums, text in kinds)
            yield "\n".join([f"{title}{_findings_in_accounts(rows)}", *money])
        else:
            yield f"{title}{first[1]}"
    if rest:
        rows = [row for _, of_account in rest for row in of_account]
        yield f"{_summed(rows)}{count_noun(len(rest), 'more account')}, {_findings_in_accounts(rows)}"


def _kinds(rows: Iterable[SweepRow]) -> Iterator[tuple[str, str]]:
    """Yield the dollars of each detector with findings, and how many of what where; the dearest first."""
    by_detector = _grouped(rows, lambda row: row.detector)
    ranked = sorted(by_detector.items(), key=lambda entry: _dearest(entry[1]))
    shown, rest = fold_known([(entry, any(row.new for row in entry[1])) for entry in ranked], KINDS_SHOWN)
    for detector, of_detector in shown:
        found = sum(row.last.found for row in of_detector if row.last)
        places = shorten_list(
            [row.region for row in sorted(of_detector, key=lambda row: _dearest([row]))], REGIONS_SHOWN
        )
        new = f", {sum(row.new for row in of_detector):,} new" if any(row.new for row in of_detector) else ""
        yield _sums(of_detector), f"{found:,} {detector_noun(detector, found)} in {prose(places, 100)}{new}"
    if rest:
        rows = [row for _, of_detector in rest for row in of_detector]
        yield _sums(rows), f"{_findings_in_accounts(rows)} of {count_noun(len(rest), 'more detector')}"


def _dearest(rows: Iterable[SweepRow]) -> tuple[Decimal, Decimal, int, str]:
    """Return the sort key: dollars a month, then dollars spent, then findings, the most first."""
    known = [row for row in rows if row.last is not None]
    sums = add_sums(row.last for row in known if row.last)
    found = sum(row.last.found for row in known if row.last)
    return -sums.monthly_usd, -sums.accrued_usd, -found, known[0].account if known else ""


def _grouped(rows: Iterable[SweepRow], by: Callable[[SweepRow], str]) -> Mapping[str, list[SweepRow]]:
    groups: dict[str, list[SweepRow]] = {}
    for row in rows:
        groups.setdefault(by(row), []).append(row)
    return groups


def _sums(rows: Iterable[SweepRow]) -> str:
    return sums_text(add_sums(row.last for row in rows if row.last))


def _summed(rows: Iterable[SweepRow]) -> str:
    return f"*{sums}*: " if (sums := _sums(rows)) else ""


def _findings_in_accounts(rows: Sequence[SweepRow]) -> str:
    found, new = sum(row.last.found for row in rows if row.last), sum(row.new for row in rows)
    return f"{count_noun(found, 'finding')}{f', {new:,} new' if new else ''}"


def late_bill_text(last: str) -> str:
    """Say that the bill was not read on schedule; *last* is how long ago it was, "" for never."""
    when = f"the last time was {last} ago" if last else "it never has been"
    return f"*Bill:* not read: {when}. The log of the function bill says why."
