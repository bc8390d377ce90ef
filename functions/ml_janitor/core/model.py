"""The words of the domain: signals, candidates, verdicts, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

from ml_janitor.core.cause import Cause, HeldBack, UnreachableUndos

HOURS_PER_MONTH = 730
"""What AWS's own calculators call a month."""


class Confidence(StrEnum):
    """How sure a finding is: a signal says so, or only the absence of one does."""

    PROVEN = "proven"
    LIKELY = "likely"


class Mode(StrEnum):
    """What a deployment allows a detector to do; an event can only make it safer."""

    DRY_RUN = "dry-run"
    ACT = "act"


class Effect(StrEnum):
    """What acting does to a resource; the most reversible first."""

    TAG = "tag"
    STOP = "stop"
    EXPIRE = "expire"
    TIER = "tier"
    DELETE = "delete"

    @property
    def removes_data(self) -> bool:
        """Whether it ends what is stored: too much of it at once is held, and it waits for business days."""
        return self in {Effect.EXPIRE, Effect.TIER, Effect.DELETE}

    @property
    def stays(self) -> bool:
        """Whether the resource itself goes on as before, so that an undo brings nothing back."""
        return self in {Effect.TAG, Effect.EXPIRE, Effect.TIER}

    @property
    def saves(self) -> bool:
        """Whether the hours after it are saved: S3 moves when it likes, and takes fees for it first."""
        return self not in {Effect.TAG, Effect.TIER}

    @property
    def rank(self) -> int:
        """Its place among all: the lower, the easier to take back."""
        return list(Effect).index(self)


class Change(StrEnum):
    """
    What a finding asks somebody to change.

    How long that takes, and in which week of a plan it is done, is guessed by it.
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
        """Whether nothing is left of the resource to change in another way."""
        return self in {Change.END, Change.DELETE_DATA}


class Outcome(StrEnum):
    """What became of a judged candidate. The words speak of the past."""

    WOULD_ACT = "would-act"
    ADVISED = "advised"
    WARNED = "warned"
    WAITING = "waiting"
    KEPT = "kept"
    ACTED = "acted"
    FAILED = "failed"
    CHANGED = "changed"


# --- signals: what was read -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value[T]:
    """Something was read: *value*, from the call *source*, speaking of the time *at*."""

    value: T
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """It was read, and there is none. Never more than `likely` evidence."""

    source: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It could not be read. Unknown is not idle: a required signal like this keeps the candidate."""

    error: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class NotRead:
    """It was not asked for, because cheaper signals had settled the question already."""


type Signal[T] = Value[T] | Absent | Unreadable | NotRead

type Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal as a report shows it: a scalar, or the error that kept it from being read."""

    signal: str
    value: str | int | float | None = None
    error: str | None = None
    source: str = ""
    at: datetime | None = None


def evidence[T](name: str, signal: Signal[T], value: str | int | float | None = None) -> Evidence:
    """*signal* under *name* for a report; *value* replaces how a read value is shown."""
    match signal:
        case Value(read, source, at):
            shown = value if value is not None else read
            scalar = shown if isinstance(shown, str | int | float) else str(shown)
            return Evidence(name, scalar, source=source, at=at)
        case Absent(source):
            return Evidence(name, "none" if value is None else value, source=source)
        case Unreadable(error, source):
            return Evidence(name, error=error, source=source)
        case NotRead():
            return Evidence(name, "not read: the question was settled without it")


# --- candidates and verdicts ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    Which resource a candidate is.

    Identity is ARN + creation time: a re-created resource with an old name starts from nothing.
    """

    arn: str
    name: str
    kind: str
    account: str
    region: str
    created: datetime | None
    tags: Signal[Tags] = field(default_factory=NotRead)

    @property
    def key(self) -> str:
        """The identity as one string."""
        return f"{self.arn}@{self.created.isoformat() if self.created else 'unknown'}"


def finding_id(detector: str, key: str) -> str:
    """The short name of a finding, for people: ten digits of what it is about."""
    return sha256(f"{detector} {key}".encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    One listed resource with the signals that were read for it. Detectors add their own.

    *takes_along* are other resources that acting on it would end too, *belongs_to* are those that it
    is a part of. Whoever keeps one of them keeps it too. *notices* are what its reading came across that is
    neither waste nor an error; a sweep lists each once.
    """

    target: Target
    takes_along: tuple[Target, ...] = ()
    belongs_to: tuple[Target, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """
    What leaving a finding as it is costs, in US dollars at list price.

    A standing resource has *monthly_usd* (730 hours), which is what the change saves a month; a job has
    *accrued_usd*, what it has cost since it was first billed. *once_usd* is what the change itself costs,
    once; *exposure_usd* what happens to be spent if something goes wrong, which nothing saves. None means
    unknown, never nothing; *source* says where the price came from, so that a report can admit a dated
    table. *until* is when it would end by itself. Of a saving on several resources, *shares* are the
    parts of *monthly_usd* by the ARN of the resource that they come from.
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
        """The cost of leaving something running for a month."""
        monthly = None if hourly_usd is None else hourly_usd * HOURS_PER_MONTH
        return cls(hourly_usd, monthly, None, source)

    @classmethod
    def accruing(
        cls, hourly_usd: Decimal | None, hours: float, source: str = "", until: datetime | None = None
    ) -> Cost:
        """The cost of a job that has been billed for *hours* and goes on, *until* its own limit."""
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
        """What a change saves a month, net of what it goes on costing, and what making it costs *once*."""
        return cls(monthly_usd=monthly_usd, source=source, once_usd=once_usd, shares=shares or {})

    @classmethod
    def exposed(cls, usd: Decimal | None, source: str = "") -> Cost:
        """What one accident would cost: no saving, and part of no sum."""
        return cls(exposure_usd=usd, source=source)

    @property
    def known(self) -> bool:
        """Whether any price was found."""
        return any(usd is not None for usd in (self.monthly_usd, self.accrued_usd, self.exposure_usd))

    @property
    def payback(self) -> timedelta | None:
        """How long the saving takes to return what the change costs once; None if it never does."""
        if not self.once_usd or not self.monthly_usd or self.monthly_usd < 0:
            return None
        return timedelta(hours=float(self.once_usd / self.monthly_usd * HOURS_PER_MONTH))


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    When a finding is acted on by the clock, as an operator set it: at *due*, if it was warned about before
    *closing*, and else after *next_closing*.
    """

    closing: datetime
    due: datetime
    next_closing: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    A candidate judged wasteful.

    *action* is what would be done, in words; *since* is how long it has been waste, if that can be
    known; *cost* is None where the waste has no price of its own. *steps* are the rule's steps in
    the order they were taken; *grace* is how long a warning must stand, where this finding needs
    another time than its detector's; *spared* is why nothing would be done about it, where the rule knows
    that already: nobody is warned of what will not happen. *noun* is what it is called where findings are
    counted, if its detector's name does not say it; *lost* is what an undo of just this one does not bring
    back. *to_prove* is what would make a likely finding proven. *missing_for_undo* is the setting without
    which only a person can undo it. With a *schedule* it is acted on by the
    clock, proven or not.
    """

    reason: str
    confidence: Confidence
    action: str
    evidence: tuple[Evidence, ...]
    steps: tuple[str, ...] = ()
    cost: Cost | None = None
    since: datetime | None = None
    grace: timedelta | None = None
    spared: str | None = None
    noun: str | None = None
    lost: str | None = None
    to_prove: str = ""
    missing_for_undo: str = ""
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A candidate that is not waste, is exempt, or cannot be judged (*unknown*): always with a reason."""

    reason: str
    unknown: bool = False
    evidence: tuple[Evidence, ...] = ()
    steps: tuple[str, ...] = ()


type Verdict = Finding | Kept


class Rule:
    """
    The steps of one judgement, in order.

    `decide` takes a step at a time and ends with `kept`, `unknown` or `found`; what was looked at
    on the way travels with the verdict, so that a report and `janitor explain` need no second story.
    """

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._evidence: list[Evidence] = []

    def saw(self, *seen: Evidence) -> None:
        """Signals that the verdict will carry as evidence."""
        self._evidence += seen

    def passed(self, step: str) -> None:
        """A step that did not keep the candidate."""
        self._steps.append(step)

    def kept(self, reason: str) -> Kept:
        """Not waste, and why."""
        return Kept(reason=reason, evidence=tuple(self._evidence), steps=(*self._steps, f"kept: {reason}"))

    def unknown(self, reason: str) -> Kept:
        """Cannot be judged, and why: unknown is not idle."""
        steps = (*self._steps, f"kept as unknown: {reason}")
        return Kept(reason=reason, unknown=True, evidence=tuple(self._evidence), steps=steps)

    def found(
        self,
        reason: str,
        confidence: Confidence,
        *,
        action: str,
        cost: Cost | None = None,
        since: datetime | None = None,
        grace: timedelta | None = None,
        spared: str | None = None,
        noun: str | None = None,
        lost: str | None = None,
        to_prove: str = "",
        missing_for_undo: str = "",
        schedule: Schedule | None = None,
    ) -> Finding:
        """Waste, and why."""
        return Finding(
            reason=reason,
            confidence=confidence,
            action=action,
            evidence=tuple(self._evidence),
            steps=(*self._steps, f"found, {confidence}: {reason}"),
            cost=cost,
            since=since,
            grace=grace,
            spared=spared,
            noun=noun,
            lost=lost,
            to_prove=to_prove,
            missing_for_undo=missing_for_undo,
            schedule=schedule,
        )


# --- what a run leaves behind -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """
    The finding of *detector* about *arn* that is counted instead of another, which names the same resource.

    *monthly_usd* and *accrued_usd* are what is counted of the other one all the same.
    """

    detector: str
    arn: str
    name: str
    monthly_usd: Decimal
    accrued_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    A judged candidate with its outcome.

    *cause* is why the outcome is what it is: why it waits, what failed. *due* is when a warned finding may
    be acted on. *parts* are the ARNs of what its change would take along, *wholes* of what it is a part of.
    *overlap* is what is counted instead, if another finding names the resource too; *hours* is how long the
    change takes somebody, as a guess.
    """

    detector: str
    target: Target
    verdict: Verdict
    outcome: Outcome
    change: Change = Change.END
    parts: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    overlap: Overlap | None = None
    hours: float = 1.0
    owner: str | None = None
    due: datetime | None = None
    cause: Cause | None = None

    @property
    def cost(self) -> Cost | None:
        """What it costs; None if it is no finding, or has no price of its own."""
        return self.verdict.cost if isinstance(self.verdict, Finding) else None

    @property
    def counted(self) -> Cost | None:
        """What of its cost is part of a sum."""
        if self.cost is None or self.overlap is None:
            return self.cost
        left = self.overlap
        return Cost(
            hourly_usd=self.cost.hourly_usd if left.accrued_usd else None,
            monthly_usd=left.monthly_usd if self.accrued_usd is None else None,
            accrued_usd=None if self.accrued_usd is None else left.accrued_usd,
            source=self.cost.source,
            once_usd=self.cost.once_usd if left.monthly_usd or left.accrued_usd else None,
        )

    @property
    def usd_per_hour(self) -> Decimal | None:
        """What an hour of work on it saves a month: what counts of it; of a job, what it goes on costing."""
        if (cost := self.counted) is None:
            return None
        monthly = cost.monthly_usd
        if monthly is None and cost.hourly_usd is not None:
            monthly = cost.hourly_usd * HOURS_PER_MONTH
        return None if monthly is None else monthly / Decimal(str(self.hours))

    @property
    def monthly_usd(self) -> Decimal | None:
        """Dollars a month, where that applies and is known."""
        return self.cost.monthly_usd if self.cost else None

    @property
    def accrued_usd(self) -> Decimal | None:
        """Dollars spent so far, where that applies and is known."""
        return self.cost.accrued_usd if self.cost else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """
    One detector over one account and region.

    *error* says why the sweep is not complete; what was read is in *results* all the same.
    *account* is None if nobody could say which one it is. *notices* are what the reading came across
    besides; they concern no single result. *held_back* says which limits held what back;
    *unreachable* are the undos of a disarmed detector that no deployed function may do any more.
    """

    detector: str
    account: str | None
    region: str
    mode: Mode
    results: tuple[Result, ...] = ()
    error: str | None = None
    notices: tuple[str, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    unreachable: UnreachableUndos | None = None

    @property
    def findings(self) -> tuple[Result, ...]:
        """The results judged wasteful."""
        return tuple(r for r in self.results if isinstance(r.verdict, Finding))

    @property
    def looked_at(self) -> int:
        """How many candidates were judged; found + kept."""
        return len(self.results)

    @property
    def found(self) -> int:
        """How many were judged wasteful."""
        return len(self.findings)

    @property
    def kept(self) -> int:
        """How many were not, the unknown ones among them."""
        return self.looked_at - self.found

    @property
    def unknown(self) -> int:
        """How many could not be judged."""
        return sum(isinstance(r.verdict, Kept) and r.verdict.unknown for r in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All sweeps of one run, as of *time*; *account* is None if nobody could say which one it is."""

    time: datetime
    account: str | None
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        """Every result, sweep by sweep."""
        return tuple(result for sweep in self.sweeps for result in sweep.results)

    @property
    def findings(self) -> tuple[Result, ...]:
        """Every finding, sweep by sweep."""
        return tuple(result for sweep in self.sweeps for result in sweep.findings)
