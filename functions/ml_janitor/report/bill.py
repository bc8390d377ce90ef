"""A bill in words: charges, why they moved, untagged costs and the forecast. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.bill.accounts import account_title
from ml_janitor.bill.model import ACCOUNT_TAG, OTHER_ACCOUNTS, Bill, BillReading, CostMetric, DaySpan
from ml_janitor.bill.movements import (
    Breakdown,
    ComparisonKind,
    Culprit,
    Movement,
    Mover,
    MoverCause,
    SpanComparison,
    break_down,
)
from ml_janitor.bill.report import BillReport, TagShare
from ml_janitor.core.text import escape_text, format_usd

MOST_MOVERS = 8
UNEXPLAINED_SHOWN = 2
WASTE_WORDS = {"hung-training-jobs": "hung"}
"""Adjectives for the findings of a detector; idle where the detector is not listed here."""

METRIC_WORDS = {
    CostMetric.UNBLENDED: "as charged (unblended)",
    CostMetric.AMORTIZED: "commitments spread over their days (amortized)",
}


# --- amounts and days -------------------------------------------------------------------------


def signed_usd(amount: Decimal) -> str:
    """Format a change in dollars, with its sign."""
    return f"+{format_usd(amount)}" if amount > 0 else format_usd(amount)


def percent_text(share: Decimal | None, *, sign: bool = False) -> str:
    """Format a share as whole percent, below 10 with a digit: "40 %", "2.5 %"; empty for None."""
    if share is None:
        return ""
    places = Decimal(1) if abs(share) >= Decimal("0.1") else Decimal("0.1")
    rounded = (share * 100).quantize(places, ROUND_HALF_UP)
    return f"{'+' if sign and rounded > 0 else ''}{rounded} %"


def short_day(at: date | datetime, until: date) -> str:
    """Format a day, without its year if that is the year of *until*."""
    at = at.date() if isinstance(at, datetime) else at
    return f"{at:%m-%d}" if at.year == until.year else at.isoformat()


def bill_scope(bill: Bill) -> str:
    """Name the account of *bill*, or how many accounts it covers: no more than Cost Explorer shows."""
    if bill.accounts is None:
        return f"account {escape_text(bill.account)}"
    seen = bill.seen
    if len(seen) == 1:
        return f"account {escape_text(account_title(seen[0], bill.accounts), 80)} alone"
    return f"{len(seen)} accounts" if seen else "the organization"


def span_text(span: DaySpan) -> str:
    """Format a span with its first and last day: "2026-09-06 to 2026-10-05"."""
    return f"{span.first}" if span.days == 1 else f"{span.first} to {span.last}"


# --- why it moved -----------------------------------------------------------------------------


def change_text(movement: Movement) -> str:
    """Format a change with its share: "+$22,871 (+40 %)"."""
    share = percent_text(movement.share, sign=True)
    return f"{signed_usd(movement.change)}{f' ({share})' if share else ''}"


def movement_asides(movement: Movement, parts: Breakdown) -> Iterator[str]:
    """Yield movements beside the total: tags, and credits that ended."""
    for moved in parts.moved_tags:
        yield f"{mover_line(moved, movement)}."
    if movement.ended_credits:
        yield f"Besides, credits of {format_usd(movement.ended_credits)} ended: they are in no total here."


def mover_line(moved: Mover, movement: Movement) -> str:
    """Describe one mover in a line: its dollars, the resource, the reason, and the owner."""
    what, why, owner = mover_parts(moved, movement)
    amount = format_usd(moved.usd) if moved.cause is MoverCause.TAG else signed_usd(moved.usd)
    return f"{amount} {', '.join(part for part in (what, why, owner) if part)}"


def mover_parts(mover: Mover, movement: Movement) -> tuple[str, str, str]:
    """Return the resource of a mover, why it moved, and its owner; "" where one is missing."""
    owner = escape_text(mover.owner or "").partition("@")[0]
    match mover.cause:
        case MoverCause.PRICE:
            return f"price of {escape_text(mover.part.usage_type)}", _price(mover), owner
        case MoverCause.TAG:
            values = [_value(movement.tag, value) for value in (mover.tag_before, mover.part.tag)]
            return (
                f"of {escape_text(mover.part.usage_type)} moved from {values[0]} to {values[1]}",
                "which changes no total",
                owner,
            )
        case MoverCause.UNEXPLAINED:
            return (
                f"{escape_text(mover.part.usage_type)}{_of_tag(movement.tag, mover.part.tag)}",
                "not explained",
                owner,
            )
    if mover.culprit is None:
        return escape_text(mover.part.usage_type), "", owner
    where = f" in account {escape_text(mover.culprit.account)}" if movement.tag == ACCOUNT_TAG else ""
    return f"{_named(mover.culprit)}{where}", _because(mover, mover.culprit, movement), owner


def _named(culprit: Culprit) -> str:
    kind = culprit.kind.replace("-", " ")
    kind = "Studio app" if culprit.kind == "app" else kind
    name = escape_text(culprit.name, 120)
    return f"{culprit.members} {kind}s {name}" if culprit.members > 1 else f"{kind} {name}"


def _because(mover: Mover, culprit: Culprit, movement: Movement) -> str:
    until = movement.comparison.after.until
    if mover.cause is MoverCause.FINDING:
        waste = WASTE_WORDS.get(culprit.detector, "idle")
        since = f" since {short_day(culprit.since, until)}" if culprit.since else ""
        now = culprit.usd_until_now
        return f"{waste}{since}{f' ({format_usd(now)} until now)' if now else ''}"
    if mover.cause is MoverCause.ENDED:
        ended = f"ended {short_day(culprit.ended, until)}" if culprit.ended else "ended"
        return f"{ended} by the janitor" if culprit.acted else ended
    new = _new_since(culprit, movement.comparison)
    if new is not None:
        word = "ran first" if culprit.kind.endswith("-job") else "new since"
        return f"{word} {short_day(new, until)}{', in use' if culprit.used else ''}"
    return _units(mover) + (", in use" if culprit.used else "")


def _new_since(culprit: Culprit, comparison: SpanComparison) -> date | None:
    """Return the creation day, if it is after the beginning of the compared days."""
    if culprit.since is None or culprit.since.date() <= comparison.before.first:
        return None
    return culprit.since.date()


def _units(mover: Mover) -> str:
    """Say how much more or less was used: "1,024 instance-hours, 384 before"."""
    unit = "instance-hours" if mover.part.unit == "Hrs" else escape_text(mover.part.unit)
    if not mover.units_before:
        return f"{mover.units_after:,.0f} {unit}, none before"
    return f"{mover.units_after:,.0f} {unit}, {mover.units_before:,.0f} before"


def _price(mover: Mover) -> str:
    """Say by how much a price rose: how much more the same usage cost than at the price before."""
    at_old_price = mover.part.usd_after - mover.part.price_effect
    share = mover.part.price_effect / at_old_price if at_old_price else None
    return f"{percent_text(share, sign=True)} for the same use" if share is not None else "changed"


def _value(tag: str, value: str | None) -> str:
    if (tag, value) == (ACCOUNT_TAG, OTHER_ACCOUNTS):
        return "other accounts"
    return f"{escape_text(tag)} {escape_text(value)}" if value else f"no {escape_text(tag)}"


def _of_tag(tag: str, value: str | None) -> str:
    return f" of {_value(tag, value)}" if value is not None else ""


# --- the whole --------------------------------------------------------------------------------


def bill_headline(report: BillReport) -> str:
    """Summarize the bill in one sentence."""
    if not report.bill.charges:
        unread = any(gap.reading in {BillReading.SERVICES, BillReading.ACCOUNTS} for gap in report.bill.gaps)
        return "The bill could not be read." if unread else "AWS charged nothing."
    total = format_usd(report.bill.total(report.span))
    if report.main is None:
        return f"{total} in {report.span.days} days; nothing to compare them with."
    return f"{total} in {_days(report.main)}: {change_text(report.main)}."


def _days(movement: Movement) -> str:
    comparison = movement.comparison
    match comparison.kind:
        case ComparisonKind.DAY:
            return f"{comparison.after.first}"
        case ComparisonKind.MONTH_TO_DATE:
            return "the month to date"
    return f"{comparison.after.days} days" if comparison.after.days > 1 else "a day"


def comparison_text(movement: Movement) -> str:
    """Say which days are compared with which, and which of them may still change."""
    comparison = movement.comparison
    compared = f"{span_text(comparison.after)}, compared with {span_text(comparison.before)}"
    if comparison.unsettled:
        young = ", ".join(f"{day:%m-%d}" for day in comparison.unsettled)
        compared += f"; AWS may still change {young}"
    return compared


def untagged_shares(shares: Sequence[TagShare]) -> Iterator[str]:
    """Yield the share of the bill that has no value of each tag, and how that share changed."""
    for share in shares:
        if not share.untagged and not share.untagged_before:
            continue
        before = f", {percent_text(share.share_before)} before" if share.total_before else ""
        yield (
            f"no {escape_text(share.tag)}: {format_usd(share.untagged)} ({percent_text(share.share)}{before})"
        )


def outside_charges(report: BillReport) -> Iterator[str]:
    """Yield credits, refunds and taxes, which are in no comparison."""
    for name, amount in report.bill.outside(report.span).items():
        yield f"{escape_text(name)} {format_usd(amount)}"


def forecast_text(report: BillReport) -> str | None:
    """Forecast the month's cost, including charges so far; None where a gap says why."""
    found = report.bill.forecast
    if found is None:
        return None
    month = DaySpan(found.first.replace(day=1), found.first.day - 1)
    spent = report.bill.total(month)
    low, high = (format_usd(spent + amount) for amount in (found.low, found.high))
    return (
        f"{found.first:%B} will come to {format_usd(spent + found.usd)} ({low} to {high} in 80 % of cases), "
        f"of which {format_usd(spent)} is spent"
    )


def savings_text(report: BillReport) -> str | None:
    """Say what the janitor's own actions saved; None if nothing."""
    if not report.saved and not report.saved_this_month:
        return None
    total = sum(report.saved.values(), Decimal(0))
    first = min(report.saved, default=report.span.first)
    return f"{format_usd(report.saved_this_month)} this month, {format_usd(total)} since {first}"


def reading_price(report: BillReport) -> str:
    """Say what the requests to Cost Explorer cost."""
    requests = report.bill.requests
    return f"{requests} request{'s' * (requests != 1)} to Cost Explorer, ${report.bill.read_usd:.2f}"


def bill_facts(report: BillReport) -> Iterator[tuple[str, str]]:
    """Yield further facts about the bill, a line each."""
    titled: list[tuple[str, Iterable[str]]] = [
        ("untagged", untagged_shares(report.shares)),
        ("not counted here", outside_charges(report)),
        ("forecast", filter(None, [forecast_text(report)])),
        ("saved so far", filter(None, [savings_text(report)])),
        ("asking cost", [reading_price(report)]),
    ]
    for title, texts in titled:
        if text := "; ".join(texts):
            yield title, text


@dataclass(frozen=True, slots=True)
class MoverRow:
    """One line of the movers' table."""

    usd: Decimal
    what: str
    why: str
    owner: str


def mover_rows(movement: Movement, most: int = MOST_MOVERS) -> Iterator[MoverRow]:
    """Yield the change as a table that adds up: movers, smaller movers together, and the unexplained part."""
    parts = break_down(movement, most)
    for mover in parts.movers:
        yield MoverRow(mover.usd, *mover_parts(mover, movement))
    if parts.smaller:
        count = len(parts.smaller)
        yield MoverRow(parts.smaller_usd, f"{count} smaller change{'s' * (count > 1)}", "", "")
    if parts.unexplained:
        ranked = parts.unexplained[:UNEXPLAINED_SHOWN]
        largest = ", ".join(f"{signed_usd(mover.usd)} {_where(mover)}" for mover in ranked)
        rest = len(parts.unexplained) - len(ranked)
        more = f", {rest} more" if rest else ""
        yield MoverRow(parts.unexplained_usd, "not explained", f"{largest}{more}", "")


def _where(mover: Mover) -> str:
    """Return a usage type, and the tag value that it was charged under."""
    value = f" ({escape_text(mover.part.tag)})" if mover.part.tag else ""
    return f"{escape_text(mover.part.usage_type)}{value}"
