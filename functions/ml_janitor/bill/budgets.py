"""Where a month's budget stands: what is spent, and what the month will come to. Pure."""

from __future__ import annotations

from decimal import Decimal

from ml_janitor.bill.model import DAY, Bill, BudgetState, Span


def budget_state(bill: Bill, monthly_usd: float) -> BudgetState | None:
    """
    The account's budget in the month of the bill's last day; None without one, or without a bill.

    On a month's first day that is the month before, which is over: nothing more is expected.
    """
    if not monthly_usd or not bill.charges:
        return None
    first = (bill.until - DAY).replace(day=1)
    spent = bill.total(Span(first, (bill.until - first).days))
    expected = None
    if bill.until.day == 1:
        expected = spent
    elif bill.forecast is not None:
        expected = spent + bill.forecast.usd
    return BudgetState(usd=Decimal(str(monthly_usd)), spent=spent, expected=expected)
