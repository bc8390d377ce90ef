"""
Knows what may be touched, and asks at every call that changes something whether this may.

What is waste is told by the claims that the things in the account make; the rest by what was pressed and
brought back. Of the program it reads nothing but the table, as it lies there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from conftest import ACCOUNT, REGION
from ml_janitor_sandbox.deployment import TABLE
from properties.whole.snapshot import Snapshot
from properties.whole.watch import Call
from properties.worlds.base import LIKELY, Claim, Fault

type Place = tuple[str, str]
"""A detector, and the ARN of what it judges, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What the janitor is at: one sweep, or one undo (of an ARN, in lower case)."""

    detector: str
    undoes: str = ""


@dataclass(kw_only=True)
class Judge:
    """*wrong* is what should not have happened; *counts* are the calls that changed something."""

    claims: Mapping[Place, Claim]
    before: Snapshot
    faults: Sequence[Fault] = ()
    phase: Phase | None = None
    pressed: set[Place] = field(default_factory=set)
    doubted: set[Place] = field(default_factory=set)
    """What a night could not be sure of, so that its warning was void, and the press with it."""
    rests: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    """How many there were, reads among them."""
    order: list[Place] = field(default_factory=list)
    """What was acted on, in the order of the last call for each."""
    begun: set[Place] = field(default_factory=set)
    answers: dict[str, bool] = field(default_factory=dict)
    """The calls that were answered well, and whether the table knows of it for sure."""

    def say(self, what: str) -> None:
        self.wrong.append(what)

    def doubt(self) -> None:
        """What tonight's faults may make look likely at most, or like no waste."""
        broken = {fault.call for fault in self.faults}
        self.doubted |= {
            place
            for place in self.pressed
            if (claim := self.claims.get(place)) and broken & (claim.supports | claim.reveals)
        }

    def asked(self, call: Call) -> None:
        """A call is about to be made."""
        self.calls += 1
        if not call.changes:
            return
        phase = self.phase
        if phase is None:
            self.say(f"{call} belongs to no run")
            return
        if self.answers.get(f"{phase.undoes} {call}"):
            self.say(f"{call} is done twice")
        place = (phase.detector, phase.undoes or call.arn)
        why = self._beyond_undo(call, phase) if phase.undoes else self._forbids(place)
        if why is not None:
            self.say(f"{call} for {phase.detector}: {why}")
        if not phase.undoes:
            self.order = [*(each for each in self.order if each != place), place]
            self.begun.add(place)

    def answered(self, call: Call) -> None:
        """It was done, and the janitor knows."""
        if call.records:
            self.answers = dict.fromkeys(self.answers, True)
        if call.changes and self.phase is not None:
            self.counts[call.what] += 1
            self.answers[f"{self.phase.undoes} {call}"] = False

    def afresh(self, arn: str) -> None:
        """What was done to *arn* was taken back whole, and might be done again."""
        self.answers = {said: known for said, known in self.answers.items() if arn not in said.lower()}

    def _forbids(self, place: Place) -> str | None:
        """Why nothing must be done to it in this sweep, or None."""
        detector, arn = place
        claim = self.claims.get(place)
        why = {
            "it was brought back": arn in self.rests,
            "nobody pressed for it, and it is not due": place not in self.pressed,
            "it is no waste, or cannot be judged": claim is None or not claim.allows(LIKELY, self.faults),
            "it has no undo in the table": not any(records(detector, arn, "acting")),
        }
        return next((reason for reason, true in why.items() if true), None)

    def _beyond_undo(self, call: Call, phase: Phase) -> str | None:
        if not any(records(phase.detector, phase.undoes, "undoing")):
            return f"nobody is undoing anything on {phase.undoes}"
        anew = call.operation.startswith("Create") and call.arn not in self.before
        return None if anew or call.arn == phase.undoes else f"it is about {phase.undoes}"


def records(detector: str, arn: str, stage: str = "") -> Iterator[Mapping[str, Any]]:
    """The actions on *arn* as they lie in the table, those at *stage*."""
    items = dynamodb_backends[ACCOUNT][REGION].tables[TABLE].items
    for partition, found in items.items():
        if partition.value != f"action#{detector}#{ACCOUNT}#{REGION}":
            continue
        for item in found.values():
            told = {name: value.value for name, value in item.attrs.items()}
            if (
                told.get("arn", "").lower() == arn
                and stage in {"", told["stage"]}
                and json.loads(told["undo"])
            ):
                yield told


def tags_filled(was: Mapping[str, Any], became: Mapping[str, Any], by: Mapping[str, str]) -> bool:
    """Whether nothing but tags differs, and those were only added, and only of those keys."""
    plain = ({**was, "tags": {}}, {**became, "tags": {}})
    added = became["tags"].keys() - was["tags"].keys()
    return plain[0] == plain[1] and became["tags"].items() >= was["tags"].items() and added <= by.keys()
