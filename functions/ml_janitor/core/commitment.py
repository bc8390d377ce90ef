"""How much an hour to commit to: the hours of a steady use against the discount of a Savings Plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kind of usage costs on demand in one hour, in dollars, and the *discount* on it, 0 to 1."""

    usd: float
    discount: float


@dataclass(frozen=True, slots=True)
class Span:
    """So many dollars an hour on demand from *start* to *end*: a price times a count of instances."""

    start: datetime
    end: datetime
    hourly: Usage


@dataclass(frozen=True, slots=True)
class Result:
    """What some hours cost together, how much of a commitment they used, and of their use it covered."""

    usd: float
    utilisation: float
    coverage: float


def by_hour(spans: Iterable[Span], since: datetime, hours: int) -> list[list[Usage]]:
    """
    The usage in each of *hours* after *since*; what began or ended within an hour counts for its part.

    What has the same discount in an hour is one usage: thousands of instances run side by side.
    """
    found: list[dict[float, float]] = [{} for _ in range(hours)]
    for span in spans:
        discount = span.hourly.discount
        for hour, usd in _each_hour(span, since, hours):
            found[hour][discount] = found[hour].get(discount, 0.0) + usd
    return [[Usage(usd, discount) for discount, usd in one.items()] for one in found]


def _each_hour(span: Span, since: datetime, hours: int) -> Iterator[tuple[int, float]]:
    """Which of *hours* after *since* *span* is in, and what it costs in each."""
    first, last = max((span.start - since) // HOUR, 0), min((span.end - since) / HOUR, hours)
    for hour in range(first, hours):
        begin = since + HOUR * hour
        part = (min(span.end, begin + HOUR) - max(span.start, begin)) / HOUR
        if hour >= last:
            break
        if part > 0:
            yield hour, span.hourly.usd * part


def paid(hours: Sequence[Sequence[Usage]], commitment: float) -> Result:
    """
    What *hours* cost under a *commitment* in dollars an hour, which is billed whether it is used or not.

    A plan covers what it saves the most on first (Savings Plans user guide, "Understanding how Savings Plans
    apply to your usage"); what it does not reach is paid on demand.
    """
    usd = used = covered = total = 0.0
    for hour in hours:
        left = commitment
        for one in sorted(hour, key=lambda usage: -usage.discount):
            taken = min(left, one.usd * (1 - one.discount))
            left -= taken
            covered += taken / (1 - one.discount)
            total += one.usd
        used += commitment - left
    usd = commitment * len(hours) + total - covered
    whole = commitment * len(hours)
    return Result(usd, used / whole if whole else 1.0, covered / total if total else 0.0)


def best(hours: Sequence[Sequence[Usage]], owned: float = 0.0) -> float:
    """
    The dollars an hour to commit to beyond what is *owned*, so that *hours* cost least.

    The cost is a convex line of straight pieces: each dollar an hour is paid in every hour, and saves
    1 / (1 - discount) in those that use it. It is least where the two are in balance: with one discount, at
    the use that is exceeded in the share 1 - discount of the hours. Of equals, the smallest commitment.
    """
    slope, bends = float(len(hours)), list[tuple[float, float]]()
    for hour in hours:
        position, rates = 0.0, [one for one in sorted(hour, key=lambda usage: -usage.discount) if one.usd > 0]
        for number, one in enumerate(rates):
            following = 1 / (1 - rates[number + 1].discount) if number + 1 < len(rates) else 0.0
            position += one.usd * (1 - one.discount)
            bends.append((position, 1 / (1 - one.discount) - following))
        slope -= 1 / (1 - rates[0].discount) if rates else 0.0
    commitment = 0.0
    for position, bend in sorted(bends):
        if slope >= -1e-9 * len(hours):
            break
        commitment, slope = position, slope + bend
    return max(commitment - owned, 0.0)


# --- whose use it is ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """
    What one resource used of one *kind*, at its price on demand.

    *names* are the ARNs that a finding may name it by, in lower case: its own, and of a job its family's. The
    last of them is whose share of a saving it is.
    """

    names: tuple[str, ...]
    kind: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What all use of one *kind* cost on demand in each hour, in dollars, and the *discount* on it."""

    kind: str
    hourly: tuple[float, ...]
    discount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """
    The use in *count* hours after *since*, of resources, and as it was billed.

    *totals* is None where nothing was billed by the hour: then the use of resources is all that is known.
    *others* is how many resources were left out; None before anybody knows which.
    """

    since: datetime
    count: int
    uses: tuple[Use, ...]
    totals: tuple[Total, ...] | None = None
    others: int | None = None

    def without(self, named: frozenset[str]) -> Hours:
        """The same without the resources that are *named*: what they used is taken from the totals, too."""
        gone = [use for use in self.uses if not named.isdisjoint(use.names)]
        left = tuple(use for use in self.uses if named.isdisjoint(use.names))
        totals = None if self.totals is None else tuple(self._less(one, gone) for one in self.totals)
        return replace(self, uses=left, totals=totals, others=len({use.names[0] for use in gone}))

    def _less(self, total: Total, gone: Sequence[Use]) -> Total:
        spans = [span for use in gone if use.kind == total.kind for span in use.spans]
        if not spans:
            return total
        less = [sum(one.usd for one in hour) for hour in by_hour(spans, self.since, self.count)]
        left = (max(usd - taken, 0.0) for usd, taken in zip(total.hourly, less, strict=True))
        return replace(total, hourly=tuple(left))

    def each(self) -> list[list[Usage]]:
        """The use in each of the hours."""
        if self.totals is None:
            return by_hour((span for use in self.uses for span in use.spans), self.since, self.count)
        return [
            [Usage(one.hourly[hour], one.discount) for one in self.totals if one.hourly[hour] > 0]
            for hour in range(self.count)
        ]

    def shares(self) -> Mapping[str, float]:
        """
        Which part of a saving comes from which resource: as what the discount on all its use would be.

        The resources of a kind have no more together than what was billed of it.
        """
        weights = defaultdict[tuple[str, str], float](float)
        for use in self.uses:
            for span in use.spans:
                for _, usd in _each_hour(span, self.since, self.count):
                    weights[use.names[-1], use.kind] += usd * span.hourly.discount
        by_kind = defaultdict[str, float](float)
        for (_, kind), weight in weights.items():
            by_kind[kind] += weight
        billed = defaultdict[str, float](float)
        for one in self.totals or ():
            billed[one.kind] += sum(one.hourly) * one.discount
        most = by_kind if self.totals is None else billed
        whole, shares = sum(most.values()), defaultdict[str, float](float)
        for (name, kind), weight in weights.items():
            if weight and most[kind]:
                shares[name] += weight * min(most[kind] / by_kind[kind], 1.0) / whole
        return dict(shares)
