"""Money as reports show it: rounded to cents first and added up afterwards, so that a reader's sum agrees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.core.results import Result

CENT = Decimal("0.01")


def cents(usd: Decimal | None) -> Decimal | None:
    """*usd* rounded to cents; unknown stays unknown."""
    return None if usd is None else usd.quantize(CENT, ROUND_HALF_UP)


def kept_small(usd: Decimal | None) -> Decimal | None:
    """*usd* rounded to cents, unless nothing of it would be left: a little is not nothing."""
    return cents(usd) or usd


def dollars(result: Result) -> Decimal | None:
    """The one amount that ranks *result*: what it costs a month or, for a job, has cost so far."""
    return cents(result.monthly_usd if result.monthly_usd is not None else result.accrued_usd)


def dearest_first(result: Result) -> tuple[bool, Decimal, str]:
    """Sort key of results: dollars descending, what has no known price after that, then the ARN."""
    amount = dollars(result)
    return amount is None, -(amount or Decimal(0)), result.target.arn


def first_to_do(result: Result) -> tuple[bool, Decimal, Decimal, bool, Decimal, str]:
    """Sort key of results: most saved a month for an hour of work, then most exposed, then most dollars."""
    worth = result.usd_per_hour
    exposure = result.cost.exposure_usd if result.cost else None
    return (worth is None, -(worth or Decimal(0)), -(exposure or Decimal(0)), *dearest_first(result))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    What some findings cost together: what would be no cent is left as it is. Exposure is no part of it,
    nor what is counted for another finding.

    *unpriced* is how many of them cost something that nobody could name: the sums leave these out.
    *hourly_usd* is what the jobs among them go on costing, *once_usd* what changing them costs.
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
    """Of what is known: of cents, as a reader adds up; of everything where that would come to nothing."""
    known = [amount for amount in amounts if amount is not None]
    return sum((cents(amount) or Decimal(0) for amount in known), Decimal(0)) or sum(known, Decimal(0))
