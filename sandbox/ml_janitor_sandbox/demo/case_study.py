"""
The table of the case study: what each row is charged, and what the findings of an audit leave of it.

"After the cure" is what the last span was billed less what each finding would have saved of it: a month's
saving for the hours of the span, no more than its resource was billed; all of that where what is ended has
no saving a month, like a job that hangs. Shared savings count once, as the audit itself counts it.
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ml_janitor.core.model import HOURS_PER_MONTH
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import WASTE
from ml_janitor_sandbox.demo.rows import read

LAST = (datetime(2026, 9, 6, tzinfo=UTC), datetime(2026, 10, 6, tzinfo=UTC))
BEFORE = (LAST[0] - timedelta(days=30), LAST[0])
HOUR = timedelta(hours=1)
WIDE = 56
"""Characters of the longest bar of the waterfall."""

HOURS = Decimal((LAST[1] - LAST[0]) // HOUR)


class TableRow(BaseModel, extra="forbid", frozen=True):
    """
    A row, what its three columns are said to be in dollars, and patterns of the charges that are its own.

    *saved_by* are the detectors whose findings are about the row, where no charge has a finding's resource.
    """

    before: int
    last: int
    cured: int
    charges: tuple[str, ...] = ()
    waste: str = ""
    saved_by: tuple[str, ...] = ()

    def fits(self, charge: Mapping[str, Any], waste: Mapping[str, frozenset[str]]) -> bool:
        """Tell whether a charge is one of this row; *waste* are the ARNs of each detector's."""
        about = f"{charge['usage_type']} @ {charge['resource']}"
        named = any(fnmatchcase(about, pattern) or charge["service"] == pattern for pattern in self.charges)
        return named or charge["resource"] in waste.get(self.waste, ())


TABLE = {name: TableRow.model_validate(row) for name, row in read("bill.toml")["rows"].items()}


WASTE_OF = {
    row.waste: frozenset(known.arn for known in WASTE if known.detector == row.waste)
    for row in TABLE.values()
}
"""The ARNs of each detector's waste that has a row of its own."""


def row_of(charge: Mapping[str, Any]) -> str:
    """Return the one row that has a charge."""
    return next(name for name, row in TABLE.items() if row.fits(charge, WASTE_OF))


def dollars(charge: Mapping[str, Any], span: tuple[datetime, datetime]) -> Decimal:
    """Return the dollars of a charge in a span, once all of it is visible."""
    end = datetime.fromisoformat(charge["end"]) if "end" in charge else span[1]
    hours = (min(end, span[1]) - max(datetime.fromisoformat(charge["start"]), span[0])) / HOUR
    return Decimal(charge["hourly"]) * Decimal(charge["price"]) * Decimal(max(0.0, hours))


def recounted(charges: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Decimal, Decimal]]:
    """Return both spans' dollars by row."""
    sums = {name: (Decimal(0), Decimal(0)) for name in TABLE}
    for charge in charges:
        name = row_of(charge)
        before, last = sums[name]
        sums[name] = before + dollars(charge, BEFORE), last + dollars(charge, LAST)
    return sums


def saved(charges: Iterable[Mapping[str, Any]], audit: Mapping[str, Any]) -> dict[str, dict[str, Decimal]]:
    """
    Return the dollars of the last span that findings save, by row and detector.

    *audit* is a document of `janitor audit --json`.
    """
    billed: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for charge in charges:
        billed[charge["resource"].lower()][row_of(charge)] += dollars(charge, LAST)
    rows: dict[str, dict[str, Decimal]] = {name: defaultdict(Decimal) for name in TABLE}
    for finding in audit["results"]:
        counted = finding["instead_of"] or finding
        for name, usd in _of_the_span(finding, counted, billed.get(finding["arn"].lower(), {})):
            rows[name][finding["detector"]] += usd
    return rows


def _of_the_span(
    finding: Mapping[str, Any], counted: Mapping[str, Any], billed: Mapping[str, Decimal]
) -> Iterator[tuple[str, Decimal]]:
    together = sum(billed.values())
    if counted["monthly_usd"]:
        whole = Decimal(str(counted["monthly_usd"])) * HOURS / HOURS_PER_MONTH
        if not together:
            yield next(name for name, row in TABLE.items() if finding["detector"] in row.saved_by), whole
            return
        share = min(Decimal(1), whole / together)
    else:
        share = Decimal(finding["change"] == "end" and not finding["instead_of"])
    yield from ((name, usd * share) for name, usd in billed.items() if share)


def written(
    rows: Mapping[str, tuple[Decimal, Decimal]], saved: Mapping[str, Mapping[str, Decimal]]
) -> Iterator[str]:
    """Write the table in Markdown: what each span is charged, and what the findings leave of the last one."""
    yield "| | 30 days until 2026-09-06 | 30 days until 2026-10-06 | change | after the cure | by |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    together = Decimal(0), Decimal(0), Decimal(0)
    for name, (before, last) in rows.items():
        left = last - sum(saved[name].values())
        together = together[0] + before, together[1] + last, together[2] + left
        yield _line(name, before, last, left, ", ".join(sorted(saved[name])))
    yield _line("**together**", *together, "")


def _line(name: str, before: Decimal, last: Decimal, cured: Decimal, by: str) -> str:
    return f"| {name} | ${before:,.0f} | ${last:,.0f} | {last - before:+,.0f} | ${cured:,.0f} | {by} |"


def waterfall(
    rows: Mapping[str, tuple[Decimal, Decimal]], saved: Mapping[str, Mapping[str, Decimal]]
) -> Iterator[str]:
    """Draw the way from the last span's charge to what is left, by detector; bars begin where one ended."""
    by: dict[str, Decimal] = defaultdict(Decimal)
    for detectors in saved.values():
        for detector, usd in detectors.items():
            by[detector] += usd
    whole = left = sum((last for _, last in rows.values()), Decimal(0))
    steps = sorted(by.items(), key=lambda step: -step[1])
    yield f"{f'${whole:,.0f}':>9}  {'█' * WIDE}  30 days until 2026-10-06"
    for detector, usd in steps:
        begin, end = (round((left - taken) / whole * WIDE) for taken in (usd, Decimal(0)))
        yield f"{f'-${usd:,.0f}':>9}  {' ' * begin}{'░' * max(end - begin, 1):<{WIDE - begin}}  {detector}"
        left -= usd
    bar = "█" * round(left / whole * WIDE)
    yield f"{f'${left:,.0f}':>9}  {bar:<{WIDE}}  after the cure"


if __name__ == "__main__":
    charges = Control(os.environ["AWS_ENDPOINT_URL"]).charges()
    audit = json.loads(Path(sys.argv[1]).read_text())  # of `janitor audit --json-file`
    rows, by_row = recounted(charges), saved(charges, audit)
    drawn = ("```text", *waterfall(rows, by_row), "```")
    sys.stdout.write("\n".join([*written(rows, by_row), "", *drawn]))
