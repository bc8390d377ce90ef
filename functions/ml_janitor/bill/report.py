"""Puts a bill and what is known of its resources together into the one report that everything shows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from ml_janitor.aws.answers import describe
from ml_janitor.bill import tables
from ml_janitor.bill.accounts import SHOWN
from ml_janitor.bill.asking import Question
from ml_janitor.bill.attribution import EXACT, Division, division, parts
from ml_janitor.bill.budgets import BudgetState
from ml_janitor.bill.joining import Resource, movers
from ml_janitor.bill.model import ACCOUNT, OTHERS, ZERO, Bill, Gap, GapCause, Reading, Span
from ml_janitor.bill.movements import Cause, Comparison, Movement, Mover, Part
from ml_janitor.bill.phases import Phase
from ml_janitor.bill.resources import Savings
from ml_janitor.bill.unit_costs import UnitCost, unit_costs
from ml_janitor.core.text import some

CREDIT = "Credit"
CREDITS_STOPPED = timedelta(days=7)
"""How long there must have been no credit for it to have ended: some come once a week."""

LOOKED_AT = {
    Phase.HOSTING,
    Phase.TRAINING,
    Phase.SPOT_TRAINING,
    Phase.PROCESSING,
    Phase.TRANSFORM,
    Phase.NOTEBOOKS,
    Phase.STUDIO,
}
"""The phases whose resources are looked at, region by region."""

MOST_PLACES = 12
"""How many pairs of account and region are looked at for what moved the bill of several accounts."""

OWNER = "owner"
"""What the tag of owners is called in the settings."""


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
class BillReport:
    """
    Everything that is shown of a bill, in the terminal, JSON, HTML and Slack.

    *span* is what the tables are of, and *main* why it moved. *yesterday* is of the last settled day and
    *month* of the month to date; None where the bill does not reach back. *shares* are in the order of the
    settings. *saved* is what actions saved, by day: only hours that they really ended. *saved_this_month* is
    of the calendar month of *bill.time*, and *saved_by_account* that of each account, of a bill of several.
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
    saved_by_account: Mapping[str, Decimal] = field(default_factory=dict)

    def table(self, by: str) -> tuple[tables.Line, ...]:
        """Every line of the table *by* something. Raises KeyError for a tag that was not read."""
        before = self.main.comparison.before if self.main else None
        return tables.lines(self.bill, by, self.span, before)


def bill_report(
    bill: Bill,
    question: Question,
    *,
    resources: Sequence[Resource] = (),
    saved: Savings | None = None,
    gaps: Sequence[Gap] = (),
    looked_at: Collection[str] = (),
) -> BillReport:
    """
    Everything that is shown of *bill*.

    *gaps* are what could not be read besides it, and *resources* are those of the places *looked_at*, as
    `place` calls them. Where they cannot be joined with it, it is shown without them, and says so.
    """
    saved = saved or Savings()
    try:
        return _joined(bill, question, priced(bill, resources), saved=saved, gaps=gaps, looked_at=looked_at)
    except Exception as error:  # a fault of ours, or an answer that nobody foresaw
        if not resources:
            raise
        gap = Gap(reading=Reading.RESOURCES, cause=GapCause.FAILED, detail=describe(error))
        return _joined(bill, question, (), saved=saved, gaps=(*gaps, gap), looked_at=())


def _joined(
    bill: Bill,
    question: Question,
    resources: Sequence[Resource],
    *,
    saved: Savings,
    gaps: Sequence[Gap],
    looked_at: Collection[str],
) -> BillReport:
    comparison, *others = question.comparisons(bill)
    if comparison is not None:
        span = comparison.after
    else:
        first = max(bill.first, bill.until - timedelta(days=question.days))
        span = Span(first, (bill.until - first).days)
    divided = division(bill, question.tags)
    main, yesterday, month = (
        None if one is None else movement(bill, one, divided, resources) for one in (comparison, *others)
    )
    return BillReport(
        bill=replace(bill, gaps=(*bill.gaps, *gaps, *elsewhere(main, looked_at))),
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


def moved_places(bill: Bill, question: Question) -> list[tuple[str, str]]:
    """The accounts and regions whose resources can have moved a bill of several, the most moved first."""
    usd: dict[tuple[str, str], Decimal] = {}
    divided = division(bill, ())
    for one in filter(None, question.comparisons(bill)) if bill.moved else ():
        for part in parts(divided.lines, one, divided.services):
            if part.phase in LOOKED_AT and part.tag not in {None, OTHERS} and abs(part.change) >= 1:
                where = part.tag or "", part.region
                usd[where] = max(usd.get(where, ZERO), abs(part.change))
    return sorted(usd, key=lambda where: (-usd[where], where))[:MOST_PLACES]


def movement(
    bill: Bill, comparison: Comparison, divided: Division, resources: Sequence[Resource]
) -> Movement:
    """Why the bill moved between the two spans."""
    tag = divided.tag
    found = parts(divided.lines, comparison, divided.services)
    match tag:
        case "":
            known: Sequence[Resource] = [replace(one, tag=None) for one in resources]
        case "account" if bill.moved:
            named = {one.tag for one in bill.moved}
            owned = [(one, one.culprit.account) for one in resources]
            known = [replace(one, tag=own if own in named else OTHERS) for one, own in owned]
        case _:
            known = resources
    return Movement(
        comparison=comparison,
        usd_before=bill.total(comparison.before),
        usd_after=bill.total(comparison.after),
        tag=tag,
        movers=merged(movers(found, known, comparison, sole_owners(bill, comparison.after))),
        ended_credits=ended_credits(bill, comparison),
    )


def place(part: Part, tag: str) -> str:
    """Where the resources behind *part* are: a region, or of several accounts, an account and a region."""
    return f"{part.tag}/{part.region}" if tag == ACCOUNT else part.region


def elsewhere(movement: Movement | None, looked_at: Collection[str]) -> Iterator[Gap]:
    """What instances changed that no resource can explain, because nobody looked where they are."""
    usd: dict[str, Decimal] = {}
    tag = movement.tag if movement else ""
    for one in movement.movers if movement else ():
        where = place(one.part, tag)
        if one.cause is Cause.UNEXPLAINED and one.part.phase in LOOKED_AT and where not in looked_at:
            usd[where] = usd.get(where, ZERO) + one.usd
    changed = [item for item in usd.items() if abs(item[1]) >= 1]
    changed.sort(key=lambda item: -abs(item[1]))
    if tag == ACCOUNT and changed:
        yield Gap(
            reading=Reading.RESOURCES,
            cause=GapCause.NOT_LOOKED_AT,
            subject=some([where for where, _ in changed], SHOWN),
            detail=ACCOUNT,
            usd=sum((change for _, change in changed), ZERO),
        )
    elif looked_at:
        for region, change in changed:
            yield Gap(reading=Reading.RESOURCES, cause=GapCause.NOT_LOOKED_AT, subject=region, usd=change)


def sole_owners(bill: Bill, span: Span) -> Mapping[str, str]:
    """The owner of each usage type in *span* of which all has just one."""
    owners: dict[str, set[str]] = {}
    for one in bill.by_tag.get(OWNER, ()):
        if one.usage_type and one.usd and one.day in span:
            owners.setdefault(one.usage_type, set()).add(one.tag or "")
    return {usage: next(iter(of)) for usage, of in owners.items() if len(of) == 1 and any(of)}


def merged(found: Iterable[Mover]) -> tuple[Mover, ...]:
    """*found* with one mover for each resource and cause, whatever it uses: instances, and their disks."""
    together: dict[object, list[Mover]] = {}
    for number, one in enumerate(found):
        own = one.culprit
        key = (one.cause, own.kind, own.name, own.account, one.part.tag) if own else number
        together.setdefault(key, []).append(one)
    movers = [_merged(own) for own in together.values()]
    return tuple(sorted(movers, key=lambda one: -abs(one.usd)))


def _merged(own: Sequence[Mover]) -> Mover:
    largest = max(own, key=lambda one: abs(one.usd))
    return replace(largest, usd=sum((one.usd for one in own), ZERO))


def priced(bill: Bill, resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """*resources* with what each has been billed until now, at the prices of the bill's last days."""
    usd: dict[str, Decimal] = {}
    quantity: dict[str, Decimal] = {}
    lately = Span(bill.until - timedelta(days=35), 35)
    for one in bill.charges:
        if one.day in lately:
            usd[one.usage_type] = usd.get(one.usage_type, ZERO) + one.usd
            quantity[one.usage_type] = quantity.get(one.usage_type, ZERO) + one.quantity
    prices = {usage: usd[usage] / of for usage, of in quantity.items() if of > 0}
    return tuple(
        replace(one, culprit=replace(one.culprit, usd_until_now=_until_now(one, bill, prices)))
        for one in resources
    )


def _until_now(resource: Resource, bill: Bill, prices: Mapping[str, Decimal]) -> Decimal | None:
    """None where a price is unknown, or where it began before the bill."""
    total = ZERO
    for run in resource.runs:
        if run.usage_type not in prices or run.start.date() < bill.first:
            return None
        end = min(run.end or bill.time, bill.time)
        hours = Decimal(str(max((end - run.start).total_seconds(), 0))) / 3600
        total += run.hourly * hours * prices[run.usage_type]
    return total.quantize(EXACT)


def ended_credits(bill: Bill, comparison: Comparison) -> Decimal:
    """What credits that have ended took off the span before, and no longer take off."""
    last = max((one.day for one in bill.records if one.record_type == CREDIT and one.usd), default=None)
    if last is None or last >= bill.until - CREDITS_STOPPED:
        return ZERO
    before, after = (bill.outside(span).get(CREDIT, ZERO) for span in (comparison.before, comparison.after))
    return max(after - before, ZERO)


def _shares(bill: Bill, span: Span, comparison: Comparison | None, tags: Sequence[str]) -> Iterator[TagShare]:
    before = comparison.before if comparison else None
    for tag in tags:
        rows = bill.by_tag.get(tag)
        if rows is None or not any(one.tag for one in rows):  # not read, or not active
            continue
        yield TagShare(
            tag=tag,
            untagged=sum((one.usd for one in rows if one.day in span and not one.tag), ZERO),
            total=sum((one.usd for one in rows if one.day in span), ZERO),
            untagged_before=sum(
                (one.usd for one in rows if before and one.day in before and not one.tag), ZERO
            ),
            total_before=sum((one.usd for one in rows if before and one.day in before), ZERO),
        )
