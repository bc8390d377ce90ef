"""
Round money to cents before adding it up, as a reader does, and count each resource's money once.

If several findings name one resource, its money counts for the best finding.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from ml_janitor.core.model import Change, Finding
from ml_janitor.core.results import Overlap, Report, Result, Sweep

CENT = Decimal("0.01")


def round_to_cents(usd: Decimal | None) -> Decimal | None:
    """Round *usd* to cents; unknown stays unknown."""
    return None if usd is None else usd.quantize(CENT, ROUND_HALF_UP)


def round_keeping_small(usd: Decimal | None) -> Decimal | None:
    """Round *usd* to cents, unless that gives zero: a little is not nothing."""
    return round_to_cents(usd) or usd


def ranking_usd(result: Result) -> Decimal | None:
    """Return the amount that ranks *result*: its monthly cost or, for a job, its cost so far."""
    return round_to_cents(result.monthly_usd if result.monthly_usd is not None else result.accrued_usd)


def rank_by_cost(result: Result) -> tuple[bool, Decimal, str]:
    """Return a sort key of results: dollars descending, results without a price last, then the ARN."""
    amount = ranking_usd(result)
    return amount is None, -(amount or Decimal(0)), result.target.arn


def rank_by_worth(result: Result) -> tuple[bool, Decimal, Decimal, bool, Decimal, str]:
    """Return a sort key of results: most saved a month per hour of work, then most exposed, then dollars."""
    worth = result.usd_per_hour
    exposure = result.cost.exposure_usd if result.cost else None
    return (worth is None, -(worth or Decimal(0)), -(exposure or Decimal(0)), *rank_by_cost(result))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    The total cost of some findings: unrounded where cents would give zero. Totals leave out exposure and
    costs that are counted for another finding.

    *unpriced* is the number of findings with an unknown price: the sums leave these out.
    *hourly_usd* is the running cost of the jobs, *once_usd* the cost of all changes.
    """

    monthly_usd: Decimal = Decimal(0)
    accrued_usd: Decimal = Decimal(0)
    hourly_usd: Decimal = Decimal(0)
    once_usd: Decimal = Decimal(0)
    unpriced: int = 0

    @classmethod
    def of(cls, results: Iterable[Result]) -> Totals:
        """Add up the findings among *results*."""
        costs = [result.counted for result in results if result.counted is not None]
        return cls(
            monthly_usd=_sum(cost.monthly_usd for cost in costs),
            accrued_usd=_sum(cost.accrued_usd for cost in costs),
            hourly_usd=sum(
                (cost.hourly_usd or Decimal(0) for cost in costs if cost.accrued_usd is not None), Decimal(0)
            ),
            once_usd=_sum(cost.once_usd for cost in costs),
            unpriced=sum(not cost.known for cost in costs),
        )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    """Sum the known amounts: in cents, as a reader adds up; exactly where cents would give zero."""
    known = [amount for amount in amounts if amount is not None]
    return sum((round_to_cents(amount) or Decimal(0) for amount in known), Decimal(0)) or sum(
        known, Decimal(0)
    )


# --- each resource once ---------------------------------------------------------------------------

NO_USD = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    The saving that one finding of *detector* claims on the resource *arn*, or on those of *shares*.

    *priced* tells whether the resource has a cost of its own, known or not; *possible* whether the change
    can be made now. *parts* and *wholes* are as in `Result`.
    """

    detector: str
    arn: str
    name: str
    change: Change
    monthly_usd: Decimal | None = None
    accrued_usd: Decimal | None = None
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    priced: bool = True
    possible: bool = True


class _Bid(NamedTuple):
    """A claim's dollars on one resource (None if unknown); *claim* is an index."""

    claim: int
    usd: Decimal | None


def find_overlaps(claims: Sequence[Claim]) -> list[Overlap | None]:
    """
    Return the overlap that reduces each of *claims*; None where a claim counts in full.

    On one resource, possible changes go before impossible ones, a commitment after all else, an end before
    another change, more dollars before fewer. An end of a whole counts for its parts too; any other change
    of a whole counts if it saves no less than the changes of its parts do together. In S3, an address is a
    whole of the addresses in it, and a change of it that does not count still counts for the rest of its
    saving. Monthly cost and a job's accrued cost are different money. The order of *claims* does not matter.
    """
    below, months = _below(claims), [_monthly(claim) for claim in claims]
    monthly = _winners(claims, months, below | _addresses_below({arn for bids in months for arn in bids}))
    accrued = _winners(claims, [_accrued(claim) for claim in claims], below)
    return [
        _overlap(claims, number, months, spent)
        for number, (months, spent) in enumerate(zip(monthly, accrued, strict=True))
    ]


def claimed_resources(claims: Iterable[Claim]) -> frozenset[str]:
    """Return the resources, in lower case, that *claims* would change: it is too early to commit to them."""
    found = set[str]()
    for claim in claims:
        if (
            claim.possible
            and claim.change is not Change.COMMIT
            and (bids := _monthly(claim) | _accrued(claim))
        ):
            found |= bids.keys() | ({part.lower() for part in claim.parts} if claim.change.ends else set())
    return frozenset(found)


def claim_of(result: Result) -> Claim | None:
    """Return the claim of *result*; None if *result* is not a finding."""
    if not isinstance(result.verdict, Finding):
        return None
    cost = result.verdict.cost
    return Claim(
        detector=result.detector,
        arn=result.target.arn,
        name=result.target.name,
        change=result.change,
        monthly_usd=cost.monthly_usd if cost else None,
        accrued_usd=cost.accrued_usd if cost else None,
        shares=cost.shares if cost else {},
        parts=result.parts,
        wholes=result.wholes,
        priced=cost is not None and cost.exposure_usd is None,
        possible=result.verdict.spared is None,
    )


def count_once(report: Report) -> Report:
    """Return *report* with the overlaps between findings of all its sweeps."""
    claims = {
        (place, number): claim
        for place, sweep in enumerate(report.sweeps)
        for number, result in enumerate(sweep.results)
        if (claim := claim_of(result)) is not None
    }
    found = dict(zip(claims, find_overlaps(list(claims.values())), strict=True))

    def marked(place: int, sweep: Sweep) -> Iterator[Result]:
        for number, result in enumerate(sweep.results):
            overlap = found.get((place, number))
            yield result if overlap == result.overlap else replace(result, overlap=overlap)

    sweeps = (
        replace(sweep, results=tuple(marked(place, sweep))) for place, sweep in enumerate(report.sweeps)
    )
    return replace(report, sweeps=tuple(sweeps))


# --- which claims win -----------------------------------------------------------------------------

type _Bids = dict[str, Decimal | None]
"""Dollars by ARN in lower case: ARNs are compared without case."""


def _monthly(claim: Claim) -> _Bids:
    if not claim.priced or (claim.monthly_usd is None and claim.accrued_usd is not None):
        return {}
    whole, own = claim.monthly_usd, claim.arn.lower()
    if whole is None or not claim.shares:
        return {own: whole}
    together = sum(claim.shares.values(), NO_USD)
    scale = min(whole / together, Decimal(1)) if together > 0 else NO_USD
    bids: _Bids = {arn.lower(): usd * scale for arn, usd in claim.shares.items()}
    if (rest := whole - together * scale) > 0:
        bids[own] = rest + (bids.get(own) or NO_USD)
    return bids


def _accrued(claim: Claim) -> _Bids:
    return {} if claim.accrued_usd is None else {claim.arn.lower(): claim.accrued_usd}


def _below(claims: Iterable[Claim]) -> dict[str, set[str]]:
    """Return all resources below each resource, through all levels."""
    children: dict[str, set[str]] = {}
    for claim in claims:
        own = claim.arn.lower()
        for part in claim.parts:
            children.setdefault(own, set()).add(part.lower())
        for whole in claim.wholes:
            children.setdefault(whole.lower(), set()).add(own)
    below = {}
    for top in children:
        seen, open_ = set[str](), [top]
        while open_:
            new = children.get(open_.pop(), set()) - seen
            seen |= new
            open_ += new
        below[top] = seen - {top}
    return below


_S3_ARN = ":s3:::"


def direct_objects_arn(folder: str) -> str:
    """Return the address of the objects that lie directly in *folder*, an ARN, for shares of a saving."""
    return f"{folder}*"


def _addresses_below(resources: Iterable[str]) -> dict[str, set[str]]:
    """Return the addresses within each address in S3: all in "runs/", the objects of "runs/*"."""
    ordered = sorted(resource for resource in resources if _S3_ARN in resource)
    below: dict[str, set[str]] = {}
    for address in ordered:
        start = address.removesuffix("*")
        if not start.endswith("/"):
            continue
        inside = set[str]()
        for other in ordered[bisect_left(ordered, start) :]:
            if not other.startswith(start):
                break
            if other != address and (start == address or "/" not in other[len(start) :]):
                inside.add(other)
        below[address] = inside - {start}
    return {address: inside for address, inside in below.items() if inside}


def _winners(
    claims: Sequence[Claim], bids: Sequence[_Bids], below: Mapping[str, set[str]]
) -> list[list[tuple[Decimal | None, int]]]:
    """Return for each claim the dollars of each of its bids, and the claim that wins them."""
    by_resource: dict[str, list[_Bid]] = {}
    for number, claim_bids in enumerate(bids):
        for resource, usd in claim_bids.items():
            by_resource.setdefault(resource, []).append(_Bid(number, usd))
    best = {
        resource: min(rivals, key=lambda bid: _rank(claims, bid)) for resource, rivals in by_resource.items()
    }
    winner = {resource: bid.claim for resource, bid in best.items()}
    taken: dict[str, _Bid] = {}
    for whole in sorted(below.keys() & best.keys(), key=lambda arn: (len(below[arn]), arn)):
        mine = best[whole]
        parts = [part for part in below[whole] if part in best and best[part].claim != mine.claim]
        alive = [
            _Bid(best[part].claim, (best[part].usd or NO_USD) - (taken[part].usd or NO_USD))
            if part in taken
            else best[part]
            for part in parts
            if winner[part] == best[part].claim
        ]
        if not alive:
            continue
        dearest = min(alive, key=lambda bid: _rank(claims, bid))
        if _beats(claims, mine, dearest, alive):
            winner |= dict.fromkeys(parts, mine.claim)
        elif _S3_ARN in whole and mine.usd is not None:
            together = sum((bid.usd or NO_USD for bid in alive), NO_USD)
            taken[whole] = _Bid(dearest.claim, min(mine.usd, together))
        else:
            winner[whole] = dearest.claim
    return [
        [
            part
            for resource, usd in claim_bids.items()
            for part in _divided(number, usd, winner[resource], taken.get(resource))
        ]
        for number, claim_bids in enumerate(bids)
    ]


def _divided(
    number: int, usd: Decimal | None, winner: int, taken: _Bid | None
) -> list[tuple[Decimal | None, int]]:
    """Return the dollars of a bid of claim *number* with their winners: others may have *taken* some."""
    if taken is None or usd is None or winner != number:
        return [(usd, winner)]
    return [(taken.usd, taken.claim), (usd - (taken.usd or NO_USD), number)]


def _beats(claims: Sequence[Claim], whole: _Bid, dearest: _Bid, parts: Iterable[_Bid]) -> bool:
    mine, theirs = _class(claims[whole.claim]), _class(claims[dearest.claim])
    if mine != theirs:
        return mine < theirs
    together = sum((bid.usd or NO_USD for bid in parts), NO_USD)
    return claims[whole.claim].change.ends or (whole.usd or NO_USD) >= together


def _class(claim: Claim) -> tuple[bool, bool]:
    """Return the sort key that beats any saving: possible changes first, commitments last."""
    return not claim.possible, claim.change is Change.COMMIT


def _rank(claims: Sequence[Claim], bid: _Bid) -> tuple[tuple[bool, bool], bool, bool, Decimal, str, str]:
    claim = claims[bid.claim]
    return (
        _class(claim),
        not claim.change.ends,
        bid.usd is None,
        -(bid.usd or NO_USD),
        claim.detector,
        claim.arn,
    )


def _overlap(
    claims: Sequence[Claim],
    number: int,
    monthly: Sequence[tuple[Decimal | None, int]],
    accrued: Sequence[tuple[Decimal | None, int]],
) -> Overlap | None:
    """Return the rest of claim *number* after other claims win; it names the claim that takes the most."""
    lost: dict[int, Decimal] = {}
    for usd, winner in (*monthly, *accrued):
        if winner != number:
            lost[winner] = lost.get(winner, NO_USD) + (usd or NO_USD)
    if not lost:
        return None
    most = min(lost, key=lambda claim: (-lost[claim], claims[claim].detector, claims[claim].arn))
    return Overlap(
        detector=claims[most].detector,
        arn=claims[most].arn,
        name=claims[most].name,
        monthly_usd=sum((usd or NO_USD for usd, winner in monthly if winner == number), NO_USD),
        accrued_usd=sum((usd or NO_USD for usd, winner in accrued if winner == number), NO_USD),
    )
