"""What each value of a tag is charged, by service: the lines that a bill is passed on by. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.bill.model import ZERO, Bill, Span
from ml_janitor.bill.phases import main_services

CENT = Decimal("0.01")


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
