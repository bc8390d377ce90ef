"""Costs per unit in words: requests to endpoints and models, jobs and their families. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.bill.unit_costs import UnitCost, UnitNote
from ml_janitor.core.text import escape_text, format_usd

UNIT_PLURALS = {"endpoint": "endpoints", "model": "models", "family": "families of jobs"}
UNIT_NOTES = {
    UnitNote.COMPONENTS: "its inference components share it",
    UnitNote.MANY_MODELS: "multi-model: its models share it",
}


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One line: the resource, its charge, the number of units, and the price of each."""

    what: str
    usd: str
    units: str
    each: str


def unit_rows(costs: Sequence[UnitCost], most: int) -> Iterator[UnitRow]:
    """
    Yield the dearest *most* of each kind, and how many more there are; the rest of the jobs is in their
    families.

    A model that alone serves one endpoint, and has the same dollars and requests, is not repeated.
    """
    endpoints = {(cost.usd, cost.units) for cost in costs if cost.kind == "endpoint"}
    several = len({cost.account for cost in costs}) > 1
    shown = [cost for cost in costs if cost.kind != "model" or (cost.usd, cost.units) not in endpoints]
    for kind in dict.fromkeys(cost.kind for cost in shown):
        own = [cost for cost in shown if cost.kind == kind]
        yield from (_row(cost, several=several) for cost in own[:most])
        if kind in UNIT_PLURALS and (more := own[most:]):
            yield UnitRow(
                f"{len(more)} more {UNIT_PLURALS[kind]}",
                format_usd(sum((cost.usd for cost in more), Decimal(0))),
                "",
                "",
            )


def _row(cost: UnitCost, *, several: bool) -> UnitRow:
    kind = cost.resource.replace("-", " ") or cost.kind
    notes = "".join(f" ({UNIT_NOTES[note]})" for note in cost.notes)
    where = f" in account {escape_text(cost.account)}" if several else ""
    what = f"{kind}{'s' if cost.kind == 'family' else ''} {escape_text(cost.name, 120)}{where}{notes}"
    if cost.per_unit is None:
        each = ""
    elif cost.unit == "requests":
        each = f"{unit_price(cost.per_unit)} per 1,000"
    else:
        each = f"{unit_price(cost.per_unit)} each" if cost.kind == "family" else ""
    return UnitRow(what, format_usd(cost.usd), _units(cost), each)


def _units(cost: UnitCost) -> str:
    if cost.units is None:
        return f"{cost.unit} unknown"
    if cost.unit == "jobs":
        return f"{cost.units:,} jobs" if cost.kind == "family" else ""
    return f"{cost.units:,} request{'s' * (cost.units != 1)}" if cost.units else "no request"


def unit_price(amount: Decimal) -> str:
    """Format the dollars for one unit: with two significant digits where cents would hide the amount."""
    if amount >= Decimal("0.1"):
        return format_usd(amount)
    return f"${amount:.{1 - amount.adjusted()}f}" if amount >= Decimal("0.000001") else "<$0.000001"
