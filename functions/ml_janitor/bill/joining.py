"""
Says which resources are behind the parts of a change, and how many dollars each accounts for. Pure.

A resource is known by its runs: how much of a usage type it used, from when until when. It claims that much
of the line with its usage type and tag, at the price that the bill itself has, and never more than the line:
where resources claim more together, each gets its share. What is left of a part is a price, a move from one
value of the tag to another, or not explained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from statistics import median

from ml_janitor.aws.runs import Run
from ml_janitor.bill.attribution import EXACT, together
from ml_janitor.bill.model import UNTAGGED, ZERO, Span
from ml_janitor.bill.movements import Cause, Comparison, Culprit, Mover, Part

SAME = Decimal("0.03")
"""How far two changes of quantity may differ that are the same use under another value of a tag."""

SAME_PRICE = Decimal("0.01")
"""The share of a price below which another one is rounding."""

TIMES = 3
"""How many times as much as others of its family a job costs that is named by itself."""


def quantity(run: Run, span: Span) -> Decimal:
    """The units of *run* that fall into *span*."""
    begins, ends = (datetime.combine(day, time(), UTC) for day in (span.first, span.until))
    return run.units(begins, ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """
    How often a *variant* of an endpoint was called, in *points* of *period* seconds each; None is unread.

    A *shadow* variant is called with copies of requests. *many_models* is whether it loads models by itself.
    """

    variant: str
    points: tuple[tuple[datetime, float], ...] | None
    period: int
    shadow: bool = False
    many_models: bool = False

    def within(self, span: Span) -> int | None:
        """The requests of *span*."""
        if self.points is None:
            return None
        return round(sum(count for at, count in self.points if at.date() in span))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """
    One resource that was or is billed: *culprit* is what a report says of it, *tag* the value of the tag.

    *family* is what its name has in common with others that do the same. *requests* are of an endpoint.
    """

    culprit: Culprit
    runs: tuple[Run, ...]
    tag: str | None = None
    family: str = ""
    requests: tuple[Requests, ...] = ()

    @property
    def found(self) -> bool:
        return bool(self.culprit.finding)


@dataclass(slots=True)
class _Claim:
    """What one resource, or jobs of a family, used of one part, in units."""

    resource: Resource
    before: Decimal = ZERO
    after: Decimal = ZERO
    members: int = 1


@dataclass(slots=True)
class _Rest:
    """What no resource accounts for in one part."""

    part: Part
    usd: Decimal
    units: Decimal
    movers: list[Mover] = field(default_factory=list)


def movers(
    parts: Sequence[Part], resources: Iterable[Resource], comparison: Comparison, owners: Mapping[str, str]
) -> tuple[Mover, ...]:
    """
    All of *parts*' change as movers, the largest first: together they are the change, exactly.

    *owners* are the owners of usage types that have just one.
    """
    claims = _claims(parts, resources, comparison)
    rests = [_explained(part, claims[part.usage_type, part.tag]) for part in parts]
    found = [mover for rest in rests for mover in rest.movers]
    found = [*_prices(found), *_moved_tags(rests)]
    found += [
        Mover(usd=rest.usd, cause=Cause.UNEXPLAINED, part=rest.part, owner=owners.get(rest.part.usage_type))
        for rest in rests
        if rest.usd
    ]
    return tuple(sorted(found, key=_rank))


def _rank(mover: Mover) -> tuple[Decimal, str, str, str, str]:
    arn = mover.culprit.arn if mover.culprit else ""
    return -abs(mover.usd), mover.part.usage_type, mover.part.tag or "", mover.cause, arn


# --- claims -----------------------------------------------------------------------------------

type _Key = tuple[str, str | None]


def _claims(
    parts: Sequence[Part], resources: Iterable[Resource], comparison: Comparison
) -> Mapping[_Key, list[_Claim]]:
    """The claims on each part: on that of the resource's tag, else on that of no tag."""
    by_key = {(part.usage_type, part.tag): part for part in parts}
    found: dict[_Key, list[_Claim]] = defaultdict(list)
    for resource in sorted(resources, key=lambda one: one.culprit.arn):
        for usage_type in sorted({run.usage_type for run in resource.runs}):
            runs = [run for run in resource.runs if run.usage_type == usage_type]
            before, after = (
                sum((quantity(run, span) for run in runs), ZERO)
                for span in (comparison.before, comparison.after)
            )
            key = next((k for k in _keys(usage_type, resource.tag) if k in by_key), None)
            if key is None or not (before or after):
                continue
            found[key].append(_Claim(resource, before, after))
    for key, claims in found.items():
        part = by_key[key]
        _limit(claims, "before", part.quantity_before)
        _limit(claims, "after", part.quantity_after)
        found[key] = list(_by_family(claims))
    return found


def _keys(usage_type: str, tag: str | None) -> Iterator[_Key]:
    yield usage_type, tag
    yield usage_type, UNTAGGED  # tags are not retroactive
    yield usage_type, None


def _limit(claims: Sequence[_Claim], side: str, most: Decimal) -> None:
    """Have *claims* claim no more than *most* together; nothing of a line below zero, as a correction is."""
    asked, most = sum((getattr(one, side) for one in claims), ZERO), max(most, ZERO)
    if asked > most:
        for one in claims:
            setattr(one, side, getattr(one, side) * most / asked)


def _by_family(claims: Sequence[_Claim]) -> Iterator[_Claim]:
    """What shares a family as one claim, but for what used much more than the rest of it."""
    families: dict[tuple[str, str, bool], list[_Claim]] = defaultdict(list)
    for one in claims:
        resource = one.resource
        families[resource.culprit.kind, resource.family or resource.culprit.arn, resource.found].append(one)
    for _, members in sorted(families.items()):
        middle = median(one.before + one.after for one in members)
        large = [one for one in members if len(members) > 2 and one.before + one.after > TIMES * middle]
        yield from large
        if alike := [one for one in members if one not in large]:
            largest = max(alike, key=lambda one: (one.before + one.after, one.resource.culprit.arn))
            yield _Claim(
                largest.resource,
                sum((one.before for one in alike), ZERO),
                sum((one.after for one in alike), ZERO),
                len(alike),
            )


def _explained(part: Part, claims: Sequence[_Claim]) -> _Rest:
    """The movers of *part* for its *claims* and its price, and what they leave."""
    price_before = part.usd_before / part.quantity_before if part.quantity_before else ZERO
    price_after = part.usd_after / part.quantity_after if part.quantity_after else ZERO
    step = price_after - price_before
    repriced = bool(price_before and price_after) and abs(step) > SAME_PRICE * price_before
    rest = _Rest(part, part.change, part.quantity_after - part.quantity_before)
    lower, fell = min(price_before, price_after), step < 0  # at the higher one, a claim may exceed its line
    repriced_units = part.quantity_before if fell else part.quantity_after
    for one in claims:
        if one.before and one.after and repriced:
            usd = (one.after - one.before) * lower
        else:  # what is new or gone moved with its own price
            usd = one.after * price_after - one.before * price_before
            repriced_units -= one.before if fell else one.after
        usd = usd.quantize(EXACT)
        rest.units -= one.after - one.before
        rest.usd -= usd
        if usd:
            rest.movers.append(_mover(part, one, usd))
    if repriced and (usd := (repriced_units * step).quantize(EXACT)):
        rest.usd -= usd
        rest.movers.append(Mover(usd=usd, cause=Cause.PRICE, part=part))
    return rest


def _mover(part: Part, claim: _Claim, usd: Decimal) -> Mover:
    culprit = claim.resource.culprit
    if claim.members > 1:
        culprit = replace(culprit, name=claim.resource.family, members=claim.members, since=None, ended=None)
    if claim.resource.found and usd > 0:
        cause = Cause.FINDING
    elif not claim.before:
        cause = Cause.STARTED
    elif usd < 0 and (not claim.after or culprit.ended or culprit.acted):
        cause = Cause.ENDED
    else:
        cause = Cause.CHANGED
    return Mover(
        usd=usd,
        cause=cause,
        part=part,
        culprit=culprit,
        owner=culprit.owner,
        units_before=claim.before,
        units_after=claim.after,
    )


def _prices(found: Iterable[Mover]) -> Iterator[Mover]:
    """*found*, with the price of a usage type as one mover, whatever its tags."""
    by_usage: dict[str, list[Mover]] = defaultdict(list)
    for mover in found:
        if mover.cause is Cause.PRICE:
            by_usage[mover.part.usage_type].append(mover)
        else:
            yield mover
    for _, own in sorted(by_usage.items()):
        usd = sum((mover.usd for mover in own), ZERO)
        yield Mover(usd=usd, cause=Cause.PRICE, part=together([mover.part for mover in own]))


# --- tags -------------------------------------------------------------------------------------


def _moved_tags(rests: Sequence[_Rest]) -> Iterator[Mover]:
    """
    Use that only moved from one value of the tag to another, as when a tag is lost, taken out of *rests*.

    It is recognised by its quantity: what one value uses less, another uses more.
    """
    by_usage: dict[str, list[_Rest]] = defaultdict(list)
    for rest in rests:
        if rest.part.tag is not None:
            by_usage[rest.part.usage_type].append(rest)
    for _, own in sorted(by_usage.items()):
        falls = sorted((one for one in own if one.units < 0 > one.usd), key=lambda one: one.units)
        rises = sorted(
            (one for one in own if one.units > 0 and one.usd > one.part.usual), key=lambda one: -one.units
        )
        for rise in rises:
            matching = [one for one in falls if _same(rise.units, -one.units)][:1]
            if not matching and _same(rise.units, -sum((one.units for one in falls), ZERO)):
                matching = list(falls)
            fell = sum((fall.units for fall in matching), ZERO)
            moved = rise.usd
            for fall in matching:
                usd = min(rise.usd, (moved * fall.units / fell).quantize(EXACT))
                fall.usd, rise.usd = fall.usd + usd, rise.usd - usd
                yield Mover(usd=usd, cause=Cause.TAG, part=rise.part, tag_before=fall.part.tag)
            falls = [one for one in falls if one not in matching]


def _same(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= SAME * max(abs(one), abs(other))
