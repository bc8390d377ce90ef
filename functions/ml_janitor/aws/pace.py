"""Keeps calls within half the rates that AWS allows an account, and slows down where AWS throttles them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

RATES: Final[Mapping[str, float]] = {
    "GetLogEvents": 10,
    "GetQueryExecution": 2,
    "ListHyperParameterTuningJobs": 2,
    "ListProcessingJobs": 2,
    "ListTrainingJobs": 2,
    "ListTrainingJobsForHyperParameterTuningJob": 2,
    "ListTransformJobs": 2,
    "LookupEvents": 2,
}
"""
Requests per second that an account is allowed in a region, for all that runs in it.

LookupEvents by its API reference. GetLogEvents by CloudWatch Logs' quotas, 10 in most regions and not to be
changed, as https://github.com/ASFHyP3/hyp3/pull/519 quotes them. ListTrainingJobs as reported in
https://github.com/aws-solutions/deepracer-on-aws/issues/87 and https://github.com/apache/airflow/issues/16299:
AWS does not raise it. For the other listings of jobs no rate is published, and the same is assumed.
GetQueryExecution asks whether a query has ended: Athena allows more, and nothing is won by it.
"""

SHARE = 0.5
"""Of each rate, for all functions of the janitor together: the other half is the account's own pipelines'."""

FIRST, MOST = 0.25, 8.0
"""Seconds between two calls of an operation that AWS throttled once, and at most."""

RECOVERS = 0.97
"""By which the seconds between two calls shrink with each call that AWS answers."""

NEGLIGIBLE = 0.01
"""Seconds that are not worth waiting for."""

THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Error codes with which AWS asks to be called less often."""


@dataclass(slots=True)
class Lane:
    """One operation in one region: seconds between two calls, and from when on the next may be made."""

    least: float = 0.0
    interval: float = 0.0
    free: float = 0.0
    slowed: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The pace of all calls of one run, whichever thread makes them.

    *clock* tells seconds and *sleep* spends them; both come from the edge. *sharers* is how many functions
    make the calls of an operation: they do not know of each other, so each keeps to its part.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    sharers: Mapping[str, int] = field(default_factory=dict)
    _lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, region: str, operation: str, going: Callable[[], bool] = lambda: True) -> None:
        """Wait until *operation* may be called in *region*, or until *going* says no."""
        with self._lock:
            lane = self._lane(region, operation)
            turn = max(self.clock(), lane.free)
            lane.free = turn + lane.interval
        while (left := turn - self.clock()) > 0 and going():
            self.sleep(min(left, 1))

    def answered(self, region: str, operation: str, *, throttled: bool) -> None:
        """
        Learn from an answer.

        Calls of other threads that were on their way meanwhile are throttled for the same reason, and slow
        nothing down again.
        """
        with self._lock:
            lane = self._lane(region, operation)
            if not throttled:
                shrunk = lane.interval * RECOVERS
                lane.interval = shrunk if shrunk > max(lane.least, NEGLIGIBLE) else lane.least
            elif self.clock() >= lane.slowed + lane.interval:
                lane.interval = min(MOST, max(FIRST, 2 * lane.interval))
                lane.slowed = self.clock()
                lane.free = max(lane.free, lane.slowed + lane.interval)

    def _lane(self, region: str, operation: str) -> Lane:
        key = (region, operation)
        if key not in self._lanes:
            rate = RATES.get(operation)
            least = max(1, self.sharers.get(operation, 1)) / (rate * SHARE) if rate else 0.0
            self._lanes[key] = Lane(least=least, interval=least)
        return self._lanes[key]
