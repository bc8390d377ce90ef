"""The bill by phase, service, usage type or a tag's value, and what each value is charged back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.bill.model import ACCOUNT, ZERO, Bill, Span
from ml_janitor.bill.phases import main_services, phase

PHASE, SERVICE, USAGE = "phase", "service", "usage"
OWN = (PHASE, SERVICE, USAGE)
"""What a bill can be divided by besides tags."""

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one *name* was charged in a span and in that before; None where nothing is compared."""

    name: str
    usd: Decimal
    usd_before: Decimal | None

    @property
    def change(self) -> Decimal | None:
        return None if self.usd_before is None else self.usd - self.usd_before


def lines(bill: Bill, by: str, span: Span, before: Span | None) -> tuple[Line, ...]:
    """
    Every line of the table *by* something, the dearest first; "" is what has no value of the tag.

    Raises KeyError if *by* is a tag that was not read.
    """
    sums: dict[str, list[Decimal]] = {}
    for day, name, usd in charged(bill, by):
        own = sums.setdefault(name, [ZERO, ZERO])
        own[0] += usd if day in span else ZERO
        own[1] += usd if before is not None and day in before else ZERO
    found = [
        Line(name=name, usd=usd, usd_before=None if before is None else earlier)
        for name, (usd, earlier) in sums.items()
        if usd or earlier
    ]
    return tuple(sorted(found, key=lambda one: (-one.usd, -(one.usd_before or ZERO), one.name)))


def together(every: Sequence[Line]) -> Line:
    """Some lines as one."""
    compared = all(one.usd_before is not None for one in every)
    return Line(
        name="",
        usd=sum((one.usd for one in every), ZERO),
        usd_before=sum((one.usd_before or ZERO for one in every), ZERO) if compared else None,
    )


def charged(bill: Bill, by: str) -> Iterator[tuple[date, str, Decimal]]:
    """The day, the name and the dollars of each charge. Raises KeyError if a tag was not read."""
    match by:
        case "phase":
            for one in bill.charges:
                yield one.day, phase(one.service, one.usage_type).value, one.usd
        case "service":
            for one in bill.charges:
                yield one.day, one.service, one.usd
        case "usage":
            for one in bill.charges:
                yield one.day, one.usage_type, one.usd
        case tag:
            for one in bill.by_account if tag == ACCOUNT and bill.by_account else bill.by_tag[tag]:
                yield one.day, one.tag or "", one.usd


def by_day(bill: Bill, by: str, days: Sequence[date]) -> Mapping[str, Sequence[Decimal]]:
    """The dollars of each name on each of *days*. Raises KeyError if a tag was not read."""
    places = {day: number for number, day in enumerate(days)}
    found: dict[str, list[Decimal]] = {}
    for day, name, usd in charged(bill, by):
        if day in places:
            found.setdefault(name, [ZERO] * len(days))[places[day]] += usd
    return found


# --- what is charged back ---------------------------------------------------------------------


def readable(bill: Bill, by: str) -> bool:
    """Whether there is a table *by* something: not where it is by a tag that was not read."""
    return by in OWN or by in bill.by_tag or bool(by == ACCOUNT and bill.by_account)


def charged_back(bill: Bill, tag: str, span: Span) -> Iterator[tuple[str, str, Decimal]]:
    """
    Value, service and dollars in whole cents, the untagged last; together the span's total in cents.

    The cents that rounding each line leaves are on the largest line. Raises KeyError if the tag was not read.
    """
    services = main_services(bill.charges)
    sums: dict[tuple[str, str], Decimal] = {}
    for one in bill.by_tag[tag]:
        if one.day in span and one.usd:
            key = one.tag or "", one.service or services.get(one.usage_type, "")
            sums[key] = sums.get(key, ZERO) + one.usd
    rounded = {key: usd.quantize(CENT, ROUND_HALF_UP) for key, usd in sums.items()}
    if rounded:
        total = sum(sums.values(), ZERO).quantize(CENT, ROUND_HALF_UP)
        largest = max(rounded, key=lambda key: (abs(rounded[key]), key))
        rounded[largest] += total - sum(rounded.values(), ZERO)
    for (value, service), usd in sorted(rounded.items(), key=lambda item: (not item[0][0], item[0])):
        if usd:
            yield value, service, usd
