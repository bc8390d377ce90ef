"""The metrics that CloudWatch has recorded: requests by day and night, and how hard machines worked."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import ConfigDict

from ml_janitor_sandbox.demo.times import NOW, SATURDAY, ago, chance

HOUR = timedelta(hours=1)

RECENT = timedelta(days=15)
"""How far back everything has datapoints: more than the two weeks that a detector looks at."""
LAST_DAYS = timedelta(days=3)
"""How long traffic takes to end."""
BILLED = timedelta(days=76)
"""How far back instances and requests are counted: a bill says what they cost, and what they cost before."""


@dataclass(frozen=True, slots=True)
class Series:
    """Datapoints at even *steps*, from *start* on."""

    start: datetime
    step: timedelta
    values: tuple[float, ...]
    samples: tuple[float, ...] = ()
    """How many datapoints each value stands for, unless that is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """
    Requests to one variant or component: *peak* in the busiest hour, until so many days *ended* ago.

    *bursts* are single busy hours instead, as (days ago, requests). Without *published* there is
    no datapoint at all, not even zeros.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    peak: float = 0
    ended: float | None = None
    bursts: tuple[tuple[float, int], ...] = ()
    published: bool = True

    @property
    def goes_on(self) -> bool:
        """Tell whether requests come today."""
        return self.peak > 0 and self.ended is None

    def series(self, name: str, since: datetime) -> Series | None:
        """Return a Sum for each hour *since* the thing of this *name* was made."""
        if not self.published:
            return None
        told = NOW if self.ended is None else ago(days=self.ended) - LAST_DAYS
        return hourly(max(min(told, NOW - BILLED), since), lambda moment: self._requests(moment, name))

    def _requests(self, moment: datetime, name: str) -> float:
        burst = sum(count for days, count in self.bursts if moment == whole(ago(days=days)))
        fade = 1.0
        if self.ended is not None:
            left = ago(days=self.ended, hours=9 * chance("ended", name)) - moment
            fade = max(0.0, min(1.0, left / LAST_DAYS))
        return burst + math.ceil(
            self.peak * fade * day_and_night(moment) * (0.85 + 0.3 * chance(name, moment))
        )


def day_and_night(moment: datetime) -> float:
    """Return how busy shoppers on the American west coast are, as a share of the busiest hour."""
    evening = (moment.hour + moment.minute / 60 - 2) / 24 * 2 * math.pi
    weekend = 1.06 if moment.weekday() >= SATURDAY else 1.0
    return (0.56 + 0.38 * math.cos(evening)) * weekend


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    The load of instances at their busiest, 0 to 1. A *spike* is an hour, days ago, and its CPU.

    A request takes so many *seconds*, and so many are in work *at_once*.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    cpu: float = 0.62
    memory: float = 0.58
    gpu: float = 0.66
    gpu_memory: float = 0.74
    spike: tuple[float, float] | None = None
    seconds: float = 0.05
    at_once: float = 2

    def requests(self, series: Series | None) -> Mapping[str, Series]:
        """Return how long each request of *series* took, in microseconds, and how many were at once."""
        if series is None:
            return {}
        took = (1_000_000 * self.seconds,) * len(series.values)
        at_once = tuple(self.at_once if count else 0.0 for count in series.values)
        return {
            "ModelLatency": Series(series.start, series.step, took, series.values),
            "ConcurrentRequestsPerModel": Series(series.start, series.step, at_once),
        }

    def processor(self, traffic: Traffic, name: str, since: datetime, vcpus: int) -> Series:
        """Return its CPU, 0 to 100 for each vCPU. An idle server is never quite at rest: so it shows."""

        def percent(moment: datetime) -> float:
            at, most = self.spike or (0, 0)
            if self.spike and moment == whole(ago(days=at)):
                return 100 * vcpus * most
            load = 100 * vcpus * self.cpu * day_and_night(moment) if traffic.goes_on else 0.4
            return round(load + 1.2 * chance("cpu", name, moment), 3)

        return hourly(max(NOW - BILLED, since), percent)

    def rest(self, traffic: Traffic, since: datetime, gpus: int) -> Mapping[str, Series]:
        """Return its memory, 0 to 100 in all; its GPUs and their memory, 0 to 100 for each GPU."""
        wave = day_and_night if traffic.goes_on else lambda _: 0.0
        found = {"MemoryUtilization": measured(since, lambda _: 100 * self.memory)}
        if gpus:
            busy = measured(since, lambda moment: round(100 * gpus * self.gpu * wave(moment), 3))
            full = measured(since, lambda _: 100 * gpus * self.gpu_memory)
            found |= {"GPUUtilization": busy, "GPUMemoryUtilization": full}
        return found


def measured(since: datetime, value: Callable[[datetime], float]) -> Series:
    """Return a value for each hour of the time that everything has datapoints for."""
    return hourly(max(NOW - RECENT, since), value)


@dataclass(frozen=True, slots=True)
class Level:
    """
    A metric's value while *working*, and how far it *strays*: batches, evaluations, checkpoints.

    And its value while *waiting* for something that never comes, when hardly anything *trembles*.
    """

    working: float
    strays: float
    waiting: float
    trembles: float


def utilisation(
    level: Level, name: str, since: datetime, until: datetime, *, hung: datetime | None = None
) -> Series:
    """Return a value every five minutes for the instance of this *name*, which only waits since it *hung*."""
    step = timedelta(minutes=5)
    start = whole(since) + step * math.ceil((since - whole(since)) / step)

    def value(moment: datetime) -> float:
        wobble = 2 * chance(name, moment) - 1
        if hung is not None and moment > hung:
            return round(level.waiting + wobble * level.trembles, 3)
        wave = math.sin((moment - NOW) / timedelta(minutes=47) * 2 * math.pi)
        return round(max(0.0, level.working + level.strays * (0.6 * wave + 0.4 * wobble)), 3)

    return Series(start, step, tuple(value(moment) for moment in moments(start, step, until)))


def hourly(since: datetime, value: Callable[[datetime], float]) -> Series:
    """Return a value for each whole hour after *since*, until now."""
    start = whole(since) + HOUR
    return Series(start, HOUR, tuple(value(moment) for moment in moments(start, HOUR)))


def moments(start: datetime, step: timedelta, until: datetime = NOW) -> Iterator[datetime]:
    """List the moments from *start* until before *until*."""
    while start < until:
        yield start
        start += step


def whole(moment: datetime) -> datetime:
    """Return the beginning of that hour."""
    return moment.replace(minute=0, second=0, microsecond=0)
