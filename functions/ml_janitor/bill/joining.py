"""
Finds the resources behind the parts of a change, and their dollars. Pure.

A resource is known by its runs: how much of a usage type it used, from when until when. It claims that much
of the line with its usage type and tag, at the bill's own price, and never more than the line:
if resources claim more together, each gets its share. The rest of a part is a price, a move from one
value of the tag to another, or unexplained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from statistics import median

from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.attribution import AMOUNT_PRECISION, merge_parts
from ml_janitor.bill.model import UNTAGGED_VALUE, ZERO, DaySpan
from ml_janitor.bill.movements import ChangePart, Culprit, Mover, MoverCause, SpanComparison

SAME_QUANTITY = Decimal("0.03")
"""The relative difference of two quantity changes that still are the same use under another tag value."""

SAME_PRICE = Decimal("0.01")
"""The share of a price below which a difference is rounding."""

OUTLIER_FACTOR = 3
"""The factor over its family's median from which a job is named by itself."""


def units_in_span(run: ResourceRun, span: DaySpan) -> Decimal:
    """Return the units of *run* in *span*."""
    begins, ends = (datetime.combine(day, time(), UTC) for day in (span.first, span.until))
    return run.units(begins, ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRequests:
    """
    The requests of an endpoint's *variant*, in *points* of *period* seconds each; None is unread.

    A *shadow* variant receives copies of requests. *many_models* tells whether it loads models by itself.
    """

    variant: str
    points: tuple[tuple[datetime, float], ...] | None
    period: int
    shadow: bool = False
    many_models: bool = False

    def within(self, span: DaySpan) -> int | None:
        """Return the requests in *span*."""
        if self.points is None:
            return None
        return round(sum(count for at, count in self.points if at.date() in span))


@dataclass(frozen=True, slots=True, kw_only=True)
class BillResource:
    """
    A resource that was or is billed: *culprit* is its description for a report, *tag* the value of the tag.

    *family* is the common part of similar resources' names. *requests* are those of an endpoint.
    """

    culprit: Culprit
    runs: tuple[ResourceRun, ...]
    tag: str | None = None
    family: str = ""
    requests: tuple[VariantRequests, ...] = ()

    @property
    def found(self) -> bool:
        return bool(self.culprit.finding)


@dataclass(slots=True)
class _Claim:
    """The usage of a resource, or of a family's jobs, in one part, in units."""

    resource: BillResource
    before: Decimal = ZERO
    after: Decimal = ZERO
    members: int = 1


@dataclass(slots=True)
class _Rest:
    """The rest of a part that no resource accounts for."""

    part: ChangePart
    usd: Decimal
    units: Decimal
    movers: list[Mover] = field(default_factory=list)


def find_movers(
    parts: Sequence[ChangePart],
    resources: Iterable[BillResource],
    comparison: SpanComparison,
    owners: Mapping[str, str],
) -> tuple[Mover, ...]:
    """
    Return all of *parts*' change as movers, the largest first: together they are the change, exactly.

    *owners* are the owners of usage types with a single owner.
    """
    claims = _claims(parts, resources, comparison)
    rests = [_explained(part, claims[part.usage_type, part.tag]) for part in parts]
    found = [mover for rest in rests for mover in rest.movers]
    found = [*_prices(found), *_moved_tags(rests)]
    found += [
        Mover(
            usd=rest.usd, cause=MoverCause.UNEXPLAINED, part=rest.part, owner=owners.get(rest.part.usage_type)
        )
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
    parts: Sequence[ChangePart], resources: Iterable[BillResource], comparison: SpanComparison
) -> Mapping[_Key, list[_Claim]]:
    """Return the claims on each part: on that of the resource's tag, else on the part without a tag."""
    by_key = {(part.usage_type, part.tag): part for part in parts}
    found: dict[_Key, list[_Claim]] = defaultdict(list)
    for resource in sorted(resources, key=lambda resource: resource.culprit.arn):
        for usage_type in sorted({run.usage_type for run in resource.runs}):
            runs = [run for run in resource.runs if run.usage_type == usage_type]
            before, after = (
                sum((units_in_span(run, span) for run in runs), ZERO)
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
    yield usage_type, UNTAGGED_VALUE  # tags are not retroactive
    yield usage_type, None


def _limit(claims: Sequence[_Claim], side: str, most: Decimal) -> None:
    """Limit the sum of *claims* to *most*, and to 0 for a negative line, which is a correction."""
    asked, most = sum((getattr(claim, side) for claim in claims), ZERO), max(most, ZERO)
    if asked > most:
        for claim in claims:
            setattr(claim, side, getattr(claim, side) * most / asked)


def _by_family(claims: Sequence[_Claim]) -> Iterator[_Claim]:
    """Join the claims of a family, except those of members that used much more than the rest of it."""
    families: dict[tuple[str, str, bool], list[_Claim]] = defaultdict(list)
    for claim in claims:
        resource = claim.resource
        families[resource.culprit.kind, resource.family or resource.culprit.arn, resource.found].append(claim)
    for _, members in sorted(families.items()):
        middle = median(claim.before + claim.after for claim in members)
        large = [claim for claim in members if claim.before + claim.after > OUTLIER_FACTOR * middle]
        yield from large
        if alike := [claim for claim in members if claim not in large]:
            largest = max(alike, key=lambda claim: (claim.before + claim.after, claim.resource.culprit.arn))
            yield _Claim(
                largest.resource,
                sum((claim.before for claim in alike), ZERO),
                sum((claim.after for claim in alike), ZERO),
                len(alike),
            )


def _explained(part: ChangePart, claims: Sequence[_Claim]) -> _Rest:
    """Return the movers of *part* for its *claims* and its price, and the rest."""
    price_before = part.usd_before / part.quantity_before if part.quantity_before else ZERO
    price_after = part.usd_after / part.quantity_after if part.quantity_after else ZERO
    step = price_after - price_before
    repriced = bool(price_before and price_after) and abs(step) > SAME_PRICE * price_before
    rest = _Rest(part, part.change, part.quantity_after - part.quantity_before)
    lower, fell = min(price_before, price_after), step < 0  # at the higher price, a claim may exceed its line
    repriced_units = part.quantity_before if fell else part.quantity_after
    for claim in claims:
        if claim.before and claim.after and repriced:
            usd = (claim.after - claim.before) * lower
        else:  # a new or ended resource moved with its own price
            usd = claim.after * price_after - claim.before * price_before
            repriced_units -= claim.before if fell else claim.after
        usd = usd.quantize(AMOUNT_PRECISION)
        rest.units -= claim.after - claim.before
        rest.usd -= usd
        if usd:
            rest.movers.append(_mover(part, claim, usd))
    if repriced and (usd := (repriced_units * step).quantize(AMOUNT_PRECISION)):
        rest.usd -= usd
        rest.movers.append(Mover(usd=usd, cause=MoverCause.PRICE, part=part))
    return rest


def _mover(part: ChangePart, claim: _Claim, usd: Decimal) -> Mover:
    culprit = claim.resource.culprit
    if claim.members > 1:
        culprit = replace(culprit, name=claim.resource.family, members=claim.members, since=None, ended=None)
    if claim.resource.found and usd > 0:
        cause = MoverCause.FINDING
    elif not claim.before:
        cause = MoverCause.STARTED
    elif usd < 0 and (not claim.after or culprit.ended or culprit.acted):
        cause = MoverCause.ENDED
    else:
        cause = MoverCause.CHANGED
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
    """Yield *found*, with the price of a usage type as one mover, whatever its tags."""
    by_usage: dict[str, list[Mover]] = defaultdict(list)
    for mover in found:
        if mover.cause is MoverCause.PRICE:
            by_usage[mover.part.usage_type].append(mover)
        else:
            yield mover
    for _, own in sorted(by_usage.items()):
        usd = sum((mover.usd for mover in own), ZERO)
        yield Mover(usd=usd, cause=MoverCause.PRICE, part=merge_parts([mover.part for mover in own]))


# --- tags -------------------------------------------------------------------------------------


def _moved_tags(rests: Sequence[_Rest]) -> Iterator[Mover]:
    """
    Yield usage that only moved from one value of the tag to another (such as a lost tag), and take it out
    of *rests*.

    Its sign is the quantity: one value uses less, another uses that much more.
    """
    by_usage: dict[str, list[_Rest]] = defaultdict(list)
    for rest in rests:
        if rest.part.tag is not None:
            by_usage[rest.part.usage_type].append(rest)
    for _, own in sorted(by_usage.items()):
        falls = sorted((rest for rest in own if rest.units < 0 > rest.usd), key=lambda rest: rest.units)
        rises = sorted(
            (rest for rest in own if rest.units > 0 and rest.usd > rest.part.usual),
            key=lambda rest: -rest.units,
        )
        for rise in rises:
            matching = [fall for fall in falls if _same(rise.units, -fall.units)][:1]
            if not matching and _same(rise.units, -sum((fall.units for fall in falls), ZERO)):
                matching = list(falls)
            fell = sum((fall.units for fall in matching), ZERO)
            moved = rise.usd
            for fall in matching:
                usd = min(rise.usd, (moved * fall.units / fell).quantize(AMOUNT_PRECISION))
                fall.usd, rise.usd = fall.usd + usd, rise.usd - usd
                yield Mover(usd=usd, cause=MoverCause.TAG, part=rise.part, tag_before=fall.part.tag)
            falls = [fall for fall in falls if fall not in matching]


def _same(this: Decimal, other: Decimal) -> bool:
    return abs(this - other) <= SAME_QUANTITY * max(abs(this), abs(other))
