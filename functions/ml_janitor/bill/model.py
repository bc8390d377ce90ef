"""
The words of the bill: charges, spans, movements and their movers. Plain data, for everything that shows it.

Money is an exact Decimal of US dollars as Cost Explorer gave it, never rounded before it is shown: sums hold.
Days are UTC days, as AWS bills them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

DAY = timedelta(days=1)
ZERO = Decimal(0)

UNTAGGED = ""
"""The tag's value of what has none."""


class Metric(StrEnum):
    """How cost is counted: as charged, or with commitments spread over the days that they pay for."""

    UNBLENDED = "UnblendedCost"
    AMORTIZED = "AmortizedCost"


class Phase(StrEnum):
    """What part of machine learning a usage type belongs to."""

    HOSTING = "hosting"
    TRAINING = "training"
    SPOT_TRAINING = "spot training"
    WARM_POOLS = "warm pools"
    PROCESSING = "processing"
    TRANSFORM = "transform"
    NOTEBOOKS = "notebooks"
    STUDIO = "Studio"
    HYPERPOD = "HyperPod"
    STORAGE = "storage"
    TRANSFER = "transfer between regions"
    NAT = "NAT gateways"
    LOGS = "logs"
    REGISTRIES = "registries"
    OTHER = "other"


# --- the bill ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """
    What one day's use of one thing cost.

    *service* and *usage_type* are as Cost Explorer spells them ("Amazon SageMaker",
    "USE1-Host:ml.m5.xlarge"); "" where charges are not by it. *tag* is a tag's value, `UNTAGGED` where there
    is none, and None where the charges are not by tag. *quantity* is in *unit* ("Hrs", "GB-Mo"), and can be
    added up only within one usage type.
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


OUTSIDE = frozenset({"Credit", "Refund", "Tax"})
"""Record types that are a line of their own, and in no charge and no comparison."""


class Reading(StrEnum):
    """What is asked of Cost Explorer, by its worth."""

    SERVICES = "services"
    TAG = "tag"
    RECORD_TYPES = "record types"
    FORECAST = "forecast"
    SERVICE_NAMES = "names of services"
    ACTIVE_TAGS = "active tags"
    RESOURCES = "resources"
    REQUESTS = "requests"


class GapCause(StrEnum):
    """Why something is missing from a bill."""

    DENIED = "denied"
    NOT_ENABLED = "not enabled"
    MEMBER_ACCOUNT = "member account"
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
class Gap:
    """
    What could not be read, and why.

    *subject* is the tag, the service or the region, *detail* is AWS's answer, *usd* is what it leaves
    unexplained.
    """

    reading: Reading
    cause: GapCause
    subject: str = ""
    detail: str = ""
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the days from *first* until *until* (exclusive) will cost; in 80 % of cases *low* to *high*."""

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
    What was read of an account's bill at *time*, for the days from *first* until *until* (exclusive).

    *charges* are by day, service and usage type, without `OUTSIDE`; *by_tag* are the same dollars by day,
    usage type and value of a tag (project, owner), or by day, service and value (environment, team,
    cost-center), under the tag's name in the settings. A tag that was not read is not in it, and *gaps* says
    why. *estimated* are the days that AWS still calls so. *forecast* is None where *gaps* says why.
    *requests* is how many pages were asked for.
    """

    account: str
    time: datetime
    first: date
    until: date
    metric: Metric = Metric.UNBLENDED
    charges: tuple[Charge, ...] = ()
    by_tag: Mapping[str, tuple[Charge, ...]] = field(default_factory=dict)
    records: tuple[RecordCharge, ...] = ()
    estimated: frozenset[date] = frozenset()
    forecast: Forecast | None = None
    gaps: tuple[Gap, ...] = ()
    requests: int = 0

    @property
    def read_usd(self) -> Decimal:
        """What reading it cost."""
        return self.requests * PRICE_PER_REQUEST

    @property
    def whole(self) -> Span:
        """All of its days."""
        return Span(self.first, (self.until - self.first).days)

    def total(self, span: Span) -> Decimal:
        """What *span* cost, without `OUTSIDE`."""
        return sum((one.usd for one in self.charges if one.day in span), ZERO)

    def outside(self, span: Span) -> Mapping[str, Decimal]:
        """Credits, refunds and taxes of *span*, by record type; only those that were charged."""
        found: dict[str, Decimal] = {}
        for one in self.records:
            if one.record_type in OUTSIDE and one.day in span:
                found[one.record_type] = found.get(one.record_type, ZERO) + one.usd
        return dict(sorted(found.items()))


# --- spans and comparisons --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Whole days: *days* of them from *first* on."""

    first: date
    days: int

    @property
    def until(self) -> date:
        """The day after its last."""
        return self.first + self.days * DAY

    @property
    def last(self) -> date:
        return self.until - DAY

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day < self.until

    def __iter__(self) -> Iterator[date]:
        return (self.first + number * DAY for number in range(self.days))


class ComparisonKind(StrEnum):
    """Which days are compared."""

    DAY = "day"
    """One settled day with the same weekday of the week before."""
    MONTH_TO_DATE = "month to date"
    """The month so far with the same days of the month before."""
    DAYS = "days"
    """So many days with as many right before them, or with a span that somebody chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two spans of the same length. *unsettled* are days of *after* that AWS may still change."""

    kind: ComparisonKind
    before: Span
    after: Span
    unsettled: tuple[date, ...] = ()


# --- why it moved -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    What one usage type under one tag's value in one region changed between two spans.

    *change* = *usd_after* - *usd_before* = *quantity_effect* + *price_effect*, exactly. The quantity effect
    is at the price of before; where there was none before or is none after, all of it is quantity.
    *usual* is how many dollars it changes by from week to week by itself.
    """

    usage_type: str
    tag: str | None
    region: str
    phase: Phase
    usd_before: Decimal
    usd_after: Decimal
    quantity_before: Decimal = ZERO
    quantity_after: Decimal = ZERO
    unit: str = ""
    quantity_effect: Decimal = ZERO
    price_effect: Decimal = ZERO
    usual: Decimal = ZERO

    @property
    def change(self) -> Decimal:
        return self.usd_after - self.usd_before


class Cause(StrEnum):
    """What explains the dollars of a mover."""

    FINDING = "finding"
    """A resource that a detector found wasteful."""
    STARTED = "started"
    """A resource or job that was not billed before."""
    ENDED = "ended"
    """A resource or job that is billed no more, or was acted on."""
    CHANGED = "changed"
    """A resource that was billed in both spans, and for more or less."""
    PRICE = "price"
    """The same use at another price."""
    TAG = "tag"
    """The same use under another value of the tag: it moved between values, and changed no total."""
    UNEXPLAINED = "unexplained"
    """Use that no known resource accounts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """
    The resource behind a mover, as far as it is known.

    *since* is when it was made, or, of a finding, since when it is waste; *ended* is when it was deleted or
    stopped. *usd_until_now* is everything that it has been billed since it was made, where the bill reaches
    back so far. *detector* and *finding* (its id) are of a finding; *acted* is whether the janitor ended it.
    *used* is whether a detector saw that somebody uses it.
    Where it stands for several *members* alike, such as the jobs of a family, *name* is what their names have
    in common, and *arn* is that of the largest.
    """

    arn: str
    name: str
    kind: str
    owner: str | None = None
    since: datetime | None = None
    ended: datetime | None = None
    usd_until_now: Decimal | None = None
    detector: str = ""
    finding: str = ""
    acted: bool = False
    used: bool = False
    members: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """
    So many dollars of a movement, with their cause.

    *usd* is signed; all movers but those of `Cause.TAG` add up to the movement's change. *culprit* is None
    where the cause is a price, a tag, or unexplained. *tag_before* is where a `Cause.TAG` moved from, to the
    part's own value. *owner* is the culprit's, else that of the part where it has just one. *units_before*
    and *units_after* are what the culprit used of the part in each span, in the part's unit.
    """

    usd: Decimal
    cause: Cause
    part: Part
    culprit: Culprit | None = None
    owner: str | None = None
    tag_before: str | None = None
    units_before: Decimal = ZERO
    units_after: Decimal = ZERO

    @property
    def ordinary(self) -> bool:
        """Whether it is no news: no finding, and no more than what its part changes by itself."""
        return self.cause not in {Cause.FINDING, Cause.TAG} and abs(self.usd) <= self.part.usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """
    A change between two spans, and why: *movers* by their dollars, the largest first.

    *tag* is the tag's name in the settings that its parts are by; "" where no tag could be read.
    *ended_credits* are credits that stood in the span before and no longer do, by dollars that they took
    off: they are in no total here.
    """

    comparison: Comparison
    usd_before: Decimal
    usd_after: Decimal
    tag: str = ""
    movers: tuple[Mover, ...] = ()
    ended_credits: Decimal = ZERO

    @property
    def change(self) -> Decimal:
        return self.usd_after - self.usd_before

    @property
    def share(self) -> Decimal | None:
        """The change as a share of what was before ("0.4" is 40 % more); None if that was nothing."""
        return self.change / self.usd_before if self.usd_before else None

    @property
    def news(self) -> tuple[Mover, ...]:
        """The movers that are no ordinary change."""
        return tuple(one for one in self.movers if not one.ordinary)

    @property
    def unexplained(self) -> Decimal:
        """The dollars that nothing known accounts for."""
        return total(one for one in self.movers if one.cause is Cause.UNEXPLAINED)


def total(movers: Iterable[Mover]) -> Decimal:
    """What *movers* changed together: a tag's move changes nothing."""
    return sum((one.usd for one in movers if one.cause is not Cause.TAG), ZERO)


# --- what a report shows ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TagShare:
    """How much of a span has no value of *tag* (its name in the settings), and of the span before."""

    tag: str
    untagged: Decimal
    total: Decimal
    untagged_before: Decimal = ZERO
    total_before: Decimal = ZERO

    @property
    def share(self) -> Decimal | None:
        return self.untagged / self.total if self.total else None

    @property
    def share_before(self) -> Decimal | None:
        return self.untagged_before / self.total_before if self.total_before else None


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


class UnitNote(StrEnum):
    """What has to be known about the cost of a unit."""

    COMPONENTS = "inference components"
    """Inference components share the endpoint's instances: none of their models has a cost of its own."""
    MANY_MODELS = "many models"
    """A multi-model endpoint: its one SageMaker model loads many, and none of them has a cost of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """
    What one unit cost in a span: *usd* for *units* ("requests" of an endpoint or model, "jobs" of a family).

    *kind* is "endpoint", "model", "family" or "job", and *resource* the kind of resource in ARNs. *units* is
    None where they could not be read.
    """

    kind: str
    name: str
    usd: Decimal
    units: int | None
    unit: str
    resource: str = ""
    region: str = ""
    notes: tuple[UnitNote, ...] = ()

    @property
    def per(self) -> int:
        """How many units it is said for."""
        return 1000 if self.unit == "requests" else 1

    @property
    def per_unit(self) -> Decimal | None:
        """Dollars for a job, or for 1,000 requests; None if there were none, or nobody knows."""
        return self.usd * self.per / self.units if self.units else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillReport:
    """
    Everything that is shown of a bill, in the terminal, JSON, HTML and Slack.

    *span* is what the tables are of, and *main* why it moved. *yesterday* is of the last settled day and
    *month* of the month to date; None where the bill does not reach back. *shares* are in the order of the
    settings. *saved* is what actions saved, by day: only hours that they really ended. *saved_this_month* is
    of the calendar month of *bill.time*.
    """

    bill: Bill
    span: Span
    main: Movement | None
    yesterday: Movement | None = None
    month: Movement | None = None
    shares: tuple[TagShare, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    unit_costs: tuple[UnitCost, ...] = ()
    saved: Mapping[date, Decimal] = field(default_factory=dict)
    saved_this_month: Decimal = ZERO
