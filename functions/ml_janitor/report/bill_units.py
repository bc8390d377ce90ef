"""What a unit cost, in words: requests to endpoints and models, jobs and their families. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_janitor.bill.unit_costs import UnitCost, UnitNote
from ml_janitor.core.text import plain, usd

MORE = {"endpoint": "endpoints", "model": "models", "family": "families of jobs"}
NOTES = {
    UnitNote.COMPONENTS: "its inference components share it",
    UnitNote.MANY_MODELS: "multi-model: its models share it",
}


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One line: what it is, what it was charged, for how many units, and what that makes for each."""

    what: str
    usd: str
    units: str
    each: str


def unit_rows(costs: Sequence[UnitCost], most: int) -> Iterator[UnitRow]:
    """
    The dearest *most* of each kind, and how many more there are; of jobs, their families have the rest.

    A model that alone serves one endpoint, and has the same dollars and requests, is not said twice.
    """
    endpoints = {(one.usd, one.units) for one in costs if one.kind == "endpoint"}
    several = len({one.account for one in costs}) > 1
    shown = [one for one in costs if one.kind != "model" or (one.usd, one.units) not in endpoints]
    for kind in dict.fromkeys(one.kind for one in shown):
        own = [one for one in shown if one.kind == kind]
        yield from (_row(one, several=several) for one in own[:most])
        if kind in MORE and (more := own[most:]):
            yield UnitRow(
                f"{len(more)} more {MORE[kind]}", usd(sum((one.usd for one in more), Decimal(0))), "", ""
            )


def _row(one: UnitCost, *, several: bool) -> UnitRow:
    kind = one.resource.replace("-", " ") or one.kind
    notes = "".join(f" ({NOTES[note]})" for note in one.notes)
    where = f" in account {plain(one.account)}" if several else ""
    what = f"{kind}{'s' if one.kind == 'family' else ''} {plain(one.name, 120)}{where}{notes}"
    if one.per_unit is None:
        each = ""
    elif one.unit == "requests":
        each = f"{price(one.per_unit)} per 1,000"
    else:
        each = f"{price(one.per_unit)} each" if one.kind == "family" else ""
    return UnitRow(what, usd(one.usd), _units(one), each)


def _units(one: UnitCost) -> str:
    if one.units is None:
        return f"{one.unit} unknown"
    if one.unit == "jobs":
        return f"{one.units:,} jobs" if one.kind == "family" else ""
    return f"{one.units:,} request{'s' * (one.units != 1)}" if one.units else "no request"


def price(amount: Decimal) -> str:
    """Dollars for one unit: where cents would hide it, two digits that count."""
    if amount >= Decimal("0.1"):
        return usd(amount)
    return f"${amount:.{1 - amount.adjusted()}f}" if amount >= Decimal("0.000001") else "<$0.000001"
