"""Rounds and adds up money for reports: to cents first, then added up, so that a reader's sum agrees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.core.results import Result

CENT = Decimal("0.01")


def round_to_cents(usd: Decimal | None) -> Decimal | None:
    """Round *usd* to cents; unknown stays unknown."""
    return None if usd is None else usd.quantize(CENT, ROUND_HALF_UP)


def round_keeping_small(usd: Decimal | None) -> Decimal | None:
    """Round *usd* to cents, unless that gives zero: a little is not nothing."""
    return round_to_cents(usd) or usd


def ranking_usd(result: Result) -> Decimal | None:
    """Return the amount that ranks *result*: its monthly cost or, for a job, its cost so far."""
    return round_to_cents(result.monthly_usd if result.monthly_usd is not None else result.accrued_usd)


def rank_by_cost(result: Result) -> tuple[bool, Decimal, str]:
    """Return a sort key of results: dollars descending, results without a price last, then the ARN."""
    amount = ranking_usd(result)
    return amount is None, -(amount or Decimal(0)), result.target.arn


def rank_by_worth(result: Result) -> tuple[bool, Decimal, Decimal, bool, Decimal, str]:
    """Return a sort key of results: most saved a month per hour of work, then most exposed, then dollars."""
    worth = result.usd_per_hour
    exposure = result.cost.exposure_usd if result.cost else None
    return (worth is None, -(worth or Decimal(0)), -(exposure or Decimal(0)), *rank_by_cost(result))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    The total cost of some findings: unrounded where cents would give zero. Totals leave out exposure and
    costs that are counted for another finding.

    *unpriced* is the number of findings with an unknown price: the sums leave these out.
    *hourly_usd* is the running cost of the jobs, *once_usd* the cost of all changes.
    """

    monthly_usd: Decimal = Decimal(0)
    accrued_usd: Decimal = Decimal(0)
    hourly_usd: Decimal = Decimal(0)
    once_usd: Decimal = Decimal(0)
    unpriced: int = 0

    @classmethod
    def of(cls, results: Iterable[Result]) -> Totals:
        """Add up the findings among *results*."""
        costs = [result.counted for result in results if result.counted is not None]
        return cls(
            monthly_usd=_sum(cost.monthly_usd for cost in costs),
            accrued_usd=_sum(cost.accrued_usd for cost in costs),
            hourly_usd=sum(
                (cost.hourly_usd or Decimal(0) for cost in costs if cost.accrued_usd is not None), Decimal(0)
            ),
            once_usd=_sum(cost.once_usd for cost in costs),
            unpriced=sum(not cost.known for cost in costs),
        )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    """Sum the known amounts: in cents, as a reader adds up; exactly where cents would give zero."""
    known = [amount for amount in amounts if amount is not None]
    return sum((round_to_cents(amount) or Decimal(0) for amount in known), Decimal(0)) or sum(
        known, Decimal(0)
    )
