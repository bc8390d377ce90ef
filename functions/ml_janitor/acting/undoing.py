"""Takes back what the janitor did: finds the action, verifies its record, and reverts it. Law 7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import describe
from ml_janitor.core.cause import Why
from ml_janitor.core.durations import ago
from ml_janitor.core.text import named
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.holds import Hold, How, anew
from ml_janitor.ledger.action import UNDOABLE, Action, Stage
from ml_janitor.ledger.macs import NoKeyError, UnverifiedError
from ml_janitor.ledger.steps import RecordedSteps

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.cause import Cause
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.holds import Holds

REST = timedelta(days=7)
"""How long a resource that was brought back is left alone: its owner needs time to use it."""

ROUNDS = 80
"""How often one call goes back to an undo that waits for AWS, where its time does not end it before."""


class CannotUndoError(Exception):
    """There is nothing to take back, or it can no longer be; one line says why."""


class NotBackYetError(CannotUndoError):
    """It is on its way back, and AWS takes longer than this call had time: call again to go on."""


class RecordRefusedError(CannotUndoError):
    """Its record in the ledger is not what the janitor signed: nothing is done from it."""


class ByHandError(CannotUndoError):
    """The undo function may not bring it back: a person does, with credentials of their own."""


class NothingDoneError(CannotUndoError):
    """The action broke off before its first step: there is nothing to bring back, and no more to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """
    What undoing needs from the outside. *clock* is the real time; *within* is `undo_days`.

    *words* makes a sentence of a cause. *wait* lets AWS get on with what an undo waits for; without it the
    next call goes on. *unsigned* also undoes what has no signature, as earlier versions wrote it: that is for
    a person with credentials of their own.
    """

    actions: Actions
    holds: Holds
    clock: Callable[[], datetime]
    within: timedelta
    words: Callable[[Cause], str]
    wait: Callable[[], None] | None = None
    unsigned: bool = False

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
            raise CannotUndoError(_undone_before(action))
        if action.stage is Stage.WITHDRAWN:
            raise CannotUndoError(f"nothing was done to {action.target.name}: {action.error}")
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

        *by* is who asked for it. *again* resumes an undo that broke off, without a new request. Raises
        CannotUndoError with what went wrong, and NotBackYetError if it only takes longer; either can be
        tried again. Raises RecordRefusedError if its record does not verify, NothingDoneError if there is
        nothing to bring back, and BegunBeforeError if another run works on it.
        """
        action = self._begin(action, by, again=again)
        try:
            self._snooze(action, by, detector.reverted_arn(action.target, action.undo))
            if not action.touched:
                self._withdraw(action)
            action, became = self._revert(detector, aws, action)
        except (NotBackYetError, NothingDoneError):
            raise
        except Exception as error:  # recorded and reported; the next try resumes it
            why = str(error) if isinstance(error, CannotActError) else describe(error)
            self.actions.undo_failed(action, why)
            raise CannotUndoError(f"{action.target.name} could not be brought back: {why}") from error
        undone = self.actions.undone(action, self.clock(), became)
        return replace(undone, steps=action.steps)

    def _begin(self, action: Action, by: str, *, again: bool) -> Action:
        """Verify *action*, then record that its undo begins. Raises RecordRefusedError."""
        try:
            self._verify(action)
            return self.actions.begin_undo(action, by, self.clock(), again=again)
        except UnverifiedError as unverified:
            why = self.words(unverified.cause)
            self.actions.refused(action, why)
            raise RecordRefusedError(f"{action.target.name}: {why}") from unverified

    def _verify(self, action: Action) -> None:
        try:
            try:
                self.actions.verify(action)
            except UnverifiedError as unverified:
                if not (self.unsigned and unverified.cause.why is Why.MAC_MISSING):
                    raise
                self.actions.check_older(action)
        except (UnverifiedError, NoKeyError):
            raise
        except Exception as error:  # KMS did not answer: remembered, and it can be tried again
            why = f"the record of {action.target.name} could not be verified: {describe(error)}"
            self.actions.refused(action, why)
            raise CannotUndoError(why) from error

    def _snooze(self, action: Action, by: str, reverted_arn: str) -> None:
        """
        Hold the resource for a week, and *reverted_arn*, which has another creation time or another name.

        Stored before anything is reverted, in case the undo breaks off.
        """
        target, now = action.target, self.clock()
        why = "it was brought back" if action.touched else "it was asked back before anything was done to it"
        for key in dict.fromkeys((target.key, anew(target.arn), anew(reverted_arn))):
            hold = Hold(key=key, how=How.SNOOZED, by=by, given=now, until=now + REST, why=why)
            self.holds.put(target.account, target.region, hold)

    def _withdraw(self, action: Action) -> None:
        """Record that nothing was done, so that it can be acted on again. Raises NothingDoneError."""
        why = "it broke off before its first step"
        self.actions.withdrawn(action, why)
        raise NothingDoneError(f"nothing was done to {action.target.name}: {why}")

    def _revert(self, detector: Detector[Any], aws: Aws, action: Action) -> tuple[Action, str]:
        """Revert *action*, again while it waits for AWS and there is time; also what became of it."""
        writing = aws.armed()
        for _ in range(ROUNDS):
            try:
                steps = RecordedSteps(self.actions, action, "undo")
                became = detector.revert(writing, action.target, action.undo, steps)
            except NotFinishedError as waits:
                action = self.actions.unfinished(action, str(waits))
            except Exception as error:  # out of time is no failure; all else is raised again
                if not writing.out_of_time(error):
                    raise
                action = self.actions.unfinished(action, "this call had no time left")
                break
            else:
                return action, became or ""
            if self.wait is None or not aws.has_time:
                break
            self.wait()
        raise NotBackYetError(
            f"{action.target.name} is on its way back, and undoing it again goes on with it: {action.error}"
        )


def _undone_before(action: Action) -> str:
    """Why *action* is not undone a second time; a job was restarted, not brought back."""
    who = named(action.undone_by)
    if action.became:
        return f"done before, by {who}: {action.became}"
    return f"{action.target.name} was brought back before, by {who}"
