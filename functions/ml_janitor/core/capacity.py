"""
Compute the capacity that work needs: instances for an endpoint's hourly peaks, and spot hours for a job.

Spot interruptions come at a constant rate, independently of each other (exponential times between them). The
hours are means; J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps",
Future Generation Computer Systems 22 (2006), has the derivations.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import batched, chain
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class InstanceSize:
    """One instance of a *type*: vCPUs, GPUs, dollars an hour. Within a family memory grows with vCPUs."""

    type: str
    vcpus: int
    gpus: int
    hourly_usd: Decimal


@dataclass(frozen=True, slots=True)
class PeakLoad:
    """
    The peaks of one hour on the busiest instance, however short: in vCPUs and GPUs.

    *memory* and *gpu_memory* are in units of the memory per vCPU, and per GPU. *requests* are in
    flight at once; *idle* tells that no request came in that hour. With *several* models, each instance
    holds those that it was asked for: fewer instances hold more of them each.
    """

    cpu: float
    memory: float
    gpu: float = 0
    gpu_memory: float = 0
    requests: float = 0
    idle: bool = False
    several: bool = False


@dataclass(frozen=True, slots=True)
class PackedLoads(Iterable[PeakLoad]):
    """The loads of consecutive hours, compressed: those of all endpoints have to fit into memory."""

    packed: bytes

    @classmethod
    def of(cls, loads: Iterable[PeakLoad]) -> PackedLoads:
        """Pack *loads*."""
        return cls(zlib.compress(array("d", chain.from_iterable(map(_load_members, loads))).tobytes(), 1))

    def __iter__(self) -> Iterator[PeakLoad]:
        for cpu, memory, gpu, gpu_memory, requests, idle, several in batched(
            array("d", zlib.decompress(self.packed)), 7
        ):
            yield PeakLoad(cpu, memory, gpu, gpu_memory, requests, bool(idle), bool(several))


_load_members = attrgetter("cpu", "memory", "gpu", "gpu_memory", "requests", "idle", "several")


@dataclass(frozen=True, slots=True)
class Fleet:
    """A number of instances of a *size* in each hour; the number is constant without scaling."""

    size: InstanceSize
    counts: tuple[int, ...]

    @property
    def steady(self) -> bool:
        return len(set(self.counts)) <= 1

    @property
    def hourly_usd(self) -> Decimal:
        """Return the cost of a mean hour."""
        return self.size.hourly_usd * Decimal(sum(self.counts)) / Decimal(max(len(self.counts), 1))


def instances_needed(load: PeakLoad, running: int, size: InstanceSize, free: float) -> int | None:
    """
    Return how many instances of *size* carry the *load* of *running* ones, with the share *free* left, or
    None.

    The load of all instances is taken as that of the busiest. Each instance holds the whole model: more
    instances do not help where one has too little memory. Several models are all held, as they were. Without
    a GPU, one request in flight takes one vCPU, as in the workers of a model server.
    """
    room = 1 - free
    if load.memory > room * size.vcpus or load.gpu_memory > room * size.gpus:
        return None
    waiting = load.requests if not size.gpus else 0
    for count in range(1, running + 1):
        share = running / count
        held = share if load.several else 1
        if (
            load.memory * held <= room * size.vcpus
            and load.gpu_memory * held <= room * size.gpus
            and load.cpu * share <= room * size.vcpus
            and load.gpu * share <= room * size.gpus
            and waiting * share <= size.vcpus
        ):
            return count
    return None


def steady_fleet(
    loads: Sequence[PeakLoad], running: int, size: InstanceSize, free: float, least: int
) -> Fleet | None:
    """Return the fewest instances of *size*, *least* or more, that carry every hour; None if none do."""
    counts = _each(loads, running, size, free)
    return Fleet(size, (max(least, *counts),) * len(counts)) if counts else None


def scaled_fleet(
    loads: Sequence[PeakLoad], running: int, size: InstanceSize, free: float, least: int
) -> Fleet | None:
    """
    Return the instances of *size* that each hour and the hours beside it need; None if none suffice.

    A new instance takes minutes, and scaling in waits for minutes of rest, so that a peak is provided for
    from the hour before it to the hour after. With *least* 0, hours without a request in these have no
    instance.
    """
    if not (counts := _each(loads, running, size, free)):
        return None
    wanted = [
        0 if load.idle and not least else max(count, least) for load, count in zip(loads, counts, strict=True)
    ]
    return Fleet(size, _early_and_late(wanted))


def _each(loads: Sequence[PeakLoad], running: int, size: InstanceSize, free: float) -> list[int]:
    """Return the instances that each hour needs; an empty list if they cannot carry one of the hours."""
    counts = [count for load in loads if (count := instances_needed(load, running, size, free)) is not None]
    return counts if len(counts) == len(loads) else []


def switched_fleet(loads: Sequence[PeakLoad], running: int, size: InstanceSize) -> Fleet:
    """Return all *running* instances, or none where an hour and the hours beside it have no request."""
    return Fleet(size, _early_and_late([0 if load.idle else running for load in loads]))


def _early_and_late(wanted: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(wanted[max(at - 1, 0) : at + 2]) for at in range(len(wanted)))


def cheapest_fleet(fleets: Iterable[Fleet | None]) -> Fleet | None:
    """Return the cheapest fleet, the first of equals; None if there is none."""
    return min(
        (fleet for fleet in fleets if fleet is not None), key=lambda fleet: fleet.hourly_usd, default=None
    )


def count_quiet_hours(loads: Sequence[PeakLoad], week: int = 168) -> int:
    """
    Return the number of hours of a week without a request in any week, nor in the hours beside them.

    *loads* are whole weeks, hour by hour.
    """
    if not loads or len(loads) % week:
        return 0
    idle = [all(loads[at].idle for at in range(hour, len(loads), week)) for hour in range(week)]
    return sum(idle[hour - 1] and idle[hour] and idle[(hour + 1) % week] for hour in range(week))


# --- jobs on spot instances -----------------------------------------------------------------------

RESTART_BEYOND = 72.0
"""Hours beyond which a spot run almost surely meets an interruption, so that it must restart by itself."""

RESERVE_FROM_JOBS = 10.0
"""Jobs a week from which a reservation is used enough."""

SHORTEST_INTERVAL = 1 / 60
"""Hours between checkpoints that cost nothing: a minute."""

MOST_EXPONENT = 600.0
"""The largest exponent before a float overflows: such a run never ends."""


class Interruption(StrEnum):
    """The cost of an interruption to those who wait for the job."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Purchase(StrEnum):
    """The ways to buy a job's hours."""

    SPOT = "spot"
    SPOT_WITH_RESTART = "spot with automatic restart"
    SPOT_FOR_EXPERIMENTS = "spot for experiments, on demand for the final run"
    RESERVED = "reserved"
    ON_DEMAND = "on demand"


@dataclass(frozen=True, slots=True)
class SpotCapacity:
    """
    Spot capacity: *interruptions* of an instance an hour, hours to *restart* after an interruption, hours
    that a *save* takes, the *discount* off the on-demand price, 0 to 1, and the number of *instances*.

    An interruption of one instance interrupts the job.
    """

    interruptions: float
    restart: float
    save: float
    discount: float
    instances: int = 1

    @property
    def rate(self) -> float:
        """Return the interruptions of the job an hour."""
        return self.interruptions * self.instances

    @property
    def between(self) -> float:
        """Return the mean hours between two interruptions of the job."""
        return 1 / self.rate if self.rate else math.inf

    def interval(self) -> float:
        """Return the hours between checkpoints that waste least: Daly's estimate (first term: Young's)."""
        between = self.between
        if math.isinf(between):
            return math.inf
        if not self.save:
            return SHORTEST_INTERVAL
        if self.save >= 2 * between:
            return between
        part = self.save / (2 * between)
        return math.sqrt(2 * self.save * between) * (1 + math.sqrt(part) / 3 + part / 9) - self.save

    def hours(self, work: float, interval: float = math.inf) -> float:
        """Return the mean hours for *work* hours with a checkpoint after every *interval* hours of work."""
        if work <= 0:
            return 0.0
        if math.isinf(parts := work / interval):
            return math.inf
        saves = max(math.ceil(parts) - 1, 0)
        last = work - saves * (0.0 if math.isinf(interval) else interval)
        between = self._undisturbed(interval + self.save) if saves else 0.0
        return saves * between + self._undisturbed(last)

    def cost(self, work: float, interval: float = math.inf) -> float:
        """Return the cost of *work* as a share of its on-demand cost: above 1, spot is dearer."""
        return (1 - self.discount) * self.hours(work, interval) / work

    def _undisturbed(self, span: float) -> float:
        """Return the mean hours until *span* hours in a row have passed without an interruption."""
        rate = self.rate
        if not rate:
            return span
        if rate * (span + self.restart) > MOST_EXPONENT:
            return math.inf
        return math.exp(rate * self.restart) * math.expm1(rate * span) / rate


def best_purchase(hours: float, interruption: Interruption, jobs_a_week: float) -> Purchase:
    """Return how to buy jobs of *hours* each: by an interruption's cost, their length, and their number."""
    match interruption:
        case Interruption.LOW:
            return Purchase.SPOT_WITH_RESTART if hours > RESTART_BEYOND else Purchase.SPOT
        case Interruption.MEDIUM:
            return Purchase.SPOT_FOR_EXPERIMENTS
        case Interruption.HIGH:
            return Purchase.RESERVED if jobs_a_week >= RESERVE_FROM_JOBS else Purchase.ON_DEMAND
