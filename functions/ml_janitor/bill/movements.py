"""
The movement of a bill: two compared spans, the parts of the change, and the resources behind them. Plain
data.

Dollars are signed, and everything adds up to the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from ml_janitor.bill.model import ZERO, DaySpan
from ml_janitor.bill.phases import Phase


class ComparisonKind(StrEnum):
    """The days of a comparison."""

    DAY = "day"
    """One settled day with the same weekday of the week before."""
    MONTH_TO_DATE = "month to date"
    """The month so far with the same days of the month before."""
    DAYS = "days"
    """A number of days with as many right before them, or with a chosen span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanComparison:
    """Two spans of the same length. *unsettled* are days of *after* that AWS may still change."""

    kind: ComparisonKind
    before: DaySpan
    after: DaySpan
    unsettled: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePart:
    """
    The change of one usage type under one tag's value in one region between two spans.

    *change* = *usd_after* - *usd_before* = *quantity_effect* + *price_effect*, exactly. The quantity effect
    is at the price of before; if there was no use before or is none after, all of it is quantity.
    *usual* is its usual change from week to week, in dollars.
    """

    usage_type: str
    tag: str | None
    region: str
    phase: Phase
    usd_before: Decimal
    usd_after: Decimal
    quantity_before: Decimal = ZERO
    quantity_after: Decimal = ZERO
    unit: str = ""
    quantity_effect: Decimal = ZERO
    price_effect: Decimal = ZERO
    usual: Decimal = ZERO

    @property
    def change(self) -> Decimal:
        return self.usd_after - self.usd_before


class MoverCause(StrEnum):
    """The cause of a mover's dollars."""

    FINDING = "finding"
    """A resource that a detector found wasteful."""
    STARTED = "started"
    """A resource or job that was not billed before."""
    ENDED = "ended"
    """A resource or job that is billed no more, or was acted on."""
    CHANGED = "changed"
    """A resource that was billed in both spans, and for more or less."""
    PRICE = "price"
    """The same use at another price."""
    TAG = "tag"
    """The same use under another value of the tag: it moved between values, and changed no total."""
    UNEXPLAINED = "unexplained"
    """Use that no known resource accounts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """
    The resource behind a mover, as far as it is known.

    *since* is when it was made, or, for a finding, since when it is waste; *ended* is when it was deleted
    or stopped. *usd_until_now* is its total billed cost, if the bill reaches back to its creation.
    *detector* and *finding* (its id) are those of a finding; *acted* tells whether the janitor ended it.
    *used* tells whether a detector saw that somebody uses it. For several similar *members*, such as the
    jobs of a family, *name* is the common part of their names, and *arn* is that of the largest.
    """

    arn: str
    name: str
    kind: str
    owner: str | None = None
    since: datetime | None = None
    ended: datetime | None = None
    usd_until_now: Decimal | None = None
    detector: str = ""
    finding: str = ""
    acted: bool = False
    used: bool = False
    members: int = 1

    @property
    def account(self) -> str:
        """Return its account; "" if its ARN has none."""
        return self.arn.split(":")[4] if self.arn.count(":") >= 5 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """
    A part of a movement's dollars, with their cause.

    *usd* is signed; all movers but those of `Cause.TAG` add up to the movement's change. *culprit* is
    None where the cause is a price, a tag, or unexplained. *tag_before* is the tag value that a
    `Cause.TAG` moved from, to the part's own value. *owner* is the culprit's, else that of the part if it
    has a single owner. *units_before* and *units_after* are the culprit's use of the part in each span,
    in the part's unit.
    """

    usd: Decimal
    cause: MoverCause
    part: ChangePart
    culprit: Culprit | None = None
    owner: str | None = None
    tag_before: str | None = None
    units_before: Decimal = ZERO
    units_after: Decimal = ZERO

    @property
    def ordinary(self) -> bool:
        """Return whether it is no news: no finding, and no more than the usual change of its part."""
        return self.cause not in {MoverCause.FINDING, MoverCause.TAG} and abs(self.usd) <= self.part.usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """
    A change between two spans, and its causes: *movers* by their dollars, the largest first.

    *tag* is the tag that divides its parts, by its name in the settings; "" if no tag could be read.
    *ended_credits* are credits of the span before that have ended, by the dollars that they took
    off: they are in no total here.
    """

    comparison: SpanComparison
    usd_before: Decimal
    usd_after: Decimal
    tag: str = ""
    movers: tuple[Mover, ...] = ()
    ended_credits: Decimal = ZERO

    @property
    def change(self) -> Decimal:
        return self.usd_after - self.usd_before

    @property
    def share(self) -> Decimal | None:
        """Return the change as a share of the cost before ("0.4" is 40 % more); None if that was zero."""
        return self.change / self.usd_before if self.usd_before else None

    @property
    def news(self) -> tuple[Mover, ...]:
        """Return the movers that are no ordinary change."""
        return tuple(mover for mover in self.movers if not mover.ordinary)

    @property
    def unexplained(self) -> Decimal:
        """Return the dollars without a known cause."""
        return total_change(mover for mover in self.movers if mover.cause is MoverCause.UNEXPLAINED)


def total_change(movers: Iterable[Mover]) -> Decimal:
    """Return the total change of *movers*: a tag's move changes nothing."""
    return sum((mover.usd for mover in movers if mover.cause is not MoverCause.TAG), ZERO)


# --- for a reader -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """
    A movement as a few lines: *movers* one by one, *smaller* ones together, and *unexplained* ones.

    All of it adds up to the change: *movers* + *smaller_usd* + *unexplained_usd*.
    """

    movers: tuple[Mover, ...]
    smaller: tuple[Mover, ...]
    unexplained: tuple[Mover, ...]
    moved_tags: tuple[Mover, ...]

    @property
    def smaller_usd(self) -> Decimal:
        return sum((mover.usd for mover in self.smaller), ZERO)

    @property
    def unexplained_usd(self) -> Decimal:
        return sum((mover.usd for mover in self.unexplained), ZERO)


def break_down(movement: Movement, most: int) -> Breakdown:
    """List the *most* largest explained movers one by one, ordinary ones last; sum up the rest."""
    explained = [
        mover for mover in movement.movers if mover.cause not in {MoverCause.UNEXPLAINED, MoverCause.TAG}
    ]
    ranked = sorted(explained, key=lambda mover: mover.ordinary)  # the order by dollars stays in each half
    shown = {id(mover) for mover in ranked[:most]}
    return Breakdown(
        movers=tuple(mover for mover in explained if id(mover) in shown),
        smaller=tuple(mover for mover in explained if id(mover) not in shown),
        unexplained=tuple(mover for mover in movement.movers if mover.cause is MoverCause.UNEXPLAINED),
        moved_tags=tuple(mover for mover in movement.movers if mover.cause is MoverCause.TAG),
    )
