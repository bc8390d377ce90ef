"""Where a month's budgets stand: what is spent, and what the month will come to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.bill.model import DAY, ZERO, Bill, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """
    A month's budget and where it stands.

    *tag* and *value* say whose it is, "" for the whole account's. *expected* is the month's end by the
    forecast, or, for a part, by its month so far; None where nobody can say.
    """

    usd: Decimal
    spent: Decimal
    expected: Decimal | None = None
    tag: str = ""
    value: str = ""


def budget_states(bill: Bill, monthly_usd: float, parts: Mapping[str, float]) -> Iterator[BudgetState]:
    """
    The account's budget in the month of the bill's last day, and those of *parts* ("project=churn").

    Nothing where the bill, or its tag, could not be read. On a month's first day that is the month before,
    which is over. Only the account has a forecast; a part is expected to go on as in the month so far.
    """
    if not bill.charges:
        return
    first = (bill.until - DAY).replace(day=1)
    month = Span(first, (bill.until - first).days)
    length = Span(first, ((first + 32 * DAY).replace(day=1) - first).days).days
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
            spent = sum((one.usd for one in rows if one.tag == value and one.day in month), ZERO)
            expected = spent * length / month.days
            yield BudgetState(usd=_exact(usd), spent=spent, expected=expected, tag=tag, value=value)


def _exact(usd: float) -> Decimal:
    return Decimal(str(usd))
