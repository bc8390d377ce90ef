"""What the settings ask of a bill: which pages are read, and which spans are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ml_janitor.bill.model import Metric, Span
from ml_janitor.bill.reading import DAYS, Wanted
from ml_janitor.bill.report import Question

if TYPE_CHECKING:
    from ml_janitor.config.sections import BillSection

METRICS = {"unblended": Metric.UNBLENDED, "amortized": Metric.AMORTIZED, "auto": None}


def tags(section: BillSection) -> Mapping[str, str]:
    """The cost allocation tags by their names, without those that are set to ""."""
    return {name: key for name, key in section.tags.items() if key}


def wanted(section: BillSection, *, days: int = 0, first: Sequence[str] = ()) -> Wanted:
    """What to read to compare the last *days* with those before; *first* are tags that are shown."""
    return Wanted(
        days=max(DAYS, 2 * (days or section.days)),
        tags=tags(section),
        services=tuple(section.services),
        names=bool(section.services),
        first=tuple(first),
        metric=METRICS[section.metric],
    )


def question(section: BillSection, *, days: int = 0, against: Span | None = None) -> Question:
    """What to compare: the last *days*, *against* a span or those right before them."""
    return Question(
        days=days or section.days,
        settling_days=section.settling_days,
        tags=tuple(tags(section)),
        against=against,
    )
