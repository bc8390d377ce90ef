"""Dollars by day and group, for a chart and for its table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ml_janitor.core.text import escape_text, format_usd

MOST_GROUPS = 7
"""Groups with a colour of their own: nobody can tell more apart. The rest is one grey group."""


class Mark(NamedTuple):
    """A line before *day*, and the text above the days that follow."""

    day: date
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DailySeries:
    """
    Dollars by day and group: each of *groups* has one amount for each of *days*.

    The last *unsettled* days may still change, and are drawn paler.
    """

    title: str
    days: Sequence[date]
    groups: Mapping[str, Sequence[Decimal]]
    unsettled: int = 0
    marks: Sequence[Mark] = ()

    def reduced(self, most: int = MOST_GROUPS) -> DailySeries:
        """Return this series with the largest groups, largest first, and the other groups as one."""
        ranked = sorted(self.groups, key=lambda name: (-abs(sum(self.groups[name], Decimal(0))), name))
        ranked = [name for name in ranked if any(self.groups[name])]
        groups = {name: self.groups[name] for name in ranked[:most]}
        if rest := ranked[most:]:
            amounts = zip(*(self.groups[name] for name in rest), strict=True)
            groups[f"{len(rest)} others" if len(rest) > 1 else "1 other"] = [
                sum(day, Decimal(0)) for day in amounts
            ]
        return replace(self, groups=groups)

    @property
    def totals(self) -> list[Decimal]:
        return [
            sum((group[at] for group in self.groups.values()), Decimal(0)) for at in range(len(self.days))
        ]

    @property
    def table(self) -> Iterator[tuple[str, list[str]]]:
        """List the table's row for each day, the latest first: the total and each group."""
        for at, total in reversed(list(enumerate(self.totals))):
            yield (
                self.days[at].isoformat(),
                [format_usd(total), *(format_usd(group[at]) for group in self.groups.values())],
            )

    @property
    def description(self) -> str:
        """Describe the chart in a sentence or two."""
        if not self.days:
            return "No days to show."
        top, day = max(zip(self.totals, self.days, strict=True))
        days = (
            f"{len(self.days)} days from {self.days[0]} to {self.days[-1]}"
            if len(self.days) > 1
            else f"{day}"
        )
        groups = ", ".join(
            f"{escape_text(name, 80)} {format_usd(sum(group, Decimal(0)))}"
            for name, group in self.groups.items()
        )
        return f"Dollars of {days}; the most is {format_usd(top)} on {day}. In total: {groups or 'nothing'}."
