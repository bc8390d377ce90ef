"""Which instances the traffic of an endpoint needs: its peaks, hour by hour, against what a type can do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Size:
    """One instance of a *type*: vCPUs, GPUs, dollars an hour. Within a family memory grows with vCPUs."""

    type: str
    vcpus: int
    gpus: int
    hourly_usd: Decimal


@dataclass(frozen=True, slots=True)
class Load:
    """
    The peaks of one hour on the busiest of some instances, however short: in vCPUs and GPUs.

    *memory* and *gpu_memory* are in units of what comes with one vCPU, and of one GPU. *requests* are in
    flight at once; *idle* is whether none at all came in that hour.
    """

    cpu: float
    memory: float
    gpu: float = 0
    gpu_memory: float = 0
    requests: float = 0
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """So many instances of a *size* in each hour; they are one number where nothing scales them."""

    size: Size
    counts: tuple[int, ...]

    @property
    def steady(self) -> bool:
        return len(set(self.counts)) <= 1

    @property
    def hourly_usd(self) -> Decimal:
        """What it costs in a mean hour."""
        return self.size.hourly_usd * Decimal(sum(self.counts)) / Decimal(max(len(self.counts), 1))


def needed(load: Load, running: int, size: Size, free: float) -> int | None:
    """
    How many instances of *size* carry what *running* ones did, with the share *free* left; None if none do.

    As if all of them had been as busy as the busiest. Each holds the whole model, so that more of them do not
    help where one has too little memory. Where there is no GPU, one request in flight takes one vCPU, as the
    workers of a model server do.
    """
    room = 1 - free
    if load.memory > room * size.vcpus or load.gpu_memory > room * size.gpus:
        return None
    waiting = load.requests if not size.gpus else 0
    for count in range(1, running + 1):
        share = running / count
        if (
            load.cpu * share <= room * size.vcpus
            and load.gpu * share <= room * size.gpus
            and waiting * share <= size.vcpus
        ):
            return count
    return None


def steady(loads: Sequence[Load], running: int, size: Size, free: float, least: int) -> Fleet | None:
    """The fewest instances of *size*, *least* or more, that carry every hour; None if they cannot."""
    counts = _each(loads, running, size, free)
    return Fleet(size, (max(least, *counts),) * len(counts)) if counts else None


def scaled(loads: Sequence[Load], running: int, size: Size, free: float, least: int) -> Fleet | None:
    """
    So many instances of *size* in each hour as that hour and those beside it need; None if they cannot.

    A new instance takes minutes, and scaling in waits for minutes of rest, so that a peak is provided for
    from the hour before it to the hour after. With *least* 0, there are none where no request comes in these.
    """
    if not (counts := _each(loads, running, size, free)):
        return None
    wanted = [
        0 if load.idle and not least else max(count, least) for load, count in zip(loads, counts, strict=True)
    ]
    return Fleet(size, _early_and_late(wanted))


def _each(loads: Sequence[Load], running: int, size: Size, free: float) -> list[int]:
    """The instances that each hour needs; none where they cannot carry one of them."""
    counts = [count for load in loads if (count := needed(load, running, size, free)) is not None]
    return counts if len(counts) == len(loads) else []


def switched(loads: Sequence[Load], running: int, size: Size) -> Fleet:
    """All *running* instances, or none where no request comes in an hour, nor in those beside it."""
    return Fleet(size, _early_and_late([0 if load.idle else running for load in loads]))


def _early_and_late(wanted: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(wanted[max(at - 1, 0) : at + 2]) for at in range(len(wanted)))


def cheapest(fleets: Iterable[Fleet | None]) -> Fleet | None:
    """The one that costs least, of equals the first; None if there is none."""
    return min((one for one in fleets if one is not None), key=lambda one: one.hourly_usd, default=None)


def quiet_hours(loads: Sequence[Load], week: int = 168) -> int:
    """
    In how many hours of a week no request came, in any of the weeks, nor in the hours beside them.

    *loads* are whole weeks, hour by hour.
    """
    if not loads or len(loads) % week:
        return 0
    idle = [all(loads[at].idle for at in range(hour, len(loads), week)) for hour in range(week)]
    return sum(idle[hour - 1] and idle[hour] and idle[(hour + 1) % week] for hour in range(week))
