"""Divides the bill by phase, service, usage type or a tag's value, and charges it back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.bill.model import ACCOUNT_TAG, ZERO, Bill, DaySpan
from ml_janitor.bill.phases import main_services, phase_of
from ml_janitor.core.money import CENT

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


# --- chargeback -------------------------------------------------------------------------------


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
