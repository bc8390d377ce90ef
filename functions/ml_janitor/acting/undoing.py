"""Takes back what the janitor did, under a role of its own. Law 7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.steps import RecordedSteps
from ml_janitor.aws.answers import describe
from ml_janitor.core.durations import ago
from ml_janitor.core.text import named
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.holds import Hold, How, anew
from ml_janitor.ledger.action import UNDOABLE, Action, Stage

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.holds import Holds

REST = timedelta(days=7)
"""How long a resource that was brought back is left alone: whoever wanted it back needs time to use it."""


ROUNDS = 80
"""How often one call goes back to an undo that waits for AWS, where its time does not end it before."""


class CannotUndoError(Exception):
    """There is nothing to take back, or it can no longer be; one line says why."""


class NotBackYetError(CannotUndoError):
    """It is on its way back, and AWS takes longer than this call had time: call again to go on."""


class NothingDoneError(CannotUndoError):
    """The action broke off before its first step: there is nothing to bring back, and no more to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """
    What undoing needs from the outside. *clock* is the real time; *within* is `undo_days`.

    *wait* lets AWS get on with what an undo waits for; without it the next call goes on.
    """

    actions: Actions
    holds: Holds
    clock: Callable[[], datetime]
    within: timedelta
    wait: Callable[[], None] | None = None

    def find(self, detector: str, account: str, region: str, finding: str) -> Action:
        """
        The newest action on the finding of id *finding* that can be taken back.

        One that came to nothing does not hide what was done before it; one that was brought back does.
        Raises CannotUndoError.
        """
        known = [each for each in self.actions.all(detector, account, region) if each.id == finding]
        if not known:
            raise CannotUndoError(f"nothing was done to finding {finding} by {detector} in {region}")
        done = (each for each in reversed(known) if each.touched and each.stage is not Stage.WITHDRAWN)
        newest, action = known[-1], next(done, known[-1])
        if newest.stage in UNDOABLE and (action.stage not in UNDOABLE or self._too_old(action)):
            action = newest
        if action.stage is Stage.UNDONE:
            raise CannotUndoError(_before(action))
        if action.stage is Stage.WITHDRAWN:
            raise CannotUndoError(f"nothing was done to {action.target.name}: {action.error}")
        if action.stage not in UNDOABLE:
            raise CannotUndoError(f"{action.target.name} is {action.stage}")
        if self._too_old(action):
            age = self.clock() - action.began
            raise CannotUndoError(
                f"{action.target.name} was cleaned up {ago(age)} ago; undo_days is {self.within.days}"
            )
        return action

    def _too_old(self, action: Action) -> bool:
        """What is half brought back is never left so."""
        return action.stage is not Stage.UNDOING and self.clock() - action.began > self.within

    def undo(
        self, detector: Detector[Any], aws: Aws, action: Action, *, by: str, again: bool = False
    ) -> Action:
        """
        Bring back what *action* cleaned up, whole or half; then leave it alone for a week.

        *by* is who asked for it. It is done *again* where nobody asked anew: an undo that broke off.
        Raises CannotUndoError with what went wrong, and NotBackYetError if it only takes longer; either
        can be tried again. Raises NothingDoneError if there is nothing to bring back, and
        BegunBeforeError if another run is at it.
        """
        action = self.actions.undoing(action, by, self.clock(), again=again)
        try:
            self._left_alone(action, by, detector.reverted_arn(action.target, action.undo))
            if not action.touched:
                self._nothing_done(action)
            action, said = self._brought_back(detector, aws, action)
        except (NotBackYetError, NothingDoneError):
            raise
        except Exception as error:  # recorded and told; trying again goes on from there
            said = str(error) if isinstance(error, CannotActError) else describe(error)
            self.actions.undo_failed(action, said)
            raise CannotUndoError(f"{action.target.name} could not be brought back: {said}") from error
        done = self.actions.undone(action, self.clock(), said)
        return replace(done, steps=action.steps)

    def _left_alone(self, action: Action, by: str, made: str) -> None:
        """
        For a week: it, and what is *made* in its place, which has another creation time, or another name.

        Said before anything is done, for an undo that breaks off.
        """
        target, now = action.target, self.clock()
        why = "it was brought back" if action.touched else "it was asked back before anything was done to it"
        for key in dict.fromkeys((target.key, anew(target.arn), anew(made))):
            hold = Hold(key=key, how=How.SNOOZED, by=by, said=now, until=now + REST, why=why)
            self.holds.put(target.account, target.region, hold)

    def _nothing_done(self, action: Action) -> None:
        """Raises NothingDoneError, once *action* says so too: it stands in nobody's way any more."""
        why = "it broke off before its first step"
        self.actions.withdrawn(action, why)
        raise NothingDoneError(f"nothing was done to {action.target.name}: {why}")

    def _brought_back(self, detector: Detector[Any], aws: Aws, action: Action) -> tuple[Action, str]:
        """Undo *action*, going back to it while it waits for AWS and there is time; and what became of it."""
        writing = aws.armed()
        for _ in range(ROUNDS):
            try:
                steps = RecordedSteps(self.actions, action, "undo")
                said = detector.revert(writing, action.target, action.undo, steps)
            except NotFinishedError as waits:
                action = self.actions.unfinished(action, str(waits))
            except Exception as error:
                if not writing.out_of_time(error):
                    raise
                action = self.actions.unfinished(action, "this call had no time left")
                break
            else:
                return action, said or ""
            if self.wait is None or not aws.has_time:
                break
            self.wait()
        raise NotBackYetError(
            f"{action.target.name} is on its way back, and undoing it again goes on with it: {action.error}"
        )


def _before(action: Action) -> str:
    """What to say to whoever asks for *action* to be undone once more; a job was not simply brought back."""
    who = named(action.undone_by)
    if action.became:
        return f"done before, by {who}: {action.became}"
    return f"{action.target.name} was brought back before, by {who}"
