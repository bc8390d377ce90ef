"""Detectors that find what a test tells them to, and one with a tunable of every kind."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from logging import StreamHandler
from threading import Lock
from types import SimpleNamespace
from typing import Any, Never
from uuid import uuid4

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.model import (
    Candidate,
    Confidence,
    Cost,
    Effect,
    Finding,
    Kept,
    NotRead,
    Signal,
    SweepNote,
    Tags,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, make_cause
from ml_janitor.engine.detector import Cleanup, Detector, allow
from ml_janitor.ledger.actions import Action, Stage

CREATED = datetime(2026, 7, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Candidate):
    """A resource that knows how it will be judged; an exception is a rule that breaks on it."""

    verdict: Verdict | Exception


def target_at(
    path: str,
    created: datetime | None = CREATED,
    tags: Signal[Tags] | Mapping[str, str] | None = None,
    *,
    service: str = "sagemaker",
    region: str = "us-east-1",
    name: str = "",
) -> Target:
    """What has this *path* in its ARN, "KIND/NAME", with *tags*; none by default, and read."""
    return Target(
        arn=f"arn:aws:{service}:{region}:123456789012:{path}",
        name=name or path.rpartition("/")[2],
        kind=path.partition("/")[0],
        account="123456789012",
        region=region,
        created=created,
        tags=tags if isinstance(tags, Value | Unreadable | NotRead) else Value(dict(tags or {})),  # type: ignore[arg-type]
    )


def thing(
    name: str,
    verdict: Verdict | Exception,
    tags: Signal[Tags] | Mapping[str, str] | None = None,
    created: datetime | None = CREATED,
) -> Thing:
    """A thing with *tags*; none by default, and read."""
    return Thing(target=target_at(f"thing/{name}", created, tags), verdict=verdict)


def waste(monthly: str | None = "10", *, accrued: str | None = None) -> Finding:
    """A finding that costs so much a month, or has cost so much, or (None) an unknown price."""
    cost = Cost(
        monthly_usd=None if monthly is None or accrued is not None else Decimal(monthly),
        accrued_usd=None if accrued is None else Decimal(accrued),
    )
    return Finding(
        reason="nobody uses it", confidence=Confidence.PROVEN, action="remove it", evidence=(), cost=cost
    )


USED = Kept(reason="it is used")
UNTELLABLE = Kept(reason="its use could not be read", unknown=True)


@dataclass(frozen=True)
class Shelf(Detector[Thing]):
    """Finds the things on a shelf."""

    cleanup = Cleanup(
        effect=Effect.DELETE, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost="the thing's dust"
    )
    name = "shelf"
    schedule = "rate(1 hour)"
    kinds = ("thing",)
    reads = (allow("sagemaker:ListEndpoints"),)

    things: tuple[Thing, ...] = ()
    notes: tuple[SweepNote, ...] = ()
    breaks: Exception | None = None

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing | SweepNote]:  # noqa: ARG002
        yield from self.notes
        yield from self.things
        if self.breaks is not None:
            raise self.breaks

    def look(self, aws: Aws, target: Target, now: datetime) -> Thing | None:  # noqa: ARG002
        return next((thing for thing in self.things if thing.target.arn == target.arn), None)

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        if isinstance(candidate.verdict, Exception):
            raise candidate.verdict
        return candidate.verdict

    def prepare(self, *_: object) -> Never:
        """What no dry run may reach."""
        raise AssertionError("a dry run acted")

    act = is_done = revert = prepare  # type: ignore[assignment]


@dataclass(frozen=True)
class Cupboard(Shelf):
    """Finds the things in a cupboard."""

    name = "cupboard"


@dataclass(frozen=True)
class Tunable(Detector[Thing]):
    """Has a tunable of every kind."""

    name = "tunable-things"
    schedule = "rate(1 day)"
    kinds = ("thing",)
    reads = (allow("sagemaker:ListEndpoints"),)

    window: timedelta = timedelta(days=7)
    factor: int = 3
    share: float = 0.5
    deep: bool = False
    label: str = "plain"
    suffixes: tuple[str, ...] = (".bin",)
    patience: Mapping[str, timedelta] = field(default_factory=lambda: {"Canvas": timedelta(hours=4)})
    working_hours: WorkingHours = field(default_factory=WorkingHours)

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError("factor must be at least 1")

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing]:  # noqa: ARG002
        return iter(())

    def look(self, aws: Aws, target: Target, now: datetime) -> Thing | None:  # noqa: ARG002
        return None

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        return USED


class SleepingClock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self, now: float = 0.0) -> None:
        self.now, self.slept = now, list[float]()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def result_of(name: str, verdict: Verdict | None = None, detector: str = "shelf", **about: Any) -> Result:
    """The result of a thing that is judged so, waste by default: it waits if it is a finding."""
    seen = waste() if verdict is None else verdict
    outcome = Outcome.WAITING if isinstance(seen, Finding) else Outcome.KEPT
    given: dict[str, Any] = {"target": thing(name, seen).target, "outcome": outcome} | about
    return Result(detector=detector, verdict=seen, **given)


def action_of(detector: str = "shelf", **about: Any) -> Action:
    """An action on a lamp, which was done in the night of the tests."""
    given: dict[str, Any] = {"stage": Stage.ACTED, "target": target_at("thing/lamp"), "undo": {}}
    return replace(Action(sk="sk", detector=detector, warned=NOW, began=NOW, **given), **about)


IN_TURN: Any = SimpleNamespace(map=lambda do, over: [do(each) for each in over])
"""An account as far as the ledger uses it: its reads come one after the other."""

TRUST: dict[str, Any] = {
    "external_id": "ml-janitor-7f3a",
    "callers": ["arn:aws:iam::123456789012:role/platform"],
}
"""Who may take on the roles of an organization, in its settings."""


def refusal(
    code: str, message: str = "no", *, operation: str = "DeleteEndpoint", status: int = 400, retries: int = 0
) -> ClientError:
    """AWS's answer to a call that it refuses."""
    answer: Any = {"Error": {"Code": code, "Message": message}}
    answer["ResponseMetadata"] = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError(answer, operation)


class Answers:
    """A client of AWS that gives *answers* in turn, whatever is asked; *asked* are methods and requests."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked, self._lock = list(answers), list[tuple[str, dict[str, Any]]](), Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            with self._lock:
                self.asked.append((name, request))
                answer = self.answers.pop(0)
            answer = answer(request) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def raising(error: BaseException, *, at: str = "") -> Callable[..., Any]:
    """Return a call that raises *error*; one of a step does so only *at* that step."""

    def call(*given: object, **_: object) -> None:
        if not at or given == (at,):
            raise error

    return call


def logger_to(stream: StringIO | None = None) -> Logger:
    """Return a logger of its own, which writes into *stream*."""
    return Logger(service=f"test-{uuid4()}", logger_handler=StreamHandler(stream or StringIO()))


def because(text: str) -> Cause:
    """A cause that is shown as *text*."""
    return make_cause(CauseCode.NO_LONGER_WASTE, text)


def candidates[C: Candidate](detector: Detector[C], aws: Aws, now: datetime) -> list[C]:
    """Return what *detector* finds, without its notes."""
    return [found for found in detector.find(aws, now) if not isinstance(found, SweepNote)]
