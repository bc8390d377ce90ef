"""Rechecks one resource in the moment before something is done to it. Law 4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.core.model import Kept
from ml_janitor.engine.holds import held, on
from ml_janitor.engine.judging import judge
from ml_janitor.ledger.actions import written

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Finding, Result, Target, Verdict
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.holds import Hold
    from ml_janitor.engine.policy import Policy
    from ml_janitor.ledger.action import Action
    from ml_janitor.ledger.holds import Holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """One detector's, in one account and region. *aws* only reads, *clock* is the real time."""

    detector: Detector[Any]
    aws: Aws
    policy: Policy
    holds: Holds
    clock: Callable[[], datetime]

    def verdict(
        self, result: Result, at: datetime, undo: Mapping[str, Any] | None = None
    ) -> tuple[Verdict | None, Any]:
        """
        The verdict on *result*'s resource as it is at that time, and its candidate; None if it is gone.

        With *undo*, it is looked at as one that is half done.
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
        return judge(self.detector, candidate, at, policy), candidate

    def prepared(self, candidate: Any, verdict: Finding, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an undo needs, if the ledger can keep it. Raises what `prepare` does."""
        undo = self.detector.prepare(self.aws, candidate, verdict, memo)
        written(undo)
        return undo

    def held(self, target: Target) -> str | None:
        """Who said in the meantime that *target* stays, or None."""
        return held(on(self._holds(target), target), self.clock())

    def is_done(self, action: Action) -> bool:
        """Whether the resource is as the act leaves it; what cannot be looked at is not."""
        try:
            if self._ended(action) is not None:
                return False
            return self.detector.is_done(self.aws, action.target, action.undo)
        except Exception:  # the failure that led here is told, and the next sweep looks again
            return False

    def ended_otherwise(self, action: Action) -> str | None:
        """Why the resource is no longer waste, if that is not the doing of *action*, which broke off."""
        try:
            return self._ended(action)
        except Exception:  # `is_done` asks again, and takes what cannot be looked at for not done
            return None

    def _ended(self, action: Action) -> str | None:
        if any(step.startswith("act: ") and how == "done" for step, how in action.steps.items()):
            return None
        return self.detector.ended_otherwise(self.aws, action.target, action.undo)

    def _holds(self, target: Target) -> Mapping[str, Sequence[Hold]]:
        return self.holds.all(target.account, target.region)
