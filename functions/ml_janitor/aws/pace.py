"""Keeps calls within half the rates that AWS allows an account, and slows down where AWS throttles them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

RATES: Final[Mapping[str, float]] = {
    "cloudtrail:LookupEvents": 2,
    "cloudwatch:GetMetricData": 50,
    "cloudwatch:ListMetrics": 25,
    "logs:DescribeLogGroups": 10,
    "logs:DescribeLogStreams": 25,
    "logs:GetLogEvents": 10,
    "sagemaker:ListHyperParameterTuningJobs": 2,
    "sagemaker:ListProcessingJobs": 2,
    "sagemaker:ListTrainingJobs": 2,
    "sagemaker:ListTrainingJobsForHyperParameterTuningJob": 2,
    "sagemaker:ListTransformJobs": 2,
    "tag:GetResources": 15,
}
"""
Requests per second that an account is allowed in a region, for all that runs in it.

LookupEvents and DescribeLogStreams by their API references. GetMetricData by "CloudWatch GetMetricData API"
in AWS's knowledge center; newer copies of "CloudWatch service quotas" say 500. ListMetrics by "CloudWatch
service quotas". GetLogEvents and DescribeLogGroups by "CloudWatch Logs quotas": 10 is the least of any
region. GetResources by "Service quotas" of the Tag Editor user guide. ListTrainingJobs as reported in
https://github.com/aws-solutions/deepracer-on-aws/issues/87 and https://github.com/apache/airflow/issues/16299:
AWS does not raise it. For the other listings of jobs no rate is published, and the same is assumed.

For everything else of SageMaker, and for Cost Explorer, prices, ECR, EMR and Savings Plans, AWS publishes
no rate of requests that could be kept to: that is `UNKNOWN`.
"""

SHARE = 0.5
"""Of each rate, for all functions of the janitor together: the other half is the account's own pipelines'."""

UNKNOWN = 5.0
"""Requests per second of an operation whose rate nobody publishes, for all functions together."""

UNPACED = ("s3:",)
"""
What waits only once it was throttled.

S3 has no rate of an account: each prefix of a bucket answers at least 3,500 writes and 5,500 reads per second
("Best practices design patterns: optimizing Amazon S3 performance"), and listing a million keys at
`UNKNOWN` would take more than three minutes for what S3 answers in seconds.
"""

FIRST, MOST = 0.25, 8.0
"""Seconds between two calls of an operation that AWS throttled once, and at most."""

RECOVERS = 0.97
"""By which the seconds between two calls shrink with each call that AWS answers."""

NEGLIGIBLE = 0.01
"""Seconds that are not worth waiting for."""

EXACT = 1e-6
"""Parts of a turn that seconds since 1970 are not exact to."""

THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Error codes with which AWS asks to be called less often."""


def allowed(action: str) -> float:
    """Calls of *action* ("service:Operation") per second in one region, for all of the janitor."""
    if action.startswith(UNPACED):
        return math.inf
    rate = RATES.get(action)
    return UNKNOWN if rate is None else rate * SHARE


@dataclass(frozen=True, slots=True)
class Share:
    """Every *of*-th turn of an operation, from the turn *place* on."""

    place: int = 0
    of: int = 1


WHOLE = Share()
"""Every turn: of who calls alone."""


@dataclass(slots=True)
class Lane:
    """One operation in one region: seconds between two calls, and from when on the next may be made."""

    least: float = 0.0
    offset: float | None = None
    interval: float = 0.0
    free: float = 0.0
    slowed: float = float("-inf")

    def turn(self, now: float) -> float:
        """
        When the next call may be made: at once, or at the next of its own turns.

        The turns of an operation are the same for all functions, by the seconds since 1970, so that functions
        which begin together do not call together.
        """
        earliest = max(now, self.free)
        if self.offset is None:
            return earliest
        return self.offset + math.ceil((earliest - self.offset) / self.least - EXACT) * self.least


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The pace of all calls of one run, whichever thread makes them.

    *clock* tells the seconds since 1970 and *sleep* spends them; both come from the edge. *shares* are the
    turns of this function by operation, where others call it too: they do not know of each other, so each
    keeps to its own.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    shares: Mapping[str, Share] = field(default_factory=dict)
    _lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, region: str, action: str, going: Callable[[], bool] = lambda: True) -> None:
        """Wait until *action* ("service:Operation") may be called in *region*, or until *going* says no."""
        with self._lock:
            lane = self._lane(region, action)
            turn = lane.turn(self.clock())
            lane.free = turn + lane.interval
        while (left := turn - self.clock()) > 0 and going():
            self.sleep(min(left, 1))

    def answered(self, region: str, action: str, *, throttled: bool) -> None:
        """
        Learn from an answer.

        Calls of other threads that were on their way meanwhile are throttled for the same reason, and slow
        nothing down again.
        """
        with self._lock:
            lane = self._lane(region, action)
            if not throttled:
                shrunk = lane.interval * RECOVERS
                lane.interval = shrunk if shrunk > max(lane.least, NEGLIGIBLE) else lane.least
            elif self.clock() >= lane.slowed + lane.interval:
                lane.interval = max(lane.least, min(MOST, max(FIRST, 2 * lane.interval)))
                lane.slowed = self.clock()
                lane.free = max(lane.free, lane.slowed + lane.interval)

    def _lane(self, region: str, action: str) -> Lane:
        key = (region, action)
        if key not in self._lanes:
            share, step = self.shares.get(action, WHOLE), 1 / allowed(action)
            least = share.of * step
            offset = share.place * step if share.of > 1 and step else None
            self._lanes[key] = Lane(least=least, offset=offset, interval=least)
        return self._lanes[key]
