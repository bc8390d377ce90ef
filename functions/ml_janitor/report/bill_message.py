"""Slack paragraphs about the bill, for each morning: posted alone or within the digest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from ml_janitor.bill.model import ACCOUNT_TAG, DaySpan, GapCause, Movement, Mover, MoverCause
from ml_janitor.bill.reading import account_title
from ml_janitor.bill.report import (
    BY_PHASE,
    BillLine,
    BillReport,
    BudgetState,
    bill_lines,
    has_table,
    sum_lines,
    usd_by_day,
)
from ml_janitor.core.text import format_usd
from ml_janitor.report.bill import (
    bill_headline,
    bill_scope,
    change_text,
    gap_sentences,
    mover_line,
    percent_text,
    signed_usd,
    untagged_shares,
)
from ml_janitor.report.charts import PICTURE_FORM, DailySeries, draw_columns, render_png
from ml_janitor.report.mrkdwn import (
    LONGEST_SECTION,
    Message,
    Picture,
    Post,
    fits_message,
    header_block,
    prose,
    section_block,
)

MOVERS_SHOWN = 3
TABLE_LINES_SHOWN = 10
ACCOUNTS_SHOWN = 5
LONGEST_BILL_LINE = 300
PICTURE_NAME = "bill.png"

LASTING_CAUSES = {
    GapCause.OVER_LIMIT,
    GapCause.TAG_NOT_ACTIVE,
    GapCause.SHORT_HISTORY,
    GapCause.YOUNG_ACCOUNT,
    GapCause.NOT_CHARGED,
}
"""Causes that stay from day to day: only the message with the weekly table names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillMessage:
    """A message with *text* for a notification, and *paragraphs* in mrkdwn that each fit into a block."""

    text: str
    paragraphs: tuple[str, ...]


def make_bill_message(report: BillReport, *, table_by: str, max_requests: int) -> BillMessage:
    """Build the daily message of *report*, with the table by the tag *table_by* unless that is ""."""
    weekly = bool(table_by)
    if not report.bill.charges:
        text = bill_headline(report)
        gaps = " ".join(
            prose(gap, LONGEST_SECTION // 2) for gap in _missing(report, max_requests, weekly=weekly)
        )
        return BillMessage(
            text=text, paragraphs=(f"{_title(report)} {text} {gaps}".strip()[:LONGEST_SECTION],)
        )
    parts = [
        _spans(report),
        *_by_account(report),
        *(_budget(state, report.bill.until - timedelta(days=1)) for state in report.budgets),
        _why(report),
        *_untagged(report),
        *(_table(report, table_by) if weekly else ()),
        *(prose(gap, LONGEST_BILL_LINE * 3) for gap in _missing(report, max_requests, weekly=weekly)),
    ]
    paragraphs = tuple(part for part in parts if part)
    return BillMessage(text=_notification(report), paragraphs=paragraphs)


def bill_post(message: BillMessage, saved: Decimal = Decimal(0), picture: Picture | None = None) -> Post:
    """Build the post of the message alone, with its picture; and *saved* this month, if no digest has it."""
    paragraphs = list(message.paragraphs)
    if saved:
        paragraphs.append(f"*Saved so far this month:* {format_usd(saved)}")
    blocks = [header_block("What AWS charged")]
    for paragraph in paragraphs:
        if fits_message([*blocks, section_block(paragraph)]):
            blocks.append(section_block(paragraph))
    return Post(main=Message(text=message.text, blocks=tuple(blocks)), picture=picture)


def daily_costs(report: BillReport, tag: str) -> DailySeries:
    """Return the days of the report's span by the values of *tag*, or by phase if *tag* could not be read."""
    by = tag if has_table(report.bill, tag) else BY_PHASE
    days = list(report.span)
    groups = {name or f"no {by}": amounts for name, amounts in usd_by_day(report.bill, by, days).items()}
    unsettled = report.main.comparison.unsettled if report.main else ()
    return DailySeries(title=f"Cost a day by {by}", days=days, groups=groups, unsettled=len(unsettled))


def bill_picture(report: BillReport, tag: str) -> Picture:
    """Draw the daily costs as a PNG."""
    series = daily_costs(report, tag)
    return Picture(
        name=PICTURE_NAME,
        png=render_png(draw_columns(series, PICTURE_FORM)),
        words=series.reduced().description,
    )


def late_bill_text(last: str) -> str:
    """Say that the bill was not read on schedule; *last* is how long ago it was, "" for never."""
    when = f"the last time was {last} ago" if last else "it never has been"
    return f"*Bill:* not read: {when}. The log of the function bill says why."


# --- yesterday and the month ------------------------------------------------------------------


def _notification(report: BillReport) -> str:
    month = _month(report)
    spent = format_usd(report.bill.total(month))
    moved = f", {change_text(report.month)}" if report.month else ""
    whose = f" of {bill_scope(report.bill)}" if report.bill.accounts is not None else ""
    return f"The bill{whose}: {spent} in {month.last:%B} to date{moved}."


def _month(report: BillReport) -> DaySpan:
    first = (report.bill.until - timedelta(days=1)).replace(day=1)
    return DaySpan(first, (report.bill.until - first).days)


def _spans(report: BillReport) -> str:
    """Compare the last settled day with its weekday before, and the month to date with the month before."""
    month = _month(report)
    day = report.yesterday
    parts = []
    if day is not None:
        after, before = day.comparison.after.first, day.comparison.before.first
        parts.append(
            f"{format_usd(day.usd_after)} on {after:%A} {after:%m-%d}, {_against(day, f'{before:%m-%d}')}"
        )
    spent = f"{month.last:%B} to date {format_usd(report.bill.total(month))}"
    if report.month is not None:
        compared = report.month.comparison
        moved = _against(report.month, _days(compared.before))
        shorter = compared.after.days < month.days  # the month before has fewer days
        spent += f" ({_days(compared.after)}: {moved})" if shorter else f", {moved}"
    parts.append(spent)
    return f"{_title(report)} {'; '.join(parts)}."


def _title(report: BillReport) -> str:
    """Name the accounts of the bill, where it may cover several."""
    several = report.bill.accounts is not None
    return f"*Bill of {prose(bill_scope(report.bill), 120)}:*" if several else "*Bill:*"


def _by_account(report: BillReport) -> Iterator[str]:
    """List the accounts of a bill of several, largest rise first, with savings; sum up the others."""
    moved, names = report.month or report.main, report.bill.accounts or {}
    if len(report.bill.seen) < 2:
        return
    span = moved.comparison.after if moved else report.span
    every = bill_lines(report.bill, ACCOUNT_TAG, span, moved.comparison.before if moved else None)
    ranked = sorted(every, key=lambda line: -(line.usd if line.change is None else line.change))
    saved = report.saved_by_account
    rows = [
        _line(line, prose(account_title(line.name, names), 80), saved.get(line.name))
        for line in ranked[:ACCOUNTS_SHOWN]
    ]
    if rest := ranked[ACCOUNTS_SHOWN:]:
        usd_saved = sum((saved.get(line.name, Decimal(0)) for line in rest), Decimal(0))
        rows.append(_line(sum_lines(rest), f"{len(rest)} other{'s' * (len(rest) > 1)}", usd_saved))
    days = _days(span) if moved else f"{span.days} days"
    yield "\n".join([f"*By account, {days}:*", *rows])


def _days(span: DaySpan) -> str:
    return f"{span.first:%m-%d} to {span.last:%m-%d}"


def _against(movement: Movement, before: str) -> str:
    if not round(movement.change, 2):
        return f"as on {before}"
    return f"{change_text(movement)} against {before}"


def _budget(state: BudgetState, month: date) -> str:
    share = percent_text(state.spent / state.usd)
    part = f", {prose(state.tag, 60)} {prose(state.value, 60)}" if state.tag else ""
    text = (
        f"*Budget of {month:%B}{part}:* {format_usd(state.spent)} of {format_usd(state.usd)} spent ({share})"
    )
    if state.spent > state.usd:
        text += f": *{format_usd(state.spent - state.usd)} over*"
    if state.expected is None:
        return f"{text}; AWS has no forecast."
    over = state.expected - state.usd
    verdict = f", *{format_usd(over)} over*" if over > 0 and state.spent <= state.usd else ""
    return f"{text}; {format_usd(state.expected)} expected{verdict}."


# --- movement -------------------------------------------------------------------------------------


def _why(report: BillReport) -> str:
    """List the largest news of the month, else of the whole span, and the largest other mover of the day."""
    rows: list[str] = []
    named: set[str] = set()
    for movement, span in ((report.month, "this month"), (report.main, f"in {report.span.days} days")):
        if movement is not None and (movers := _news(movement)[:MOVERS_SHOWN]):
            rows = [f"*What moved it {span}:*", *(_mover(mover, movement) for mover in movers)]
            named = {mover.culprit.name for mover in movers if mover.culprit}
            break
    day = report.yesterday
    fresh = (
        [mover for mover in _news(day) if mover.culprit and mover.culprit.name not in named] if day else []
    )
    if day is not None and fresh:
        rows += [f"*And on {day.comparison.after.first:%A}:*", _mover(fresh[0], day)]
    return "\n".join(rows) or "Nothing moved more than usual."


def _mover(mover: Mover, movement: Movement) -> str:
    return f"\u2022 {prose(mover_line(mover, movement), LONGEST_BILL_LINE)}"


def _news(movement: Movement) -> Sequence[Mover]:
    return [mover for mover in movement.news if mover.cause is not MoverCause.TAG]


# --- tags -------------------------------------------------------------------------------------


def _untagged(report: BillReport) -> Iterator[str]:
    """Describe the untagged share of the first tag, by which the bill is divided."""
    for sentence in untagged_shares(report.shares[:1]):
        yield f"*Untagged:* {prose(sentence, LONGEST_BILL_LINE)}, of {report.span.days} days."


def _table(report: BillReport, by: str) -> Iterator[str]:
    if not has_table(report.bill, by):
        return
    every = report.table(by)
    rows = [_line(line, prose(line.name, 60) or f"no {prose(by, 60)}") for line in every[:TABLE_LINES_SHOWN]]
    if rest := every[TABLE_LINES_SHOWN:]:
        rows.append(_line(sum_lines(rest), f"{len(rest)} others"))
    yield "\n".join([f"*By {prose(by, 60)}, {report.span.days} days:*", *rows])


def _line(line: BillLine, name: str, saved: Decimal | None = None) -> str:
    moved = ""
    if line.change is not None and round(line.change, 2):
        share = percent_text(line.change / line.usd_before, sign=True) if line.usd_before else "new"
        moved = f" ({signed_usd(line.change)}, {share})"
    return f"• {name}: {format_usd(line.usd)}{moved}{f'; {format_usd(saved)} saved' if saved else ''}"


# --- gaps -----------------------------------------------------------------------------------------


def _missing(report: BillReport, max_requests: int, *, weekly: bool) -> Iterator[str]:
    """List what could not be read; lasting causes only *weekly*, or where nothing else was read."""
    whole = weekly or not report.bill.charges
    gaps = [
        gap
        for gap in report.bill.gaps
        if (whole or gap.cause not in LASTING_CAUSES) and gap.cause is not GapCause.TAG_NOT_USED
    ]
    return gap_sentences(gaps, max_requests)
