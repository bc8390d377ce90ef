"""
Compute the best hourly commitment: steady usage against the discount of a Savings Plan.

Usage is known by resource; jobs that differ only in the words of a run are one family.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ml_janitor.core.durations import HOUR


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """On-demand cost in dollars of one kind of usage in one hour, and the *discount* on it, 0 to 1."""

    usd: float
    discount: float


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """On-demand dollars an hour from *start* to *end*: a price times a count of instances."""

    start: datetime
    end: datetime
    hourly: RatedUsage


@dataclass(frozen=True, slots=True)
class CommitmentCost:
    """The total cost of some hours, the used share of a commitment, and the covered share of usage."""

    usd: float
    utilisation: float
    coverage: float


def usage_by_hour(spans: Iterable[UsageSpan], since: datetime, hours: int) -> list[list[RatedUsage]]:
    """
    Return the usage in each of *hours* after *since*; a part of an hour counts for its part.

    Usage with the same discount in an hour is summed: thousands of instances run side by side.
    """
    found: list[dict[float, float]] = [{} for _ in range(hours)]
    for span in spans:
        discount = span.hourly.discount
        for hour, usd in _each_hour(span, since, hours):
            found[hour][discount] = found[hour].get(discount, 0.0) + usd
    return [[RatedUsage(usd, discount) for discount, usd in rates.items()] for rates in found]


def _each_hour(span: UsageSpan, since: datetime, hours: int) -> Iterator[tuple[int, float]]:
    """Yield the index of each of *hours* after *since* that *span* is in, and its cost in that hour."""
    first, last = (span.start - since) // HOUR, -((since - span.end) // HOUR)
    for hour in range(max(first, 0), min(last, hours)):
        begin = since + HOUR * hour
        part = (min(span.end, begin + HOUR) - max(span.start, begin)) / HOUR
        if part > 0:
            yield hour, span.hourly.usd * part


def cost_with_commitment(hours: Sequence[Sequence[RatedUsage]], commitment: float) -> CommitmentCost:
    """
    Return the cost of *hours* under a *commitment* in dollars an hour, which is billed whether used or not.

    A plan first covers the usage that it saves the most on (Savings Plans user guide, "Understanding how
    Savings Plans apply to your usage"). The rest is paid on demand.
    """
    usd = used = covered = total = 0.0
    for hour in hours:
        left = commitment
        for item in sorted(hour, key=lambda usage: -usage.discount):
            taken = min(left, item.usd * (1 - item.discount))
            left -= taken
            covered += taken / (1 - item.discount)
            total += item.usd
        used += commitment - left
    usd = commitment * len(hours) + total - covered
    whole = commitment * len(hours)
    return CommitmentCost(usd, used / whole if whole else 1.0, covered / total if total else 0.0)


def best_commitment(hours: Sequence[Sequence[RatedUsage]], owned: float = 0.0) -> float:
    """
    Return the dollars an hour to commit to beyond *owned*, so that *hours* cost least.

    The cost is a convex line of straight pieces: each dollar an hour is paid in every hour, and saves
    1 / (1 - discount) in the hours that use it. The cost is least where the two are in balance: with one
    discount, at the usage that is exceeded in the share 1 - discount of the hours. Ties go to the smallest
    commitment.
    """
    slope, bends = float(len(hours)), list[tuple[float, float]]()
    for hour in hours:
        position, rates = 0.0, sorted(hour, key=lambda usage: -usage.discount)
        for number, item in enumerate(rates):
            following = 1 / (1 - rates[number + 1].discount) if number + 1 < len(rates) else 0.0
            position += item.usd * (1 - item.discount)
            bends.append((position, 1 / (1 - item.discount) - following))
        slope -= 1 / (1 - rates[0].discount) if rates else 0.0
    commitment = 0.0
    for position, bend in sorted(bends):
        if slope >= -1e-9 * len(hours):
            break
        commitment, slope = position, slope + bend
    return max(commitment - owned, 0.0)


# --- usage by resource ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUsage:
    """
    The usage of one resource and *kind*, at its on-demand price.

    *names* are the ARNs that a finding may name the resource by, in lower case: its own, and the family of a
    job. Shares of a saving go to the last ARN.
    """

    names: tuple[str, ...]
    kind: str
    spans: tuple[UsageSpan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """The on-demand cost in dollars of all usage of one *kind* in each hour, and the *discount* on it."""

    kind: str
    hourly: tuple[float, ...]
    discount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageHours:
    """
    The usage in *count* hours after *since*, by resource, and as AWS billed it.

    *totals* is None where AWS billed nothing by the hour: then only the usage by resource is known.
    *others* is the number of resources left out, or None before they are chosen.
    """

    since: datetime
    count: int
    uses: tuple[ResourceUsage, ...]
    totals: tuple[UsageTotal, ...] | None = None
    others: int | None = None

    def without(self, named: frozenset[str]) -> UsageHours:
        """Return the hours without the *named* resources: their usage is subtracted from the totals too."""
        gone = [use for use in self.uses if not named.isdisjoint(use.names)]
        left = tuple(use for use in self.uses if named.isdisjoint(use.names))
        totals = None if self.totals is None else tuple(self._less(total, gone) for total in self.totals)
        return replace(self, uses=left, totals=totals, others=len({use.names[0] for use in gone}))

    def _less(self, total: UsageTotal, gone: Sequence[ResourceUsage]) -> UsageTotal:
        spans = [span for use in gone if use.kind == total.kind for span in use.spans]
        if not spans:
            return total
        less = [sum(item.usd for item in hour) for hour in usage_by_hour(spans, self.since, self.count)]
        left = (max(usd - taken, 0.0) for usd, taken in zip(total.hourly, less, strict=True))
        return replace(total, hourly=tuple(left))

    def each(self) -> list[list[RatedUsage]]:
        """Return the usage in each of the hours."""
        if self.totals is None:
            return usage_by_hour((span for use in self.uses for span in use.spans), self.since, self.count)
        return [
            [
                RatedUsage(total.hourly[hour], total.discount)
                for total in self.totals
                if total.hourly[hour] > 0
            ]
            for hour in range(self.count)
        ]

    def shares(self) -> Mapping[str, float]:
        """
        Return each resource's share of a saving, weighted by the discount on all its usage.

        The resources of a kind together have no more than AWS billed for the kind.
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
        for total in self.totals or ():
            billed[total.kind] += sum(total.hourly) * total.discount
        most = by_kind if self.totals is None else billed
        whole, shares = sum(most.values()), defaultdict[str, float](float)
        for (name, kind), weight in weights.items():
            if weight and most[kind]:
                shares[name] += weight * min(most[kind] / by_kind[kind], 1.0) / whole
        return dict(shares)


# --- families of jobs -----------------------------------------------------------------------------

RUN_WORD = re.compile(r"v?\d+|(?=[a-z]*\d)[a-z0-9]{6,}|(?=.*\d)[0-9a-f]{4,}", re.IGNORECASE)
"""
A word of a name that identifies a run: a number or date, a version, a random identifier with a digit in it.
Pipelines name a job "pipelines-ID-STEP-ID", tuning jobs "NAME-001-ID", SDKs append the time.
"""

PIPELINE_RUN = re.compile(r"(pipelines-)[a-z0-9]{12}-(.+)-[a-z0-9]{10}", re.IGNORECASE)
"""A job's name in a pipeline: the identifiers need not have a digit."""

TUNING_CHILD = re.compile(r"-\d{3}-(?=\d*[a-f])[0-9a-f]{8}$")
"""The end that a tuning job gives the names of its training jobs. Eight digits alone are a date."""

RUN_TIME = re.compile(
    r"-20\d\d-\d\d-\d\d(?:-\d{1,3})*$|-\d{6,}(?:-\d+)*$|-(?=[a-z]*\d)[a-z0-9]{6,}$"
    r"|-(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{4,}$",
    re.IGNORECASE,
)
"""A time, or a random identifier, at the end of a name: one run's alone."""

INSTANCE_SIZE = re.compile(r"\d+x?large|a100|h100|v100", re.IGNORECASE)


def family_name(name: str) -> str:
    """
    Return the family of job *name*: its words that do not identify a run, or its first word.

    Where a time or an identifier ends the name, a number before that is the family's: "unet-64-20261005".
    Without one, the last number counts the runs: "unet-64-7".
    """
    if (step := PIPELINE_RUN.fullmatch(name)) is not None:
        return "".join(step.groups())
    whole = shorter = TUNING_CHILD.sub("", name)
    while (found := RUN_TIME.search(shorter)) and not INSTANCE_SIZE.search(found[0]):
        shorter = shorter[: found.start()]
    words = shorter.split("-")
    if shorter == whole and len(words) > 1 and _tells_run(words[-1]):
        words.pop()
    return "-".join(word for number, word in enumerate(words) if not number or not _random(word))


def _tells_run(word: str) -> bool:
    return bool(RUN_WORD.fullmatch(word)) and not INSTANCE_SIZE.fullmatch(word)


def _random(word: str) -> bool:
    """Return whether *word*, in the middle of a name, is an identifier: long, letters and digits mixed."""
    return len(word) >= 10 and bool(re.search(r"\d", word)) and bool(RUN_WORD.fullmatch(word))
