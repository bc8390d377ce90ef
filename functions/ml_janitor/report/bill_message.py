"""What the bill says in Slack each morning: a few paragraphs, posted alone or within the digest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from ml_janitor.bill.accounts import titled
from ml_janitor.bill.budgets import BudgetState
from ml_janitor.bill.model import ACCOUNT, GapCause, Span
from ml_janitor.bill.movements import Cause, Movement, Mover
from ml_janitor.bill.report import BillReport
from ml_janitor.bill.tables import PHASE, Line, by_day, lines, readable, together
from ml_janitor.core.text import usd
from ml_janitor.report import bill as words
from ml_janitor.report.bill_gaps import missing
from ml_janitor.report.charts import PICTURE, columns, png
from ml_janitor.report.mrkdwn import LONGEST_SECTION, Message, Picture, Post, fits, header, prose, section
from ml_janitor.report.series import Series

MOVERS = 3
MOST_LINES = 10
MOST_ACCOUNTS = 5
LONGEST_LINE = 300
PICTURE_NAME = "bill.png"

LASTING = {
    GapCause.OVER_LIMIT,
    GapCause.TAG_NOT_ACTIVE,
    GapCause.SHORT_HISTORY,
    GapCause.YOUNG_ACCOUNT,
    GapCause.NOT_CHARGED,
}
"""Causes that stay from day to day: they are named with the weekly table only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillMessage:
    """*text* is for a notification; *paragraphs* are mrkdwn, each of which fits into a block."""

    text: str
    paragraphs: tuple[str, ...]


def bill_message(report: BillReport, *, table_by: str, max_requests: int) -> BillMessage:
    """What *report* says of a day; with the table by the tag *table_by*, unless that is ""."""
    weekly = bool(table_by)
    if not report.bill.charges:
        text = words.headline(report)
        gaps = " ".join(
            prose(gap, LONGEST_SECTION // 2) for gap in _missing(report, max_requests, weekly=weekly)
        )
        return BillMessage(
            text=text, paragraphs=(f"{_title(report)} {text} {gaps}".strip()[:LONGEST_SECTION],)
        )
    parts = [
        _spans(report),
        *_by_account(report),
        *(_budget(one, report.bill.until - timedelta(days=1)) for one in report.budgets),
        _why(report),
        *_untagged(report),
        *(_table(report, table_by) if weekly else ()),
        *(prose(gap, LONGEST_LINE * 3) for gap in _missing(report, max_requests, weekly=weekly)),
    ]
    paragraphs = tuple(part for part in parts if part)
    return BillMessage(text=_notification(report), paragraphs=paragraphs)


def bill_post(message: BillMessage, saved: Decimal = Decimal(0), picture: Picture | None = None) -> Post:
    """The message alone, with its picture; and with what was *saved* this month, where no digest says so."""
    paragraphs = list(message.paragraphs)
    if saved:
        paragraphs.append(f"*Saved so far this month:* {usd(saved)}")
    blocks = [header("What AWS charged")]
    for one in paragraphs:
        if fits([*blocks, section(one)]):
            blocks.append(section(one))
    return Post(main=Message(text=message.text, blocks=tuple(blocks)), picture=picture)


def daily_costs(report: BillReport, tag: str) -> Series:
    """The days of the report's span by the values of *tag*; by phase, where that could not be read."""
    by = tag if readable(report.bill, tag) else PHASE
    days = list(report.span)
    groups = {name or f"no {by}": amounts for name, amounts in by_day(report.bill, by, days).items()}
    unsettled = report.main.comparison.unsettled if report.main else ()
    return Series(title=f"Cost a day by {by}", days=days, groups=groups, unsettled=len(unsettled))


def bill_picture(report: BillReport, tag: str) -> Picture:
    """The same as a PNG."""
    series = daily_costs(report, tag)
    return Picture(name=PICTURE_NAME, png=png(columns(series, PICTURE)), words=series.reduced().description)


def late(last: str) -> str:
    """That the bill was not read when its schedule says; *last* is how long ago it was, "" for never."""
    when = f"the last time was {last} ago" if last else "it never has been"
    return f"*Bill:* not read: {when}. The log of the function bill says why."


# --- yesterday and the month ------------------------------------------------------------------


def _notification(report: BillReport) -> str:
    month = _month(report)
    spent = usd(report.bill.total(month))
    moved = f", {words.change(report.month)}" if report.month else ""
    whose = f" of {words.whose(report.bill)}" if report.bill.accounts is not None else ""
    return f"The bill{whose}: {spent} in {month.last:%B} to date{moved}."


def _month(report: BillReport) -> Span:
    first = (report.bill.until - timedelta(days=1)).replace(day=1)
    return Span(first, (report.bill.until - first).days)


def _spans(report: BillReport) -> str:
    """The last settled day with the same weekday before, and the month to date with that before."""
    month = _month(report)
    day = report.yesterday
    parts = []
    if day is not None:
        after, before = day.comparison.after.first, day.comparison.before.first
        parts.append(f"{usd(day.usd_after)} on {after:%A} {after:%m-%d}, {_against(day, f'{before:%m-%d}')}")
    spent = f"{month.last:%B} to date {usd(report.bill.total(month))}"
    if report.month is not None:
        compared = report.month.comparison
        moved = _against(report.month, _days(compared.before))
        shorter = compared.after.days < month.days  # the month before has fewer days
        spent += f" ({_days(compared.after)}: {moved})" if shorter else f", {moved}"
    parts.append(spent)
    return f"{_title(report)} {'; '.join(parts)}."


def _title(report: BillReport) -> str:
    """Whose bill it is, where it may be that of several accounts."""
    several = report.bill.accounts is not None
    return f"*Bill of {prose(words.whose(report.bill), 120)}:*" if several else "*Bill:*"


def _by_account(report: BillReport) -> Iterator[str]:
    """The accounts of several, what rose most first, with what was saved there; the others together."""
    moved, names = report.month or report.main, report.bill.accounts or {}
    if len(report.bill.seen) < 2:
        return
    span = moved.comparison.after if moved else report.span
    every = lines(report.bill, ACCOUNT, span, moved.comparison.before if moved else None)
    ranked = sorted(every, key=lambda one: -(one.usd if one.change is None else one.change))
    saved = report.saved_by_account
    rows = [
        _line(one, prose(titled(one.name, names), 80), saved.get(one.name)) for one in ranked[:MOST_ACCOUNTS]
    ]
    if rest := ranked[MOST_ACCOUNTS:]:
        usd_saved = sum((saved.get(one.name, Decimal(0)) for one in rest), Decimal(0))
        rows.append(_line(together(rest), f"{len(rest)} other{'s' * (len(rest) > 1)}", usd_saved))
    days = _days(span) if moved else f"{span.days} days"
    yield "\n".join([f"*By account, {days}:*", *rows])


def _days(span: Span) -> str:
    return f"{span.first:%m-%d} to {span.last:%m-%d}"


def _against(movement: Movement, before: str) -> str:
    if not round(movement.change, 2):
        return f"as on {before}"
    return f"{words.change(movement)} against {before}"


def _budget(state: BudgetState, month: date) -> str:
    share = words.percent(state.spent / state.usd)
    part = f", {prose(state.tag, 60)} {prose(state.value, 60)}" if state.tag else ""
    text = f"*Budget of {month:%B}{part}:* {usd(state.spent)} of {usd(state.usd)} spent ({share})"
    if state.spent > state.usd:
        text += f": *{usd(state.spent - state.usd)} over*"
    if state.expected is None:
        return f"{text}; AWS has no forecast."
    over = state.expected - state.usd
    verdict = f", *{usd(over)} over*" if over > 0 and state.spent <= state.usd else ""
    return f"{text}; {usd(state.expected)} expected{verdict}."


# --- why --------------------------------------------------------------------------------------


def _why(report: BillReport) -> str:
    """The largest movers that are news of the month, else of the whole span; and the day's largest other."""
    rows: list[str] = []
    named: set[str] = set()
    for movement, span in ((report.month, "this month"), (report.main, f"in {report.span.days} days")):
        if movement is not None and (movers := _news(movement)[:MOVERS]):
            rows = [f"*What moved it {span}:*", *(_mover(one, movement) for one in movers)]
            named = {one.culprit.name for one in movers if one.culprit}
            break
    day = report.yesterday
    fresh = [one for one in _news(day) if one.culprit and one.culprit.name not in named] if day else []
    if day is not None and fresh:
        rows += [f"*And on {day.comparison.after.first:%A}:*", _mover(fresh[0], day)]
    return "\n".join(rows) or "Nothing moved more than usual."


def _mover(one: Mover, movement: Movement) -> str:
    return f"\u2022 {prose(words.mover(one, movement), LONGEST_LINE)}"


def _news(movement: Movement) -> Sequence[Mover]:
    return [one for one in movement.news if one.cause is not Cause.TAG]


# --- tags -------------------------------------------------------------------------------------


def _untagged(report: BillReport) -> Iterator[str]:
    """The untagged share of the first tag: the one that the bill is divided by."""
    for sentence in words.untagged(report.shares[:1]):
        yield f"*Untagged:* {prose(sentence, LONGEST_LINE)}, of {report.span.days} days."


def _table(report: BillReport, by: str) -> Iterator[str]:
    if not readable(report.bill, by):
        return
    every = report.table(by)
    rows = [_line(one, prose(one.name, 60) or f"no {prose(by, 60)}") for one in every[:MOST_LINES]]
    if rest := every[MOST_LINES:]:
        rows.append(_line(together(rest), f"{len(rest)} others"))
    yield "\n".join([f"*By {prose(by, 60)}, {report.span.days} days:*", *rows])


def _line(one: Line, name: str, saved: Decimal | None = None) -> str:
    moved = ""
    if one.change is not None and round(one.change, 2):
        share = words.percent(one.change / one.usd_before, sign=True) if one.usd_before else "new"
        moved = f" ({words.signed(one.change)}, {share})"
    return f"• {name}: {usd(one.usd)}{moved}{f'; {usd(saved)} saved' if saved else ''}"


# --- what is missing --------------------------------------------------------------------------


def _missing(report: BillReport, max_requests: int, *, weekly: bool) -> Iterator[str]:
    """What could not be read; what lasts only *weekly*, and where nothing else was read."""
    whole = weekly or not report.bill.charges
    gaps = [
        gap
        for gap in report.bill.gaps
        if (whole or gap.cause not in LASTING) and gap.cause is not GapCause.TAG_NOT_USED
    ]
    return missing(gaps, max_requests)
