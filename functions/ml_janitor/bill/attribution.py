"""
Divides a change between two spans into parts that add up to it: usage type by tag by region. Pure.

Each part's change is divided once more, into the effect of quantity and that of price. The parts do not
depend on the order of the charges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from ml_janitor.aws.usage_types import region_of_usage
from ml_janitor.bill.model import ACCOUNT_TAG, ZERO, Bill, Charge, DaySpan
from ml_janitor.bill.movements import ChangePart, SpanComparison
from ml_janitor.bill.phases import main_services, phase_of
from ml_janitor.core.durations import WEEK

AMOUNT_PRECISION = Decimal("0.0000000001")
"""The precision of Cost Explorer's amounts."""

SUMMED_FIELDS = (
    *("usd_before", "usd_after", "quantity_before", "quantity_after"),
    *("quantity_effect", "price_effect", "usual"),
)

USUAL_DEVIATIONS = 5
"""The standard deviations of a line's own changes that make a usual change."""

NEGLIGIBLE_SHARE = Decimal("0.005")
"""The share of the bill below which a change is no news."""


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


def divide_bill(bill: Bill, tags: Sequence[str]) -> BillDivision:
    """Divide *bill* by account, if it is shared, else by the first of *tags* that was read by usage type."""
    if bill.moved:
        return BillDivision(
            tag=ACCOUNT_TAG, lines=usage_lines(bill.moved), services=main_services(bill.charges)
        )
    tag = next((name for name in tags if any(row.usage_type for row in bill.by_tag.get(name, ()))), "")
    rows = bill.by_tag[tag] if tag else bill.charges
    return BillDivision(tag=tag, lines=usage_lines(rows), services=main_services(bill.charges))


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
    of: Mapping[LineKey, UsageLine], comparison: SpanComparison, services: Mapping[str, str]
) -> tuple[ChangePart, ...]:
    """
    Return the change of each usage type under each value of the tag, the largest change first.

    *of* are the lines of all known days. *services* are those of the usage types.
    """
    least = NEGLIGIBLE_SHARE * sum((_sum(line.usd, comparison.before) for line in of.values()), ZERO)
    found = [_part(key, line, comparison, services.get(key[0], ""), least) for key, line in of.items()]
    return tuple(
        sorted(
            (part for part in found if part is not None),
            key=lambda part: (-abs(part.change), part.usage_type, part.tag or ""),
        )
    )


def _part(
    key: LineKey, line: UsageLine, comparison: SpanComparison, service: str, least: Decimal
) -> ChangePart | None:
    usage_type, tag = key
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
        usd_before=before,
        usd_after=after,
        quantity_before=units_before,
        quantity_after=units_after,
        unit=line.unit,
        quantity_effect=by_quantity,
        price_effect=after - before - by_quantity,
        usual=max(least, usual_change(line.usd, comparison)),
    )


def usual_change(usd: Mapping[date, Decimal], comparison: SpanComparison) -> Decimal:
    """
    Return the usual change of a line with *usd* a day between two such spans, in dollars.

    Its variation is that of its changes from each day to the same weekday of the next week, before the
    judged span. If the two spans hold different weekdays, the difference between these is added.
    """
    until = comparison.after.first
    known = sorted(day for day in usd if day < until)
    if not known:
        return ZERO
    steps = (until - known[0]).days - WEEK.days
    if steps <= 0:
        return ZERO
    changes = [
        usd.get(day, ZERO) - usd.get(day - WEEK, ZERO)
        for day in sorted({*known, *(day + WEEK for day in known)})
        if known[0] + WEEK <= day < until
    ]
    varies = (sum((change * change for change in changes), ZERO) / steps).sqrt()
    return USUAL_DEVIATIONS * varies * Decimal(comparison.after.days).sqrt() + abs(
        _other_weekdays(usd, comparison)
    )


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
