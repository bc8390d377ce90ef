"""What leaving something as it is costs, and what changing it saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

HOURS_PER_MONTH = 730
"""What AWS's own calculators call a month."""


@dataclass(frozen=True, slots=True)
class Cost:
    """
    What leaving a finding as it is costs, in US dollars at list price.

    A standing resource has *monthly_usd* (730 hours), which is what the change saves a month; a job has
    *accrued_usd*, what it has cost since it was first billed. *once_usd* is what the change itself costs,
    once; *exposure_usd* what happens to be spent if something goes wrong, which nothing saves. None means
    unknown, never nothing; *source* says where the price came from, so that a report can admit a dated
    table. *until* is when it would end by itself. Of a saving on several resources, *shares* are the
    parts of *monthly_usd* by the ARN of the resource that they come from.
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
        """The cost of leaving something running for a month."""
        monthly = None if hourly_usd is None else hourly_usd * HOURS_PER_MONTH
        return cls(hourly_usd, monthly, None, source)

    @classmethod
    def accruing(
        cls, hourly_usd: Decimal | None, hours: float, source: str = "", until: datetime | None = None
    ) -> Cost:
        """The cost of a job that has been billed for *hours* and goes on, *until* its own limit."""
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
        """What a change saves a month, net of what it goes on costing, and what making it costs *once*."""
        return cls(monthly_usd=monthly_usd, source=source, once_usd=once_usd, shares=shares or {})

    @classmethod
    def exposed(cls, usd: Decimal | None, source: str = "") -> Cost:
        """What one accident would cost: no saving, and part of no sum."""
        return cls(exposure_usd=usd, source=source)

    @property
    def known(self) -> bool:
        """Whether any price was found."""
        return any(usd is not None for usd in (self.monthly_usd, self.accrued_usd, self.exposure_usd))

    @property
    def payback(self) -> timedelta | None:
        """How long the saving takes to return what the change costs once; None if it never does."""
        if not self.once_usd or not self.monthly_usd or self.monthly_usd < 0:
            return None
        return timedelta(hours=float(self.once_usd / self.monthly_usd * HOURS_PER_MONTH))
