"""The words of the domain: what is judged, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import TypedDict, Unpack

from ml_janitor.core.cost import Cost
from ml_janitor.core.signals import Evidence, NotRead, Signal, Tags


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


class Details(TypedDict, total=False):
    """What a rule may say of a finding besides, as in `Finding`."""

    cost: Cost | None
    since: datetime | None
    grace: timedelta | None
    spared: str | None
    noun: str | None
    lost: str | None
    to_prove: str
    missing_for_undo: str
    schedule: Schedule | None


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
        self, reason: str, confidence: Confidence, *, action: str, **details: Unpack[Details]
    ) -> Finding:
        """Waste, and why."""
        return Finding(
            reason=reason,
            confidence=confidence,
            action=action,
            evidence=tuple(self._evidence),
            steps=(*self._steps, f"found, {confidence}: {reason}"),
            **details,
        )
