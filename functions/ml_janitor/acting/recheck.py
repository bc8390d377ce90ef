"""Rechecks a resource in the moment before the act (law 4), and postpones acts (law 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_janitor.core.cause import Cause, CauseCode, make_cause
from ml_janitor.core.model import Kept
from ml_janitor.core.results import Outcome
from ml_janitor.engine.holds import hold_reason, holds_on
from ml_janitor.engine.judging import judge_candidate
from ml_janitor.ledger.actions import undo_json

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target, Verdict
    from ml_janitor.core.results import Result, Sweep
    from ml_janitor.engine.arming import Arming
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.holds import Hold
    from ml_janitor.engine.policy import RunPolicy
    from ml_janitor.ledger.action import Action
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.holds import Holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """Rechecks resources of one detector and region. *aws* only reads, *clock* is the real time."""

    detector: Detector[Any]
    aws: Aws
    policy: RunPolicy
    holds: Holds
    clock: Callable[[], datetime]

    def verdict(
        self, result: Result, at: datetime, undo: Mapping[str, Any] | None = None
    ) -> tuple[Verdict | None, Any]:
        """
        Return the verdict on *result*'s resource at that time, and its candidate; None if it is gone.

        With *undo*, an action on the resource is half done.
        """
        if undo is None:
            candidate = self.detector.look(self.aws, result.target, at)
        else:
            candidate = self.detector.look_unfinished(self.aws, result.target, undo, at)
        if candidate is None:
            return None, None
        if candidate.target.key != result.target.key:
            return Kept(reason="another resource has its name now"), None
        policy = replace(self.policy, holds=self._holds(candidate.target))
        return judge_candidate(self.detector, candidate, at, policy), candidate

    def prepared(self, candidate: Any, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data that an undo needs, if the ledger can keep it. Raises the errors of `prepare`."""
        undo = self.detector.prepare(self.aws, candidate, memo)
        undo_json(undo)
        return undo

    def held(self, target: Target) -> str | None:
        """Return the hold that keeps *target*, possibly given since the sweep, as a reason; or None."""
        return hold_reason(holds_on(self._holds(target), target, self.detector.name), self.clock())

    def is_done(self, action: Action) -> bool:
        """Return whether the resource is as the act leaves it; False if it cannot be read."""
        try:
            if self._ended(action) is not None:
                return False
            return self.detector.is_done(self.aws, action.target, action.undo)
        except Exception:  # the failure before is reported, and the next sweep looks again
            return False

    def ended_otherwise(self, action: Action) -> str | None:
        """Return why the resource is no longer waste, if *action*, which broke off, is not the cause."""
        try:
            return self._ended(action)
        except Exception:  # `is_done` reads again, and answers False if it cannot
            return None

    def _ended(self, action: Action) -> str | None:
        if any(step.startswith("act: ") and how == "done" for step, how in action.steps.items()):
            return None
        return self.detector.ended_otherwise(self.aws, action.target, action.undo)

    def _holds(self, target: Target) -> Mapping[str, Sequence[Hold]]:
        return self.holds.all(target.account, target.region)


@dataclass(frozen=True)
class Postponement:
    """Postpones due acts of one sweep. *entries* are its findings in the ledger."""

    sweep: Sweep
    entries: Mapping[str, Entry]
    arming: Arming

    def of(self, key: str, at: datetime, *, hurried: str = "") -> Cause | None:
        """
        Return why the janitor does nothing *at* that time to the resource *key*, or None.

        *hurried* is the person who pressed *Do it now* on it: that approves this act, on any day.
        """
        entry = self.entries.get(key)
        if hurried or (entry is not None and entry.hurried):
            return None
        if self.arming.rests(at):
            return make_cause(CauseCode.REST_DAY)
        return None if entry is not None and entry.approved else self.too_much

    @cached_property
    def too_much(self) -> Cause | None:
        """The cause for which a person has to look first, because so much is waste; or None."""
        looked_at = self.sweep.looked_at
        waste = sum(
            result.outcome is Outcome.WAITING and not self._approved(result.target.key)
            for result in self.sweep.results
        )
        if not self.arming.too_many(waste, looked_at):
            return None
        return make_cause(CauseCode.MAX_SHARE, waste, looked_at, self.arming.max_share, self.sweep.detector)

    def _approved(self, key: str) -> bool:
        """Return whether a person approved it with all others, or pressed *Do it now* on it."""
        entry = self.entries.get(key)
        return entry is not None and bool(entry.approved or entry.hurried)
