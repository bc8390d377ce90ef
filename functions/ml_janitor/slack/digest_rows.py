"""Sums of a digest's rows in which findings of several detectors share costs: each dollar counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_janitor.core.counting import find_overlaps
from ml_janitor.core.money import Totals

if TYPE_CHECKING:
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.report.digest import SweepRow


def count_costs_once(rows: Sequence[SweepRow], found: Sequence[Entry]) -> list[SweepRow]:
    """
    Return *rows* without the dollars of their *found* that count for a finding of another detector.

    Costs that findings of one detector share were already counted once by its sweep.
    """
    alone: dict[tuple[str, str], Totals] = {}
    for detector in dict.fromkeys(entry.detector for entry in found):
        alone |= _counted([entry for entry in found if entry.detector == detector])
    together = _counted(found)
    return [
        row
        if row.last is None or (row.detector, row.region) not in alone
        else replace(
            row,
            last=row.last.without(alone[row.detector, row.region], together[row.detector, row.region]),
        )
        for row in rows
    ]


def _counted(found: Sequence[Entry]) -> dict[tuple[str, str], Totals]:
    """Add up *found* by detector and region, counting shared costs once."""
    sums: dict[tuple[str, str], Totals] = {}
    for entry, overlap in zip(found, find_overlaps([entry.claim for entry in found]), strict=True):
        before = sums.get((entry.detector, entry.region), Totals())
        monthly = entry.monthly_usd if overlap is None else overlap.monthly_usd
        accrued = entry.accrued_usd if overlap is None else overlap.accrued_usd
        sums[entry.detector, entry.region] = Totals(
            monthly_usd=before.monthly_usd + (monthly or Decimal(0)),
            accrued_usd=before.accrued_usd + (accrued or Decimal(0)),
        )
    return sums
