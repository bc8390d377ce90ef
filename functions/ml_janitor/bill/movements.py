"""
Why a bill moved: two spans that are compared, the parts of the change, and who is behind them. Plain data.

Dollars are signed, and everything adds up to the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from ml_janitor.bill.model import ZERO, Span
from ml_janitor.bill.phases import Phase


class ComparisonKind(StrEnum):
    """Which days are compared."""

    DAY = "day"
    """One settled day with the same weekday of the week before."""
    MONTH_TO_DATE = "month to date"
    """The month so far with the same days of the month before."""
    DAYS = "days"
    """So many days with as many right before them, or with a span that somebody chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two spans of the same length. *unsettled* are days of *after* that AWS may still change."""

    kind: ComparisonKind
    before: Span
    after: Span
    unsettled: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    What one usage type under one tag's value in one region changed between two spans.

    *change* = *usd_after* - *usd_before* = *quantity_effect* + *price_effect*, exactly. The quantity effect
    is at the price of before; where there was none before or is none after, all of it is quantity.
    *usual* is how many dollars it changes by from week to week by itself.
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


class Cause(StrEnum):
    """What explains the dollars of a mover."""

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

    *since* is when it was made, or, of a finding, since when it is waste; *ended* is when it was deleted or
    stopped. *usd_until_now* is everything that it has been billed since it was made, where the bill reaches
    back so far. *detector* and *finding* (its id) are of a finding; *acted* is whether the janitor ended it.
    *used* is whether a detector saw that somebody uses it.
    Where it stands for several *members* alike, such as the jobs of a family, *name* is what their names have
    in common, and *arn* is that of the largest.
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
        """The account that it is in; "" where its ARN does not say."""
        return self.arn.split(":")[4] if self.arn.count(":") >= 5 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """
    So many dollars of a movement, with their cause.

    *usd* is signed; all movers but those of `Cause.TAG` add up to the movement's change. *culprit* is None
    where the cause is a price, a tag, or unexplained. *tag_before* is where a `Cause.TAG` moved from, to the
    part's own value. *owner* is the culprit's, else that of the part where it has just one. *units_before*
    and *units_after* are what the culprit used of the part in each span, in the part's unit.
    """

    usd: Decimal
    cause: Cause
    part: Part
    culprit: Culprit | None = None
    owner: str | None = None
    tag_before: str | None = None
    units_before: Decimal = ZERO
    units_after: Decimal = ZERO

    @property
    def ordinary(self) -> bool:
        """Whether it is no news: no finding, and no more than what its part changes by itself."""
        return self.cause not in {Cause.FINDING, Cause.TAG} and abs(self.usd) <= self.part.usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """
    A change between two spans, and why: *movers* by their dollars, the largest first.

    *tag* is the tag's name in the settings that its parts are by; "" where no tag could be read.
    *ended_credits* are credits that stood in the span before and no longer do, by dollars that they took
    off: they are in no total here.
    """

    comparison: Comparison
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
        """The change as a share of what was before ("0.4" is 40 % more); None if that was nothing."""
        return self.change / self.usd_before if self.usd_before else None

    @property
    def news(self) -> tuple[Mover, ...]:
        """The movers that are no ordinary change."""
        return tuple(one for one in self.movers if not one.ordinary)

    @property
    def unexplained(self) -> Decimal:
        """The dollars that nothing known accounts for."""
        return total(one for one in self.movers if one.cause is Cause.UNEXPLAINED)


def total(movers: Iterable[Mover]) -> Decimal:
    """What *movers* changed together: a tag's move changes nothing."""
    return sum((one.usd for one in movers if one.cause is not Cause.TAG), ZERO)


# --- for a reader -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """
    A movement as a few lines: *movers* one by one, *smaller* ones together, and what nobody can explain.

    All of it adds up to the change: *movers* + *smaller_usd* + *unexplained_usd*.
    """

    movers: tuple[Mover, ...]
    smaller: tuple[Mover, ...]
    unexplained: tuple[Mover, ...]
    moved_tags: tuple[Mover, ...]

    @property
    def smaller_usd(self) -> Decimal:
        return sum((one.usd for one in self.smaller), ZERO)

    @property
    def unexplained_usd(self) -> Decimal:
        return sum((one.usd for one in self.unexplained), ZERO)


def breakdown(movement: Movement, most: int) -> Breakdown:
    """The *most* largest explained movers one by one, ordinary ones where there is room; the rest in sums."""
    explained = [one for one in movement.movers if one.cause not in {Cause.UNEXPLAINED, Cause.TAG}]
    ranked = sorted(explained, key=lambda one: one.ordinary)  # the order by dollars stays in each half
    shown = {id(one) for one in ranked[:most]}
    return Breakdown(
        movers=tuple(one for one in explained if id(one) in shown),
        smaller=tuple(one for one in explained if id(one) not in shown),
        unexplained=tuple(one for one in movement.movers if one.cause is Cause.UNEXPLAINED),
        moved_tags=tuple(one for one in movement.movers if one.cause is Cause.TAG),
    )
