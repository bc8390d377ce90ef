"""The terms of the domain: targets, candidates, and verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import TypedDict, Unpack

from ml_janitor.core.cost import Cost
from ml_janitor.core.signals import Evidence, NotRead, Signal, Tags


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    The resource of a candidate.

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
    is a part of. Keeping one of them keeps the candidate too. *notices* are observations that are
    neither waste nor an error; a sweep lists each once.
    """

    target: Target
    takes_along: tuple[Target, ...] = ()
    belongs_to: tuple[Target, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionSchedule:
    """
    The scheduled time of an action, set by an operator: at *due*, if the owner was warned before
    *closing*, else after *next_closing*.
    """

    closing: datetime
    due: datetime
    next_closing: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
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
    schedule: ActionSchedule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A candidate that is not waste, is exempt, or cannot be judged (*unknown*): always with a reason."""

    reason: str
    unknown: bool = False
    evidence: tuple[Evidence, ...] = ()
    steps: tuple[str, ...] = ()


type Verdict = Finding | Kept


class FindingDetails(TypedDict, total=False):
    """Optional fields of a finding that a rule may set, as in `Finding`."""

    cost: Cost | None
    since: datetime | None
    grace: timedelta | None
    spared: str | None
    noun: str | None
    lost: str | None
    to_prove: str
    missing_for_undo: str
    schedule: ActionSchedule | None


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

    def found(
        self, reason: str, confidence: Confidence, *, action: str, **details: Unpack[FindingDetails]
    ) -> Finding:
        """Return the verdict "waste", with its reason."""
        return Finding(
            reason=reason,
            confidence=confidence,
            action=action,
            evidence=tuple(self._evidence),
            steps=(*self._steps, f"found, {confidence}: {reason}"),
            **details,
        )
