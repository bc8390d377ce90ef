"""Joins a bill with the known facts about its resources into one report for all displays. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from ml_janitor.aws.answers import error_text
from ml_janitor.bill import tables
from ml_janitor.bill.accounts import MOST_NAMED_ACCOUNTS
from ml_janitor.bill.asking import BillQuestion
from ml_janitor.bill.attribution import AMOUNT_PRECISION, BillDivision, changed_parts, divide_bill
from ml_janitor.bill.budgets import BudgetState
from ml_janitor.bill.joining import BillResource, find_movers
from ml_janitor.bill.model import (
    ACCOUNT_TAG,
    OTHER_ACCOUNTS,
    ZERO,
    Bill,
    BillGap,
    BillReading,
    DaySpan,
    GapCause,
)
from ml_janitor.bill.movements import ChangePart, Movement, Mover, MoverCause, SpanComparison
from ml_janitor.bill.phases import Phase
from ml_janitor.bill.resources import ActionSavings
from ml_janitor.bill.unit_costs import UnitCost, unit_costs
from ml_janitor.core.text import shorten_list

CREDIT_RECORD = "Credit"
CREDIT_PAUSE = timedelta(days=7)
"""The time without credits after which they have ended: some come once a week."""

READ_PHASES = {
    Phase.HOSTING,
    Phase.TRAINING,
    Phase.SPOT_TRAINING,
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

    *span* is the span of the tables, and *main* the movement into it. *yesterday* is that of the last
    settled day and *month* that of the month to date; None where the bill does not reach back. *shares*
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

    def table(self, by: str) -> tuple[tables.BillLine, ...]:
        """Return every line of the table *by* a key. Raises KeyError for a tag that was not read."""
        before = self.main.comparison.before if self.main else None
        return tables.bill_lines(self.bill, by, self.span, before)


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
        first = max(bill.first, bill.until - timedelta(days=question.days))
        span = DaySpan(first, (bill.until - first).days)
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
        unit_costs=unit_costs(bill.charges, span, resources),
        saved=saved.by_day,
        saved_this_month=saved.this_month,
        saved_by_account=saved.by_account,
    )


def moved_places(bill: Bill, question: BillQuestion) -> list[tuple[str, str]]:
    """Return accounts and regions whose resources may have moved a shared bill, the most moved first."""
    usd: dict[tuple[str, str], Decimal] = {}
    divided = divide_bill(bill, ())
    for comparison in filter(None, question.comparisons(bill)) if bill.moved else ():
        for part in changed_parts(divided.lines, comparison, divided.services):
            if part.phase in READ_PHASES and part.tag not in {None, OTHER_ACCOUNTS} and abs(part.change) >= 1:
                where = part.tag or "", part.region
                usd[where] = max(usd.get(where, ZERO), abs(part.change))
    return sorted(usd, key=lambda where: (-usd[where], where))[:MOST_READ_PLACES]


def explain_movement(
    bill: Bill, comparison: SpanComparison, divided: BillDivision, resources: Sequence[BillResource]
) -> Movement:
    """Return the movement of the bill between the two spans."""
    tag = divided.tag
    found = changed_parts(divided.lines, comparison, divided.services)
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
        movers=merge_movers(find_movers(found, known, comparison, sole_owners(bill, comparison.after))),
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
            mover.cause is MoverCause.UNEXPLAINED
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


def sole_owners(bill: Bill, span: DaySpan) -> Mapping[str, str]:
    """Return the owner of each usage type in *span* with a single owner."""
    owners: dict[str, set[str]] = {}
    for charge in bill.by_tag.get(OWNER_TAG, ()):
        if charge.usage_type and charge.usd and charge.day in span:
            owners.setdefault(charge.usage_type, set()).add(charge.tag or "")
    return {usage: next(iter(of)) for usage, of in owners.items() if len(of) == 1 and any(of)}


def merge_movers(found: Iterable[Mover]) -> tuple[Mover, ...]:
    """Merge *found* into one mover for each resource and cause over all usage types: instances, disks."""
    together: dict[object, list[Mover]] = {}
    for number, mover in enumerate(found):
        own = mover.culprit
        key = (mover.cause, own.kind, own.name, own.account, mover.part.tag) if own else number
        together.setdefault(key, []).append(mover)
    movers = [_merged(own) for own in together.values()]
    return tuple(sorted(movers, key=lambda mover: -abs(mover.usd)))


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
