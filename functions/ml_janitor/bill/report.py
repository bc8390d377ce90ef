"""Join a bill with the known facts about its resources into one report for all displays, and archive it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from enum import StrEnum
from itertools import pairwise
from operator import mul
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError

from ml_janitor.aws.calls import error_text, read_signal
from ml_janitor.aws.runs import UNKNOWN_REGION, ResourceRun, region_of_usage
from ml_janitor.bill.explaining import (
    AMOUNT_PRECISION,
    BillDivision,
    changed_parts,
    divide_bill,
    find_movers,
)
from ml_janitor.bill.model import (
    ACCOUNT_TAG,
    OTHER_ACCOUNTS,
    ZERO,
    Bill,
    BillGap,
    BillReading,
    ChangePart,
    Charge,
    DaySpan,
    GapCause,
    Movement,
    Mover,
    MoverCause,
    Phase,
    SpanComparison,
    main_services,
    phase_of,
    settled_end,
)
from ml_janitor.bill.reading import MOST_NAMED_ACCOUNTS, BillQuestion, BillRequest
from ml_janitor.bill.resources import (
    ActionSavings,
    BillResource,
    VariantRequests,
    units_in_span,
)
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import DAY, WEEK
from ml_janitor.core.money import CENT
from ml_janitor.core.text import shorten_list

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from ml_janitor.core.model import Signal

CREDIT_RECORD = "Credit"
CREDIT_PAUSE = timedelta(days=7)
"""The time without credits after which they have ended: some come once a week."""

READ_PHASES = {
    Phase.HOSTING,
    Phase.TRAINING,
    Phase.SPOT_TRAINING,
    Phase.WARM_POOLS,
    Phase.PROCESSING,
    Phase.TRANSFORM,
    Phase.NOTEBOOKS,
    Phase.STUDIO,
}
"""The phases whose resources are read, region by region."""

MOST_READ_PLACES = 12
"""The most pairs of account and region that are read to explain a shared bill."""

OWNER_TAG = "owner"
"""The name of the owners' tag in the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagShare:
    """The part of a span without a value of *tag* (its name in the settings), and of the span before."""

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
class BillReport:
    """
    A bill for all displays: the terminal, JSON, HTML and Slack.

    *span* is the span of the tables, which ends with the last settled day, and *main* the movement into it.
    *yesterday* is that of the last settled day and *month* that of the month to date; None where the bill
    does not reach back. *shares*
    are in the order of the settings. *saved* are the savings of actions, by day: only hours that they
    really ended. *saved_this_month* is for the calendar month of *bill.time*, and *saved_by_account* for
    each account of a shared bill.
    """

    bill: Bill
    span: DaySpan
    main: Movement | None
    yesterday: Movement | None = None
    month: Movement | None = None
    shares: tuple[TagShare, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    unit_costs: tuple[UnitCost, ...] = ()
    saved: Mapping[date, Decimal] = field(default_factory=dict)
    saved_this_month: Decimal = ZERO
    saved_by_account: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def unsettled(self) -> DaySpan:
        """Return the days that AWS may still change, which are in no comparison."""
        return DaySpan(self.span.until, (self.bill.until - self.span.until).days)

    def table(self, by: str) -> tuple[BillLine, ...]:
        """Return every line of the table *by* a key. Raises KeyError for a tag that was not read."""
        before = self.main.comparison.before if self.main else None
        return bill_lines(self.bill, by, self.span, before)


def make_bill_report(
    bill: Bill,
    question: BillQuestion,
    *,
    resources: Sequence[BillResource] = (),
    saved: ActionSavings | None = None,
    gaps: Sequence[BillGap] = (),
    looked_at: Collection[str] = (),
) -> BillReport:
    """
    Return the report of *bill*.

    *gaps* are other parts that could not be read, and *resources* are those of the places *looked_at*, as
    `place` names them. If they cannot be joined, the report shows the bill without them, and says so.
    """
    saved = saved or ActionSavings()
    try:
        return _joined(
            bill, question, price_resources(bill, resources), saved=saved, gaps=gaps, looked_at=looked_at
        )
    except Exception as error:  # a fault of ours, or an unforeseen answer
        gap = BillGap(reading=BillReading.RESOURCES, cause=GapCause.FAILED, detail=error_text(error))
        return _joined(bill, question, (), saved=saved, gaps=(*gaps, gap), looked_at=())


def _joined(
    bill: Bill,
    question: BillQuestion,
    resources: Sequence[BillResource],
    *,
    saved: ActionSavings,
    gaps: Sequence[BillGap],
    looked_at: Collection[str],
) -> BillReport:
    comparison, *others = question.comparisons(bill)
    if comparison is not None:
        span = comparison.after
    else:
        end = settled_end(bill, question.settling_days)
        first = max(bill.first, end - timedelta(days=question.days))
        span = DaySpan(first, (end - first).days)
    divided = divide_bill(bill, question.tags)
    main, yesterday, month = (
        None if pair is None else explain_movement(bill, pair, divided, resources)
        for pair in (comparison, *others)
    )
    return BillReport(
        bill=replace(bill, gaps=(*bill.gaps, *gaps, *unread_place_gaps(main, looked_at))),
        span=span,
        main=main,
        yesterday=yesterday,
        month=month,
        shares=tuple(_shares(bill, span, comparison, question.tags)),
        unit_costs=unit_costs(bill.charges, span, resources, comparison.before if comparison else None),
        saved=saved.by_day,
        saved_this_month=saved.this_month,
        saved_by_account=saved.by_account,
    )


def moved_places(bill: Bill, question: BillQuestion) -> list[tuple[str, str]]:
    """Return accounts and regions whose resources may have moved a shared bill, the most moved first."""
    usd: dict[tuple[str, str], Decimal] = {}
    divided = divide_bill(bill, ())
    for comparison in filter(None, question.comparisons(bill)) if bill.moved else ():
        for part in changed_parts(divided.lines, comparison, divided.services, divided.months):
            known = part.tag not in {None, OTHER_ACCOUNTS} and part.region != UNKNOWN_REGION
            if known and part.phase in READ_PHASES and abs(part.change) >= 1:
                where = part.tag or "", part.region
                usd[where] = max(usd.get(where, ZERO), abs(part.change))
    return sorted(usd, key=lambda where: (-usd[where], where))[:MOST_READ_PLACES]


def moved_usage_types(bill: Bill, question: BillQuestion) -> frozenset[str]:
    """Return the usage types that changed in any comparison, in all or under a value of the tag."""
    divided = divide_bill(bill, question.tags)
    return frozenset(
        part.usage_type
        for comparison in filter(None, question.comparisons(bill))
        for part in changed_parts(divided.lines, comparison, divided.services)
        if abs(part.change) >= 1
    )


def dividing_key(bill: Bill, tags: Mapping[str, str]) -> str:
    """Return the key of the tag that divides the bill, by the names of *tags*; "" without one."""
    return tags.get(divide_bill(bill, tuple(tags)).tag, "")


def explain_movement(
    bill: Bill, comparison: SpanComparison, divided: BillDivision, resources: Sequence[BillResource]
) -> Movement:
    """Return the movement of the bill between the two spans."""
    tag = divided.tag
    found = changed_parts(divided.lines, comparison, divided.services, divided.months)
    match tag:
        case "":
            known: Sequence[BillResource] = [replace(resource, tag=None) for resource in resources]
        case "account" if bill.moved:
            named = {charge.tag for charge in bill.moved}
            owned = [(resource, resource.culprit.account) for resource in resources]
            known = [
                replace(resource, tag=own if own in named else OTHER_ACCOUNTS) for resource, own in owned
            ]
        case _:
            known = resources
    return Movement(
        comparison=comparison,
        usd_before=bill.total(comparison.before),
        usd_after=bill.total(comparison.after),
        tag=tag,
        movers=merge_movers(
            find_movers(
                found,
                known,
                comparison,
                owner_changes(bill, comparison),
                divided.lines if tag not in {"", ACCOUNT_TAG} else None,
            )
        ),
        ended_credits=ended_credits(bill, comparison),
    )


def place_of_part(part: ChangePart, tag: str) -> str:
    """Return the place of *part*'s resources: a region, or of a shared bill, an account and a region."""
    return f"{part.tag}/{part.region}" if tag == ACCOUNT_TAG else part.region


def unread_place_gaps(movement: Movement | None, looked_at: Collection[str]) -> Iterator[BillGap]:
    """Yield gaps for changes of instances that no resource can explain, because their place was not read."""
    usd: dict[str, Decimal] = {}
    tag = movement.tag if movement else ""
    for mover in movement.movers if movement else ():
        where = place_of_part(mover.part, tag)
        if (
            mover.cause in {MoverCause.UNEXPLAINED, MoverCause.USAGE}
            and mover.part.phase in READ_PHASES
            and where not in looked_at
        ):
            usd[where] = usd.get(where, ZERO) + mover.usd
    changed = [item for item in usd.items() if abs(item[1]) >= 1]
    changed.sort(key=lambda item: -abs(item[1]))
    if tag == ACCOUNT_TAG and changed:
        yield BillGap(
            reading=BillReading.RESOURCES,
            cause=GapCause.NOT_LOOKED_AT,
            subject=shorten_list([where for where, _ in changed], MOST_NAMED_ACCOUNTS),
            detail=ACCOUNT_TAG,
            usd=sum((change for _, change in changed), ZERO),
        )
    elif looked_at:
        for region, change in changed:
            yield BillGap(
                reading=BillReading.RESOURCES, cause=GapCause.NOT_LOOKED_AT, subject=region, usd=change
            )


def owner_changes(bill: Bill, comparison: SpanComparison) -> Mapping[str, Mapping[str, Decimal]]:
    """Return the change of each usage type by owner; "" has no owner."""
    changes: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    signs = dict.fromkeys(comparison.before, -1) | dict.fromkeys(comparison.after, 1)
    for charge in bill.by_tag.get(OWNER_TAG, ()):
        if charge.usage_type and charge.usd and charge.day in signs:
            changes[charge.usage_type][charge.tag or ""] += signs[charge.day] * charge.usd
    return changes


def merge_movers(found: Iterable[Mover]) -> tuple[Mover, ...]:
    """Merge *found* into one mover for each resource and cause over all usage types: instances, disks."""
    together: dict[object, list[Mover]] = {}
    for number, mover in enumerate(merge_small_jobs(found)):
        own = mover.culprit
        key = (mover.cause, own.kind, own.name, own.account, mover.part.tag) if own else number
        together.setdefault(key, []).append(mover)
    movers = [_merged(own) for own in together.values()]
    return tuple(sorted(movers, key=lambda mover: -abs(mover.usd)))


SMALL_JOBS = 3
"""The number of jobs of one line from which they are named together, if none of them is half of them."""


def merge_small_jobs(found: Iterable[Mover]) -> Iterator[Mover]:
    """Yield *found*, with the small jobs of a line that moved more than usual as one mover."""
    groups: dict[object, list[Mover]] = {}
    for mover in found:
        own = mover.culprit
        small = own and own.kind.endswith("-job") and mover.cause is not MoverCause.FINDING
        key = (mover.part.usage_type, mover.part.tag, own.kind) if own and small else id(mover)
        groups.setdefault(key, []).append(mover)
    for movers in groups.values():
        usd = sum((mover.usd for mover in movers), ZERO)
        largest = max(movers, key=lambda mover: abs(mover.usd))
        together = largest.part.jumped and abs(largest.usd) < abs(usd) / 2
        if len(movers) < SMALL_JOBS or not together or largest.culprit is None:
            yield from movers
            continue
        owners = {mover.owner for mover in movers}
        families = {family_name(mover.culprit.name) for mover in movers if mover.culprit}
        members = sum(mover.culprit.members for mover in movers if mover.culprit and mover.units_after)
        yield replace(
            largest,
            usd=usd,
            cause=MoverCause.CHANGED,
            culprit=replace(
                largest.culprit,
                name=families.pop() if len(families) == 1 else "",
                members=members,
                since=None,
                ended=None,
                owner=None,
            ),
            owner=owners.pop() if len(owners) == 1 else None,
            units_before=sum((mover.units_before for mover in movers), ZERO),
            units_after=sum((mover.units_after for mover in movers), ZERO),
        )


def _merged(own: Sequence[Mover]) -> Mover:
    largest = max(own, key=lambda mover: abs(mover.usd))
    return replace(largest, usd=sum((mover.usd for mover in own), ZERO))


def price_resources(bill: Bill, resources: Iterable[BillResource]) -> tuple[BillResource, ...]:
    """Return *resources* with the cost of each until now, at the prices of the bill's last days."""
    usd: dict[str, Decimal] = {}
    quantity: dict[str, Decimal] = {}
    since = bill.until - timedelta(days=35)
    for charge in bill.charges:
        if charge.day >= since:
            usd[charge.usage_type] = usd.get(charge.usage_type, ZERO) + charge.usd
            quantity[charge.usage_type] = quantity.get(charge.usage_type, ZERO) + charge.quantity
    prices = {usage: usd[usage] / of for usage, of in quantity.items() if of > 0}
    return tuple(
        replace(resource, culprit=replace(resource.culprit, usd_until_now=_until_now(resource, bill, prices)))
        for resource in resources
    )


def _until_now(resource: BillResource, bill: Bill, prices: Mapping[str, Decimal]) -> Decimal | None:
    """Return its cost, or None where a price is unknown, or where it began before the bill."""
    total = ZERO
    for run in resource.runs:
        if run.usage_type not in prices or run.start.date() < bill.first:
            return None
        end = min(run.end or bill.time, bill.time)
        hours = Decimal(str(max((end - run.start).total_seconds(), 0))) / 3600
        total += run.hourly * hours * prices[run.usage_type]
    return total.quantize(AMOUNT_PRECISION)


def ended_credits(bill: Bill, comparison: SpanComparison) -> Decimal:
    """Return the dollars that ended credits took off the span before, and no longer take off."""
    last = max(
        (record.day for record in bill.records if record.record_type == CREDIT_RECORD and record.usd),
        default=None,
    )
    if last is None or last >= bill.until - CREDIT_PAUSE:
        return ZERO
    before, after = (
        bill.outside(span).get(CREDIT_RECORD, ZERO) for span in (comparison.before, comparison.after)
    )
    return max(after - before, ZERO)


def _shares(
    bill: Bill, span: DaySpan, comparison: SpanComparison | None, tags: Sequence[str]
) -> Iterator[TagShare]:
    before = comparison.before if comparison else None
    for tag in tags:
        rows = bill.by_tag.get(tag)
        if rows is None or not any(row.tag for row in rows):  # not read, or not active
            continue
        yield TagShare(
            tag=tag,
            untagged=sum((row.usd for row in rows if row.day in span and not row.tag), ZERO),
            total=sum((row.usd for row in rows if row.day in span), ZERO),
            untagged_before=sum(
                (row.usd for row in rows if before and row.day in before and not row.tag), ZERO
            ),
            total_before=sum((row.usd for row in rows if before and row.day in before), ZERO),
        )


# --- budgets of a month ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """
    A month's budget and its state.

    *tag* and *value* identify its part, "" for the whole account. *expected* is the month's end by AWS's
    forecast, or, for a part, by its last weeks; None if unknown.
    """

    usd: Decimal
    spent: Decimal
    expected: Decimal | None = None
    tag: str = ""
    value: str = ""


def budget_states(
    bill: Bill, monthly_usd: float, parts: Mapping[str, float], settled: date
) -> Iterator[BudgetState]:
    """
    Yield the account's budget in the month of the bill's last day, and those of *parts* ("project=churn").

    A bill or tag that could not be read has none. On a month's first day, the month is the one before,
    which is over. AWS forecasts only the account; a part is expected to go on as in its last weeks. Every
    charged day is spent; days from *settled* on are expected to cost no less than usual.
    """
    if not bill.charges:
        return
    first = (bill.until - DAY).replace(day=1)
    month, end = DaySpan(first, (bill.until - first).days), (first + 32 * DAY).replace(day=1)
    if monthly_usd:
        spent = bill.total(month)
        expected = spent if month.until == end else None
        if expected is None and bill.forecast is not None:
            expected = expected_spend(bill.charges, month, settled) + bill.forecast.usd
        yield BudgetState(usd=_exact(monthly_usd), spent=spent, expected=expected)
    for part, usd in sorted(parts.items()):
        tag, _, value = part.partition("=")
        if tag in bill.by_tag:
            rows = [row for row in bill.by_tag[tag] if row.tag == value]
            spent = sum((row.usd for row in rows if row.day in month), ZERO)
            expected = expected_spend(rows, month, settled) + forecast_part(rows, month.until, end, settled)
            yield BudgetState(usd=_exact(usd), spent=spent, expected=expected, tag=tag, value=value)


MEAN_WEEKS = 4
"""The weeks before an unsettled day whose mean it is expected to cost at least."""


def expected_spend(charges: Iterable[Charge], month: DaySpan, settled: date) -> Decimal:
    """
    Return what the days of *month* will have cost once they are settled.

    A day from *settled* on counts with its charge or its weekday's mean, whichever is more.
    """
    by_day: dict[date, Decimal] = defaultdict(Decimal)
    for charge in charges:
        by_day[charge.day] += charge.usd
    total = ZERO
    for day in month:
        if day >= settled:
            weeks = [by_day[day - week * WEEK] for week in range(1, MEAN_WEEKS + 1)]
            by_day[day] = max(by_day[day], sum(weeks, ZERO) / MEAN_WEEKS)
        total += by_day[day]
    return total


WEEK_WEIGHTS = (8, 4, 2, 1)
"""The weights of the last settled weeks in the forecast of a part, the newest first."""

LEAST_REST, LEAST_LIFE = 2, 4
"""The days of a rest that may be an end, and the days from which a new line goes on."""


def forecast_part(charges: Iterable[Charge], first: date, until: date, settled: date) -> Decimal:
    """
    Forecast the days from *first* until *until*: each line by its weekday in the weeks before *settled*.

    A line is a usage type, or a service. A line that rests longer than ever in these weeks has ended; one
    that began after such a rest is judged by the days since.
    """
    lines: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for charge in charges:
        lines[charge.usage_type or charge.service][charge.day] += charge.usd
    ahead = range((first - settled).days, (until - settled).days)
    return sum((_forecast_line(usd, ahead, settled) for _, usd in sorted(lines.items())), ZERO)


def _forecast_line(usd: Mapping[date, Decimal], ahead: Sequence[int], settled: date) -> Decimal:
    """Forecast the days *ahead* of *settled*."""
    week = WEEK.days
    past = [usd.get(settled - (number + 1) * DAY, ZERO) for number in range(len(WEEK_WEIGHTS) * week)]
    charged = [number for number, amount in enumerate(past) if amount]
    longest = max([LEAST_REST, *(later - sooner - 1 for sooner, later in pairwise(charged))])
    if not charged or charged[0] > longest:
        return ZERO
    if LEAST_LIFE <= charged[-1] + 1 < len(past) - longest:
        past = past[: charged[-1] + 1]
    if len(past) < week:
        return sum(past, ZERO) / len(past) * len(ahead)
    total = ZERO
    for day in ahead:
        same = past[week - 1 - day % week :: week]
        weights = WEEK_WEIGHTS[: len(same)]
        total += sum(map(mul, same, weights), ZERO) / sum(weights)
    return total


def _exact(usd: float) -> Decimal:
    return Decimal(str(usd))


# --- tables by phase, service, usage type or tag --------------------------------------------------

BY_PHASE, BY_SERVICE, BY_USAGE_TYPE = "phase", "service", "usage"
OWN_TABLES = (BY_PHASE, BY_SERVICE, BY_USAGE_TYPE)
"""The keys that divide a bill besides tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """The charges of one *name* in a span and in that before; None without a comparison."""

    name: str
    usd: Decimal
    usd_before: Decimal | None

    @property
    def change(self) -> Decimal | None:
        return None if self.usd_before is None else self.usd - self.usd_before


def bill_lines(bill: Bill, by: str, span: DaySpan, before: DaySpan | None) -> tuple[BillLine, ...]:
    """
    Return every line of the table *by* a key, the dearest first; "" is the untagged rest.

    Raises KeyError if *by* is a tag that was not read.
    """
    sums: dict[str, list[Decimal]] = {}
    for day, name, usd in charges_by(bill, by):
        own = sums.setdefault(name, [ZERO, ZERO])
        own[0] += usd if day in span else ZERO
        own[1] += usd if before is not None and day in before else ZERO
    found = [
        BillLine(name=name, usd=usd, usd_before=None if before is None else earlier)
        for name, (usd, earlier) in sums.items()
        if usd or earlier
    ]
    return tuple(sorted(found, key=lambda line: (-line.usd, -(line.usd_before or ZERO), line.name)))


def sum_lines(every: Sequence[BillLine]) -> BillLine:
    """Sum lines into one line."""
    compared = all(line.usd_before is not None for line in every)
    return BillLine(
        name="",
        usd=sum((line.usd for line in every), ZERO),
        usd_before=sum((line.usd_before or ZERO for line in every), ZERO) if compared else None,
    )


def charges_by(bill: Bill, by: str) -> Iterator[tuple[date, str, Decimal]]:
    """Yield the day, the name and the dollars of each charge. Raises KeyError if a tag was not read."""
    match by:
        case "phase":
            for charge in bill.charges:
                yield charge.day, phase_of(charge.service, charge.usage_type).value, charge.usd
        case "service":
            for charge in bill.charges:
                yield charge.day, charge.service, charge.usd
        case "usage":
            for charge in bill.charges:
                yield charge.day, charge.usage_type, charge.usd
        case tag:
            for charge in bill.by_account if tag == ACCOUNT_TAG and bill.by_account else bill.by_tag[tag]:
                yield charge.day, charge.tag or "", charge.usd


def usd_by_day(bill: Bill, by: str, days: Sequence[date]) -> Mapping[str, Sequence[Decimal]]:
    """Return the dollars of each name on each of *days*. Raises KeyError if a tag was not read."""
    places = {day: number for number, day in enumerate(days)}
    found: dict[str, list[Decimal]] = {}
    for day, name, usd in charges_by(bill, by):
        if day in places:
            found.setdefault(name, [ZERO] * len(days))[places[day]] += usd
    return found


# --- chargeback -----------------------------------------------------------------------------------


def has_table(bill: Bill, by: str) -> bool:
    """Return whether there is a table *by* a key: there is none for a tag that was not read."""
    return by in OWN_TABLES or by in bill.by_tag or bool(by == ACCOUNT_TAG and bill.by_account)


def chargeback_lines(bill: Bill, tag: str, span: DaySpan) -> Iterator[tuple[str, str, Decimal]]:
    """
    Yield value, service and dollars in whole cents, the untagged last; together the span's total in cents.

    The largest line takes the cents left by rounding. Raises KeyError if the tag was not read.
    """
    services = main_services(bill.charges)
    sums: dict[tuple[str, str], Decimal] = {}
    for charge in bill.by_tag[tag]:
        if charge.day in span and charge.usd:
            key = charge.tag or "", charge.service or services.get(charge.usage_type, "")
            sums[key] = sums.get(key, ZERO) + charge.usd
    rounded = {key: usd.quantize(CENT, ROUND_HALF_UP) for key, usd in sums.items()}
    if rounded:
        total = sum(sums.values(), ZERO).quantize(CENT, ROUND_HALF_UP)
        largest = max(rounded, key=lambda key: (abs(rounded[key]), key))
        rounded[largest] += total - sum(rounded.values(), ZERO)
    for (value, service), usd in sorted(rounded.items(), key=lambda item: (not item[0][0], item[0])):
        if usd:
            yield value, service, usd


# --- unit costs -----------------------------------------------------------------------------------
#
# A unit is 1,000 requests to an endpoint or a model, a job, or a job of a family. The dollars are those of
# the bill: each run has its share of its line, and all together never more than the line. The units are
# measured. Unmeasured usage has no units, never 0.

UNIT_ORDER = ("endpoint", "model", "family", "job")
MOST_JOBS = 50
"""The dearest jobs that are listed one by one; all are in their family."""


class UnitNote(StrEnum):
    """A note on the cost of a unit."""

    COMPONENTS = "inference components"
    """Inference components share the endpoint's instances: none of their models has a cost of its own."""
    MANY_MODELS = "many models"
    """A multi-model endpoint: its one SageMaker model loads many, and none of them has a cost of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """
    The cost of one unit in a span: *usd* for *units* ("requests" of an endpoint or model, "jobs" of a
    family).

    *kind* is "endpoint", "model", "family" or "job", and *resource* the kind of resource in ARNs. *units*
    is None if unreadable. *before* is `per_unit` of the span before, if it had units that were read.
    """

    kind: str
    name: str
    usd: Decimal
    units: int | None
    unit: str
    resource: str = ""
    region: str = ""
    account: str = ""
    notes: tuple[UnitNote, ...] = ()
    before: Decimal | None = None

    @property
    def per(self) -> int:
        """Return the number of units that the shown cost is for."""
        return 1000 if self.unit == "requests" else 1

    @property
    def per_unit(self) -> Decimal | None:
        """Return dollars for a job, or for 1,000 requests; None if there were none, or if unknown."""
        return self.usd * self.per / self.units if self.units else None


@dataclass(slots=True)
class _Sum:
    """The sums of one name. *units* is None once any of them could not be read."""

    usd: Decimal = ZERO
    units: int | None = 0
    notes: set[UnitNote] = field(default_factory=set)

    def count(self, units: int | None) -> None:
        self.units = None if units is None or self.units is None else self.units + units


type _Key = tuple[str, str, str, str, str]
"""Kind of unit, region, kind of resource, name, account."""


def unit_costs(
    charges: Iterable[Charge],
    span: DaySpan,
    resources: Sequence[BillResource],
    before: DaySpan | None = None,
) -> tuple[UnitCost, ...]:
    """
    Return the unit costs of *resources* in *span*: by endpoint, model, family and job, the dearest first.

    *charges* are by usage type, without tags. Resources without a charge are left out. With a span *before*,
    each has what a unit cost then.
    """
    rows = tuple(charges)
    found = tuple(_listed(_sum_units(rows, span, resources)))
    if before is None:
        return found
    earlier = _sum_units(rows, before, resources)
    return tuple(replace(cost, before=_earlier(cost, earlier)) for cost in found)


def _earlier(cost: UnitCost, sums: Mapping[_Key, _Sum]) -> Decimal | None:
    """Return what a unit of *cost* took of *sums*; None for a job, which runs once."""
    line = sums.get((cost.kind, cost.region, cost.resource, cost.name, cost.account))
    if line is None or cost.kind == "job":
        return None
    return replace(cost, usd=line.usd, units=line.units).per_unit


def _sum_units(
    charges: Iterable[Charge], span: DaySpan, resources: Sequence[BillResource]
) -> Mapping[_Key, _Sum]:
    """Return the cost and the units of *resources* in *span*."""
    prices = _prices(charges, span, resources)
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    for resource in resources:
        shares = [
            (
                run,
                (units_in_span(run, span) * prices.get(run.usage_type, ZERO)).quantize(
                    AMOUNT_PRECISION, ROUND_DOWN
                ),
            )
            for run in resource.runs
        ]
        if resource.culprit.kind == "endpoint":
            _endpoint(resource, shares, span, sums)
        elif resource.culprit.kind.endswith("-job"):
            _job(resource, sum((usd for _, usd in shares), ZERO), sums)
    return sums


def _prices(
    charges: Iterable[Charge], span: DaySpan, resources: Iterable[BillResource]
) -> Mapping[str, Decimal]:
    """
    Return dollars for a unit of each usage type: its charge, divided by the billed or the known usage.

    The larger usage counts: so no line is shared out twice, if more usage is known than was charged.
    """
    usd: dict[str, Decimal] = defaultdict(Decimal)
    charged: dict[str, Decimal] = defaultdict(Decimal)
    ran: dict[str, Decimal] = defaultdict(Decimal)
    for charge in charges:
        if charge.day in span:
            usd[charge.usage_type] += charge.usd
            charged[charge.usage_type] += charge.quantity
    for run in (run for resource in resources for run in resource.runs):
        ran[run.usage_type] += units_in_span(run, span)
    return {
        usage: dollars / max(charged[usage], ran[usage])
        for usage, dollars in usd.items()
        if dollars > 0 and charged[usage] > 0
    }


def _endpoint(
    endpoint: BillResource,
    shares: Sequence[tuple[ResourceRun, Decimal]],
    span: DaySpan,
    sums: dict[_Key, _Sum],
) -> None:
    """Add an endpoint's cost and production requests; a model's requests also include shadow copies."""
    where = region_of_usage(endpoint.runs[0].usage_type) if endpoint.runs else ""
    whole = sums["endpoint", where, endpoint.culprit.kind, endpoint.culprit.name, endpoint.culprit.account]
    whole.usd += sum((usd for _, usd in shares), ZERO)
    models = {run.model for run in endpoint.runs}
    if "" in models:
        whole.notes.add(UnitNote.COMPONENTS)
    if any(meter.many_models for meter in endpoint.requests):
        whole.notes.add(UnitNote.MANY_MODELS)
    of_model = {
        model: sums["model", where, "model", model, endpoint.culprit.account] for model in models if model
    }
    for run, usd in shares:
        if run.model:
            of_model[run.model].usd += usd
    if not endpoint.requests:
        for line in (whole, *of_model.values()):
            line.count(None)
    for meter in endpoint.requests:
        own = [run for run in endpoint.runs if run.variant == meter.variant]
        if not meter.shadow:
            whole.count(meter.within(span))
        for model in {run.model for run in own if run.model}:
            of_model[model].count(_served(meter, own, model, span))
            of_model[model].notes |= {UnitNote.MANY_MODELS} if meter.many_models else set()


def _served(meter: VariantRequests, runs: Sequence[ResourceRun], model: str, span: DaySpan) -> int | None:
    """
    Count the requests of *meter* that *model* served: a point counts for the last run
    begun before its end.
    """
    if meter.points is None:
        return None
    begun = sorted(runs, key=lambda run: run.start)
    served = 0.0
    for at, count in meter.points:
        if at.date() in span:
            before = [run for run in begun if run.start < at + timedelta(seconds=meter.period)]
            served += count if (before or begun)[-1 if before else 0].model == model else 0
    return round(served)


def _job(job: BillResource, usd: Decimal, sums: dict[_Key, _Sum]) -> None:
    if not usd:
        return
    where = region_of_usage(job.runs[0].usage_type)
    named = {"family": job.family or job.culprit.name, "job": job.culprit.name}
    for kind, name in named.items():
        own = sums[kind, where, job.culprit.kind, name, job.culprit.account]
        own.usd += usd
        own.count(1)


def _listed(sums: Mapping[_Key, _Sum]) -> Iterator[UnitCost]:
    """Yield the unit costs; a family with a single job is left out."""
    jobs = 0
    for key, line in sorted(
        sums.items(), key=lambda item: (UNIT_ORDER.index(item[0][0]), -item[1].usd, item[0])
    ):
        kind, where, resource, name, account = key
        jobs += kind == "job"
        if not line.usd or (kind == "family" and line.units == 1) or (kind == "job" and jobs > MOST_JOBS):
            continue
        yield UnitCost(
            kind=kind,
            name=name,
            resource=resource,
            region=where,
            account=account,
            usd=line.usd,
            units=line.units,
            unit="jobs" if kind in {"family", "job"} else "requests",
            notes=tuple(sorted(line.notes)),
        )


# --- the archive in the report bucket -------------------------------------------------------------
#
# Each night's bill continues the bill of the night before.

BILL_FOLDER = "bill"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedBill:
    """
    A report with the *tags* and *services* that it was read for, and *where*, the filter of its accounts.

    A reading with others cannot continue it.
    """

    report: BillReport
    tags: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    where: tuple[Mapping[str, Any], ...] = ()


ARCHIVED_BILL = TypeAdapter(ArchivedBill)


class BillArchive:
    """The bills in *bucket*, through *client*."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client: Any = client
        self._bucket = bucket

    def keep(self, report: BillReport, wanted: BillRequest) -> str:
        """Store *report* under its time, in place of the same run's earlier one; return its key."""
        key = f"{_stem(report)}.json"
        document = ArchivedBill(
            report=report, tags=wanted.tags, services=tuple(wanted.services), where=wanted.where
        )
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=ARCHIVED_BILL.dump_json(document),
            ContentType="application/json",
        )
        return key

    def keep_picture(self, report: BillReport, png: bytes) -> str:
        """Store the picture of *report* beside it; return its key."""
        key = f"{_stem(report)}.png"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=png, ContentType="image/png")
        return key

    def picture(self, key: str) -> Signal[bytes]:
        """Read the picture under *key*."""
        return read_signal(
            lambda: bytes(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()),
            source="s3:GetObject",
        )

    def bill(self, key: str, wanted: BillRequest) -> Bill | None:
        """
        Return the bill under *key*, if it was read for what is *wanted* now.

        None also if it is gone or unreadable: the janitor then reads the whole bill again, which costs cents.
        """
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            document = ARCHIVED_BILL.validate_json(body)
        except (ClientError, BotoCoreError, ValidationError):
            return None
        read_for = document.tags, document.services, document.where
        same = read_for == (wanted.tags, tuple(wanted.services), wanted.where)
        return document.report.bill if same else None

    def where(self, key: str) -> str:
        """Return the address of *key*."""
        return f"s3://{self._bucket}/{key}"


def _stem(report: BillReport) -> str:
    return f"{BILL_FOLDER}/{report.bill.time:%Y-%m-%dT%H-%M-%SZ}"
