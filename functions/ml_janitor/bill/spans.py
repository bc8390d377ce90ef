"""Which days of a bill are compared with which: only spans of the same length."""

from __future__ import annotations

from datetime import date, timedelta

from ml_janitor.bill.model import DAY, Bill, Span
from ml_janitor.bill.movements import Comparison, ComparisonKind

WEEK = timedelta(days=7)


def settled_day(bill: Bill, settling_days: int) -> Comparison | None:
    """The last day that is *settling_days* old, with the same weekday of the week before."""
    day = bill.time.date() - settling_days * DAY
    return _within(bill, Comparison(kind=ComparisonKind.DAY, before=Span(day - WEEK, 1), after=Span(day, 1)))


def month_to_date(bill: Bill, settling_days: int) -> Comparison | None:
    """
    The month so far with the same days of the month before; on its first day, the whole month before.

    Where the month before is shorter, both are as long as that.
    """
    first = (bill.until - DAY).replace(day=1)
    before = (first - DAY).replace(day=1)
    days = min((bill.until - first).days, (first - before).days)
    return compared(bill, Span(first, days), Span(before, days), settling_days, ComparisonKind.MONTH_TO_DATE)


def last_days(bill: Bill, days: int, settling_days: int) -> Comparison | None:
    """The last *days* with as many right before them."""
    after = Span(bill.until - days * DAY, days)
    return compared(bill, after, Span(after.first - days * DAY, days), settling_days)


def compared(
    bill: Bill,
    after: Span,
    before: Span,
    settling_days: int,
    kind: ComparisonKind = ComparisonKind.DAYS,
) -> Comparison | None:
    """*after* with *before*, with its unsettled days; None if the bill does not reach back so far."""
    return _within(
        bill,
        Comparison(
            kind=kind, before=before, after=after, unsettled=unsettled(after, bill.time.date(), settling_days)
        ),
    )


def unsettled(span: Span, today: date, settling_days: int) -> tuple[date, ...]:
    """The days of *span* that AWS may still change much."""
    return tuple(day for day in span if (today - day).days < settling_days)


def _within(bill: Bill, comparison: Comparison) -> Comparison | None:
    """*comparison* if the bill has all its days, and the account was charged before its end."""
    begun = min((one.day for one in bill.charges if one.usd), default=None)
    covered = bill.first <= comparison.before.first and comparison.after.until <= bill.until
    return comparison if covered and begun is not None and begun <= comparison.before.first else None
