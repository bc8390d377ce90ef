"""The table of the case study: what each row is said to cost, and what the account is charged for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel

from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import WASTE
from ml_janitor_sandbox.demo.rows import read

LAST = (datetime(2026, 9, 6, tzinfo=UTC), datetime(2026, 10, 6, tzinfo=UTC))
BEFORE = (LAST[0] - timedelta(days=30), LAST[0])
HOUR = timedelta(hours=1)


class TableRow(BaseModel, extra="forbid", frozen=True):
    """A row, the dollars of its three columns, and patterns of the charges that are its own."""

    before: int
    last: int
    cured: int
    charges: tuple[str, ...] = ()
    waste: str = ""

    def fits(self, charge: Mapping[str, Any], waste: Mapping[str, frozenset[str]]) -> bool:
        """Whether a charge is one of this row; *waste* are the ARNs of each detector's."""
        about = f"{charge['usage_type']} @ {charge['resource']}"
        named = any(fnmatchcase(about, one) or charge["service"] == one for one in self.charges)
        return named or charge["resource"] in waste.get(self.waste, ())


TABLE = {name: TableRow.model_validate(row) for name, row in read("bill.toml")["rows"].items()}


def row_of(charge: Mapping[str, Any], waste: Mapping[str, frozenset[str]]) -> str:
    """The one row that has a charge."""
    return next(name for name, row in TABLE.items() if row.fits(charge, waste))


def dollars(charge: Mapping[str, Any], span: tuple[datetime, datetime]) -> Decimal:
    """What a charge comes to in a span, once all of it is visible."""
    end = datetime.fromisoformat(charge["end"]) if "end" in charge else span[1]
    hours = (min(end, span[1]) - max(datetime.fromisoformat(charge["start"]), span[0])) / HOUR
    return Decimal(charge["hourly"]) * Decimal(charge["price"]) * Decimal(max(0.0, hours))


def recounted(charges: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Decimal, Decimal]]:
    """Both spans' dollars by row."""
    waste = {
        row.waste: frozenset(one.arn for one in WASTE if one.detector == row.waste) for row in TABLE.values()
    }
    sums = {name: (Decimal(0), Decimal(0)) for name in TABLE}
    for charge in charges:
        name = row_of(charge, waste)
        before, last = sums[name]
        sums[name] = before + dollars(charge, BEFORE), last + dollars(charge, LAST)
    return sums


def written(rows: Mapping[str, tuple[Decimal, Decimal]]) -> Iterator[str]:
    """The table in Markdown: what each span is charged, and what is left at the end of the case study."""
    yield "| | 30 days until 2026-09-06 | 30 days until 2026-10-06 | change | after the cure |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    lines = [(name, spans[0], spans[1], TABLE[name].cured) for name, spans in rows.items()]
    total = Decimal(0), Decimal(0), 0
    for _, before, last, cured in lines:
        total = total[0] + before, total[1] + last, total[2] + cured
    for name, before, last, cured in [*lines, ("**together**", *total)]:
        yield f"| {name} | ${before:,.0f} | ${last:,.0f} | {last - before:+,.0f} | ${cured:,} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(written(recounted(Control(os.environ["AWS_ENDPOINT_URL"]).charges()))))
