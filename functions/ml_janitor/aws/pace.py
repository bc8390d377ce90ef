"""
Keep calls within half the rates that AWS allows an account, and slow down where AWS throttles them.

AWS receives identical requests of a run's detectors once, so that an audit stays within the rates.
"""

from __future__ import annotations

import math
import pickle
import threading
import zlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.hooks import BaseEventHooks
    from botocore.model import OperationModel

AWS_RATES: Final[Mapping[str, float]] = {
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
Requests per second that AWS allows an account in a region, for all its callers.

LookupEvents and DescribeLogStreams by their API references. GetMetricData by "CloudWatch GetMetricData
API" in AWS's knowledge center; newer copies of "CloudWatch service quotas" say 500. ListMetrics by
"CloudWatch service quotas". GetLogEvents and DescribeLogGroups by "CloudWatch Logs quotas": 10 is the
least of any region. GetResources by "Service quotas" of the Tag Editor user guide. ListTrainingJobs as
reported in https://github.com/aws-solutions/deepracer-on-aws/issues/87 and
https://github.com/apache/airflow/issues/16299: AWS does not raise it. AWS publishes no rate for the other
listings of jobs; they are assumed equal.

AWS publishes no usable rate for the rest of SageMaker, nor for Cost Explorer, prices, ECR, EMR and
Savings Plans: `UNKNOWN_RATE` applies.
"""

JANITOR_SHARE = 0.5
"""The janitor's share of each rate, for all its functions: the rest is for the account's pipelines."""

UNKNOWN_RATE = 5.0
"""Requests per second of an operation without a published rate, for all functions together, at first."""

FASTEST_UNKNOWN_RATE = 20.0
"""
Requests per second that such an operation may reach.

A function that alone calls it gets one request a second more in each second with answers. A throttled call
halves the rate, which then rests for a while.
"""

FIRST_REST = 60.0
"""Seconds for which a halved rate does not rise, at first: each throttled call doubles them."""

UNPACED_ACTIONS = ("s3:",)
"""
Actions that wait only after AWS throttled them.

S3 has no rate per account: each prefix of a bucket answers at least 3,500 writes and 5,500 reads per second
("Best practices design patterns: optimizing Amazon S3 performance"), and listing a million keys at
`UNKNOWN_RATE` would take more than three minutes instead of seconds.
"""

FIRST_DELAY, MOST_DELAY = 0.25, 8.0
"""Seconds between two calls of a throttled operation: at first, and at most."""

RECOVERY_FACTOR = 0.97
"""The factor by which each answered call shrinks the seconds between two calls."""

NEGLIGIBLE_WAIT = 0.01
"""Seconds that are not worth waiting for."""

TURN_PRECISION = 1e-6
"""The precision of a turn that is computed from seconds since 1970."""

THROTTLING_CODES = frozenset(
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
"""Error codes with which AWS asks for fewer calls."""


def allowed_rate(action: str) -> float:
    """Return the calls of *action* ("service:Operation") per second in one region, for the whole janitor."""
    if action.startswith(UNPACED_ACTIONS):
        return math.inf
    rate = AWS_RATES.get(action)
    return UNKNOWN_RATE if rate is None else rate * JANITOR_SHARE


@dataclass(frozen=True, slots=True)
class RateSlot:
    """One of *of* equal slots of a rate limit, the one at *place*."""

    place: int = 0
    of: int = 1


EVERY_SLOT = RateSlot()
"""The share of a caller that is alone: every slot."""


@dataclass(slots=True)
class PaceLane:
    """
    One operation in one region: the seconds between two calls, and the time of the next call.

    If it *rises*, the rate changes with the answers: next at *raised*, and after a throttled call later by
    *rest*.
    """

    least: float = 0.0
    offset: float | None = None
    interval: float = 0.0
    free: float = 0.0
    slowed: float = float("-inf")
    rises: bool = False
    slowdowns: int = 0
    raised: float = float("-inf")
    rest: float = FIRST_REST

    def rise(self, now: float) -> None:
        """Raise the rate by one call a second, if its last change was long enough ago."""
        if now >= self.raised:
            self.least = self.interval = 1 / min(FASTEST_UNKNOWN_RATE, 1 / self.least + 1)
            self.raised = now + 1

    def slow(self, now: float) -> None:
        """Slow down, once for all calls under way; those that wait for their turn get another."""
        if self.rises:
            self.least = self.interval = min(MOST_DELAY, 2 * self.least)
            self.raised, self.rest = now + self.rest, 2 * self.rest
        else:
            self.interval = max(self.least, min(MOST_DELAY, max(FIRST_DELAY, 2 * self.interval)))
        self.slowed, self.free = now, now + self.interval
        self.slowdowns += 1

    def turn(self, now: float) -> float:
        """
        Return when the next call may be made: at once, or at the next of its own turns.

        The turns of an operation are the same for all functions, by the seconds since 1970, so that functions
        that begin together do not call together.
        """
        earliest = max(now, self.free)
        if self.offset is None:
            return earliest
        return self.offset + math.ceil((earliest - self.offset) / self.least - TURN_PRECISION) * self.least


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The pace of all calls of one run, from all threads.

    *clock* returns the seconds since 1970 and *sleep* waits; both come from the edge. *shares* are the
    slots of this function by operation, where other functions call it too: they cannot see each other, so
    each function keeps to its own slots.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    shares: Mapping[str, RateSlot] = field(default_factory=dict)
    _lanes: dict[tuple[str, str], PaceLane] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, region: str, action: str, going: Callable[[], bool] = lambda: True) -> None:
        """Wait until *action* ("service:Operation") may be called in *region*, or until *going* is false."""
        slowdowns = None
        while True:
            with self._lock:
                lane = self._lane(region, action)
                if slowdowns == lane.slowdowns:
                    return
                turn, slowdowns = lane.turn(self.clock()), lane.slowdowns
                lane.free = turn + lane.interval
            while (left := turn - self.clock()) > 0:
                if not going():
                    return
                self.sleep(min(left, 1))

    def answered(self, region: str, action: str, *, throttled: bool) -> None:
        """
        Adapt the lane to an answer.

        Concurrent calls of other threads are throttled for the same reason, and do not
        slow the lane down again.
        """
        with self._lock:
            lane, now = self._lane(region, action), self.clock()
            if throttled:
                if now >= lane.slowed + lane.interval:
                    lane.slow(now)
            elif lane.rises:
                lane.rise(now)
            else:
                shrunk = lane.interval * RECOVERY_FACTOR
                lane.interval = shrunk if shrunk > max(lane.least, NEGLIGIBLE_WAIT) else lane.least

    def _lane(self, region: str, action: str) -> PaceLane:
        key = (region, action)
        if key not in self._lanes:
            share, step = self.shares.get(action, EVERY_SLOT), 1 / allowed_rate(action)
            least = share.of * step
            offset = share.place * step if share.of > 1 and step else None
            rises = share.of == 1 and action not in AWS_RATES and step > 0
            raised = self.clock() + 1
            self._lanes[key] = PaceLane(
                least=least, offset=offset, interval=least, rises=rises, raised=raised
            )
        return self._lanes[key]


# --- shared answers -------------------------------------------------------------------------------

GLOBAL_SERVICES: Final = frozenset({"ce"})
"""Services with account-wide answers: Cost Explorer charges a cent, and all regions ask the same."""

SHARED_SERVICES: Final = GLOBAL_SERVICES | {"cloudtrail", "resourcegroupstaggingapi", "sagemaker"}
"""The services of which detectors ask the same. Requests to other services differ."""

REUSED_MARK: Final = "MlJanitorReused"
"""The mark in the metadata of an answer to somebody else's request."""

ANSWER_KEY: Final = "ml_janitor_shared_answer"
"""The key in a request's context under which its answer is kept."""

ANSWER_PAUSE: Final = 1.0
"""Seconds between two looks at the time left, while waiting for another request's answer."""


@dataclass(slots=True)
class PendingRequest:
    """A request in flight (*asked*), and its answer once it is *done*; *kept* is None after a failure."""

    asked: Hashable
    done: threading.Event = field(default_factory=threading.Event)
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """
    The answers of one run over one account, by request.

    By default, a run that only reads shares the answers of all `SHARED_SERVICES`. A run that may act shares
    only those of `GLOBAL_SERVICES`, and reads anew before it acts. Answers live no longer than the run: the
    janitor never judges by an earlier run's bill.

    A request that is already in flight waits for that answer. A failure is not shared: the next request
    is sent. Answers are kept compressed, because one run may read hundreds of megabytes of them. Readings
    of several requests are kept as they are.
    """

    services: frozenset[str] = SHARED_SERVICES
    _readings: dict[Hashable, Any] = field(default_factory=dict)
    _turns: dict[Hashable, threading.Lock] = field(default_factory=dict)
    _answers: dict[Hashable, PendingRequest | bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def once[T](self, key: Hashable, read: Callable[[], T]) -> T:
        """Return the answer of *read*, called once for each *key*; a listing with an error is read again."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            if key in self._readings:
                known: T = self._readings[key]
                return known
            answer = read()
            if getattr(answer, "error", None) is None:
                self._readings[key] = answer
            return answer

    def register(self, events: BaseEventHooks, region: str, has_time: Callable[[], bool]) -> None:
        """Answer the calls of a client for *region*, with its *events*; wait only while there is time."""

        def answer(
            model: OperationModel, params: Mapping[str, Any], context: dict[str, Any], **_: object
        ) -> Any:
            asked = (model.service_model.service_name, region, model.name, *_request(params))
            return self._known(asked, context, has_time)

        events.register_last("before-call", answer)
        events.register_first("after-call", self._keep)
        events.register_first("after-call-error", self._give_up)

    def _known(
        self, asked: Hashable, context: dict[str, Any], has_time: Callable[[], bool]
    ) -> tuple[ReusedResponse, Any] | None:
        """Return the answer to the request *asked*; None if this request must be sent."""
        while True:
            with self._lock:
                if (found := self._answers.get(asked)) is None:
                    self._answers[asked] = context[ANSWER_KEY] = PendingRequest(asked)
                    return None
            if isinstance(found, PendingRequest):
                while not found.done.wait(ANSWER_PAUSE) and has_time():
                    pass
                if not found.done.is_set():
                    return None
            if (kept := found.kept if isinstance(found, PendingRequest) else found) is not None:
                answer = pickle.loads(zlib.decompress(kept))  # noqa: S301 - made below
                answer["ResponseMetadata"] = {**answer.get("ResponseMetadata", {}), REUSED_MARK: True}
                return ReusedResponse(), answer

    def _keep(
        self, http_response: Any, parsed: Mapping[str, Any], context: dict[str, Any], **_: object
    ) -> None:
        if (own := context.pop(ANSWER_KEY, None)) is None:
            return
        if http_response.status_code == HTTPStatus.OK:
            own.kept = zlib.compress(pickle.dumps(parsed), 1)
        self._end(own)

    def _give_up(self, context: dict[str, Any], **_: object) -> None:
        if (own := context.pop(ANSWER_KEY, None)) is not None:
            self._end(own)

    def _end(self, own: PendingRequest) -> None:
        with self._lock:
            if own.kept is None:
                self._answers.pop(own.asked, None)
            else:
                self._answers[own.asked] = own.kept
        own.done.set()


def is_reused(answer: Mapping[str, Any]) -> bool:
    """Return whether *answer* belongs to an earlier request, so that AWS received no new one."""
    return REUSED_MARK in answer.get("ResponseMetadata", {})


@dataclass(frozen=True, slots=True)
class ReusedResponse:
    """The response of a request that was not sent."""

    status_code: int = HTTPStatus.OK


def _request(params: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return the parts that tell requests apart; the body of each of these services is JSON, as text."""
    return params["url_path"], str(params["query_string"]), params["body"]
