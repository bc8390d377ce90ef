"""The terms of the domain: signals, targets, candidates, costs and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import wraps
from hashlib import sha256
from typing import Concatenate

# --- signals: read values, or the reason why there is none ----------------------------------------


@dataclass(frozen=True, slots=True)
class Value[T]:
    """A *value* that was read from the call *source*; it describes the time *at*."""

    value: T
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A signal that was read, and has no value. Never more than `likely` evidence."""

    source: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A signal that could not be read. Unknown is not idle: if it is required, the candidate is kept."""

    error: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class NotRead:
    """A signal that was not asked for, because cheaper signals had settled the question."""


type Signal[T] = Value[T] | Absent | Unreadable | NotRead


def map_signal[T, U](signal: Signal[T], then: Callable[[T], U]) -> Signal[U]:
    """Apply *then* to the value of *signal*; a signal without a value stays as it is."""
    return Value(then(signal.value), signal.source, signal.at) if isinstance(signal, Value) else signal


type Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal for a report: a scalar, or the error of reading it."""

    signal: str
    value: str | int | float | None = None
    error: str | None = None
    source: str = ""
    at: datetime | None = None


type Scalar = str | int | float


def as_evidence[T](
    name: str, signal: Signal[T], value: Scalar | Callable[[T], Scalar] | None = None
) -> Evidence:
    """Return *signal* as evidence under *name*; *value* formats the read value, or replaces it."""
    match signal:
        case Value(read, source, at):
            shown = value(read) if callable(value) else read if value is None else value
            scalar = shown if isinstance(shown, str | int | float) else str(shown)
            return Evidence(name, scalar, source=source, at=at)
        case Absent(source):
            return Evidence(name, "none" if value is None or callable(value) else value, source=source)
        case Unreadable(error, source):
            return Evidence(name, error=error, source=source)
        case NotRead():
            return Evidence(name, "not read: the question was settled without it")


# --- costs and savings ----------------------------------------------------------------------------

HOURS_PER_MONTH = 730
"""Hours in a month, as in AWS's own calculators."""


@dataclass(frozen=True, slots=True)
class Cost:
    """
    The cost of leaving a finding as it is, in US dollars at list price.

    A standing resource has *monthly_usd* (730 hours), which is the monthly saving of the change; a job
    has *accrued_usd*, its cost since it was first billed. *once_usd* is the one-time cost of the change;
    *exposure_usd* is the cost of a possible accident, which nothing saves. None means unknown, never
    zero; *source* names the source of the price, so that a report can admit a dated table. *until* is
    when the resource would end by itself. For a saving on several resources, *shares* are the parts of
    *monthly_usd* by the resource's ARN.
    """

    hourly_usd: Decimal | None = None
    monthly_usd: Decimal | None = None
    accrued_usd: Decimal | None = None
    source: str = ""
    until: datetime | None = None
    once_usd: Decimal | None = None
    exposure_usd: Decimal | None = None
    shares: Mapping[str, Decimal] = field(default_factory=dict, hash=False)

    @classmethod
    def standing(cls, hourly_usd: Decimal | None, source: str = "") -> Cost:
        """Return the cost of leaving a resource running for a month."""
        monthly = None if hourly_usd is None else hourly_usd * HOURS_PER_MONTH
        return cls(hourly_usd, monthly, None, source)

    @classmethod
    def accruing(
        cls, hourly_usd: Decimal | None, hours: float, source: str = "", until: datetime | None = None
    ) -> Cost:
        """Return the cost of a job that was billed for *hours* and runs on, *until* its own limit."""
        accrued = None if hourly_usd is None else hourly_usd * Decimal(str(hours))
        return cls(hourly_usd, None, accrued, source, until)

    @classmethod
    def saving(
        cls,
        monthly_usd: Decimal | None,
        source: str = "",
        *,
        once_usd: Decimal | None = None,
        shares: Mapping[str, Decimal] | None = None,
    ) -> Cost:
        """Return a change's net saving a month, and its one-time cost (*once_usd*)."""
        return cls(monthly_usd=monthly_usd, source=source, once_usd=once_usd, shares=shares or {})

    @classmethod
    def exposed(cls, usd: Decimal | None, source: str = "") -> Cost:
        """Return the cost of one possible accident: sums leave it out."""
        return cls(exposure_usd=usd, source=source)

    @property
    def known(self) -> bool:
        """Return whether any price is known."""
        return any(usd is not None for usd in (self.monthly_usd, self.accrued_usd, self.exposure_usd))

    @property
    def payback(self) -> timedelta | None:
        """Return the time until the saving has paid for the one-time cost; None if never."""
        if not self.once_usd or self.monthly_usd is None or self.monthly_usd <= 0:
            return None
        return timedelta(hours=float(self.once_usd / self.monthly_usd * HOURS_PER_MONTH))


# --- targets, candidates and verdicts -------------------------------------------------------------


class Confidence(StrEnum):
    """The confidence of a finding: a signal proves it, or only the absence of a signal suggests it."""

    PROVEN = "proven"
    LIKELY = "likely"


class Mode(StrEnum):
    """The permission of a detector in a deployment; an event can only make it safer."""

    DRY_RUN = "dry-run"
    ACT = "act"


class Effect(StrEnum):
    """The effect of acting on a resource; the most reversible first."""

    TAG = "tag"
    STOP = "stop"
    EXPIRE = "expire"
    TIER = "tier"
    DELETE = "delete"

    @property
    def removes_data(self) -> bool:
        """Return whether it ends stored data: it is limited per sweep, and waits for business days."""
        return self in {Effect.EXPIRE, Effect.TIER, Effect.DELETE}

    @property
    def stays(self) -> bool:
        """Return whether the resource itself goes on as before, so that an undo brings nothing back."""
        return self in {Effect.TAG, Effect.EXPIRE, Effect.TIER}

    @property
    def saves(self) -> bool:
        """Return whether the hours after it are saved: S3 moves later, and charges fees first."""
        return self not in {Effect.TAG, Effect.TIER}

    @property
    def rank(self) -> int:
        """Return its place among all effects: the lower, the easier to undo."""
        return list(Effect).index(self)


class Change(StrEnum):
    """
    The change that a finding asks for.

    The estimate of working hours and the week in a plan depend on it.
    """

    END = "end"
    DELETE_DATA = "delete-data"
    LIFECYCLE = "lifecycle"
    SPOT = "spot"
    RESIZE = "resize"
    REPLACE = "replace"
    COMMIT = "commit"
    LIMIT = "limit"
    TAG = "tag"

    @property
    def ends(self) -> bool:
        """Return whether the resource is gone after it, so that no other change is possible."""
        return self in {Change.END, Change.DELETE_DATA}


WORK_HOURS = {
    Change.END: 0.25,
    Change.DELETE_DATA: 0.5,
    Change.LIFECYCLE: 2,
    Change.SPOT: 4,
    Change.RESIZE: 2,
    Change.REPLACE: 8,
    Change.COMMIT: 3,
    Change.LIMIT: 0.5,
    Change.TAG: 0.1,
}
"""Rough estimates of working hours for each kind of change: they order advice, and divide it into weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    The resource of a candidate.

    Identity is ARN + creation time: a re-created resource with an old name starts from nothing. Among its
    *tags* are those that it inherits from the ARNs *tag_sources*, the nearest first.
    """

    arn: str
    name: str
    kind: str
    account: str
    region: str
    created: datetime | None
    tags: Signal[Tags] = field(default_factory=NotRead)
    tag_sources: tuple[str, ...] = field(default=(), compare=False)

    @property
    def key(self) -> str:
        """Return the identity as one string."""
        return f"{self.arn}@{self.created.isoformat() if self.created else 'unknown'}"


def finding_id(detector: str, key: str) -> str:
    """Return the short name of a finding, for people: ten digits that identify detector and resource."""
    return sha256(f"{detector} {key}".encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    One listed resource with its signals. Detectors add their own.

    *takes_along* are other resources that acting on it would end too, *belongs_to* are those that it
    is a part of. Keeping one of them keeps the candidate too.
    """

    target: Target
    takes_along: tuple[Target, ...] = ()
    belongs_to: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepNote:
    """
    An observation of a detector's reading that belongs to the sweep, with or without candidates.

    *text* is neither waste nor an error; a sweep lists each text once. *looked_through* counts the
    resources that were searched for candidates, where only some of them are candidates. *unidentified* counts
    entries of a listing that do not say which resource they are about.
    """

    text: str = ""
    looked_through: int = 0
    unidentified: int = 0


@dataclass(frozen=True, slots=True)
class ActionSchedule:
    """
    The scheduled time of an action, set by an operator: at *due*, if the owner was warned before
    *closing*, else after *next_closing*.
    """

    closing: datetime
    due: datetime
    next_closing: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A candidate judged wasteful.

    *action* is the proposed action, in words; *since* is when the waste began, if
    known; *cost* is None where the waste has no price of its own. *steps* are the rule's steps in
    their order; *grace* is how long a warning must stand, if it differs from
    the detector's; *spared* is the reason to only report the finding, where the rule knows
    it already: the janitor warns nobody of an action that will not happen. *noun* is the word for counted
    findings, if the detector's name does not say it; *lost* is what an undo of this finding does not bring
    back. *to_prove* is the missing proof of a likely finding. *missing_for_undo* is a setting without
    which only a person can undo the action. With a *schedule* the janitor acts at that time,
    proven or not.
    """

    reason: str
    confidence: Confidence
    _: KW_ONLY
    action: str
    evidence: tuple[Evidence, ...] = ()
    steps: tuple[str, ...] = ()
    cost: Cost | None = None
    since: datetime | None = None
    grace: timedelta | None = None
    spared: str | None = None
    noun: str | None = None
    lost: str | None = None
    to_prove: str = ""
    missing_for_undo: str = ""
    schedule: ActionSchedule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A candidate that is not waste, is exempt, or cannot be judged (*unknown*): always with a reason."""

    reason: str
    unknown: bool = False
    evidence: tuple[Evidence, ...] = ()
    steps: tuple[str, ...] = ()


type Verdict = Finding | Kept


def made_by[**P, S, T, R](
    make: Callable[P, T],
) -> Callable[[Callable[[S, T], R]], Callable[Concatenate[S, P], R]]:
    """Let a method take the arguments of *make* instead of what it makes."""

    def around(method: Callable[[S, T], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def making(self: S, /, *given: P.args, **named: P.kwargs) -> R:
            return method(self, make(*given, **named))

        return making

    return around


class Rule:
    """
    The steps of one judgement, in order.

    `decide` takes a step at a time and ends with `kept`, `unknown` or `found`; its steps
    and evidence go into the verdict, so that a report and `janitor explain` tell the same story.
    """

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._evidence: list[Evidence] = []

    def saw(self, *seen: Evidence) -> None:
        """Add signals that the verdict will carry as evidence."""
        self._evidence += seen

    def passed(self, step: str) -> None:
        """Add a step that did not keep the candidate."""
        self._steps.append(step)

    def kept(self, reason: str) -> Kept:
        """Return the verdict "not waste", with its reason."""
        return Kept(reason=reason, evidence=tuple(self._evidence), steps=(*self._steps, f"kept: {reason}"))

    def unknown(self, reason: str) -> Kept:
        """Return the verdict "cannot be judged", with its reason: unknown is not idle."""
        steps = (*self._steps, f"kept as unknown: {reason}")
        return Kept(reason=reason, unknown=True, evidence=tuple(self._evidence), steps=steps)

    @made_by(Finding)
    def found(self, finding: Finding) -> Finding:
        """Return the verdict "waste" with its fields as in `Finding`; evidence and steps are the rule's."""
        step = f"found, {finding.confidence}: {finding.reason}"
        return replace(finding, evidence=tuple(self._evidence), steps=(*self._steps, step))
