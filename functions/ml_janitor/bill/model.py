"""
A bill as plain data: charges by day, the spans they are added up over, and the parts that could not be read.

Money is an exact Decimal of US dollars as Cost Explorer gave it, never rounded before it is shown: sums hold.
Days are UTC days, as AWS bills them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from ml_janitor.core.durations import DAY

ZERO = Decimal(0)

UNTAGGED_VALUE = ""
"""The tag value of untagged charges."""

ACCOUNT_TAG, OTHER_ACCOUNTS = "account", "others"
"""The tag name that divides a shared bill by account, and its value for all unnamed accounts."""


class CostMetric(StrEnum):
    """The metric of cost: as charged, or with commitments spread over the days that they pay for."""

    UNBLENDED = "UnblendedCost"
    AMORTIZED = "AmortizedCost"


# --- the bill ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """
    The cost of one kind of usage on one day.

    *service* and *usage_type* are as Cost Explorer spells them ("Amazon SageMaker",
    "USE1-Host:ml.m5.xlarge"); "" where charges are not by it. *tag* is a tag's value, `UNTAGGED_VALUE` where
    there is no tag, and None where the charges are not by tag. *quantity* is in *unit* ("Hrs", "GB-Mo"), and
    can be added up only within one usage type.
    """

    day: date
    service: str = ""
    usage_type: str = ""
    tag: str | None = None
    usd: Decimal
    quantity: Decimal = ZERO
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCharge:
    """A day's charges of one record type: "Usage", "Credit", "Refund", "Tax", "SavingsPlanRecurringFee"..."""

    day: date
    record_type: str
    usd: Decimal


OUTSIDE_RECORDS = frozenset({"Credit", "Refund", "Tax"})
"""Record types that are a line of their own, and in no charge and no comparison."""


class BillReading(StrEnum):
    """Requests to Cost Explorer, the most valuable first."""

    SERVICES = "services"
    ACCOUNTS = "accounts"
    MOVED = "accounts that moved"
    TAG = "tag"
    RECORD_TYPES = "record types"
    FORECAST = "forecast"
    SERVICE_NAMES = "names of services"
    ACTIVE_TAGS = "active tags"
    RESOURCES = "resources"
    REQUESTS = "requests"


class GapCause(StrEnum):
    """Reasons why a part is missing from a bill."""

    DENIED = "denied"
    NOT_ENABLED = "not enabled"
    MEMBER_ACCOUNT = "member account"
    NOT_CHARGED = "not charged"
    YOUNG_ACCOUNT = "young account"
    THROTTLED = "throttled"
    OVER_LIMIT = "over max_requests"
    TAG_NOT_ACTIVE = "tag not active"
    TAG_NOT_USED = "tag not used"
    NO_SUCH_TAG = "no such tag"
    NO_SUCH_SERVICE = "no such service"
    SHORT_HISTORY = "short history"
    NOT_LOOKED_AT = "not looked at"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillGap:
    """
    A part that could not be read, and why.

    *subject* is the tag, the service or the region, *detail* is AWS's answer, *usd* are the dollars left
    unexplained.
    """

    reading: BillReading
    cause: GapCause
    subject: str = ""
    detail: str = ""
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    The predicted cost of the days from *first* until *until* (exclusive); in 80 % of
    cases *low* to *high*.
    """

    first: date
    until: date
    usd: Decimal
    low: Decimal
    high: Decimal


PRICE_PER_REQUEST = Decimal("0.01")
"""Dollars for each page that Cost Explorer answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """
    An account's bill as read at *time*, for the days from *first* until *until* (exclusive).

    *charges* are by day, service and usage type, without `OUTSIDE_RECORDS`. *by_tag* are the same dollars by
    day, usage type and value of a tag (project, owner), or by day, service and value (environment, team,
    cost-center), under the tag's name in the settings. A tag that was not read is missing, and *gaps* has the
    reason. *estimated* are the days that AWS still marks so. *forecast* is None if *gaps* has the reason.
    *requests* is the number of requested pages.

    A shared bill is shown to *account*: *accounts* are the names of its accounts by their ids, if
    known. *by_account* are the same dollars by day and account (in `Charge.tag`); *moved* by day,
    usage type and account, in which accounts that moved little are together `OTHER_ACCOUNTS`.
    """

    account: str
    time: datetime
    first: date
    until: date
    metric: CostMetric = CostMetric.UNBLENDED
    charges: tuple[Charge, ...] = ()
    by_tag: Mapping[str, tuple[Charge, ...]] = field(default_factory=dict)
    records: tuple[RecordCharge, ...] = ()
    estimated: frozenset[date] = frozenset()
    forecast: Forecast | None = None
    gaps: tuple[BillGap, ...] = ()
    requests: int = 0
    accounts: Mapping[str, str] | None = None
    by_account: tuple[Charge, ...] = ()
    moved: tuple[Charge, ...] = ()

    def after(self, kept: Bill, first: date) -> Bill:
        """Return the bill with the days before it, from *first* on, from the bill *kept*."""

        def days[T: Charge | RecordCharge](older: Iterable[T], newer: Iterable[T]) -> tuple[T, ...]:
            return (*(charge for charge in older if first <= charge.day < self.first), *newer)

        if kept.metric is not self.metric:
            return self
        return replace(
            self,
            first=first,
            charges=days(kept.charges, self.charges),
            by_tag={name: days(kept.by_tag.get(name, ()), rows) for name, rows in self.by_tag.items()},
            records=days(kept.records, self.records),
            by_account=days(kept.by_account, self.by_account) if self.by_account else (),
            estimated=frozenset(day for day in kept.estimated if first <= day < self.first) | self.estimated,
        )

    @property
    def seen(self) -> tuple[str, ...]:
        """Return the charged accounts of a shared bill."""
        return tuple(sorted({charge.tag or "" for charge in self.by_account}))

    @property
    def read_usd(self) -> Decimal:
        """Return the cost of reading it."""
        return self.requests * PRICE_PER_REQUEST

    @property
    def whole(self) -> DaySpan:
        """Return all of its days."""
        return DaySpan(self.first, (self.until - self.first).days)

    def total(self, span: DaySpan) -> Decimal:
        """Return the cost of *span*, without `OUTSIDE_RECORDS`."""
        return sum((charge.usd for charge in self.charges if charge.day in span), ZERO)

    def outside(self, span: DaySpan) -> Mapping[str, Decimal]:
        """Return credits, refunds and taxes of *span*, by record type; only charged ones."""
        found: dict[str, Decimal] = {}
        for record in self.records:
            if record.record_type in OUTSIDE_RECORDS and record.day in span:
                found[record.record_type] = found.get(record.record_type, ZERO) + record.usd
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True, order=True)
class DaySpan:
    """Whole days: *days* of them from *first* on."""

    first: date
    days: int

    @property
    def until(self) -> date:
        """Return the day after its last."""
        return self.first + self.days * DAY

    @property
    def last(self) -> date:
        return self.until - DAY

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day < self.until

    def __iter__(self) -> Iterator[date]:
        return (self.first + number * DAY for number in range(self.days))
