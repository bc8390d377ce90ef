"""
A bill as plain data: charges by day, the change between two spans, and the parts that could not be read.

Money is an exact Decimal of US dollars as Cost Explorer gave it, never rounded before it is shown: sums hold.
Days are UTC days, as AWS bills them. Dollars of a change are signed, and everything adds up to the change.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import chain

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


# --- the bill -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """
    The cost of one kind of usage on one day.

    *service* and *usage_type* are as Cost Explorer spells them ("Amazon SageMaker",
    "USE1-Host:ml.m5.xlarge"); "" where charges are not by it. *tag* is a tag's value, `UNTAGGED_VALUE` where
    there is no tag, and None where the charges are not by tag. *quantity* is in *unit* ("Hrs", "GB-Mo"), and
    can be added up only within one usage type. *usd* is by the bill's metric, *other_usd* by the other one;
    bills that earlier versions kept have none.
    """

    day: date
    service: str = ""
    usage_type: str = ""
    tag: str | None = None
    usd: Decimal
    quantity: Decimal = ZERO
    unit: str = ""
    other_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCharge:
    """A day's charges of one record type: "Usage", "Credit", "Refund", "Tax", "SavingsPlanRecurringFee"..."""

    day: date
    record_type: str
    usd: Decimal
    other_usd: Decimal | None = None


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
    MONTHS = "months"
    SERVICE_NAMES = "names of services"
    ACTIVE_TAGS = "active tags"
    RESOURCES = "resources"
    REQUESTS = "requests"
    ACTIONS = "actions of the janitor"


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
    *requests* is the number of requested pages. Amounts are in *currency*, also where they are called usd.

    A shared bill is shown to *account*: *accounts* are the names of its accounts by their ids, if
    known. *by_account* are the same dollars by day and account (in `Charge.tag`); *moved* by day,
    usage type and account, in which accounts that moved little are together `OTHER_ACCOUNTS`. *months* are
    the charges of whole earlier months by usage type, each at the first day of its month.
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
    months: tuple[Charge, ...] = ()
    currency: str = "USD"

    def by_metric(self, metric: CostMetric) -> Bill | None:
        """Return the bill by *metric*; None if it has only its own."""

        def swap[T: Charge | RecordCharge](rows: Iterable[T]) -> tuple[T, ...]:
            return tuple(replace(row, usd=row.other_usd or ZERO, other_usd=row.usd) for row in rows)

        rows: Iterable[Iterable[Charge | RecordCharge]] = (
            *(self.charges, self.records, self.by_account, self.months),
            *self.by_tag.values(),
        )
        if metric is self.metric:
            return self
        if any(row.other_usd is None for row in chain.from_iterable(rows)):
            return None
        return replace(
            self,
            metric=metric,
            charges=swap(self.charges),
            records=swap(self.records),
            by_account=swap(self.by_account),
            months=swap(self.months),
            by_tag={name: swap(rows) for name, rows in self.by_tag.items()},
        )

    def after(self, kept: Bill, first: date) -> Bill:
        """Return the bill with the days before it, from *first* on, from the bill *kept*."""

        def days[T: Charge | RecordCharge](older: Iterable[T], newer: Iterable[T]) -> tuple[T, ...]:
            return (*(charge for charge in older if first <= charge.day < self.first), *newer)

        if (older := kept.by_metric(self.metric)) is None:
            return self
        return replace(
            self,
            first=first,
            charges=days(older.charges, self.charges),
            by_tag={name: days(older.by_tag.get(name, ()), rows) for name, rows in self.by_tag.items()},
            records=days(older.records, self.records),
            by_account=days(older.by_account, self.by_account) if self.by_account else (),
            months=self.months or older.months,
            estimated=frozenset(day for day in older.estimated if first <= day < self.first) | self.estimated,
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
        first, until = span.first, span.until
        return sum((charge.usd for charge in self.charges if first <= charge.day < until), ZERO)

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


def settled_end(bill: Bill, settling_days: int) -> date:
    """Return the first day of *bill* that AWS may still change, or else its end."""
    return min(bill.until, bill.time.date() - (settling_days - 1) * DAY)


# --- phases of machine learning -------------------------------------------------------------------


class Phase(StrEnum):
    """The phase of machine learning that a usage type belongs to."""

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


SAGEMAKER_PHASES: tuple[tuple[str, Phase], ...] = (
    (r"TrainWarmPool|WarmPool", Phase.WARM_POOLS),
    (r"TrSpt|SpotTrain", Phase.SPOT_TRAINING),
    (r"Train|Autopilot", Phase.TRAINING),
    (r"Host|AsyncInf|ServerlessInf|Endpoint", Phase.HOSTING),
    (r"Processing", Phase.PROCESSING),
    (r"Tsform|BatchTransform", Phase.TRANSFORM),
    (r"Notebk", Phase.NOTEBOOKS),
    (r"Studio|Canvas|RStudio|MLflow", Phase.STUDIO),
    (r"Cluster", Phase.HYPERPOD),
    (r"VolumeUsage|StorageIOUsage|FeatureStore", Phase.STORAGE),
)
"""Phases by words in SageMaker's usage types; the first match counts."""

TRANSFER_PHASES: tuple[tuple[str, Phase], ...] = (
    (r"AWS-(In|Out)-(A?Bytes)|-AWS-Out-|-AWS-In-|S3RTC-|DataTransfer-xAZ", Phase.TRANSFER),
    (r"NatGateway-", Phase.NAT),
)
"""Phases by words in usage types of any service: data transfer belongs to no service."""

SERVICE_PHASES: Mapping[str, Phase] = {
    "Amazon Simple Storage Service": Phase.STORAGE,
    "Amazon Elastic File System": Phase.STORAGE,
    "Amazon FSx": Phase.STORAGE,
    "AmazonCloudWatch": Phase.LOGS,
    "Amazon EC2 Container Registry (ECR)": Phase.REGISTRIES,
}
"""The phase of other charges, by service."""


def phase_of(service: str, usage_type: str) -> Phase:
    """Return the phase of machine learning that a charge belongs to."""
    words = SAGEMAKER_PHASES if "SageMaker" in service else ()
    for pattern, found in (*TRANSFER_PHASES, *words):
        if re.search(pattern, usage_type):
            return found
    return SERVICE_PHASES.get(service, Phase.OTHER)


def main_services(charges: Iterable[Charge]) -> Mapping[str, str]:
    """
    Return the service of each usage type; of several services, the one that charges most.

    Cost Explorer groups by two keys at most, so charges by usage type and tag name no service.
    """
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for charge in charges:
        totals[charge.usage_type][charge.service] += abs(charge.usd)  # type: ignore[assignment]
    return {usage: min(of, key=lambda name: (-of[name], name)) for usage, of in totals.items()}


# --- movements: the change between two spans, and its causes --------------------------------------


class ComparisonKind(StrEnum):
    """The days of a comparison."""

    DAY = "day"
    """One settled day with the same weekday of the week before."""
    MONTH_TO_DATE = "month to date"
    """The month so far with the same days of the month before."""
    DAYS = "days"
    """A number of days with as many right before them, or with a chosen span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanComparison:
    """Two spans of the same length, of settled days."""

    kind: ComparisonKind
    before: DaySpan
    after: DaySpan


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePart:
    """
    The change of one usage type under one tag's value in one region between two spans.

    *change* = *usd_after* - *usd_before* = *quantity_effect* + *price_effect*, exactly. The quantity effect
    is at the price of before; if there was no use before or is none after, all of it is quantity.
    A change of up to *usual* dollars is not news. *usage_jumped* tells that its usage type as a whole moved
    in its direction by more than usual. *since* is the day from which a line that jumped costs more or less.
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
    usage_jumped: bool = False
    service: str = ""
    since: date | None = None

    @property
    def change(self) -> Decimal:
        return self.usd_after - self.usd_before

    @property
    def jumped(self) -> bool:
        """Return whether its line, or that of its whole usage type, moved by more than usual."""
        return self.usage_jumped or abs(self.change) > self.usual


class MoverCause(StrEnum):
    """The cause of a mover's dollars."""

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
    USAGE = "usage"
    """Use without a known resource, of a usage type that has a phase, or under a tag's value or an owner."""
    UNEXPLAINED = "unexplained"
    """Use of which nothing is known: neither a resource, nor a phase, a tag's value or an owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """
    Facts about a resource besides its use, from a sweep or from the ledger.

    *detector* and *finding* (its id) are those of a finding, *since* is when its waste began. *ended* is when
    it was deleted or stopped, *acted* tells whether the janitor did that. *used* tells whether a detector saw
    that somebody uses it.
    """

    owner: str | None = None
    since: datetime | None = None
    ended: datetime | None = None
    detector: str = ""
    finding: str = ""
    acted: bool = False
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit(ResourceFacts):
    """
    The resource behind a mover, as far as it is known.

    Without a finding, *since* is when it was made. *usd_until_now* is its total billed cost, if the bill
    reaches back to its creation. For several similar *members*, such as the jobs of a family, *name* is the
    common part of their names, and *arn* is that of the largest.
    """

    arn: str
    name: str
    kind: str
    usd_until_now: Decimal | None = None
    members: int = 1

    @property
    def account(self) -> str:
        """Return its account; "" if its ARN has none."""
        return self.arn.split(":")[4] if self.arn.count(":") >= 5 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """
    A part of a movement's dollars, with their cause.

    *usd* is signed; all movers but those of `Cause.TAG` add up to the movement's change. *culprit* is
    None where the cause is a price, a tag, or unexplained. *tag_before* is the tag value that a
    `Cause.TAG` moved from, to the part's own value. *owner* is the culprit's, else that of the part if it
    has a single owner. *units_before* and *units_after* are the culprit's use of the part in each span,
    in the part's unit.
    """

    usd: Decimal
    cause: MoverCause
    part: ChangePart
    culprit: Culprit | None = None
    owner: str | None = None
    tag_before: str | None = None
    units_before: Decimal = ZERO
    units_after: Decimal = ZERO

    @property
    def ordinary(self) -> bool:
        """Return whether it is not news: not a finding, and on a line that moved no more than usual."""
        if self.cause in {MoverCause.FINDING, MoverCause.TAG}:
            return False
        return not self.part.jumped or (self.usd * self.part.change <= 0 and abs(self.usd) <= self.part.usual)


NEWS_SHARE, NEWS_PARTS = Decimal("0.05"), 3
"""The share by which a total moves much, and the least share and number of its parts that are named then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """
    A change between two spans, and its causes: *movers* by their dollars, the largest first.

    *tag* is the tag that divides its parts, by its name in the settings; "" if no tag could be read.
    *ended_credits* are credits of the span before that have ended, by the dollars that they took
    off; totals leave them out.
    """

    comparison: SpanComparison
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
        """Return the change as a share of the cost before ("0.4" is 40 % more); None if that was zero."""
        return self.change / self.usd_before if self.usd_before else None

    @property
    def news(self) -> tuple[Mover, ...]:
        """Return the movers that are not ordinary changes."""
        return tuple(mover for mover in self.movers if not mover.ordinary)

    @property
    def largest(self) -> tuple[Mover, ...]:
        """Return the largest parts of a total that moved much, ordinary or not; else nothing."""
        much = (
            self.comparison.kind is ComparisonKind.DAYS and abs(self.change) >= NEWS_SHARE * self.usd_before
        )
        parts = [
            mover
            for mover in self.movers
            if mover.cause is not MoverCause.TAG and abs(mover.usd) >= NEWS_SHARE * abs(self.change)
        ]
        return tuple(parts[:NEWS_PARTS]) if much and self.change else ()

    @property
    def unexplained(self) -> Decimal:
        """Return the dollars without a known cause."""
        return total_change(mover for mover in self.movers if mover.cause is MoverCause.UNEXPLAINED)


def total_change(movers: Iterable[Mover]) -> Decimal:
    """Return the total change of *movers*: a tag's move changes nothing."""
    return sum((mover.usd for mover in movers if mover.cause is not MoverCause.TAG), ZERO)


# --- a movement in a few lines --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """
    A movement as a few lines: *movers* one by one, *smaller* ones together, and *unexplained* ones.

    All of it adds up to the change: *movers* + *smaller_usd* + *unexplained_usd*.
    """

    movers: tuple[Mover, ...]
    smaller: tuple[Mover, ...]
    unexplained: tuple[Mover, ...]
    moved_tags: tuple[Mover, ...]

    @property
    def smaller_usd(self) -> Decimal:
        return sum((mover.usd for mover in self.smaller), ZERO)

    @property
    def unexplained_usd(self) -> Decimal:
        return sum((mover.usd for mover in self.unexplained), ZERO)


def break_down(movement: Movement, most: int) -> Breakdown:
    """List the *most* largest explained movers one by one, small ones without news last; sum up the rest."""
    least = NEWS_SHARE * abs(movement.change)
    news = {id(mover) for mover in movement.movers if not mover.ordinary or abs(mover.usd) >= least}
    explained = [
        mover for mover in movement.movers if mover.cause not in {MoverCause.UNEXPLAINED, MoverCause.TAG}
    ]
    ranked = sorted(
        explained, key=lambda mover: id(mover) not in news
    )  # the order by dollars stays in each half
    shown = {id(mover) for mover in ranked[:most]}
    return Breakdown(
        movers=tuple(mover for mover in explained if id(mover) in shown),
        smaller=tuple(mover for mover in explained if id(mover) not in shown),
        unexplained=tuple(mover for mover in movement.movers if mover.cause is MoverCause.UNEXPLAINED),
        moved_tags=tuple(mover for mover in movement.movers if mover.cause is MoverCause.TAG),
    )
