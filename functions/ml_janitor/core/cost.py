"""The cost of a resource, and the saving of a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

HOURS_PER_MONTH = 730
"""Hours in a month, as in AWS's own calculators."""


@dataclass(frozen=True, slots=True)
class Cost:
    """
    The cost of leaving a finding as it is, in US dollars at list price.

    A standing resource has *monthly_usd* (730 hours), which is the monthly saving of the change; a job
    has *accrued_usd*, its cost since it was first billed. *once_usd* is the one-time cost of the change;
    *exposure_usd* is the cost of a possible accident, which nothing saves. None means unknown, never
    zero; *source* names the source of the price, so that a report can admit a dated table. *until* is
    when the resource would end by itself. For a saving on several resources, *shares* are the parts of
    *monthly_usd* by the resource's ARN.
    """

    hourly_usd: Decimal | None = None
    monthly_usd: Decimal | None = None
    accrued_usd: Decimal | None = None
    source: str = ""
    until: datetime | None = None
    once_usd: Decimal | None = None
    exposure_usd: Decimal | None = None
    shares: Mapping[str, Decimal] = field(default_factory=dict, hash=False)

    @classmethod
    def standing(cls, hourly_usd: Decimal | None, source: str = "") -> Cost:
        """Return the cost of leaving a resource running for a month."""
        monthly = None if hourly_usd is None else hourly_usd * HOURS_PER_MONTH
        return cls(hourly_usd, monthly, None, source)

    @classmethod
    def accruing(
        cls, hourly_usd: Decimal | None, hours: float, source: str = "", until: datetime | None = None
    ) -> Cost:
        """Return the cost of a job that was billed for *hours* and runs on, *until* its own limit."""
        accrued = None if hourly_usd is None else hourly_usd * Decimal(str(hours))
        return cls(hourly_usd, None, accrued, source, until)

    @classmethod
    def saving(
        cls,
        monthly_usd: Decimal | None,
        source: str = "",
        *,
        once_usd: Decimal | None = None,
        shares: Mapping[str, Decimal] | None = None,
    ) -> Cost:
        """Return a change's net saving a month, and its one-time cost (*once_usd*)."""
        return cls(monthly_usd=monthly_usd, source=source, once_usd=once_usd, shares=shares or {})

    @classmethod
    def exposed(cls, usd: Decimal | None, source: str = "") -> Cost:
        """Return the cost of one possible accident: it is no saving, and part of no sum."""
        return cls(exposure_usd=usd, source=source)

    @property
    def known(self) -> bool:
        """Return whether any price is known."""
        return any(usd is not None for usd in (self.monthly_usd, self.accrued_usd, self.exposure_usd))

    @property
    def payback(self) -> timedelta | None:
        """Return the time until the saving has paid for the one-time cost; None if never."""
        if not self.once_usd or self.monthly_usd is None or self.monthly_usd <= 0:
            return None
        return timedelta(hours=float(self.once_usd / self.monthly_usd * HOURS_PER_MONTH))
