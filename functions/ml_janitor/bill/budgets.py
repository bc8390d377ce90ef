"""Computes the state of a month's budgets: spent so far, and expected at the month's end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.bill.model import ZERO, Bill, DaySpan
from ml_janitor.core.durations import DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """
    A month's budget and its state.

    *tag* and *value* identify its part, "" for the whole account. *expected* is the month's end by the
    forecast, or, for a part, by its month so far; None if unknown.
    """

    usd: Decimal
    spent: Decimal
    expected: Decimal | None = None
    tag: str = ""
    value: str = ""


def budget_states(bill: Bill, monthly_usd: float, parts: Mapping[str, float]) -> Iterator[BudgetState]:
    """
    Yield the account's budget in the month of the bill's last day, and those of *parts* ("project=churn").

    A bill or tag that could not be read has none. On a month's first day, the month is the one before,
    which is over. Only the account has a forecast; a part is expected to go on as in the month so far.
    """
    if not bill.charges:
        return
    first = (bill.until - DAY).replace(day=1)
    month = DaySpan(first, (bill.until - first).days)
    length = DaySpan(first, ((first + 32 * DAY).replace(day=1) - first).days).days
    if monthly_usd:
        spent = bill.total(month)
        expected = spent if month.days == length else None
        if expected is None and bill.forecast is not None:
            expected = spent + bill.forecast.usd
        yield BudgetState(usd=_exact(monthly_usd), spent=spent, expected=expected)
    for part, usd in sorted(parts.items()):
        tag, _, value = part.partition("=")
        if tag in bill.by_tag:
            rows = bill.by_tag[tag]
            spent = sum((row.usd for row in rows if row.tag == value and row.day in month), ZERO)
            expected = spent * length / month.days
            yield BudgetState(usd=_exact(usd), spent=spent, expected=expected, tag=tag, value=value)


def _exact(usd: float) -> Decimal:
    return Decimal(str(usd))
