"""
Explain a change of the bill: divide it into parts that add up to it, and find the resources behind each.

A part is a usage type by tag by region. Each part's change is divided once more, into the effect of quantity
and that of price. The parts do not depend on the order of the charges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import accumulate, pairwise
from math import sqrt
from statistics import median
from typing import Any

from ml_janitor.aws.runs import ResourceRun, region_of_usage
from ml_janitor.bill.model import (
    ACCOUNT_TAG,
    UNTAGGED_VALUE,
    ZERO,
    Bill,
    ChangePart,
    Charge,
    ComparisonKind,
    DaySpan,
    Mover,
    MoverCause,
    Phase,
    SpanComparison,
    main_services,
    phase_of,
)
from ml_janitor.bill.resources import BillResource, units_in_span
from ml_janitor.core.durations import DAY, WEEK
from ml_janitor.core.money import CENT
from ml_janitor.core.text import shorten_list

AMOUNT_PRECISION = Decimal("0.0000000001")
"""The precision of Cost Explorer's amounts."""

SUMMED_FIELDS = (
    *("usd_before", "usd_after", "quantity_before", "quantity_after"),
    *("quantity_effect", "price_effect", "usual"),
)

NEGLIGIBLE_SHARE, NEGLIGIBLE_USD = Decimal("0.005"), Decimal(50)
"""The share of the bill, and the dollars, below which a change is no news."""


type LineKey = tuple[str, str | None]
"""A usage type, and a tag's value."""


@dataclass(slots=True)
class UsageLine:
    """The daily cost of one usage type under one value of the tag; days without a charge are missing."""

    usd: dict[date, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    quantity: dict[date, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillDivision:
    """A bill as *lines* by usage type and the *tag* of that name in the settings; "" without a read tag."""

    tag: str
    lines: Mapping[LineKey, UsageLine]
    services: Mapping[str, str]
    months: Mapping[str, Mapping[date, Decimal]] = field(default_factory=dict)


def divide_bill(bill: Bill, tags: Sequence[str]) -> BillDivision:
    """Divide *bill* by account, if it is shared, else by the first of *tags* that was read by usage type."""
    tag = next((name for name in tags if any(row.usage_type for row in bill.by_tag.get(name, ()))), "")
    tag = ACCOUNT_TAG if bill.moved else tag
    rows = bill.moved or (bill.by_tag[tag] if tag else bill.charges)
    every = {month.day for month in bill.months}
    months = {
        usage: {month: line.usd.get(month, ZERO) for month in every}
        for (usage, _), line in usage_lines(bill.months).items()
    }
    return BillDivision(tag=tag, lines=usage_lines(rows), services=main_services(bill.charges), months=months)


def usage_lines(charges: Iterable[Charge]) -> Mapping[LineKey, UsageLine]:
    """Return *charges* as lines, by usage type and, if there is one, by tag."""
    found: dict[LineKey, UsageLine] = defaultdict(UsageLine)
    for charge in charges:
        line = found[charge.usage_type, charge.tag]
        line.usd[charge.day] += charge.usd
        line.quantity[charge.day] += charge.quantity
        line.unit = max(line.unit, charge.unit)
    return found


def changed_parts(
    of: Mapping[LineKey, UsageLine],
    comparison: SpanComparison,
    services: Mapping[str, str],
    months: Mapping[str, Mapping[date, Decimal]] | None = None,
) -> tuple[ChangePart, ...]:
    """
    Return the change of each usage type under each value of the tag, the largest change first.

    *of* are the lines of all known days. *services* are those of the usage types, *months* their earlier
    months. A usage type is judged before its parts: many small jobs can be news together.
    """
    whole, earlier = usage_totals(of), months or {}
    changes = {usage: _change(line.usd, comparison) for usage, line in whole.items()}
    paid = sum((_sum(line.usd, comparison.before) for line in whole.values()), ZERO)
    least = max(NEGLIGIBLE_USD, NEGLIGIBLE_SHARE * paid)
    jumped = {
        usage
        for usage, line in whole.items()
        if abs(changes[usage]) > least
        and abs(changes[usage]) > _usual(line, comparison, earlier.get(usage, {}))
    }
    parts = []
    for (usage, tag), line in of.items():
        if (part := _part(usage, tag, line, comparison, services.get(usage, ""))) is None:
            continue
        usual = least
        if abs(part.change) > least:
            usual = max(least, _usual(line, comparison, earlier.get(usage, {})))
        with_usage = usage in jumped and changes[usage] * part.change > 0
        part = replace(part, usual=usual, usage_jumped=with_usage)
        parts.append(replace(part, since=first_changed_day(line.usd, comparison)) if part.jumped else part)
    return tuple(sorted(parts, key=lambda part: (-abs(part.change), part.usage_type, part.tag or "")))


def usage_totals(lines: Mapping[LineKey, UsageLine]) -> Mapping[str, UsageLine]:
    """Return the lines of whole usage types."""
    found: dict[str, UsageLine] = defaultdict(UsageLine)
    for (usage, _), line in lines.items():
        for day, usd in line.usd.items():
            found[usage].usd[day] += usd
        found[usage].unit = max(found[usage].unit, line.unit)
    return found


def _usual(line: UsageLine, comparison: SpanComparison, months: Mapping[date, Decimal]) -> Decimal:
    return usual_change(line.usd, comparison, months) + month_length_change(line, comparison)


def month_length_change(line: UsageLine, comparison: SpanComparison) -> Decimal:
    """
    Return how much the same use costs more or less in one span, if a month of it has a price ("GB-Mo").

    AWS divides that price by the days of the month: a day of February costs 31/28 of a day of March.
    """
    if not line.unit.endswith("-Mo"):
        return ZERO
    spans = comparison.before, comparison.after
    months = [sum((1 / Decimal(_month_length(day)) for day in span), ZERO) for span in spans]
    costs = [line.usd.get(day, ZERO) * _month_length(day) for span in spans for day in span]
    return abs(months[1] - months[0]) * sum(costs, ZERO) / len(costs)


def _month_length(day: date) -> int:
    return ((day.replace(day=1) + 31 * DAY).replace(day=1) - day.replace(day=1)).days


def _change(by_day: Mapping[date, Decimal], comparison: SpanComparison) -> Decimal:
    return _sum(by_day, comparison.after) - _sum(by_day, comparison.before)


def _part(
    usage_type: str, tag: str | None, line: UsageLine, comparison: SpanComparison, service: str
) -> ChangePart | None:
    before, after = (_sum(line.usd, span) for span in (comparison.before, comparison.after))
    if not before and not after:
        return None
    units_before, units_after = (_sum(line.quantity, span) for span in (comparison.before, comparison.after))
    by_quantity = after - before
    if units_before > 0 and units_after > 0:
        by_quantity = ((units_after - units_before) * before / units_before).quantize(AMOUNT_PRECISION)
    return ChangePart(
        usage_type=usage_type,
        tag=tag,
        region=region_of_usage(usage_type),
        phase=phase_of(service, usage_type),
        service=service,
        usd_before=before,
        usd_after=after,
        quantity_before=units_before,
        quantity_after=units_after,
        unit=line.unit,
        quantity_effect=by_quantity,
        price_effect=after - before - by_quantity,
    )


# --- usual changes --------------------------------------------------------------------------------
#
# A jump is usual if the line varies by as much. One irregularity never makes the next one usual: the weeks in
# which it began and ended are left out. A line that jumped twice before may jump as much again.
# Random bills decided the numbers: docs/decisions/0043-a-jump-is-usual-if-its-line-varies-as-much.md.

WEEKLY_DEVIATIONS, MONTHLY_DEVIATIONS = 6, 5
"""The root mean squares of a line's changes from week to week, and from month to month, that are usual."""

LEFT_OUT_WEEKS = 2
"""The weeks that do not count: an irregularity begins in one of them, and ends in another."""

BATCH_FACTOR = 2
"""The multiple of a batch's cost, such as that of the last day of each month, that is usual for the next."""

FORTNIGHT = 14

LEAST_MONTHS, MONTH_LENGTH = 4, 30
"""The fewest months that show how much a line varies, and the fewest days for which they count."""


def usual_change(
    usd: Mapping[date, Decimal], comparison: SpanComparison, months: Mapping[date, Decimal] | None = None
) -> Decimal:
    """
    Return the largest usual change, in dollars, of a line with *usd* a day.

    *months* are the earlier months of its usage type: their changes count between spans of more than a day.
    If the two spans hold different weekdays, the difference between these is added.
    """
    length, until = comparison.after.days, comparison.after.until
    first = min(usd, default=until)
    days = [float(usd.get(first + number * DAY, ZERO)) for number in range((until - first).days)]
    usual = [
        WEEKLY_DEVIATIONS * _spread_of_weeks(days[:-length]) * sqrt(length),
        BATCH_FACTOR * _batch(days, first, comparison),
    ]
    if comparison.kind is ComparisonKind.DAY and len(days) > FORTNIGHT:
        usual.append(_echo(days))
    elif months:
        usual.append(MONTHLY_DEVIATIONS * _spread_of_months(months) * max(length, MONTH_LENGTH))
    return Decimal(max(usual)) + abs(_other_weekdays(usd, comparison))


def _echo(days: Sequence[float]) -> float:
    """Return the change of the week before that the last day only takes back: that was news then."""
    before_that, before, last = days[-1 - FORTNIGHT], days[-1 - WEEK.days], days[-1]
    return abs(before - before_that) if (before - before_that) * (last - before) < 0 else 0.0


def first_changed_day(usd: Mapping[date, Decimal], comparison: SpanComparison) -> date:
    """Return the day that divides both spans best into days before and days after a step of a line."""
    days: list[date] = [*comparison.before, *comparison.after]
    costs = [float(usd.get(day, ZERO)) for day in days]
    sums, whole = list(accumulate(costs)), sum(costs)

    def gain(first: int) -> float:
        before, after = sums[first - 1] / first, (whole - sums[first - 1]) / (len(costs) - first)
        return (after - before) * (after - before) * first * (len(costs) - first)

    return days[max(range(1, len(days)), key=gain)]


def _spread_of_weeks(days: Sequence[float]) -> float:
    """
    Return the root mean square of the changes from each day to the same weekday of the next week.

    It leaves out the weeks in which one irregularity began and ended.
    """
    squares = [(later - sooner) ** 2 for sooner, later in zip(days, days[WEEK.days :], strict=False)]
    for _ in range(LEFT_OUT_WEEKS):
        starts = range(len(squares) - WEEK.days + 1)
        worst = max(starts, key=lambda start: sum(squares[start : start + WEEK.days]), default=0)
        del squares[worst : worst + WEEK.days]
    return sqrt(sum(squares) / len(squares)) if squares else 0.0


def _spread_of_months(months: Mapping[date, Decimal]) -> float:
    """Return the root mean square of the changes between months, in dollars a day, less one irregularity."""
    daily = [float(usd) / _month_length(month) for month, usd in sorted(months.items())]
    if len(daily) < LEAST_MONTHS:
        return 0.0
    steps = sorted(later - sooner for sooner, later in pairwise(daily))[1:-1]
    return sqrt(sum(step * step for step in steps) / len(steps))


def _batch(days: list[float], first: date, comparison: SpanComparison) -> float:
    """Return the usual cost of days of a month that one span has more often, such as the last of each."""
    counts = [
        Counter(label for day in span for label in _labels_of_day(day))
        for span in (comparison.before, comparison.after)
    ]
    times = {label: abs(counts[1][label] - counts[0][label]) for label in {*counts[0], *counts[1]}}
    extra: dict[str, list[float]] = defaultdict(list)
    judged = len(days) - 1 if comparison.kind is ComparisonKind.DAY else len(days)
    for number, usd in enumerate(days[:judged]):
        near = days[max(number - 3, 0) : number] + days[number + 1 : number + 4]
        for label in _labels_of_day(first + number * DAY):
            if times.get(label) and near:
                extra[label].append(usd - median(near))
    found = 0.0
    for label, costs in extra.items():
        largest = sorted(costs)[-2:]
        if len(largest) == 2 and largest[0] > largest[1] / 4:
            found = max(found, times[label] * sum(largest) / 2)
    return found


def _labels_of_day(day: date) -> Iterator[str]:
    yield f"{day.day}"
    if (day + DAY).day == 1:
        yield "last"


def _other_weekdays(usd: Mapping[date, Decimal], comparison: SpanComparison) -> Decimal:
    """Return the extra cost of the span's weekdays, by the weekdays of the span before."""
    before, after = comparison.before, comparison.after
    if before.days < 7 or before.days % 7 == after.days % 7 == 0:
        return ZERO
    by_weekday: dict[int, Decimal] = defaultdict(Decimal)
    for day, cost in usd.items():
        if before.first <= day < before.until:
            by_weekday[day.weekday()] += cost
    return sum(
        (
            cost * (_weekdays(after, weekday) - _weekdays(before, weekday)) / _weekdays(before, weekday)
            for weekday, cost in sorted(by_weekday.items())
        ),
        ZERO,
    )


def _weekdays(span: DaySpan, weekday: int) -> int:
    """Count the days of *span* on that weekday."""
    return (span.days + 6 - (weekday - span.first.weekday()) % 7) // 7


def _sum(by_day: Mapping[date, Decimal], span: DaySpan) -> Decimal:
    first, until = span.first, span.until
    return sum((amount for day, amount in by_day.items() if first <= day < until), ZERO)


def merge_parts(parts: Sequence[ChangePart]) -> ChangePart:
    """Merge parts of one usage type into one part without a tag's value."""
    if len(parts) == 1:
        return parts[0]
    sums: dict[str, Any] = {
        name: sum((getattr(part, name) for part in parts), ZERO) for name in SUMMED_FIELDS
    }
    return replace(parts[0], tag=None, **sums)


# --- resources behind the parts -------------------------------------------------------------------
#
# A resource is known by its runs: how much of a usage type it used, from when until when. It claims that
# much of the line with its usage type and tag, at the bill's own price, and never more than the line: if
# resources claim more together, each gets its share. The rest of a part is a price, a move from one value
# of the tag to another, or unexplained.

SAME_QUANTITY = Decimal("0.03")
"""The relative difference of two quantity changes that still are the same use under another tag value."""

SAME_CHANGE = Decimal("0.1")
"""The share of a change of cost up to which an owner's own change counts as the same."""

SAME_PRICE = Decimal("0.01")
"""The share of a price below which a difference is rounding."""

MOST_PAYING = 3
"""The most owners that a change of price names."""

OUTLIER_FACTOR = 3
"""The factor over its family's median from which a job is named by itself."""


@dataclass(slots=True)
class _Claim:
    """The usage of a resource, or of a family's jobs, in one part, in units."""

    resource: BillResource
    before: Decimal = ZERO
    after: Decimal = ZERO
    members: int = 1


@dataclass(slots=True)
class _Rest:
    """The rest of a part that no resource accounts for."""

    part: ChangePart
    usd: Decimal
    units: Decimal
    movers: list[Mover] = field(default_factory=list)


def find_movers(
    parts: Sequence[ChangePart],
    resources: Iterable[BillResource],
    comparison: SpanComparison,
    owners: Mapping[str, Mapping[str, Decimal]],
    lines: Mapping[LineKey, UsageLine] | None = None,
) -> tuple[Mover, ...]:
    """
    Return all of *parts*' change as movers, the largest first: together they are the change, exactly.

    *owners* are the changes of usage types by owner. With the *lines* of all days, a resource
    that moved from one value of the tag to another is known by the days that the bill shows under each.
    """
    retagged: list[Mover] = []
    if lines is not None:
        parts, resources, retagged = follow_tags(parts, resources, comparison, lines)
    claims = _claims(parts, resources, comparison)
    rests = [_explained(part, claims[part.usage_type, part.tag]) for part in parts]
    found = [mover for rest in rests for mover in rest.movers]
    found = [*_prices(found, claims), *_moved_tags(rests), *retagged]
    found += [_without_resource(rest, owners.get(rest.part.usage_type, {})) for rest in rests if rest.usd]
    return tuple(sorted(found, key=_rank))


def _without_resource(rest: _Rest, owners: Mapping[str, Decimal]) -> Mover:
    """Return the mover of use without a known resource, with the owner whose use changed as much."""
    owner = owner_of_change(rest.usd, owners)
    known = rest.part.phase is not Phase.OTHER or rest.part.tag or owner
    units = (ZERO, ZERO) if rest.movers else (rest.part.quantity_before, rest.part.quantity_after)
    return Mover(
        usd=rest.usd,
        cause=MoverCause.USAGE if known else MoverCause.UNEXPLAINED,
        part=rest.part,
        owner=owner,
        units_before=units[0],
        units_after=units[1],
    )


def owner_of_change(usd: Decimal, owners: Mapping[str, Decimal]) -> str | None:
    """Return the only owner of a usage type, or the only one whose own change of it is like *usd*."""
    if len(owners) == 1:
        return next(iter(owners)) or None
    like = [owner for owner, change in owners.items() if abs(change - usd) <= SAME_CHANGE * abs(usd)]
    return like[0] or None if len(like) == 1 else None


def _rank(mover: Mover) -> tuple[Decimal, str, str, str, str]:
    arn = mover.culprit.arn if mover.culprit else ""
    return -abs(mover.usd), mover.part.usage_type, mover.part.tag or "", mover.cause, arn


# --- claims ---------------------------------------------------------------------------------------

type _Key = tuple[str, str | None]


def _claims(
    parts: Sequence[ChangePart], resources: Iterable[BillResource], comparison: SpanComparison
) -> Mapping[_Key, list[_Claim]]:
    """Return the claims on each part: on that of the resource's tag, else on the part without a tag."""
    by_key = {(part.usage_type, part.tag): part for part in parts}
    found: dict[_Key, list[_Claim]] = defaultdict(list)
    for resource in sorted(resources, key=lambda resource: resource.culprit.arn):
        for usage_type in sorted({run.usage_type for run in resource.runs}):
            runs = [run for run in resource.runs if run.usage_type == usage_type]
            before, after = (
                sum((units_in_span(run, span) for run in runs), ZERO)
                for span in (comparison.before, comparison.after)
            )
            key = next((k for k in _keys(usage_type, resource.tag) if k in by_key), None)
            if key is None or not (before or after):
                continue
            found[key].append(_Claim(resource, before, after))
    for key, claims in found.items():
        part = by_key[key]
        _limit(claims, "before", part.quantity_before)
        _limit(claims, "after", part.quantity_after)
        found[key] = list(_by_family(claims))
    return found


def _keys(usage_type: str, tag: str | None) -> Iterator[_Key]:
    yield usage_type, tag
    yield usage_type, UNTAGGED_VALUE  # tags are not retroactive
    yield usage_type, None


def _limit(claims: Sequence[_Claim], side: str, most: Decimal) -> None:
    """Limit the sum of *claims* to *most*, and to 0 for a negative line, which is a correction."""
    asked, most = sum((getattr(claim, side) for claim in claims), ZERO), max(most, ZERO)
    if asked > most:
        for claim in claims:
            setattr(claim, side, getattr(claim, side) * most / asked)


def _by_family(claims: Sequence[_Claim]) -> Iterator[_Claim]:
    """Join the claims of a family, except those of members that used much more than the rest of it."""
    families: dict[tuple[str, str, bool], list[_Claim]] = defaultdict(list)
    for claim in claims:
        resource = claim.resource
        families[resource.culprit.kind, resource.family or resource.culprit.arn, resource.found].append(claim)
    for _, members in sorted(families.items()):
        middle = median(claim.before + claim.after for claim in members)
        large = [claim for claim in members if claim.before + claim.after > OUTLIER_FACTOR * middle]
        yield from large
        if alike := [claim for claim in members if claim not in large]:
            largest = max(alike, key=lambda claim: (claim.before + claim.after, claim.resource.culprit.arn))
            yield _Claim(
                largest.resource,
                sum((claim.before for claim in alike), ZERO),
                sum((claim.after for claim in alike), ZERO),
                len(alike),
            )


def _explained(part: ChangePart, claims: Sequence[_Claim]) -> _Rest:
    """Return the movers of *part* for its *claims* and its price, and the rest."""
    price_before = part.usd_before / part.quantity_before if part.quantity_before else ZERO
    price_after = part.usd_after / part.quantity_after if part.quantity_after else ZERO
    step = price_after - price_before
    repriced = bool(price_before and price_after) and abs(step) > SAME_PRICE * price_before
    rest = _Rest(part, part.change, part.quantity_after - part.quantity_before)
    lower, fell = min(price_before, price_after), step < 0  # at the higher price, a claim may exceed its line
    repriced_units = part.quantity_before if fell else part.quantity_after
    for claim in claims:
        if claim.before and claim.after and repriced:
            usd = (claim.after - claim.before) * lower
        else:  # a new or ended resource moved with its own price
            usd = claim.after * price_after - claim.before * price_before
            repriced_units -= claim.before if fell else claim.after
        usd = usd.quantize(AMOUNT_PRECISION)
        rest.units -= claim.after - claim.before
        rest.usd -= usd
        if usd:
            rest.movers.append(_mover(part, claim, usd))
    if repriced and (usd := (repriced_units * step).quantize(AMOUNT_PRECISION)):
        rest.usd -= usd
        rest.movers.append(Mover(usd=usd, cause=MoverCause.PRICE, part=part))
    if rest.movers and abs(rest.usd) < CENT:  # rounded hours
        largest = max(rest.movers, key=lambda mover: abs(mover.usd))
        rest.movers[rest.movers.index(largest)] = replace(largest, usd=largest.usd + rest.usd)
        rest.usd = ZERO
    return rest


def _mover(part: ChangePart, claim: _Claim, usd: Decimal) -> Mover:
    culprit = claim.resource.culprit
    if claim.members > 1:
        culprit = replace(culprit, name=claim.resource.family, members=claim.members, since=None, ended=None)
    if claim.resource.found and usd > 0:
        cause = MoverCause.FINDING
    elif not claim.before:
        cause = MoverCause.STARTED
    elif usd < 0 and (not claim.after or culprit.ended or culprit.acted):
        cause = MoverCause.ENDED
    else:
        cause = MoverCause.CHANGED
    return Mover(
        usd=usd,
        cause=cause,
        part=part,
        culprit=culprit,
        owner=culprit.owner,
        units_before=claim.before,
        units_after=claim.after,
    )


def _prices(found: Iterable[Mover], claims: Mapping[_Key, Sequence[_Claim]]) -> Iterator[Mover]:
    """Yield *found*, with the price of a usage type as one mover, whatever its tags, and who pays it."""
    by_usage: dict[str, list[Mover]] = defaultdict(list)
    paying: dict[str, Counter[str]] = defaultdict(Counter)
    for (usage_type, _), own_claims in claims.items():
        for claim in own_claims:
            if claim.after and (owner := claim.resource.culprit.owner):
                paying[usage_type][owner] += claim.after  # type: ignore[assignment]
    for mover in found:
        if mover.cause is MoverCause.PRICE:
            by_usage[mover.part.usage_type].append(mover)
        else:
            yield mover
    for usage_type, own in sorted(by_usage.items()):
        usd = sum((mover.usd for mover in own), ZERO)
        owners = sorted(paying[usage_type], key=lambda owner: (-paying[usage_type][owner], owner))
        if len(owners) > 1:
            owners = [owner.partition("@")[0] for owner in owners]
        yield Mover(
            usd=usd,
            cause=MoverCause.PRICE,
            part=merge_parts([mover.part for mover in own]),
            owner=shorten_list(owners, MOST_PAYING) or None,
        )


# --- moved tags -----------------------------------------------------------------------------------


def _moved_tags(rests: Sequence[_Rest]) -> Iterator[Mover]:
    """
    Yield usage that only moved from one value of the tag to another (such as a lost tag), and take it out
    of *rests*.

    Its sign is the quantity: one value uses less, another uses that much more.
    """
    by_usage: dict[str, list[_Rest]] = defaultdict(list)
    for rest in rests:
        if rest.part.tag is not None:
            by_usage[rest.part.usage_type].append(rest)
    for _, own in sorted(by_usage.items()):
        falls = sorted((rest for rest in own if rest.units < 0 > rest.usd), key=lambda rest: rest.units)
        rises = sorted(
            (rest for rest in own if rest.units > 0 and rest.usd > rest.part.usual),
            key=lambda rest: -rest.units,
        )
        for rise in rises:
            matching = [fall for fall in falls if _same(rise.units, -fall.units)][:1]
            if not matching and _same(rise.units, -sum((fall.units for fall in falls), ZERO)):
                matching = list(falls)
            fell = sum((fall.units for fall in matching), ZERO)
            moved = rise.usd
            for fall in matching:
                usd = min(rise.usd, (moved * fall.units / fell).quantize(AMOUNT_PRECISION))
                fall.usd, rise.usd = fall.usd + usd, rise.usd - usd
                yield Mover(usd=usd, cause=MoverCause.TAG, part=rise.part, tag_before=fall.part.tag)
            falls = [fall for fall in falls if fall not in matching]


def _same(this: Decimal, other: Decimal) -> bool:
    return abs(this - other) <= SAME_QUANTITY * max(abs(this), abs(other))


@dataclass(slots=True)
class _TaggedUse:
    """
    The *units* that *resource* used of one usage type by day; *billed* are they by the tag's value that the
    bill shows them under, at first its own.
    """

    resource: BillResource
    units: Mapping[date, Decimal]
    billed: dict[str, dict[date, Decimal]] = field(default_factory=dict)

    @property
    def own(self) -> str:
        return self.resource.tag or UNTAGGED_VALUE

    @property
    def last(self) -> str:
        """Return the value on its last day."""
        day = max(self.units)
        return max(self.billed, key=lambda value: self.billed[value].get(day, ZERO))

    @property
    def moved(self) -> bool:
        return len(self.billed) > 1

    def is_like(self, other: _TaggedUse) -> bool:
        """Return whether the bill would show the same if *other* had moved in its place."""
        days = {day for value, units in self.billed.items() if value != self.own for day in units}
        return self.own == other.own and all(
            _same(self.units[day], other.units.get(day, ZERO)) for day in days
        )


def follow_tags(
    parts: Sequence[ChangePart],
    resources: Iterable[BillResource],
    comparison: SpanComparison,
    lines: Mapping[LineKey, UsageLine],
) -> tuple[Sequence[ChangePart], Sequence[BillResource], list[Mover]]:
    """
    Return *parts* and *resources* as if each resource had had its last tag value all the time, and the moves.

    A resource moved if on some days the line of its value lacks all its units, and that of another value has
    them to spare. Its cost of these days goes to its last value: both sides then compare the same use.
    """
    by_key = {(part.usage_type, part.tag): part for part in parts}
    by_usage: dict[str, dict[str | None, UsageLine]] = defaultdict(dict)
    for (usage_type, value), line in lines.items():
        by_usage[usage_type][value] = line
    found: list[BillResource] = []
    moves: list[Mover] = []
    for usage_type, own in sorted(_group_by_usage(resources).items()):
        own_lines = by_usage.get(usage_type, {})
        uses = [
            _TaggedUse(resource, units)
            for resource in own
            if len(own_lines) > 1 and (units := _units_by_day(resource.runs, comparison))
        ]
        _find_billed_values(uses, own_lines)
        known = {id(use.resource) for use in uses}
        found += [resource for resource in own if id(resource) not in known]
        for use in uses:
            found.append(replace(use.resource, tag=use.last))
            single = not any(use.is_like(other) for other in uses if not other.moved)
            for value in sorted(use.billed.keys() - {use.last}):
                source, goal = (by_key.get((usage_type, key)) for key in (value, use.last))
                if source is None or goal is None:
                    continue
                before, after = (
                    sum((units for day, units in use.billed[value].items() if day in span), ZERO)
                    for span in (comparison.before, comparison.after)
                )
                source, goal = _shift(*_shift(source, goal, "before", before), "after", after)
                by_key[usage_type, value], by_key[usage_type, use.last] = source, goal
                price = goal.usd_after / goal.quantity_after if goal.quantity_after else ZERO
                if (usd := ((before - after) * price).quantize(AMOUNT_PRECISION)) > 0:
                    culprit = use.resource.culprit if single else None
                    moves.append(
                        Mover(usd=usd, cause=MoverCause.TAG, part=goal, tag_before=value, culprit=culprit)
                    )
    return [by_key[part.usage_type, part.tag] for part in parts], found, list(_together(moves))


def _group_by_usage(resources: Iterable[BillResource]) -> Mapping[str, list[BillResource]]:
    """Return *resources* by usage type, each with its runs of that type."""
    found: dict[str, list[BillResource]] = defaultdict(list)
    for resource in resources:
        runs: dict[str, list[ResourceRun]] = defaultdict(list)
        for run in resource.runs:
            runs[run.usage_type].append(run)
        for usage_type, own in runs.items():
            found[usage_type].append(replace(resource, runs=tuple(own)) if len(runs) > 1 else resource)
    return found


def _units_by_day(runs: Iterable[ResourceRun], comparison: SpanComparison) -> Mapping[date, Decimal]:
    """Return the units of *runs* on each compared day with any."""
    found: dict[date, Decimal] = defaultdict(Decimal)
    for span in (comparison.before, comparison.after):
        for run in runs:
            first = max(run.start.date(), span.first)
            last = min(run.end.date() if run.end else span.last, span.last)
            for day in DaySpan(first, (last - first).days + 1):
                if units := units_in_span(run, DaySpan(day, 1)):
                    found[day] += units
    return found


def _find_billed_values(uses: Sequence[_TaggedUse], lines: Mapping[str | None, UsageLine]) -> None:
    """Find under which value the bill shows each of *uses*: whole days, and parts of the days beside."""
    least = 1 - SAME_QUANTITY
    room: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for value, line in lines.items():
        room[value or UNTAGGED_VALUE] |= line.quantity
    for use in uses:
        use.billed[use.own] = dict(use.units)
        for day, units in use.units.items():
            room[use.own][day] -= units
    for use in sorted(uses, key=lambda use: (-sum(use.units.values()), use.resource.culprit.arn)):
        left, short = use.billed[use.own], room[use.own]
        days = [day for day, units in left.items() if -short[day] >= least * units]
        whole = {
            value: [day for day in days if spare[day] >= least * left[day]]
            for value, spare in room.items()
            if value != use.own
        }
        for value in sorted(
            whole, key=lambda value: (-len(whole[value]), _to_spare(room[value], whole[value]), value)
        ):
            full = [day for day in whole[value] if day in left]
            for day in sorted({day + number * DAY for day in full for number in (-1, 0, 1)} & left.keys()):
                if (units := min(left[day], -short[day], room[value][day])) > 0:
                    use.billed.setdefault(value, {})[day] = units
                    short[day] += units
                    room[value][day] -= units
                    left[day] -= units
            for day in full:
                del left[day]


def _to_spare(room: Mapping[date, Decimal], days: Iterable[date]) -> Decimal:
    return sum((room[day] for day in days), ZERO)


def _shift(source: ChangePart, goal: ChangePart, side: str, units: Decimal) -> tuple[ChangePart, ChangePart]:
    """Move *units* of a span from one part to another, at the price of the first."""
    quantity, paid = f"quantity_{side}", f"usd_{side}"
    held = getattr(source, quantity)
    if not units or not held:
        return source, goal
    usd = (getattr(source, paid) * min(units / held, Decimal(1))).quantize(AMOUNT_PRECISION)
    return (
        replace(source, **{quantity: held - units, paid: getattr(source, paid) - usd}),
        replace(goal, **{quantity: getattr(goal, quantity) + units, paid: getattr(goal, paid) + usd}),
    )


def _together(moves: Iterable[Mover]) -> Iterator[Mover]:
    """Yield one mover for all known resources that moved between the same values; else by usage type."""
    together: dict[tuple[str, str, str], list[Mover]] = defaultdict(list)
    for mover in moves:
        usage_type = "" if mover.culprit else mover.part.usage_type
        together[mover.tag_before or "", mover.part.tag or "", usage_type].append(mover)
    for _, own in sorted(together.items()):
        largest, arns = (
            max(own, key=lambda mover: mover.usd),
            {mover.culprit.arn for mover in own if mover.culprit},
        )
        usd = sum((mover.usd for mover in own), ZERO)
        culprit = largest.culprit and replace(largest.culprit, members=len(arns))
        yield replace(
            largest, usd=usd, culprit=culprit, owner=culprit.owner if culprit and len(arns) == 1 else None
        )
